//! Small files that came whole: many at once are written, made durable and named.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use wire::transfer::RelativePath;

use super::naming::{Stage, commit_within, is_taken};
use super::part::{Part, can_be_named, create, nameless, remove, spare, with_word};
use super::{Clash, Declared, Fault, Landed, Landing, Settled, failed, kept};
use crate::transfer::Root;
use crate::transfer::root::Folder;

/// An empty part may be that of somebody who has just made it, for so long.
const NEW: Duration = Duration::from_secs(10);

/// A file that came whole, and is what was sent.
#[derive(Debug)]
pub(in crate::transfer) struct Small {
    pub(in crate::transfer) path: RelativePath,
    pub(in crate::transfer) declared: Declared,
    pub(in crate::transfer) clash: Clash,
    /// Where it stands in what came.
    pub(in crate::transfer) at: Range<usize>,
}

/// A file that is whole and proved.
#[derive(Debug)]
pub(in crate::transfer) enum Arrived {
    /// It waits in its part.
    Settled(Settled),
    /// It waits in memory.
    Small(Small),
    /// It has its name already, and perhaps is on no disk.
    There(Landed),
}

/// Makes files durable and gives them their names; `content` is what the small ones are of.
pub(in crate::transfer) fn land(
    root: &Root,
    content: &[u8],
    arrived: Vec<Arrived>,
) -> Vec<Result<Landed, Fault>> {
    land_with(root, content, arrived, can_be_named())
}

fn land_with(
    root: &Root,
    content: &[u8],
    arrived: Vec<Arrived>,
    nameless: bool,
) -> Vec<Result<Landed, Fault>> {
    let within = root.top();
    let mut writing = Writing {
        root,
        content,
        near: None,
        nameless,
        meets_others: true,
    };
    let (mut all, mut stages) = (Vec::with_capacity(arrived.len()), Vec::new());
    let (mut beside, mut alone) = (Some(beside_others()), None);
    for one in arrived {
        let stage = match one {
            Arrived::Settled(settled) => Ok(Stage::Waits(settled)),
            Arrived::There(landed) => Ok(Stage::There(landed)),
            Arrived::Small(small) => loop {
                match writing.write(&small) {
                    // Those that wait to be made durable are open, too.
                    Err(fault) if is_out_of_files(&fault) && !stages.is_empty() => {
                        all.extend(commit_within(within, std::mem::take(&mut stages)));
                    }
                    Err(fault) if is_out_of_files(&fault) && alone.is_none() => {
                        beside = None;
                        alone = Some(after_others());
                    }
                    written => break written,
                }
            },
        };
        stages.push(stage.unwrap_or_else(Stage::Failed));
    }
    all.extend(commit_within(within, stages));
    drop((beside, alone));
    all
}

/// Those who land files have them open until they have their names.
static LANDING: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    LANDING.read().unwrap_or_else(PoisonError::into_inner)
}

fn after_others() -> RwLockWriteGuard<'static, ()> {
    LANDING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a process has as many files open as it may.
pub(in crate::transfer) fn is_out_of_files(fault: &Fault) -> bool {
    let errno = Errno::MFILE.raw_os_error();
    matches!(fault, Fault::File { source, .. } if source.raw_os_error() == Some(errno))
}

struct Writing<'a> {
    root: &'a Root,
    content: &'a [u8],
    /// The folder of the last file: they come folder by folder.
    near: Option<(Option<RelativePath>, Folder)>,
    /// A file can be without a name until it is durable.
    nameless: bool,
    /// All files so far were here already, or others of their names: the next one is looked for before it is written,
    /// and not only when it gets its name.
    meets_others: bool,
}

