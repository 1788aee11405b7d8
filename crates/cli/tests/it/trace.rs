//! `sockeye trace --read`: captures from files and pipes, drawn and as JSON, and what is no capture.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;

use crate::stage::{Ended, LONG, Line, folder, program, sockeye};

/// A reference capture.
fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trace/tests/data")
        .join(name)
}

fn trace(name: &str, flags: &[&str]) -> Line {
    let file = capture(name).into_os_string();
    let arguments = ["trace".into(), "--read".into(), file].into_iter();
    sockeye(arguments.chain(flags.iter().map(|flag| (*flag).into())))
}

#[track_caller]
fn fine(line: Line) -> Ended {
    let ended = line.run();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    ended
}

#[test]
fn a_file_and_a_pipe_give_the_same_picture() {
    let file = fine(trace("syn-loss.pcap", &[])).text();
    for piece in [
        "SYN  seq 0  win 64240  mss 1460 ───────────✗",
        "retransmission of #1, 1.01 s later",
        "handshake round trip 20.3 ms",
        "(SYN-RECEIVED)",
        "client keeps TIME-WAIT",
        "sight: file syn-loss.pcap, seen at the client",
    ] {
        assert!(file.contains(piece), "{piece} is not in\n{file}");
    }
    assert!(!file.contains('\x1b'), "a pipe shows no colours");
    let bytes = std::fs::read(capture("syn-loss.pcap")).unwrap();
    let piped = sockeye(["trace", "--read", "-"]).with(bytes);
    assert_eq!(piped.code, 0);
    assert_eq!(piped.text(), file.replace("file syn-loss.pcap", "file -"));
}

#[test]
fn ctrl_c_ends_whoever_captures_and_what_came_is_drawn() {
    let bytes = std::fs::read(capture("syn-loss.pcap")).unwrap();
    let mut run = sockeye(["trace", "--read", "-"]).start();
    wait_for_signals(run.id());
    run.say(&bytes[..500]);
    run.signal(Signal::INT);
    run.say(&bytes[500..]);
    let ended = run.hang_up_and_end();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.text().contains("11 segments"), "{ended:?}");
    let mut run = sockeye(["trace", "--read", "-"]).start();
    wait_for_signals(run.id());
    run.signal(Signal::TERM);
    assert_eq!(run.end().code, 143);
}

/// Until it catches SIGINT and SIGTERM: proc_pid_status(5), SigCgt.
pub(crate) fn wait_for_signals(process: u32) {
    let start = Instant::now();
    let path = format!("/proc/{process}/status");
    loop {
        let status = std::fs::read_to_string(&path).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        if caught & 0x4002 == 0x4002 {
            return;
        }
        assert!(start.elapsed() < LONG, "{process} catches no signals");
        std::thread::yield_now();
    }
}

#[test]
fn width_letters_and_colours_are_as_one_wants() {
    let narrow = fine(trace("syn-loss.pcap", &["--width", "60"])).text();
    assert!(narrow.lines().all(|line| line.chars().count() <= 60));
    let told = fine(trace("syn-loss.pcap", &[]).env("COLUMNS", "60")).text();
    assert_eq!(told, narrow);
    assert!(fine(trace("syn-loss.pcap", &["--ascii"])).text().is_ascii());
    let forced = trace("syn-loss.pcap", &[]).env("CLICOLOR_FORCE", "1");
    assert!(fine(forced).text().contains("\x1b[32m"));
    let both = trace("syn-loss.pcap", &[]).env("CLICOLOR_FORCE", "1");
    assert!(!fine(both.env("NO_COLOR", "1")).text().contains('\x1b'));
    let raw = fine(trace("syn-loss.pcap", &["--abs"])).text();
    assert!(raw.contains("seq 2 632 968 199"), "{raw}");
    let zh = fine(trace("syn-loss.pcap", &["--explain", "--lang", "zh"])).text();
    assert!(zh.contains("客户端用 SYN（同步）打开连接"), "{zh}");
}

#[test]
fn a_key_log_opens_what_is_sealed() {
    let sealed = fine(trace("tls12-exported.pcap", &[])).text();
    assert!(
        sealed.contains("Finished, sealed") && !sealed.contains("GET /"),
        "{sealed}"
    );
    let keys = capture("tls12-exported.keys")
        .into_os_string()
        .into_string()
        .unwrap();
    let opened = fine(trace("tls12-exported.pcap", &["--keys", &keys])).text();
    assert!(
        opened.contains("HTTP/1.1 GET /") && !opened.contains("sealed"),
        "{opened}"
    );
    let none = trace("tls12-exported.pcap", &["--keys", "none"]).run();
    assert_eq!(none.code, 2);
    assert!(
        none.complaint().contains("cannot read none: No such file"),
        "{none:?}"
    );
}

