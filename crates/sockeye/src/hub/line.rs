//! What is said in a room and kept: a line, and what becomes one.

use std::sync::Arc;

use jiff::Timestamp;

/// Something that was said or done in a room, as it is kept and told to everyone there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts from 1 in each room, without gaps.
    pub id: u64,
    /// When it was taken, by the clock of the one who keeps it. Clocks go back; ids do not.
    pub time: Timestamp,
    /// The room's name, without `#`.
    pub room: Arc<str>,
    /// Who: a name as its owner writes it.
    pub from: Arc<str>,
    /// What it is.
    pub kind: LineKind,
    /// What was said; for the others what it is about: a topic, a name and a reason.
    pub text: Arc<str>,
    /// What the sender calls it, so that a repeated attempt is no second line.
    pub tag: Option<Arc<str>>,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Something said.
    Say,
    /// Something done: `/me waves`.
    Me,
    /// A new topic; empty takes it away.
    Topic,
    /// A measure of the room's owners, in words.
    Order,
}

impl LineKind {
    /// The word for it in JSON and in the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Say => "say",
            Self::Me => "me",
            Self::Topic => "topic",
            Self::Order => "order",
        }
    }

    /// The kind that this word stands for.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Say, Self::Me, Self::Topic, Self::Order]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// A line before it has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// As [`Line::room`].
    pub room: Arc<str>,
    /// As [`Line::from`].
    pub from: Arc<str>,
    /// As [`Line::kind`].
    pub kind: LineKind,
    /// As [`Line::text`].
    pub text: Arc<str>,
    /// As [`Line::tag`]: unique among the lines of one name in one room.
    pub tag: Option<Arc<str>>,
}

/// What became of a [`Draft`]: it will outlive a crash and a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The line's number in its room.
    pub id: u64,
    /// When it was taken.
    pub time: Timestamp,
    /// Whether a line with this tag was there already; then nothing was added.
    pub was_there: bool,
}