impl Writing<'_> {
    /// Writes it beside its name. What is here already stays as it is.
    fn write(&mut self, small: &Small) -> Result<Stage, Fault> {
        let Small {
            path,
            declared,
            clash,
            at,
        } = small;
        let bytes = &self.content[at.clone()];
        let folder = self.folder(path)?;
        let shown = self.root.shown(path);
        if self.meets_others && is_taken(&folder, path.name()) {
            let there = kept(self.root, path, declared).ok().flatten();
            let hash = blake3::hash(bytes);
            if there.is_some_and(|there| there.hash() == hash) {
                return Ok(Stage::There(Landed {
                    path: path.clone(),
                    size: bytes.len() as u64,
                    hash: Some(hash),
                }));
            }
            if *clash == Clash::Refuse {
                return Err(Fault::Exists { name: shown });
            }
        } else {
            self.meets_others = false;
        }
        let failed = |source| failed("write", &shown, source);
        let part = self.part(folder, small, bytes);
        let part = part.map_err(|errno| failed(errno.into()))?;
        part.file.write_all_at(bytes, 0).map_err(failed)?;
        Ok(Stage::Waits(Settled {
            part,
            shown,
            declared: declared.clone(),
            size: bytes.len() as u64,
            hash: None,
        }))
    }

    /// Where it is until it is durable: nowhere to be found, if the file system has that.
    fn part(&mut self, folder: Folder, small: &Small, bytes: &[u8]) -> Result<Part, Errno> {
        let file = match self.nameless {
            true => nameless(&folder, small.declared.mode)?,
            false => None,
        };
        self.nameless = file.is_some();
        let (name, file) = match file {
            Some(file) => (None, file),
            None => named(&folder, small, bytes).map(|(name, file)| (Some(name), file))?,
        };
        Ok(Part {
            folder,
            path: small.path.clone(),
            name,
            file,
            clash: small.clash,
            has_state: false,
            stays: false,
        })
    }

    fn folder(&mut self, path: &RelativePath) -> Result<Folder, Fault> {
        let above = path.folder();
        if let Some((near, folder)) = &self.near
            && *near == above
        {
            return Ok(folder.clone());
        }
        let folder = Landing::folder_of(self.root, path)?;
        self.near = Some((above, folder.clone()));
        Ok(folder)
    }
}

/// A new part with a word that the content gives, so that what is left of it after `kill -9` is found when it comes
/// again. It is never gone on with, and so nobody writes to it but the one who has made it.
fn named(folder: &Folder, small: &Small, bytes: &[u8]) -> Result<(Vec<u8>, File), Errno> {
    let wanted = small.path.name();
    let new = |name: &[u8]| create(folder, name, small.declared.mode, OFlags::EXCL);
    let mut name = with_word(wanted, blake3::hash(bytes).as_bytes());
    let lock = FlockOperation::NonBlockingLockExclusive;
    let file = match new(&name) {
        // Where there are no locks it is written without.
        Ok(file) if flock(&file, lock) != Err(Errno::WOULDBLOCK) => file,
        taken => {
            match taken {
                // Somebody looks whether it can be cleared.
                Ok(_) => remove(folder, &name)?,
                Err(Errno::EXIST) => clear(folder, &name)?,
                Err(errno) => return Err(errno),
            }
            name = spare(wanted);
            new(&name)?
        }
    };
    Ok((name, file))
}

