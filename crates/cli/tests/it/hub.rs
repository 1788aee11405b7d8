//! Several servers as one chat, through real servers of NATS: what is said on one is heard on all, and nobody loses a line
//! when servers of either kind are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chat::Peer;
use crate::stage::{LONG, Run, Server, UNHURRIED, folder, program};

/// A server of NATS.
pub(crate) struct Nats {
    run: Run,
    pub(crate) at: String,
}

impl Nats {
    /// Alone, with what it keeps in `folder`.
    fn alone(folder: &Path, port: u16) -> Self {
        Self::start(port, &["--store_dir", folder.to_str().unwrap()])
    }

    fn start(port: u16, more: &[&str]) -> Self {
        let port = port.to_string();
        let line = ["-a", "127.0.0.1", "-p", &port, "-js"];
        let run = program("nats-server", line.iter().chain(more)).start();
        run.err.until("Server is ready");
        Self {
            run,
            at: format!("nats://127.0.0.1:{port}"),
        }
    }

    /// Three that are one.
    pub(crate) fn cluster(folder: &TempDir) -> Vec<Self> {
        let (ports, routes) = (free_ports(3), free_ports(3));
        let others: Vec<_> = routes
            .iter()
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        let servers: Vec<_> = (0..3)
            .map(|n| {
                let store = folder.path().join(n.to_string());
                let name = format!("n{n}");
                let listen = format!("nats://127.0.0.1:{}", routes[n]);
                let words = [
                    "--store_dir",
                    store.to_str().unwrap(),
                    "--server_name",
                    &name,
                    "--cluster_name",
                    "hub",
                    "--cluster",
                    &listen,
                    "--routes",
                    &others.join(","),
                ];
                Self::start(ports[n], &words)
            })
            .collect();
        servers
    }
}

/// Ports that nobody had a moment ago: these servers cannot say which one the system gave them.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}

pub(crate) fn node(hub: &str) -> Server {
    node_at(hub, "tcp://127.0.0.1:0")
}

pub(crate) fn node_at(hub: &str, at: &str) -> Server {
    let words = [
        "chat",
        at,
        "--history",
        "none",
        "--line-rate",
        "0",
        "--hub",
        hub,
    ];
    Server::of([&words[..], &UNHURRIED].concat())
}

fn refused(peer: &mut Peer, ask: Value) -> Value {
    peer.ask(&ask);
    peer.event("refused")["why"].clone()
}

