//! Events in, what is shown out.

use serde_json::{Value, json};

use super::event::mentions;
use super::{Shown, Talk};
use crate::chat::show::{Kind, Line, Place};

fn talk() -> Talk {
    let mut talk = Talk::new(&["lobby".to_owned(), "dev".to_owned()], true);
    talk.hello(Some("ann"), None);
    talk.heard(&json!({"event": "welcome", "name": "ann", "is_guest": false, "resume": "t", "limits": {"burst": 3, "rate": 1}}));
    for room in ["lobby", "dev"] {
        talk.heard(&json!({"event": "joined", "room": room, "people": ["ann", "bob"], "first": 1, "last": 40, "after": 40}));
    }
    talk.back();
    talk
}

fn said(room: &str, id: u64, text: &str) -> Value {
    json!({"event": "line", "room": room, "id": id, "from": "bob", "kind": "say", "text": text})
}

fn line(room: &str, text: &str) -> Shown {
    Shown::Line(Line {
        place: Place::Room(room.to_owned()),
        time: None,
        from: "bob".to_owned(),
        kind: Kind::Say,
        text: text.to_owned(),
    })
}

#[test]
fn a_line_is_shown_once() {
    let mut talk = talk();
    assert_eq!(talk.heard(&said("lobby", 41, "hi")), [line("lobby", "hi")]);
    assert_eq!(talk.heard(&said("lobby", 41, "hi")), []);
    assert_eq!(talk.heard(&said("lobby", 12, "old")), []);
    assert_eq!(
        talk.hello(None, None)["rooms"],
        json!({"dev": 40, "lobby": 41})
    );
}

#[test]
fn what_is_said_elsewhere_waits_and_is_counted() {
    let mut talk = talk();
    assert_eq!(talk.heard(&said("dev", 41, "one")), []);
    assert_eq!(talk.heard(&said("dev", 42, "two")), []);
    assert_eq!(
        talk.heard(&said("dev", 43, "ann, three?")),
        [line("dev", "ann, three?")]
    );
    assert_eq!(talk.unread(), [("dev", 2)]);
    assert_eq!(talk.next().as_deref(), Some("dev"));
    assert_eq!(
        talk.go("dev"),
        Ok(vec![line("dev", "one"), line("dev", "two")])
    );
    assert_eq!((talk.unread(), talk.next()), (Vec::new(), None));
    assert!(talk.go("nowhere").is_err());
}

#[test]
fn held_lines_are_bounded_and_the_rest_is_told() {
    let mut talk = talk();
    for id in 41..=640 {
        talk.heard(&said("dev", id, "x"));
    }
    let shown = talk.go("dev").unwrap();
    assert_eq!(shown.len(), 501);
    assert!(
        matches!(&shown[0], Shown::Note(note) if note.starts_with("100 older lines")),
        "{:?}",
        shown[0]
    );
}

#[test]
fn our_own_line_is_pending_until_it_is_kept_and_is_not_shown_again() {
    let mut talk = talk();
    let object = talk.tagged(json!({"do": "say", "room": "lobby", "text": "mine"}), true);
    assert_eq!(talk.pending(), 1);
    let mut own = said("lobby", 41, "mine");
    own["tag"] = object["tag"].clone();
    assert_eq!(talk.heard(&own), []);
    assert_eq!(talk.pending(), 1);
    talk.heard(&json!({"event": "done", "tag": object["tag"], "room": "lobby", "id": 41}));
    assert_eq!(talk.pending(), 0);
}

#[test]
fn what_was_not_acknowledged_is_said_again_with_the_same_tag_but_not_to_one_person() {
    let mut talk = talk();
    let said = talk.tagged(json!({"do": "say", "room": "lobby", "text": "a"}), true);
    talk.tagged(json!({"do": "tell", "to": "bob", "text": "psst"}), true);
    let unsure = talk.broken();
    assert!(
        matches!(&unsure[..], [Shown::Refused(why)] if why.contains("psst")),
        "{unsure:?}"
    );
    assert_eq!(talk.unsaid(), [said]);
    assert_eq!(talk.hello(None, None)["resume"], "t");
}

#[test]
fn a_refusal_names_the_line_and_counts() {
    let mut talk = talk();
    let object = talk.tagged(json!({"do": "say", "room": "lobby", "text": "loud"}), true);
    let shown = talk.heard(
        &json!({"event": "refused", "tag": object["tag"], "why": "muted", "text": "you are muted"}),
    );
    assert_eq!(
        shown,
        [Shown::Refused("not said: loud: you are muted".to_owned())]
    );
    assert_eq!((talk.refused, talk.pending()), (1, 0));
}

#[test]
fn a_new_connection_tells_what_is_lost() {
    let mut talk = talk();
    assert_eq!(talk.back(), None);
    for (after, last, lost) in [
        (40, 44, vec![]),
        (50, 60, vec!["lines 41 to 50 of #lobby are kept no more"]),
        (0, 3, vec!["#lobby began anew"]),
    ] {
        talk.broken();
        talk.hello(None, None);
        talk.heard(&json!({"event": "welcome", "name": "ann"}));
        let joined = |room, after: u64, last: u64| json!({"event": "joined", "room": room, "after": after, "last": last, "people": []});
        talk.heard(&joined("lobby", after, last));
        assert_eq!(talk.back(), None, "dev is not entered yet");
        talk.heard(&joined("dev", 40, 40));
        assert_eq!(
            talk.back(),
            Some(lost.into_iter().map(str::to_owned).collect())
        );
    }
}

#[test]
fn who_leaves_the_room_one_talks_in_talks_in_another() {
    let mut talk = talk();
    talk.heard(&json!({"event": "parted", "room": "lobby", "why": "kicked by bob"}));
    assert_eq!(talk.current, "dev");
    assert_eq!(talk.rooms().collect::<Vec<_>>(), ["dev"]);
}

#[test]
fn names_are_words() {
    for (text, name, has) in [
        ("ann: hi", "ann", true),
        ("hi @Ann!", "ann", true),
        ("annabel", "ann", false),
        ("joann", "ann", false),
        ("李雷在吗", "李雷", true),
        ("", "", false),
    ] {
        assert_eq!(mentions(text, name), has, "{text} {name}");
    }
}
