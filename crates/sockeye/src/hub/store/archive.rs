//! Reading a chat's database beside the server that writes it, or without one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::{RoomRow, Span, database, failed, lines};
use crate::error::StoreError;
use crate::hub::line::Line;

/// A chat's database, only to be read: what a program needs that exports it.
pub struct Archive {
    db: Connection,
    shown: Arc<str>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("at", &self.shown)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens the database `at` a path.
    ///
    /// # Errors
    /// When there is none that can be read.
    pub fn open(at: &Path) -> Result<Self, StoreError> {
        let shown: Arc<str> = at.to_string_lossy().into();
        let db = database::open_to_read(at).map_err(|fault| failed("open", &shown, fault))?;
        Ok(Self { db, shown })
    }

    /// As [`Store::rooms`](super::Store::rooms). Blocks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rooms(&self) -> Result<Vec<RoomRow>, StoreError> {
        lines::rooms(&self.db).map_err(|error| self.failed(error))
    }

    /// As [`Store::lines`](super::Store::lines). Blocks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn lines(&self, room: &str, span: Span, limit: usize) -> Result<Vec<Line>, StoreError> {
        lines::page(&self.db, &room.into(), span, limit).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        failed("read", &self.shown, database::fault(error))
    }
}
