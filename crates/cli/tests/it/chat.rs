//! The chat as people start it and talk in it: flags, what is kept, names, limits, orders, and who is who on which carrier.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::apart::{ALONE, is_apart, runs_apart};
use crate::stage::{LONG, Server, connect, dial, folder, path, sockeye, words};

/// Somebody in a room, over TCP.
pub(crate) struct Peer(BufReader<TcpStream>);

impl Peer {
    pub(crate) fn over(stream: TcpStream) -> Self {
        // What is written leaves at once: the kernel would hold small lines back until earlier ones are acknowledged.
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// A program, which is in its rooms.
    #[track_caller]
    pub(crate) fn program(at: &str, name: &str) -> Self {
        Self::hello(at, &json!({"do": "hello", "name": name})).0
    }

    /// A program that begins with these words, and its welcome.
    #[track_caller]
    pub(crate) fn hello(at: &str, hello: &Value) -> (Self, Value) {
        let mut peer = Self::over(dial(at));
        peer.ask(hello);
        let welcome = peer.event("welcome");
        peer.event("joined");
        (peer, welcome)
    }

    /// Somebody with `nc`, who has been let in.
    #[track_caller]
    pub(crate) fn person(at: &str) -> Self {
        let mut peer = Self::over(dial(at));
        peer.until("* you are in #lobby");
        peer
    }

    #[track_caller]
    pub(crate) fn say(&mut self, line: impl AsRef<[u8]>) {
        let line = [line.as_ref(), b"\n"].concat();
        self.0.get_mut().write_all(&line).unwrap();
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, what: &Value) {
        self.say(what.to_string());
    }

    /// Whether the server is there is seen by what it answers.
    pub(crate) fn try_ask(&mut self, what: &Value) {
        let _ = self.0.get_mut().write_all(format!("{what}\n").as_bytes());
    }

    /// Says something in the lobby, for which nothing is awaited.
    #[track_caller]
    pub(crate) fn tell_all(&mut self, text: &str, tag: &str) {
        self.ask(&json!({"do": "say", "room": "lobby", "text": text, "tag": tag}));
    }

    /// Says something in the lobby: its id.
    #[track_caller]
    pub(crate) fn tell(&mut self, text: &str) -> u64 {
        self.tell_all(text, text);
        let done = self.event("done");
        assert_eq!(done["tag"], text);
        done["id"].as_u64().unwrap()
    }

    /// The next line as it came, without its end; nothing at the end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("nothing came: {error}"),
        }
        line.pop_if(|last| *last == b'\n');
        Some(line)
    }

    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) -> String {
        loop {
            let line = self.line();
            let line = line.unwrap_or_else(|| panic!("the end came before {words:?}"));
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// The next event, or nothing at the end.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            if line.starts_with(b"{") {
                return Some(serde_json::from_slice(&line).unwrap());
            }
            // Who is greeted before it has spoken is taken for a person, and is shown the latest lines.
            let is_greeting = line.starts_with(b"*") || line.starts_with(b"[");
            assert!(is_greeting, "greeted in JSON: {line:?}");
        }
    }

    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let mut before = Vec::new();
        loop {
            match self.next() {
                Some(event) if event["event"] == name => return event,
                Some(event) => before.push(event),
                None => panic!("the end came before {name}: {before:?}"),
            }
        }
    }

    /// Every line of the lobby up to the one with this text, as ids and texts.
    #[track_caller]
    pub(crate) fn lines_to(&mut self, last: &str) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        loop {
            let line = self.event("line");
            let text = line["text"].as_str().unwrap().to_owned();
            let is_last = text == last;
            lines.push((line["id"].as_u64().unwrap(), text));
            if is_last {
                return lines;
            }
        }
    }

    /// What the room's history has after line `after`, page by page.
    #[track_caller]
    pub(crate) fn history(&mut self, mut after: u64) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            self.ask(&json!({"do": "history", "room": "lobby", "after": after, "limit": 1000}));
            let page = self.event("history");
            let lines = page["lines"].as_array().unwrap();
            all.extend(lines.iter().cloned());
            match lines.last() {
                Some(last) if page["more"] == true => after = last["id"].as_u64().unwrap(),
                _ => return all,
            }
        }
    }
}

