//! What is seen without the right to see packets: of a port that is served, and of other programs. Compared with what
//! tcpdump saw at the same time.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{LONG, Run, Server, folder, objects, path, program};
use crate::trace_live::{may_capture, nobody, tcpdump, tshark};

/// Only root can become nobody.
pub(crate) fn may_be_nobody() -> bool {
    let may = rustix::process::getuid().is_root();
    if !may {
        eprintln!("skipped: only root can become nobody");
    }
    may
}

/// A file that anybody can write.
pub(crate) fn for_all(home: &TempDir, name: &str) -> PathBuf {
    let out = path(home, "out");
    if !out.exists() {
        fs::create_dir(&out).unwrap();
        fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    }
    out.join(name)
}

pub(crate) fn packets(text: &str) -> Vec<Value> {
    let all = objects(text).into_iter();
    all.filter(|object| object["event"] == "packet").collect()
}

/// The state of an end after the last packet of a flow, and who says so.
#[track_caller]
pub(crate) fn last_state(packets: &[Value], flow: u64, side: &str) -> (String, String) {
    let last = packets.iter().rfind(|packet| packet["flow"] == flow);
    let at = &last.unwrap()["states"][side];
    let word = |name: &str| at[name].as_str().unwrap().to_owned();
    (word("state"), word("sure"))
}

pub(crate) fn pair(state: &str, sure: &str) -> (String, String) {
    (state.to_owned(), sure.to_owned())
}

/// What was told of a flow, in order: who said what.
pub(crate) fn told(packets: &[Value], flow: u64) -> Vec<String> {
    let packets = packets.iter().filter(|packet| packet["flow"] == flow);
    let what = packets.map(|packet| {
        let what = match (&packet["inferred"], &packet["flags"], &packet["text"]) {
            (Value::String(what), ..) if what == "data" => format!("{} B", packet["len"]),
            (Value::String(what), ..) => what.clone(),
            (_, Value::Array(flags), _) => format!("[{}]", flags[0].as_str().unwrap()),
            (.., Value::String(text)) => format!("{text:?}"),
            _ => packet.to_string(),
        };
        format!("{} {what}", packet["from"].as_str().unwrap())
    });
    what.collect()
}

/// Ends tcpdump when it has written two rows, and says what it says of itself if it has not.
#[track_caller]
fn two_seen(tcpdump: &mut Run, rows: impl Fn() -> Vec<Vec<String>>) {
    let start = Instant::now();
    while rows().len() < 2 && start.elapsed() < LONG {}
    tcpdump.signal(Signal::INT);
    let ended = tcpdump.end();
    assert!(rows().len() >= 2, "{:?}: {ended:?}", rows());
}

#[test]
fn a_port_that_is_served_keeps_the_syns_that_tcpdump_sees() {
    if !may_capture() || !may_be_nobody() {
        return;
    }
    let home = folder();
    let file = for_all(&home, "drawn.json");
    let trace = format!("--trace={}", file.display());
    let words = ["upper", &trace, "127.0.0.1:0", "[::1]:0"];
    let mut server = Server::ready(nobody(&home, "serve", &words));
    let ports = server.run.err.until("reach it with");
    let tcp = ports
        .lines()
        .filter_map(|line| line.strip_prefix("listening tcp "));
    let addresses: Vec<String> = tcp.map(str::to_owned).collect();
    assert_eq!(addresses.len(), 2, "{ports}");
    let port = |at: &str| at.rsplit(':').next().unwrap().to_owned();
    let filter = format!(
        "{} or tcp port {}",
        port(&addresses[0]),
        port(&addresses[1])
    );
    let (mut seeing, seen) = tcpdump(&home, &filter);
    for at in &addresses {
        let mut client = TcpStream::connect(at).unwrap();
        client.write_all(b"hello\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO\n");
    }
    let fields = [
        "tcp.seq_raw",
        "tcp.window_size",
        "tcp.options.mss_val",
        "tcp.options.wscale.shift",
        "tcp.options.timestamp.tsval",
    ];
    let syns = || tshark(&seen, "tcp.flags == 2", &fields);
    two_seen(&mut seeing, syns);
    server.run.signal(Signal::INT);
    server.run.end();
    let drawn = packets(&fs::read_to_string(&file).unwrap());
    let kept = drawn
        .iter()
        .filter(|packet| packet["flags"] == serde_json::json!(["SYN"]));
    let kept: Vec<Vec<String>> = kept
        .map(|syn| {
            assert_eq!(syn["sack_permitted"], true, "{syn}");
            assert_eq!(syn["states"]["A"]["sure"], "seen", "{syn}");
            let values = [
                &syn["seq_raw"],
                &syn["window"],
                &syn["mss"],
                &syn["scale"],
                &syn["timestamps"][0],
            ];
            values.map(Value::to_string).to_vec()
        })
        .collect();
    assert_eq!(kept, syns(), "all of both SYNs is as tcpdump saw it");
    for flow in [0, 1] {
        let rows = told(&drawn, flow);
        let begin = ["A [SYN]", "B SYN ACK", "A ACK", "A \"hello\""];
        assert_eq!(rows[..4], begin, "{rows:?}");
        assert!(rows.contains(&"B \"HELLO\"".to_owned()), "{rows:?}");
        let fins: Vec<_> = rows.iter().filter(|row| row.ends_with(" FIN")).collect();
        assert_eq!(fins, ["A FIN", "B FIN"], "{rows:?}");
        assert_eq!(last_state(&drawn, flow, "A"), pair("TIME-WAIT", "kernel"));
    }
}

