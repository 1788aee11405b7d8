//! What is known of the rooms we are in, and what of ours is not acknowledged yet. No sockets and no clock: events go
//! in, what is to be shown comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::{Map, Value, json};

use super::show::{Line, Place};

mod event;
mod room;

pub(crate) use event::text;
use event::{history, line, mentions, number, rooms, told, who};
pub(crate) use room::Room;

/// The tag with which we ask for a token after our name has changed: it stands for the name that one has then.
pub(super) const NAMED: &str = "named";

const UNLIMITED: f64 = 1e9;

/// What is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    Line(Line),
    /// What happened, or what was asked for.
    Note(String),
    /// The server does not do what we asked for.
    Refused(String),
}

/// What the server does not know of yet, or has not acknowledged.
#[derive(Clone, Debug)]
struct Pending {
    tag: String,
    object: Value,
}

/// A conversation, across all connections that carry it.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) me: String,
    /// The name that the server was asked for.
    wanted: Option<String>,
    pub(crate) welcomed: bool,
    /// What makes the next connection the same person.
    pub(crate) resume: Option<String>,
    pub(crate) is_guest: bool,
    /// How much may be said at once, and in a second.
    pub(crate) burst: f64,
    pub(crate) rate: f64,
    pub(crate) current: String,
    /// Lines that the server refused.
    pub(crate) refused: u64,
    rooms: BTreeMap<String, Room>,
    pending: Vec<Pending>,
    /// Rooms that the hello asked for and that have not been entered yet.
    entering: Option<usize>,
    /// What a new connection has found lost.
    lost: Vec<String>,
    /// Makes our tags differ from everyone's.
    own: u64,
    tags: u64,
    /// Whether lines of other rooms wait until somebody goes there.
    holds: bool,
}

impl Talk {
    /// Rooms that are to be entered; the first one is current.
    pub(crate) fn new(rooms: &[String], holds: bool) -> Self {
        Self {
            me: String::new(),
            wanted: None,
            welcomed: false,
            resume: None,
            is_guest: true,
            burst: 1.0,
            rate: 1.0,
            current: rooms[0].clone(),
            refused: 0,
            rooms: rooms
                .iter()
                .map(|name| (name.clone(), Room::default()))
                .collect(),
            pending: Vec::new(),
            entering: None,
            lost: Vec::new(),
            own: RandomState::new().build_hasher().finish(),
            tags: 0,
            holds,
        }
    }

    /// The first object of a connection.
    pub(crate) fn hello(&mut self, name: Option<&str>, password: Option<&str>) -> Value {
        self.welcomed = false;
        self.entering = Some(self.rooms.len());
        self.lost.clear();
        let seen = |room: &Room| {
            if room.last > 0 {
                room.last.into()
            } else {
                Value::Null
            }
        };
        let rooms: Map<_, _> = self
            .rooms
            .iter()
            .map(|(name, room)| (name.clone(), seen(room)))
            .collect();
        let mut hello = json!({"do": "hello", "tag": "hello", "rooms": rooms});
        let name = if self.me.is_empty() || self.is_guest {
            name
        } else {
            Some(&*self.me)
        };
        self.wanted = name.map(str::to_owned);
        for (field, value) in [
            ("name", name),
            ("password", password),
            ("resume", self.resume.as_deref()),
        ] {
            if let Some(value) = value {
                hello[field] = value.into();
            }
        }
        hello
    }

