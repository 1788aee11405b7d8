//! `sockeye trace lab` and `stats`: what programs see at both ends, an ordinary user, what cannot be played, and how it
//! went over time.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::lab::{Packet, is_forbidden, lab, packets, played, to_the_end};
use crate::stage::{LONG, Server, program, sockeye};
use crate::trace::wait_for_signals;

/// A file of this name in the folder, as a word of a command line.
fn path(folder: &TempDir, name: &str) -> String {
    let path = folder.path().join(name);
    path.into_os_string().into_string().unwrap()
}

/// The fields that tcpdump must have seen as we did.
fn numbers(packet: &Packet) -> Vec<String> {
    let fields = [
        "from", "flags", "seq", "ack", "seq_raw", "ack_raw", "len", "window",
    ];
    fields
        .iter()
        .map(|field| packet.0[*field].to_string())
        .collect()
}

#[test]
fn tcpdump_at_the_client_sees_the_same() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| path(&folder, name);
    let (dump, log, own) = (path("dump"), path("log"), path("own"));
    // It has begun when it says so, and the last thing it sees is the ACK of the server's FIN, which is number 6.
    let script = "tcpdump --immediate-mode -U -i wire0 -w \"$0\" tcp 2>\"$1\" & \
                  until grep -q 'listening on' \"$1\"; do sleep 0.02; done; \
                  printf hello | nc -N \"$HOST\" \"$PORT\"; \
                  until tcpdump -nn -r \"$0\" | grep -q '4040: Flags ..., ack 7,'; do sleep 0.02; done; \
                  kill -INT $!; wait $!";
    let arguments = [
        "syn-loss",
        "--json",
        "--drop",
        "server:data:1",
        "--pcap",
        &own,
        "--",
        "sh",
        "-c",
        script,
        &dump,
        &log,
    ];
    let ended = to_the_end(lab(&arguments));
    if is_forbidden(&ended) {
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    let played = packets(&ended);
    // As they came and went at the client, in that order.
    let mut at_client: Vec<_> = played
        .iter()
        .filter_map(|packet| match packet.0["from"] == "A" {
            true => Some((packet.time(), numbers(packet))),
            false => Some((packet.0["arrived"].as_f64()?, numbers(packet))),
        })
        .collect();
    at_client.sort_by(|one, other| one.0.total_cmp(&other.0));
    let at_client: Vec<_> = at_client.into_iter().map(|(_, numbers)| numbers).collect();
    assert!(at_client.len() > 10, "{at_client:?}");
    for file in [&dump, &own] {
        let read = sockeye(["trace", "--read", file, "--json"]).run();
        assert_eq!((read.code, read.err.as_str()), (0, ""), "{file}");
        let read: Vec<_> = packets(&read).iter().map(numbers).collect();
        assert_eq!(read, at_client, "{file}");
    }
}

#[test]
fn a_capture_of_the_server_does_not_have_what_never_came() {
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "server.pcapng");
    let arguments = ["syn-loss", "--json", "--pcap", &file, "--at", "server"];
    let Some(played) = played(&arguments) else {
        return;
    };
    let read = sockeye(["trace", "--read", &file, "--json"]).run();
    assert_eq!((read.code, read.err.as_str()), (0, ""));
    let read = packets(&read);
    assert_eq!(read.len(), played.len() - 1);
    assert_eq!(read[0].number("seq_raw"), played[1].number("seq_raw"));
}

#[test]
fn our_own_services_are_heard_through_tls_and_a_loss() {
    let arguments = [
        "--json",
        "--service",
        "upper",
        "--over",
        "wss",
        "--send",
        "hello",
        "--drop",
        "server:data:1",
    ];
    let ended = to_the_end(lab(&arguments));
    if is_forbidden(&ended) {
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = ended.text();
    for step in [
        r#"WebSocket","text":"text \"hello\""#,
        r#"text \"HELLO\""#,
        "ClientHello",
    ] {
        assert!(text.contains(step), "{step} is not in\n{text}");
    }
    let packets = packets(&ended);
    assert!(packets.iter().any(|packet| packet.again().is_some()));
    assert!(
        ended.err.contains("HELLO"),
        "what the client prints: {ended:?}"
    );
}

#[test]
fn an_ordinary_user_learns_from_it() {
    // The program is opened here, because its folder may be closed to that user.
    let own = File::open(env!("CARGO_BIN_EXE_sockeye")).unwrap();
    let nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
    ];
    let words = ["/proc/self/fd/0", "trace", "lab", "syn-loss", "--explain"];
    let line = match rustix::process::getuid().is_root() {
        true => program("setpriv", nobody.iter().chain(&words)),
        false => lab(&words[3..]),
    };
    let mut run = line.stdin(own).start();
    let ended = run.end_within(LONG * 3);
    if is_forbidden(&ended) {
        return;
    }
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let text = ended.text();
    for piece in [
        "syn-loss: the first SYN is lost\nThe first SYN never arrives.",
        "SYN  seq 0  win 64240  mss 1460 ───────────✗",
        "so the client sends",
        "LISTEN",
        "connected; round trip 2",
        "sight: lab syn-loss: 10.0 ms each way, drop client:syn:1, seen at both ends",
    ] {
        assert!(text.contains(piece), "{piece} is not in\n{text}");
    }
    assert!(
        !text.contains("(SYN-RECEIVED)"),
        "nothing is guessed here:\n{text}"
    );
}