#[test]
fn what_cannot_be_served_is_told_before_anybody_comes() {
    let folder = folder();
    let at = |name: &str| path(&folder, name).display().to_string();
    std::fs::write(
        at("text"),
        "this is the text of a person, and no database\n",
    )
    .unwrap();
    let other = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('create table t (a)'); db.commit()";
    let made = crate::stage::program("python3", ["-c", other, &at("other")]).run();
    assert_eq!(made.code, 0, "{made:?}");
    let before = std::fs::read(at("other")).unwrap();
    let used = at("used");
    let _user = Server::start(&format!("chat 127.0.0.1:0 --history {used}"));
    let text = at("text");
    let cases: &[(&str, i32, &[&str])] = &[
        (
            &format!("--history {}", folder.path().display()),
            1,
            &["cannot open", "is a directory"],
        ),
        (
            &format!("--history {text}"),
            1,
            &["cannot open", "not a database", "name another file"],
        ),
        (
            &format!("--history {}", at("other")),
            1,
            &["another program", "name another file"],
        ),
        (
            &format!("--history {used}"),
            1,
            &["cannot open", &used, "end that one, or name another file"],
        ),
        (
            &format!("--history {}/none/chat.db", folder.path().display()),
            1,
            &["cannot open", "no such file or directory"],
        ),
        ("--keep 0", 2, &["--keep", "--history none"]),
        ("--keep forever", 2, &["--keep", "500ms, 3s"]),
        ("--keep-lines 0", 2, &["--keep-lines"]),
        ("--line-rate x", 2, &["`x` as --line-rate"]),
        ("--line-rate -1", 2, &["--line-rate"]),
        ("--slow maybe", 2, &["`maybe`", "skip, end"]),
        (
            &format!("--moderators {}", at("nowhere")),
            1,
            &["nowhere", "o such file"],
        ),
    ];
    for (flags, code, told) in cases {
        let ended = sockeye(words(&format!("serve chat 127.0.0.1:0 {flags}"))).run();
        assert_eq!(ended.code, *code, "{flags}: {ended:?}");
        for told in *told {
            assert!(ended.complaint().contains(told), "{flags}: {ended:?}");
        }
    }
    assert_eq!(std::fs::read(at("other")).unwrap(), before);
    assert!(
        std::fs::read_to_string(at("text"))
            .unwrap()
            .starts_with("this is")
    );
}

#[test]
fn a_bare_serve_is_a_chat() {
    let server = Server::of(["127.0.0.1:0"]);
    let mut ann = Peer::person(&server.at);
    let mut bot = Peer::program(&server.at, "bot");
    ann.say("hello");
    assert_eq!(bot.event("line")["text"], "hello");
    server.run.err.until("--history FILE keeps it");
}

