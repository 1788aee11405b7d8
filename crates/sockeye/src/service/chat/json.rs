//! The chat for programs: an object a line (docs/CHAT.md).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ask::{Ask, Hello, moment};
use super::reply::{Keeps, Reply, Welcome};
use crate::hub::{Event, Form, Line, LineKind, Look, MAX_LINE, News, Order, Refusal, Why};

/// The longest tag, in bytes.
const MAX_TAG: usize = 64;

/// A request with what its answer is to repeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tagged {
    pub(super) ask: Ask,
    pub(super) tag: Option<String>,
}

/// All fields that a request may have.
#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(rename = "do")]
    what: String,
    tag: Option<String>,
    room: Option<String>,
    text: Option<String>,
    name: Option<String>,
    password: Option<String>,
    resume: Option<String>,
    rooms: Option<BTreeMap<String, Option<u64>>>,
    to: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    since: Option<String>,
    words: Option<String>,
    limit: Option<usize>,
    minutes: Option<u64>,
    why: Option<String>,
    here: Option<String>,
}

/// Whether a session that begins with this speaks JSON.
pub(super) fn is_spoken(first: &[u8]) -> bool {
    first.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<Map<String, Value>>(first).is_ok()
}

/// Reads a request. The refusal comes with the tag, if that could be read.
pub(super) fn read(line: &[u8]) -> Result<Tagged, (Refusal, Option<String>)> {
    let malformed = |text: String| Why::Malformed.because(text);
    let fields: Fields = serde_json::from_slice(line)
        .map_err(|error| (malformed(format!("that is no request: {error}")), None))?;
    let tag = fields.tag.clone();
    if tag.as_ref().is_some_and(|tag| tag.len() > MAX_TAG) {
        return Err((
            malformed(format!("a tag has at most {MAX_TAG} bytes")),
            None,
        ));
    }
    match fields.ask() {
        Ok(ask) => Ok(Tagged { ask, tag }),
        Err(refusal) => Err((refusal, tag)),
    }
}

impl Fields {
    fn ask(self) -> Result<Ask, Refusal> {
        let missing = |field: &str| Why::Malformed.because(format!("`{field}` is missing"));
        let need = |value: Option<String>, field: &str| value.ok_or_else(|| missing(field));
        let time = self
            .minutes
            .map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        let order = match &*self.what {
            "kick" => Some(Order::Kick),
            "mute" => Some(Order::Mute(time)),
            "unmute" => Some(Order::Unmute),
            "ban" => Some(Order::Ban(time)),
            "unban" => Some(Order::Unban),
            "owner" => Some(Order::Owner),
            _ => None,
        };
        if let Some(order) = order {
            return Ok(Ask::Order {
                room: self.room,
                order,
                name: need(self.name, "name")?,
                why: self.why.unwrap_or_default(),
            });
        }
        Ok(match &*self.what {
            "hello" => Ask::Hello(Hello {
                name: self.name,
                password: self.password,
                resume: self.resume,
                rooms: self.rooms,
            }),
            "say" | "me" => Ask::Say {
                room: self.room,
                kind: LineKind::of(&self.what).unwrap_or(LineKind::Say),
                text: need(self.text, "text")?,
            },
            "join" => Ask::Join {
                room: need(self.room, "room")?,
                after: self.after,
            },
            "part" => Ask::Part(self.room),
            "name" => Ask::Name {
                name: need(self.name, "name")?,
                password: self.password,
            },
            "tell" => Ask::Tell {
                to: need(self.to, "to")?,
                text: need(self.text, "text")?,
            },
            "history" => Ask::History {
                look: look(self.words, self.before, self.after, self.since.as_deref())?,
                room: self.room,
                limit: self.limit,
            },
            "who" => Ask::Who(self.room),
            "rooms" => Ask::Rooms,
            "topic" => Ask::Topic {
                room: self.room,
                topic: self.text,
            },
            "resume" => Ask::Resume(need(self.resume, "resume")?),
            "here" => Ask::Here(need(self.here, "here")?),
            "moderate" => Ask::Moderate(need(self.password, "password")?),
            "token" => Ask::Token,
            "help" => Ask::Help,
            "ping" => Ask::Ping,
            "quit" => Ask::Quit,
            what => {
                let text = format!("there is nothing called `{}` to do", what.escape_debug());
                return Err(Why::Unknown.because(text));
            }
        })
    }
}

