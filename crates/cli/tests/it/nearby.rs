//! Servers that announce themselves on a network, and whoever looks for them: python-zeroconf is the other side.

use rustix::process::Signal;
use serde_json::Value;

use crate::apart::{ALONE, is_apart, runs_apart};
use crate::stage::{Run, Server, objects, program, sockeye, words};
use crate::web::python;

/// `false`: this is a network of ours, on which the test is to go on.
#[track_caller]
fn is_elsewhere(test: &str) -> bool {
    runs_apart(&format!("nearby::{test}"), ALONE) || {
        let is_alone = is_apart();
        if !is_alone {
            eprintln!("not tested: nothing is announced on a network of others");
        }
        !is_alone
    }
}

fn browse() -> Run {
    let run = python("peers/zeroconf_peer.py", &["browse"]).start();
    run.out.until("browsing");
    run
}

fn announce(port: &str, name: &str, strings: &[&str]) -> Run {
    let words: Vec<_> = ["announce", port, name]
        .iter()
        .chain(strings)
        .copied()
        .collect();
    let run = python("peers/zeroconf_peer.py", &words).start();
    run.out.until("announced");
    run
}

/// What zeroconf hears next of this kind.
#[track_caller]
fn heard(browser: &Run, what: &str) -> Value {
    let rest = browser.out.rest_of(&format!("{{\"what\": \"{what}\", "));
    serde_json::from_str(&format!("{{{rest}")).unwrap()
}

#[test]
fn zeroconf_hears_what_is_announced_and_that_it_ends() {
    if is_elsewhere("zeroconf_hears_what_is_announced_and_that_it_ends") {
        return;
    }
    let browser = browse();
    let mut server = Server::of(["chat", "*:0", "--announce=Ann's v1.0 聊天"]);
    let came = heard(&browser, "came");
    assert_eq!(came["name"], "Ann's v1.0 聊天");
    assert_eq!(came["port"].to_string(), server.port());
    let addresses = came["addresses"].as_array().unwrap();
    assert!(addresses.contains(&"10.9.7.1".into()), "{came}");
    assert!(!addresses.contains(&"127.0.0.1".into()), "{came}");
    let text = &came["text"];
    assert_eq!(text["txtvers"], "1");
    assert_eq!(text["service"], "chat");
    assert_eq!(text["room"], "lobby");
    assert_eq!(text["schemes"], "tcp,tls,http,https,ws,wss,udp,quic,h3,wt");
    assert_eq!(text["path"], "/");
    server
        .run
        .err
        .until("note: announced on the network as `Ann's v1.0 聊天`");
    server.run.signal(Signal::TERM);
    assert_eq!(heard(&browser, "gone")["name"], "Ann's v1.0 聊天");
    assert_eq!(server.run.end().code, 143);
}

#[test]
fn only_what_others_can_reach_is_announced() {
    if is_elsewhere("only_what_others_can_reach_is_announced") {
        return;
    }
    let ended = sockeye(words("serve echo 127.0.0.1:0 --announce")).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    let complaint = ended.complaint();
    assert!(
        complaint
            .starts_with("sockeye: --announce: nobody else on the network can reach 127.0.0.1:")
            && complaint.ends_with("`serve echo '*:3000'` is reached by all"),
        "{complaint}"
    );
    let browser = browse();
    let server = Server::start("echo 127.0.0.1:0 tcp://10.9.7.1:0 --announce");
    let came = heard(&browser, "came");
    assert!(
        came["name"].as_str().unwrap().starts_with("echo on "),
        "{came}"
    );
    assert_ne!(came["port"].to_string(), server.port());
    assert_eq!(came["addresses"], serde_json::json!(["10.9.7.1"]));
    assert_eq!(came["text"]["schemes"], "tcp");
    assert_eq!(came["text"].get("path"), None);
}

