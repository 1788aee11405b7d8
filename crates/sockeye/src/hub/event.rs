//! What those who are in a room are told.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;

use super::line::Line;
use super::run::Run;

/// Something that everyone in a room is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A line was taken.
    Said(Said),
    /// Somebody with a name entered.
    Came {
        /// Who.
        name: Arc<str>,
    },
    /// Somebody with a name left.
    Went {
        /// Who.
        name: Arc<str>,
    },
    /// Somebody goes by another name.
    Renamed {
        /// By which until now.
        name: Arc<str>,
        /// By which from now on.
        to: Arc<str>,
    },
}

/// A line on its way to everyone, with the forms that it was written in: each is made once for all readers.
#[derive(Debug)]
pub struct Said {
    /// The line.
    pub line: Arc<Line>,
    forms: [OnceLock<Bytes>; 2],
}

/// Forms of a line that are the same for all who read it.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Said {
    /// `line`, in no form yet.
    pub fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            forms: Default::default(),
        }
    }

    /// The line in `form`, which `write` gives it if nobody has before.
    pub fn form(&self, form: Form, write: impl FnOnce(&Line) -> Bytes) -> &Bytes {
        self.forms[form as usize].get_or_init(|| write(&self.line))
    }
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line
    }
}

impl Eq for Said {}

impl Event {
    /// What it costs to hold, in bytes, about: with its forms.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Said(said) => 256 + 3 * said.line.text.len(),
            Self::Came { name } | Self::Went { name } => 64 + name.len(),
            Self::Renamed { name, to } => 64 + name.len() + to.len(),
        }
    }
}

/// What one session is told.
#[derive(Debug)]
pub enum News {
    /// Something happened in a room that it is in.
    Event {
        /// Where.
        room: Arc<str>,
        /// What.
        event: Arc<Event>,
    },
    /// Several lines were said in a room that it is in.
    Run {
        /// Where.
        room: Arc<str>,
        /// Which.
        run: Arc<Run>,
    },
    /// What was said before it came, or while it was away: oldest first.
    Past {
        /// Where.
        room: Arc<str>,
        /// Lines that follow one another.
        lines: Vec<Line>,
    },
    /// Lines that it will not be told, because it read too slowly or because they are not kept any more.
    Missed {
        /// Where.
        room: Arc<str>,
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Somebody told it something in private.
    Told(Arc<Told>),
    /// It is in this room no more.
    Parted {
        /// Which.
        room: Arc<str>,
        /// Who saw to that, and why.
        why: Arc<str>,
    },
    /// Something that everyone should know.
    Notice(Arc<str>),
    /// The end.
    Bye(Arc<str>),
}

impl News {
    /// The id of the line that is told in place `at`, if a line is told there.
    pub fn line(&self, at: usize) -> Option<u64> {
        match self {
            Self::Event { event, .. } => match &**event {
                Event::Said(said) => Some(said.line.id),
                _ => None,
            },
            Self::Run { run, .. } => run.id(at),
            Self::Past { lines, .. } => lines.get(at).map(|line| line.id),
            _ => None,
        }
    }
}

/// Something said to one person.
#[derive(Debug)]
pub struct Told {
    /// Who says it.
    pub from: Arc<str>,
    /// To whom.
    pub to: Arc<str>,
    /// What.
    pub text: Arc<str>,
    /// When.
    pub time: Timestamp,
    /// Where it waited, if the person was absent.
    pub(super) mail: Option<i64>,
}

impl Told {
    /// Whether it waited for an absent person.
    pub fn was_kept(&self) -> bool {
        self.mail.is_some()
    }
}
