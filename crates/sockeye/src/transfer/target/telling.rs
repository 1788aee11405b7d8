//! What has become of files: made durable, many at once, and told to the source.

use std::io;

use tokio::time::Instant;
use wire::transfer::{Entry, Frame, Outcome, Reason};

use super::{BATCH, BATCH_WAITS, Current, Receiving};
use crate::transfer::{CHUNK, Failure, Fault, Settled, commit};

impl Receiving<'_> {
    /// A file is whole. Small ones are made durable together.
    pub(super) async fn settled(
        &mut self,
        index: u32,
        entry: Entry,
        settled: Settled,
    ) -> Result<(), Failure> {
        if self.batch.is_empty() {
            self.batch_due = Instant::now() + BATCH_WAITS;
        }
        let is_small = settled.size() <= CHUNK as u64;
        self.batch.push((index, entry, settled));
        match !is_small || self.batch.len() >= BATCH || Instant::now() >= self.batch_due {
            true => self.land().await,
            false => Ok(()),
        }
    }

    /// Makes durable what is whole, and tells the source.
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut told = Vec::with_capacity(self.batch.len());
        let mut all = Vec::with_capacity(self.batch.len());
        for (index, entry, settled) in self.batch.drain(..) {
            told.push((index, entry));
            all.push(settled);
        }
        let root = self.target.root.clone();
        let landed = self.out.apart(move || commit(&root, all)).await?;
        for ((index, entry), landed) in told.into_iter().zip(landed) {
            let outcome = match landed {
                Ok(landed) => Outcome::Landed(landed.path),
                Err(fault) => failed(&fault),
            };
            self.tell(index, &entry, outcome).await?;
        }
        Ok(self.out.flush().await?)
    }

    pub(super) async fn give_up(
        &mut self,
        index: u32,
        entry: &Entry,
        fault: &Fault,
    ) -> Result<(), Failure> {
        self.current = Current::Skipped;
        self.refused(index, entry, fault).await
    }

    pub(super) async fn refused(
        &mut self,
        index: u32,
        entry: &Entry,
        fault: &Fault,
    ) -> Result<(), Failure> {
        self.tell(index, entry, failed(fault)).await?;
        Ok(self.out.flush().await?)
    }

    pub(super) async fn tell(
        &mut self,
        index: u32,
        entry: &Entry,
        outcome: Outcome,
    ) -> Result<(), Failure> {
        self.watch.ended(
            &entry.path.to_string(),
            entry.size.unwrap_or_default(),
            &outcome,
        );
        Ok(self.out.say(&Frame::Receipt { index, outcome }).await?)
    }
}

pub(super) fn failed(fault: &Fault) -> Outcome {
    Outcome::Failed {
        reason: reason_for(fault),
        text: fault.to_string(),
    }
}

pub(super) fn reason_for(fault: &Fault) -> Reason {
    match fault {
        Fault::Busy { .. } => Reason::Busy,
        Fault::Exists { .. } => Reason::Exists,
        Fault::Damaged { .. } => Reason::Damaged,
        _ => match fault.io_kind() {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Reason::NoRoom,
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                Reason::Forbidden
            }
            _ => Reason::Other,
        },
    }
}
