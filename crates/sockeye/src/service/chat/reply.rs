//! What somebody in a chat is answered, before it is written one way or the other.

use std::sync::Arc;
use std::time::Duration;

use crate::hub::{Entered, Found, LineRate, Presence, Refusal, RoomFacts};

/// An answer to an [`Ask`](super::ask::Ask).
#[derive(Debug)]
pub(super) enum Reply {
    Welcome(Welcome),
    Entered(Entered),
    Parted(Arc<str>),
    Named {
        name: Arc<str>,
        is_guest: bool,
    },
    Done {
        /// The line that it became.
        line: Option<(Arc<str>, u64)>,
        /// It waits for somebody.
        is_kept: bool,
    },
    Refused(Refusal),
    Found(Found),
    Who(Arc<str>, Vec<Presence>),
    Rooms(Vec<RoomFacts>),
    Topic(Arc<str>, String),
    Token(String),
    Notice(&'static str),
    Help,
    /// Say this word: whoever can must be where they say they are.
    Again(String),
    Pong,
    Bye(Arc<str>),
}

/// What a session is told first.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) name: Arc<str>,
    pub(super) is_guest: bool,
    /// The token to come back with.
    pub(super) resume: Option<String>,
    pub(super) rate: Option<LineRate>,
    pub(super) keeps: Keeps,
}

/// How long what is said is kept, and how safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keeps {
    pub(super) lines: Option<u64>,
    pub(super) age: Option<Duration>,
    pub(super) promise: String,
}
