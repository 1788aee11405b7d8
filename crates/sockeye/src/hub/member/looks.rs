//! Looking around: what was said, who is there, which rooms there are.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Member, room_name};
use crate::hub::rate::LineRate;
use crate::hub::refusal::{Refusal, Why};
use crate::hub::store::Span;
use crate::hub::{Line, state};

/// How many lines may be asked for at once.
const MOST: usize = 500;
/// How many rooms or people are listed.
const MOST_LISTED: usize = 1000;
/// How often one session may look around. The page asks for a screen at a time while somebody scrolls.
pub(super) const LOOKS: LineRate = LineRate {
    burst: 40,
    per_second: 10.0,
};

/// Which lines of a room are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The latest.
    Latest,
    /// Those before a line.
    Before(u64),
    /// Those after one.
    After(u64),
    /// Those that were said then or later.
    Since(Timestamp),
    /// Those with these words in them, before a line if one is given: the latest of them.
    Words(String, Option<u64>),
}

/// Lines that were looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub room: Arc<str>,
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Whether there are more in the direction that was asked for.
    pub more: bool,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The name.
    pub name: Arc<str>,
    /// Whether they may give orders there.
    pub is_owner: bool,
    /// Whether they may not speak.
    pub is_muted: bool,
    /// From how many sessions.
    pub sessions: usize,
}

/// A room, from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomFacts {
    /// The name.
    pub room: Arc<str>,
    /// What it is about.
    pub topic: String,
    /// How many people are in it.
    pub people: usize,
    /// Its last line; 0 if there is none.
    pub last: u64,
}

impl Member {
    /// What was said in a room, `limit` lines at the most.
    ///
    /// # Errors
    /// When they are banned there, ask too much, or the store fails.
    pub async fn look(&mut self, room: &str, look: Look, limit: usize) -> Result<Found, Refusal> {
        let name = room_name(room)?;
        self.check_look()?;
        self.check_ban(&name).await?;
        self.hub.0.records.follow(&name).await?;
        let limit = limit.clamp(1, MOST);
        let store = &self.hub.0.records;
        // One more shows whether there are more.
        let (mut lines, forward) = match look {
            Look::Latest => (store.lines(&name, Span::Last, limit + 1).await?, false),
            Look::Before(id) => (
                store.lines(&name, Span::Before(id), limit + 1).await?,
                false,
            ),
            Look::After(id) => (store.lines(&name, Span::After(id), limit + 1).await?, true),
            Look::Since(time) => (
                store.lines(&name, Span::Since(time), limit + 1).await?,
                true,
            ),
            Look::Words(words, before) if !words.trim().is_empty() => (
                store.store.search(&name, &words, before, limit + 1).await?,
                false,
            ),
            Look::Words(..) => return Err(Why::Malformed.because("which words?")),
        };
        let more = lines.len() > limit;
        if more {
            match forward {
                true => lines.truncate(limit),
                false => drop(lines.drain(..lines.len() - limit)),
            }
        }
        Ok(Found {
            room: name.into(),
            lines,
            more,
        })
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// When they are banned there, ask too much, or the store fails.
    pub async fn who(&mut self, room: &str) -> Result<Vec<Presence>, Refusal> {
        let name = room_name(room)?;
        self.check_look()?;
        self.check_ban(&name).await?;
        let state = self.hub.state(&name).await?;
        let now = Timestamp::now();
        let people = self.hub.people(&name).into_iter().take(MOST_LISTED);
        let presence = people.map(|(key, name, sessions)| Presence {
            is_owner: state.is_owner(&key),
            is_muted: state.mute_of(&key, None, now).is_some(),
            name,
            sessions,
        });
        Ok(presence.collect())
    }

    /// Which rooms there are: those with people in them, and those with something to read.
    ///
    /// # Errors
    /// When they ask too much, or the store fails.
    pub async fn list(&mut self) -> Result<Vec<RoomFacts>, Refusal> {
        self.check_look()?;
        let hub = &self.hub.0;
        let mut last: HashMap<Arc<str>, u64> = HashMap::new();
        last.extend(
            hub.records
                .rooms()
                .await?
                .into_iter()
                .map(|row| (row.name, row.last)),
        );
        let here = hub.rooms.all().into_iter().map(|room| room.name.clone());
        for room in here.chain(hub.rooms.remote().rooms()) {
            last.entry(room).or_default();
        }
        let facts = last.into_iter().map(|(room, last)| RoomFacts {
            people: self.hub.names(&room, 0).1,
            topic: String::new(),
            room,
            last,
        });
        let mut facts: Vec<_> = facts.collect();
        facts.sort_by(|a, b| b.people.cmp(&a.people).then_with(|| a.room.cmp(&b.room)));
        facts.truncate(MOST_LISTED);
        let rooms: Vec<_> = facts.iter().map(|facts| facts.room.clone()).collect();
        let states = hub.records.states(&rooms).await?;
        for (facts, state) in facts.iter_mut().zip(states) {
            facts.topic = state::read(state.as_deref()).topic;
        }
        Ok(facts)
    }

    /// Looking around costs the store and the hub more than a line does.
    pub(super) fn check_look(&mut self) -> Result<(), Refusal> {
        if self.hub.0.options.rate.is_none() {
            return Ok(());
        }
        self.looks.take(LOOKS).map_err(|wait| {
            let text = format!(
                "too fast: {} questions at once and then {} a second",
                LOOKS.burst, LOOKS.per_second
            );
            Why::Rate.because(text).wait(wait)
        })
    }
}
