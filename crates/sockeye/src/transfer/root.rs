//! A folder that nothing leaves: everything is looked up beneath it by the kernel, so that no name and no link, however
//! they change meanwhile, leads out of it.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, unlinkat};
use rustix::io::Errno;
use wire::transfer::RelativePath;

use super::Fault;

/// `..` and links are resolved as long as they stay beneath; links of /proc that the kernel makes are not.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Without waiting: nobody may be at the other end of a FIFO.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// How often a name is looked up again while folders on its way are being moved.
const ATTEMPTS: usize = 32;

/// A folder that nothing leaves. Its calls may wait for a disk.
#[derive(Clone, Debug)]
pub struct Root {
    folder: Folder,
    shown: PathBuf,
}

/// An open folder beneath a root.
#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<OwnedFd>);

/// What stands in a folder under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, as the file system has it.
    pub name: Vec<u8>,
    /// What it is; links are not followed.
    pub sort: Sort,
}

/// What can stand under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// A file with a content.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A FIFO, a device, a socket.
    Other,
}

impl Root {
    /// # Errors
    /// When there is no such folder, or the kernel cannot open beneath it (Linux 5.6 can).
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let failed = |source: io::Error| Fault::File {
            action: "open the folder",
            name: path.display().to_string(),
            source,
        };
        let opened = rustix::fs::open(path, FOLDER, Mode::empty());
        let folder = opened.map_err(|errno| failed(errno.into()))?;
        match openat2(&folder, ".", FOLDER, Mode::empty(), BENEATH) {
            Ok(_) => Ok(Self {
                folder: Folder(Arc::new(folder)),
                shown: path.to_owned(),
            }),
            // What filters system calls answers EPERM for those it does not know.
            Err(Errno::NOSYS | Errno::PERM) => Err(failed(io::Error::new(
                io::ErrorKind::Unsupported,
                "opening beneath it needs openat2(2): Linux 5.6, and a sandbox that allows it",
            ))),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// The folder as it was named.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// A path beneath it, as a person reads it.
    pub fn shown(&self, path: &RelativePath) -> String {
        match self.shown == Path::new(".") {
            true => path.to_string(),
            false => format!("{}/{path}", self.shown.display()),
        }
    }

    /// Opens a file or a folder for reading.
    ///
    /// # Errors
    /// When there is none, it may not be read, or it lies elsewhere.
    pub fn read(&self, path: &RelativePath) -> io::Result<File> {
        Ok(File::from(self.look(path.as_bytes(), READ)?))
    }

    /// What is behind a path, links followed.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn facts(&self, path: &RelativePath) -> io::Result<Metadata> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        File::from(self.look(path.as_bytes(), flags)?).metadata()
    }

