//! The chat for people: plain lines, without escapes, that `nc` shows as they are.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use wire::text::printable;

use super::ask::{Ask, moment};
use super::reply::{Reply, Welcome};
use crate::hub::{
    Entered, Event, Form, Found, Line, LineKind, Look, News, Order, Presence, Refusal, RoomFacts,
    Said, Why,
};

/// Names that are told before "and N others".
const SHOWN_NAMES: usize = 12;

const HELP: &[&str] = &[
    "/name NAME [PASSWORD]   take a name; with a password nobody else can",
    "/join ROOM  /part [ROOM]  /rooms  /who [ROOM]  /topic [TEXT]",
    "/me TEXT                tell what you do",
    "/msg NAME TEXT          tell one person",
    "/history [N | ID | search WORDS | since 10m]",
    "/token                  a token; /resume TOKEN makes another session you",
    "/kick NAME [WHY]  /mute NAME [MINUTES]  /unmute NAME",
    "/ban NAME [MINUTES]  /unban NAME  /owner NAME",
    "/quit                   leave; a line that begins with // is said with one /",
];

/// Reads a line that a person typed. `None` for an empty one.
pub(super) fn read(line: &str) -> Result<Option<Ask>, Refusal> {
    let say = |text: &str| Ask::Say {
        room: None,
        kind: LineKind::Say,
        text: text.to_owned(),
    };
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return Ok((!line.is_empty()).then(|| say(line)));
    };
    if command.starts_with('/') {
        return Ok(Some(say(command)));
    }
    let (word, rest) = first_word(command);
    let ask = match word.to_lowercase().as_str() {
        "me" if !rest.is_empty() => Ask::Say {
            room: None,
            kind: LineKind::Me,
            text: rest.to_owned(),
        },
        "name" | "nick" => {
            let (name, password) = first_word(rest);
            Ask::Name {
                name: needed(name, "/name NAME [PASSWORD]")?,
                password: some(password),
            }
        }
        "join" => Ask::Join {
            room: needed(rest, "/join ROOM")?,
            after: None,
        },
        "part" | "leave" => Ask::Part(some(rest)),
        "rooms" | "list" => Ask::Rooms,
        "who" | "names" => Ask::Who(some(rest)),
        "topic" => Ask::Topic {
            room: None,
            topic: some(rest),
        },
        "msg" | "tell" => {
            let (to, text) = first_word(rest);
            Ask::Tell {
                to: needed(to, "/msg NAME TEXT")?,
                text: needed(text, "/msg NAME TEXT")?,
            }
        }
        "history" => history(rest)?,
        "token" => Ask::Token,
        "resume" => Ask::Resume(needed(rest, "/resume TOKEN")?),
        "here" => Ask::Here(needed(rest, "/here WORD")?),
        "moderate" => Ask::Moderate(needed(rest, "/moderate TOKEN")?),
        "help" | "?" => Ask::Help,
        "quit" | "exit" => Ask::Quit,
        word => order(word, rest)?,
    };
    Ok(Some(ask))
}

fn order(word: &str, rest: &str) -> Result<Ask, Refusal> {
    let (name, rest) = first_word(rest);
    let (minutes, why) = first_word(rest);
    let (time, why) = match minutes.parse::<u64>() {
        Ok(minutes) => (Some(Duration::from_secs(minutes.saturating_mul(60))), why),
        Err(_) => (None, rest),
    };
    let order = match word {
        "kick" => Order::Kick,
        "mute" => Order::Mute(time),
        "unmute" => Order::Unmute,
        "ban" => Order::Ban(time),
        "unban" => Order::Unban,
        "owner" => Order::Owner,
        _ => {
            let text = format!("there is no command /{}: /help", printable(word));
            return Err(Why::Unknown.because(text));
        }
    };
    Ok(Ask::Order {
        room: None,
        order,
        name: needed(name, &format!("/{word} NAME"))?,
        why: why.to_owned(),
    })
}