/// Removes a part that nobody holds any more.
fn clear(folder: &Folder, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(folder, name, flags, Mode::empty()) else {
        // It is gone, or it is not ours.
        return Ok(());
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let found = rustix::fs::fstat(&file)?;
    let named = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let still =
        named.is_ok_and(|named| (named.st_dev, named.st_ino) == (found.st_dev, found.st_ino));
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    let age = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() as i64 - found.st_mtime;
    // Whoever has just made it is about to lock it.
    let is_left = found.st_size > 0 || age > NEW.as_secs() as i64;
    match still && is_file && found.st_nlink == 1 && is_left {
        true => remove(folder, name),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, Root) {
        let folder = TempDir::new().unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    fn modified() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(77)
    }

    /// `contents` under their names, one after the other in what came.
    fn arrived(contents: &[(&str, &str)], clash: Clash) -> (Vec<u8>, Vec<Arrived>) {
        let (mut all, mut files) = (Vec::new(), Vec::new());
        for (name, content) in contents {
            let start = all.len();
            all.extend_from_slice(content.as_bytes());
            files.push(Arrived::Small(Small {
                path: RelativePath::new(*name).unwrap(),
                declared: Declared {
                    size: Some(content.len() as u64),
                    modified: Some(modified()),
                    ..Declared::default()
                },
                clash,
                at: start..all.len(),
            }));
        }
        (all, files)
    }

    /// What becomes of them, `nameless` until they are durable or beside their names.
    fn landed(
        root: &Root,
        contents: &[(&str, &str)],
        clash: Clash,
        nameless: bool,
    ) -> Vec<Result<String, Fault>> {
        let (content, files) = arrived(contents, clash);
        let landed = land_with(root, &content, files, nameless).into_iter();
        landed
            .map(|one| one.map(|one| one.path.to_string()))
            .collect()
    }

    fn there(folder: &TempDir) -> Vec<(String, String)> {
        let mut there: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        there.sort();
        there
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn each_gets_its_own_piece_of_what_came() {
        for nameless in [true, false] {
            let (folder, root) = folder();
            let files = [("a", "one"), ("b", ""), ("c", "three")];
            for result in landed(&root, &files, Clash::Rename, nameless) {
                result.unwrap();
            }
            assert_eq!(there(&folder), pairs(&files));
            let facts = folder.path().join("b").metadata().unwrap();
            assert_eq!(facts.modified().unwrap(), modified());
        }
    }

    #[test]
    fn what_is_here_already_stays_alone() {
        for nameless in [true, false] {
            stays_alone(nameless);
        }
    }

    fn stays_alone(nameless: bool) {
        let (folder, root) = folder();
        landed(&root, &[("x", "old")], Clash::Rename, nameless);
        for (clash, content, expected) in [
            (Clash::Rename, "old", Some("x")),
            (Clash::Refuse, "old", Some("x")),
            (Clash::Refuse, "new", None),
            (Clash::Rename, "new", Some("x (1)")),
            (Clash::Overwrite, "old", Some("x")),
            (Clash::Overwrite, "now", Some("x")),
        ] {
            let mut results = landed(&root, &[("x", content)], clash, nameless);
            match (results.remove(0), expected) {
                (Ok(name), Some(expected)) => assert_eq!(name, expected, "{clash:?} {content}"),
                (Err(Fault::Exists { .. }), None) => {}
                (other, _) => panic!("{clash:?} {content}: {other:?}"),
            }
        }
        assert_eq!(there(&folder), pairs(&[("x", "now"), ("x (1)", "new")]));
    }

    #[test]
    fn what_somebody_else_lands_meanwhile_is_not_landed_twice() {
        let files = [("x", "same"), ("x", "same"), ("x", "else")];
        for nameless in [true, false] {
            let (folder, root) = folder();
            let names: Vec<_> = landed(&root, &files, Clash::Rename, nameless)
                .into_iter()
                .map(Result::unwrap)
                .collect();
            assert_eq!(names, ["x", "x", "x (1)"]);
            assert_eq!(there(&folder), pairs(&[("x", "same"), ("x (1)", "else")]));
        }
    }

    #[test]
    fn a_part_that_nobody_holds_is_cleared_and_one_that_is_held_is_not() {
        let (folder, root) = folder();
        let own = |content: &str| {
            let word = blake3::hash(content.as_bytes());
            String::from_utf8(with_word(b"x", word.as_bytes())).unwrap()
        };
        let part = |content: &str| folder.path().join(own(content));
        let land = |content: &str| landed(&root, &[("x", content)], Clash::Rename, false);
        std::fs::write(part("new"), "half").unwrap();
        land("new");
        assert_eq!(there(&folder), pairs(&[("x", "new")]));
        // It has just been made, and is about to be locked.
        File::create(part("more")).unwrap();
        land("more");
        std::fs::write(part("most"), "held").unwrap();
        let held = File::open(part("most")).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        land("most");
        let all = [
            (&own("more")[..], ""),
            (&own("most")[..], "held"),
            ("x", "new"),
            ("x (1)", "more"),
            ("x (2)", "most"),
        ];
        let mut all = pairs(&all);
        all.sort();
        assert_eq!(there(&folder), all);
        let old = File::create(part("last")).unwrap();
        old.set_modified(modified()).unwrap();
        drop(old);
        land("last");
        assert!(
            !part("last").exists(),
            "an empty one that is old is cleared as well"
        );
    }

    #[test]
    fn what_cannot_land_is_told_and_the_others_do() {
        let (folder, root) = folder();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let results = landed(
            &root,
            &[("a", "1"), ("file/x", "2"), ("b", "3")],
            Clash::Rename,
            true,
        );
        let told: Vec<_> = results.iter().map(Result::is_ok).collect();
        assert_eq!(told, [true, false, true]);
        assert_eq!(
            there(&folder),
            pairs(&[("a", "1"), ("b", "3"), ("file", "")])
        );
    }
}
