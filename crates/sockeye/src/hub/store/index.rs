//! Entering lines into the index of words: many at a time, and when nobody waits, because it costs more than keeping
//! them.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::batch::{Batch, Room, Rooms};
use super::database::{MAX_ID, fault};
use super::lines::{id, key};
use super::words;
use crate::error::StoreFault;

/// So many lines of a room are entered at once. A search looks itself through those that are not yet.
const PIECE: usize = 1000;
/// With so many lines that are not entered, those who write wait for it: a search would take too long.
const URGENT: u64 = 64_000;

/// Which rooms have something to enter.
#[derive(Debug, Default)]
pub(super) struct Indexer {
    rooms: Vec<Arc<str>>,
}

impl Indexer {
    /// A room has a new last line.
    pub(super) fn came(&mut self, name: &Arc<str>, room: Option<Room>) {
        if room.is_some_and(|room| missing(room) >= PIECE as u64) && !self.rooms.contains(name) {
            self.rooms.push(name.clone());
        }
    }

    pub(super) fn is_due(&self) -> bool {
        !self.rooms.is_empty()
    }

    pub(super) fn is_urgent(&self, rooms: &Rooms) -> bool {
        let mut due = self.rooms.iter().filter_map(|name| rooms.get(name));
        due.any(|room| missing(room) >= URGENT)
    }

    /// Enters one piece.
    pub(super) fn step(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreFault> {
        let Some(name) = self.rooms.pop() else {
            return Ok(());
        };
        let Some(mut room) = batch.rooms.get(&name) else {
            return Ok(());
        };
        if let Some(last) = enter_piece(batch.db, room).map_err(fault)? {
            room.indexed = last;
            batch.rooms.set(&name, room);
            self.came(&name, Some(room));
        }
        Ok(())
    }
}

/// How many lines of a room the index lacks.
fn missing(room: Room) -> u64 {
    room.last.saturating_sub(room.indexed.max(room.floor))
}

fn enter_piece(db: &Connection, room: Room) -> rusqlite::Result<Option<u64>> {
    let from = key(room.number, room.indexed.saturating_add(1));
    let mut piece = db.prepare_cached(
        "SELECT key, text FROM lines WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
    )?;
    let to = key(room.number, MAX_ID);
    let mut rows = piece.query(params![from, to, PIECE as i64])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let key = row.get(0)?;
        enter(db, room.number, key, row.get_ref(1)?.as_str()?)?;
        last = Some(id(key));
    }
    if let Some(last) = last {
        db.prepare_cached("UPDATE rooms SET indexed = ? WHERE number = ?")?
            .execute(params![last, room.number])?;
    }
    Ok(last)
}

/// Makes one line findable.
pub(super) fn enter(db: &Connection, number: i64, key: i64, text: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO words (rowid, tokens) VALUES (?, ?)")?
        .execute(params![key, words::tokens(number, text)])
        .map(drop)
}
