//! Deleting what is too old or too much, in small steps between commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::Retention;
use super::batch::{Batch, Room};
use super::database::{MAX_ID, fault};
use super::lines::{NEXT, id, key};
use crate::error::StoreFault;

/// Lines that one step deletes, so that nobody waits long for it.
const STEP: usize = 250;
/// Rooms that one step looks into.
const ROOMS: usize = 250;
/// Lines that may grow too old in one round, if no more came; see [`Retention::age`].
const AGED: usize = 1000;
/// So many lines begin a new round before its time.
const MANY: usize = 4096;

/// When to clean up what.
pub(super) struct Cleaner {
    keep: Retention,
    every: Duration,
    next: Instant,
    ageing: Ageing,
    /// Lines that came since the round began.
    came: usize,
    /// How many more may go in this round because of their age.
    aged: usize,
    /// Rooms that this round has not done yet.
    rooms: Vec<Arc<str>>,
}

/// The clock that lines grow old by. It follows the machine's, but never goes faster than twice as fast as time
/// passes: a clock that jumps ahead and comes back has then changed little.
struct Ageing {
    at: Timestamp,
    seen: Instant,
}

impl Ageing {
    fn now(&mut self, clock: Timestamp, passed: Instant) -> Timestamp {
        let passed_since = passed.saturating_duration_since(self.seen) * 2;
        let most = SignedDuration::try_from(passed_since)
            .ok()
            .and_then(|passed| self.at.checked_add(passed).ok());
        self.seen = passed;
        self.at = most.map_or(clock, |most| clock.min(most));
        self.at
    }
}

impl Cleaner {
    pub(super) fn new(keep: Retention, every: Duration, now: Timestamp) -> Self {
        let seen = Instant::now();
        Self {
            keep,
            every,
            next: seen + every,
            ageing: Ageing { at: now, seen },
            came: 0,
            aged: 0,
            rooms: Vec::new(),
        }
    }

    /// So many lines were added.
    pub(super) fn came(&mut self, lines: usize) {
        self.came += lines;
    }

    /// How long the writer may wait for other work; `None` is for ever.
    pub(super) fn pause(&self) -> Option<Duration> {
        if self.keep == Retention::default() {
            return None;
        }
        if !self.rooms.is_empty() {
            return Some(Duration::ZERO);
        }
        Some(self.next.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_due(&self) -> bool {
        self.pause()
            .is_some_and(|pause| pause.is_zero() || self.came >= MANY)
    }

    /// Deletes some lines.
    pub(super) fn step(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreFault> {
        if self.rooms.is_empty() {
            self.rooms = batch.rooms.names();
            self.aged = AGED.max(self.came * 2);
            self.came = 0;
            self.next = Instant::now() + self.every;
        }
        let now = self.ageing.now(batch.now, Instant::now());
        let mut deleted = 0;
        for _ in 0..ROOMS {
            let Some(name) = self.rooms.pop() else { break };
            let Some(room) = batch.rooms.get(&name) else {
                continue;
            };
            deleted += self.shorten(batch, &name, room, now)?;
            if deleted >= STEP {
                // There may be more to delete.
                self.rooms.push(name);
                break;
            }
        }
        Ok(())
    }

    /// What could not be deleted is deleted in another round.
    pub(super) fn give_up(&mut self) {
        self.rooms.clear();
        self.came = 0;
        self.next = Instant::now() + self.every;
    }

    /// Deletes the first lines of a room, at most [`STEP`]; says how many.
    fn shorten(
        &mut self,
        batch: &mut Batch<'_>,
        name: &Arc<str>,
        room: Room,
        now: Timestamp,
    ) -> Result<usize, StoreFault> {
        let surplus = self
            .keep
            .lines
            .map_or(0, |lines| room.last.saturating_sub(lines));
        if room.floor >= room.last || (surplus <= room.floor && self.keep.age.is_none()) {
            return Ok(0);
        }
        let doomed = self.doomed(batch, room, surplus, now).map_err(fault)?;
        let Some(last) = doomed.last() else {
            return Ok(0);
        };
        let floor = id(*last);
        let delete = || {
            let db = batch.db;
            let mut words = db.prepare_cached("DELETE FROM words WHERE rowid = ?")?;
            for key in &doomed {
                words.execute([key])?;
            }
            db.prepare_cached("DELETE FROM lines WHERE key BETWEEN ? AND ?")?
                .execute(params![key(room.number, 0), last])?;
            db.prepare_cached("UPDATE rooms SET floor = ? WHERE number = ?")?
                .execute(params![floor, room.number])
        };
        delete().map_err(fault)?;
        batch.rooms.set(name, Room { floor, ..room });
        Ok(doomed.len())
    }

    /// The keys of the first lines that are beyond the count or too old. Only lines at the beginning go, so that what
    /// is left has no gaps: one that says it is from the future goes with the next one after it that is too old.
    fn doomed(
        &mut self,
        batch: &Batch<'_>,
        room: Room,
        surplus: u64,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<i64>> {
        let too_old = self.keep.age.and_then(|age| now.checked_sub(age).ok());
        let too_old = too_old.map(Timestamp::as_millisecond);
        let mut first = batch.db.prepare_cached(NEXT)?;
        let all = (key(room.number, 0), key(room.number, MAX_ID));
        let mut rows = first.query(params![all.0, all.1, STEP as i64])?;
        let mut keys = Vec::new();
        let mut doomed = 0;
        while let Some(row) = rows.next()? {
            let (key, time): (i64, i64) = (row.get(0)?, row.get(1)?);
            let is_surplus = id(key) <= surplus;
            let is_too_old = too_old.is_some_and(|limit| time < limit);
            let undecided = too_old.is_some() && time > now.as_millisecond();
            if !(is_surplus || undecided || (is_too_old && self.aged > 0)) {
                break;
            }
            keys.push(key);
            if is_surplus || is_too_old {
                self.aged = self.aged.saturating_sub(usize::from(!is_surplus));
                doomed = keys.len();
            }
        }
        keys.truncate(doomed);
        Ok(keys)
    }
}
