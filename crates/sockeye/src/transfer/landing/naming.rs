//! How a file gets its name: made durable first, one or many at once, and never over another one that was not meant.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Mode, RenameFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, fdatasync, fsync,
    futimens, linkat, renameat, renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;
use wire::transfer::RelativePath;
use wire::transfer::path::MAX_NAME;

use super::{Clash, Fault, Landing, failed};
use crate::transfer::root::Folder;
use crate::transfer::{Hash, Root};

/// From this many files on, telling the file system to write all of them costs less than telling it of each.
const MANY: usize = 8;

/// How many numbers are tried for a name that is taken.
const NUMBERS: u32 = 9_999;

/// A file that is whole and proved, and waits to be made durable.
#[derive(Debug)]
pub struct Settled {
    landing: Landing,
    hash: Hash,
}

/// A file that has landed: it is on the disk, under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Where, which is not where it was sent to when that name was taken.
    pub path: RelativePath,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of all of it.
    pub hash: Hash,
}

/// Makes files durable and gives them their names. With many, the disk is asked once and not once for each.
pub fn commit(root: &Root, settled: Vec<Settled>) -> Vec<Result<Landed, Fault>> {
    match root.folder(None) {
        Ok(folder) => commit_within(&folder, settled),
        Err(errno) => {
            let fails = |one: Settled| Err(failed("write", &one.landing.shown, errno.into()));
            settled.into_iter().map(fails).collect()
        }
    }
}

pub(super) fn commit_within(within: &Folder, settled: Vec<Settled>) -> Vec<Result<Landed, Fault>> {
    let is_many = settled.len() >= MANY;
    let dressed: Vec<_> = settled.iter().map(Settled::dress).collect();
    let together = match is_many {
        true => syncfs(within),
        false => Ok(()),
    };
    let mut touched: Vec<Folder> = Vec::new();
    let mut all = Vec::with_capacity(settled.len());
    for (one, dressed) in settled.into_iter().zip(dressed) {
        let synced = dressed.and(together).and_then(|()| match is_many {
            true => Ok(()),
            false => fdatasync(&one.landing.file),
        });
        let shown = one.landing.shown.clone();
        let folder = one.landing.folder.clone();
        let named = match synced {
            Ok(()) => one.name(),
            Err(errno) => Err(failed("write", &shown, errno.into())),
        };
        if named.is_ok() && !touched.last().is_some_and(|last| last.is(&folder)) {
            touched.push(folder);
        }
        all.push(named);
    }
    let names = match touched.len() >= MANY {
        true => syncfs(within),
        false => touched.iter().try_for_each(fsync),
    };
    if let Err(errno) = names {
        for one in all.iter_mut() {
            if let Ok(landed) = one {
                *one = Err(failed("name", &landed.path.to_string(), errno.into()));
            }
        }
    }
    all
}

impl Settled {
    pub(super) fn new(landing: Landing, hash: Hash) -> Self {
        Self { landing, hash }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.landing.len()
    }

    /// Gives it the time of its source, and takes away what its mode does not say.
    fn dress(&self) -> rustix::io::Result<()> {
        let Landing { file, declared, .. } = &self.landing;
        if let Some(mode) = declared.mode.filter(|mode| mode & 0o600 != 0o600) {
            let now = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
            fchmod(file, now & Mode::from_raw_mode(mode & 0o777))?;
        }
        match declared.modified.and_then(timespec) {
            None => Ok(()),
            Some(modified) => futimens(
                file,
                &Timestamps {
                    last_access: Timespec {
                        tv_sec: 0,
                        tv_nsec: UTIME_OMIT,
                    },
                    last_modification: modified,
                },
            ),
        }
    }

    fn name(self) -> Result<Landed, Fault> {
        let Self { mut landing, hash } = self;
        let path = match landing.clash {
            Clash::Overwrite => overwrite(&landing),
            Clash::Refuse => place(&landing, &landing.path).map(|()| landing.path.clone()),
            Clash::Rename => place_somewhere(&landing),
        };
        let path = path.map_err(|errno| match errno {
            Errno::EXIST => {
                // Nobody goes on with what may not be there; whatever is left of it is in nobody's way.
                let _ = landing.drop_part();
                Fault::Exists {
                    name: landing.shown.clone(),
                }
            }
            errno => failed("name", &landing.shown, errno.into()),
        })?;
        landing.is_named = true;
        let forgotten = landing.forget();
        forgotten.map_err(|errno| failed("remove the state of", &landing.shown, errno.into()))?;
        Ok(Landed {
            path,
            size: landing.len(),
            hash,
        })
    }
}

fn overwrite(landing: &Landing) -> rustix::io::Result<RelativePath> {
    let folder = &landing.folder;
    renameat(folder, &landing.part[..], folder, landing.path.name())?;
    Ok(landing.path.clone())
}