#[test]
fn where_no_lab_is_allowed_a_capture_shows_the_same() {
    // A user who may make no more namespaces.
    let script = "for kind in user net; do echo 0 >/proc/sys/user/max_${kind}_namespaces || exit 99; done; \
                  exec \"$0\" trace lab \"$@\"";
    let without = |arguments: &[&str]| {
        let own = ["--user", "--map-root-user", "--mount", "sh", "-c", script];
        let words = own.iter().map(OsString::from);
        let words = words.chain([env!("CARGO_BIN_EXE_sockeye").into()]);
        program("unshare", words.chain(arguments.iter().map(OsString::from))).run()
    };
    let ended = without(&["syn-loss"]);
    if ended.err.contains("unshare: ") || ended.code == 99 {
        eprintln!("not forbidden, because nothing can be forbidden here: {ended:?}");
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .err
            .starts_with("sockeye: the lab needs network namespaces"),
        "{ended:?}"
    );
    assert!(ended.err.contains("max_user_namespaces"), "{ended:?}");
    assert!(
        ended
            .text()
            .contains("sight: file syn-loss.pcap, seen at the client"),
        "{ended:?}"
    );
    let ended = without(&["syn-loss", "--delay", "1ms"]);
    assert_eq!((ended.code, ended.out.len()), (1, 0), "{ended:?}");
    assert!(ended.complaint().contains("does not allow"), "{ended:?}");
}

#[test]
fn what_cannot_be_played_is_said() {
    let unknown = lab(&["syn-lost"]).run();
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.complaint().contains("no scenario `syn-lost`"),
        "{unknown:?}"
    );
    for flags in [
        ["--drop", "sin:1"],
        ["--late", "data:1"],
        ["--loss", "101%"],
        ["--rate", "fast"],
    ] {
        let wrong = lab(&flags).run();
        assert_eq!(wrong.code, 2, "{wrong:?}");
        assert!(wrong.complaint().contains(flags[1]), "{wrong:?}");
    }
    let none = lab(&["exchange", "--", "./there-is-no-such-program"]).run();
    if is_forbidden(&none) {
        return;
    }
    assert_eq!(none.code, 8, "{none:?}");
    assert!(
        none.complaint()
            .contains("cannot start ./there-is-no-such-program"),
        "{none:?}"
    );
    let quits = lab(&["--server", "true", "--", "true"]).run();
    assert_eq!(quits.code, 8, "{quits:?}");
    assert!(
        quits.complaint().contains("true has ended before"),
        "{quits:?}"
    );
    let fails = lab(&["--", "sh", "-c", "exit 7"]).run();
    assert_eq!(fails.code, 8, "{fails:?}");
    assert!(
        fails.err.contains("the client ended with exit code 7"),
        "{fails:?}"
    );
    let long = lab(&["syn-blackhole", "--limit", "50ms"]).run();
    assert_eq!(long.code, 3, "{long:?}");
    assert!(long.complaint().contains("--limit"), "{long:?}");
}

#[test]
fn ctrl_c_ends_it_and_what_came_is_drawn() {
    let mut run = lab(&[
        "--server",
        "nc -l 10.77.0.2 4040",
        "--",
        "nc",
        "10.77.0.2",
        "4040",
    ])
    .start();
    run.hang_up();
    wait_for_signals(run.id());
    run.signal(Signal::INT);
    let ended = run.end();
    assert!(is_forbidden(&ended) || ended.code == 0, "{ended:?}");
    assert!(ended.after < Duration::from_secs(5));
}

#[test]
fn every_scenario_is_listed() {
    let listed = lab(&["--list"]).run();
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    assert!(listed.text().lines().count() > 20);
    assert!(
        listed
            .text()
            .contains("syn-loss             the first SYN is lost\n")
    );
}