#[test]
fn what_comes_while_a_service_is_busy_has_the_time_that_tcpdump_gives_it() {
    if !may_capture() || !may_be_nobody() {
        return;
    }
    let home = folder();
    let file = for_all(&home, "drawn.json");
    let trace = format!("--trace={}", file.display());
    let words = ["hello", "--delay", "400ms", &trace, "tcp://127.0.0.1:0"];
    let mut server = Server::ready(nobody(&home, "serve", &words));
    let (mut seeing, seen) = tcpdump(&home, server.port());
    let mut client = server.tcp();
    client.write_all(b"one\n").unwrap();
    // It was read, and is answered after a while.
    let start = Instant::now();
    while !fs::read_to_string(&file)
        .unwrap()
        .contains(r#""text":"one""#)
    {
        assert!(start.elapsed() < LONG, "one was not read");
    }
    client.write_all(b"two\n").unwrap();
    crate::stage::hear(&mut client, "hello!\nHello, one!\nHello, two!\n");
    let times = || tshark(&seen, "tcp.len == 4", &["frame.time_epoch"]);
    two_seen(&mut seeing, times);
    server.run.signal(Signal::INT);
    server.run.end();
    let text = fs::read_to_string(&file).unwrap();
    let started = objects(&text)[0]["started"].as_str().unwrap().to_owned();
    // Counted from a whole second, for a number would lose digits.
    let (whole, part) = started.split_once('.').unwrap();
    let since = |time: &str| {
        let (second, part) = time.split_once('.').unwrap();
        let seconds = second.parse::<i64>().unwrap() - whole.parse::<i64>().unwrap();
        seconds as f64 + format!("0.{part}").parse::<f64>().unwrap()
    };
    let started = format!("0.{part}").parse::<f64>().unwrap();
    let drawn = packets(&text);
    let row = |text: &str| drawn.iter().find(|packet| packet["text"] == text).unwrap();
    let at = |packet: &Value, field: &str| started + packet[field].as_f64().unwrap();
    for (said, seen) in ["one", "two"].into_iter().zip(times()) {
        let (kernel, tcpdump) = (at(row(said), "time"), since(&seen[0]));
        // It looks where the packet leaves, a moment before it arrives.
        assert!(
            (kernel - tcpdump).abs() < 0.02,
            "{said}: {kernel} {tcpdump}"
        );
    }
    let (two, answer) = (row("two"), row("Hello, one!"));
    assert!(at(two, "read") > at(answer, "time"), "{two} {answer}");
    assert!(at(two, "time") < at(answer, "time"), "{two} {answer}");
    let late = &two["notes"][0];
    assert_eq!(late["note"], "read-late", "{two}");
    let waited = late["after"].as_f64().unwrap();
    let apart = at(two, "read") - at(two, "time");
    assert!((waited - apart).abs() < 1e-6 && waited > 0.05, "{two}");
    assert!(answer.get("read").is_none(), "what we say has our own time");
}

#[test]
fn whoever_closes_first_keeps_time_wait_as_the_kernel_says() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let words = ["hello", "--trace", "tcp://127.0.0.1:0"];
    let server = Server::ready(nobody(&home, "serve", &words));
    // The service ends on `exit`: the server closes first.
    let mut client = server.tcp();
    client.write_all(b"exit\n").unwrap();
    client.read_to_string(&mut String::new()).unwrap();
    drop(client);
    let drawn = server.run.err.until("(STATE) = follows");
    for piece in [
        "kept by the listener (TCP_SAVED_SYN)",
        "TIME-WAIT at the server for another",
        "server closed first",
        "server keeps TIME-WAIT",
    ] {
        assert!(drawn.contains(piece), "{piece} is not in\n{drawn}");
    }
    let mut client = server.tcp();
    client.shutdown(Shutdown::Write).unwrap();
    client.read_to_string(&mut String::new()).unwrap();
    drop(client);
    let drawn = server.run.err.until("client keeps TIME-WAIT");
    assert!(
        drawn.contains("TIME-WAIT at the client for another"),
        "{drawn}"
    );
    assert!(drawn.contains("client closed first"), "{drawn}");
}

