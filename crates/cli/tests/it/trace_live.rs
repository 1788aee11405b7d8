//! `sockeye trace ADDR`, `--watch` and `--trace`: drawn while it happens, compared with what tcpdump saw of it and with
//! what tshark reads in our own files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{Ended, Line, Server, folder, objects, path, program, sockeye, words};

/// Whether packets can be seen here: CAP_NET_RAW, which is bit 13 (capabilities(7)).
pub(crate) fn may_capture() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
    let may = effective >> 13 & 1 == 1;
    if !may {
        eprintln!("skipped: packets cannot be seen without CAP_NET_RAW");
    }
    may
}

#[track_caller]
fn fine(line: Line) -> Ended {
    let ended = line.run();
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

/// What tshark reads in a file without being told anything, a packet a line.
#[track_caller]
pub(crate) fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut words = vec!["-r".into(), file.as_os_str().to_owned()];
    words.extend(["-Y".into(), filter.into(), "-T".into(), "fields".into()]);
    for field in fields {
        words.extend(["-e".into(), (*field).into()]);
    }
    let ended = fine(program("tshark", words));
    let rows = ended.text();
    let rows = rows
        .lines()
        .map(|row| row.split('\t').map(str::to_owned).collect());
    rows.collect()
}

/// The flags, as their number in the header of TCP.
fn number_of_flags(packet: &Value) -> u64 {
    let names = packet["flags"].as_array().unwrap().iter();
    let bits = names.map(|name| match name.as_str().unwrap() {
        "FIN" => 1,
        "SYN" => 2,
        "RST" => 4,
        "PSH" => 8,
        "ACK" => 16,
        other => panic!("{other}"),
    });
    bits.sum()
}

/// Sequence number, acknowledgment, length, window and flags of every segment.
fn numbers(rows: &str) -> Vec<[u64; 5]> {
    let packets = objects(rows).into_iter();
    let packets = packets.filter(|object| object["event"] == "packet");
    packets
        .map(|packet| {
            let of = |name: &str| packet[name].as_u64().unwrap();
            [
                of("seq"),
                of("ack"),
                of("len"),
                of("window"),
                number_of_flags(&packet),
            ]
        })
        .collect()
}

fn numbers_of_tshark(file: &Path, filter: &str) -> Vec<[u64; 5]> {
    let fields = [
        "tcp.seq",
        "tcp.ack",
        "tcp.len",
        "tcp.window_size",
        "tcp.flags",
    ];
    let rows = tshark(file, filter, &fields).into_iter();
    let number = |text: &String| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    };
    rows.map(|row| [0, 1, 2, 3, 4].map(|at| number(&row[at])))
        .collect()
}

/// tcpdump on the loopback, which has begun to look, and its file.
pub(crate) fn tcpdump(folder: &TempDir, port: &str) -> (crate::stage::Run, PathBuf) {
    let file = path(folder, "tcpdump.pcap");
    // With its own rights, as it would give up those that a file in our folder needs.
    let words = ["-i", "lo", "--immediate-mode", "-U", "-Z", "root", "-w"].map(Into::into);
    let filter = ["tcp", "port", port].map(Into::into);
    let words = words
        .into_iter()
        .chain([file.clone().into_os_string()])
        .chain(filter);
    let run = program("tcpdump", words.collect::<Vec<_>>()).start();
    run.err.until("listening on lo");
    (run, file)
}

#[test]
fn all_numbers_are_those_of_tshark_and_of_tcpdump_at_the_same_time() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let folder = folder();
    let (mut seeing, seen) = tcpdump(&folder, server.port());
    let own = path(&folder, "own.pcapng");
    let url = format!("https://{}/", server.at);
    let words = [
        "trace",
        &url,
        "--insecure",
        "--json",
        "--with-keys",
        "--pcap",
        own.to_str().unwrap(),
    ];
    let rows = fine(sockeye(words)).text();
    let drawn = numbers(&rows);
    assert!(drawn.len() > 15, "{rows}");
    assert_eq!(drawn, numbers_of_tshark(&own, "tcp"));
    // tcpdump writes a packet when it has seen it, and is asked until it has seen them all.
    let start = std::time::Instant::now();
    let written = || numbers_of_tshark(&seen, "tcp");
    while written().len() < drawn.len() {
        assert!(
            start.elapsed() < crate::stage::LONG,
            "tcpdump saw {}",
            written().len()
        );
    }
    seeing.signal(Signal::INT);
    seeing.end();
    assert_eq!(drawn, written());
    // The picture of what tcpdump saw is the same, row by row.
    let read = ["trace", "--json", "--read", seen.to_str().unwrap()];
    let read = numbers(&fine(sockeye(read)).text());
    assert_eq!(drawn, read);
}

