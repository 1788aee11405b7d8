//! What has been announced and waits for an answer, and whether the target may have it already.

use std::collections::HashMap;

use crate::transfer::CHUNK;
use crate::transfer::item::{Item, Origin};

/// Files that are announced ahead of the one that is sent: the target answers while it gets others.
const AHEAD: usize = 1024;

/// So many files in a row that the target has not are enough to ask for no more: the most that it makes durable at once.
const STRANGE: usize = 512;

/// What has been announced and not answered.
///
/// A file of a chunk at most can be announced with its hash, and a target that has it says so. That takes a round trip,
/// which is worth it as long as such files are there: after a cut, or when all is sent once more.
#[derive(Default)]
pub(super) struct Asking {
    /// By their numbers; whether with their hash.
    open: HashMap<u32, bool>,
    hashed: usize,
    /// So many more may be missing there. None: no more are announced with their hash.
    patience: usize,
    content: Vec<u8>,
}

impl Asking {
    /// What is less than a chunk in all is sent as it is, once more if need be. Of more, the first one tells whether the
    /// target has been told of these before.
    pub(super) fn about(items: &[Item]) -> Self {
        let left = items.iter().filter(|item| item.outcome.get().is_none());
        let size: u64 = left
            .filter(|item| can_be_hashed(item))
            .map(Item::size)
            .sum();
        let has_come_back = items.iter().any(|item| item.outcome.get().is_some());
        let patience = match (size <= CHUNK as u64, has_come_back) {
            (true, _) => 0,
            (false, true) => STRANGE,
            (false, false) => 1,
        };
        Self {
            patience,
            ..Self::default()
        }
    }

    /// Whether more can be announced.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < AHEAD && (self.patience == 0 || self.hashed < self.patience)
    }

    pub(super) fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    /// The hash that an item is announced with. One that cannot be read is told of when it is sent.
    pub(super) fn hash(&mut self, item: &Item) -> Option<[u8; 32]> {
        if self.patience == 0 || !can_be_hashed(item) {
            return None;
        }
        self.content.resize(item.size() as usize, 0);
        let read = item.read(&mut self.content);
        matches!(read, Ok(true)).then(|| *blake3::hash(&self.content).as_bytes())
    }

    pub(super) fn announced(&mut self, index: u32, with_hash: bool) {
        self.open.insert(index, with_hash);
        self.hashed += usize::from(with_hash);
    }

    /// Whether what was answered had been announced with its hash; `None` for what nobody asked.
    pub(super) fn answered(&mut self, index: u32, is_here: bool) -> Option<bool> {
        let with_hash = self.open.remove(&index)?;
        if with_hash {
            self.hashed -= 1;
            self.patience = match is_here {
                true => STRANGE,
                false => self.patience.saturating_sub(1),
            };
        }
        Some(with_hash)
    }
}

fn can_be_hashed(item: &Item) -> bool {
    let is_file = matches!(item.origin, Origin::File(_) | Origin::Beneath(..));
    is_file && !item.facts.is_sparse && item.facts.size.is_some_and(|size| size <= CHUNK as u64)
}