fn history(rest: &str) -> Result<Ask, Refusal> {
    let (word, words) = first_word(rest);
    let (look, limit) = match (word, rest.parse::<u64>()) {
        ("", _) => (Look::Latest, None),
        ("search", _) => (
            Look::Words(needed(words, "/history search WORDS")?, None),
            None,
        ),
        ("since", _) => {
            let since = moment(words, Timestamp::now()).ok_or_else(|| {
                Why::Malformed.because("since when? /history since 10m, or 2026-01-31T12:00")
            })?;
            (Look::Since(since), None)
        }
        ("from", _) => match words.parse::<u64>() {
            Ok(id) => (Look::After(id.saturating_sub(1)), None),
            Err(_) => return Err(Why::Malformed.because("from which line? /history from 41")),
        },
        (_, Ok(count)) => (Look::Latest, usize::try_from(count).ok()),
        _ => {
            let text =
                "/history [N], /history from ID, /history search WORDS or /history since TIME";
            return Err(Why::Malformed.because(text));
        }
    };
    Ok(Ask::History {
        room: None,
        look,
        limit,
    })
}

fn shown(said: &Said) -> &Bytes {
    said.form(Form::Text, |line| told(line).into())
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn needed(text: &str, usage: &str) -> Result<String, Refusal> {
    some(text).ok_or_else(|| Why::Malformed.because(format!("say it like this: {usage}")))
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eyes<'a> {
    /// The room that they are in at the moment.
    pub(super) current: Option<&'a str>,
    /// The name that they go by.
    pub(super) name: &'a str,
    /// What the tags of their lines begin with.
    pub(super) tags: &'a str,
    /// Whether several lines may be one message.
    pub(super) joins: bool,
}

impl Eyes<'_> {
    /// What news look like. Several lines, each with its end.
    pub(super) fn news(&self, news: &News, out: &mut Vec<Bytes>) {
        let text = match news {
            News::Event { room, event } => return out.extend(self.event(event, room)),
            News::Run { room, run }
                if self.joins && self.is_current(room) && !run.has_lines_of(self.name) =>
            {
                return out.push(run.text(|said, text| text.extend(shown(said))).clone());
            }
            News::Run { room, run } => {
                return out.extend(run.lines().filter_map(|line| self.event(line, room)));
            }
            News::Past { room, lines } => {
                let place = self.place(room);
                let lines = lines.iter().filter(|line| !self.is_own(line));
                return out.extend(lines.map(|line| format!("{place}{}", dated(line)).into()));
            }
            News::Missed { room, from, to } => format!(
                "{}* you missed {} lines ({from} to {to}): /history from {from} shows them\n",
                self.place(room),
                to - from + 1
            ),
            News::Told(told) if told.was_kept() => format!(
                "-> {} told you at {} UTC: {}\n",
                told.from,
                told.time.strftime("%F %H:%M"),
                printable(&told.text)
            ),
            News::Told(told) => format!("-> {} tells you: {}\n", told.from, printable(&told.text)),
            News::Parted { room, why } => {
                format!("* you are in #{room} no more: {}\n", printable(why))
            }
            News::Notice(text) | News::Bye(text) => format!("* {text}\n"),
        };
        out.push(text.into());
    }

    fn event(&self, event: &Event, room: &Arc<str>) -> Option<Bytes> {
        let text = match event {
            Event::Said(said) if self.is_own(&said.line) => return None,
            Event::Said(said) if self.is_current(room) => return Some(shown(said).clone()),
            Event::Said(said) => format!("#{room} {}", told(&said.line)),
            Event::Came { name } | Event::Renamed { to: name, .. } if **name == *self.name => {
                return None;
            }
            Event::Came { name } => format!("{}* {name} came in\n", self.place(room)),
            Event::Went { name } => format!("{}* {name} left\n", self.place(room)),
            Event::Renamed { name, to } => format!("{}* {name} is {to} now\n", self.place(room)),
        };
        Some(text.into())
    }

    /// What an answer looks like.
    pub(super) fn reply(&self, reply: &Reply, out: &mut Vec<Bytes>) {
        let text = match reply {
            Reply::Welcome(welcome) => welcomed(welcome),
            Reply::Entered(entered) => self.entered(entered),
            Reply::Parted(room) => match self.current {
                Some(current) => format!("you left #{room} and are in #{current}"),
                None => format!("you left #{room} and are in no room: /join ROOM"),
            },
            Reply::Named { name, .. } => format!("you are {name} now"),
            Reply::Done { is_kept: true, .. } => "they are not here: it waits for them".to_owned(),
            Reply::Done { .. } | Reply::Pong => return,
            Reply::Refused(refusal) => match refusal.wait {
                // Rounded up: nobody is to try again too early.
                Some(wait) => {
                    let tenths = wait.as_millis().div_ceil(100);
                    format!("{}; wait {}.{} s", refusal.text, tenths / 10, tenths % 10)
                }
                None => refusal.text.clone(),
            },
            Reply::Found(found) => return self.found(found, out),
            Reply::Who(room, people) => format!("in #{room}: {}", who(people)),
            Reply::Rooms(rooms) => return out.extend(rooms.iter().map(listed)),
            Reply::Topic(room, topic) if topic.is_empty() => format!("#{room} has no topic"),
            Reply::Topic(room, topic) => format!("#{room} is about: {}", printable(topic)),
            Reply::Token(token) => format!("/resume {token} makes another session you"),
            Reply::Notice(text) => (*text).to_owned(),
            Reply::Help => return out.extend(HELP.iter().map(|line| star(line))),
            Reply::Again(word) => format!("type /here {word} to hear everything"),
            Reply::Bye(text) => text.to_string(),
        };
        out.push(star(&text));
    }

    fn entered(&self, entered: &Entered) -> String {
        let others: Vec<_> = entered
            .people
            .iter()
            .filter(|name| ***name != *self.name)
            .collect();
        let shown: Vec<&str> = others
            .iter()
            .take(SHOWN_NAMES)
            .map(|name| &***name)
            .collect();
        let mut text = format!("you are in #{}", entered.room);
        // Writing to a string does not fail.
        let count = entered.count.saturating_sub(1);
        let _ = match (count, count.saturating_sub(shown.len())) {
            (0, _) => write!(text, ", alone"),
            (_, 0) => write!(text, ", with {}", shown.join(", ")),
            (_, more) => write!(text, ", with {} and {more} others", shown.join(", ")),
        };
        if !entered.topic.is_empty() {
            let _ = write!(text, "; it is about: {}", printable(&entered.topic));
        }
        text
    }

    fn found(&self, found: &Found, out: &mut Vec<Bytes>) {
        if found.lines.is_empty() {
            return out.push(star(&format!("nothing like that in #{}", found.room)));
        }
        let lines = found.lines.iter();
        out.extend(lines.map(|line| format!("{} {}", line.id, dated(line)).into()));
        if found.more {
            out.push(star("there is more"));
        }
    }

    fn is_own(&self, line: &Line) -> bool {
        line.tag
            .as_ref()
            .is_some_and(|tag| tag.starts_with(self.tags))
    }

    fn is_current(&self, room: &str) -> bool {
        self.current == Some(room)
    }

    /// The room, where it is not the current one.
    fn place(&self, room: &Arc<str>) -> String {
        match self.is_current(room) {
            true => String::new(),
            false => format!("#{room} "),
        }
    }
}