#[test]
fn two_servers_of_one_name_are_told_apart() {
    if is_elsewhere("two_servers_of_one_name_are_told_apart") {
        return;
    }
    let _there = announce("4000", "box", &[]);
    let server = Server::of(["echo", "tcp://10.9.7.1:0", "--announce=box"]);
    server
        .run
        .err
        .until("note: `box` is taken on the network: announced as `box (2)`");
    let found = sockeye(words("find --json --timeout 2s")).run();
    let mut names: Vec<_> = objects(&found.text())
        .iter()
        .map(|found| found["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["box", "box (2)"]);
}

#[test]
fn what_zeroconf_announces_is_found() {
    if is_elsewhere("what_zeroconf_announces_is_found") {
        return;
    }
    let _chat = announce(
        "4000",
        // Control characters of ASCII it does not announce; these are all that it lets through.
        "evil \u{9b}2J\u{202e}name",
        &[
            "txtvers=1",
            "service=chat",
            "room=dev",
            "schemes=exec,tcp,http",
            "path=/",
        ],
    );
    let found = sockeye(words("find chat --once")).run();
    assert_eq!(found.code, 0, "{found:?}");
    assert_eq!(
        found.text(),
        "10.9.7.1:4000\tchat\tevil \\u{9b}2J\\u{202e}name\n"
    );
    let found = sockeye(words("find --once --json")).run();
    let found = &objects(&found.text())[0];
    assert_eq!(found["event"], "found");
    assert_eq!(found["name"], "evil \u{9b}2J\u{202e}name");
    assert_eq!(found["room"], "dev");
    assert_eq!(found["address"], "10.9.7.1:4000");
    assert_eq!(found["schemes"], serde_json::json!(["exec", "tcp", "http"]));
    let other = sockeye(words("find echo --timeout 1s")).run();
    assert_eq!((other.code, other.text().as_str()), (3, ""), "{other:?}");
    assert!(
        other
            .complaint()
            .starts_with("sockeye: no echo on this network answered within 1s"),
        "{other:?}"
    );
}

#[test]
fn sockeye_finds_sockeye_and_talks_to_it() {
    if is_elsewhere("sockeye_finds_sockeye_and_talks_to_it") {
        return;
    }
    let _servers = [
        Server::start("hello udp://10.9.7.1:0 --announce=gadget"),
        Server::start("upper *:0 --announce=upper"),
    ];
    let found = sockeye(words("find --timeout 3s")).run().text();
    let mut lines: Vec<Vec<&str>> = found
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    lines.sort_by_key(|line| line[2]);
    let [gadget, upper] = &lines[..] else {
        panic!("{found}");
    };
    assert!(gadget[0].starts_with("udp://10.9.7.1:"), "{found}");
    assert_eq!(gadget[1..], ["hello", "gadget"]);
    assert_eq!(upper[1..], ["upper", "upper"]);
    assert_eq!(sockeye(["connect", upper[0]]).with("hi\n").text(), "HI\n");
}

#[test]
fn a_page_that_phones_can_reach_is_drawn() {
    if is_elsewhere("a_page_that_phones_can_reach_is_drawn") {
        return;
    }
    // A terminal of 80 columns for standard error; what is drawn there is read by eyes, so its text is what counts here.
    let drawn = |line: &str, until: &str| {
        let own = env!("CARGO_BIN_EXE_sockeye");
        let script = format!("stty cols 80; exec {own} serve {line}");
        let run = program("script", ["-qefc", &script, "/dev/null"])
            .env("TERM", "xterm")
            .start();
        run.out.until(until);
        run.out.text()
    };
    let open = drawn("*:0", "http://10.9.7.1:");
    assert!(
        open.contains('▀') && open.contains("\u{1b}[38;5;16;48;5;231m"),
        "{open}"
    );
    let echo = drawn("echo *:0 tcp://127.0.0.1:0", "listening tcp 127.0.0.1");
    assert!(!echo.contains('▀'), "{echo}");
    let forced = drawn("echo 127.0.0.1:0 --qr", "▀");
    assert!(forced.contains("http://127.0.0.1:"), "{forced}");
    // Without a terminal nothing is drawn; who asked is told why.
    let quiet = Server::start("*:0 --qr");
    quiet
        .run
        .err
        .until("note: no QR code: standard error is no terminal");
    let none = Server::start("echo tcp://*:0 --qr");
    none.run
        .err
        .until("note: no QR code: no page is served at these addresses");
}