#[test]
fn two_servers_are_one_chat() {
    let kept = folder();
    let nats = Nats::alone(kept.path(), free_ports(1)[0]);
    let (a, b) = (node(&nats.at), node(&nats.at));
    let words = a.run.err.text();
    assert!(
        words.contains("a power cut there can take the last two minutes"),
        "{words}"
    );
    assert!(words.contains("warning: "), "{words}");

    let (mut ann, welcome) = Peer::hello(
        &a.at,
        &json!({"do": "hello", "name": "ann", "password": "correct horse"}),
    );
    let mut bob = Peer::program(&b.at, "bob");
    while ann.event("came")["name"] != "bob" {}
    ann.ask(&json!({"do": "who"}));
    let people = ann.event("who")["people"].clone();
    let names: BTreeSet<_> = people
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(["ann", "bob"]));
    assert_eq!(ann.tell("from a"), 1);
    assert_eq!(bob.lines_to("from a"), [(1, "from a".to_owned())]);
    assert_eq!(bob.tell("from b"), 2);
    assert_eq!(
        ann.lines_to("from b").last(),
        Some(&(2, "from b".to_owned()))
    );

    // Names are one person's on all servers, and so are passwords.
    let mut eve = Peer::program(&b.at, "eve");
    assert_eq!(
        refused(&mut eve, json!({"do": "name", "name": "Bob"})),
        "name-taken"
    );
    assert_eq!(
        refused(&mut eve, json!({"do": "name", "name": "ann"})),
        "password"
    );
    let name = json!({"do": "name", "name": "ann", "password": "wrong horse"});
    assert_eq!(refused(&mut eve, name), "password");

    // One person is told wherever they are, or when they come back, wherever that is.
    bob.ask(&json!({"do": "tell", "to": "ann", "text": "psst", "tag": "t"}));
    assert_eq!(ann.event("told")["text"], "psst");
    assert_eq!(bob.event("done").get("kept"), None);
    drop(ann);
    while bob.event("went")["name"] != "ann" {}
    bob.ask(&json!({"do": "tell", "to": "ann", "text": "later", "tag": "l"}));
    assert_eq!(bob.event("done")["kept"], true);
    let hello = json!({"do": "hello", "resume": welcome["resume"], "rooms": {"lobby": 1}});
    let mut ann = Peer::over(crate::stage::dial(&b.at));
    ann.ask(&hello);
    assert_eq!(ann.event("welcome")["name"], "ann");
    let (mut told, mut line) = (None, None);
    while told.is_none() || line.is_none() {
        let event = ann.next().unwrap();
        match event["event"].as_str().unwrap() {
            "told" => told = Some(event),
            "line" => line = Some(event),
            _ => {}
        }
    }
    assert_eq!(told.unwrap()["text"], "later");
    assert_eq!(line.unwrap()["id"], 2);

    // Orders reach whom they are for.
    ann.ask(&json!({"do": "join", "room": "dev"}));
    ann.event("joined");
    let mut carl = Peer::program(&a.at, "carl");
    carl.ask(&json!({"do": "join", "room": "dev"}));
    assert_eq!(carl.event("joined")["owners"], json!(["ann"]));
    ann.ask(&json!({"do": "ban", "room": "dev", "name": "carl", "why": "spam", "tag": "b"}));
    assert_eq!(ann.event("done")["tag"], "b");
    assert_eq!(carl.event("parted")["room"], "dev");
    assert_eq!(
        refused(&mut carl, json!({"do": "join", "room": "dev"})),
        "banned"
    );
}

/// The rooms' streams, by NATS's own protocol.
fn streams(nats: &Nats) -> usize {
    let mut peer = crate::stage::dial(nats.at.trim_start_matches("nats://"));
    peer.write_all(
        b"CONNECT {\"verbose\":false}\r\nSUB mine 1\r\nPUB $JS.API.STREAM.NAMES mine 0\r\n\r\n",
    )
    .unwrap();
    for line in BufReader::new(peer).lines() {
        let line = line.unwrap();
        if line.starts_with('{') {
            let answer: Value = serde_json::from_str(&line).unwrap();
            let names = answer["streams"].as_array().unwrap().iter();
            let is_room = |name: &&Value| name.as_str().unwrap().starts_with("sockeye-room-");
            return names.filter(is_room).count();
        }
    }
    panic!("it hung up");
}

#[test]
fn a_room_is_kept_by_the_hub_from_its_first_line_on() {
    let kept = folder();
    let nats = Nats::alone(kept.path(), free_ports(1)[0]);
    let (a, b) = (node(&nats.at), node(&nats.at));
    let mut ann = Peer::program(&a.at, "ann");
    let mut bob = Peer::program(&b.at, "bob");
    for peer in [&mut ann, &mut bob] {
        peer.ask(&json!({"do": "join", "room": "dev"}));
        assert_eq!(peer.event("joined")["last"], 0);
        peer.ask(&json!({"do": "history", "room": "elsewhere"}));
        assert_eq!(peer.event("history")["lines"], json!([]));
        peer.ask(&json!({"do": "topic", "room": "elsewhere"}));
        assert_eq!(peer.event("topic")["topic"], "");
    }
    assert_eq!(streams(&nats), 0, "nobody has said anything");
    // Several at once, of which the first makes the room.
    for text in ["1", "2", "3", "4", "5"] {
        ann.ask(&json!({"do": "say", "room": "dev", "text": text, "tag": text}));
    }
    for id in 1..=5 {
        let done = ann.event("done");
        assert_eq!(
            (&done["id"], &done["tag"]),
            (&json!(id), &json!(id.to_string()))
        );
    }
    // Who was there before on another server hears it, and who comes later reads it.
    for text in ["1", "2", "3", "4", "5"] {
        assert_eq!(bob.event("line")["text"], text);
    }
    assert_eq!(streams(&nats), 1);
    bob.ask(&json!({"do": "say", "room": "dev", "text": "six", "tag": "s"}));
    assert_eq!(bob.event("done")["id"], 6);
    ann.ask(&json!({"do": "topic", "room": "dev", "text": "fish", "tag": "t"}));
    assert_eq!(ann.event("done")["id"], 7);
    let c = node(&nats.at);
    let mut late = Peer::program(&c.at, "late");
    late.ask(&json!({"do": "join", "room": "dev", "after": 0}));
    assert_eq!(late.event("joined")["last"], 7);
    bob.ask(&json!({"do": "rooms"}));
    let rooms = bob.event("rooms")["rooms"].clone();
    let dev = rooms
        .as_array()
        .unwrap()
        .iter()
        .find(|room| room["room"] == "dev");
    let dev = dev.unwrap_or_else(|| panic!("{rooms}"));
    assert_eq!((&dev["topic"], &dev["last"]), (&json!("fish"), &json!(7)));
    let lobby = rooms
        .as_array()
        .unwrap()
        .iter()
        .find(|room| room["room"] == "lobby");
    assert_eq!(
        lobby.unwrap()["last"],
        0,
        "people are there, and nothing was said"
    );
    assert_eq!(streams(&nats), 1);
}