/// Serves one connection after the other, a line of each in capitals.
const PYTHON: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    served, _ = listener.accept()
    line = served.recv(100)
    served.sendall(line.upper())
    served.recv(1)
    served.close()
";

#[test]
fn other_programs_are_watched_by_port_address_and_number() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let rights = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let words = rights.into_iter().chain(["python3", "-c", PYTHON]);
    // Not one that is root's alone.
    let python = program("setpriv", words)
        .env("PATH", "/usr/bin:/bin")
        .start();
    let port = python.out.until("\n").trim().to_owned();
    let at = format!("127.0.0.1:{port}");
    for whom in [format!(":{port}"), at.clone(), python.id().to_string()] {
        let words = ["--json", "--watch", &whom];
        let mut watching = nobody(&home, "trace", &words).start();
        watching.err.until("watching until Ctrl-C");
        let mut nc = program("nc", ["-N", "127.0.0.1", &port]).start();
        // Each step is seen before the next one: what passes between two looks has no order of its own.
        watching.out.until("\"inferred\":\"ACK\"");
        nc.say("hello");
        watching.out.until("\"inferred\":\"data\",\"len\":5");
        nc.out.until("HELLO");
        watching
            .out
            .until(r#""from":"B","transport":"stream","inferred":"data","len":5"#);
        nc.hang_up();
        nc.end();
        watching.out.until("TIME-WAIT at the client");
        watching.signal(Signal::INT);
        let ended = watching.end();
        assert_eq!(ended.code, 0, "{whom}: {ended:?}");
        let drawn = packets(&ended.text());
        let rows = told(&drawn, 0);
        assert_eq!(
            rows[..3],
            ["A SYN", "B SYN ACK", "A ACK"],
            "{whom}: {rows:?}"
        );
        let data: Vec<_> = rows.iter().filter(|row| row.ends_with(" B")).collect();
        assert_eq!(data, ["A 5 B", "B 5 B"], "{whom}: {rows:?}");
        assert!(rows.ends_with(&["A ACK".to_owned()]), "{whom}: {rows:?}");
        assert_eq!(last_state(&drawn, 0, "A"), pair("TIME-WAIT", "kernel"));
        assert_eq!(last_state(&drawn, 0, "B"), pair("CLOSED", "kernel"));
        let heads = objects(&ended.text());
        let head = heads
            .iter()
            .find(|object| object["event"] == "flow")
            .unwrap();
        assert_eq!(head["sight"], "socket", "{head}");
        assert_eq!(head["B"], at, "{head}");
        assert_eq!(head["first"]["B"], "LISTEN", "{head}");
    }
}

#[test]
fn a_connection_that_stood_before_is_watched_from_where_it_is() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let server = Server::start("upper tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"before").unwrap();
    crate::stage::hear(&mut client, "BEFORE");
    let mut watching = nobody(&home, "trace", &["--watch", &server.at]).start();
    let drawn = watching.out.until("stood before this look");
    assert!(drawn.contains("ESTABLISHED"), "{drawn}");
    client.write_all(&[b'x'; 1234]).unwrap();
    watching.out.until("(1234 B)");
    // Unread, it would end in a reset.
    client.read_exact(&mut [0; 1234]).unwrap();
    drop(client);
    watching.out.until("TIME-WAIT at the client");
    watching.signal(Signal::INT);
    let ended = watching.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.text().contains("sight: socket"), "{ended:?}");
}

