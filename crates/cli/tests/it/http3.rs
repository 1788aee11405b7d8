//! HTTP/3 as people use it, and with a peer that we did not write: Python's aioquic.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::authority::self_signed;
use crate::stage::{
    Ended, LONG, Line, Server, binary, connect, folder, path, program, sockeye, words,
};
use crate::web::python;

const ALL_IS_WELL: &str = "all is well\n";

#[track_caller]
fn is_well(line: Line) {
    let ended = line.start().end_within(LONG * 9);
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
}

fn h3(at: &str, more: &str) -> Line {
    connect(&format!("h3://{at} --insecure {more}"))
}

#[test]
fn aioquic_asks_our_echo() {
    let server = Server::start("echo 127.0.0.1:0");
    is_well(python("peers/h3_peer.py", &["echo", server.port()]));
    server.run.err.until("open  #1 h3 POST / 127.0.0.1:");
}

#[test]
fn aioquic_asks_before_the_handshake_is_over() {
    let server = Server::start("reply pong 127.0.0.1:0 -v");
    is_well(python("peers/h3_peer.py", &["early", server.port()]));
    let told = server.run.err.text();
    assert!(told.contains("GET / 127.0.0.1:"), "{told}");
}

#[test]
fn aioquic_downloads_a_file_and_a_part_of_it() {
    const SIZE: usize = 20 * 1024 * 1024;
    let folder = folder();
    let file = path(&folder, "large");
    std::fs::write(&file, binary(SIZE)).unwrap();
    let digest = Command::new("sha256sum").arg(&file).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    let (digest, _) = digest.split_once(' ').unwrap();
    let server = Server::of(["site", folder.path().to_str().unwrap(), "127.0.0.1:0"]);
    let size = SIZE.to_string();
    let arguments = ["site", server.port(), &size, digest];
    is_well(python("peers/h3_peer.py", &arguments));
}

#[test]
fn a_request_that_has_begun_is_answered_before_the_server_leaves() {
    let mut server = Server::start("echo 127.0.0.1:0");
    let pid = server.run.id().to_string();
    is_well(python("peers/h3_peer.py", &["stop", server.port(), &pid]));
    assert_eq!(server.run.end().code, 143);
}

#[test]
fn a_port_tells_over_tls_that_it_speaks_http3() {
    let told = |line: &str, scheme: &str| {
        let server = Server::start(line);
        let url = format!("{scheme}://{}/", server.at);
        let ended = program("curl", ["-sSki", "-d", "hi", &url]).run();
        assert!(ended.text().ends_with("hi"), "{ended:?}");
        let text = ended.text().to_lowercase();
        let field = text.lines().find_map(|line| line.strip_prefix("alt-svc: "));
        let expected = format!("h3=\":{}\"; ma=86400", server.port());
        assert!(field.is_none_or(|field| field == expected), "{text}");
        field.is_some()
    };
    assert!(told("echo 127.0.0.1:0", "https"));
    assert!(!told("echo 127.0.0.1:0", "http"));
    assert!(!told("echo 127.0.0.1:0 --no-quic", "https"));
    assert!(!told("echo https://127.0.0.1:0", "https"));
}

#[test]
fn we_ask_ourselves_in_both_directions_at_once() {
    let server = Server::start("echo 127.0.0.1:0");
    let mut client = h3(&server.at, "--send hello -v").start();
    let ended = client.end();
    assert_eq!((ended.code, &*ended.text()), (0, "hello\n"), "{ended:?}");
    for part in [
        "connected h3 127.0.0.1:",
        "alpn h3",
        "HTTP/3",
        "of them lost",
    ] {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
    let mut client = h3(&server.at, "").start();
    for line in ["one\n", "two\n"] {
        client.say(line);
        client.out.until(line);
    }
    let ended = client.hang_up_and_end();
    assert_eq!((ended.code, &*ended.text()), (0, "one\ntwo\n"), "{ended:?}");
}

#[test]
fn head_tells_the_length_and_has_no_body() {
    let mut server = Server::start("reply pong 127.0.0.1:0");
    for path in ["/", "/.sockeye/page.css"] {
        let line = format!("h3://{}{path} --insecure --method HEAD -v", server.at);
        let ended = connect(&line).run();
        assert_eq!((ended.code, &*ended.text()), (0, ""), "{ended:?}");
        let length = ended
            .err
            .lines()
            .find_map(|line| line.strip_prefix("< content-length: "));
        assert!(length.is_some_and(|length| length != "0"), "{ended:?}");
    }
    server.run.signal(Signal::TERM);
    let told = server.run.end().err;
    assert!(!told.contains("cut off"), "{told}");
}

#[test]
fn a_large_body_goes_and_comes_byte_for_byte() {
    const SIZE: usize = 8 * 1024 * 1024;
    let server = Server::start("echo 127.0.0.1:0");
    let data = binary(SIZE);
    let mut client = h3(&server.at, "").start();
    let ended = client.pass(&data, LONG * 9);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "{} bytes came back", ended.out.len());
}