fn welcomed(welcome: &Welcome) -> String {
    let mut text = format!("this is sockeye chat: you are {}", welcome.name);
    text.push_str(if welcome.is_guest {
        "; /name NAME, /help"
    } else {
        "; /help"
    });
    let keeps = &welcome.keeps;
    // Writing to a string does not fail.
    let _ = match (keeps.lines, keeps.age) {
        (None, None) => Ok(()),
        (Some(lines), None) => write!(text, "; the last {lines} lines of a room are kept"),
        (None, Some(age)) => write!(text, "; lines are kept for {}", days(age)),
        (Some(lines), Some(age)) => {
            write!(
                text,
                "; the last {lines} lines of a room are kept for {}",
                days(age)
            )
        }
    };
    text
}

fn days(age: Duration) -> String {
    match age.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{} days", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{} hours", seconds / 3600),
        seconds => format!("{seconds} s"),
    }
}

/// A line as it is said.
fn told(line: &Line) -> String {
    let text = printable(&line.text);
    let from = &line.from;
    match line.kind {
        LineKind::Say => format!("{from}: {text}\n"),
        LineKind::Topic if text.is_empty() => format!("* {from} took the topic away\n"),
        LineKind::Topic => format!("* {from} set the topic: {text}\n"),
        LineKind::Me | LineKind::Order => format!("* {from} {text}\n"),
    }
}

/// A line of the past.
fn dated(line: &Line) -> String {
    format!("[{}] {}", line.time.strftime("%F %H:%M"), told(line))
}