#[test]
fn what_is_said_while_the_hub_is_away_waits_for_it() {
    let kept = folder();
    let port = free_ports(1)[0];
    let mut nats = Nats::alone(kept.path(), port);
    let a = node(&nats.at);
    let mut ann = Peer::program(&a.at, "ann");
    assert_eq!(ann.tell("before"), 1);
    nats.run.signal(Signal::KILL);
    nats.run.end();
    assert!(
        ann.event("notice")["text"]
            .as_str()
            .unwrap()
            .contains("away")
    );
    for text in ["one", "two", "three"] {
        ann.tell_all(text, text);
    }
    let _nats = Nats::alone(kept.path(), port);
    let ids: Vec<_> = (0..3).map(|_| ann.event("done")).collect();
    let ids: Vec<_> = ids
        .iter()
        .map(|done| (done["tag"].as_str().unwrap(), done["id"].as_u64().unwrap()))
        .collect();
    assert_eq!(ids, [("one", 2), ("two", 3), ("three", 4)]);
}

/// A program that says lines and hears all, and goes to the next server when its own is gone.
struct Client {
    servers: Vec<String>,
    hello: Value,
    peer: Option<Peer>,
    name: &'static str,
    /// Tags that were said and not acknowledged.
    open: BTreeSet<u32>,
    acknowledged: BTreeMap<u32, u64>,
    /// Ids and texts of all that was heard.
    heard: Vec<(u64, String)>,
}

impl Client {
    fn new(name: &'static str, servers: &[&Server]) -> Self {
        Self {
            servers: servers.iter().map(|server| server.at.clone()).collect(),
            hello: json!({"do": "hello", "name": name, "rooms": {"lobby": 0}}),
            peer: None,
            name,
            open: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            heard: Vec::new(),
        }
    }

    fn say(&mut self, number: u32) {
        self.open.insert(number);
        self.repeat(number);
    }

    fn repeat(&mut self, number: u32) {
        if let Some(peer) = &mut self.peer {
            let text = format!("{} {number}", self.name);
            peer.try_ask(
                &json!({"do": "say", "room": "lobby", "text": text, "tag": number.to_string()}),
            );
        }
    }

