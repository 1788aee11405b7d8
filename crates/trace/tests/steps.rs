//! Steps of upper layers: in which packet they are complete, and what is told without keys.

use std::fs;
use std::path::Path;

use trace::{Capture, Flow, Kind};

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    fs::read(folder.join(name)).unwrap()
}

/// `9: HTTP/1.1 GET /hello`
fn steps(flow: &Flow) -> Vec<String> {
    let rows = flow.events.iter().enumerate();
    let steps = rows.flat_map(|(row, event)| {
        let steps = event.steps.iter();
        steps.map(move |step| format!("{}: {} {}", row + 1, step.layer, step.text))
    });
    steps.collect()
}

fn of(bytes: &[u8]) -> Vec<String> {
    steps(&Capture::read(bytes).flows[0])
}

const TLS_HTTP: [&str; 10] = [
    "4: TLS ClientHello (to localhost, TLS 1.3/1.2, speaks http/1.1, X25519)",
    "6: TLS ServerHello (TLS 1.3, AES-256-GCM, X25519), EncryptedExtensions (http/1.1), \
     Certificate (416 B), CertificateVerify, Finished",
    "8: TLS Finished",
    "9: HTTP/1.1 GET /hello",
    "10: TLS NewSessionTicket",
    "11: TLS NewSessionTicket",
    "12: HTTP/1.1 200 OK",
    "13: TLS alert close_notify",
    "15: TLS alert close_notify",
    "",
];

#[test]
fn tls_is_opened_with_the_keys_in_the_file_on_any_port() {
    assert_eq!(of(&file("tls13-http1.pcapng")), TLS_HTTP[..9]);
    let words = |all: Vec<String>| -> Vec<String> {
        all.iter()
            .map(|step| step.split_once(": ").unwrap().1.to_owned())
            .collect()
    };
    let expected = words(of(&file("tls13-http1.pcapng")));
    assert_eq!(words(of(&file("tls13-http1-port7000.pcapng"))), expected);
}

/// The file without its keys, and the keys.
fn without_keys(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut rest, mut keys) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let end = at + word(at + 4) as usize;
        match word(at) {
            10 => keys.extend(&bytes[at + 16..at + 16 + word(at + 12) as usize]),
            _ => rest.extend(&bytes[at..end]),
        }
        at = end;
    }
    (rest, keys)
}

#[test]
fn without_keys_it_is_said_where_everything_is_sealed_and_a_key_log_opens_it() {
    let (plain, keys) = without_keys(&file("tls13-http1.pcapng"));
    assert!(keys.starts_with(b"# TLS secrets log file"));
    let sealed = [
        TLS_HTTP[0],
        "6: TLS ServerHello (TLS 1.3, AES-256-GCM, X25519), sealed from here on",
        "8: TLS sealed from here on",
    ];
    assert_eq!(of(&plain), sealed);
    let opened = Capture::read_with(&plain[..], &keys);
    assert_eq!(steps(&opened.flows[0]), TLS_HTTP[..9]);
    let mut wrong = keys;
    let last = wrong.len() - 2;
    wrong[last] = if wrong[last] == b'0' { b'1' } else { b'0' };
    let partly = Capture::read_with(&plain[..], &wrong);
    assert!(steps(&partly.flows[0]).contains(&"9: TLS sealed from here on".to_owned()));
}

