//! Dials that are watched: those that fail, with the right to see packets and without, and those that a relay makes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Ended, Line, Server, folder, objects, sockeye};
use crate::trace_live::{may_capture, nobody};
use crate::trace_sockets::{for_all, last_state, may_be_nobody, packets, pair, told};

/// `sockeye trace` as it is allowed to everybody, or as it sees packets.
fn trace(home: &TempDir, blind: bool, words: &[&str]) -> Line {
    match blind {
        true => nobody(home, "trace", words),
        false => sockeye(["trace"].iter().chain(words)),
    }
}

/// Nobody listens there, and nobody else can while this is held.
fn taken() -> (OwnedFd, String) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    bind(&socket, &any).unwrap();
    let at = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    (socket, at.to_string())
}

/// Somebody listens there who accepts nobody, and no more fit in: a SYN has no answer.
fn full() -> (OwnedFd, TcpStream, String) {
    let (socket, at) = taken();
    listen(&socket, 0).unwrap();
    let first = TcpStream::connect(&at).unwrap();
    (socket, first, at)
}

fn notes(packet: &Value) -> Vec<&str> {
    let notes = packet["notes"].as_array().unwrap().iter();
    notes.map(|note| note["note"].as_str().unwrap()).collect()
}

#[track_caller]
fn says(ended: &Ended, piece: &str) {
    // A picture breaks its sentences.
    let is_layout = |letter: char| letter.is_whitespace() || letter == '│';
    let flat = |text: &str| text.chars().filter(|l| !is_layout(*l)).collect::<String>();
    let text = ended.text();
    assert!(
        flat(&text).contains(&flat(piece)),
        "{piece} is not in\n{text}"
    );
}

#[test]
fn a_refused_dial_says_the_same_with_packets_and_without() {
    if !may_capture() || !may_be_nobody() {
        return;
    }
    let home = folder();
    let (_socket, at) = taken();
    let mut drawn = [true, false].map(|blind| {
        let ended = trace(&home, blind, &["--json", &at, "--send", "hi"]).run();
        assert_eq!(ended.code, 1, "{ended:?}");
        packets(&ended.text())
    });
    let rows = drawn.each_ref().map(|packets| told(packets, 0));
    assert_eq!(rows[0], ["A SYN", "B RST"]);
    assert_eq!(rows[1], ["A [SYN]", "B [RST]"]);
    for packets in &mut drawn {
        assert_eq!(notes(&packets[0]), [""; 0]);
        assert_eq!(notes(&packets[1]), ["refused"]);
        let states = |side: &str| last_state(packets, 0, side).0;
        assert_eq!([states("A"), states("B")], ["CLOSED", "CLOSED"]);
    }
    assert_eq!(last_state(&drawn[0], 0, "A"), pair("CLOSED", "kernel"));
    for blind in [true, false] {
        let ended = trace(&home, blind, &[&at, "--send", "hi", "--explain"]).run();
        says(&ended, "connection refused: nothing listens there");
        says(&ended, "no program listens on that port");
        let ended = trace(&home, blind, &[&at, "--send", "hi", "--svg"]).run();
        let label = if blind { ">(RST)<" } else { ">RST ACK" };
        assert!(ended.text().contains(label), "{ended:?}");
    }
}

#[test]
fn a_dial_that_nobody_answers_is_tried_as_often_as_packets_show() {
    if !may_capture() || !may_be_nobody() {
        return;
    }
    let home = folder();
    let (_listening, _first, at) = full();
    let run = |blind, words: &[&str]| {
        let words = [&[&at[..], "--send", "hi", "-w", "1.6"], words].concat();
        let ended = trace(&home, blind, &words).run();
        assert_eq!(ended.code, 3, "{ended:?}");
        ended
    };
    let seen = packets(&run(false, &["--json"]).text());
    assert!(!seen.is_empty() && told(&seen, 0).iter().all(|row| row == "A [SYN]"));
    let inferred = packets(&run(true, &["--json"]).text());
    let rows = told(&inferred, 0);
    assert_eq!(rows.first().map(String::as_str), Some("A SYN"));
    assert_eq!(rows.last().map(String::as_str), Some("A close"));
    let again = &inferred[1..inferred.len() - 1];
    // It is sent again after a second, and after another.
    assert_eq!(again.len() + 1, seen.len(), "{rows:?}");
    for (number, (packet, seen)) in again.iter().zip(&seen[1..]).enumerate() {
        assert_eq!(packet["inferred"], "sent again");
        for packet in [packet, seen] {
            assert_eq!(packet["notes"][0]["how"], "syn", "{packet}");
            assert_eq!(packet["notes"][0]["of"], json!(number + 1), "{packet}");
        }
        let [inferred, seen] = [packet, seen].map(|packet| packet["time"].as_f64().unwrap());
        // The kernel is looked at every 20 ms, on a machine that may be busy.
        assert!((inferred - seen).abs() < 0.3, "{inferred} {seen}");
    }
    let count = format!("no answer to {} SYNs", seen.len());
    let last = &inferred[inferred.len() - 1];
    assert_eq!(last["steps"][0]["text"], count, "{last}");
    assert_eq!(last_state(&inferred, 0, "A"), pair("CLOSED", "kernel"));
    let explained = run(true, &["--explain"]);
    says(&explained, &count);
    says(&explained, "No answer is an answer as well");
}

