//! The one thread that writes. What waits while it commits is written together in the next commit.

use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::{Batch, Rooms};
use super::database::{Opened, fault};
use super::index::Indexer;
use super::retention::Cleaner;
use super::{Pace, Retention};
use crate::error::StoreFault;
use crate::hub::line::Line;

/// The most requests in one commit.
const GROUP: usize = 1024;

/// When nobody has asked for anything for so long, there is time for other things. Who was just answered and goes on
/// at once is faster.
const QUIET: Duration = Duration::from_millis(2);

/// What the writer is told.
pub(super) enum Order {
    Do(Box<dyn Job>),
    Close(oneshot::Sender<Result<(), StoreFault>>),
}

/// A request that is done within a transaction, perhaps several times until one holds.
pub(super) trait Job: Send {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreFault>;
    /// Answers who waits.
    fn finish(self: Box<Self>, committed: Result<(), StoreFault>);
}

/// The one kind of [`Job`].
pub(super) struct Ask<T, F> {
    work: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, StoreFault>>,
    _room_in_queue: OwnedSemaphorePermit,
}

impl<T, F> Ask<T, F> {
    pub(super) fn new(
        work: F,
        reply: oneshot::Sender<Result<T, StoreFault>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            work,
            outcome: None,
            reply,
            _room_in_queue: room,
        }
    }
}

impl<T: Send, F: FnMut(&mut Batch<'_>) -> Result<T, StoreFault> + Send> Job for Ask<T, F> {
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreFault> {
        self.outcome = Some((self.work)(batch)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreFault>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => Ok(outcome),
            (Ok(()), None) => return,
            (Err(fault), _) => Err(fault),
        };
        // Who has gone does not need it.
        let _ = self.reply.send(answer);
    }
}

pub(super) struct Writer<F> {
    db: Arc<Mutex<Connection>>,
    rooms: Rooms,
    indexer: Indexer,
    cleaner: Cleaner,
    clock: Box<dyn Fn() -> Timestamp + Send>,
    feed: F,
    /// The last to go.
    _lock: Option<File>,
}

impl<F: FnMut(&[Arc<Line>]) + Send + 'static> Writer<F> {
    pub(super) fn new(
        opened: Opened,
        keep: Retention,
        pace: Pace,
        feed: F,
    ) -> Result<Self, StoreFault> {
        let rooms = {
            let db = opened.db.lock().unwrap_or_else(PoisonError::into_inner);
            Rooms::load(&db).map_err(fault)?
        };
        let mut indexer = Indexer::default();
        for name in rooms.names() {
            indexer.came(&name, rooms.get(&name));
        }
        Ok(Self {
            db: opened.db,
            rooms,
            indexer,
            cleaner: Cleaner::new(keep, pace.every, (pace.clock)()),
            clock: pace.clock,
            feed,
            _lock: opened.lock,
        })
    }

    /// Until it is told to close, or nobody is left who could tell it anything.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let mut jobs = Vec::new();
            let mut closing = None;
            let mut is_idle = false;
            match self.next(orders) {
                Ok(Order::Do(job)) => jobs.push(job),
                Ok(Order::Close(reply)) => closing = Some(reply),
                Err(RecvTimeoutError::Timeout) => is_idle = true,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while closing.is_none() && !jobs.is_empty() && jobs.len() < GROUP {
                match orders.try_recv() {
                    Ok(Order::Do(job)) => jobs.push(job),
                    Ok(Order::Close(reply)) => closing = Some(reply),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.commit(jobs);
            if let Some(reply) = closing {
                let closed = self.close();
                // Who is told may open it again.
                drop(self);
                let _ = reply.send(closed);
                return;
            }
            self.tidy(is_idle);
        }
    }

    fn next(&self, orders: &Receiver<Order>) -> Result<Order, RecvTimeoutError> {
        match self.cleaner.pause() {
            _ if self.indexer.is_due() => orders.recv_timeout(QUIET),
            Some(pause) => orders.recv_timeout(pause),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Commits them together; if that fails, each for itself, so that one that cannot be done harms no other.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        match self.attempt(&mut jobs) {
            Ok(()) => jobs.into_iter().for_each(|job| job.finish(Ok(()))),
            Err(fault) if jobs.len() == 1 => {
                if let Some(job) = jobs.pop() {
                    job.finish(Err(fault));
                }
            }
            Err(_) => jobs.into_iter().for_each(|job| self.commit(vec![job])),
        }
    }

    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreFault> {
        if jobs.is_empty() {
            return Ok(());
        }
        let now = (self.clock)();
        let lines = transact(&self.db, &mut self.rooms, now, |batch| {
            jobs.iter_mut().try_for_each(|job| job.run(batch))
        })?;
        self.cleaner.came(lines.len());
        for line in lines
            .chunk_by(|a, b| a.room == b.room)
            .flat_map(<[_]>::last)
        {
            let room = self.rooms.get(&line.room);
            self.indexer.came(&line.room, room);
        }
        if !lines.is_empty() {
            (self.feed)(&lines);
        }
        Ok(())
    }

    /// A step of what nobody waits for, if it is time for one.
    fn tidy(&mut self, is_idle: bool) {
        let indexes = self.indexer.is_due() && (is_idle || self.indexer.is_urgent(&self.rooms));
        if indexes {
            let now = (self.clock)();
            let indexer = &mut self.indexer;
            // What cannot be entered now is entered when more lines have come, and found without that until then.
            let _ = transact(&self.db, &mut self.rooms, now, |batch| indexer.step(batch));
        }
        let cleaner = &mut self.cleaner;
        if cleaner.is_due() {
            let now = (self.clock)();
            let done = transact(&self.db, &mut self.rooms, now, |batch| cleaner.step(batch));
            if done.is_err() {
                cleaner.give_up();
            }
        }
    }

    fn close(&self) -> Result<(), StoreFault> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(fault)
    }
}

/// Does the work wholly or not at all; gives the lines that are new.
fn transact(
    db: &Mutex<Connection>,
    rooms: &mut Rooms,
    now: Timestamp,
    work: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreFault>,
) -> Result<Vec<Arc<Line>>, StoreFault> {
    let mut db = db.lock().unwrap_or_else(PoisonError::into_inner);
    let attempt = || {
        let whole = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let whole = whole.map_err(fault)?;
        let mut batch = Batch::new(&whole, rooms, now);
        work(&mut batch)?;
        let lines = batch.into_lines();
        whole.commit().map_err(fault)?;
        Ok(lines)
    };
    let done = attempt();
    match &done {
        Ok(_) => rooms.keep(),
        Err(_) => rooms.undo(),
    }
    done
}
