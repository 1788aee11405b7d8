//! Every page of help as it is, in plain files: `UPDATE_GOLDEN=1 cargo test` writes them anew.

use std::path::Path;

use crate::stage::{program, sockeye, words};

/// Compares with `tests/golden/NAME`.
#[track_caller]
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let difference = expected
        .lines()
        .zip(text.lines())
        .find(|(old, new)| old != new);
    assert!(
        expected == text,
        "{name} differs, first {difference:?}; UPDATE_GOLDEN=1 cargo test writes it anew"
    );
}

#[track_caller]
fn page(name: &str, line: &str) {
    let ended = sockeye(words(line)).run();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{line}");
    let text = ended.text();
    let wide = text.lines().find(|line| line.chars().count() > 120);
    assert_eq!(wide, None, "{line}");
    golden(name, &text);
}

#[test]
fn help() {
    page("help.txt", "--help");
    page("help-short.txt", "-h");
}

#[test]
fn help_of_serve() {
    page("serve.txt", "serve --help");
    page("serve-short.txt", "serve -h");
}

#[test]
fn help_of_connect() {
    page("connect.txt", "connect --help");
    page("connect-short.txt", "connect -h");
}

#[test]
fn help_of_chat() {
    page("chat.txt", "chat --help");
    page("chat-short.txt", "chat -h");
}

#[test]
fn help_of_find() {
    page("find.txt", "find --help");
    page("find-short.txt", "find -h");
}

#[test]
fn help_of_fetch() {
    page("fetch.txt", "fetch --help");
    page("fetch-short.txt", "fetch -h");
}

#[test]
fn help_of_send_and_receive() {
    page("send.txt", "send --help");
    page("send-short.txt", "send -h");
    page("receive.txt", "receive --help");
    page("receive-short.txt", "receive -h");
}

#[test]
fn help_of_relay() {
    page("relay.txt", "relay --help");
    page("relay-short.txt", "relay -h");
}

#[test]
fn help_of_trace() {
    page("trace.txt", "trace --help");
    page("trace-short.txt", "trace -h");
    page("trace-lab.txt", "trace lab --help");
    page("trace-stats.txt", "trace stats --help");
}

#[test]
fn help_of_contacts() {
    page("contacts.txt", "contacts --help");
    page("contacts-add.txt", "contacts add --help");
}

#[test]
fn help_of_completions_and_man() {
    page("completions.txt", "completions --help");
    page("man-help.txt", "man --help");
}

#[test]
fn manual() {
    let ended = sockeye(["man"]).run();
    assert_eq!(ended.code, 0);
    let version = concat!("sockeye ", env!("CARGO_PKG_VERSION"));
    golden(
        "man.roff",
        &ended
            .text()
            .replace(version, "sockeye VERSION")
            .replace(concat!("v", env!("CARGO_PKG_VERSION")), "vVERSION"),
    );
    let folder = crate::stage::folder();
    let ended = sockeye(["man", folder.path().to_str().unwrap()]).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    for page in [
        "sockeye.1",
        "sockeye-serve.1",
        "sockeye-connect.1",
        "sockeye-find.1",
        "sockeye-fetch.1",
        "sockeye-relay.1",
        "sockeye-trace.1",
        "sockeye-trace-lab.1",
        "sockeye-trace-stats.1",
        "sockeye-contacts.1",
    ] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn version() {
    let ended = sockeye(["--version"]).run();
    assert_eq!(
        ended.text(),
        concat!("sockeye ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn nothing_at_all_is_told_what_there_is() {
    let ended = sockeye([""; 0]).run();
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("Usage: sockeye") && ended.err.contains("serve"),
        "{ended:?}"
    );
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = sockeye(["completions", shell]).run();
        assert_eq!(ended.code, 0);
        let text = ended.text();
        assert!(
            text.contains("connect") && text.contains("frame"),
            "{shell}"
        );
        if shell == "bash" {
            // `sockeye help contacts add`: verbs of a verb are known before it is typed.
            assert!(text.contains("help__subcmd__contacts,add"));
            let checked = program("bash", ["-n"]).with(&ended.out);
            assert_eq!((checked.code, checked.err.as_str()), (0, ""));
        }
    }
}
