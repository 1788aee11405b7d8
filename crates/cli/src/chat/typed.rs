//! What a typed line means: words for a room, or an order.

use serde_json::{Value, json};

/// What a typed line is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Typed {
    /// Words, which the server acknowledges.
    Say(Value),
    /// Something else for the server.
    Order(Value),
    /// `/join`: enter this room, and talk there from now on.
    Enter(String),
    /// `/room`: talk in this room, where we are already.
    Room(String),
    /// `/next`: go where something was said that was not read.
    Next,
    /// `/topic` without one: tell what it is.
    Topic,
    Help,
    Quit,
    Nothing,
    /// Something that is none of these; what is wrong with it.
    Wrong(String),
}

pub(crate) const HELP: &str = "\
/room ROOM       talk in a room that you are in; /next: where there is something new
/join ROOM       enter a room; /part [ROOM] leaves it
/msg NAME TEXT   say something to one person
/me TEXT         tell what you do
/who [ROOM]      who is there; /rooms: which rooms there are
/topic [TEXT]    what a room is about
/history [N]     the last lines; also: from ID, since TIME, search WORDS
/name NAME [PASSWORD]
/token, /resume TOKEN: be the same person in another session
/kick NAME [WHY], /mute NAME [MINUTES], /unmute NAME, /ban NAME [MINUTES], /unban NAME, /owner NAME
/quit            leave
//TEXT           say /TEXT
Tab completes commands, names and rooms.";

/// The commands, for completion.
pub(crate) const COMMANDS: &[&str] = &[
    "/ban",
    "/help",
    "/history",
    "/join",
    "/kick",
    "/me",
    "/moderate",
    "/msg",
    "/mute",
    "/name",
    "/next",
    "/owner",
    "/part",
    "/quit",
    "/resume",
    "/room",
    "/rooms",
    "/token",
    "/topic",
    "/unban",
    "/unmute",
    "/who",
];

/// Lines that /history shows unless told otherwise.
const LINES: u64 = 20;

/// Reads a line that was typed in `room`.
pub(crate) fn read(line: &str, room: &str) -> Typed {
    let line = line.trim_end();
    if line.is_empty() {
        return Typed::Nothing;
    }
    let Some(rest) = line.strip_prefix('/') else {
        return say(room, line);
    };
    if rest.starts_with('/') {
        return say(room, rest);
    }
    let (word, rest) = split(rest);
    match word {
        "join" | "room" if rest.is_empty() => needs(word, "a room"),
        "join" => Typed::Enter(bare(rest).to_owned()),
        "room" => Typed::Room(bare(rest).to_owned()),
        "next" => Typed::Next,
        "part" if rest.is_empty() => Typed::Order(json!({"do": "part", "room": room})),
        "part" => Typed::Order(json!({"do": "part", "room": bare(rest)})),
        "me" if rest.is_empty() => needs(word, "a text"),
        "me" => Typed::Say(json!({"do": "me", "room": room, "text": rest})),
        "msg" => tell(rest),
        "name" => name(rest),
        "token" => Typed::Order(json!({"do": "token"})),
        "resume" | "moderate" if rest.is_empty() => needs(word, "a secret"),
        "resume" => Typed::Order(json!({"do": "resume", "resume": rest})),
        "moderate" => Typed::Order(json!({"do": "moderate", "password": rest})),
        "who" if rest.is_empty() => Typed::Order(json!({"do": "who", "room": room})),
        "who" => Typed::Order(json!({"do": "who", "room": bare(rest)})),
        "rooms" => Typed::Order(json!({"do": "rooms"})),
        "topic" if rest.is_empty() => Typed::Topic,
        "topic" => Typed::Order(json!({"do": "topic", "room": room, "text": rest})),
        "history" => history(rest, room),
        "kick" | "mute" | "unmute" | "ban" | "unban" | "owner" => moderate(word, rest, room),
        "help" | "?" => Typed::Help,
        "quit" | "exit" => Typed::Quit,
        _ => Typed::Wrong(format!(
            "there is no command /{word}; /help shows which there are, //{word} says it as text"
        )),
    }
}

/// `text` said in `room`.
pub(crate) fn say(room: &str, text: &str) -> Typed {
    Typed::Say(json!({"do": "say", "room": room, "text": text}))
}

/// The first word, and the rest.
fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// A room without the sign that it is one.
fn bare(room: &str) -> &str {
    room.strip_prefix('#').unwrap_or(room)
}

fn needs(word: &str, what: &str) -> Typed {
    Typed::Wrong(format!("/{word} needs {what}"))
}

