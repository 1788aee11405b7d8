//! WebTransport as people use it, with peers that we did not write: Python's aioquic at both ends, and Chromium.

use std::time::Duration;

use rustix::process::Signal;

use crate::authority::self_signed;
use crate::http3::Aioquic;
use crate::stage::{
    Ended, LONG, Line, Run, Server, binary, connect, folder, path, program, sockeye, words,
};
use crate::tls::until;
use crate::web::{python, websocat};

/// `connect` to a server that is trusted whoever it is.
fn wt(at: &str, more: &str) -> Line {
    connect(&format!("wt://{at} --insecure {more}"))
}

/// Aioquic as the client, doing `what` there.
#[track_caller]
fn is_well(what: &str, server: &Server, more: &[&str]) {
    let arguments = [&[what, server.port()], more].concat();
    let mut peer = python("peers/wt_peer.py", &arguments).start();
    let ended = peer.end_within(LONG * 9);
    assert_eq!(
        (ended.code, &*ended.text()),
        (0, "all is well\n"),
        "{ended:?}"
    );
}

#[test]
fn aioquic_opens_sessions_with_streams_and_datagrams() {
    let server = Server::start("echo 127.0.0.1:0");
    is_well("echo", &server, &[]);
    let told = server.run.err.until("its own direction only");
    assert!(
        told.contains("open  #1 wt CONNECT /chat?x=1 127.0.0.1:"),
        "{told}"
    );
    let closed = "the peer closed the session with code 7: bye";
    assert!(told.contains(closed), "{told}");
}

#[test]
fn what_can_only_be_heard_is_not_answered() {
    let server = Server::start("sink 127.0.0.1:0");
    is_well("sink", &server, &[]);
    for _ in 0..2 {
        server
            .run
            .err
            .until("the peer closed; in 7 bytes in 1 message, out 0 bytes");
    }
    assert!(!server.run.err.text().contains("cannot send"));
}

#[test]
fn a_session_is_asked_for_the_token_and_its_streams_are_not() {
    let server = Server::start("echo 127.0.0.1:0 --token sesame");
    is_well("token", &server, &["sesame"]);
    let known = wt(&server.at, "--send hello --token sesame").run();
    assert_eq!((known.code, &*known.text()), (0, "hello\n"), "{known:?}");
    let refused = wt(&server.at, "--send hello").run();
    assert_eq!(refused.code, 6, "{refused:?}");
    let told = "the server answers 401 Unauthorized: the token is missing or wrong";
    assert!(refused.complaint().contains(told), "{refused:?}");
}

#[test]
fn a_stream_for_which_there_is_no_room_ends_its_session() {
    let server = Server::start("echo 127.0.0.1:0 --max-sessions 1");
    is_well("full", &server, &[]);
}

#[test]
fn who_breaks_the_rules_is_told_and_harms_nobody() {
    let server = Server::start("echo 127.0.0.1:0");
    is_well("rude", &server, &[]);
    for told in [
        "something follows its close",
        "the reason of its close is no UTF-8",
        "its stream ends within a capsule",
        "a stream names a session that is no request of the client's",
    ] {
        server.run.err.until(told);
    }
}

#[test]
fn a_server_that_stops_ends_streams_and_then_sessions() {
    let mut server = Server::start("echo 127.0.0.1:0");
    let pid = server.run.id().to_string();
    is_well("stop", &server, &[&pid]);
    assert_eq!(server.run.end().code, 143);
}

impl Aioquic {
    fn session(&self, path: &str, more: &str) -> Ended {
        let (port, ca) = (self.server.port(), self.certificate.display());
        connect(&format!("wt://localhost:{port}{path} -4 --ca {ca} {more}")).run()
    }
}

#[test]
fn we_open_sessions_at_a_server_in_python() {
    let server = Aioquic::start("peers/wt_peer.py", &[]);
    for (path, flags, text) in [
        ("/", "--send hello", "HELLO\n"),
        ("/a?b", "--datagrams --send hello", "HELLO"),
        ("/eager", "--send hello", "HELLO\n"),
        (
            "/facts",
            "--send hello -H X-Word:yes --origin https://here.example",
            "HELLO\n",
        ),
    ] {
        let ended = server.session(path, flags);
        assert_eq!(
            (ended.code, ended.text().as_str()),
            (0, text),
            "{path}: {ended:?}"
        );
        let eager = path == "/eager";
        let told = ended
            .err
            .contains("the server has opened streams of its own");
        assert_eq!(told, eager, "{ended:?}");
        // The server knows that we have left, and that nothing was wrong.
        server.server.run.err.until("closed with 0");
    }
    let head = server.server.run.err.text();
    for part in [
        "origin=https://here.example",
        "x-word=yes",
        ":protocol=webtransport",
    ] {
        assert!(head.contains(part), "{head}");
    }
}