#[test]
fn what_never_left_is_not_drawn() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    // To a group there is no connection.
    let ended = nobody(&home, "trace", &["--json", "224.0.0.1:9", "--send", "hi"]).run();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(packets(&ended.text()).is_empty(), "{ended:?}");
}

/// The heads of the flows.
fn flows(text: &str) -> Vec<Value> {
    let all = objects(text).into_iter();
    all.filter(|object| object["event"] == "flow").collect()
}

#[test]
fn both_halves_of_a_served_relay_are_drawn_and_the_dialed_one_says_for_whom() {
    for blind in [true, false] {
        if !(may_be_nobody() && (blind || may_capture())) {
            continue;
        }
        let home = folder();
        let target = Server::start("upper tcp://127.0.0.1:0");
        let file = for_all(&home, "drawn.json");
        let trace = format!("--trace={}", file.display());
        let words = ["relay", &target.at, "tcp://127.0.0.1:0", &trace];
        let mut relay = Server::ready(match blind {
            true => nobody(&home, "serve", &words),
            false => sockeye(["serve"].iter().chain(&words)),
        });
        let mut client = relay.tcp();
        let address = client.local_addr().unwrap().to_string();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        relay.run.signal(Signal::INT);
        relay.run.end();
        let text = fs::read_to_string(&file).unwrap();
        let heads = flows(&text);
        assert_eq!(heads.len(), 2, "{text}");
        assert_eq!(
            (&heads[0]["A"], &heads[0]["B"]),
            (&json!(address), &json!(relay.at))
        );
        assert!(heads[0].get("for").is_none(), "{text}");
        assert_eq!(
            (&heads[1]["for"], &heads[1]["B"]),
            (&json!(address), &json!(target.at))
        );
        let sight = if blind { "socket" } else { "packets" };
        let drawn = packets(&text);
        for flow in [0, 1] {
            assert_eq!(heads[flow]["sight"], sight);
            let rows = told(&drawn, flow as u64);
            for said in ["A \"hello\"", "B \"HELLO\""] {
                let data = drawn.iter().filter(|packet| packet["flow"] == flow);
                let words = data.filter_map(|packet| {
                    Some(format!(
                        "{} {:?}",
                        packet["from"].as_str()?,
                        packet["text"].as_str()?
                    ))
                });
                assert!(words.into_iter().any(|word| word == said), "{rows:?}");
            }
            assert_eq!(last_state(&drawn, flow as u64, "A").0, "TIME-WAIT");
        }
    }
}

#[test]
fn tls_that_a_relay_dials_is_opened_in_the_picture() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let target = Server::start("upper 127.0.0.1:0");
    let to = format!("tls://{}", target.at);
    let words = [
        "relay",
        &to,
        "tcp://127.0.0.1:0",
        "--target-insecure",
        "--trace",
    ];
    let relay = Server::ready(nobody(&home, "serve", &words));
    let mut client = relay.tcp();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client.read_to_string(&mut String::new()).unwrap();
    let address = client.local_addr().unwrap();
    relay.run.err.until(&format!("dialed for {address}"));
    // That stands in what is encrypted.
    relay.run.err.until("TLS NewSessionTicket");
    relay.run.err.until("relay closed first");
}

#[test]
fn a_target_that_refuses_is_drawn_too() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let (_socket, at) = taken();
    let words = ["relay", &at, "tcp://127.0.0.1:0", "--trace"];
    let relay = Server::ready(nobody(&home, "serve", &words));
    let mut client = relay.tcp();
    // The relay resets whom it cannot help.
    let _ = client.read_to_string(&mut String::new());
    relay.run.err.until("(RST)");
    relay.run.err.until("connection refused: nothing listens");
}

#[test]
fn a_target_over_udp_says_for_whom_it_is_dialed() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let target = Server::start("upper udp://127.0.0.1:0");
    let to = format!("udp://{}", target.at);
    let words = ["relay", &to, "tcp://127.0.0.1:0", "--trace"];
    let relay = Server::ready(nobody(&home, "serve", &words));
    let mut client = relay.tcp();
    client.write_all(b"hello").unwrap();
    crate::stage::hear(&mut client, "HELLO");
    let address = client.local_addr().unwrap();
    relay.run.err.until(&format!("dialed for {address}"));
}
