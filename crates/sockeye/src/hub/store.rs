//! What a chat keeps: lines, rooms, people and their mail, in SQLite. What was acknowledged outlives a power cut.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use crate::error::{StoreError, StoreFault};
use crate::hub::line::{Draft, Line, Receipt};

mod archive;
mod batch;
mod database;
mod index;
mod lines;
mod people;
mod readers;
mod retention;
mod search;
mod words;
mod writer;

pub use archive::Archive;
pub use people::{Mail, PersonRow, TokenRow};

use batch::Batch;
use readers::Readers;
use writer::{Ask, Order, Writer};

/// The most lines that one page of history has.
pub const MAX_PAGE: usize = 1000;

/// Bytes of what waits to be written; who brings more waits.
const QUEUE: u32 = 4 << 20;
/// What a request weighs in the queue beside its text.
const REQUEST: u32 = 512;

/// How much of each room is kept. `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How old a line may become. Lines grow old by the machine's clock, but never faster than twice as fast as time
    /// passes, and at most a thousand go in ten seconds, or twice as many as came: a clock that is wrong for a moment
    /// deletes little.
    pub age: Option<Duration>,
    /// How many lines; a few more are there until the next step of cleaning up.
    pub lines: Option<u64>,
}

/// Which lines of a room a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The latest.
    Last,
    /// Those right before this id.
    Before(u64),
    /// Those right after this id.
    After(u64),
    /// From the first line of this time or later. Where the clock has gone back in between, there are several places
    /// that this could mean; the page begins at one of them.
    Since(Timestamp),
}

/// A room that something is known of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// Without `#`.
    pub name: Arc<str>,
    /// The last id that was given in it, also if that line is gone; 0 if there was none.
    pub last: u64,
}

/// The store of a chat. Clones are the same store; it closes with the last of them, or by [`Store::close`].
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    orders: mpsc::Sender<Order>,
    queue: Arc<Semaphore>,
    readers: Arc<Readers>,
    shown: Arc<str>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("at", &self.inner.shown)
            .finish_non_exhaustive()
    }
}

/// What tests choose for themselves.
struct Pace {
    clock: Box<dyn Fn() -> Timestamp + Send>,
    /// How often it is looked for what is too old or too much.
    every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            clock: Box::new(Timestamp::now),
            every: Duration::from_secs(10),
        }
    }
}

impl Store {
    /// Opens the database `at` a path, or one in memory, and makes it if it is not there; its file can then be read by
    /// nobody else. Blocks for as long as that takes.
    ///
    /// `feed` is called by the store's own thread with the lines of each commit, in the order of their ids in each
    /// room, before those who wait for them are answered. It holds up all writing.
    ///
    /// # Errors
    /// When the file cannot be used. It is then as it was.
    pub fn open(
        at: Option<&Path>,
        keep: Retention,
        feed: impl FnMut(&[Arc<Line>]) + Send + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_with(at, keep, feed, Pace::default())
    }

    fn open_with(
        at: Option<&Path>,
        keep: Retention,
        feed: impl FnMut(&[Arc<Line>]) + Send + 'static,
        pace: Pace,
    ) -> Result<Self, StoreError> {
        let shown: Arc<str> = at.map_or_else(
            || "the chat in memory".into(),
            |at| at.to_string_lossy().into(),
        );
        let failed = |fault| failed("open", &shown, fault);
        let opened = database::open(at).map_err(failed)?;
        let readers = Arc::new(Readers::new(&opened));
        let writer = Writer::new(opened, keep, pace, feed).map_err(failed)?;
        let (orders, received) = mpsc::channel();
        thread::Builder::new()
            .name("chat store".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(|error| failed(error.into()))?;
        let queue = Arc::new(Semaphore::new(QUEUE as usize));
        Ok(Self {
            inner: Arc::new(Inner {
                orders,
                queue,
                readers,
                shown,
            }),
        })
    }

    /// Keeps a line. The receipt comes once it will outlive a power cut; lines of many senders are written together.
    /// A future that is dropped has kept its line or has not.
    ///
    /// # Errors
    /// When the line is not kept, and why.
    pub async fn append(&self, draft: Draft) -> Result<Receipt, StoreError> {
        let weight = draft.text.len() + draft.from.len();
        self.write("write to", weight, move |batch| batch.append(&draft))
            .await
    }

    /// Keeps lines that were given their ids elsewhere. Those that are there already, or were and have been cleaned
    /// up, are skipped.
    ///
    /// # Errors
    /// When none of them is kept, and why.
    pub async fn insert(&self, lines: Vec<Arc<Line>>) -> Result<(), StoreError> {
        let weight = lines.iter().map(|line| line.text.len() + 128).sum();
        self.write("write to", weight, move |batch| {
            lines.iter().try_for_each(|line| batch.insert(line))
        })
        .await
    }

    /// A page of what was said in `room`, oldest first, of at most `limit` or [`MAX_PAGE`] lines.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn lines(
        &self,
        room: &str,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Line>, StoreError> {
        let room = Arc::from(room);
        self.read("read", move |db| lines::page(db, &room, span, limit))
            .await
    }

    /// The latest lines of `room` that have all of `words`, oldest first, of those with an id less than `before`.
    /// Words stand between spaces, and capital letters do not matter. A word is found where one begins: `sock` finds
    /// "Sockeye" and `eye` does not; what is written without spaces between words is found anywhere.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn search(
        &self,
        room: &str,
        words: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Line>, StoreError> {
        let (room, words) = (Arc::from(room), words.to_owned());
        // Searches may take their time; pages of history do not wait for them.
        let _turn = self.inner.readers.search_turn().await;
        self.read("search", move |db| {
            search::search(db, &room, &words, before, limit)
        })
        .await
    }

    /// The first and the last id of what is kept of `room`; 0 and 0 if nothing is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn bounds(&self, room: &str) -> Result<(u64, u64), StoreError> {
        let room = room.to_owned();
        self.read("read", move |db| lines::bounds(db, &room)).await
    }

