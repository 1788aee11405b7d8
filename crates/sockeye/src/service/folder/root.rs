//! The folder that is served: everything is opened beneath it by the kernel, so that no name and no link,
//! however they change meanwhile, leads out of it.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::condition::{Tag, Validators, in_seconds};
use crate::error::{Error, Result};

/// `..` and links are resolved as long as they stay beneath; links of /proc that the kernel makes are not.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Without waiting: nobody may be at the other end of a FIFO.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// How often a name is looked up again while folders on its way are being moved.
const ATTEMPTS: usize = 32;

/// What was modified a moment ago may be modified again within the same tick of the clock.
const SETTLED: Duration = Duration::from_secs(1);

/// The folder that is served.
#[derive(Debug)]
pub(in crate::service) struct Root {
    folder: OwnedFd,
}

/// A file or folder beneath the root, and what it was like when it was opened.
#[derive(Clone, Debug)]
pub(in crate::service) struct Opened {
    pub(in crate::service) file: Arc<File>,
    pub(in crate::service) facts: Facts,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::service) struct Facts {
    device: u64,
    inode: u64,
    pub(in crate::service) len: u64,
    /// Seconds and nanoseconds, as `stat` has them.
    pub(in crate::service) modified: (i64, i64),
    changed: (i64, i64),
    pub(in crate::service) kind: Sort,
}

/// What can stand behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::service) enum Sort {
    File,
    Folder,
    /// A FIFO, a device, a socket: nothing that has a content to serve.
    Other,
}

