//! Where the sessions of one room meet: what is said is kept first and then told to everyone, in one order.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::token::Token;

mod event;
mod line;
mod member;
mod password;
mod people;
mod rate;
mod refusal;
mod ring;
mod room;
mod seat;
mod state;
pub mod store;

pub use event::{Event, Form, News, Said, Told};
pub use line::{Draft, Line, LineKind, Receipt};
pub use member::{Await, Entered, Found, Look, Member, Order, Presence, RoomFacts};
pub use rate::LineRate;
pub use refusal::{Refusal, Why};

use crate::error::StoreError;
use people::People;
use room::Rooms;
use seat::{Name, Seat};
use store::{Retention, Store};

/// The longest line, in bytes of UTF-8.
pub const MAX_LINE: usize = 8192;

/// Rooms, the people in them, and what they said. Cheap to clone: all clones are one hub.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    store: Store,
    rooms: Arc<Rooms>,
    people: People,
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
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// When the database is none, is broken, is of a newer version, or is open elsewhere. It is left as it was.
    pub fn open(options: HubOptions) -> Result<Self, StoreError> {
        let rooms = Arc::new(Rooms::default());
        let feed = {
            let rooms = rooms.clone();
            move |lines: &[Arc<Line>]| rooms.deliver(lines)
        };
        let store = Store::open(options.at.as_deref(), options.keep, feed)?;
        Ok(Self(Arc::new(Shared {
            store,
            rooms,
            people: People::default(),
            options,
            next_seat: AtomicU64::new(1),
        })))
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
        let text: Arc<str> = text.into();
        for seat in self.0.people.all() {
            // Who has no room for it has not read what came before, either.
            let _ = seat.put(News::Notice(text.clone()));
        }
    }

    /// Tells everyone that this is the end.
    pub fn close(&self, text: &str) {
        let text: Arc<str> = text.into();
        for seat in self.0.people.all() {
            // There is always room for this.
            let _ = seat.put(News::Bye(text.clone()));
        }
    }

    /// What it works by.
    pub fn options(&self) -> &HubOptions {
        &self.0.options
    }

    /// Where lines are kept.
    pub fn store(&self) -> &Store {
        &self.0.store
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
