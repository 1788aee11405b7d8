//! What has become of files: made durable, many at once, and told to the source.

use std::io;

use tokio::task::JoinError;
use tokio::time::Instant;
use wire::transfer::{Entry, Frame, Outcome, Reason};

use super::{BATCH, BATCH_WAITS, Committing, Current, Receiving};
use crate::transfer::{CHUNK, Failure, Fault, Landed, Settled, commit};

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

    /// Begins to make durable what is whole; the source hears of it when that is done.
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        let before = self.landed().await;
        self.near = None;
        if !self.batch.is_empty() {
            let mut told = Vec::with_capacity(self.batch.len());
            let mut all = Vec::with_capacity(self.batch.len());
            for (index, entry, settled) in self.batch.drain(..) {
                told.push((index, entry));
                all.push(settled);
            }
            let root = self.target.root.clone();
            let work = tokio::task::spawn_blocking(move || commit(&root, all));
            self.committing = Some(Committing { told, work });
        }
        before
    }

    /// Makes durable all that is whole, and tells the source.
    pub(super) async fn land_all(&mut self) -> Result<(), Failure> {
        let before = self.land().await;
        before.and(self.landed().await)
    }

    /// Waits for what is being made durable, and tells the source.
    pub(super) async fn landed(&mut self) -> Result<(), Failure> {
        let Some(Committing { told, work }) = self.committing.take() else {
            return Ok(());
        };
        let landed = self.out.until(work).await?;
        self.tell_landed(told, landed).await
    }

    /// The same when it is done already.
    pub(super) async fn tell_all(
        &mut self,
        landed: Result<Vec<Result<Landed, Fault>>, JoinError>,
    ) -> Result<(), Failure> {
        let told = self.committing.take().map(|committing| committing.told);
        let landed = landed.map_err(|error| Failure::Cut(io::Error::other(error)))?;
        self.tell_landed(told.unwrap_or_default(), landed).await
    }

    async fn tell_landed(
        &mut self,
        told: Vec<(u32, Entry)>,
        landed: Vec<Result<Landed, Fault>>,
    ) -> Result<(), Failure> {
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