fn tell(rest: &str) -> Typed {
    match split(rest) {
        ("", _) => needs("msg", "a name and a text"),
        (_, "") => needs("msg", "a text after the name"),
        (to, text) => Typed::Say(json!({"do": "tell", "to": to, "text": text})),
    }
}

fn name(rest: &str) -> Typed {
    match split(rest) {
        ("", _) => needs("name", "a name"),
        (name, "") => Typed::Order(json!({"do": "name", "name": name})),
        (name, password) => Typed::Order(json!({"do": "name", "name": name, "password": password})),
    }
}

fn history(rest: &str, room: &str) -> Typed {
    let (word, more) = split(rest);
    let mut order = json!({"do": "history", "room": room, "limit": LINES});
    match (word, more) {
        ("", _) => {}
        ("search", "") => return needs("history search", "words"),
        ("search", words) => order["words"] = words.into(),
        ("since", "") => return needs("history since", "a time"),
        ("since", time) => order["since"] = time.into(),
        ("from", id) => match id.parse::<u64>() {
            Ok(id) => order["after"] = id.saturating_sub(1).into(),
            Err(_) => return needs("history from", "the number of a line"),
        },
        (n, "") if n.parse::<u64>().is_ok_and(|n| n > 0) => {
            order["limit"] = n.parse().unwrap_or(LINES).into()
        }
        _ => {
            let what = "write /history, /history 50, /history from 41, /history since 12:00, /history search WORDS";
            return Typed::Wrong(what.to_owned());
        }
    }
    Typed::Order(order)
}

fn moderate(word: &str, rest: &str, room: &str) -> Typed {
    let (name, more) = split(rest);
    if name.is_empty() {
        return needs(word, "a name");
    }
    let mut order = json!({"do": word, "room": room, "name": name});
    match (word, more) {
        (_, "") => {}
        ("kick", why) => order["why"] = why.into(),
        ("mute" | "ban", minutes) => match minutes.parse::<u64>() {
            Ok(minutes) => order["minutes"] = minutes.into(),
            Err(_) => return needs(word, "a number of minutes after the name"),
        },
        _ => return Typed::Wrong(format!("/{word} takes a name and nothing else")),
    }
    Typed::Order(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_orders() {
        for (line, typed) in [
            ("hello /join", say("dev", "hello /join")),
            ("//join", say("dev", "/join")),
            ("  ", Typed::Nothing),
            ("/join #ops", Typed::Enter("ops".to_owned())),
            ("/room ops", Typed::Room("ops".to_owned())),
            ("/part", Typed::Order(json!({"do": "part", "room": "dev"}))),
            (
                "/me waves ",
                Typed::Say(json!({"do": "me", "room": "dev", "text": "waves"})),
            ),
            (
                "/msg 李雷 你好 吗",
                Typed::Say(json!({"do": "tell", "to": "李雷", "text": "你好 吗"})),
            ),
            (
                "/name ann",
                Typed::Order(json!({"do": "name", "name": "ann"})),
            ),
            (
                "/name ann s e",
                Typed::Order(json!({"do": "name", "name": "ann", "password": "s e"})),
            ),
            (
                "/history 5",
                Typed::Order(json!({"do": "history", "room": "dev", "limit": 5})),
            ),
            (
                "/history from 41",
                Typed::Order(json!({"do": "history", "room": "dev", "limit": 20, "after": 40})),
            ),
            (
                "/history search a b",
                Typed::Order(json!({"do": "history", "room": "dev", "limit": 20, "words": "a b"})),
            ),
            (
                "/kick bob too loud",
                Typed::Order(
                    json!({"do": "kick", "room": "dev", "name": "bob", "why": "too loud"}),
                ),
            ),
            (
                "/ban bob 5",
                Typed::Order(json!({"do": "ban", "room": "dev", "name": "bob", "minutes": 5})),
            ),
            ("/topic", Typed::Topic),
            ("/quit", Typed::Quit),
        ] {
            assert_eq!(read(line, "dev"), typed, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for line in [
            "/join",
            "/msg",
            "/msg bob",
            "/me",
            "/name",
            "/history from x",
            "/history x y",
            "/ban bob long",
            "/kick",
            "/owner a b",
            "/nonsense",
        ] {
            assert!(matches!(read(line, "dev"), Typed::Wrong(_)), "{line}");
        }
    }

    #[test]
    fn every_command_that_is_completed_is_known() {
        for command in COMMANDS {
            let wrong = read(&format!("{command} 1 2"), "dev");
            assert!(
                !matches!(&wrong, Typed::Wrong(why) if why.starts_with("there is no")),
                "{command}"
            );
        }
    }
}
