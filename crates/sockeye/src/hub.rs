//! Where the sessions of one room meet: what is said is kept first and then told to everyone, in one order.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::token::Token;

mod crier;
mod event;
mod line;
mod member;
mod nats;
mod password;
mod people;
mod rate;
mod records;
mod refusal;
mod ring;
mod room;
mod run;
mod seat;
mod state;
pub mod store;

pub use event::{Event, Form, News, Said, Told};
pub use line::{Draft, Line, LineKind, Receipt};
pub use member::{Await, Entered, Found, Look, Member, Order, Presence, RoomFacts};
pub use nats::NatsOptions;
pub use rate::LineRate;
pub use refusal::{Refusal, Why};
pub use run::Run;

use crate::error::StoreError;
use nats::Nats;
use people::People;
use records::Records;
use room::Rooms;
use seat::{Name, Seat};
use store::{Retention, RoomRow, Store};

/// The longest line, in bytes of UTF-8.
pub const MAX_LINE: usize = 8192;

/// Rooms, the people in them, and what they said. Cheap to clone: all clones are one hub.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    records: Records,
    rooms: Arc<Rooms>,
    people: Arc<People>,
    options: HubOptions,
    next_seat: AtomicU64,
}

/// How a [`Hub`] works.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The database's file; without one nothing outlives the process.
    pub at: Option<PathBuf>,
    /// How long lines are kept.
    pub keep: Retention,
    /// How much one session may say.
    pub rate: Option<LineRate>,
    /// What becomes of a session that reads more slowly than lines come.
    pub slow: Slow,
    /// Makes whoever says it an owner of every room.
    pub moderators: Option<Token>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            at: None,
            keep: Retention::default(),
            rate: Some(LineRate::default()),
            slow: Slow::Skip,
            moderators: None,
        }
    }
}

/// What becomes of a session that is thousands of lines behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slow {
    /// The oldest lines that it has not read are skipped, and it is told which.
    #[default]
    Skip,
    /// It is ended.
    End,
}

impl Hub {
    /// Opens the store, or makes it: a chat of this machine alone.
    ///
    /// # Errors
    /// When the database is none, is broken, is of a newer version, or is open elsewhere. It is left as it was.
    pub fn open(options: HubOptions) -> Result<Self, StoreError> {
        let rooms = Arc::new(Rooms::default());
        let store = open(&options, &rooms)?;
        Ok(Self::of(
            options,
            rooms,
            Arc::default(),
            Records { store, nats: None },
        ))
    }

    /// One chat of several machines, who meet at `nats`. The store is this machine's copy of what is said.
    ///
    /// # Errors
    /// As [`open`](Self::open), or when the servers of NATS cannot be reached or have no JetStream.
    pub async fn join(options: HubOptions, nats: &NatsOptions) -> crate::error::Result<Self> {
        let rooms = Arc::new(Rooms::default());
        let people = Arc::new(People::default());
        let store = open(&options, &rooms)?;
        let nats = Nats::connect(
            nats,
            options.keep,
            store.clone(),
            rooms.clone(),
            people.clone(),
        );
        let nats = Some(nats.await?);
        Ok(Self::of(options, rooms, people, Records { store, nats }))
    }

    fn of(options: HubOptions, rooms: Arc<Rooms>, people: Arc<People>, records: Records) -> Self {
        Self(Arc::new(Shared {
            records,
            rooms,
            people,
            options,
            next_seat: AtomicU64::new(1),
        }))
    }

    /// How safe a line is that was acknowledged, in words for people.
    pub fn promise(&self) -> String {
        match (&self.0.records.nats, &self.0.options.at) {
            (Some(nats), _) => nats.promise(),
            (None, Some(_)) => "written to disk before you see the tick".to_owned(),
            (None, None) => "kept in memory until the server ends".to_owned(),
        }
    }

    /// Whether a power cut takes no line that was acknowledged.
    pub fn outlives_power_cuts(&self) -> bool {
        match (&self.0.records.nats, &self.0.options.at) {
            (Some(nats), _) => nats.outlives_power_cuts(),
            (None, at) => at.is_some(),
        }
    }

    /// The names of some of those who are in a room, and how many all are.
    fn names(&self, room: &str, most: usize) -> (Vec<Arc<str>>, usize) {
        let remote = self.0.rooms.remote().people(room);
        if !remote.is_empty() {
            let people = self.people(room);
            let names = people.iter().take(most).map(|(_, name, _)| name.clone());
            return (names.collect(), people.len());
        }
        // As in most rooms, and thousands may come at once: they are not all looked at for each.
        match self.0.rooms.get(room) {
            Some(room) => (room.names(most), room.count()),
            None => (Vec::new(), 0),
        }
    }

    /// Keys, names and numbers of sessions of those who are in a room, on this machine and on others.
    fn people(&self, room: &str) -> Vec<(Arc<str>, Arc<str>, usize)> {
        let here = self.0.rooms.get(room).map(|room| room.people());
        let mut people = here.unwrap_or_default();
        for (key, name) in self.0.rooms.remote().people(room) {
            match people.iter_mut().find(|(known, _, _)| *known == key) {
                Some((_, _, sessions)) => *sessions += 1,
                None => people.push((key, name, 1)),
            }
        }
        people
    }

    /// Somebody who came from there, as a guest, in no room.
    pub fn member(&self, from: Option<IpAddr>) -> Member {
        let id = self.0.next_seat.fetch_add(1, Relaxed);
        loop {
            let name = Name::guest();
            let seat = Arc::new(Seat::new(id, from, name.clone()));
            if self.0.people.claim(&seat, name, people::Claim::New) {
                return Member::new(self.clone(), seat);
            }
        }
    }

    /// Tells everyone something.
    pub fn notice(&self, text: &str) {
        self.0.people.tell(text, News::Notice);
    }

    /// Tells everyone that this is the end.
    pub fn close(&self, text: &str) {
        self.0.people.tell(text, News::Bye);
        if let Some(nats) = &self.0.records.nats {
            nats.stop();
        }
    }

    /// What it works by.
    pub fn options(&self) -> &HubOptions {
        &self.0.options
    }

    /// Where lines are kept.
    pub fn store(&self) -> &Store {
        &self.0.records.store
    }
}

fn open(options: &HubOptions, rooms: &Arc<Rooms>) -> Result<Store, StoreError> {
    let rooms = rooms.clone();
    let feed = move |lines: &[Arc<Line>]| rooms.deliver(lines);
    Store::open(options.at.as_deref(), options.keep, feed)
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