#[test]
fn what_is_said_outlives_the_server_and_ids_go_on() {
    let folder = folder();
    let file = path(&folder, "chat.db").display().to_string();
    let line =
        format!("chat 127.0.0.1:0 --line-rate 0 --history {file} --keep 30d --keep-lines 100000");
    let mut server = Server::start(&line);
    server
        .run
        .err
        .until(&format!("what is said is kept in {file}"));
    let mut ann = Peer::program(&server.at, "ann");
    let mut bob = Peer::person(&server.at);
    assert_eq!(ann.tell("first"), 1);
    // On this machine what `write` took has arrived.
    for n in 0..50 {
        ann.tell_all(&format!("line {n}"), &n.to_string());
    }
    server.run.signal(Signal::TERM);
    bob.until("* the server stops");
    assert_eq!(ann.event("bye")["text"], "the server stops");
    let ended = server.run.end();
    assert_eq!(ended.code, 143, "{ended:?}");

    let server = Server::start(&line);
    let mut ann = Peer::over(dial(&server.at));
    ann.ask(&json!({"do": "hello", "name": "ann", "rooms": {"lobby": 0}}));
    let welcome = ann.event("welcome");
    assert_eq!(
        (&welcome["keeps"]["lines"], &welcome["keeps"]["days"]),
        (&json!(100_000), &json!(30.0))
    );
    assert_eq!(ann.event("joined")["last"], 51);
    let kept = ann.lines_to("line 49");
    let expected = (0..50).map(|n| (n + 2, format!("line {n}")));
    let expected: Vec<_> = std::iter::once((1, "first".to_owned()))
        .chain(expected)
        .collect();
    assert_eq!(kept, expected);
    assert_eq!(ann.tell("after"), 52);
    let mut bob = Peer::over(dial(&server.at));
    assert!(
        bob.until("this is sockeye chat")
            .contains("the last 100000 lines of a room are kept for 30 days")
    );
}

#[test]
fn more_lines_than_are_kept_go() {
    let server = Server::start("chat 127.0.0.1:0 --line-rate 0 --keep-lines 5");
    let mut ann = Peer::program(&server.at, "ann");
    for n in 0..10_000 {
        ann.tell_all("x", &n.to_string());
    }
    while ann.event("done")["tag"] != "9999" {}
    let start = std::time::Instant::now();
    loop {
        ann.ask(&json!({"do": "join", "room": "lobby"}));
        let joined = ann.event("joined");
        assert_eq!(joined["last"], 10_000);
        if joined["first"] == 9_996 {
            return;
        }
        assert!(start.elapsed() < LONG * 2, "{joined}");
        ann.event("line");
    }
}

#[test]
fn names_are_fit_to_be_told_apart() {
    let server = Server::start("chat 127.0.0.1:0");
    let mut ann = Peer::program(&server.at, "ann");
    let mut eve = Peer::program(&server.at, "eve");
    for (name, why) in [
        ("ann", "name-taken"),
        ("ANN", "name-taken"),
        // Cyrillic.
        ("аnn", "name-taken"),
        ("\u{202e}nna", "name-unfit"),
        ("a\u{1b}[31m", "name-unfit"),
        ("a\nb", "name-unfit"),
        ("a b", "name-unfit"),
        ("", "name-unfit"),
        (&"x".repeat(25), "name-unfit"),
        (&"x".repeat(50_000), "name-unfit"),
        ("guest-7", "name-unfit"),
    ] {
        eve.ask(&json!({"do": "name", "name": name, "tag": "t"}));
        let refused = eve.event("refused");
        assert_eq!(
            (&refused["why"], &refused["tag"]),
            (&json!(why), &json!("t")),
            "{name:?}"
        );
        let text = refused["text"].as_str().unwrap();
        assert!(
            text.len() < 500 && !text.contains(['\u{1b}', '\u{202e}']),
            "{text}"
        );
    }
    for name in ["李雷", "Ünïcødé", "🐟", "x"] {
        eve.ask(&json!({"do": "name", "name": name}));
        assert_eq!(eve.event("named")["name"], name);
    }
    let mut past = Vec::new();
    while past.last() != Some(&json!("x")) {
        past.push(ann.event("renamed")["to"].clone());
    }
    assert_eq!(past, ["李雷", "Ünïcødé", "🐟", "x"]);
}