fn look(
    words: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    since: Option<&str>,
) -> Result<Look, Refusal> {
    Ok(match (words, before, after, since) {
        (Some(words), before, None, None) => Look::Words(words, before),
        (None, Some(before), None, None) => Look::Before(before),
        (None, None, Some(after), None) => Look::After(after),
        (None, None, None, Some(since)) => {
            let since = moment(since, Timestamp::now());
            Look::Since(since.ok_or_else(|| Why::Malformed.because("`since` is no time"))?)
        }
        (None, None, None, None) => Look::Latest,
        _ => return Err(Why::Malformed.because("one of `before`, `after`, `since` and `words`")),
    })
}

/// What news are in JSON, for somebody who goes by `own`. Several lines, each with its end.
pub(super) fn news(news: &News, own: &str, out: &mut Vec<Bytes>) {
    let text = match news {
        News::Event { room, event: what } => event(what, room, own),
        News::Run { room, run } => {
            return out.extend(run.lines().map(|line| event(line, room, own)));
        }
        News::Past { lines, .. } => {
            return out.extend(lines.iter().map(|past| line(past, *past.from == *own)));
        }
        News::Missed { room, from, to } => {
            object("missed", json!({"room": room, "from": from, "to": to}))
        }
        News::Told(told) => at(
            told.time,
            "told",
            json!({"from": told.from, "to": told.to, "text": told.text, "kept": told.was_kept()}),
        ),
        News::Parted { room, why } => object("parted", json!({"room": room, "why": why})),
        News::Notice(text) => object("notice", json!({"text": text})),
        News::Bye(text) => object("bye", json!({"text": text})),
    };
    out.push(text);
}

fn event(event: &Event, room: &str, own: &str) -> Bytes {
    match event {
        Event::Said(said) if *said.line.from == *own && said.line.tag.is_some() => {
            line(&said.line, true)
        }
        Event::Said(said) => said.form(Form::Json, |said| line(said, false)).clone(),
        Event::Came { name } => object("came", json!({"room": room, "name": name})),
        Event::Went { name } => object("went", json!({"room": room, "name": name})),
        Event::Renamed { name, to } => {
            object("renamed", json!({"room": room, "name": name, "to": to}))
        }
    }
}