    /// All rooms, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn rooms(&self) -> Result<Vec<RoomRow>, StoreError> {
        self.read("read", lines::rooms).await
    }

    /// What was set for `room`, and its revision.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn state(&self, room: &str) -> Result<Option<(u64, String)>, StoreError> {
        let room = room.to_owned();
        self.read("read", move |db| lines::state(db, &room)).await
    }

    /// What was set for each of these rooms.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn states(&self, rooms: &[Arc<str>]) -> Result<Vec<Option<String>>, StoreError> {
        let rooms = rooms.to_vec();
        self.read("read", move |db| {
            let state = |room: &Arc<str>| Ok(lines::state(db, room)?.map(|(_, json)| json));
            rooms.iter().map(state).collect()
        })
        .await
    }

    /// Sets what belongs to `room` if its revision still is `expected`, 0 being that of a room without; the revision
    /// is then one more. Says whether it was set.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub async fn set_state(
        &self,
        room: &str,
        expected: u64,
        json: String,
    ) -> Result<bool, StoreError> {
        let room = Arc::from(room);
        self.write("write to", json.len(), move |batch| {
            batch.set_state(&room, expected, &json)
        })
        .await
    }

    /// Checkpoints and closes, for all clones. What was begun before is finished.
    ///
    /// # Errors
    /// When what was written cannot be moved to its place; it is safe where it is.
    pub async fn close(self) -> Result<(), StoreError> {
        self.inner.readers.close().await;
        let (reply, answer) = oneshot::channel();
        let closed = || self.failed("close", StoreFault::Closed);
        let sent = self.inner.orders.send(Order::Close(reply));
        sent.map_err(|_| closed())?;
        let done = answer.await.map_err(|_| closed())?;
        done.map_err(|fault| self.failed("close", fault))
    }

    async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        weight: usize,
        work: impl FnMut(&mut Batch<'_>) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || self.failed(action, StoreFault::Closed);
        let weight = u32::try_from(weight)
            .unwrap_or(QUEUE)
            .saturating_add(REQUEST);
        let queue = self.inner.queue.clone();
        let room = queue.acquire_many_owned(weight.min(QUEUE)).await;
        let (reply, answer) = oneshot::channel();
        let ask = Ask::new(work, reply, room.map_err(|_| closed())?);
        let sent = self.inner.orders.send(Order::Do(Box::new(ask)));
        sent.map_err(|_| closed())?;
        let done = answer.await.map_err(|_| closed())?;
        done.map_err(|fault| self.failed(action, fault))
    }

    async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let read = self.inner.readers.read(work).await;
        read.map_err(|fault| self.failed(action, fault))
    }

    fn failed(&self, action: &'static str, fault: StoreFault) -> StoreError {
        failed(action, &self.inner.shown, fault)
    }
}

fn failed(action: &'static str, shown: &str, fault: StoreFault) -> StoreError {
    StoreError {
        action,
        path: shown.to_owned(),
        fault,
    }
}

#[cfg(test)]
mod tests;
