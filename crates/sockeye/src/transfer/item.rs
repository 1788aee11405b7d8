//! What a source has to send.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use wire::transfer::{Entry, Outcome, RelativePath};

use super::{Root, Sort};

/// As much as is read, hashed and sent at once: it stays in the caches meanwhile.
pub(super) const PIECE: usize = 64 * 1024;

/// Folders that lie deeper in each other than this are a loop of mounts.
const DEEPEST: usize = 256;

/// One thing that a source has, and what has become of it.
#[derive(Debug)]
pub struct Item {
    /// Where it is.
    pub origin: Origin,
    /// Where it belongs at the target.
    pub path: RelativePath,
    /// What it was like when it was looked at.
    pub facts: Facts,
    /// What the target says that became of it; empty as long as it says nothing.
    pub outcome: OnceLock<Outcome>,
}

/// Where the content of an item is.
#[derive(Debug)]
pub enum Origin {
    /// A folder, which has none.
    Folder,
    /// A file that somebody here has named.
    File(PathBuf),
    /// A file beneath a folder that strangers may read.
    Beneath(Root, RelativePath),
    /// What comes from here once, and cannot be sent again.
    Stream(Mutex<Option<File>>),
}

/// What is known of an item beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Bytes; `None` where it ends when it ends.
    pub size: Option<u64>,
    /// Whether it has holes.
    pub is_sparse: bool,
    modified: Option<(i64, u32)>,
    mode: Option<u32>,
}

impl From<&Metadata> for Facts {
    fn from(facts: &Metadata) -> Self {
        let nanos = u32::try_from(facts.mtime_nsec()).unwrap_or_default();
        Self {
            size: Some(facts.size()),
            // Less than a piece is not worth the ways around its holes.
            is_sparse: facts.size() > PIECE as u64 && facts.blocks() * 512 < facts.size(),
            modified: Some((facts.mtime(), nanos)),
            mode: Some(facts.mode() & 0o777),
        }
    }
}

impl Facts {
    /// Whether a file that is like this now can be sent on as what it was: it may have grown, as logs do, but what was
    /// announced is there and has not been written to.
    pub(super) fn still_holds(&self, now: &Self) -> bool {
        now.size > self.size || (now.size == self.size && now.modified == self.modified)
    }
}

impl Item {
    /// A file or folder that somebody here has named; links are followed.
    ///
    /// # Errors
    /// When it cannot be looked at, or has no content to send.
    pub fn new(from: PathBuf, path: RelativePath) -> io::Result<Self> {
        let facts = std::fs::metadata(&from)?;
        match facts.is_dir() || facts.is_file() {
            true => Ok(Self::found(from, path, &facts)),
            false => Err(io::Error::other("it is no file and no folder")),
        }
    }

    /// A file or folder that somebody has looked at: these are its `facts`.
    pub fn found(from: PathBuf, path: RelativePath, facts: &Metadata) -> Self {
        Self {
            origin: match facts.is_dir() {
                true => Origin::Folder,
                false => Origin::File(from),
            },
            path,
            facts: Facts::from(facts),
            outcome: OnceLock::new(),
        }
    }

    /// What comes from `file` until it ends.
    pub fn stream(file: File, path: RelativePath) -> Self {
        Self {
            origin: Origin::Stream(Mutex::new(Some(file))),
            path,
            facts: Facts::default(),
            outcome: OnceLock::new(),
        }
    }

    /// Bytes that it has, as far as that is known.
    pub fn size(&self) -> u64 {
        match self.origin {
            Origin::Folder => 0,
            _ => self.facts.size.unwrap_or_default(),
        }
    }

