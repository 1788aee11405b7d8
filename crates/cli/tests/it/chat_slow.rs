//! Readers that do not read, in a room where others talk, and a crowd that comes at once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::chat::Peer;
use crate::stage::{LONG, Server, dial};

/// How long a line is: a few hundred are more than a socket and the room's memory hold.
const LINE: usize = 8000;

/// A member who asks the kernel to hold little, so that not reading has an effect soon.
fn stuck(server: &Server, name: &str) -> Peer {
    use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&fd, 4096).unwrap();
    connect(&fd, &server.at.parse::<SocketAddr>().unwrap()).unwrap();
    let stream = std::net::TcpStream::from(fd);
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut peer = Peer::over(stream);
    peer.ask(&json!({"do": "hello", "name": name}));
    peer.event("joined");
    peer
}

/// Says lines while `reader` hears each at once, until `enough`; gives how many there were.
fn talk(writer: &mut Peer, reader: &mut Peer, mut enough: impl FnMut(u64) -> bool) -> u64 {
    let text = "x".repeat(LINE);
    let mut said = 0;
    let mut slowest = Duration::ZERO;
    while !enough(said) {
        let start = Instant::now();
        for _ in 0..10 {
            said += 1;
            writer.tell_all(&text, &said.to_string());
        }
        let mut heard = 0;
        while heard < said {
            let event = reader.next().unwrap();
            assert_ne!(event["event"], "missed", "{event}");
            if event["event"] == "line" {
                heard = event["id"].as_u64().unwrap();
            }
        }
        while writer.event("done")["id"] != said {}
        slowest = slowest.max(start.elapsed());
    }
    assert!(
        slowest < Duration::from_secs(5),
        "ten lines took {slowest:?}"
    );
    said
}

#[test]
fn fifty_who_do_not_read_hold_nobody_up_and_can_fetch_what_they_missed() {
    let server = Server::start("chat 127.0.0.1:0 --line-rate 0");
    let mut crowd: Vec<_> = (0..50)
        .map(|n| stuck(&server, &format!("stuck{n}")))
        .collect();
    let (mut writer, mut reader) = (
        Peer::program(&server.at, "writer"),
        Peer::program(&server.at, "reader"),
    );
    // More than the kernel takes for somebody, and than the room holds.
    let said = talk(&mut writer, &mut reader, |said| said >= 1500);
    for (n, peer) in crowd.iter_mut().enumerate().take(3) {
        let mut heard = BTreeSet::new();
        let mut missed = Vec::new();
        while !heard.contains(&said) {
            let event = peer.next().unwrap();
            match event["event"].as_str().unwrap() {
                "line" => assert!(
                    heard.insert(event["id"].as_u64().unwrap()),
                    "twice: {n}, {}",
                    event["id"]
                ),
                "missed" => missed.push((
                    event["from"].as_u64().unwrap(),
                    event["to"].as_u64().unwrap(),
                )),
                _ => {}
            }
        }
        assert!(!missed.is_empty());
        for (from, to) in missed {
            assert!(
                from <= to && (from..=to).all(|id| !heard.contains(&id)),
                "{from}-{to}"
            );
            let fetched = peer.history(from - 1);
            let fetched = fetched.iter().map(|line| line["id"].as_u64().unwrap());
            heard.extend(fetched.take_while(|id| *id <= to));
        }
        assert!(heard.into_iter().eq(1..=said), "peer {n} has a gap");
    }
}

#[test]
fn who_does_not_read_is_ended_where_that_is_wished() {
    let server = Server::start("chat 127.0.0.1:0 --line-rate 0 --slow end");
    let mut crowd: Vec<_> = (0..5)
        .map(|n| stuck(&server, &format!("stuck{n}")))
        .collect();
    let (mut writer, mut reader) = (
        Peer::program(&server.at, "writer"),
        Peer::program(&server.at, "reader"),
    );
    let ended = || {
        server
            .run
            .err
            .text()
            .matches("it reads more slowly than people write")
            .count()
    };
    let said = talk(&mut writer, &mut reader, |said| {
        ended() == 5 || said > 20_000
    });
    assert_eq!(ended(), 5, "after {said} lines: {}", server.run.err.text());
    for peer in &mut crowd {
        while peer.line().is_some() {}
    }
    writer.ask(&json!({"do": "who", "room": "lobby"}));
    let there = writer.event("who")["people"].clone();
    assert_eq!(there.as_array().unwrap().len(), 2, "{there}");
}

#[test]
fn thousands_come_and_go_at_once() {
    const EACH: usize = 500;
    let server = Server::start("chat 127.0.0.1:0");
    let mut ann = Peer::program(&server.at, "ann");
    let start = Instant::now();
    let crowd: Vec<_> = (0..4)
        .map(|thread| {
            let at = server.at.clone();
            std::thread::spawn(move || {
                for n in 0..EACH {
                    // Some stay for an answer, some leave in the middle of a word.
                    let mut peer = Peer::over(dial(&at));
                    peer.ask(&json!({"do": "hello", "name": format!("p{thread}x{n}")}));
                    if n % 2 == 0 {
                        peer.event("joined");
                    }
                }
            })
        })
        .collect();
    crowd.into_iter().for_each(|thread| thread.join().unwrap());
    let took = start.elapsed();
    assert!(took < LONG * 2, "{took:?}");
    ann.tell("still here");
    loop {
        ann.ask(&json!({"do": "who", "room": "lobby"}));
        let there = ann.event("who")["people"].as_array().unwrap().len();
        if there == 1 {
            return;
        }
        assert!(start.elapsed() < LONG * 3, "{there} are there");
    }
}