#[test]
fn hostile_lines_are_told_of_and_others_go_on() {
    let server = Server::start("chat 127.0.0.1:0");
    let mut ann = Peer::program(&server.at, "ann");
    let mut eve = Peer::person(&server.at);
    eve.say(vec![b'x'; 10_000_000]);
    assert_eq!(
        eve.until("too long"),
        "* 10000000 bytes are too long: nothing of it was said"
    );
    eve.say(vec![b'x'; 8193]);
    eve.until("* 8193 bytes are too long: a line has at most 8192");
    eve.say(b"\xff\xfe");
    eve.until("* not UTF-8: ff at byte 0");
    eve.say("\u{1b}[2J\u{202e}boo\u{7}");
    eve.say("x".repeat(8192));
    let mut bob = Peer::over(dial(&server.at));
    let shown = bob.until("boo");
    assert!(
        shown.chars().all(|c| !c.is_control() && c != '\u{202e}'),
        "{shown:?}"
    );
    // Programs get what was said.
    assert_eq!(ann.event("line")["text"], "\u{1b}[2J\u{202e}boo\u{7}");
    assert_eq!(ann.event("line")["text"], "x".repeat(8192));
    ann.say(vec![b'['; 60_000]);
    assert_eq!(ann.event("refused")["why"], "malformed");
    ann.tell("still here");
    // Half a line is one when nothing more comes.
    let mut half = dial(&server.at);
    half.write_all(b"half").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    ann.lines_to("half");
}

#[test]
fn a_session_in_gbk_and_one_in_utf_8_understand_each_other() {
    let server = Server::start("chat 127.0.0.1:0 --encoding gbk");
    let mut bot = Peer::program(&server.at, "bot");
    let mut old = Peer::person(&server.at);
    // 你好 by the published table: C4 E3, BA C3.
    old.say(b"\xc4\xe3\xba\xc3");
    assert_eq!(bot.event("line")["text"], "你好");
    bot.tell("你🐟");
    loop {
        let line = old.line().unwrap();
        if line.starts_with(b"bot") {
            assert_eq!(line, b"bot: \xc4\xe3?");
            return;
        }
    }
}

#[test]
fn who_says_too_much_is_told_and_may_go_on_later() {
    let server = Server::start("chat 127.0.0.1:0 --line-rate 5");
    let (mut ann, welcome) = Peer::hello(&server.at, &json!({"do": "hello", "name": "ann"}));
    let limits = &welcome["limits"];
    assert_eq!(limits, &json!({"line": 8192, "burst": 20, "rate": 5.0}));
    for n in 0..40 {
        ann.tell_all("flood", &n.to_string());
    }
    let refused = ann.event("refused");
    assert_eq!(refused["why"], "rate");
    let wait = refused["wait"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 0.2, "{wait}");
    let start = std::time::Instant::now();
    loop {
        ann.tell_all("calm", "calm");
        let answer = loop {
            let answer = ann.next().unwrap();
            if answer["tag"] == "calm" && answer["event"] != "line" {
                break answer;
            }
        };
        if answer["event"] == "done" {
            break;
        }
        assert!(start.elapsed() < LONG, "{answer}");
    }
    let mut eve = Peer::person(&server.at);
    for _ in 0..40 {
        eve.say("flood");
    }
    let told = eve.until("too fast");
    assert!(
        told.starts_with("* too fast: 20 lines at once and then 5 a second; wait 0."),
        "{told}"
    );
}

#[test]
fn owners_and_moderators_give_orders() {
    let folder = folder();
    let file = path(&folder, "word");
    std::fs::write(&file, "open sesame, please\n").unwrap();
    let server = Server::start(&format!("chat 127.0.0.1:0 --moderators {}", file.display()));
    let mut ann = Peer::person(&server.at);
    ann.say("/name ann correct-horse");
    ann.until("* you are ann now");
    ann.say("/join dev");
    ann.until("* you are in #dev");
    let mut eve = Peer::person(&server.at);
    eve.say("/name eve");
    eve.say("/join dev");
    eve.until("* you are in #dev, with ann");
    eve.say("/kick ann");
    eve.until("owner");
    ann.say("/mute eve 10 spam");
    eve.until("muted eve");
    eve.say("am I heard?");
    eve.until("until");
    ann.say("/unmute eve");
    eve.until("let eve speak again");
    eve.say("and now?");
    ann.until("eve: and now?");
    ann.say("/ban eve again");
    eve.until("* you are in #dev no more");
    eve.say("/join dev");
    eve.until("banned");
    // The word of the file, and no other, makes an owner of every room.
    let mut mod_ = Peer::person(&server.at);
    mod_.say("/moderate open sesame");
    mod_.until("* ");
    mod_.say("/join dev");
    mod_.say("/unban eve");
    mod_.until("owner");
    mod_.say("/moderate open sesame, please");
    mod_.until("* you may give orders in every room now");
    mod_.say("/unban eve");
    ann.until("let eve come again");
    eve.say("/join dev");
    eve.until("* you are in #dev");
}