fn place(landing: &Landing, path: &RelativePath) -> rustix::io::Result<()> {
    let folder = &landing.folder;
    rename(folder, &landing.part, folder, path.name())
}

/// Under its name, or if that is taken under one with a number.
fn place_somewhere(landing: &Landing) -> rustix::io::Result<RelativePath> {
    match place(landing, &landing.path) {
        Err(Errno::EXIST) => {}
        done => return done.map(|()| landing.path.clone()),
    }
    for number in 1..=NUMBERS {
        let name = numbered(landing.path.name(), number);
        let path = landing
            .path
            .with_name(&name)
            .map_err(|_| Errno::NAMETOOLONG)?;
        match place(landing, &path) {
            Err(Errno::EXIST) => {}
            done => return done.map(|()| path),
        }
    }
    Err(Errno::EXIST)
}

/// Moves what has a name to another one, unless that is taken.
pub(in crate::transfer) fn rename(
    from: &Folder,
    name: &[u8],
    to: &Folder,
    new: &[u8],
) -> rustix::io::Result<()> {
    match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // Some file systems, such as NFS, cannot promise that in one step; a link is refused as well.
        Err(Errno::INVAL | Errno::NOSYS) => {
            linkat(from, name, to, new, AtFlags::empty())?;
            unlinkat(from, name, AtFlags::empty())
        }
        done => done,
    }
}

/// `x.tar (1).gz` would be no archive any more to anyone, so that `.tar` is part of the extension.
fn numbered(name: &[u8], number: u32) -> Vec<u8> {
    let dot = |name: &[u8]| {
        let at = name.iter().rposition(|byte| *byte == b'.')?;
        let extension = &name[at + 1..];
        let is_one =
            (1..=12).contains(&extension.len()) && extension.iter().all(u8::is_ascii_alphanumeric);
        (at > 0 && is_one).then_some(at)
    };
    let end = dot(name).unwrap_or(name.len());
    let end = match name[..end].strip_suffix(b".tar") {
        Some(stem) if !stem.is_empty() => stem.len(),
        _ => end,
    };
    let number = format!(" ({number})");
    let most = MAX_NAME.saturating_sub(number.len() + name.len() - end);
    let stem = &name[..end.min(most)];
    [stem, number.as_bytes(), &name[end..]].concat()
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
        let word = |seed: &[u8]| blake3::hash(seed).to_hex()[..8].to_owned();
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let seed = format!(
            "{now} {} {:?}",
            std::process::id(),
            std::thread::current().id()
        );
        // A word has to fit, and `.state`.
        let room = MAX_NAME - ".12345678.part.state".len();
        let name = match name.len() > room {
            true => {
                let word = blake3::hash(name).to_hex();
                [&name[..room - 17], b"~", &word.as_bytes()[..16]].concat()
            }
            false => name.to_vec(),
        };
        let with = |word: &str| [&name[..], b".", word.as_bytes(), b".part"].concat();
        Self {
            plain: [&name[..], b".part"].concat(),
            own: with(&word(id.as_bytes())),
            spare: with(&word(seed.as_bytes())),
        }
    }
}

pub(super) fn is_taken(folder: &Folder, name: &[u8]) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

pub(super) fn remove(folder: &Folder, name: &[u8]) -> rustix::io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// `None` for a time that the file system has no number for.
fn timespec(time: SystemTime) -> Option<Timespec> {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).ok()?, after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).ok()?;
            match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanos => (-seconds - 1, 1_000_000_000 - nanos),
            }
        }
    };
    Some(Timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_before_the_extension() {
        for (name, expected) in [
            ("x.txt", "x (2).txt"),
            ("x", "x (2)"),
            ("x.tar.gz", "x (2).tar.gz"),
            (".bashrc", ".bashrc (2)"),
            ("a. b c", "a. b c (2)"),
            ("report v1.2.pdf", "report v1.2 (2).pdf"),
            ("文.png", "文 (2).png"),
        ] {
            assert_eq!(numbered(name.as_bytes(), 2), expected.as_bytes(), "{name}");
        }
        let long = [&b"x".repeat(251)[..], b".txt"].concat();
        let numbered = numbered(&long, 17);
        assert_eq!(numbered.len(), 255);
        assert!(numbered.ends_with(b"x (17).txt"));
    }

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

    #[test]
    fn times_before_1970_are_times() {
        use std::time::Duration;
        let at = |time| timespec(time).map(|spec| (spec.tv_sec, spec.tv_nsec));
        assert_eq!(at(UNIX_EPOCH), Some((0, 0)));
        let before = UNIX_EPOCH - Duration::from_millis(1500);
        assert_eq!(at(before), Some((-2, 500_000_000)));
    }
}
