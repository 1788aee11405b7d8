//! `sockeye chat export`: what was said, from the server's database.

use crate::stage::{Server, folder, objects, path, sockeye, words};

#[test]
fn what_was_said_is_exported_while_the_server_runs() {
    let folder = folder();
    let file = path(&folder, "chat.db");
    let history = file.to_str().unwrap();
    let server = Server::of(["chat", "tcp://127.0.0.1:0", "--history", history]);
    let said = sockeye(words(&format!("chat {} --name ann", server.at)));
    let ended = said.with("hello\n你好 \u{1b}[31m\n");
    assert_eq!(ended.code, 0, "{ended:?}");

    let export = |more: &str| {
        let line = format!("chat export {more} --history {history}");
        sockeye(words(&line)).run()
    };
    let ended = export("#lobby");
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let text = ended.text();
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.split_once("] ").unwrap())
        .collect();
    assert_eq!(lines[0].1, "ann: hello");
    assert!(
        lines[1].1.starts_with("ann: 你好") && !text.contains('\u{1b}'),
        "{text}"
    );
    // `[2026-11-21 12:03:05`
    assert!(lines.len() == 2 && lines[0].0.len() == 20, "{text}");

    let ended = export("lobby --json --after 1");
    let found = objects(&ended.text());
    assert_eq!(found.len(), 1, "{ended:?}");
    for (field, value) in [
        ("event", "line"),
        ("room", "lobby"),
        ("from", "ann"),
        ("kind", "say"),
    ] {
        assert_eq!(found[0][field], value, "{field}");
    }
    assert_eq!((&found[0]["v"], &found[0]["id"]), (&1.into(), &2.into()));

    let ended = export("loby");
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("there is no room #loby in"), "{ended:?}");
    assert!(ended.err.contains("it has #lobby"), "{ended:?}");
}

#[test]
fn what_is_no_history_is_told() {
    let folder = folder();
    let file = path(&folder, "notes.txt");
    std::fs::write(&file, "Dear diary, ".repeat(100)).unwrap();
    let line = format!("chat export lobby --history {}", file.display());
    let ended = sockeye(words(&line)).run();
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("notes.txt: not a database"), "{ended:?}");
}
