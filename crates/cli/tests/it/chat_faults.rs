//! A chat whose server is killed while people write, and one whose disk is full: nothing that was acknowledged is lost.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::chat::Peer;
use crate::stage::{LONG, Server, folder, path, program};

const KILLS: usize = 20;
const WRITERS: usize = 4;

/// A client that connects again whenever the server is gone, as the same person.
struct Client {
    at: String,
    hello: Value,
    peer: Option<(BufReader<TcpStream>, TcpStream)>,
    /// The last line it has heard.
    last: u64,
}

impl Client {
    fn new(at: &str, name: &str) -> Self {
        Self {
            at: at.to_owned(),
            hello: json!({"do": "hello", "name": name}),
            peer: None,
            last: 0,
        }
    }

    /// Whether the connection is a new one.
    fn connect(&mut self) -> bool {
        if self.peer.is_some() {
            return false;
        }
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < LONG * 3, "the server does not come back");
            let Ok(stream) = TcpStream::connect(&self.at) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            stream.set_read_timeout(Some(LONG)).unwrap();
            self.peer = Some((BufReader::new(stream.try_clone().unwrap()), stream));
            self.hello["rooms"] = json!({"lobby": self.last});
            let hello = self.hello.clone();
            if !self.ask(&hello) {
                continue;
            }
            return true;
        }
    }

    fn ask(&mut self, what: &Value) -> bool {
        let Some((_, stream)) = &mut self.peer else {
            return false;
        };
        let sent = stream.write_all(format!("{what}\n").as_bytes()).is_ok();
        if !sent {
            self.peer = None;
        }
        sent
    }

    /// The next event; nothing if the server is gone.
    fn next(&mut self) -> Option<Value> {
        let (reader, _) = self.peer.as_mut()?;
        let mut line = String::new();
        let whole = match reader.read_line(&mut line) {
            Ok(_) => line.ends_with('\n'),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
            Err(_) => false,
        };
        if !whole {
            self.peer = None;
            return None;
        }
        if !line.starts_with('{') {
            return self.next();
        }
        let event: Value = serde_json::from_str(&line).unwrap();
        match event["event"].as_str().unwrap() {
            "welcome" => {
                assert_eq!(
                    event["name"], self.hello["name"],
                    "it is another person now"
                );
                self.hello["resume"] = event["resume"].clone();
            }
            "line" => {
                let id = event["id"].as_u64().unwrap();
                assert_eq!(id, self.last + 1, "{} heard {event}", self.hello["name"]);
                self.last = id;
            }
            "refused" | "missed" => panic!("{event}"),
            _ => {}
        }
        Some(event)
    }
}

