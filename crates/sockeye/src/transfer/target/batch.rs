//! Files that are whole, until there are enough of them to be made durable at once.

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use wire::transfer::{Entry, LOT};

use super::Current;
use crate::transfer::landing::{Arrived, land};
use crate::transfer::{CHUNK, Fault, Landed, Root};

/// So many batches are made durable at once: one waits for the disk while the other one is written.
pub(super) const AT_ONCE: usize = 2;

/// So many files are worth the way to the disk, more of them where others are on it, and so long the first one waits
/// for others.
const ENOUGH: usize = 64;
const ENOUGH_BESIDE: usize = 128;
const WAITS: Duration = Duration::from_millis(200);

/// Files that wait at most while those before are made durable.
const MOST: usize = 256;

/// From so many bytes of small ones on a batch takes no more: whoever is killed loses what waits in memory, and all
/// batches with a lot more in each are a chunk at most.
const MOST_BYTES: usize = CHUNK / (AT_ONCE + 1) - LOT;

/// Files that are whole.
#[derive(Default)]
pub(super) struct Batch {
    /// What the small ones are of, and what has come of the present one.
    pub(super) content: Vec<u8>,
    told: Vec<(u32, Entry)>,
    files: Vec<Arrived>,
    due: Option<Instant>,
}

/// Files that are made durable on a thread that may wait.
pub(super) struct Committing {
    pub(super) told: Vec<(u32, Entry)>,
    pub(super) work: JoinHandle<Committed>,
}

/// What has become of them.
pub(super) struct Committed {
    pub(super) landed: Vec<Result<Landed, Fault>>,
    /// Memory for the next ones.
    pub(super) spare: Vec<u8>,
}

impl Batch {
    /// One whose content goes to memory that is there.
    pub(super) fn over(content: Vec<u8>) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// When it is not to wait any longer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is to be made durable while so many others are.
    pub(super) fn is_due(&self, others: usize) -> bool {
        let enough = match others {
            0 => ENOUGH,
            AT_ONCE => return false,
            _ => ENOUGH_BESIDE,
        };
        self.files.len() >= enough || self.due.is_some_and(|due| Instant::now() >= due)
    }

    /// Whether it can take no more. What is large has kept others waiting already.
    pub(super) fn is_full(&self) -> bool {
        let is_large =
            |file: &Arrived| matches!(file, Arrived::Settled(one) if one.size() > CHUNK as u64);
        self.files.len() >= MOST
            || self.content.len() >= MOST_BYTES
            || self.files.last().is_some_and(is_large)
    }

    pub(super) fn push(&mut self, index: u32, entry: Entry, file: Arrived) {
        self.due.get_or_insert_with(|| Instant::now() + WAITS);
        self.told.push((index, entry));
        self.files.push(file);
    }

    /// Forgets what has come of a lot that will not be whole.
    pub(super) fn forget(&mut self, current: &Current) {
        if let Current::Lot(lot) = current {
            self.content.truncate(lot.start);
        }
    }

    /// What has come from `start` on is in the next batch: there it begins at what is returned.
    pub(super) fn pass_on(&mut self, start: usize, next: &mut Self) -> usize {
        let begins = next.content.len();
        next.content.extend_from_slice(&self.content[start..]);
        self.content.truncate(start);
        begins
    }

    /// Begins to make them durable.
    pub(super) fn commit(self, root: &Root) -> Committing {
        let Self {
            mut content,
            told,
            files,
            ..
        } = self;
        let root = root.clone();
        let work = spawn_blocking(move || {
            let landed = land(&root, &content, files);
            content.clear();
            Committed {
                landed,
                spare: content,
            }
        });
        Committing { told, work }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lot_that_comes_goes_on_in_the_next_batch() {
        let mut batch = Batch::over(b"wholeha".to_vec());
        let mut next = Batch::over(Vec::with_capacity(9));
        let start = batch.pass_on(5, &mut next);
        assert_eq!((&batch.content[..], start), (&b"whole"[..], 0));
        assert_eq!(next.content, b"ha");
    }
}
