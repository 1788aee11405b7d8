//! QUIC with a peer that we did not write: Python's aioquic, as a client and as a server.

use crate::http3::Aioquic;
use crate::stage::{LONG, Server, binary, connect};
use crate::web::python;

#[test]
fn aioquic_asks_our_echo() {
    for version in ["1", "2"] {
        let server = Server::start("echo 127.0.0.1:0 -v");
        asks(&server, version);
        let told = server.run.err.text();
        let facts = format!("quic #1 version {version}, ");
        assert!(told.contains(&facts), "{told}");
    }
}

fn asks(server: &Server, version: &str) {
    let arguments = ["ask", server.port(), version];
    let mut client = python("peers/quic_peer.py", &arguments).start();
    let ended = client.end_within(LONG * 6);
    assert_eq!(
        (ended.code, &*ended.text()),
        (0, "all is well\n"),
        "{ended:?}"
    );
    // It has moved once, on purpose.
    server.run.err.until(" has moved to ");
}

impl Aioquic {
    fn connect(&self, more: &str) -> crate::stage::Line {
        let (port, ca) = (self.server.port(), self.certificate.display());
        connect(&format!("quic://localhost:{port} -4 --ca {ca} {more}"))
    }
}

#[test]
fn we_talk_to_a_server_in_python() {
    let server = Aioquic::start("peers/quic_peer.py", &[]);
    for (flags, text) in [
        ("--send hello", "HELLO\n"),
        ("--datagrams --send hello", "HELLO"),
        ("--quic-version 2 --send hello", "HELLO\n"),
        ("--quic-version 2 --datagrams --send hello", "HELLO"),
    ] {
        let ended = server.connect(flags).run();
        assert_eq!((ended.code, &*ended.text()), (0, text), "{ended:?}");
    }
    let data = binary(1 << 20).to_ascii_lowercase();
    let mut client = server.connect("").start();
    let ended = client.pass(&data, LONG * 3);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data.to_ascii_uppercase());
    // We leave without a reproach, and after everything has arrived.
    server.server.run.out.until("terminated with 0");
}

#[test]
fn the_codes_of_a_server_in_python_are_told() {
    let server = Aioquic::start("peers/quic_peer.py", &[]);
    for (word, told) in [
        ("reset", "the peer reset the stream with code 7"),
        ("stop", "the peer stopped reading the stream with code 8"),
        (
            "close",
            "the peer closed the connection with code 42: enough",
        ),
    ] {
        let ended = server.connect(&format!("--send {word}")).run();
        assert_eq!(ended.code, 6, "{word}: {ended:?}");
        assert!(ended.complaint().contains(told), "{ended:?}");
    }
}

#[test]
fn a_server_in_python_that_speaks_another_version_is_told_of() {
    for (ours, its) in [("1", "2"), ("2", "1")] {
        let server = Aioquic::start("peers/quic_peer.py", &[its]);
        let ended = server
            .connect(&format!("--quic-version {ours} --send x"))
            .run();
        assert_eq!(ended.code, 5, "{ended:?}");
        let told = format!(
            "it does not speak version {ours} of QUIC, but version {its} (version negotiation)"
        );
        assert!(ended.complaint().contains(&told), "{ended:?}");
    }
}