    /// Hears until `is_enough`; comes back as often as it must.
    fn until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_enough(self) {
            assert!(
                start.elapsed() < LONG * 6,
                "{} hears no more after {:?}",
                self.name,
                self.heard.last()
            );
            if self.peer.is_none() {
                self.connect();
                continue;
            }
            match self.peer.as_mut().and_then(Peer::next) {
                Some(event) => self.take(&event),
                None => self.peer = None,
            }
        }
    }

    fn connect(&mut self) {
        let at = self.servers[0].clone();
        let Ok(stream) = TcpStream::connect(&at) else {
            self.servers.rotate_left(1);
            return;
        };
        stream.set_read_timeout(Some(LONG * 3)).unwrap();
        let mut peer = Peer::over(stream);
        self.hello["rooms"]["lobby"] = self.heard.last().map_or(0, |(id, _)| *id).into();
        peer.try_ask(&self.hello);
        self.peer = Some(peer);
        for number in self.open.clone() {
            self.repeat(number);
        }
    }

    fn take(&mut self, event: &Value) {
        match event["event"].as_str().unwrap() {
            "welcome" => {
                assert_eq!(event["name"], self.name, "the same person everywhere");
                self.hello["resume"] = event["resume"].clone();
            }
            "line" => {
                let id = event["id"].as_u64().unwrap();
                self.heard
                    .push((id, event["text"].as_str().unwrap().to_owned()));
            }
            "done" => {
                let number = event["tag"].as_str().unwrap().parse().unwrap();
                self.open.remove(&number);
                self.acknowledged
                    .insert(number, event["id"].as_u64().unwrap());
            }
            "refused" => panic!("{} was refused: {event}", self.name),
            _ => {}
        }
    }
}

#[test]
fn nobody_loses_a_line_when_a_server_of_the_hub_and_one_of_the_chat_are_killed() {
    const LINES: u32 = 60;
    let kept = folder();
    let mut cluster = Nats::cluster(&kept);
    let hub: Vec<_> = cluster.iter().map(|nats| nats.at.clone()).collect();
    let hub = hub.join(",");
    let (mut a, b) = (node(&hub), node(&hub));
    let words = b.run.err.text();
    assert!(words.contains("kept by most of 3 servers"), "{words}");
    assert!(!words.contains("warning"), "{words}");
    let (mut ann, mut bob) = (Client::new("ann", &[&a, &b]), Client::new("bob", &[&b]));
    for client in [&mut ann, &mut bob] {
        client.connect();
    }
    for number in 0..LINES {
        ann.say(number);
        bob.say(number);
        if number % 3 == 0 {
            // Some are under way at any time.
            ann.until(|ann| ann.open.len() <= 4);
            bob.until(|bob| bob.open.len() <= 4);
        }
        if number == LINES / 3 {
            cluster[1].run.signal(Signal::KILL);
            cluster[1].run.end();
        }
        if number == 2 * LINES / 3 {
            a.run.signal(Signal::KILL);
            a.run.end();
        }
    }
    let all = 2 * LINES as usize;
    for client in [&mut ann, &mut bob] {
        client.until(|client| client.open.is_empty() && client.heard.len() >= all);
    }
    let mut late = Client::new("late", &[&b]);
    late.until(|late| late.heard.len() >= all);
    let ids: Vec<_> = late.heard.iter().map(|(id, _)| *id).collect();
    assert_eq!(
        ids,
        (1..=all as u64).collect::<Vec<_>>(),
        "each once, in order"
    );
    assert_eq!(ann.heard, late.heard);
    assert_eq!(bob.heard, late.heard);
    let said: BTreeMap<_, _> = late
        .heard
        .iter()
        .map(|(id, text)| (text.clone(), *id))
        .collect();
    assert_eq!(said.len(), all, "nothing twice");
    for client in [&ann, &bob] {
        for (number, id) in &client.acknowledged {
            assert_eq!(said[&format!("{} {number}", client.name)], *id);
        }
        assert_eq!(client.acknowledged.len(), LINES as usize);
    }
}

#[test]
fn a_hub_that_is_not_there_is_told() {
    let port = free_ports(1)[0];
    let hub = format!("nats://127.0.0.1:{port}");
    let words = [
        "serve",
        "chat",
        "127.0.0.1:0",
        "--history",
        "none",
        "--hub",
        &hub,
    ];
    let serve = || crate::stage::sockeye(words).run();
    let ended = serve();
    assert_eq!(ended.code, 1, "{}", ended.err);
    let complaint = ended.complaint();
    assert!(
        complaint.contains(&format!("cannot connect to {hub}")),
        "{complaint}"
    );
    let without = program("nats-server", ["-a", "127.0.0.1", "-p", &port.to_string()]).start();
    without.err.until("Server is ready");
    let ended = serve();
    assert!(ended.complaint().contains("JetStream"), "{}", ended.err);
}
