//! What a file is until it has its name: open beside it, locked, and gone with its owner unless it is to be gone on with.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::Errno;
use wire::transfer::RelativePath;
use wire::transfer::path::MAX_NAME;

use super::state::{self, State};
use super::{Clash, Declared, Fault, failed};
use crate::transfer::CHUNK;
use crate::transfer::root::Folder;

/// How what others may have put there is opened: no link is followed, and nothing waits or becomes our terminal.
pub(super) const PLAIN: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Where a process finds what it has open.
pub(super) const OPEN_FILES: &str = "/proc/self/fd";

/// A part that is open. Dropped, it goes, unless it stays to be gone on with or has got its name.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) folder: Folder,
    /// Where the file belongs.
    pub(super) path: RelativePath,
    /// What the part is called beside it. One without a name goes with whoever holds it.
    pub(super) name: Option<Vec<u8>>,
    pub(super) file: File,
    pub(super) clash: Clash,
    pub(super) has_state: bool,
    pub(super) stays: bool,
}

impl Part {
    pub(super) fn remove(&self) -> Result<(), Errno> {
        if let Some(name) = &self.name {
            remove(&self.folder, name)?;
        }
        self.forget()
    }

    /// Removes what is known of it.
    pub(super) fn forget(&self) -> Result<(), Errno> {
        match &self.name {
            Some(name) if self.has_state => remove(&self.folder, &state::name_of(name)),
            _ => Ok(()),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.stays {
            // Nothing is there to go on with.
            let _ = self.remove();
        }
    }
}

/// One chunk at the most.
pub(super) fn is_small(declared: &Declared) -> bool {
    declared.size.is_some_and(|size| size <= CHUNK as u64)
}

/// Opens the part of a file, locked: the one beside its name, or if that is taken, one of its own.
pub(super) fn open_part(
    folder: &Folder,
    name: &[u8],
    declared: &Declared,
    id: &str,
    shown: &str,
) -> Result<(Vec<u8>, File), Fault> {
    let failed = |errno: Errno| failed("write", shown, errno.into());
    let parts = Parts::of(name, id);
    if !is_small(declared)
        && let Some(file) = made(folder, &parts.plain, declared).map_err(failed)?
    {
        let is_empty = file.metadata().is_ok_and(|facts| facts.len() == 0);
        // Others call their files that as well: what we do not know is left alone.
        if is_empty || State::is_of(folder, &parts.plain, id, declared.size) {
            return Ok((parts.plain, file));
        }
    }
    for part in [parts.own, parts.spare] {
        if let Some(file) = made(folder, &part, declared).map_err(failed)? {
            return Ok((part, file));
        }
    }
    Err(Fault::Busy {
        name: shown.to_owned(),
    })
}

/// A part that is there or made now, locked. `None` when somebody else has it.
fn made(folder: &Folder, part: &[u8], declared: &Declared) -> Result<Option<File>, Errno> {
    locked(
        folder,
        part,
        create(folder, part, declared.mode, OFlags::empty()),
    )
}

/// A part that is there, locked. `None` when there is none, or somebody else has it.
pub(super) fn reopen(folder: &Folder, part: &[u8]) -> Result<Option<File>, Errno> {
    match openat(folder, part, OFlags::RDWR | PLAIN, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => locked(folder, part, opened.map(File::from)),
    }
}

fn locked(
    folder: &Folder,
    part: &[u8],
    opened: Result<File, Errno>,
) -> Result<Option<File>, Errno> {
    let file = match opened {
        // A name that is a link, a folder or a FIFO is no part of ours.
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::EXIST) => return Ok(None),
        opened => opened?,
    };
    // Where there are no locks it is written without.
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(None);
    }
    // Whoever had it before may have given it its name meanwhile.
    let ours = rustix::fs::fstat(&file)?;
    let still = match rustix::fs::statat(folder, part, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino),
        Err(_) => false,
    };
    let is_file = FileType::from_raw_mode(ours.st_mode) == FileType::RegularFile;
    Ok((still && is_file && ours.st_nlink == 1).then_some(file))
}

pub(super) fn create(
    folder: &Folder,
    part: &[u8],
    mode: Option<u32>,
    only: OFlags,
) -> Result<File, Errno> {
    let flags = only | OFlags::RDWR | OFlags::CREATE | PLAIN;
    openat(folder, part, flags, mode_of(mode)).map(File::from)
}

/// Whether a file without a name can always be given one.
pub(super) fn can_be_named() -> bool {
    static CAN_BE_NAMED: OnceLock<bool> = OnceLock::new();
    *CAN_BE_NAMED.get_or_init(|| Path::new(OPEN_FILES).exists())
}

/// One that has no name: whoever dies with it leaves nothing. `None` where the file system has no such files.
pub(super) fn nameless(folder: &Folder, mode: Option<u32>) -> Result<Option<File>, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(folder, ".", flags, mode_of(mode)) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        opened => opened.map(|file| Some(File::from(file))),
    }
}

/// Never set-user-id, and always ours to write: naming takes away what is too much.
fn mode_of(mode: Option<u32>) -> Mode {
    Mode::from_raw_mode(mode.unwrap_or(0o666) & 0o777 | 0o600)
}

/// What a part may be called.
pub(super) struct Parts {
    /// As people know it. What is of another content, or not ours, may be called that.
    pub(super) plain: Vec<u8>,
    /// With a word that its content gives.
    pub(super) own: Vec<u8>,
    /// With one that nobody else has, for when the same content comes twice at once.
    pub(super) spare: Vec<u8>,
}

impl Parts {
    pub(super) fn of(name: &[u8], id: &str) -> Self {
        Self {
            plain: [&fitting(name), &b".part"[..]].concat(),
            own: with_word(name, id.as_bytes()),
            spare: spare(name),
        }
    }
}

/// With a word that nobody else has.
pub(super) fn spare(name: &[u8]) -> Vec<u8> {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let thread = std::thread::current().id();
    let seed = format!("{now} {} {thread:?}", std::process::id());
    with_word(name, seed.as_bytes())
}

/// With the word that `seed` gives.
pub(super) fn with_word(name: &[u8], seed: &[u8]) -> Vec<u8> {
    let word = blake3::hash(seed).to_hex();
    let name = fitting(name);
    [&name, &b"."[..], &word.as_bytes()[..8], b".part"].concat()
}

/// A word has to fit after it, and `.state`.
fn fitting(name: &[u8]) -> Cow<'_, [u8]> {
    let room = MAX_NAME - ".12345678.part.state".len();
    match name.len() > room {
        true => {
            let word = blake3::hash(name).to_hex();
            [&name[..room - 17], b"~", &word.as_bytes()[..16]]
                .concat()
                .into()
        }
        false => name.into(),
    }
}

pub(super) fn remove(folder: &Folder, name: &[u8]) -> rustix::io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_long_names_fit_and_differ() {
        let one = Parts::of(&b"x".repeat(255), "id");
        let other = Parts::of(&[&b"x".repeat(254)[..], b"y"].concat(), "id");
        for part in [&one.plain, &one.own, &one.spare] {
            assert!(part.len() + ".state".len() <= MAX_NAME, "{}", part.len());
        }
        assert_ne!(one.plain, other.plain);
        let short = Parts::of(b"x.txt", "id");
        assert_eq!(short.plain, b"x.txt.part");
        assert_eq!(short.own, Parts::of(b"x.txt", "id").own);
        assert_ne!(short.own, Parts::of(b"x.txt", "other").own);
        assert_ne!(short.spare, Parts::of(b"x.txt", "id").spare);
    }
}