    /// What is in a folder, in no order; `None` is the root itself.
    ///
    /// # Errors
    /// When it is no folder or cannot be read.
    pub fn list(&self, folder: Option<&RelativePath>) -> io::Result<Vec<Entry>> {
        let folder = self.folder(folder)?;
        // A descriptor of its own: reading moves the place in the folder.
        let own = openat2(&folder, ".", FOLDER, Mode::empty(), BENEATH)?;
        let mut entries = Vec::new();
        for entry in Dir::new(own)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let sort = match entry.file_type() {
                    FileType::Unknown => sort_of(&folder, name)?,
                    known => known.into(),
                };
                entries.push(Entry {
                    name: name.to_vec(),
                    sort,
                });
            }
        }
        Ok(entries)
    }

    /// Makes a folder, and those that it lies in; one that exists is fine.
    ///
    /// # Errors
    /// When there is something else of this name, or it may not be made.
    pub fn make_folder(&self, path: &RelativePath) -> io::Result<()> {
        self.made_folder(Some(path)).map(drop)
    }

    /// Removes a file, a link or an empty folder.
    ///
    /// # Errors
    /// When it is not there, has something in it, or may not be removed.
    pub fn remove(&self, path: &RelativePath) -> io::Result<()> {
        let folder = self.folder(path.folder().as_ref())?;
        match unlinkat(&folder, path.name(), AtFlags::empty()) {
            Err(Errno::ISDIR) => Ok(unlinkat(&folder, path.name(), AtFlags::REMOVEDIR)?),
            done => Ok(done?),
        }
    }

    /// Gives a file or folder another name, unless that is taken.
    ///
    /// # Errors
    /// When it is not there, the name is taken, or it may not be renamed.
    pub fn rename(&self, from: &RelativePath, to: &RelativePath) -> io::Result<()> {
        let source = self.folder(from.folder().as_ref())?;
        let target = self.made_folder(to.folder().as_ref())?;
        Ok(super::landing::rename(
            &source,
            from.name(),
            &target,
            to.name(),
        )?)
    }

    /// Bytes that are free for us.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free(&self) -> io::Result<u64> {
        let facts = rustix::fs::fstatvfs(&self.folder)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    /// The folder itself.
    pub(super) fn top(&self) -> &Folder {
        &self.folder
    }

    /// An open folder; `None` is the root itself.
    pub(super) fn folder(&self, path: Option<&RelativePath>) -> Result<Folder, Errno> {
        match path {
            None => Ok(self.folder.clone()),
            Some(path) => Ok(Folder(Arc::new(self.look(path.as_bytes(), FOLDER)?))),
        }
    }

    /// The same, made where it is missing.
    pub(super) fn made_folder(&self, path: Option<&RelativePath>) -> io::Result<Folder> {
        let Some(path) = path else {
            return Ok(self.folder.clone());
        };
        match self.folder(Some(path)) {
            Err(Errno::NOENT) => {}
            found => return Ok(found?),
        }
        let above = self.made_folder(path.folder().as_ref())?;
        // It is made for us and those whom the umask allows.
        match mkdirat(&above, path.name(), Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(self.folder(Some(path))?),
            Err(errno) => Err(errno.into()),
        }
    }

    fn look(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut last = Errno::AGAIN;
        for _ in 0..ATTEMPTS {
            match openat2(&self.folder, path, flags, Mode::empty(), BENEATH) {
                Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
                opened => return opened,
            }
        }
        Err(last)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Folder {
    /// Whether both are the same open folder.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<FileType> for Sort {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

fn sort_of(folder: &Folder, name: &[u8]) -> io::Result<Sort> {
    let facts = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(facts.st_mode).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn path(text: &str) -> RelativePath {
        RelativePath::new(text).unwrap()
    }

    fn tree() -> (TempDir, Root) {
        let outside = TempDir::new().unwrap();
        std::fs::create_dir_all(outside.path().join("root/a/b")).unwrap();
        std::fs::write(outside.path().join("root/a/file"), "inside").unwrap();
        std::fs::write(outside.path().join("secret"), "outside").unwrap();
        let root = Root::open(&outside.path().join("root")).unwrap();
        (outside, root)
    }

    #[test]
    fn links_do_not_lead_out() {
        let (outside, root) = tree();
        let folder = outside.path().join("root");
        symlink("..", folder.join("up")).unwrap();
        symlink("/", folder.join("slash")).unwrap();
        symlink("a", folder.join("near")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        assert!(root.read(&path("near/file")).is_ok());
        for out in ["up/secret", "slash/etc/passwd", "loop/x", "up/root/a/file"] {
            assert!(root.read(&path(out)).is_err(), "{out}");
            assert!(root.facts(&path(out)).is_err(), "{out}");
            assert!(root.remove(&path(out)).is_err(), "{out}");
            assert!(root.rename(&path("a/file"), &path(out)).is_err(), "{out}");
            assert!(
                root.make_folder(&path(&format!("{out}/new"))).is_err(),
                "{out}"
            );
        }
        assert!(outside.path().join("secret").exists());
        root.remove(&path("up")).unwrap();
        assert!(
            outside.path().join("secret").exists(),
            "the link goes, and not what it leads to"
        );
    }

    #[test]
    fn what_is_in_a_folder_is_told_and_changed() {
        let (outside, root) = tree();
        symlink("/", outside.path().join("root/a/link")).unwrap();
        let mut listed = root.list(Some(&path("a"))).unwrap();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let listed: Vec<_> = listed
            .iter()
            .map(|entry| (&entry.name[..], entry.sort))
            .collect();
        assert_eq!(
            listed,
            [
                (&b"b"[..], Sort::Folder),
                (b"file", Sort::File),
                (b"link", Sort::Link)
            ]
        );
        assert_eq!(root.list(None).unwrap().len(), 1);
        assert_eq!(root.list(None).unwrap().len(), 1, "it can be read twice");
        root.make_folder(&path("x/y/z")).unwrap();
        root.make_folder(&path("x/y/z")).unwrap();
        root.rename(&path("a/file"), &path("x/file")).unwrap();
        assert_eq!(root.facts(&path("x/file")).unwrap().len(), 6);
        std::fs::write(outside.path().join("root/a/file"), "new").unwrap();
        let taken = root.rename(&path("a/file"), &path("x/file")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert!(root.remove(&path("x")).is_err(), "it has something in it");
        root.remove(&path("x/y/z")).unwrap();
        assert!(root.free().unwrap() > 0);
    }

    #[test]
    fn swapping_a_folder_for_a_link_opens_no_way_out() {
        let (outside, root) = tree();
        let folder = outside.path().join("root");
        std::fs::create_dir(outside.path().join("elsewhere")).unwrap();
        std::fs::write(outside.path().join("elsewhere/file"), "outside").unwrap();
        symlink("../elsewhere", folder.join("link")).unwrap();
        let running = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while running.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = rustix::fs::renameat_with(
                        rustix::fs::CWD,
                        folder.join("a"),
                        rustix::fs::CWD,
                        folder.join("link"),
                        rustix::fs::RenameFlags::EXCHANGE,
                    );
                }
            });
            for _ in 0..10_000 {
                if let Ok(mut file) = root.read(&path("a/file")) {
                    let text = io::read_to_string(&mut file).unwrap();
                    assert_eq!(text, "inside");
                }
            }
            running.store(false, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
