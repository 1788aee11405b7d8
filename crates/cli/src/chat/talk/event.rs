//! Reading the server's objects. A field that is missing or of another kind is taken for an empty one.

use serde_json::Value;

use super::Shown;
use crate::chat::show::{Kind, Line, Place};

/// The text of a field; nothing where there is none.
pub(crate) fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}

pub(super) fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_default()
}

pub(super) fn line(event: &Value, place: Place) -> Line {
    let kind = match event["kind"].as_str() {
        Some("me") => Kind::Me,
        Some("topic" | "order") => Kind::Event,
        _ => Kind::Say,
    };
    Line {
        place,
        time: event["time"].as_str().and_then(|time| time.parse().ok()),
        from: text(event, "from"),
        kind,
        text: text(event, "text"),
    }
}

pub(super) fn told(event: &Value) -> Line {
    line(event, Place::Person)
}

/// Lines that were asked for, between words that say so.
pub(super) fn history(event: &Value) -> Vec<Shown> {
    let lines = event["lines"].as_array().map_or(&[][..], Vec::as_slice);
    if lines.is_empty() {
        return vec![Shown::Note("there is nothing".to_owned())];
    }
    let room = text(event, "room");
    let head = Shown::Note(format!("what was said in #{room}:"));
    let more = event["more"]
        .as_bool()
        .unwrap_or(false)
        .then_some("there is more");
    let end = Shown::Note(more.unwrap_or("that is all").to_owned());
    let lines = lines
        .iter()
        .map(|one| Shown::Line(line(one, Place::Room(room.clone()))));
    std::iter::once(head).chain(lines).chain([end]).collect()
}

pub(super) fn who(event: &Value) -> String {
    let people = event["people"].as_array().into_iter().flatten();
    let people = people.map(|one| {
        let is = |field: &str| one[field].as_bool().unwrap_or(false);
        let signs = [(is("is_owner"), "owner"), (is("is_muted"), "muted")];
        let signs: Vec<_> = signs
            .into_iter()
            .filter_map(|(is, sign)| is.then_some(sign))
            .collect();
        match signs.is_empty() {
            true => text(one, "name"),
            false => format!("{} ({})", text(one, "name"), signs.join(", ")),
        }
    });
    format!(
        "in #{}: {}",
        text(event, "room"),
        people.collect::<Vec<_>>().join(", ")
    )
}

pub(super) fn rooms(event: &Value) -> Vec<Shown> {
    let rooms = event["rooms"].as_array().into_iter().flatten();
    let row = |one: &Value| {
        let topic = match &*text(one, "topic") {
            "" => String::new(),
            topic => format!(": {topic}"),
        };
        Shown::Note(format!(
            "#{} ({}){topic}",
            text(one, "room"),
            number(one, "people")
        ))
    };
    rooms.map(row).collect()
}

/// Whether `text` has `name` in it as a word.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let is_part = |character: Option<char>| {
        character.is_some_and(|one| one.is_alphanumeric() && one.is_ascii())
    };
    !name.is_empty()
        && text.match_indices(&name).any(|(at, _)| {
            let (before, after) = (
                text[..at].chars().next_back(),
                text[at + name.len()..].chars().next(),
            );
            !is_part(before) && !is_part(after)
        })
}