#[test]
fn frames_of_http_2_are_named_with_and_without_packets() {
    let expected = [
        "TLS ClientHello (to localhost, TLS 1.3, speaks h2, X25519)",
        "TLS ServerHello (TLS 1.3, AES-256-GCM, X25519), EncryptedExtensions (h2), Certificate (362 B), \
         CertificateVerify, Finished",
        "TLS Finished",
        "HTTP/2 preface",
        "HTTP/2 SETTINGS, HEADERS GET /hello on stream 1, end",
        "TLS NewSessionTicket, NewSessionTicket",
        "HTTP/2 SETTINGS",
        "HTTP/2 SETTINGS ack",
        "HTTP/2 HEADERS 200 on stream 1, DATA 14 B on stream 1, end",
        "HTTP/2 SETTINGS ack",
        "HTTP/2 GOAWAY",
        "TLS alert close_notify",
        "TLS alert close_notify",
    ];
    for name in ["lo-h2.pcapng", "h2-upper-pdu.pcapng"] {
        let found = of(&file(name));
        let found: Vec<_> = found
            .iter()
            .map(|step| step.split_once(": ").unwrap().1)
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn websocket_follows_the_upgrade() {
    let expected = [
        "4: HTTP/1.1 GET /chat",
        "6: HTTP/1.1 101 Switching Protocols to WebSocket",
        "8: WebSocket text \"hello\"",
        "9: WebSocket text \"HELLO\"",
        "10: WebSocket ping \"hi\"",
        "11: WebSocket pong \"hi\"",
        "12: WebSocket close 1000",
        "13: WebSocket close 1000 \"bye\"",
    ];
    assert_eq!(of(&file("websocket.pcap")), expected);
    let plain = ["4: HTTP/1.1 GET /", "6: HTTP/1.1 200 OK"];
    assert_eq!(of(&file("http1-gb2312.pcap")), plain);
}

/// A capture of exported bytes, which need no headers of TCP.
fn said(pieces: &[(bool, &[u8])]) -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 252];
    let mut file: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (client, piece) in pieces {
        let (from, to) = if *client { (1, 2) } else { (2, 1) };
        let tags = [
            0, 20, 0, 4, 10, 0, 0, from, 0, 21, 0, 4, 10, 0, 0, to, 0, 0, 0, 0,
        ];
        let length = (tags.len() + piece.len()) as u32;
        file.extend(
            [1, 0, length, length]
                .iter()
                .flat_map(|word: &u32| word.to_le_bytes()),
        );
        file.extend([&tags[..], piece].concat());
    }
    file
}

#[test]
fn bodies_are_passed_over_wherever_they_are_cut() {
    let request = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET HEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
    let answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nHTTP/\r\n0\r\na: b\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 500 No";
    let expected = [
        "POST /a",
        "HEAD /b",
        "GET /c",
        "200 OK",
        "200 OK",
        "404 Not Found",
    ];
    for size in 1..answer.len() {
        let asked = request.chunks(size).map(|piece| (true, piece));
        let answered = answer.chunks(size).map(|piece| (false, piece));
        let bytes = said(&asked.chain(answered).collect::<Vec<_>>());
        let capture = Capture::read(&bytes[..]);
        let events = capture.flows[0].events.iter();
        let found: Vec<_> = events
            .flat_map(|event| &event.steps)
            .flat_map(|step| step.text.split(", "))
            .collect();
        assert_eq!(found, expected, "in pieces of {size}");
    }
}

/// The packets of every datagram.
fn packets(flow: &Flow) -> Vec<&str> {
    let events = flow.events.iter();
    let packets = events.map(|event| match &event.kind {
        Kind::Datagram {
            packets: Some(packets),
            ..
        } => &packets[..],
        other => panic!("{other:?}"),
    });
    packets.collect()
}

