//! Searching a room: what is common is found among the latest lines, what is rare by the index.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::MAX_PAGE;
use super::database::MAX_ID;
use super::lines::{COLUMNS, between, id, key, read_line};
use super::words::Query;
use crate::hub::line::Line;

/// How many lines are looked through before the index is asked: it would list every line that has a common word.
const WALK: usize = 2000;

/// The lines that may have what is looked for.
pub(super) const CANDIDATES: &str =
    "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC";

pub(super) fn search(
    db: &Connection,
    room: &Arc<str>,
    words: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Line>> {
    let limit = limit.min(MAX_PAGE);
    let view = db.unchecked_transaction()?;
    let (Some(query), Some((number, indexed))) = (Query::of(words), room_of(&view, room)?) else {
        return Ok(Vec::new());
    };
    if limit == 0 {
        return Ok(Vec::new());
    }
    let top = before.map_or(MAX_ID, |before| before.saturating_sub(1));
    let mut found = Vec::new();
    let walked = walk(&view, number, (indexed, top), |row| {
        if query.fits(row.get_ref(4)?.as_str()?) {
            found.push(read_line(row, room)?);
        }
        Ok(found.len() < limit)
    })?;
    if let Some(lowest) = walked {
        let rest = limit - found.len();
        let below = (key(number, 0), key(number, lowest) - 1);
        look_up(&view, &query, number, below, rest, |row| {
            found.push(read_line(row, room)?);
            Ok(())
        })?;
    }
    found.reverse();
    Ok(found)
}

/// A room's number, and up to which id its lines are in the index.
fn room_of(db: &Connection, room: &str) -> Result<Option<(i64, u64)>> {
    db.prepare_cached("SELECT number, indexed FROM rooms WHERE name = ?")?
        .query_row([room], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Shows the latest lines up to `top` for as long as `look` wants more of them, all that are not in the index and
/// some that are; says where it stopped, if there may be more below that are wanted.
fn walk(
    db: &Connection,
    number: i64,
    (indexed, top): (u64, u64),
    mut look: impl FnMut(&Row<'_>) -> Result<bool>,
) -> Result<Option<u64>> {
    let mut latest = db.prepare_cached(&between(true))?;
    let mut rows = latest.query([key(number, 0), key(number, top), i64::MAX])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        if !look(row)? {
            return Ok(None);
        }
        seen += 1;
        let lowest = id(row.get(0)?);
        if seen >= WALK && lowest <= indexed.saturating_add(1) {
            return Ok(Some(lowest));
        }
    }
    Ok(None)
}

fn look_up(
    db: &Connection,
    query: &Query,
    number: i64,
    (from, to): (i64, i64),
    limit: usize,
    mut take: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut candidates = db.prepare_cached(CANDIDATES)?;
    let line = format!("SELECT {COLUMNS} FROM lines WHERE key = ?");
    let mut line = db.prepare_cached(&line)?;
    let mut keys = candidates.query(params![query.expression(number), from, to])?;
    let mut taken = 0;
    while taken < limit
        && let Some(candidate) = keys.next()?
    {
        let mut rows = line.query([candidate.get::<_, i64>(0)?])?;
        if let Some(row) = rows.next()?
            && query.fits(row.get_ref(4)?.as_str()?)
        {
            take(row)?;
            taken += 1;
        }
    }
    Ok(())
}
