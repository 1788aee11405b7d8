//! What has become of files: made durable, many at once, and told to the source.

use std::io;

use tokio::task::JoinError;
use wire::transfer::{Entry, Frame, Outcome, Reason};

use super::batch::{AT_ONCE, Batch, Committed, Committing};
use super::{Current, Receiving};
use crate::transfer::landing::Arrived;
use crate::transfer::{Failure, Fault};

impl Receiving<'_> {
    /// A file is whole. Small ones are made durable together: the more come while others are, the more at once.
    pub(super) async fn arrived(
        &mut self,
        index: u32,
        entry: Entry,
        file: Arrived,
    ) -> Result<(), Failure> {
        self.batch.push(index, entry, file);
        self.land_if_due().await
    }

    pub(super) async fn land_if_due(&mut self) -> Result<(), Failure> {
        match self.batch.is_full() || self.batch.is_due(self.committing.len()) {
            true => self.land().await,
            false => Ok(()),
        }
    }

    /// Begins to make durable what is whole; the source hears of it when that is done.
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        let before = match self.committing.len() {
            AT_ONCE => self.landed().await,
            _ => Ok(()),
        };
        self.near = None;
        if !self.batch.is_empty() {
            let mut next = Batch::over(self.spare.pop().unwrap_or_default());
            if let Current::Lot(lot) = &mut self.current {
                lot.start = self.batch.pass_on(lot.start, &mut next);
            }
            let batch = std::mem::replace(&mut self.batch, next);
            let committing = batch.commit(&self.target.root);
            self.committing.push_back(committing);
        }
        before
    }

    /// Makes durable all that is whole, and tells the source.
    pub(super) async fn land_all(&mut self) -> Result<(), Failure> {
        let mut done = self.land().await;
        while !self.committing.is_empty() {
            done = done.and(self.landed().await);
        }
        done
    }

    /// Waits for the first of what is being made durable, and tells the source.
    pub(super) async fn landed(&mut self) -> Result<(), Failure> {
        let Some(Committing { told, work }) = self.committing.pop_front() else {
            return Ok(());
        };
        let committed = self.out.until(work).await?;
        self.tell_landed(told, committed).await
    }

    /// The same when it is done already.
    pub(super) async fn tell_all(
        &mut self,
        committed: Result<Committed, JoinError>,
    ) -> Result<(), Failure> {
        let first = self.committing.pop_front();
        let committed = committed.map_err(|error| Failure::Cut(io::Error::other(error)))?;
        let told = first.map(|first| first.told).unwrap_or_default();
        self.tell_landed(told, committed).await
    }

    async fn tell_landed(
        &mut self,
        told: Vec<(u32, Entry)>,
        committed: Committed,
    ) -> Result<(), Failure> {
        self.spare.push(committed.spare);
        for ((index, entry), landed) in told.into_iter().zip(committed.landed) {
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
        self.watch
            .ended(&entry.path, entry.size.unwrap_or_default(), &outcome);
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