    /// Whether we are called what we asked to be called.
    pub(crate) fn has_name(&self) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_none_or(|wanted| wanted.to_lowercase() == self.me.to_lowercase())
    }

    /// Gives `object` a tag. What is said is kept until it is acknowledged; the tag says which it was.
    pub(crate) fn tagged(&mut self, mut object: Value, is_said: bool) -> Value {
        self.tags += 1;
        let tag = format!("{:x}-{}", self.own, self.tags);
        object["tag"] = tag.clone().into();
        if is_said {
            let object = object.clone();
            self.pending.push(Pending { tag, object });
        }
        object
    }

    /// What is said again on a new connection, in order.
    pub(crate) fn unsaid(&self) -> Vec<Value> {
        self.pending
            .iter()
            .map(|pending| pending.object.clone())
            .collect()
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether everything has come that was there when we entered.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.entering.is_none() && self.rooms.values().all(|room| room.last >= room.until)
    }

    /// The connection is gone. What was said to one person may have arrived, and must not arrive twice.
    pub(crate) fn broken(&mut self) -> Vec<Shown> {
        self.welcomed = false;
        let (told, said): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.object["do"] == "tell");
        self.pending = said;
        self.refused += told.len() as u64;
        let unsure = |pending: Pending| {
            let (to, text) = (text(&pending.object, "to"), text(&pending.object, "text"));
            Shown::Refused(format!("nobody knows whether this reached {to}: {text}"))
        };
        told.into_iter().map(unsure).collect()
    }

    /// What was found lost by a new connection, once all rooms are entered again; says so only once.
    pub(crate) fn back(&mut self) -> Option<Vec<String>> {
        if !self.welcomed || self.entering != Some(0) {
            return None;
        }
        self.entering = None;
        Some(std::mem::take(&mut self.lost))
    }

    /// Goes to a room that we are in; what waited there is shown.
    pub(crate) fn go(&mut self, room: &str) -> Result<Vec<Shown>, String> {
        let Some(there) = self.rooms.get_mut(room) else {
            return Err(format!("you are not in #{room}: /join {room} enters it"));
        };
        room.clone_into(&mut self.current);
        Ok(there.read())
    }

    /// The next room where something waits.
    pub(crate) fn next(&self) -> Option<String> {
        let waits = |(name, room): (&String, &Room)| (room.unread > 0).then(|| name.clone());
        self.rooms.iter().find_map(waits)
    }

    pub(crate) fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.get(name)
    }

    /// Rooms with something unread, and how much.
    pub(crate) fn unread(&self) -> Vec<(&str, u64)> {
        let rooms = self.rooms.iter().filter(|(_, room)| room.unread > 0);
        rooms.map(|(name, room)| (&**name, room.unread)).collect()
    }

    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let people = self.rooms.values().flat_map(|room| &room.people);
        people
            .map(String::as_str)
            .filter(|name| *name != self.me)
            .collect()
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rooms.keys().map(String::as_str)
    }

    /// Takes an event of the server.
    pub(crate) fn heard(&mut self, event: &Value) -> Vec<Shown> {
        let room = || text(event, "room");
        let name = || text(event, "name");
        match &*text(event, "event") {
            "welcome" => self.welcome(event),
            "joined" => return self.joined(event),
            "line" => return self.line(event),
            "told" => return vec![Shown::Line(told(event))],
            "came" => {
                return self.presence(
                    &room(),
                    |people| people.insert(name()),
                    || format!("{} came in", name()),
                );
            }
            "went" => {
                return self.presence(
                    &room(),
                    |people| people.remove(&name()),
                    || format!("{} left", name()),
                );
            }
            "renamed" => return self.renamed(event),
            "parted" => return self.parted(&room(), &text(event, "why")),
            "named" => {
                self.me = name();
                self.is_guest = event["is_guest"].as_bool().unwrap_or(false);
                return vec![Shown::Note(format!("you are {} now", self.me))];
            }
            "done" => return self.done(event),
            "refused" => return self.refused(event),
            "missed" => return self.missed(event),
            "history" => return history(event),
            "who" => return vec![Shown::Note(who(event))],
            "rooms" => return rooms(event),
            "token" if event["tag"] == NAMED => {
                self.resume = event["resume"].as_str().map(str::to_owned);
            }
            "token" => {
                return vec![Shown::Note(format!(
                    "your token: {}",
                    text(event, "resume")
                ))];
            }
            "notice" | "bye" if !text(event, "text").is_empty() => {
                return vec![Shown::Note(text(event, "text"))];
            }
            _ => {}
        }
        Vec::new()
    }

    fn welcome(&mut self, event: &Value) {
        self.welcomed = true;
        self.me = text(event, "name");
        self.is_guest = event["is_guest"].as_bool().unwrap_or(true);
        self.resume = event["resume"].as_str().map(str::to_owned);
        // Where there is no limit the server says null.
        let limit = |name: &str| event["limits"][name].as_f64().filter(|limit| *limit > 0.0);
        self.burst = limit("burst").unwrap_or(UNLIMITED);
        self.rate = limit("rate").unwrap_or(UNLIMITED);
    }

    fn joined(&mut self, event: &Value) -> Vec<Shown> {
        let name = text(event, "room");
        let room = self.rooms.entry(name.clone()).or_default();
        let known = room.last;
        let (last, after) = (number(event, "last"), number(event, "after"));
        if last < known {
            self.lost.push(format!("#{name} began anew"));
            room.last = 0;
        } else if known > 0 && after > known {
            self.lost.push(format!(
                "lines {} to {after} of #{name} are kept no more",
                known + 1
            ));
        }
        room.last = room.last.max(after);
        room.until = last;
        room.topic = text(event, "topic");
        let people = event["people"].as_array().into_iter().flatten();
        room.people = people
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let others: Vec<_> = room
            .people
            .iter()
            .filter(|one| **one != self.me)
            .map(String::as_str)
            .collect();
        let others = others.join(", ");
        let topic = match &*room.topic {
            "" => String::new(),
            topic => format!("; the topic is: {topic}"),
        };
        let is_back = known > 0;
        self.entering = self.entering.map(|left| left.saturating_sub(1));
        if is_back {
            return Vec::new();
        }
        let with = if others.is_empty() {
            "nobody else".to_owned()
        } else {
            others
        };
        vec![Shown::Note(format!(
            "you are {} in #{name}, with {with}{topic}",
            self.me
        ))]
    }

    fn line(&mut self, event: &Value) -> Vec<Shown> {
        let name = text(event, "room");
        let id = number(event, "id");
        let line = line(event, Place::Room(name.clone()));
        let tag = event["tag"].as_str();
        // The acknowledgement may have come before the line.
        let is_ours = tag.is_some_and(|tag| tag.starts_with(&format!("{:x}-", self.own)));
        let room = self.rooms.entry(name.clone()).or_default();
        if id <= room.last {
            return Vec::new();
        }
        room.last = id;
        if event["kind"] == "topic" {
            room.topic.clone_from(&line.text);
        }
        match () {
            // It stands where it was typed.
            () if is_ours => Vec::new(),
            () if self.holds && name != self.current && !mentions(&line.text, &self.me) => {
                room.hold(line);
                Vec::new()
            }
            () => vec![Shown::Line(line)],
        }
    }

    /// Who is there; told in the room where we are.
    fn presence(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut BTreeSet<String>) -> bool,
        words: impl FnOnce() -> String,
    ) -> Vec<Shown> {
        let is_here = self.holds && name == self.current;
        let changed = self
            .rooms
            .get_mut(name)
            .is_some_and(|room| change(&mut room.people));
        if changed && is_here {
            vec![Shown::Note(words())]
        } else {
            Vec::new()
        }
    }

    fn renamed(&mut self, event: &Value) -> Vec<Shown> {
        let (room, name, to) = (text(event, "room"), text(event, "name"), text(event, "to"));
        if name == self.me {
            self.me.clone_from(&to);
        }
        let words = format!("{name} is now {to}");
        let change = |people: &mut BTreeSet<String>| people.remove(&name) && people.insert(to);
        self.presence(&room, change, || words)
    }

    fn parted(&mut self, name: &str, why: &str) -> Vec<Shown> {
        self.rooms.remove(name);
        let mut words = format!("you are not in #{name} any more");
        if !why.is_empty() {
            words = format!("{words}: {why}");
        }
        let mut shown = vec![Shown::Note(words)];
        let next = self.rooms.keys().next().cloned();
        if let (true, Some(next)) = (name == self.current, next) {
            shown.push(Shown::Note(format!("you talk in #{next} now")));
            shown.extend(self.go(&next).unwrap_or_default());
        }
        shown
    }

    fn done(&mut self, event: &Value) -> Vec<Shown> {
        let said = self.take(event);
        let waits = event["kept"].as_bool().unwrap_or(false);
        match said {
            Some(said) if waits => vec![Shown::Note(format!("it waits for {}", text(&said, "to")))],
            _ => Vec::new(),
        }
    }

    fn refused(&mut self, event: &Value) -> Vec<Shown> {
        let why = match &*text(event, "text") {
            "" => text(event, "why"),
            words => words.to_owned(),
        };
        match self.take(event) {
            Some(said) => {
                self.refused += 1;
                vec![Shown::Refused(format!(
                    "not said: {}: {why}",
                    text(&said, "text")
                ))]
            }
            None => vec![Shown::Refused(why)],
        }
    }

    /// What `event` acknowledges or refuses.
    fn take(&mut self, event: &Value) -> Option<Value> {
        let tag = event["tag"].as_str()?;
        let at = self.pending.iter().position(|pending| pending.tag == tag)?;
        Some(self.pending.remove(at).object)
    }

    fn missed(&mut self, event: &Value) -> Vec<Shown> {
        let (name, from, to) = (
            text(event, "room"),
            number(event, "from"),
            number(event, "to"),
        );
        let room = self.rooms.entry(name.clone()).or_default();
        room.last = room.last.max(to);
        let n = to.saturating_sub(from) + 1;
        let lines = if n == 1 { "line" } else { "lines" };
        vec![Shown::Note(format!(
            "you missed {n} {lines} of #{name} ({from} to {to}): /history from {from} shows them there"
        ))]
    }
}

#[cfg(test)]
mod tests;