#[test]
fn a_token_makes_the_same_person_over_every_carrier() {
    let server = Server::start("chat 127.0.0.1:0");
    let (mut ann, welcome) = Peer::hello(&server.at, &json!({"do": "hello", "name": "ann"}));
    let token = welcome["resume"].as_str().unwrap().to_owned();
    let mut bob = Peer::program(&server.at, "bob");
    ann.tell("from tcp");
    drop(ann);
    bob.event("went");
    for scheme in ["ws", "wss", "h3", "quic", "tls"] {
        let mut client = connect(&format!("{scheme}://{} --insecure", server.at)).start();
        // Over QUIC a server hears of a stream when something is said on it.
        client.say(format!("/resume {token}\n"));
        client.out.until("* you are ann now");
        client.say(format!("from {scheme}\n"));
        bob.lines_to(&format!("from {scheme}"));
        client.hang_up_and_end();
        bob.event("went");
    }
    let names = bob.history(0).into_iter().map(|line| line["from"].clone());
    assert!(names.eq(["ann"; 6].map(Value::from)));
    let mut eve = Peer::program(&server.at, "eve");
    eve.ask(&json!({"do": "name", "name": "ann"}));
    assert_eq!(eve.event("refused")["why"], "name-taken");
}

/// A socket of a person whose network has no connections.
fn datagrams(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&server.at).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

#[track_caller]
fn hear(socket: &UdpSocket, words: &str) -> String {
    let mut buffer = [0; 65536];
    loop {
        let n = socket
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("before {words:?}: {error}"));
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        if text.contains(words) {
            return text;
        }
    }
}

/// IP's and UDP's, in each datagram.
const HEADS: usize = 28;

/// All that comes until nothing does for a moment: its size on the wire, and its text.
fn drain(socket: &UdpSocket) -> (usize, String) {
    let (mut size, mut text, mut buffer) = (0, String::new(), [0; 65536]);
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    while let Ok(n) = socket.recv(&mut buffer) {
        size += n + HEADS;
        text += &String::from_utf8_lossy(&buffer[..n]);
        text.push('\n');
    }
    socket.set_read_timeout(Some(LONG)).unwrap();
    (size, text)
}