#[test]
fn packets_of_quic_are_opened_and_frames_of_http_3_named() {
    for name in ["lo-h3.pcapng", "h3-unprivileged-tap.pcapng"] {
        let capture = Capture::read(&file(name)[..]);
        let flow = &capture.flows[0];
        let packets = packets(flow);
        assert_eq!(
            packets[..3],
            ["Initial 0", "Initial 0 + Handshake 0", "1-RTT 0"],
            "{name}"
        );
        assert!(
            packets.iter().all(|packets| !packets.contains("sealed")),
            "{packets:?}"
        );
        let steps = steps(flow);
        for (row, what) in [
            (
                1,
                "TLS ClientHello (to localhost, TLS 1.3, speaks h3, X25519)",
            ),
            (2, "EncryptedExtensions (h3)"),
            (3, "NEW_CONNECTION_ID ×4"),
        ] {
            let found = steps
                .iter()
                .any(|step| step.starts_with(&format!("{row}: ")) && step.contains(what));
            assert!(found, "{name} {row}: {what} is not in {steps:#?}");
        }
        for what in [
            "HTTP/3 control stream, SETTINGS",
            "HEADERS GET /hello on stream 0",
            "HEADERS 200 on stream 0",
            "DATA 14 B on stream 0",
            "handshake confirmed",
            "PING, IMMEDIATE_ACK, probes whether",
            "closes: application code 0x100 \"Connection closed by client\"",
        ] {
            assert!(
                steps.iter().any(|step| step.contains(what)),
                "{name}: {what} is not in {steps:#?}"
            );
        }
    }
    let echo = of(&file("lo-quic.pcapng"));
    assert!(
        echo.contains(&"7: stream 0: 15 B \"hello over quic\", end".to_owned()),
        "{echo:#?}"
    );
    assert!(
        echo.contains(&"10: stream 0: 15 B \"HELLO OVER QUIC\", end".to_owned()),
        "{echo:#?}"
    );
}

#[test]
fn without_keys_the_first_packets_of_quic_are_opened_all_the_same() {
    let (plain, _) = without_keys(&file("lo-h3.pcapng"));
    let capture = Capture::read(&plain[..]);
    let packets = packets(&capture.flows[0]);
    assert_eq!(
        packets[..3],
        ["Initial 0", "Initial 0 + Handshake sealed", "1-RTT sealed"]
    );
    let expected = [
        "1: TLS ClientHello (to localhost, TLS 1.3, speaks h3, X25519)",
        "2: TLS ServerHello (TLS 1.3, AES-256-GCM, X25519)",
        "2: QUIC ACK 0",
        "4: QUIC ACK 0",
    ];
    assert_eq!(steps(&capture.flows[0]), expected);
}

#[test]
fn tls_1_2_is_opened_with_a_key_log_and_says_where_it_is_sealed_without() {
    let bytes = file("tls12-exported.pcap");
    let hellos = [
        "1: TLS ClientHello (to localhost, TLS 1.2, speaks http/1.1)",
        "2: TLS ServerHello (TLS 1.2, AES-256-GCM, http/1.1), Certificate (392 B), ServerKeyExchange, ServerHelloDone",
    ];
    let found = of(&bytes);
    assert_eq!(found[..2], hellos);
    let sealed = [
        "3: TLS ClientKeyExchange, ChangeCipherSpec, Finished, sealed",
        "4: TLS NewSessionTicket, ChangeCipherSpec, Finished, sealed",
        "7: TLS alert, sealed",
        "8: TLS alert, sealed",
    ];
    assert_eq!(found[2..], sealed);
    let opened = Capture::read_with(&bytes[..], &file("tls12-exported.keys"));
    let found = steps(&opened.flows[0]);
    assert_eq!(found[..2], hellos);
    let expected = [
        "3: TLS ClientKeyExchange, ChangeCipherSpec, Finished",
        "4: TLS NewSessionTicket, ChangeCipherSpec, Finished",
        "5: HTTP/1.1 GET /",
        "6: HTTP/1.1 200 OK",
        "7: TLS alert close_notify",
        "8: TLS alert close_notify",
    ];
    assert_eq!(found[2..], expected);
}

#[test]
fn a_server_that_wants_another_group_has_the_client_begin_again() {
    let opened = Capture::read_with(
        &file("tls13-retry-exported.pcap")[..],
        &file("tls13-retry-exported.keys"),
    );
    let found = steps(&opened.flows[0]);
    assert_eq!(
        found[1],
        "2: TLS ServerHello (begin again, TLS 1.3, AES-256-GCM, P-384)"
    );
    assert!(
        found[2].ends_with("speaks http/1.1, P-384)"),
        "{}",
        found[2]
    );
    assert!(
        found.iter().any(|step| step.ends_with("HTTP/1.1 GET /")),
        "{found:#?}"
    );
}
