//! How a file gets its name: made durable first, one or many at once, and never over another one that was not meant.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, CWD, Mode, RenameFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, fdatasync, fsync,
    futimens, linkat, renameat, renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;
use wire::transfer::RelativePath;
use wire::transfer::path::MAX_NAME;

use super::already::{is_there, read};
use super::part::{OPEN_FILES, Part, remove, spare};
use super::{Clash, Declared, Fault, failed};
use crate::transfer::root::Folder;
use crate::transfer::{Hash, Root};

/// From this many files on, telling the file system to write all of them costs less than telling it of each.
const MANY: usize = 8;

/// How many numbers are tried for a name that is taken.
const NUMBERS: u32 = 9_999;

/// A file that is whole and proved, and waits to be made durable.
#[derive(Debug)]
pub struct Settled {
    pub(super) part: Part,
    /// As a person reads it.
    pub(super) shown: String,
    pub(super) declared: Declared,
    pub(super) size: u64,
    /// Of what was proved by itself, and not with others.
    pub(super) hash: Option<Hash>,
}

/// A file that has landed: it is on the disk, under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Where, which is not where it was sent to when that name was taken.
    pub path: RelativePath,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of all of it; `None` where it was proved with others.
    pub hash: Option<Hash>,
}

/// What has become of a file so far.
pub(super) enum Stage {
    Waits(Settled),
    /// Somebody has named it before, and perhaps did not live to see it on the disk.
    There(Landed),
    Failed(Fault),
}

/// Makes files durable and gives them their names. With many, the disk is asked once and not once for each.
pub fn commit(root: &Root, settled: Vec<Settled>) -> Vec<Result<Landed, Fault>> {
    commit_within(root.top(), settled.into_iter().map(Stage::Waits).collect())
}

