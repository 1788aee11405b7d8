//! A room on this machine: who is in it, and the latest of what happened there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::crier::Crier;
use super::event::{Event, News, Said};
use super::line::{Line, LineKind};
use super::nats::Remote;
use super::ring::Ring;
use super::run::Run;
use super::seat::{Name, Seat};
use super::state::State;
use crate::task;

/// How many events a reader takes at once.
const AT_ONCE: usize = 64;
/// How many sessions are woken at once by whoever has news for them.
const FEW: usize = 16;
/// How many rooms may have somebody in them at once.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Arc<str>,
    inner: Mutex<Inner>,
    herald: Arc<OnceLock<mpsc::Sender<Change>>>,
    crier: Arc<Crier>,
}

/// Somebody with a name came, went, or goes by another: the key and the name, before and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) room: Arc<str>,
    pub(super) before: Option<(Arc<str>, Arc<str>)>,
    pub(super) now: Option<(Arc<str>, Arc<str>)>,
}

impl Change {
    /// What people are told of it.
    pub(super) fn event(&self) -> Option<Event> {
        match (&self.before, &self.now) {
            (Some((_, name)), Some((_, to))) => Some(Event::Renamed {
                name: name.clone(),
                to: to.clone(),
            }),
            (Some((_, name)), None) => Some(Event::Went { name: name.clone() }),
            (None, Some((_, name))) => Some(Event::Came { name: name.clone() }),
            (None, None) => None,
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    ring: Ring,
    seats: HashMap<u64, Arc<Seat>>,
    /// By key.
    people: BTreeMap<Arc<str>, Person>,
    settled: Option<Arc<State>>,
    /// How often what is settled has changed.
    changes: u64,
    /// Whether the crier is called and has not come yet.
    awaits_crier: bool,
}

#[derive(Debug)]
struct Person {
    name: Arc<str>,
    is_guest: bool,
    sessions: usize,
}

impl Room {
    fn new(name: Arc<str>, among: &Rooms) -> Self {
        Self {
            name,
            inner: Mutex::default(),
            herald: among.herald.clone(),
            crier: among.crier.clone(),
        }
    }

    /// Lets `seat` in: the position of what happens from now on.
    pub(super) fn enter(&self, seat: &Arc<Seat>) -> u64 {
        let name = seat.name();
        let mut inner = self.inner();
        let position = inner.ring.end();
        if inner.seats.insert(seat.id, seat.clone()).is_none() && inner.add(&name) {
            self.changed(&mut inner, None, Some(&name));
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
                self.changed(&mut inner, Some(&name), None);
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
        self.changed(&mut inner, gone.then_some(before), new.then_some(now));
    }

    /// Guests come and go by the thousand: nobody is told.
    fn changed(&self, inner: &mut Inner, before: Option<&Name>, now: Option<&Name>) {
        let of = |name: Option<&Name>| {
            let name = name.filter(|name| !name.is_guest)?;
            Some((name.key.clone(), name.shown.clone()))
        };
        let change = Change {
            room: self.name.clone(),
            before: of(before),
            now: of(now),
        };
        let Some(event) = change.event() else {
            return;
        };
        self.tell(inner, event);
        if let Some(herald) = self.herald.get() {
            // Other machines are told of everyone from time to time, and so of this one.
            let _ = herald.try_send(change);
        }
    }

    /// Sessions of one person are to leave.
    pub(super) fn throw_out(&self, seats: &[Arc<Seat>], why: &Arc<str>) {
        for seat in seats {
            if self.leave(seat) {
                let parted = News::Parted {
                    room: self.name.clone(),
                    why: why.clone(),
                };
                // There is always room for this.
                let _ = seat.put(parted);
            }
        }
    }

    /// People here with names of their own.
    pub(super) fn named(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let inner = self.inner();
        let people = inner.people.iter().filter(|(_, person)| !person.is_guest);
        people
            .map(|(key, person)| (key.clone(), person.name.clone()))
            .collect()
    }

    /// Everyone is told of these lines of this room.
    fn say<'a>(&self, lines: impl Iterator<Item = &'a Arc<Line>>) {
        let mut inner = self.inner();
        for line in lines {
            if matches!(line.kind, LineKind::Topic | LineKind::Order) {
                inner.unsettle();
            }
            let event = Event::Said(Said::new(line.clone()));
            inner.ring.push(Arc::new(event));
        }
        self.has_news(&mut inner);
    }

    fn tell(&self, inner: &mut Inner, event: Event) {
        inner.ring.push(Arc::new(event));
        self.has_news(inner);
    }

    /// A few are woken at once.
    fn has_news(&self, inner: &mut Inner) {
        if inner.seats.len() <= FEW {
            inner.wake();
        } else if !std::mem::replace(&mut inner.awaits_crier, true) {
            self.crier.call(self.name.clone());
        }
    }

    /// Wakes everyone.
    pub(super) fn wake(&self) {
        let mut inner = self.inner();
        inner.awaits_crier = false;
        inner.wake();
    }

    /// Events from `position` on, a few at once, and whether something stood before them that is gone: where to go on.
    pub(super) fn read(&self, position: u64, into: &mut VecDeque<Arc<Event>>) -> (u64, bool) {
        let inner = self.inner();
        let lost = inner.ring.has_lost(position);
        let mut position = position;
        while let Some((event, next)) = inner.ring.at(position).filter(|_| into.len() < AT_ONCE) {
            into.push_back(event.clone());
            position = next;
        }
        (position, lost)
    }

    /// Lines from `position` on, put together, if there are several.
    pub(super) fn run(&self, position: u64) -> Option<Arc<Run>> {
        self.inner().ring.run(position)
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
            .map(|(key, person)| (key.clone(), person.name.clone(), person.sessions))
            .collect()
    }

    /// The names of the first `most` people, in the order of their keys.
    pub(super) fn names(&self, most: usize) -> Vec<Arc<str>> {
        let inner = self.inner();
        let people = inner.people.values().take(most);
        people.map(|person| person.name.clone()).collect()
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
        self.inner().unsettle();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether the person was not there.
    fn add(&mut self, name: &Name) -> bool {
        let person = self
            .people
            .entry(name.key.clone())
            .or_insert_with(|| Person {
                name: name.shown.clone(),
                is_guest: name.is_guest,
                sessions: 0,
            });
        person.name = name.shown.clone();
        person.sessions += 1;
        person.sessions == 1
    }

    /// Whether the person is gone.
    fn remove(&mut self, key: &str) -> bool {
        let Some(person) = self.people.get_mut(key) else {
            return false;
        };
        person.sessions -= 1;
        let gone = person.sessions == 0;
        if gone {
            self.people.remove(key);
        }
        gone
    }

    fn unsettle(&mut self) {
        self.changes += 1;
        self.settled = None;
    }

    fn wake(&self) {
        for seat in self.seats.values() {
            seat.bell.notify_one();
        }
    }
}

/// The rooms that somebody is in.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    by_name: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    remote: Remote,
    herald: Arc<OnceLock<mpsc::Sender<Change>>>,
    crier: Arc<Crier>,
    at_work: OnceLock<AbortOnDropHandle<()>>,
    tasks: TaskTracker,
}

impl Rooms {
    /// Lets `seat` into the room, which is there from then on: where its news begin.
    pub(super) fn enter(
        self: &Arc<Self>,
        name: &str,
        seat: &Arc<Seat>,
    ) -> Option<(Arc<Room>, u64)> {
        self.at_work.get_or_init(|| {
            let work = self.crier.clone().run(Arc::downgrade(self));
            AbortOnDropHandle::new(task::spawn(&self.tasks, work))
        });
        let mut by_name = self.by_name();
        let room = match by_name.get(name) {
            Some(room) => room.clone(),
            None if by_name.len() >= MOST => return None,
            None => {
                let room = Arc::new(Room::new(name.into(), self));
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

    /// Whoever comes or goes from now on is told there.
    pub(super) fn heralded_by(&self, herald: mpsc::Sender<Change>) {
        // A hub has one connection to others.
        let _ = self.herald.set(herald);
    }

    /// Who is on other machines.
    pub(super) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Tells whoever is in the room what happened there on another machine.
    pub(super) fn tell(&self, room: &str, event: Event) {
        if let Some(room) = self.get(room) {
            room.tell(&mut room.inner(), event);
        }
    }

    /// All that somebody is in.
    pub(super) fn all(&self) -> Vec<Arc<Room>> {
        self.by_name().values().cloned().collect()
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
