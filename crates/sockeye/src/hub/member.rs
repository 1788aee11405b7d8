//! Somebody in the hub, as their session sees it: which rooms they are in, and what is new there.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use wire::nickname::Nickname;

use super::event::{Event, News};
use super::rate::Bucket;
use super::refusal::{Refusal, Why};
use super::room::Room;
use super::seat::Seat;
use super::store::Span;
use super::{Hub, Line, Slow};

mod claims;
mod looks;
mod orders;
mod says;

pub use looks::{Found, Look, Presence, RoomFacts};
pub use orders::Order;
pub use says::Await;

pub(super) use claims::random;

/// How many rooms a session may be in.
const MOST_ROOMS: usize = 32;
/// How many names somebody is told who enters.
const MOST_NAMED: usize = 500;
/// How many lines are read from the store at once.
const PAGE: usize = 200;
/// How often a wrong password may be said in a session.
const ATTEMPTS: u32 = 5;

/// What is kept of a token: whoever reads the store cannot come back as somebody else.
type Hash = [u8; 32];

/// One session's person. Dropping it takes them out of every room.
pub struct Member {
    hub: Hub,
    seat: Arc<Seat>,
    places: Vec<Place>,
    bucket: Option<Bucket>,
    looks: Bucket,
    wrong_passwords: u32,
    is_moderator: bool,
    /// What they can come back with, so that their name waits for them when they are gone.
    tokens: Vec<Hash>,
    nonce: u64,
}

/// A room that a session is in, and how far it has read there.
struct Place {
    room: Arc<Room>,
    /// Of the next event that is not ready.
    position: u64,
    /// Events that were taken and not told yet.
    ready: VecDeque<Arc<Event>>,
    /// The last line that it has, or does not want.
    seen: u64,
    /// Lines up to this one are read from the store.
    goal: u64,
    /// It still reads what it missed while it was away, so whatever leaves the room's ring meanwhile is read from the
    /// store as well.
    returning: bool,
}

/// What a session finds when it enters a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The room's name.
    pub room: Arc<str>,
    /// What it is about.
    pub topic: String,
    /// Who may give orders there.
    pub owners: Vec<String>,
    /// Who is there: the first few hundred.
    pub people: Vec<Arc<str>>,
    /// How many are.
    pub count: usize,
    /// The first line that is kept; 0 if there is none.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The lines that it will be told come after this one.
    pub after: u64,
}

impl Member {
    pub(super) fn new(hub: Hub, seat: Arc<Seat>) -> Self {
        let bucket = hub.0.options.rate.map(Bucket::full);
        Self {
            hub,
            seat,
            places: Vec::new(),
            bucket,
            looks: Bucket::full(looks::LOOKS),
            wrong_passwords: 0,
            is_moderator: false,
            tokens: Vec::new(),
            nonce: u64::from_be_bytes(random()),
        }
    }

    /// The name that they go by.
    pub fn name(&self) -> Arc<str> {
        self.seat.name().shown.clone()
    }

    /// Whether the name was given to them, and not chosen.
    pub fn is_guest(&self) -> bool {
        self.seat.name().is_guest
    }

    /// No other session, of this or of another hub, has had this number.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Where they meet.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The rooms that they are in, in the order in which they entered.
    pub fn rooms(&self) -> impl Iterator<Item = &Arc<str>> {
        self.places.iter().map(|place| &place.room.name)
    }

    /// Enters a room. They are told what was said after line `after`, or else the `latest` lines.
    ///
    /// # Errors
    /// When the name is unfit, they are banned there, are in too many rooms, or the store fails.
    pub async fn enter(
        &mut self,
        room: &str,
        after: Option<u64>,
        latest: u64,
    ) -> Result<Entered, Refusal> {
        let name = room_name(room)?;
        if self.places.len() >= MOST_ROOMS && self.place(&name).is_none() {
            return Err(
                Why::Full.because(format!("you are in {MOST_ROOMS} rooms: leave one first"))
            );
        }
        self.check_ban(&name).await?;
        self.hub.0.records.follow(&name).await?;
        let (room, position) = self
            .hub
            .0
            .rooms
            .enter(&name, &self.seat)
            .ok_or_else(|| Why::Full.because("there are too many rooms"))?;
        let found = match self.hub.0.records.follow_begun(&name).await {
            Ok(()) => self.look_around(&room, after, latest, position).await,
            Err(refusal) => Err(refusal),
        };
        if found.is_err() && self.place(&name).is_none() {
            self.hub.0.rooms.leave(&room, &self.seat);
        }
        found
    }