#[test]
fn one_picture_shows_the_handshakes_the_request_and_the_close() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let url = format!("https://{}/", server.at);
    let picture = fine(sockeye(["trace", &url, "--insecure"])).text();
    let steps = [
        "SYN  seq 0",
        "SYN ACK  seq 0  ack 1",
        "connected; round trip",
        "TLS ClientHello",
        "TLS ServerHello (TLS 1.3",
        "Finished",
        "HTTP/2 preface",
        "HEADERS",
        "TLS alert close_notify",
        "·· close ·",
        "FIN-WAIT-1",
        "sight: packets, seen at both ends",
    ];
    let mut rest = &picture[..];
    for step in steps {
        let (_, after) = rest
            .split_once(step)
            .unwrap_or_else(|| panic!("{step} does not follow in\n{picture}"));
        rest = after;
    }
    assert!(
        picture.contains("EncryptedExtensions"),
        "the flight of the server is opened:\n{picture}"
    );
    assert!(!picture.contains("sealed"), "{picture}");
    assert!(
        !picture.contains("RST"),
        "both say goodbye in order:\n{picture}"
    );
}

#[test]
fn the_files_open_decrypted_without_an_option_and_are_for_their_owner() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let folder = folder();
    let cases = [
        (format!("https://{}/", server.at), "http2.headers.method", 1),
        (format!("h3://{}/", server.at), "http3.frame_type == 1", 2),
        (format!("wss://{}/", server.at), "websocket.payload", 2),
        (
            format!("quic://{}", server.at),
            "quic.stream_data contains \"hi\"",
            1,
        ),
    ];
    for (address, filter, least) in cases {
        let file = path(&folder, "traced.pcapng");
        let send: &[&str] = if filter.starts_with("http") {
            &[]
        } else {
            &["--send", "hi"]
        };
        let words = [
            "trace",
            &address,
            "--insecure",
            "--with-keys",
            "--pcap",
            file.to_str().unwrap(),
        ];
        let ended = fine(sockeye(words.iter().chain(send)));
        assert!(ended.err.contains("warning: --with-keys"), "{}", ended.err);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{address}");
        let found = tshark(&file, filter, &["frame.number"]);
        assert!(found.len() >= least, "{address}: {found:?}");
        let all = tshark(&file, "", &["frame.number"]).len();
        let words = [
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
            "-r",
        ];
        let good = "tcp.checksum.status == 1 || udp.checksum.status == 1";
        let words = words
            .into_iter()
            .chain([file.to_str().unwrap(), "-Y", good]);
        let good = fine(program("tshark", words)).text().lines().count();
        assert_eq!(good, all, "{address}: checksums are finished");
        // Without keys it is as it was on the wire.
        fine(sockeye(
            [
                "trace",
                &address,
                "--insecure",
                "--pcap",
                file.to_str().unwrap(),
            ]
            .iter()
            .chain(send),
        ));
        assert_eq!(
            tshark(&file, filter, &["frame.number"]).len(),
            0,
            "{address}"
        );
    }
}

/// `sockeye trace` as somebody who may nothing, where they can start it.
fn as_nobody(folder: &TempDir, words: &[&str]) -> Line {
    nobody(folder, "trace", words)
}

/// `sockeye serve` as the same.
pub(crate) fn as_nobody_serves(folder: &TempDir, line: &str) -> Line {
    nobody(folder, "serve", &words(line))
}