/// Says line after line, each once it has heard that the one before is safe; gives their ids.
fn write(
    mut client: Client,
    acknowledged: &AtomicUsize,
    stop: &AtomicBool,
) -> BTreeMap<String, u64> {
    let name = client.hello["name"].as_str().unwrap().to_owned();
    let mut safe = BTreeMap::new();
    for n in 0.. {
        let tag = format!("{name} {n}");
        let say = json!({"do": "say", "room": "lobby", "text": tag, "tag": tag});
        let mut said = false;
        let id = loop {
            if client.connect() {
                said = false;
            }
            if !said {
                // With the same tag it is the same line, however often it is said.
                said = client.ask(&say);
                continue;
            }
            match client.next() {
                Some(event) if event["event"] == "done" => {
                    assert_eq!(event["tag"], tag.as_str());
                    break event["id"].as_u64().unwrap();
                }
                _ => {}
            }
        };
        safe.insert(tag, id);
        acknowledged.fetch_add(1, Relaxed);
        if stop.load(Relaxed) {
            break;
        }
    }
    safe
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_nothing_that_was_acknowledged() {
    let folder = folder();
    let file = path(&folder, "chat.db");
    let start = |at: &str| {
        Server::start(&format!(
            "chat {at} --line-rate 0 --history {}",
            file.display()
        ))
    };
    let mut server = start("127.0.0.1:0");
    let at = server.at.clone();
    let (acknowledged, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let ready = Arc::new(Barrier::new(WRITERS + 1));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let mut client = Client::new(&at, &format!("writer{n}"));
            let (acknowledged, stop, ready) = (acknowledged.clone(), stop.clone(), ready.clone());
            std::thread::spawn(move || {
                client.connect();
                // Whoever is killed before the welcome has no token, and its name is free.
                client.next();
                ready.wait();
                write(client, &acknowledged, &stop)
            })
        })
        .collect();
    ready.wait();
    for kill in 0..KILLS {
        let before = acknowledged.load(Relaxed);
        let began = Instant::now();
        while acknowledged.load(Relaxed) < before + 10 + kill {
            assert!(
                began.elapsed() < LONG * 3,
                "kill {kill}: {}",
                server.run.err.text()
            );
            std::thread::yield_now();
        }
        server.run.signal(Signal::KILL);
        server.run.end();
        server = start(&at);
    }
    stop.store(true, Relaxed);
    let mut safe = BTreeMap::new();
    for writer in writers {
        safe.extend(writer.join().unwrap());
    }
    let mut reader = Peer::program(&server.at, "reader");
    let kept = reader.history(0);
    let ids = kept.iter().map(|line| line["id"].as_u64().unwrap());
    assert!(ids.eq(1..=kept.len() as u64), "ids have no gaps");
    let kept: Vec<(String, u64)> = kept
        .iter()
        .map(|line| {
            (
                line["text"].as_str().unwrap().to_owned(),
                line["id"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(kept.len(), safe.len(), "nothing is there twice");
    assert_eq!(BTreeMap::from_iter(kept), safe);
    assert!(safe.len() > KILLS * 10);
}

#[test]
fn a_full_disk_refuses_lines_and_the_room_goes_on() {
    let folder = folder();
    let disk = folder.path().display().to_string();
    // A small disk of its own, which nobody else sees.
    let script = "mount -t tmpfs -o size=3m tmpfs \"$1\" && head -c 1500000 /dev/zero > \"$1/ballast\" && \
                  exec \"$2\" serve chat 127.0.0.1:0 --line-rate 0 --history \"$1/chat.db\"";
    let sockeye = env!("CARGO_BIN_EXE_sockeye");
    let line = program(
        "unshare",
        ["-Urm", "sh", "-ec", script, "sh", &disk, sockeye],
    );
    let server = Server::ready(line);
    let mut ann = Peer::program(&server.at, "ann");
    let mut bob = Peer::person(&server.at);
    let text = "a long line ".repeat(600);
    let mut kept = Vec::new();
    let refused = loop {
        let tag = kept.len().to_string();
        ann.tell_all(&text, &tag);
        let answer = loop {
            let answer = ann.next().unwrap();
            if answer["tag"] == tag.as_str() && answer["event"] != "line" {
                break answer;
            }
        };
        if answer["event"] == "refused" {
            break answer;
        }
        kept.push(answer["id"].as_u64().unwrap());
        assert!(kept.len() < 2000, "the disk is never full");
    };
    assert_eq!(refused["why"], "not-kept", "{refused}");
    let told = refused["text"].as_str().unwrap();
    assert!(
        told.contains("it was not said") && told.contains("full"),
        "{told}"
    );
    // Who only reads notices nothing.
    bob.say("/history 1");
    bob.until("a long line");
    let found = ann.history(0);
    assert_eq!(found.len(), kept.len());
    let mut carl = Peer::person(&server.at);
    carl.say("/who");
    carl.until("in #lobby");
    std::fs::remove_file(format!("/proc/{}/root{disk}/ballast", server.run.id())).unwrap();
    let id = ann.tell("there is room again");
    assert_eq!(id, kept.len() as u64 + 1, "ids have no gaps");
    bob.until("there is room again");
}

/// Tells a program another time of day, by what the file says.
fn deceived(line: crate::stage::Line, file: &std::path::Path) -> crate::stage::Line {
    // Where the library is, it says itself.
    let library = program("faketime", ["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).run();
    assert_eq!(library.code, 0, "{library:?}");
    line.env("LD_PRELOAD", library.text().trim())
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
}

#[test]
fn a_clock_that_goes_back_takes_no_line_with_it() {
    const HOUR: i64 = 3600;
    let home = folder();
    let (clock, history) = (path(&home, "clock"), path(&home, "chat.db"));
    let start = || {
        let words = ["serve", "chat", "127.0.0.1:0", "--keep", "30d", "--history"];
        let words = words.iter().map(std::ffi::OsStr::new);
        let line = crate::stage::sockeye(words.chain([history.as_os_str()]));
        Server::ready(deceived(line, &clock))
    };
    std::fs::write(&clock, "+0").unwrap();
    let mut server = start();
    let hello = json!({"do": "hello", "name": "ann"});
    let (mut ann, welcome) = Peer::hello(&server.at, &hello);
    assert_eq!(ann.tell("before"), 1);
    std::fs::write(&clock, "-1h").unwrap();
    assert_eq!(ann.tell("an hour earlier"), 2);

    // What one has seen goes by ids, and so nothing is missing and nothing comes twice.
    let mut bob = Peer::over(crate::stage::dial(&server.at));
    bob.ask(&json!({"do": "hello", "name": "bob", "rooms": {"lobby": 1}}));
    assert_eq!(bob.event("line")["text"], "an hour earlier");
    assert_eq!(ann.tell("for bob"), 3);
    assert_eq!(bob.event("line")["text"], "for bob");

    // The next server begins in the past, too.
    server.run.signal(Signal::KILL);
    server.run.end();
    let server = start();
    let mut ann = Peer::over(crate::stage::dial(&server.at));
    ann.ask(&json!({"do": "hello", "resume": welcome["resume"], "rooms": {"lobby": 3}}));
    assert_eq!(ann.event("welcome")["name"], "ann");
    assert_eq!(ann.tell("after the restart"), 4);
    std::fs::write(&clock, "+0").unwrap();
    assert_eq!(ann.tell("in the present"), 5);

    let lines = ann.history(0);
    let texts: Vec<_> = lines
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    let all = [
        "before",
        "an hour earlier",
        "for bob",
        "after the restart",
        "in the present",
    ];
    assert_eq!(texts, all);
    // Each has the time that the server had: none is made up.
    let second = |at: usize| {
        let time: jiff::Timestamp = lines[at]["time"].as_str().unwrap().parse().unwrap();
        time.as_second()
    };
    for (at, hours) in [(1, -1), (2, -1), (3, -1), (4, 0)] {
        let passed = second(at) - second(0) - hours * HOUR;
        assert!((0..60).contains(&passed), "{}: {passed} s", texts[at]);
    }
    ann.ask(&json!({"do": "history", "room": "lobby", "since": lines[0]["time"]}));
    // That is at two places here; the answer begins at one of them, and leaves nothing out from there on.
    let since = ann.event("history")["lines"].clone();
    let since = since.as_array().unwrap();
    assert!(
        [1, 5].contains(&since.len()) && lines.ends_with(since),
        "{since:?}"
    );
}