pub(super) fn commit_within(within: &Folder, stages: Vec<Stage>) -> Vec<Result<Landed, Fault>> {
    let dressed: Vec<_> = stages.iter().map(Stage::dress).collect();
    let waiting = stages
        .iter()
        .filter(|stage| matches!(stage, Stage::Waits(_)));
    let is_many = waiting.count() >= MANY;
    let together = match is_many {
        true => syncfs(within),
        false => Ok(()),
    };
    let has_others = stages.iter().any(|stage| matches!(stage, Stage::There(_)));
    let mut touched: Vec<Folder> = Vec::new();
    let mut all = Vec::with_capacity(stages.len());
    for (stage, dressed) in stages.into_iter().zip(dressed) {
        let one = match stage {
            Stage::Waits(one) => one,
            Stage::There(landed) => {
                all.push(Ok(landed));
                continue;
            }
            Stage::Failed(fault) => {
                all.push(Err(fault));
                continue;
            }
        };
        let synced = dressed.and(together).and_then(|()| match is_many {
            true => Ok(()),
            false => fdatasync(&one.part.file),
        });
        let folder = one.part.folder.clone();
        let named = match synced {
            Ok(()) => one.name(),
            Err(errno) => Err(failed("write", &one.shown, errno.into())),
        };
        if named.is_ok() && !touched.last().is_some_and(|last| last.is(&folder)) {
            touched.push(folder);
        }
        all.push(named);
    }
    let names = match has_others || touched.len() >= MANY {
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

impl Stage {
    fn dress(&self) -> rustix::io::Result<()> {
        match self {
            Self::Waits(settled) => settled.dress(),
            Self::There(_) | Self::Failed(_) => Ok(()),
        }
    }
}

impl Settled {
    /// Makes it durable and gives it its name.
    pub(super) fn commit_alone(self, within: &Folder) -> Result<Landed, Fault> {
        commit_within(within, vec![Stage::Waits(self)]).remove(0)
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives it the time of its source, and takes away what its mode does not say.
    fn dress(&self) -> rustix::io::Result<()> {
        let (file, declared) = (&self.part.file, &self.declared);
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

    fn name(mut self) -> Result<Landed, Fault> {
        let path = self.place_somewhere().map_err(|errno| match errno {
            Errno::EXIST => {
                // Nobody goes on with what may not be there; whatever is left of it is in nobody's way.
                let _ = self.part.remove();
                Fault::Exists {
                    name: self.shown.clone(),
                }
            }
            errno => failed("name", &self.shown, errno.into()),
        })?;
        self.part.stays = true;
        let forgotten = self.part.forget();
        forgotten.map_err(|errno| failed("remove the state of", &self.shown, errno.into()))?;
        Ok(Landed {
            path,
            size: self.size,
            hash: self.hash,
        })
    }

    fn own_hash(&self) -> Option<Hash> {
        self.hash.or_else(|| {
            let digest = read(&self.part.file, self.size).ok().flatten()?;
            Some(digest.hash())
        })
    }

    /// Under its name, or what becomes of it if that is taken by another file.
    fn place_somewhere(&self) -> rustix::io::Result<RelativePath> {
        let Part { folder, path, .. } = &self.part;
        if self.part.clash == Clash::Overwrite {
            return overwrite(&self.part);
        }
        match place(&self.part, path) {
            Err(Errno::EXIST) => {}
            done => return done.map(|()| path.clone()),
        }
        if is_there(folder, path.name(), &self.declared, || self.own_hash()) {
            self.part.remove()?;
            return Ok(path.clone());
        }
        match self.part.clash {
            Clash::Rename => place_numbered(&self.part),
            Clash::Refuse | Clash::Overwrite => Err(Errno::EXIST),
        }
    }
}

fn overwrite(part: &Part) -> rustix::io::Result<RelativePath> {
    let Part { folder, path, .. } = part;
    match &part.name {
        Some(name) => renameat(folder, &name[..], folder, path.name())?,
        None => match link(&part.file, folder, path.name()) {
            Err(Errno::EXIST) => {
                let between = spare(path.name());
                link(&part.file, folder, &between)?;
                let renamed = renameat(folder, &between[..], folder, path.name());
                renamed.or_else(|errno| remove(folder, &between).and(Err(errno)))?;
            }
            done => done?,
        },
    }
    Ok(path.clone())
}

fn place(part: &Part, path: &RelativePath) -> rustix::io::Result<()> {
    match &part.name {
        Some(name) => rename(&part.folder, name, &part.folder, path.name()),
        None => link(&part.file, &part.folder, path.name()),
    }
}

/// Gives a file that has no name one, unless that is taken.
fn link(file: &File, folder: &Folder, name: &[u8]) -> rustix::io::Result<()> {
    match linkat(file, "", folder, name, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 only who may read everything may do it like this (open(2), O_TMPFILE).
        Err(Errno::NOENT) => link_as_opened(file, folder, name),
        done => done,
    }
}

fn link_as_opened(file: &File, folder: &Folder, name: &[u8]) -> rustix::io::Result<()> {
    let opened = format!("{OPEN_FILES}/{}", file.as_raw_fd());
    linkat(CWD, opened, folder, name, AtFlags::SYMLINK_FOLLOW)
}

fn place_numbered(part: &Part) -> rustix::io::Result<RelativePath> {
    for number in 1..=NUMBERS {
        let name = numbered(part.path.name(), number);
        let path = part.path.with_name(&name).map_err(|_| Errno::NAMETOOLONG)?;
        match place(part, &path) {
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

pub(super) fn is_taken(folder: &Folder, name: &[u8]) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
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
    use super::super::part::nameless;
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
    fn a_file_without_a_name_leaves_nothing_and_gets_one_that_is_free() {
        // What is in memory has such files everywhere.
        let folder = tempfile::TempDir::new_in("/dev/shm").unwrap();
        let root = Root::open(folder.path()).unwrap();
        let made = || nameless(root.top(), None).unwrap().expect("tmpfile");
        let there = || std::fs::read_dir(folder.path()).unwrap().count();
        for link in [link, link_as_opened] {
            drop(made());
            let (one, other) = (made(), made());
            assert_eq!(there(), 0);
            link(&one, root.top(), b"x").unwrap();
            assert_eq!(link(&other, root.top(), b"x"), Err(Errno::EXIST));
            drop((one, other));
            assert_eq!(there(), 1);
            std::fs::remove_file(folder.path().join("x")).unwrap();
        }
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