#[test]
fn an_address_that_may_be_forged_is_sent_little() {
    if runs_apart("chat::an_address_that_may_be_forged_is_sent_little", ALONE) || !is_apart() {
        return;
    }
    // Not loopback, as which nobody else can send.
    let server = Server::start("chat 10.9.7.1:0");
    let mut ann = Peer::program(&server.at, "ann");
    for n in 0..30 {
        ann.tell(&format!(
            "a long line, so that there is something to send {n}"
        ));
    }
    for first in ["", "hi", r#"{"do":"hello"}"#, "/history 200"] {
        let socket = UdpSocket::bind("10.9.7.1:0").unwrap();
        socket.connect(&server.at).unwrap();
        let is_json = first.starts_with('{');
        let second = if is_json { r#"{"do":"ping"}"# } else { "/who" };
        let (mut came, mut sent, mut told) = (0, 0, String::new());
        for text in [first, second, second] {
            socket.send(text.as_bytes()).unwrap();
            came += text.len() + HEADS;
            // Whatever else is said in the room.
            ann.tell("meanwhile");
            let (size, text) = drain(&socket);
            sent += size;
            told += &text;
            assert!(sent <= 3 * came, "{first:?}: {sent} bytes for {came}");
        }
        let before = if is_json { r#""here":""# } else { "/here " };
        let word = told
            .split(before)
            .nth(1)
            .unwrap_or_else(|| panic!("{told}"));
        let word = &word[..6];
        let proof = match is_json {
            true => json!({"do": "here", "here": word}).to_string(),
            false => format!("/here {word}"),
        };
        socket.send(proof.as_bytes()).unwrap();
        ann.tell("to everyone");
        hear(&socket, "to everyone");
    }

    // Our own client says the word by itself, and whoever has nc can speak without.
    let mut client = sockeye(words(&format!("chat udp://{} --name bob", server.at))).start();
    client.say("from bob\n");
    while ann.event("line")["text"] != "from bob" {}
    ann.tell("to bob");
    client.out.until("lobby ann: to bob");
    let mut nc = crate::stage::program("nc", ["-u", "10.9.7.1", server.port()]).start();
    nc.say("from nc\n");
    while ann.event("line")["text"] != "from nc" {}
    let word: String = nc.out.rest_of("type /here ").chars().take(6).collect();
    nc.say(format!("/here {word}\n"));
    nc.out.until("* you hear everything now");
    ann.tell("to nc");
    nc.out.until("ann: to nc");
}

#[test]
fn a_person_moves_to_another_address_and_is_told_when_time_is_up() {
    let server = Server::start("chat 127.0.0.1:0 --idle-timeout 2s");
    let socket = datagrams(&server);
    socket.send(b"/name ann").unwrap();
    socket.send(b"/token").unwrap();
    let told = hear(&socket, "/resume ");
    let token = told
        .split_whitespace()
        .find(|word| word.len() == 32)
        .unwrap();
    hear(&socket, "nothing came from you for a while");
    let moved = datagrams(&server);
    moved.send(format!("/resume {token}").as_bytes()).unwrap();
    moved.send(b"/who").unwrap();
    hear(&moved, "you are ann now");
    hear(&moved, "in #lobby: ann");
    hear(&moved, "nothing came from you for a while");
}

#[test]
fn who_is_silent_for_too_long_is_told_why_they_are_out() {
    let server = Server::start("chat 127.0.0.1:0 -i 1s");
    for scheme in ["tcp", "tls", "ws", "wss", "quic", "h3"] {
        let mut client = connect(&format!("{scheme}://{} --insecure", server.at)).start();
        client.say("/who\n");
        let why = "* nothing was said for a while: connect again to come back";
        client.out.until(why);
        let ended = client.end();
        assert_eq!(ended.code, 0, "{scheme}: {ended:?}");
    }
}

#[test]
fn everyone_is_told_that_the_server_stops() {
    let mut server = Server::start("chat 127.0.0.1:0");
    let mut clients: Vec<_> = ["tcp", "ws", "wss", "quic", "h3"]
        .map(|scheme| connect(&format!("{scheme}://{} --insecure", server.at)).start())
        .into();
    for client in &mut clients {
        client.say("/who\n");
        client.out.until("* in #lobby");
    }
    let socket = datagrams(&server);
    socket.send(b"/who").unwrap();
    socket.send(b"/who").unwrap();
    hear(&socket, "in #lobby");
    let url = format!("http://{}/?view=events", server.at);
    let mut curl = crate::stage::program("curl", ["-sN", &url]).start();
    curl.out.until("joined");
    server.run.signal(Signal::TERM);
    for client in &mut clients {
        client.out.until("* the server stops");
    }
    hear(&socket, "* the server stops");
    curl.out.until("the server stops");
    assert_eq!(curl.end().code, 0);
    assert_eq!(server.run.end().code, 143);
}
