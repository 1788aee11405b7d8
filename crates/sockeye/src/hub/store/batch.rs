//! What is done within one transaction, and the rooms' ends as they are known without asking the database.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::database::{ID_BITS, MAX_ID, fault};
use super::index;
use super::lines::{ends, id, key, number, time};
use crate::error::StoreFault;
use crate::hub::line::{Draft, Line, Receipt};

/// The line of one name with one tag.
pub(super) const TAGGED: &str =
    "SELECT key, time FROM lines WHERE room = ? AND sender = ? AND tag = ?";

/// A room as the writer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) number: i64,
    /// Ids up to this one are gone.
    pub(super) floor: u64,
    /// The last id that was given.
    pub(super) last: u64,
    /// Lines up to this id are in the index of words.
    pub(super) indexed: u64,
}

/// All rooms, with the way back for when a transaction fails.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    known: HashMap<Arc<str>, Room>,
    before: Vec<(Arc<str>, Option<Room>)>,
}

impl Rooms {
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut known = HashMap::new();
        let mut rows = db.prepare("SELECT name, number, floor, indexed FROM rooms")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (number, floor) = (row.get(1)?, row.get(2)?);
            let (_, last) = ends(db, number)?;
            let last = last.max(floor);
            let room = Room {
                number,
                floor,
                last,
                indexed: row.get(3)?,
            };
            known.insert(row.get(0)?, room);
        }
        Ok(Self {
            known,
            before: Vec::new(),
        })
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.known.keys().cloned().collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<Room> {
        self.known.get(name).copied()
    }

    pub(super) fn set(&mut self, name: &Arc<str>, room: Room) {
        let before = self.known.insert(name.clone(), room);
        self.before.push((name.clone(), before));
    }

    pub(super) fn keep(&mut self) {
        self.before.clear();
    }

    pub(super) fn undo(&mut self) {
        while let Some((name, room)) = self.before.pop() {
            match room {
                Some(room) => self.known.insert(name, room),
                None => self.known.remove(&name),
            };
        }
    }
}

/// A transaction that is under way.
pub(super) struct Batch<'a> {
    pub(super) db: &'a Connection,
    pub(super) rooms: &'a mut Rooms,
    /// What time it is, in whole milliseconds: as it will be read again.
    pub(super) now: Timestamp,
    /// The lines that are new, in the order in which they came.
    lines: Vec<Arc<Line>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(db: &'a Connection, rooms: &'a mut Rooms, now: Timestamp) -> Self {
        let now = time(now.as_millisecond()).unwrap_or(now);
        Self {
            db,
            rooms,
            now,
            lines: Vec::new(),
        }
    }

    pub(super) fn append(&mut self, draft: &Draft) -> Result<Receipt, StoreFault> {
        let room = self.room(&draft.room)?;
        if let Some(tag) = &draft.tag
            && let Some((id, time)) = self.tagged(room, &draft.from, tag)?
        {
            return Ok(Receipt {
                id,
                time,
                was_there: true,
            });
        }
        let id = room.last + 1;
        let line = Line {
            id,
            time: self.now,
            room: draft.room.clone(),
            from: draft.from.clone(),
            kind: draft.kind,
            text: draft.text.clone(),
            tag: draft.tag.clone(),
        };
        self.add(room, &Arc::new(line))?;
        Ok(Receipt {
            id,
            time: self.now,
            was_there: false,
        })
    }

    pub(super) fn insert(&mut self, line: &Arc<Line>) -> Result<(), StoreFault> {
        let room = self.room(&line.room)?;
        if line.id <= room.floor || self.has(room, line.id)? {
            return Ok(());
        }
        if let Some(tag) = &line.tag
            && self.tagged(room, &line.from, tag)?.is_some()
        {
            return Err(StoreFault::Unfit("two lines with one tag"));
        }
        self.add(room, line)
    }

    pub(super) fn set_state(
        &mut self,
        name: &Arc<str>,
        expected: u64,
        json: &str,
    ) -> Result<bool, StoreFault> {
        let room = self.room(name)?;
        let expected = i64::try_from(expected).unwrap_or(-1);
        let set = self
            .db
            .prepare_cached(
                "UPDATE rooms SET revision = revision + 1, state = ? WHERE number = ? AND revision = ?",
            )
            .and_then(|mut set| set.execute(params![json, room.number, expected]))
            .map_err(fault)?;
        Ok(set > 0)
    }

    pub(super) fn into_lines(self) -> Vec<Arc<Line>> {
        let mut lines = self.lines;
        // Only lines with ids of their own may have come in another order.
        lines.sort_by(|a, b| a.room.cmp(&b.room).then(a.id.cmp(&b.id)));
        lines
    }

    /// The room of this name, made if it is not there.
    fn room(&mut self, name: &Arc<str>) -> Result<Room, StoreFault> {
        if let Some(room) = self.rooms.get(name) {
            return Ok(room);
        }
        self.db
            .prepare_cached("INSERT INTO rooms (name) VALUES (?)")
            .and_then(|mut insert| insert.execute([name]))
            .map_err(fault)?;
        let number = number(self.db, name).map_err(fault)?;
        let number = number.filter(|number| *number < 1 << (63 - ID_BITS));
        let number = number.ok_or(StoreFault::Unfit("there are too many rooms"))?;
        let room = Room {
            number,
            floor: 0,
            last: 0,
            indexed: 0,
        };
        self.rooms.set(name, room);
        Ok(room)
    }

    fn add(&mut self, room: Room, line: &Arc<Line>) -> Result<(), StoreFault> {
        if !(1..=MAX_ID).contains(&line.id) {
            return Err(StoreFault::Unfit("a line's id counts from 1, in 40 bits"));
        }
        self.db
            .prepare_cached(
                "INSERT INTO lines (key, time, kind, sender, text, tag) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    key(room.number, line.id),
                    line.time.as_millisecond(),
                    line.kind.word(),
                    line.from,
                    line.text,
                    line.tag,
                ])
            })
            .map_err(fault)?;
        if line.id <= room.indexed {
            let key = key(room.number, line.id);
            index::enter(self.db, room.number, key, &line.text).map_err(fault)?;
        }
        let last = room.last.max(line.id);
        self.rooms.set(&line.room, Room { last, ..room });
        self.lines.push(line.clone());
        Ok(())
    }

    fn has(&self, room: Room, id: u64) -> Result<bool, StoreFault> {
        self.db
            .prepare_cached("SELECT 1 FROM lines WHERE key = ?")
            .and_then(|mut find| find.exists([key(room.number, id)]))
            .map_err(fault)
    }

    /// The line with this tag.
    fn tagged(
        &self,
        room: Room,
        from: &str,
        tag: &str,
    ) -> Result<Option<(u64, Timestamp)>, StoreFault> {
        let find = || {
            self.db
                .prepare_cached(TAGGED)?
                .query_row(params![room.number, from, tag], |row| {
                    Ok((id(row.get(0)?), time(row.get(1)?)?))
                })
                .optional()
        };
        find().map_err(fault)
    }
}