    async fn look_around(
        &mut self,
        room: &Arc<Room>,
        after: Option<u64>,
        latest: u64,
        position: u64,
    ) -> Result<Entered, Refusal> {
        self.found(&room.name).await?;
        let state = self.hub.state(&room.name).await?;
        let (first, last) = self.hub.0.records.bounds(&room.name).await?;
        // A number from another life of the room is none.
        let after = after.filter(|after| *after <= last);
        let seen =
            after.unwrap_or_else(|| last.saturating_sub(latest).max(first.saturating_sub(1)));
        let place = Place {
            room: room.clone(),
            position,
            ready: VecDeque::new(),
            seen,
            goal: last,
            returning: true,
        };
        match self
            .places
            .iter_mut()
            .find(|old| old.room.name == room.name)
        {
            Some(old) => *old = place,
            None => self.places.push(place),
        }
        let (people, count) = self.hub.names(&room.name, MOST_NAMED);
        Ok(Entered {
            room: room.name.clone(),
            topic: state.topic.clone(),
            owners: state
                .owners
                .iter()
                .map(|owner| owner.name.clone())
                .collect(),
            count,
            people,
            first,
            last,
            after: seen,
        })
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// When they are not in it.
    pub fn part(&mut self, room: &str) -> Result<Arc<str>, Refusal> {
        let name = room_name(room)?;
        let at = self
            .places
            .iter()
            .position(|place| *place.room.name == *name);
        let place = self.places.remove(at.ok_or_else(|| not_in(&name))?);
        self.hub.0.rooms.leave(&place.room, &self.seat);
        Ok(place.room.name.clone())
    }

    /// What is new, when there is something. Cancel-safe.
    pub async fn news(&mut self) -> News {
        loop {
            if let Some(news) = self.try_news() {
                return news;
            }
            if let Some(news) = self.read_on().await {
                return news;
            }
            self.seat.bell.notified().await;
        }
    }

    /// What is new and can be told at once.
    pub fn try_news(&mut self) -> Option<News> {
        if let Some(news) = self.seat.take() {
            if let News::Parted { room, .. } = &news {
                // Whoever threw it out has taken it off the room's list.
                self.places.retain(|place| place.room.name != *room);
            }
            return Some(news);
        }
        let slow = self.hub.0.options.slow;
        self.places.iter_mut().find_map(|place| place.next(slow))
    }

    /// Resolves when they read more slowly than the hub allows ([`Slow::End`]); never where it allows everything.
    pub(crate) async fn falls_behind(&self) {
        if self.hub.0.options.slow != Slow::End {
            return std::future::pending().await;
        }
        while !self
            .places
            .iter()
            .any(|place| place.room.has_lost(place.position))
        {
            self.seat.bell.notified().await;
        }
    }

    /// Lines from the store, for whoever has not come to the present. `None` if nothing is left to read.
    async fn read_on(&mut self) -> Option<News> {
        let store = &self.hub.0.records;
        for place in &mut self.places {
            if place.seen >= place.goal {
                continue;
            }
            let room = place.room.name.clone();
            let lines = match store.lines(&room, Span::After(place.seen), PAGE).await {
                Ok(lines) => lines,
                Err(error) => {
                    let (from, to) = (place.seen + 1, place.goal);
                    place.seen = place.goal;
                    let text = format!("lines {from} to {to} of #{room} cannot be read: {error}");
                    return Some(News::Notice(text.into()));
                }
            };
            return Some(place.past(room, lines));
        }
        None
    }

    fn place(&self, room: &str) -> Option<&Place> {
        self.places.iter().find(|place| *place.room.name == *room)
    }
}

impl Place {
    /// The next that is new; nothing as long as there are older lines to read from the store.
    fn next(&mut self, slow: Slow) -> Option<News> {
        loop {
            if self.seen < self.goal {
                return None;
            }
            if self.ready.is_empty()
                && !self.returning
                && let Some(run) = self.room.run(self.position)
                && run.ids().0 == self.seen + 1
            {
                (self.position, self.seen) = (run.end(), run.ids().1);
                let room = self.room.name.clone();
                return Some(News::Run { room, run });
            }
            if self.ready.is_empty() {
                let (position, lost) = self.room.read(self.position, &mut self.ready);
                self.position = position;
                if lost && !self.returning && slow == Slow::End {
                    return Some(News::Bye("you read more slowly than people write".into()));
                }
            }
            let Some(event) = self.ready.front() else {
                self.returning = false;
                // A reader who waits holds nothing.
                self.ready = VecDeque::new();
                return None;
            };
            if let Event::Said(said) = &**event {
                let id = said.line.id;
                if id > self.seen + 1 && self.returning {
                    self.goal = id - 1;
                    continue;
                }
                if id > self.seen + 1 {
                    return Some(self.missed(id - 1));
                }
                if id <= self.seen {
                    self.ready.pop_front();
                    continue;
                }
                self.seen = id;
                self.returning = false;
            }
            let room = self.room.name.clone();
            return self
                .ready
                .pop_front()
                .map(|event| News::Event { room, event });
        }
    }

    /// The lines after the last seen one up to `to` are skipped.
    fn missed(&mut self, to: u64) -> News {
        let from = self.seen + 1;
        self.seen = to;
        News::Missed {
            room: self.room.name.clone(),
            from,
            to,
        }
    }

    /// What the store gave for the lines behind the last seen one.
    fn past(&mut self, room: Arc<str>, mut lines: Vec<Line>) -> News {
        lines.retain(|line| line.id <= self.goal);
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return self.missed(self.goal);
        };
        if first.id > self.seen + 1 {
            return self.missed(first.id - 1);
        }
        self.seen = last.id;
        News::Past { room, lines }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        for place in &self.places {
            self.hub.0.rooms.leave(&place.room, &self.seat);
        }
        self.hub.0.people.leave(&self.seat, !self.tokens.is_empty());
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name())
            .field("rooms", &self.rooms().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A room's name as it is kept: small letters, without `#`.
fn room_name(text: &str) -> Result<String, Refusal> {
    let name: Nickname = text.strip_prefix('#').unwrap_or(text).parse()?;
    Ok(name.as_str().to_lowercase())
}

fn not_in(room: &str) -> Refusal {
    Why::NotThere.because(format!("you are not in #{room}: /join {room}"))
}

#[cfg(test)]
mod tests;