#[test]
fn rules_of_http_hold() {
    let server = Server::start("echo 127.0.0.1:0 --token sesame");
    let refused = h3(&server.at, "--send hello").run();
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.complaint().contains("401"), "{refused:?}");
    let known = h3(&server.at, "--send hello --token sesame").run();
    assert_eq!((known.code, &*known.text()), (0, "hello\n"), "{known:?}");
    let foreign = h3(
        &server.at,
        "--send hello --token sesame --origin https://evil.example",
    );
    assert!(foreign.run().complaint().contains("403"));
    let untrusted = connect(&format!("h3://{} --send x", server.at)).run();
    assert_eq!(untrusted.code, 4, "{untrusted:?}");
    // Where only streams are spoken there is no HTTP.
    let streams = Server::start("echo quic://127.0.0.1:0");
    let ended = h3(&streams.at, "--send x").run();
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.complaint().contains("no application protocol"));
}

/// A server of aioquic's, and the certificate that it shows.
pub(crate) struct Aioquic {
    pub(crate) server: Server,
    pub(crate) certificate: PathBuf,
    _folder: Arc<TempDir>,
}

impl Aioquic {
    pub(crate) fn start(script: &str, more: &[&str]) -> Self {
        let folder = folder();
        let issued = self_signed(&["localhost"]);
        let (certificate, key) = issued.write(folder.path(), "server.pem");
        let mut arguments = vec![
            "serve",
            certificate.to_str().unwrap(),
            key.to_str().unwrap(),
        ];
        arguments.extend(more);
        Self {
            server: Server::ready(python(script, &arguments)),
            certificate,
            _folder: folder,
        }
    }

    fn ask(&self, path: &str, more: &str) -> Ended {
        let (port, ca) = (self.server.port(), self.certificate.display());
        let line = format!("connect h3://localhost:{port}{path} -4 --ca {ca} {more}");
        sockeye(words(&line)).run()
    }
}

#[test]
fn we_ask_a_server_in_python() {
    let server = Aioquic::start("peers/h3_peer.py", &[]);
    let at = format!("localhost:{}", server.server.port());
    for (path, flags, text) in [
        ("/a?b=c", "-d", format!("GET /a?b=c {at} none none 0\n")),
        ("/", "--send hi", format!("POST / {at} 3 none 3\n")),
        (
            "/",
            "--send hi --method PUT -H X-Word:yes",
            format!("PUT / {at} 3 yes 3\n"),
        ),
    ] {
        let ended = server.ask(path, flags);
        assert_eq!((ended.code, ended.text()), (0, text), "{ended:?}");
    }
    let line = format!("GET /large {at} none none 0\n");
    let large = server.ask("/large", "-d");
    assert_eq!(large.code, 0, "{}", large.err);
    assert!(large.text() == line.repeat(100_000), "{}", large.out.len());
    let missing = server.ask("/nonesuch", "-d");
    assert_eq!(missing.code, 6, "{missing:?}");
    assert!(missing.complaint().contains("404"), "{missing:?}");
    let reset = server.ask("/code", "-d");
    assert_ne!(reset.code, 0, "{reset:?}");
    assert_eq!(reset.text(), "");
}
