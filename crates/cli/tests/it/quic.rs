//! QUIC as people use it: beside everything else on one number, and what is said when it goes wrong.

use std::net::UdpSocket;

use rustix::process::Signal;

use crate::stage::{
    Ended, LONG, Line, Server, binary, connect, folder, objects, path, program, sockeye, words,
};

/// `connect` to a QUIC server that is trusted whoever it is.
fn quic(at: &str, more: &str) -> Line {
    connect(&format!("quic://{at} --insecure {more}"))
}

/// The exit code, and all of these words in the one line of failure.
#[track_caller]
fn fails(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    let line = ended.complaint();
    for part in says {
        assert!(line.contains(part), "`{part}` is not in `{line}`");
    }
}

#[test]
fn one_number_speaks_quic_udp_and_tcp_at_the_same_time() {
    let server = Server::start("echo 127.0.0.1:0");
    let (host, port) = ("127.0.0.1", server.port());
    let mut streaming = quic(&server.at, "").start();
    let mut datagrams = quic(&server.at, "--datagrams").start();
    let mut udp = program("nc", ["-u", host, port]).start();
    let mut tcp = program("nc", ["-N", host, port]).start();
    for round in 0..3 {
        for run in [&mut streaming, &mut datagrams, &mut udp, &mut tcp] {
            let line = format!("round {round}\n");
            run.say(&line);
            // Datagrams are lines without their ends.
            run.out.until(line.trim_end());
        }
    }
    for mut run in [streaming, datagrams, tcp] {
        let ended = run.hang_up_and_end();
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}

#[test]
fn a_large_transfer_comes_back_byte_for_byte() {
    const SIZE: usize = 20 * 1024 * 1024;
    let server = Server::start("echo quic://127.0.0.1:0");
    assert!(server.run.err.text().contains("listening quic 127.0.0.1:"));
    let data = binary(SIZE);
    let mut client = quic(&server.at, "").start();
    let ended = client.pass(&data, LONG * 9);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "{} bytes came back", ended.out.len());
}

