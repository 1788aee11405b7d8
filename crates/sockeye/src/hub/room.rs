//! A room on this machine: who is in it, and the latest of what happened there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{Event, Said};
use super::line::Line;
use super::ring::Ring;
use super::seat::{Name, Seat};
use super::state::State;

/// How many rooms may have somebody in them at once.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Arc<str>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ring: Ring,
    seats: HashMap<u64, Arc<Seat>>,
    /// By key: the name, and how many sessions go by it.
    people: BTreeMap<Arc<str>, (Arc<str>, usize)>,
    settled: Option<Arc<State>>,
    /// How often what is settled has changed.
    changes: u64,
}

/// One event for a reader.
pub(super) struct Next {
    pub(super) event: Arc<Event>,
    /// Where to go on.
    pub(super) position: u64,
    /// Whether something stood before it that is gone.
    pub(super) lost: bool,
}

impl Room {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            inner: Mutex::default(),
        }
    }

    /// Lets `seat` in: the position of what happens from now on.
    pub(super) fn enter(&self, seat: &Arc<Seat>) -> u64 {
        let name = seat.name();
        let mut inner = self.inner();
        let position = inner.ring.end();
        if inner.seats.insert(seat.id, seat.clone()).is_none() && inner.add(&name) {
            inner.tell(came(&name));
        }
        position
    }

    /// Whether it was in.
    pub(super) fn leave(&self, seat: &Seat) -> bool {
        let mut inner = self.inner();
        let was_in = inner.seats.remove(&seat.id).is_some();
        if was_in {
            let name = seat.name();
            if inner.remove(&name.key) {
                inner.tell(went(&name));
            }
        }
        was_in
    }

    /// A session goes by another name.
    pub(super) fn rename(&self, seat: &Seat, before: &Name, now: &Name) {
        let mut inner = self.inner();
        if !inner.seats.contains_key(&seat.id) {
            return;
        }
        let (gone, new) = (inner.remove(&before.key), inner.add(now));
        let event = match (gone && !before.is_guest, new && !now.is_guest) {
            (true, true) => Some(Event::Renamed {
                name: before.shown.clone(),
                to: now.shown.clone(),
            }),
            (true, false) => went(before),
            (false, true) => came(now),
            (false, false) => None,
        };
        inner.tell(event);
    }

    /// Everyone is told of these lines of this room.
    fn say<'a>(&self, lines: impl Iterator<Item = &'a Arc<Line>>) {
        let mut inner = self.inner();
        for line in lines {
            let event = Event::Said(Said::new(line.clone()));
            inner.ring.push(Arc::new(event));
        }
        inner.ring_bells();
    }

    pub(super) fn at(&self, position: u64) -> Option<Next> {
        let inner = self.inner();
        let (event, next) = inner.ring.at(position)?;
        Some(Next {
            event: event.clone(),
            position: next,
            lost: inner.ring.has_lost(position),
        })
    }

    /// Whether what stood at `position` is gone.
    pub(super) fn has_lost(&self, position: u64) -> bool {
        self.inner().ring.has_lost(position)
    }

    /// Names, and how many sessions each has, in the order of their keys.
    pub(super) fn people(&self) -> Vec<(Arc<str>, Arc<str>, usize)> {
        let inner = self.inner();
        let people = inner.people.iter();
        people
            .map(|(key, (name, sessions))| (key.clone(), name.clone(), *sessions))
            .collect()
    }

    /// The names of the first `most` people, in the order of their keys.
    pub(super) fn names(&self, most: usize) -> Vec<Arc<str>> {
        let inner = self.inner();
        let people = inner.people.values().take(most);
        people.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.inner().people.len()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.inner().people.contains_key(key)
    }

    /// What the owners have settled, if it was read before.
    pub(super) fn settled(&self) -> Option<Arc<State>> {
        self.inner().settled.clone()
    }

    pub(super) fn changes(&self) -> u64 {
        self.inner().changes
    }

    /// It was read when there had been `changes`.
    pub(super) fn settle(&self, state: Arc<State>, changes: u64) {
        let mut inner = self.inner();
        if inner.changes == changes {
            inner.settled = Some(state);
        }
    }

    /// It has changed.
    pub(super) fn unsettle(&self) {
        let mut inner = self.inner();
        inner.changes += 1;
        inner.settled = None;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether the person was not there.
    fn add(&mut self, name: &Name) -> bool {
        let entry = self.people.entry(name.key.clone());
        let (shown, sessions) = entry.or_insert_with(|| (name.shown.clone(), 0));
        *shown = name.shown.clone();
        *sessions += 1;
        *sessions == 1
    }

    /// Whether the person is gone.
    fn remove(&mut self, key: &str) -> bool {
        let Some((_, sessions)) = self.people.get_mut(key) else {
            return false;
        };
        *sessions -= 1;
        let gone = *sessions == 0;
        if gone {
            self.people.remove(key);
        }
        gone
    }

    fn tell(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.ring.push(Arc::new(event));
            self.ring_bells();
        }
    }

    fn ring_bells(&self) {
        for seat in self.seats.values() {
            seat.bell.notify_one();
        }
    }
}

/// Guests come and go by the thousand: nobody is told.
fn came(name: &Name) -> Option<Event> {
    (!name.is_guest).then(|| Event::Came {
        name: name.shown.clone(),
    })
}

fn went(name: &Name) -> Option<Event> {
    (!name.is_guest).then(|| Event::Went {
        name: name.shown.clone(),
    })
}

/// The rooms that somebody is in.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    by_name: Mutex<HashMap<Arc<str>, Arc<Room>>>,
}

impl Rooms {
    /// Lets `seat` into the room, which is there from then on: where its news begin.
    pub(super) fn enter(&self, name: &str, seat: &Arc<Seat>) -> Option<(Arc<Room>, u64)> {
        let mut by_name = self.by_name();
        let room = match by_name.get(name) {
            Some(room) => room.clone(),
            None if by_name.len() >= MOST => return None,
            None => {
                let room = Arc::new(Room::new(name.into()));
                by_name.insert(room.name.clone(), room.clone());
                room
            }
        };
        let position = room.enter(seat);
        Some((room, position))
    }

    /// Lets `seat` out. A room that nobody is in is none.
    pub(super) fn leave(&self, room: &Room, seat: &Seat) {
        let mut by_name = self.by_name();
        room.leave(seat);
        if room.inner().seats.is_empty() {
            by_name.remove(&room.name);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.by_name().get(name).cloned()
    }

    /// Tells whoever is in their rooms of these lines, which are in the order of their ids.
    pub(super) fn deliver(&self, lines: &[Arc<Line>]) {
        let mut rest = lines;
        while let Some(first) = rest.first() {
            let same = rest
                .iter()
                .take_while(|line| line.room == first.room)
                .count();
            let (run, others) = rest.split_at(same);
            if let Some(room) = self.get(&first.room) {
                room.say(run.iter());
            }
            rest = others;
        }
    }

    /// Names, with how many people are there.
    pub(super) fn list(&self) -> Vec<(Arc<str>, usize)> {
        let by_name = self.by_name();
        let rooms = by_name.values();
        rooms
            .map(|room| (room.name.clone(), room.count()))
            .collect()
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