#[test]
fn what_is_lost_at_random_is_repeated_until_every_protocol_has_delivered_it() {
    for (over, seed) in [
        ("tcp", "1"),
        ("ws", "2"),
        ("wss", "3"),
        ("https", "4"),
        ("quic", "5"),
    ] {
        let arguments = [
            "--json",
            "--loss",
            "10%",
            "--seed",
            seed,
            "--service",
            "upper",
            "--over",
            over,
            "--send",
            "who is there?",
        ];
        let ended = to_the_end(lab(&arguments));
        if is_forbidden(&ended) {
            return;
        }
        assert_eq!(ended.code, 0, "{over}: {ended:?}");
        assert!(ended.err.contains("WHO IS THERE?"), "{over}: {ended:?}");
        let lost = ended.text().matches(r#""fate":"lost""#).count();
        assert!(lost > 0, "{over} has lost nothing: {}", ended.text());
    }
}

#[test]
fn statistics_of_a_capture_are_what_the_wire_allowed() {
    let folder = TempDir::new().unwrap();
    let file = path(&folder, "slow.pcapng");
    let Some(packets) = played(&["slow-start", "--json", "--pcap", &file]) else {
        return;
    };
    let stats = sockeye(["trace", "stats", "--read", &file, "--width", "80"]).run();
    assert_eq!((stats.code, stats.err.as_str()), (0, ""));
    let text = stats.text();
    let again = packets
        .iter()
        .filter(|packet| packet.again().is_some())
        .count();
    for piece in [
        "throughput client → server: mean ".to_owned(),
        "data→ack client → server: least 2".to_owned(),
        "in flight client → server: most ".to_owned(),
        format!("retransmissions client → server: {again} in all"),
    ] {
        assert!(text.contains(&piece), "{piece} is not in\n{text}");
    }
    // 400 KiB and what was sent twice, over 8 Mbit/s.
    let mean = text
        .split("mean ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert!(
        (4.0..10.0).contains(&mean.parse::<f64>().unwrap()),
        "{mean}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let ascii = sockeye(["trace", "stats", "--read", &file, "--ascii"]).run();
    assert!(ascii.text().is_ascii(), "{ascii:?}");
    let svg = sockeye(["trace", "stats", "--read", &file, "--svg"])
        .run()
        .text();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("class=\"arrow").count(), 4);
}

#[test]
fn statistics_of_the_kernel_end_with_the_connection() {
    let server = Server::start("sink 127.0.0.1:0");
    let port = server.at.rsplit_once(':').unwrap().1;
    let mut stats = sockeye(["trace", "stats", port, "--every", "5ms"]).start();
    stats.hang_up();
    let mut client = TcpStream::connect(&server.at).unwrap();
    client.write_all(&[7; 1 << 20]).unwrap();
    // It has looked once it catches signals and some more has gone.
    wait_for_signals(stats.id());
    let sampled = Instant::now();
    while sampled.elapsed() < Duration::from_millis(200) {
        client.write_all(&[7; 1 << 16]).unwrap();
    }
    drop(client);
    let ended = stats.end();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for piece in [
        "acknowledged: mean ",
        "congestion window: most ",
        "sight: socket",
        "received: mean ",
    ] {
        assert!(
            ended.text().contains(piece),
            "{piece} is not in\n{}",
            ended.text()
        );
    }
    let none = sockeye(["trace", "stats", "1", "--for", "20ms"]).run();
    assert_eq!((none.code, none.out.len()), (0, 0));
    assert!(
        none.err.contains("no connection with that address"),
        "{none:?}"
    );
}

#[test]
fn what_a_program_leaves_behind_is_ended_with_it() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| path(&folder, name);
    let (client, server) = (path("client"), path("server"));
    // Each writes the number of a child that would stay for an hour.
    let left = "sleep 3600 & echo $! >\"$0\"";
    let serve = format!("sh -c '{left}; exec nc -l 10.77.0.2 4040' {server}");
    let call = format!("{left}; exec nc -N 10.77.0.2 4040");
    let ended = to_the_end(lab(&["--server", &serve, "--", "sh", "-c", &call, &client]));
    if is_forbidden(&ended) {
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    for file in [client, server] {
        let number = std::fs::read_to_string(&file).unwrap();
        let process = format!("/proc/{}/stat", number.trim());
        let ending = Instant::now();
        // It is gone, or waits for somebody to take note of that.
        while std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(ending.elapsed() < LONG, "{number} is still there");
            std::thread::yield_now();
        }
    }
}

#[test]
fn wireshark_opens_a_capture_with_keys_without_being_asked_to() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.pcapng");
    let path = file.to_str().unwrap();
    for (over, filter) in [
        ("https", "http2.headers.status"),
        ("quic", "quic.stream_data"),
    ] {
        // Whoever has read it before must not go on reading it.
        std::fs::write(&file, "").unwrap();
        let arguments = [
            "--json",
            "--service",
            "upper",
            "--over",
            over,
            "--send",
            "hello",
            "--pcap",
            path,
            "--with-keys",
        ];
        let ended = to_the_end(lab(&arguments));
        if is_forbidden(&ended) {
            return;
        }
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains("warning: --with-keys"), "{ended:?}");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let shown = program("tshark", ["-r", path, "-Y", filter]).run();
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(shown.text().lines().count() > 0, "{over}: {shown:?}");
        let flags = [
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ];
        let bad = [
            "-r",
            path,
            "-Y",
            "tcp.checksum.status == 0 || udp.checksum.status == 0",
        ];
        let bad = program("tshark", flags.iter().chain(&bad)).run();
        assert_eq!((bad.code, bad.text().as_str()), (0, ""), "checksums");
    }
}