/// What an answer is in JSON.
pub(super) fn reply(reply: &Reply, tag: Option<&str>, own: &str) -> Bytes {
    let (event, fields) = match reply {
        Reply::Welcome(welcome) => ("welcome", welcomed(welcome)),
        Reply::Entered(entered) => (
            "joined",
            json!({
                "room": entered.room, "topic": entered.topic, "owners": entered.owners,
                "people": entered.people, "count": entered.count, "first": entered.first, "last": entered.last,
                "after": entered.after,
            }),
        ),
        Reply::Parted(room) => ("parted", json!({"room": room})),
        Reply::Named { name, is_guest } => ("named", json!({"name": name, "is_guest": is_guest})),
        Reply::Done {
            line: Some((room, id)),
            ..
        } => ("done", json!({"room": room, "id": id})),
        Reply::Done { is_kept: true, .. } => ("done", json!({"kept": true})),
        Reply::Done { .. } => ("done", json!({})),
        Reply::Refused(refusal) => ("refused", refused(refusal)),
        Reply::Found(found) => {
            let lines = found
                .lines
                .iter()
                .map(|line| fields(line, *line.from == *own));
            let lines: Vec<_> = lines.collect();
            (
                "history",
                json!({"room": found.room, "lines": lines, "more": found.more}),
            )
        }
        Reply::Who(room, people) => {
            let people = people.iter().map(|person| {
                json!({
                    "name": person.name, "is_owner": person.is_owner, "is_muted": person.is_muted,
                    "sessions": person.sessions,
                })
            });
            (
                "who",
                json!({"room": room, "people": people.collect::<Vec<_>>()}),
            )
        }
        Reply::Rooms(rooms) => {
            let rooms = rooms.iter().map(|facts| {
                json!({
                    "room": facts.room, "topic": facts.topic, "people": facts.people, "last": facts.last,
                })
            });
            ("rooms", json!({"rooms": rooms.collect::<Vec<_>>()}))
        }
        Reply::Topic(room, topic) => ("topic", json!({"room": room, "topic": topic})),
        Reply::Token(token) => ("token", json!({"resume": token})),
        Reply::Notice(text) => ("notice", json!({"text": text})),
        Reply::Help => (
            "notice",
            json!({"text": "docs/CHAT.md says what there is to do"}),
        ),
        Reply::Again(word) => {
            return format!("{{\"event\":\"again\",\"here\":\"{word}\"}}\n").into();
        }
        Reply::Pong => ("pong", json!({})),
        Reply::Bye(text) => ("bye", json!({"text": text})),
    };
    let mut fields = fields;
    if let (Some(tag), Value::Object(fields)) = (tag, &mut fields) {
        fields.insert("tag".to_owned(), tag.into());
    }
    object(event, fields)
}

fn welcomed(welcome: &Welcome) -> Value {
    let Keeps {
        lines,
        age,
        promise,
    } = &welcome.keeps;
    let days = age.map(|age| age.as_secs_f64() / 86_400.0);
    let (burst, rate) = match welcome.rate {
        Some(rate) => (json!(rate.burst), json!(rate.per_second)),
        None => (Value::Null, Value::Null),
    };
    json!({
        "name": welcome.name, "is_guest": welcome.is_guest, "resume": welcome.resume,
        "limits": {"line": MAX_LINE, "burst": burst, "rate": rate},
        "keeps": {"lines": lines, "days": days, "promise": promise},
    })
}

fn refused(refusal: &Refusal) -> Value {
    let mut fields = json!({"why": refusal.why.word(), "text": refusal.text});
    if let (Some(wait), Value::Object(fields)) = (refusal.wait, &mut fields) {
        fields.insert("wait".to_owned(), wait.as_secs_f64().into());
    }
    fields
}

fn line(line: &Line, is_own: bool) -> Bytes {
    at(line.time, "line", fields(line, is_own))
}

/// What tells of a line; its tag is its sender's alone.
fn fields(line: &Line, is_own: bool) -> Value {
    let mut fields = Map::new();
    fields.insert("time".to_owned(), line.time.to_string().into());
    fields.insert("room".to_owned(), (*line.room).into());
    fields.insert("id".to_owned(), line.id.into());
    fields.insert("from".to_owned(), (*line.from).into());
    fields.insert("kind".to_owned(), line.kind.word().into());
    fields.insert("text".to_owned(), (*line.text).into());
    if let (true, Some(tag)) = (is_own, &line.tag) {
        fields.insert("tag".to_owned(), (**tag).into());
    }
    Value::Object(fields)
}

fn object(event: &str, fields: Value) -> Bytes {
    at(Timestamp::now(), event, fields)
}

/// Each object begins with `v`, `time` and `event`.
fn at(time: Timestamp, event: &str, fields: Value) -> Bytes {
    let mut whole = Map::new();
    whole.insert("v".to_owned(), 1.into());
    whole.insert("time".to_owned(), time.to_string().into());
    whole.insert("event".to_owned(), event.into());
    if let Value::Object(fields) = fields {
        whole.extend(fields);
    }
    let mut text = Value::Object(whole).to_string();
    text.push('\n');
    text.into()
}