#[test]
fn what_is_dialed_ends_in_the_time_wait_that_the_kernel_tells_of() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let server = Server::start("upper tcp://127.0.0.1:0");
    let words = ["--json", &server.at, "--send", "hi"];
    let ended = nobody(&home, "trace", &words).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    let drawn = packets(&ended.text());
    let rows = told(&drawn, 0);
    // ACKs of FINs are told when the kernel is seen to have them, and each end speaks when it can.
    let said = |side: &str, expected: &[&str]| {
        let own = rows.iter().filter_map(|row| row.strip_prefix(side));
        let own: Vec<_> = own.filter(|row| expected.contains(row)).collect();
        assert_eq!(own[..expected.len()], *expected, "{rows:?}");
    };
    said("A ", &["SYN", "ACK", "\"hi\"", "FIN"]);
    said("B ", &["SYN ACK", "\"HI\"", "FIN"]);
    assert_eq!(last_state(&drawn, 0, "A"), pair("TIME-WAIT", "kernel"));
    assert!(ended.text().contains("TIME-WAIT at the client for another"));
    // However late we have noticed the answer, it came when the kernel says.
    let row = |what: &str| {
        drawn
            .iter()
            .find(|packet| packet["inferred"] == what)
            .unwrap()
    };
    let at = |what: &str| row(what)["time"].as_f64().unwrap();
    let facts = row("ACK")["steps"][0]["text"].as_str().unwrap();
    let (number, unit) = facts
        .strip_prefix("round trip ")
        .unwrap()
        .split_once(' ')
        .unwrap();
    let (unit, rounded) = match unit.split(',').next().unwrap() {
        "µs" => (1e-6, 1.0),
        "ms" => (1e-3, 0.1),
        other => panic!("{other}"),
    };
    let most = (number.parse::<f64>().unwrap() + rounded) * unit;
    assert!(at("SYN ACK") - at("SYN") <= most, "{facts}: {drawn:?}");
}

#[test]
fn a_reset_is_told_as_what_it_is() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let server = Server::start("upper tcp://127.0.0.1:0");
    let mut watching = nobody(&home, "trace", &["--watch", &server.at]).start();
    watching.err.until("watching until Ctrl-C");
    let mut client = server.tcp();
    // The first look may have found one end only.
    client.write_all(b"x").unwrap();
    watching.out.until("(1 B)");
    crate::stage::reset(client);
    let drawn = watching.out.until("it was reset");
    assert!(
        drawn.contains("(end)") && !drawn.contains("(FIN)"),
        "{drawn}"
    );
    watching.signal(Signal::INT);
    assert_eq!(watching.end().code, 0);
}

#[test]
fn a_program_of_somebody_else_is_named_by_its_port() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let server = Server::start("upper tcp://127.0.0.1:0");
    let number = server.run.id().to_string();
    let mut watching = nobody(&home, "trace", &["--watch", &number]).start();
    let told = watching.err.until("watching until Ctrl-C");
    assert!(told.contains("cannot see which sockets program"), "{told}");
    assert!(told.contains("--watch :PORT"), "{told}");
    watching.signal(Signal::INT);
    assert_eq!(watching.end().code, 0);
}

#[test]
fn datagrams_and_quic_of_a_served_port_are_told_by_its_socket() {
    if !may_be_nobody() {
        return;
    }
    let home = folder();
    let server = Server::ready(nobody(&home, "serve", &["upper", "--trace", "127.0.0.1:0"]));
    let url = format!("h3://{}/", server.at);
    let fetched = crate::stage::sockeye(["fetch", "--insecure", &url]).run();
    assert_eq!(fetched.code, 0, "{fetched:?}");
    let drawn = server.run.err.until("HTTP/3 ");
    assert!(drawn.contains("Initial 0"), "{drawn}");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"hello", &server.at).unwrap();
    udp.recv(&mut [0; 9]).unwrap();
    server.run.err.until("\"HELLO\"");
}
