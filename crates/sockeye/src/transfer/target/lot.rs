//! Small files that come together, by themselves, and are proved by one hash.

use wire::transfer::Entry;

use super::{Current, Receiving, Waiting};
use crate::transfer::landing::{Arrived, Small};
use crate::transfer::{Failure, Hash};

/// What is known of those that come.
pub(super) struct Lot {
    files: Vec<Coming>,
    hash: Hash,
    /// Where their content begins in that of the batch.
    pub(super) start: usize,
    /// Bytes of all of it.
    size: usize,
}

struct Coming {
    index: u32,
    /// `None`: nobody wants it.
    entry: Option<Entry>,
    size: usize,
}

impl Lot {
    /// Bytes that have not come.
    pub(super) fn lacks(&self, content: &[u8]) -> usize {
        (self.start + self.size).saturating_sub(content.len())
    }
}

impl Receiving<'_> {
    pub(super) async fn lot(&mut self, files: Vec<(u32, u32)>, hash: Hash) -> Result<(), Failure> {
        // What was not ended takes no room.
        let before = std::mem::replace(&mut self.current, Current::Nothing);
        self.batch.forget(&before);
        let mut lot = Lot {
            files: Vec::with_capacity(files.len()),
            hash,
            start: self.batch.content.len(),
            size: 0,
        };
        for (index, size) in files {
            let entry = match self.entries.remove(&index) {
                Some((entry, Waiting::Whole)) if entry.size == Some(size.into()) => Some(entry),
                Some((_, Waiting::Nothing)) => None,
                _ => {
                    return Err(Failure::protocol(
                        "a lot has a file that does not belong to it",
                    ));
                }
            };
            if let Some(entry) = &entry {
                self.watch.began(&entry.path, 0, entry.size);
            }
            let size = size as usize;
            lot.size += size;
            lot.files.push(Coming { index, entry, size });
        }
        let is_whole = lot.size == 0;
        self.current = Current::Lot(lot);
        match is_whole {
            true => self.proved().await,
            false => Ok(()),
        }
    }

    /// All of a lot has come.
    pub(super) async fn proved(&mut self) -> Result<(), Failure> {
        let Current::Lot(lot) = std::mem::replace(&mut self.current, Current::Nothing) else {
            return Ok(());
        };
        let content = &self.batch.content[lot.start..];
        if content.len() != lot.size || blake3::hash(content) != lot.hash {
            self.batch.content.truncate(lot.start);
            return Err(Failure::Damaged);
        }
        let mut start = lot.start;
        for Coming { index, entry, size } in lot.files {
            let at = start..start + size;
            start = at.end;
            if let Some(entry) = entry {
                let small = Small {
                    path: entry.path.clone(),
                    declared: super::asking::declared(&entry),
                    clash: self.target.clash,
                    at,
                };
                self.batch.push(index, entry, Arrived::Small(small));
            }
        }
        self.land_if_due().await
    }
}
