//! What a port that is traced shows of itself to those who ask for it: the facts of `--json`, the own connections of a
//! stranger, and a page in a real browser.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{LONG, Server, connect, dial, folder, hear, path, sockeye, words};
use crate::trace_live::{as_nobody_serves, may_capture};
use crate::web::python;

/// Somebody who looks.
struct Viewer {
    lines: BufReader<TcpStream>,
    own: String,
}

impl Viewer {
    /// Asks with these fields. `query` begins with `?`, if there is any.
    #[track_caller]
    fn open(server: &Server, query: &str, fields: &str) -> Self {
        let mut stream = dial(&server.at);
        let own = stream.local_addr().unwrap().to_string();
        let target = format!("/.sockeye/trace.jsonl{query}");
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        hear(&mut stream, "HTTP/1.1 200 OK\r\n");
        let lines = BufReader::new(stream);
        Self { lines, own }
    }

    /// The next object. What lies between them are the head of the answer and the sizes of chunks.
    #[track_caller]
    fn next(&mut self) -> (String, Value) {
        let start = Instant::now();
        while start.elapsed() < LONG {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "the lines ended"
            );
            if line.starts_with('{') {
                let object = serde_json::from_str(&line).unwrap();
                return (line, object);
            }
        }
        panic!("nothing came");
    }

    /// Lines up to the one that `is_last`.
    #[track_caller]
    fn until(&mut self, is_last: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        loop {
            let (line, object) = self.next();
            let ends = is_last(&object);
            all.push((line, object));
            if ends {
                return all;
            }
        }
    }
}

/// The last packet of a connection that both ends have closed.
fn is_over(object: &Value) -> bool {
    let state = |end: &str| object["states"][end]["state"].as_str().unwrap_or_default();
    let ended = |end: &str| matches!(state(end), "CLOSED" | "TIME-WAIT");
    ended("A") && ended("B")
}