    /// The same as it is now, with what became of it.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn look_again(&self) -> io::Result<Self> {
        let mut again = self.again();
        if let Some(outcome) = self.outcome.get() {
            again.outcome = OnceLock::from(outcome.clone());
        } else if let Origin::File(path) = &self.origin {
            again.facts = Facts::from(&std::fs::metadata(path)?);
        }
        Ok(again)
    }

    /// The same for another target. What comes only once comes to whoever opens it first.
    pub(super) fn again(&self) -> Self {
        let origin = match &self.origin {
            Origin::Folder => Origin::Folder,
            Origin::File(path) => Origin::File(path.clone()),
            Origin::Beneath(root, path) => Origin::Beneath(root.clone(), path.clone()),
            Origin::Stream(file) => {
                let taken = file.lock().ok().and_then(|mut file| file.take());
                Origin::Stream(Mutex::new(taken))
            }
        };
        Self {
            origin,
            path: self.path.clone(),
            facts: self.facts,
            outcome: OnceLock::new(),
        }
    }

    pub(super) fn open(&self) -> io::Result<File> {
        match &self.origin {
            Origin::File(path) => File::open(path),
            Origin::Beneath(root, path) => root.read(path),
            Origin::Folder => Err(io::ErrorKind::IsADirectory.into()),
            Origin::Stream(file) => {
                let taken = file.lock().ok().and_then(|mut file| file.take());
                taken.ok_or_else(|| io::Error::other("it came once, and cannot be sent again"))
            }
        }
    }

    pub(super) fn entry(&self, index: u32) -> Entry {
        let is_folder = matches!(self.origin, Origin::Folder);
        Entry {
            index,
            path: self.path.clone(),
            is_folder,
            is_sparse: self.facts.is_sparse && !is_folder,
            size: self.facts.size.filter(|_| !is_folder),
            modified: self.facts.modified,
            mode: self.facts.mode,
            hash: None,
        }
    }

    /// Reads all of it into `content`: one look afterwards tells whether it is what was announced.
    pub(super) fn read(&self, content: &mut [u8]) -> io::Result<bool> {
        let file = self.open()?;
        match file.read_exact_at(content, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        Ok(self.facts.still_holds(&Facts::from(&file.metadata()?)))
    }
}

/// Everything beneath a path of a root, for a peer that asks for it: a file alone, or a folder with all that is in it.
/// Links lead to nothing, and names that begin with a dot are left out unless `hidden`.
///
/// # Errors
/// When there is nothing, or it cannot be read.
pub fn beneath(root: &Root, path: Option<&RelativePath>, hidden: bool) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    match path {
        Some(path) if root.facts(path)?.is_file() => {
            let alone = RelativePath::new(path.name()).map_err(io::Error::other)?;
            items.push(item(root, path, alone)?);
        }
        _ => walk(
            root,
            path,
            path.and_then(RelativePath::folder).as_ref(),
            hidden,
            DEEPEST,
            &mut items,
        )?,
    }
    Ok(items)
}

/// `above` is what the target is not told of.
fn walk(
    root: &Root,
    folder: Option<&RelativePath>,
    above: Option<&RelativePath>,
    hidden: bool,
    deepest: usize,
    items: &mut Vec<Item>,
) -> io::Result<()> {
    let skipped = above.map_or(0, |above| above.as_bytes().len() + 1);
    let mut entries = root.list(folder)?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    for entry in entries {
        if entry.name.starts_with(b".") && !hidden {
            continue;
        }
        let whole = match folder {
            Some(folder) => [folder.as_bytes(), b"/", &entry.name].concat(),
            None => entry.name,
        };
        // What a peer would refuse is not offered to it.
        let (Ok(path), true) = (RelativePath::new(whole), deepest > 0) else {
            continue;
        };
        let Ok(told) = RelativePath::new(&path.as_bytes()[skipped..]) else {
            continue;
        };
        match entry.sort {
            Sort::File => items.push(item(root, &path, told)?),
            Sort::Folder => {
                items.push(item(root, &path, told)?);
                walk(root, Some(&path), above, hidden, deepest - 1, items)?;
            }
            Sort::Link | Sort::Other => {}
        }
    }
    Ok(())
}

fn item(root: &Root, path: &RelativePath, told: RelativePath) -> io::Result<Item> {
    let facts = root.facts(path)?;
    Ok(Item {
        origin: match facts.is_dir() {
            true => Origin::Folder,
            false => Origin::Beneath(root.clone(), path.clone()),
        },
        path: told,
        facts: Facts::from(&facts),
        outcome: OnceLock::new(),
    })
}