impl Root {
    /// # Errors
    /// When there is no such folder, or the kernel cannot open beneath it.
    pub(in crate::service) fn open(path: &Path) -> Result<Self> {
        let failed = |source: io::Error| Error::File {
            action: "serve the folder",
            path: path.display().to_string(),
            source,
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        match openat2(&folder, ".", flags, Mode::empty(), BENEATH) {
            Ok(_) => Ok(Self { folder }),
            // What filters system calls answers EPERM for those it does not know.
            Err(Errno::NOSYS | Errno::PERM) => Err(failed(io::Error::new(
                io::ErrorKind::Unsupported,
                "opening beneath it needs openat2(2): Linux 5.6, and a sandbox that allows it",
            ))),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Opens a file or a folder for reading.
    ///
    /// What the kernel knows by heart is opened at once; what it has to read from a disk, on a thread that
    /// may wait.
    pub(in crate::service) async fn find(self: &Arc<Self>, name: Vec<u8>) -> io::Result<Opened> {
        match self.look(&name, ResolveFlags::CACHED) {
            // EINVAL: kernels before 5.12 do not know this question.
            Err(Errno::AGAIN | Errno::INVAL) => {}
            found => return Ok(found?),
        }
        let root = self.clone();
        let looking = move || root.find_now(&name);
        tokio::task::spawn_blocking(looking).await?
    }

    /// The same on a thread that may wait.
    pub(in crate::service) fn find_now(&self, name: &[u8]) -> io::Result<Opened> {
        Ok(self.look(name, ResolveFlags::empty())?)
    }

    fn look(&self, name: &[u8], how: ResolveFlags) -> Result<Opened, Errno> {
        let fd = self.open_beneath(name, READ, how)?;
        let file = File::from(fd);
        let facts = match file.metadata() {
            Ok(metadata) => Facts::of(&metadata),
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        };
        let file = Arc::new(file);
        Ok(Opened { file, facts })
    }

    /// What a link in a listing leads to, without opening it.
    pub(in crate::service) fn behind(&self, name: &[u8]) -> io::Result<Facts> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = self.open_beneath(name, flags, ResolveFlags::empty())?;
        Ok(Facts::of(&File::from(fd).metadata()?))
    }

    fn open_beneath(
        &self,
        name: &[u8],
        flags: OFlags,
        how: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let name = if name.is_empty() { b"." } else { name };
        let how = how | BENEATH;
        let mut last = Errno::AGAIN;
        for _ in 0..ATTEMPTS {
            match openat2(&self.folder, name, flags, Mode::empty(), how) {
                Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
                opened => return opened,
            }
            // Asked again at once it would not know more.
            if how.contains(ResolveFlags::CACHED) {
                break;
            }
        }
        Err(last)
    }
}

impl Facts {
    pub(in crate::service) fn of(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            kind: match () {
                () if kind.is_file() => Sort::File,
                () if kind.is_dir() => Sort::Folder,
                () => Sort::Other,
            },
        }
    }

    /// The tag says nothing of where the file is kept: a hash hides the number of its inode.
    pub(in crate::service) fn validators(&self, now: SystemTime) -> Validators {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let (seconds, nanos) = self.modified;
        let modified = in_seconds(seconds);
        let exactly = modified.map(|time| time + Duration::from_nanos(nanos.unsigned_abs()));
        let age = exactly.and_then(|time| now.duration_since(time).ok());
        Validators {
            tag: Tag {
                opaque: format!("{:016x}", hasher.finish()),
                is_weak: age.is_none_or(|age| age < SETTLED),
            },
            modified,
        }
    }

    /// Whether its times can be relied on: whatever is written to it from now on changes them.
    pub(in crate::service) fn has_settled(&self) -> bool {
        let (seconds, _) = self.changed.max(self.modified);
        let written =
            u64::try_from(seconds).map(|it| SystemTime::UNIX_EPOCH + Duration::from_secs(it));
        let age = written
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        // Those are whole seconds.
        age.is_some_and(|age| age > 2 * SETTLED)
    }

    /// Whether a file that is like this now can be sent on as what it was: it may have grown, as logs do,
    /// but what was announced is there and has not been written to.
    pub(in crate::service) fn still_holds(&self, now: &Self) -> bool {
        now.len > self.len || (now.len == self.len && now.modified == self.modified)
    }

    /// Whether `self`, encoded beforehand, is of the present state of `original`.
    pub(in crate::service) fn is_not_older_than(&self, original: &Self) -> bool {
        self.modified >= original.modified
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn tree() -> (TempDir, Root) {
        let outside = TempDir::new().unwrap();
        let folder = outside.path().join("root");
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
        std::fs::write(folder.join("a/b/file"), "inside").unwrap();
        std::fs::write(outside.path().join("secret"), "outside").unwrap();
        let root = Root::open(&folder).unwrap();
        (outside, root)
    }

    #[test]
    fn links_lead_around_inside_and_never_out() {
        let (outside, root) = tree();
        let folder = outside.path().join("root");
        let absolute = outside.path().join("secret");
        for (link, to, found) in [
            ("near", "a/b/file", Ok(Sort::File)),
            ("a/b/up", "../../a/b/file", Ok(Sort::File)),
            ("folder", "a", Ok(Sort::Folder)),
            ("dot", ".", Ok(Sort::Folder)),
            ("parent", "..", Err(Errno::XDEV)),
            ("escape", "../secret", Err(Errno::XDEV)),
            ("a/escape", "../../secret", Err(Errno::XDEV)),
            ("slash", "/", Err(Errno::XDEV)),
            ("passwd", "/etc/passwd", Err(Errno::XDEV)),
            ("absolute", absolute.to_str().unwrap(), Err(Errno::XDEV)),
            ("itself", "itself", Err(Errno::LOOP)),
            ("dangling", "nowhere", Err(Errno::NOENT)),
            ("chain", "escape", Err(Errno::XDEV)),
        ] {
            symlink(to, folder.join(link)).unwrap();
            let looked = root.look(link.as_bytes(), ResolveFlags::empty());
            assert_eq!(looked.map(|opened| opened.facts.kind), found, "{link}");
        }
        for through in ["folder/b/file", "dot/a/b/file", "dot/dot/near"] {
            assert!(root.find_now(through.as_bytes()).is_ok(), "{through}");
        }
        for out in [
            "parent/secret",
            "slash/etc/passwd",
            "..",
            "../secret",
            "/etc/passwd",
        ] {
            assert!(root.find_now(out.as_bytes()).is_err(), "{out}");
        }
    }

    #[test]
    fn the_links_of_proc_are_not_followed() {
        let root = Root::open(Path::new("/proc/self")).unwrap();
        for link in ["root", "cwd", "exe", "fd/0"] {
            let looked = root.look(link.as_bytes(), ResolveFlags::empty());
            assert_eq!(looked.err(), Some(Errno::LOOP), "{link}");
        }
    }

    #[test]
    fn what_is_no_folder_cannot_be_served() {
        let (outside, _) = tree();
        for (name, cause) in [("nowhere", "no such file"), ("secret", "not a directory")] {
            let error = Root::open(&outside.path().join(name)).unwrap_err();
            let text = error.to_string();
            assert!(
                text.starts_with("cannot serve the folder ") && text.contains(cause),
                "{text}"
            );
        }
    }

    #[test]
    fn a_tag_changes_with_the_file_and_is_weak_while_it_may() {
        let (outside, root) = tree();
        let path = outside.path().join("root/a/b/file");
        let settle = |seconds| {
            let time = SystemTime::now() - Duration::from_secs(seconds);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        let look = || {
            let facts = root.find_now(b"a/b/file").unwrap().facts;
            facts.validators(SystemTime::now()).tag
        };
        assert!(look().is_weak, "written a moment ago");
        settle(10);
        let first = look();
        assert!(!first.is_weak);
        assert_eq!(look(), first, "nothing happened");
        std::fs::write(&path, "inSIDE").unwrap();
        settle(5);
        assert_ne!(look(), first, "same length");
        let second = look();
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        std::fs::write(&path, "inSIDE").unwrap();
        settle(5);
        assert_ne!(look(), second, "another file of the same name");
    }

    #[test]
    fn a_file_may_grow_while_it_is_sent() {
        let (_outside, root) = tree();
        let facts = root.find_now(b"a/b/file").unwrap().facts;
        let with = |len, modified| Facts {
            len,
            modified,
            ..facts
        };
        let later = (facts.modified.0 + 1, 0);
        assert!(facts.still_holds(&facts));
        assert!(facts.still_holds(&with(facts.len + 1, later)));
        assert!(!facts.still_holds(&with(facts.len, later)));
        assert!(!facts.still_holds(&with(facts.len - 1, later)));
    }
}
