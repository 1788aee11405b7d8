//! Small files that leave together: nobody asks for them, and one hash proves them all.

use std::io;

use wire::transfer::{Frame, HEAD, LOT, LOT_FILES};

use crate::transfer::Pace;
use crate::transfer::item::Item;

/// Those that have been read and have not left.
#[derive(Default)]
pub(super) struct Lot {
    files: Vec<(u32, u32)>,
    /// Room for a head, and their content after it.
    content: Vec<u8>,
}

impl Lot {
    /// Whether a file of this size belongs to it. What is slow leaves in small pieces.
    pub(super) fn has_room(&self, size: usize, pace: Option<&Pace>) -> bool {
        let most = pace.map_or(LOT, Pace::piece).min(LOT);
        let here = self.content.len().saturating_sub(HEAD);
        self.files.is_empty() || (here + size <= most && self.files.len() < LOT_FILES)
    }

    /// Reads an item as it was announced: one look afterwards tells whether it still is that.
    pub(super) fn take(&mut self, index: u32, item: &Item, size: usize) -> io::Result<bool> {
        let start = self.content.len().max(HEAD);
        self.content.resize(start + size, 0);
        let read = item.read(&mut self.content[start..]);
        match read {
            Ok(true) => self.files.push((index, size as u32)),
            _ => self.content.truncate(start),
        }
        read
    }

    /// What is said of them, and their content after room for its head; `None` when there are none.
    pub(super) fn closed(&mut self) -> Option<(Frame, &mut [u8])> {
        if self.files.is_empty() {
            return None;
        }
        let hash = *blake3::hash(&self.content[HEAD..]).as_bytes();
        let files = std::mem::take(&mut self.files);
        Some((Frame::Lot { files, hash }, &mut self.content))
    }

    /// It has left: the next one has its room.
    pub(super) fn clear(&mut self) {
        self.content.clear();
    }
}
