//! All that is beneath a folder, one thing after the other.

use std::io;

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::super::offer::Shown;
use super::super::parts;
use crate::service::folder::{Opened, Root, Sort};

/// Folders in folders: what is deeper is not walked into. Names end at 4096 bytes, so this is a loop of mounts.
const DEEPEST: usize = 2048;

/// Something in an archive.
pub(super) struct Found {
    /// Its name beneath the folder that was asked for; `Err` when it cannot be read.
    pub(super) name: Vec<u8>,
    pub(super) opened: io::Result<Opened>,
}

/// Goes through a folder and those in it, by name.
///
/// A link is what it leads to if that is a file inside; a link to a folder is passed over, for it could lead round
/// in a circle, and what it leads to is there in its own place.
pub(super) struct Walk<'a> {
    root: &'a Root,
    with_hidden: bool,
    /// What alone is there of it, if not all.
    shown: Option<Shown>,
    /// The folder that was asked for, beneath the root.
    base: Vec<u8>,
    /// Names beneath it that are still to be looked at, the next one last.
    ahead: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    pub(super) fn begin(
        root: &'a Root,
        base: Vec<u8>,
        with_hidden: bool,
        shown: Option<Shown>,
    ) -> Self {
        Self {
            root,
            with_hidden,
            shown,
            base,
            ahead: vec![Vec::new()],
        }
    }

    fn within(&self, name: &[u8]) -> Vec<u8> {
        join(&self.base, name)
    }

    /// Puts what is in a folder ahead.
    fn enter(&mut self, name: &[u8], folder: &Opened) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder.file)? {
            let entry = entry?;
            let file = entry.file_name().to_bytes();
            if matches!(file, b"." | b"..") || (file.starts_with(b".") && !self.with_hidden) {
                continue;
            }
            // What went away meanwhile is not there.
            let Ok(stat) = statat(&folder.file, file, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let whole = join(name, file);
            if self.shown.as_ref().is_some_and(|shown| !shown.has(&whole)) {
                continue;
            }
            let fits = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::Directory => true,
                FileType::Symlink => {
                    let behind = self.root.behind(&self.within(&whole));
                    behind.is_ok_and(|facts| facts.kind == Sort::File)
                }
                _ => false,
            };
            if fits {
                names.push(whole);
            }
        }
        parts::hide(&mut names, |name| name);
        names.sort_unstable_by(|a, b| b.cmp(a));
        self.ahead.append(&mut names);
        Ok(())
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match (folder, name) {
        (b"", name) | (name, b"") => name.to_vec(),
        (folder, name) => [folder, b"/", name].concat(),
    }
}

impl Iterator for Walk<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let name = self.ahead.pop()?;
            let mut opened = self.root.find_now(&self.within(&name));
            if let Ok(folder) = &opened
                && folder.facts.kind == Sort::Folder
                && name.iter().filter(|letter| **letter == b'/').count() < DEEPEST
                && let Err(error) = self.enter(&name, folder)
            {
                opened = Err(error);
            }
            // What is asked for is no part of itself, unless it cannot be read.
            if !name.is_empty() || opened.is_err() {
                return Some(Found { name, opened });
            }
        }
    }
}
