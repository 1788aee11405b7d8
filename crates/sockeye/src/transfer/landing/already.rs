//! What is there already under the name of a file that is announced.

use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use wire::transfer::RelativePath;

use super::Declared;
use crate::transfer::{Digest, Root};

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
    let file = root.read(path)?;
    let mut digest = Digest::default();
    let mut buffer = vec![0; (128 * 1024).min(size as usize + 1)];
    loop {
        match file.read_at(&mut buffer, digest.len())? {
            0 => return Ok((digest.len() == size).then_some(digest)),
            n => digest.update_all(&buffer[..n]),
        }
    }
}
