//! What is there already under the name of a file that is announced.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{Mode, OFlags, openat};
use wire::transfer::RelativePath;

use super::Declared;
use crate::transfer::root::Folder;
use crate::transfer::{Digest, Hash, Root};

/// What is proved of a file that is there already: a sender that has not heard of its landing asks for it again.
///
/// `None` when there is none of this size and time.
///
/// # Errors
/// When it cannot be read.
pub fn kept(root: &Root, path: &RelativePath, declared: &Declared) -> io::Result<Option<Digest>> {
    let (Some(size), Some(modified)) = (declared.size, declared.modified) else {
        return Ok(None);
    };
    let facts = match root.facts(path) {
        Ok(facts) if facts.is_file() && facts.size() == size => facts,
        _ => return Ok(None),
    };
    if facts.modified()? != modified {
        return Ok(None);
    }
    read(&root.read(path)?, size)
}

/// Whether a file of this name is this one: somebody else may have landed it a moment ago.
pub(super) fn is_there(
    folder: &Folder,
    name: &[u8],
    declared: &Declared,
    hash: impl FnOnce() -> Option<Hash>,
) -> bool {
    let (Some(size), Some(modified)) = (declared.size, declared.modified) else {
        return false;
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(folder, name, flags, Mode::empty()).map(File::from) else {
        return false;
    };
    let is_alike = file.metadata().is_ok_and(|facts| {
        facts.is_file() && facts.size() == size && facts.modified().is_ok_and(|at| at == modified)
    });
    let digest = is_alike.then(|| read(&file, size).ok().flatten()).flatten();
    digest.is_some_and(|digest| Some(digest.hash()) == hash())
}

pub(super) fn read(file: &File, size: u64) -> io::Result<Option<Digest>> {
    let mut digest = Digest::default();
    let mut buffer = vec![0; (128 * 1024).min(size as usize + 1)];
    loop {
        match file.read_at(&mut buffer, digest.len())? {
            0 => return Ok((digest.len() == size).then_some(digest)),
            n => digest.update_all(&buffer[..n]),
        }
    }
}