fn who(people: &[Presence]) -> String {
    let names = people.iter().map(|person| {
        let mut name = person.name.to_string();
        for (is_so, sign) in [(person.is_owner, " (owner)"), (person.is_muted, " (muted)")] {
            if is_so {
                name.push_str(sign);
            }
        }
        name
    });
    match people.is_empty() {
        true => "nobody".to_owned(),
        false => names.collect::<Vec<_>>().join(", "),
    }
}

fn listed(facts: &RoomFacts) -> Bytes {
    let mut text = format!(
        "#{}: {} people, {} lines",
        facts.room, facts.people, facts.last
    );
    if !facts.topic.is_empty() {
        let _ = write!(text, ", {}", printable(&facts.topic));
    }
    star(&text)
}

/// What is said by no person.
fn star(text: &str) -> Bytes {
    format!("* {text}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(text: &str) -> Ask {
        Ask::Say {
            room: None,
            kind: LineKind::Say,
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_people_type_is_understood() {
        for (typed, ask) in [
            ("hello", say("hello")),
            ("  two words ", say("  two words")),
            ("//slash", say("/slash")),
            (
                "/nick ann",
                Ask::Name {
                    name: "ann".into(),
                    password: None,
                },
            ),
            (
                "/name ann correct horse",
                Ask::Name {
                    name: "ann".into(),
                    password: Some("correct horse".into()),
                },
            ),
            (
                "/JOIN #dev",
                Ask::Join {
                    room: "#dev".into(),
                    after: None,
                },
            ),
            ("/part", Ask::Part(None)),
            (
                "/msg bob  hi there",
                Ask::Tell {
                    to: "bob".into(),
                    text: "hi there".into(),
                },
            ),
            (
                "/history",
                Ask::History {
                    room: None,
                    look: Look::Latest,
                    limit: None,
                },
            ),
            (
                "/history 5",
                Ask::History {
                    room: None,
                    look: Look::Latest,
                    limit: Some(5),
                },
            ),
            (
                "/history from 41",
                Ask::History {
                    room: None,
                    look: Look::After(40),
                    limit: None,
                },
            ),
            (
                "/history search red fish",
                Ask::History {
                    room: None,
                    look: Look::Words("red fish".into(), None),
                    limit: None,
                },
            ),
            (
                "/mute eve 10 spam",
                Ask::Order {
                    room: None,
                    order: Order::Mute(Some(Duration::from_secs(600))),
                    name: "eve".into(),
                    why: "spam".into(),
                },
            ),
            (
                "/kick eve no spam",
                Ask::Order {
                    room: None,
                    order: Order::Kick,
                    name: "eve".into(),
                    why: "no spam".into(),
                },
            ),
        ] {
            assert_eq!(read(typed), Ok(Some(ask)), "{typed}");
        }
        for empty in ["", "  ", "\t"] {
            assert_eq!(read(empty), Ok(None));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        for (typed, why, words) in [
            ("/nmae ann", Why::Unknown, "/nmae"),
            ("/\u{1b}[31m", Why::Unknown, "/\\e[31m"),
            ("/name", Why::Malformed, "/name NAME"),
            ("/msg bob", Why::Malformed, "/msg NAME TEXT"),
            ("/kick", Why::Malformed, "/kick NAME"),
            ("/me", Why::Unknown, "/me"),
            ("/history of fish", Why::Malformed, "/history search"),
            ("/history since when", Why::Malformed, "since when?"),
        ] {
            let refusal = read(typed).unwrap_err();
            assert_eq!(refusal.why, why, "{typed}");
            assert!(refusal.text.contains(words), "{typed}: {refusal}");
            assert!(!refusal.text.contains('\u{1b}'));
        }
    }

    #[test]
    fn what_peers_say_has_no_hold_on_a_terminal() {
        let line = Line {
            id: 1,
            time: "2026-01-31T12:34:56Z".parse().unwrap(),
            room: "lobby".into(),
            from: "eve".into(),
            kind: LineKind::Say,
            text: "\u{1b}]0;x\u{7}\u{202e}\u{9b}2J".into(),
            tag: None,
        };
        let shown = dated(&line);
        assert!(shown.starts_with("[2026-01-31 12:34] eve: "), "{shown}");
        let text = shown.trim_end();
        assert!(text.chars().all(wire::text::is_printable), "{text:?}");
    }
}