#[test]
fn verbose_tells_what_was_agreed_on_and_how_the_packets_fared() {
    let server = Server::start("echo 127.0.0.1:0 -v");
    let ended = quic(&server.at, "--send hi -v").run();
    assert_eq!((ended.code, &*ended.text()), (0, "hi\n"), "{ended:?}");
    for part in [
        "connected quic 127.0.0.1:",
        "tls TLSv1.3 TLS13_",
        ", alpn sockeye",
        "quic version 1, round trip ",
        "0-RTT no\n",
        " sent and none of them lost, round trip ",
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    server.run.err.until("tls #1 TLSv1.3 TLS13_");
    server.run.err.until(", alpn sockeye\n");
    server.run.err.until("quic #1 version 1, round trip ");
    server.run.err.until(": the peer closed; in 3 bytes");
}

#[test]
fn version_2_carries_everything_and_both_ends_tell() {
    let server = sockeye(words("serve echo quic://127.0.0.1:0 --json")).start();
    let at = server.err.rest_of(r#""address":""#);
    let (at, _) = at.split_once('"').unwrap();
    let mut client = quic(at, "-v --quic-version 2").start();
    // More than one flight, and key after key.
    let data = binary(1 << 20);
    let ended = client.pass(&data, LONG * 3);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "{} bytes came back", ended.out.len());
    assert!(ended.err.contains("quic version 2, "), "{}", ended.err);
    server.err.until(r#""event":"close""#);
    server.err.until(r#""packets_lost":"#);
    let told = server.err.text();
    let told: Vec<_> = objects(&told)
        .into_iter()
        .filter(|event| event["event"] == "open" || event["event"] == "close")
        .collect();
    let [open, close] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(open["quic"]["version"], 2);
    assert_eq!(open["tls"]["alpn"], "sockeye");
    assert!(close["quic"]["packets_sent"].as_u64().unwrap() > 500);
    assert_eq!(
        (&close["quic"]["moves"], &close["quic"]["retry"]),
        (&0.into(), &false.into())
    );
}

#[test]
fn a_client_moves_to_another_port_and_both_ends_tell() {
    let server = Server::start("echo 127.0.0.1:0");
    let mut client = quic(&server.at, "--migrate-after 10ms").start();
    let before = client.err.rest_of("connected quic ");
    let (before, _) = before.split_once(' ').unwrap();
    client.say("one\n");
    client.out.until("one\n");
    let told = client.err.rest_of("note: moved from ");
    let after = told.strip_prefix(&format!("{before} to ")).unwrap();
    let (after, rest) = after.split_once(", ").unwrap();
    assert_eq!(rest, format!("with {}, which answers there", server.at));
    assert_ne!(before, after);
    client.say("two\n");
    client.out.until("two\n");
    let moved = format!("note: {before} has moved to {after}\n");
    server.run.err.until(&moved);
    assert_eq!(client.hang_up_and_end().code, 0);
}

#[test]
fn what_goes_wrong_is_said_in_one_line() {
    let server = Server::start("echo 127.0.0.1:0");
    let at = &server.at;
    let to = |more: &str| connect(&format!("quic://{at} --send x {more}")).run();
    fails(&to(""), 4, &["its certificate is self-signed", "--pin "]);
    fails(
        &to("--insecure --alpn strange"),
        4,
        &["no application protocol", "--alpn NAME offers another"],
    );
    // A number on which nothing is bound any more.
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    fails(
        &quic(&gone.to_string(), "--send x").run(),
        1,
        &["connection refused", "nobody listens there"],
    );
    // Somebody who never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|at| (at, silent)).unwrap();
    fails(
        &quic(&silent.0.to_string(), "--send x -w 300ms").run(),
        3,
        &["no answer within 300ms"],
    );
    let denied = Server::start("echo 127.0.0.1:0 --deny 127.0.0.0/8");
    fails(
        &quic(&denied.at, "--send x").run(),
        1,
        &["it takes no new connections"],
    );
}

#[test]
fn no_quic_leaves_all_datagrams_as_they_are() {
    let server = Server::start("echo 127.0.0.1:0 --no-quic");
    // Its own words come back, in which it cannot find a server.
    let ended = quic(&server.at, "--send x -w 500ms").run();
    fails(&ended, 3, &["no answer within 500ms"]);
    let echoed = connect(&format!("udp://{} --send hello", server.at)).run();
    assert_eq!(echoed.text(), "hello");
}

#[test]
fn a_server_that_stops_lets_its_clients_know() {
    let mut server = Server::start("echo 127.0.0.1:0");
    let mut client = quic(&server.at, "").start();
    client.say("hello\n");
    client.out.until("hello\n");
    server.run.signal(Signal::TERM);
    // It has answered everything, and closes without a reproach.
    let ended = client.end();
    assert_eq!((ended.code, &*ended.text()), (0, "hello\n"), "{ended:?}");
    assert_eq!(server.run.end().code, 143);
}

#[test]
fn a_client_that_is_done_tells_the_server_at_once() {
    let mut server = Server::start("echo 127.0.0.1:0 --once");
    let ended = quic(&server.at, "--send hello").run();
    assert_eq!(ended.code, 0, "{ended:?}");
    // Not after the half minute for which a lost peer is waited.
    assert_eq!(server.run.end().code, 0);
}

#[test]
fn secrets_and_events_are_written_where_the_environment_says() {
    let folder = folder();
    let (keys, events) = (path(&folder, "keys"), path(&folder, "events"));
    std::fs::create_dir(&events).unwrap();
    let line = sockeye(["serve", "echo", "127.0.0.1:0"]).env("QLOGDIR", &events);
    let mut server = Server::ready(line);
    let client = quic(&server.at, "--send hello")
        .env("QLOGDIR", &events)
        .env("SSLKEYLOGFILE", &keys);
    assert_eq!(client.run().code, 0);
    server.run.signal(Signal::TERM);
    server.run.end();
    let secrets = std::fs::read_to_string(&keys).unwrap();
    for label in [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET ",
        "SERVER_TRAFFIC_SECRET_0 ",
    ] {
        assert!(secrets.contains(label), "{label}: {secrets}");
    }
    let files = std::fs::read_dir(&events).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "one for each end: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("qlog_version"), "{file:?}: {text}");
    }
    let nowhere = quic("127.0.0.1:1", "--send x").env("QLOGDIR", "/nonesuch");
    assert!(
        nowhere
            .run()
            .err
            .contains("QLOGDIR: /nonesuch is no folder")
    );
}