#[test]
fn json_is_an_object_a_line() {
    let text = fine(trace("two-flows.pcap", &["--json"])).text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let packets: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "packet")
        .collect();
    assert_eq!(packets.len(), 28);
    assert_eq!(packets[1]["flags"], serde_json::json!(["SYN", "ACK"]));
    assert_eq!(packets[1]["from"], "B");
    assert_eq!(packets[14]["flow"], 1);
    assert_eq!(packets[14]["frame"], 15);
    assert_eq!(packets[0]["states"]["B"]["sure"], "expected");
}

#[test]
fn several_flows_are_told_apart_and_one_can_be_chosen() {
    let both = fine(trace("two-flows.pcap", &[])).text();
    assert!(both.starts_with("flow 0 of 2\n") && both.contains("\n\nflow 1 of 2\n"));
    let second = fine(trace("two-flows.pcap", &["--flow", "1"])).text();
    assert!(second.starts_with("flow 1 of 2\n"));
    assert!(both.ends_with(&second));
    let third = trace("two-flows.pcap", &["--flow", "2"]).run();
    assert_eq!(third.code, 2);
    assert!(
        third.complaint().contains("there is no flow 2"),
        "{third:?}"
    );
}

#[test]
fn a_picture_in_svg_is_of_one_flow_and_a_page_of_all() {
    let picture = fine(trace("syn-loss.pcap", &["--svg", "--theme", "dark"])).text();
    assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
    assert!(picture.contains("SYN-RECEIVED") && !picture.contains("prefers-color-scheme"));
    let which = trace("two-flows.pcap", &["--svg"]).run();
    assert_eq!(which.code, 2);
    assert!(
        which.complaint().contains("--flow N says which one"),
        "{which:?}"
    );
    let second = fine(trace("two-flows.pcap", &["--svg", "--flow", "1"])).text();
    assert_eq!(second.matches("<svg ").count(), 1);
    let page = fine(trace("two-flows.pcap", &["--html"])).text();
    assert_eq!(page.matches("<svg ").count(), 2);
    assert!(page.starts_with("<!doctype html>") && !page.contains("http://www.w3.org/1999"));
}

#[test]
fn a_capture_that_is_cut_short_is_drawn_and_says_so() {
    let cut = trace("cut-short.pcap", &[]).run();
    assert_eq!(cut.code, 0);
    assert!(cut.text().contains("7 segments"));
    assert!(
        cut.err
            .contains("it ends in the middle of packet 8, which begins at offset 624"),
        "{cut:?}"
    );
}

#[test]
fn what_is_no_capture_is_told_in_one_line() {
    let folder = folder();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.into_os_string()
    };
    let mut broken = std::fs::read(capture("chat.pcap")).unwrap();
    broken[32..36].fill(0xff);
    for (file, code, said) in [
        (
            path("text", b"GET / HTTP/1.1\r\n\r\n"),
            5,
            "it begins with 47 45 54 20",
        ),
        (
            path("gzip", &[0x1f, 0x8b, 8, 0, 0]),
            5,
            "gunzip -c FILE | sockeye trace --read -",
        ),
        (
            path("empty", b""),
            5,
            "empty: not even the header of a capture is there",
        ),
        (
            path("broken", &broken),
            5,
            "broken at offset 24: a packet of 4294967295 bytes",
        ),
        (
            folder.path().join("none").into(),
            2,
            "No such file or directory",
        ),
        (folder.path().as_os_str().to_owned(), 2, "Is a directory"),
    ] {
        let ended = sockeye(["trace".into(), "--read".into(), file]).run();
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.complaint().contains(said), "{ended:?}");
        assert_eq!(ended.text(), "");
    }
    let narrow = trace("chat.pcap", &["--width", "59"]).run();
    assert_eq!(narrow.code, 2);
    assert!(
        narrow.complaint().contains("60 columns are the least"),
        "{narrow:?}"
    );
}

#[test]
fn nobody_who_reads_on_is_no_failure() {
    let file = capture("data-loss.pcap")
        .into_os_string()
        .into_string()
        .unwrap();
    let line = format!(
        "{} trace --read {file} --json | head -n 1",
        env!("CARGO_BIN_EXE_sockeye")
    );
    let ended = program("bash", ["-o", "pipefail", "-c", &line]).run();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.text().starts_with(r#"{"v":1,"event":"flow""#));
}