#[test]
fn who_looks_is_told_the_same_lines_as_a_file_but_for_their_own() {
    if !may_capture() {
        return;
    }
    let home = folder();
    let file = path(&home, "seen.json");
    let option = format!("--trace={}", file.display());
    let mut server = Server::of(["upper", "127.0.0.1:0", &option]);
    let mut viewer = Viewer::open(&server, "", "");
    let (_, first) = viewer.next();
    assert_eq!(first["event"], "view");
    assert_eq!(
        (&first["sight"], &first["sees"]),
        (&"packets".into(), &"all".into())
    );
    assert_eq!(first["left_out"], viewer.own);
    let asked = connect(&format!("{} --send hello", server.at)).run();
    assert_eq!(asked.text(), "HELLO\n", "{asked:?}");
    let lines = viewer.until(is_over);
    server.run.signal(Signal::TERM);
    let ended = server.run.end();
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(
        ended.after < Duration::from_secs(4),
        "one who looks holds nobody up: {ended:?}"
    );
    // Of the file: our own connection is in it, and numbers are the same.
    let written = fs::read_to_string(file).unwrap();
    let shown: String = lines.iter().map(|(line, _)| line.as_str()).collect();
    assert!(!shown.contains(&viewer.own), "{shown}");
    assert!(written.contains(&viewer.own), "{written}");
    let flow = &lines[0].1["flow"];
    let of_flow = |line: &&str| {
        let object: Value = serde_json::from_str(line).unwrap();
        &object["flow"] == flow
    };
    let same: Vec<_> = written.lines().filter(of_flow).take(lines.len()).collect();
    let shown: Vec<_> = shown.lines().collect();
    assert_eq!(shown, same);
    let flags = |object: &Value| object["flags"].to_string();
    assert_eq!(flags(&lines[1].1), r#"["SYN"]"#);
    assert!(
        lines.iter().any(|(_, object)| object["text"] == "HELLO"),
        "{lines:?}"
    );
}

#[test]
fn a_stranger_is_told_of_connections_that_said_their_key_and_of_no_others() {
    if !may_capture() {
        return;
    }
    let server = Server::ready(
        sockeye(words("serve upper 127.0.0.1:0 --trace")).env("SOCKEYE_TOKEN", "secret"),
    );
    let (mine, theirs) = ("0123456789abcdef", "fedcba9876543210");
    let mut stranger = Viewer::open(&server, &format!("?wire={mine}"), "");
    let mut knows = Viewer::open(&server, "", "Authorization: Bearer secret\r\n");
    assert_eq!(stranger.next().1["sees"], "own");
    assert_eq!(knows.next().1["sees"], "all");
    // Others come: one who knows the token, one who has a key as well, and at last a page of the stranger's.
    let other = connect(&format!("{} --send hello", server.at))
        .env("SOCKEYE_TOKEN", "secret")
        .run();
    assert_eq!(other.text(), "HELLO\n", "{other:?}");
    let ask = |key: &str| {
        let mut stream = dial(&server.at);
        let own = stream.local_addr().unwrap().to_string();
        let request =
            format!("GET /.sockeye/facts.json?wire={key} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        crate::stage::drain(&mut stream);
        own
    };
    let [another, own] = [theirs, mine].map(ask);
    let all = knows.until(|object| object["A"] == own.as_str());
    let of =
        |lines: &[(String, Value)], from: &str| lines.iter().any(|(_, object)| object["A"] == from);
    assert!(of(&all, &another), "{all:?}");
    let told = stranger.until(|object| object["event"] == "packet" && object["len"] != 0);
    let events: Vec<_> = told.iter().map(|(_, object)| &object["event"]).collect();
    assert_eq!(events[..2], ["flow", "yours"], "{told:?}");
    assert_eq!(told[0].1["A"], own, "{told:?}");
    let flow = &told[0].1["flow"];
    assert!(
        told.iter().all(|(_, object)| &object["flow"] == flow),
        "{told:?}"
    );
}

#[test]
fn without_privilege_the_sockets_of_the_port_tell() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become nobody");
        return;
    }
    let home = folder();
    let server = Server::ready(as_nobody_serves(&home, "upper 127.0.0.1:0 --trace"));
    let mut viewer = Viewer::open(&server, "", "");
    let (_, first) = viewer.next();
    assert_eq!(
        (&first["sight"], &first["left_out"]),
        (&"socket".into(), &viewer.own.as_str().into())
    );
    let asked = connect(&format!("{} --send hello", server.at)).run();
    assert_eq!(asked.text(), "HELLO\n", "{asked:?}");
    let lines = viewer.until(|object| object["inferred"] == "close");
    let inferred: Vec<_> = lines
        .iter()
        .filter_map(|(_, object)| object["inferred"].as_str())
        .collect();
    assert_eq!(inferred[..2], ["SYN ACK", "ACK"], "{lines:?}");
    let kept = |object: &Value| object["flags"] == serde_json::json!(["SYN"]);
    assert!(
        lines.iter().any(|(_, object)| kept(object)),
        "the listener keeps the SYN: {lines:?}"
    );
    for text in ["hello", "HELLO"] {
        assert!(
            lines.iter().any(|(_, object)| object["text"] == text),
            "{text}: {lines:?}"
        );
    }
}

#[test]
fn the_view_in_a_real_browser() {
    if !may_capture() {
        return;
    }
    let server = Server::start("echo 127.0.0.1:0 --trace");
    let mut browser = python("browser/wire.py", &[&format!("http://{}", server.at)]).start();
    let ended = browser.end_within(Duration::from_secs(180));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.text().ends_with(" passed\n"), "{ended:?}");
    let line = sockeye(words("serve echo 127.0.0.1:0 --trace")).env("SOCKEYE_TOKEN", "secret");
    let guarded = Server::ready(line);
    let base = format!("http://{}", guarded.at);
    let mut browser = python("browser/wire.py", &[&base, "own"]).start();
    let ended = browser.end_within(Duration::from_secs(120));
    assert_eq!(ended.code, 0, "{ended:?}");
}
