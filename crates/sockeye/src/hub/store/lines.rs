//! Lines and rooms as they are read.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params};

use super::database::{ID_BITS, MAX_ID};
use super::{MAX_PAGE, RoomRow, Span};
use crate::hub::line::{Line, LineKind};

/// What [`read_line`] reads.
pub(super) const COLUMNS: &str = "key, time, kind, sender, text, tag";

/// The first line behind a place.
pub(super) const NEXT: &str =
    "SELECT key, time FROM lines WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?";

/// Two walks of one step; asked for in one, SQLite reads all that lies between.
pub(super) const ENDS: &str = "SELECT (SELECT min(key) FROM lines WHERE key BETWEEN ?1 AND ?2), \
     (SELECT max(key) FROM lines WHERE key BETWEEN ?1 AND ?2)";

/// Whole lines between two keys.
pub(super) fn between(newest_first: bool) -> String {
    let direction = if newest_first { "DESC" } else { "ASC" };
    format!(
        "SELECT {COLUMNS} FROM lines WHERE key BETWEEN ? AND ? ORDER BY key {direction} LIMIT ?"
    )
}

/// The key of a line; id 0 is before the first.
pub(super) fn key(number: i64, id: u64) -> i64 {
    number << ID_BITS | id.min(MAX_ID) as i64
}

/// The id in a key.
pub(super) fn id(key: i64) -> u64 {
    key as u64 & MAX_ID
}

pub(super) fn read_line(row: &Row<'_>, room: &Arc<str>) -> Result<Line> {
    let kind = row.get_ref(2)?.as_str()?;
    let unknown = || {
        let words = format!("`{kind}` is no kind of line");
        Error::FromSqlConversionFailure(2, Type::Text, words.into())
    };
    Ok(Line {
        id: id(row.get(0)?),
        time: time(row.get(1)?)?,
        room: room.clone(),
        from: row.get(3)?,
        kind: LineKind::of(kind).ok_or_else(unknown)?,
        text: row.get(4)?,
        tag: row.get(5)?,
    })
}

/// The time that is kept as milliseconds.
pub(super) fn time(milliseconds: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds)
        .map_err(|error| Error::FromSqlConversionFailure(0, Type::Integer, error.into()))
}

pub(super) fn number(db: &Connection, room: &str) -> Result<Option<i64>> {
    db.prepare_cached("SELECT number FROM rooms WHERE name = ?")?
        .query_row([room], |row| row.get(0))
        .optional()
}

pub(super) fn page(
    db: &Connection,
    room: &Arc<str>,
    span: Span,
    limit: usize,
) -> Result<Vec<Line>> {
    let view = db.unchecked_transaction()?;
    let Some(number) = number(&view, room)? else {
        return Ok(Vec::new());
    };
    let (from, to, newest_first) = match span {
        Span::Last => (0, MAX_ID, true),
        Span::Before(id) => (0, id.saturating_sub(1), true),
        Span::After(id) => (id.saturating_add(1), MAX_ID, false),
        Span::Since(time) => (first_since(&view, number, time)?, MAX_ID, false),
    };
    if from > to {
        return Ok(Vec::new());
    }
    let mut page = view.prepare_cached(&between(newest_first))?;
    let limit = limit.min(MAX_PAGE) as i64;
    let rows = page.query_map(params![key(number, from), key(number, to), limit], |row| {
        read_line(row, room)
    })?;
    let mut lines = rows.collect::<Result<Vec<_>>>()?;
    if newest_first {
        lines.reverse();
    }
    Ok(lines)
}

/// The first id whose line is of `time` or later, found by halving.
fn first_since(db: &Connection, number: i64, since: Timestamp) -> Result<u64> {
    let (mut low, mut high) = match ends(db, number)? {
        (0, 0) => return Ok(1),
        (first, last) => (first, last + 1),
    };
    let mut at_or_after = db.prepare_cached(NEXT)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = at_or_after
            .query_row([key(number, middle), key(number, high - 1), 1], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        match found {
            Some((key, milliseconds)) if time(milliseconds)? < since => low = id(key) + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

pub(super) fn bounds(db: &Connection, room: &str) -> Result<(u64, u64)> {
    match number(db, room)? {
        Some(number) => ends(db, number),
        None => Ok((0, 0)),
    }
}

/// The first and the last id of a room's lines.
pub(super) fn ends(db: &Connection, number: i64) -> Result<(u64, u64)> {
    let mut ends = db.prepare_cached(ENDS)?;
    ends.query_row([key(number, 0), key(number, MAX_ID)], |row| {
        let end = |at| row.get::<_, Option<i64>>(at).map(|key| key.map_or(0, id));
        Ok((end(0)?, end(1)?))
    })
}

pub(super) fn rooms(db: &Connection) -> Result<Vec<RoomRow>> {
    let view = db.unchecked_transaction()?;
    let mut rooms = view.prepare_cached("SELECT name, number, floor FROM rooms ORDER BY name")?;
    let rooms = rooms.query_map([], |row| {
        let (_, last) = ends(&view, row.get(1)?)?;
        Ok(RoomRow {
            name: row.get(0)?,
            last: last.max(row.get(2)?),
        })
    })?;
    rooms.collect()
}

pub(super) fn state(db: &Connection, room: &str) -> Result<Option<(u64, String)>> {
    db.prepare_cached("SELECT revision, state FROM rooms WHERE name = ? AND revision > 0")?
        .query_row([room], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
