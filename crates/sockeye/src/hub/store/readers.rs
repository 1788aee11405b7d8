//! Those who read while one writes: a few connections on threads that may block.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::database::{self, Opened, fault};
use crate::error::StoreFault;

/// How many read at once.
const READERS: u32 = 4;
/// How many of them search.
const SEARCHES: usize = 2;

pub(super) struct Readers {
    place: Place,
    turns: Arc<Semaphore>,
    searches: Semaphore,
}

enum Place {
    /// Connections that wait for work; there are never more than turns.
    File(PathBuf, Mutex<Vec<Connection>>),
    Memory(Arc<Mutex<Connection>>),
}

impl Readers {
    pub(super) fn new(opened: &Opened) -> Self {
        let place = match &opened.file {
            Some(path) => Place::File(path.clone(), Mutex::default()),
            None => Place::Memory(opened.db.clone()),
        };
        Self {
            place,
            turns: Arc::new(Semaphore::new(READERS as usize)),
            searches: Semaphore::new(SEARCHES),
        }
    }

    /// `None` once they are closed, which [`Readers::read`] tells.
    pub(super) async fn search_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.searches.acquire().await.ok()
    }

    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| StoreFault::Closed)?;
        let readers = self.clone();
        let reading = move || {
            let read = readers.place.read(work);
            drop(turn);
            read
        };
        let read = tokio::task::spawn_blocking(reading).await;
        read.map_err(|panic| StoreFault::Io(panic.into()))?
    }

    /// Waits for those that read, and closes their connections.
    pub(super) async fn close(&self) {
        let all = self.turns.acquire_many(READERS).await;
        self.turns.close();
        self.searches.close();
        drop(all);
        if let Place::File(_, idle) = &self.place {
            idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Place {
    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreFault> {
        let (path, idle) = match self {
            Self::Memory(db) => {
                let db = db.lock().unwrap_or_else(PoisonError::into_inner);
                return work(&db).map_err(fault);
            }
            Self::File(path, idle) => (path, idle),
        };
        let waiting = || idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting().pop();
        let db = match found {
            Some(db) => db,
            None => database::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fault)?,
        };
        // One that has failed is not used again.
        let read = work(&db).map_err(fault)?;
        waiting().push(db);
        Ok(read)
    }
}