#[test]
fn how_a_server_in_python_ends_it_is_told() {
    let server = Aioquic::start("peers/wt_peer.py", &[]);
    for (word, told) in [
        ("close", "the peer closed the session with code 42: enough"),
        ("reset", "the peer reset the stream with code 9"),
        ("stop", "the peer stopped reading the stream with code 8"),
    ] {
        let ended = server.session("/", &format!("--send {word}"));
        assert_eq!(ended.code, 6, "{word}: {ended:?}");
        assert!(ended.complaint().contains(told), "{ended:?}");
    }
    let ended = server.session("/", "--send leave --eof keep");
    assert_eq!((ended.code, &*ended.text()), (0, ""), "{ended:?}");
    let ended = server.session("/nonesuch", "--send hello");
    assert_eq!(ended.code, 6, "{ended:?}");
    let told = "the server answers 404 Not Found: no sessions here";
    assert!(ended.complaint().contains(told), "{ended:?}");
    // One that speaks HTTP/3 and no WebTransport does not say that it does.
    let plain = Server::start("echo quic://127.0.0.1:0");
    assert_eq!(wt(&plain.at, "--send x").run().code, 4);
}

#[test]
fn who_is_there_is_verified_and_other_pages_get_no_session() {
    let server = Server::start("echo 127.0.0.1:0");
    let untrusted = connect(&format!("wt://{} --send x", server.at)).run();
    assert_eq!(untrusted.code, 4, "{untrusted:?}");
    let foreign = wt(&server.at, "--send x --origin https://evil.example").run();
    assert_eq!(foreign.code, 6, "{foreign:?}");
    assert!(foreign.complaint().contains("403 Forbidden"), "{foreign:?}");
    let own = format!("--send x --origin http://{}", server.at);
    assert_eq!(wt(&server.at, &own).run().code, 0);
}

#[test]
fn a_large_transfer_comes_back_byte_for_byte() {
    const SIZE: usize = 8 * 1024 * 1024;
    let server = Server::start("echo 127.0.0.1:0");
    let data = binary(SIZE);
    let mut client = wt(&server.at, "").start();
    let ended = client.pass(&data, LONG * 9);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "{} bytes came back", ended.out.len());
}

#[test]
fn a_service_that_greets_need_not_be_spoken_to() {
    let server = Server::start("hello 127.0.0.1:0");
    let mut client = wt(&server.at, "").start();
    client.out.until("hello!\n");
    assert_eq!(client.hang_up_and_end().code, 0);
}

/// What the page at `url` is told about WebTransport.
fn offer(url: &str) -> serde_json::Value {
    let url = format!("{url}/.sockeye/facts.json");
    let ended = program("curl", ["-sSk", &url]).run();
    let mut facts: serde_json::Value = serde_json::from_str(&ended.text()).unwrap();
    facts["webtransport"].take()
}

#[test]
fn the_page_is_told_the_hash_of_a_certificate_that_nobody_vouches_for() {
    let server = Server::start("echo 127.0.0.1:0");
    let told = server.run.err.until("self-signed");
    let (_, rest) = told.split_once("sha256 ").unwrap();
    let (hash, _) = rest.split_once(' ').unwrap();
    let expected = serde_json::json!({"sha256": hash});
    for scheme in ["http", "https"] {
        assert_eq!(offer(&format!("{scheme}://{}", server.at)), expected);
    }
    // It is the one that is shown.
    let pinned = connect(&format!("wt://{} --pin {hash} --send hello", server.at)).run();
    assert_eq!((pinned.code, &*pinned.text()), (0, "hello\n"), "{pinned:?}");
}

#[test]
fn a_certificate_that_is_renewed_is_told_with_its_new_hash() {
    let homes = [folder(), folder()];
    let [server, other] = homes
        .each_ref()
        .map(|home| Server::ready(sockeye(words("serve echo 127.0.0.1:0")).home(home)));
    let hash = |server: &Server| offer(&format!("http://{}", server.at))["sha256"].take();
    let (old, new) = (hash(&server), hash(&other));
    assert_ne!(old, new);
    // As when it is renewed by another server of the same user.
    let [kept, replaced] = homes
        .each_ref()
        .map(|home| path(home, "state/sockeye/tls/self-signed.pem"));
    std::fs::rename(replaced, kept).unwrap();
    until(|| hash(&server) == new);
    let pin = new.as_str().unwrap();
    let pinned = connect(&format!("wt://{} --pin {pin} --send hello", server.at)).run();
    assert_eq!((pinned.code, &*pinned.text()), (0, "hello\n"), "{pinned:?}");
}