pub(crate) fn nobody(folder: &TempDir, verb: &str, words: &[&str]) -> Line {
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(folder.path());
    let copy = path(folder, "sockeye");
    if !copy.exists() {
        // Written by ourselves it would be busy while a program that another test starts has our descriptors.
        let own = env!("CARGO_BIN_EXE_sockeye").as_ref();
        fine(program("cp", [own, copy.as_os_str()]));
        open(&copy);
    }
    let rights = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let rights = rights.iter().copied().chain([copy.to_str().unwrap(), verb]);
    program("setpriv", rights.chain(words.iter().copied()))
}

#[test]
fn without_privilege_sockets_tell_what_they_know_and_what_must_have_been() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become nobody");
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let home = folder();
    let url = format!("https://{}/", server.at);
    let ended = fine(as_nobody(&home, &[&url, "--insecure"]));
    let sentence = "trace: capturing packets needs CAP_NET_RAW (sudo setcap cap_net_raw+ep ";
    assert!(ended.err.contains(sentence), "{}", ended.err);
    let picture = ended.text();
    for piece in [
        "(SYN)",
        "(SYN ACK)",
        "kernel: round trip",
        "EncryptedExtensions",
        "HTTP/2 HEADERS",
        "(close)",
        "sight: socket",
        "(PACKET) = must have been there",
        "STATE = as",
    ] {
        assert!(picture.contains(piece), "{piece} is not in\n{picture}");
    }
    let url = format!("h3://{}/", server.at);
    let picture = fine(as_nobody(&home, &[&url, "--insecure"])).text();
    assert!(
        picture.contains("Initial 0 + Handshake 0") || picture.contains("Handshake 0"),
        "{picture}"
    );
    assert!(
        picture.contains("HTTP/3 "),
        "all of QUIC is seen:\n{picture}"
    );
}

#[test]
fn files_written_without_privilege_open_decrypted_too() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become nobody");
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let home = folder();
    let open = fs::Permissions::from_mode(0o777);
    let out = path(&home, "out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, open).unwrap();
    for (scheme, filter) in [
        ("https", "http2.headers.method"),
        ("h3", "http3.frame_type == 1"),
    ] {
        let file = path(&home, &format!("out/{scheme}.pcapng"));
        let url = format!("{scheme}://{}/", server.at);
        let words = [
            &url,
            "--insecure",
            "--with-keys",
            "--pcap",
            file.to_str().unwrap(),
        ];
        fine(as_nobody(&home, &words));
        let found = tshark(&file, filter, &["frame.number"]);
        assert!(!found.is_empty(), "{scheme}");
    }
}

#[test]
fn somebody_else_is_watched_until_ctrl_c() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let by_port = format!(":{}", server.port());
    let by_number = server.run.id().to_string();
    for whom in [&by_port, &server.at, &by_number] {
        let mut watching = sockeye(["trace", "--watch", whom]).start();
        watching.err.until("watching until Ctrl-C");
        let said = fine(sockeye(["connect", &server.at, "--send", "hello"]));
        assert_eq!(said.text(), "HELLO\n");
        watching.out.until("\"HELLO\"");
        watching.out.until("sight: packets");
        watching.signal(Signal::INT);
        let ended = watching.end();
        assert_eq!(ended.code, 0, "{whom}: {ended:?}");
    }
    let nobody = sockeye(["trace", "--watch", "4194304"]).run();
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("no such program"), "{}", nobody.err);
}

#[test]
fn a_server_draws_beside_its_work() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper --trace 127.0.0.1:0");
    let url = format!("https://{}/", server.at);
    fine(sockeye(["fetch", "--insecure", &url]));
    let drawn = server.run.err.until("sight: packets");
    for piece in ["SYN ACK", "EncryptedExtensions", "HTTP/2 HEADERS"] {
        assert!(drawn.contains(piece), "{piece} is not in\n{drawn}");
    }
}