#[test]
fn where_there_is_no_webtransport_or_a_certificate_of_ones_own_the_page_is_told_so() {
    for line in ["echo 127.0.0.1:0 --no-quic", "echo http://127.0.0.1:0"] {
        let server = Server::start(line);
        assert!(offer(&format!("http://{}", server.at)).is_null(), "{line}");
    }
    let folder = folder();
    let (certificate, key) = self_signed(&["localhost"]).write(folder.path(), "server.pem");
    let (certificate, key) = (certificate.display(), key.display());
    let line = format!("echo 127.0.0.1:0 --cert {certificate} --key {key}");
    let server = Server::start(&line);
    let told = offer(&format!("http://{}", server.at));
    assert_eq!(told, serde_json::json!({"sha256": null}));
}

/// Says `line` and waits until it comes back.
#[track_caller]
fn exchange(run: &mut Run, line: &str) {
    run.say(format!("{line}\n"));
    run.out.until(line);
}

#[test]
fn the_page_says_the_token_and_does_not_show_it() {
    let server = Server::start("echo 127.0.0.1:0 --token se&same");
    let url = format!("http://{}/.sockeye/#token=se%26same", server.at);
    let mut browser = python("browser/transport.py", &[&url]).start();
    browser.out.until("over WebTransport\n");
    browser.say("say hello\nurl\n");
    browser
        .out
        .until(&format!("hello\nhttps://{}/\n", server.at));
    assert_eq!(browser.hang_up_and_end().code, 0);
}

#[test]
fn the_page_hears_that_the_server_stops_and_comes_back() {
    let mut server = Server::start("echo 127.0.0.1:0");
    let (at, base) = (server.at.clone(), format!("http://{}", server.at));
    let mut browser = python("browser/transport.py", &[&base]).start();
    browser.out.until("over WebTransport\n");
    browser.say("say hello\n");
    browser.out.until("hello\n");
    server.run.signal(Signal::TERM);
    browser.say("wait closed normally (0): the server is stopping\n");
    assert_eq!(server.run.end().code, 143);
    browser.out.until("done\n");
    // Once more at the same number; the page tries again by itself.
    let again = Server::start(&format!("echo {at}"));
    again.run.err.until(" wt CONNECT / ");
    browser.say("back\nsay and again\n");
    browser.out.until("and again\n");
    let ended = browser.hang_up_and_end();
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// What the whole of it is for.
#[test]
fn one_number_answers_everyone_at_the_same_time() {
    let server = Server::start("echo 127.0.0.1:0");
    let (at, port) = (server.at.as_str(), server.port());
    let mut browser = python("browser/transport.py", &[&format!("http://{at}")]).start();
    browser.out.until("over WebTransport\n");
    let curl = format!("-sS -N -T . http://{at}/");
    let mut lines = [
        program("nc", ["-u", "127.0.0.1", port]).start(),
        program("nc", ["-N", "127.0.0.1", port]).start(),
        program("curl", words(&curl)).start(),
        websocat(&format!("ws://{at}/")).start(),
        wt(at, "").start(),
    ];
    let mut http3 = python("peers/h3_peer.py", &["echo", port]).start();
    for round in 0..3 {
        for run in &mut lines {
            exchange(run, &format!("round {round}"));
        }
        browser.say(format!("say round {round}\n"));
        browser.out.until(&format!("round {round}\n"));
    }
    let ended = http3.end_within(LONG * 9);
    assert_eq!(
        (ended.code, &*ended.text()),
        (0, "all is well\n"),
        "{ended:?}"
    );
    for run in lines.iter_mut().skip(1).chain([&mut browser]) {
        run.hang_up();
        let ended = run.end_within(Duration::from_secs(30));
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let told = server.run.err.text();
    for protocol in ["udp", "tcp", "http", "ws", "wt", "h3"] {
        let opened = told
            .lines()
            .any(|line| line.starts_with("open  #") && line.contains(&format!(" {protocol} ")));
        assert!(opened, "{protocol}: {told}");
    }
}