#[test]
fn other_verbs_draw_into_files_of_every_kind() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let home = folder();
    let begins = [
        ("svg", "<svg"),
        ("html", "<!doctype html>"),
        ("json", "{\"v\":1,"),
        ("txt", " "),
        ("pcapng", "\n\r\r\n"),
    ];
    for (ending, start) in begins {
        let file = path(&home, &format!("drawn.{ending}"));
        let flag = format!("--trace={}", file.display());
        let said = fine(sockeye(["connect", &server.at, "--send", "hello", &flag]));
        assert_eq!(said.text(), "HELLO\n", "what is said is what it always is");
        let text = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&text);
        let begins = text.to_lowercase().starts_with(start);
        assert!(begins, "{ending}: {text:.80}");
        assert!(ending == "pcapng" || text.contains("SYN"), "{ending}");
    }
    let unknown = sockeye(["connect", &server.at, "--send", "a", "--trace=picture.png"]).run();
    assert_eq!(unknown.code, 2, "{unknown:?}");
    let picture = fine(sockeye([
        "fetch",
        &format!("http://{}/", server.at),
        "--trace",
    ]));
    assert!(picture.err.contains("HTTP/1.1 GET /"), "{}", picture.err);
    let joined = sockeye(["relay", "-", &server.at, "--trace"]).with("hi");
    assert_eq!(joined.text(), "HI");
    assert!(joined.err.contains("\"HI\""), "{}", joined.err);
}

#[test]
fn packets_can_be_piped_on_while_they_come() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let words = ["trace", &server.at, "--send", "hello", "--pcap", "-"];
    let bytes = fine(sockeye(words)).out;
    let picture = sockeye(["trace", "--read", "-"]).with(bytes).text();
    assert!(picture.contains("\"HELLO\""), "{picture}");
    assert!(picture.contains("FIN"), "{picture}");
}

#[test]
fn flags_stand_before_the_address_or_behind_it() {
    if !may_capture() {
        return;
    }
    let server = Server::start("upper 127.0.0.1:0");
    let at = &server.at[..];
    for words in [
        ["trace", "--explain", at, "--send", "--explain", "--ascii"],
        ["trace", at, "--send", "--explain", "--explain", "--ascii"],
    ] {
        let picture = fine(sockeye(words)).text();
        assert!(
            picture.contains("\"--EXPLAIN\""),
            "what is sent stays what it is:\n{picture}"
        );
        assert!(picture.is_ascii(), "{picture}");
        assert!(
            picture.contains("synchronize") || picture.contains("SYN"),
            "{picture}"
        );
    }
    let wrong = sockeye(["trace", at, "--sned", "hi"]).run();
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("--sned"), "{}", wrong.err);
    let nothing = sockeye(["trace"]).run();
    assert_eq!(nothing.code, 2, "{nothing:?}");
}

#[test]
fn a_connection_that_is_refused_is_drawn_and_fails() {
    if !may_capture() {
        return;
    }
    let at = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let ended = sockeye(["trace", &at, "--send", "hi"]).run();
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .text()
            .contains("connection refused: nothing listens there"),
        "{ended:?}"
    );
}

#[test]
fn who_has_the_keys_is_told_where_wireshark_needs_a_hint() {
    if !may_capture() {
        return;
    }
    // Gryphon, and what else Wireshark expects on such numbers: whichever is free here.
    let taken = [7000_u16, 9999, 9000, 5500, 6666, 30_001];
    let free = taken
        .into_iter()
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let Some(port) = free else {
        eprintln!("skipped: {taken:?} are all in use");
        return;
    };
    let server = Server::start(&format!("upper 127.0.0.1:{port}"));
    let folder = folder();
    let file = path(&folder, "hidden.pcapng");
    let url = format!("https://{}/", server.at);
    let words = [
        "trace",
        &url,
        "--insecure",
        "--with-keys",
        "--pcap",
        file.to_str().unwrap(),
    ];
    let ended = fine(sockeye(words));
    let hint = format!("tcp.port=={port},tls");
    assert!(ended.err.contains(&format!("-d {hint}")), "{}", ended.err);
    assert_eq!(
        tshark(&file, "http2", &["frame.number"]).len(),
        0,
        "if it has learned, say so no more"
    );
    let words = ["-d", &hint, "-Y", "http2", "-r", file.to_str().unwrap()];
    assert!(!fine(program("tshark", words)).text().is_empty());
}
