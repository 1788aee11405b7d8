//! The end of a conversation over a byte stream: one test for each row of docs/EOF.md, named after it.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::stage::{
    LONG, Listener, Run, Wire, connect, drain, folder, hear, now, path, readable, reset,
};

#[test]
fn every_row_is_a_test_and_every_test_a_row() {
    let table = include_str!("../../../../docs/EOF.md");
    let tests = [include_str!("eof.rs"), include_str!("eof_datagrams.rs")].concat();
    let row = |line: &str| {
        line.strip_prefix("| ")?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let is_row = |row: &String| row[1..].parse::<u32>().is_ok() && row.starts_with(['s', 'd']);
    let rows: Vec<String> = table.lines().filter_map(row).filter(is_row).collect();
    let test = |line: &str| {
        line.strip_prefix("fn ")?
            .split('_')
            .next()
            .map(str::to_owned)
    };
    let named = |name: &String| name.len() > 1 && is_row(name);
    let tests: Vec<String> = tests.lines().filter_map(test).filter(named).collect();
    assert_eq!(rows, tests);
    let driven = include_str!("editor.py");
    for name in table.lines().filter(|line| line.starts_with("| t")) {
        let name = name.split('`').nth(1).unwrap();
        assert!(driven.contains(&format!("def {name}():")), "{name}");
    }
}

/// `connect` with these options to a peer of ours, and the peer's end.
fn talk(options: &str) -> (Run, std::net::TcpStream) {
    let listener = Listener::new();
    let run = connect(&format!("{} {options}", listener.at())).start();
    let peer = listener.accept();
    run.err.until("connected tcp ");
    (run, peer)
}

const NOTHING: (Vec<u8>, Wire) = (Vec::new(), Wire::Fin);

#[test]
fn s1_input_ends_first_our_direction_is_closed_and_answers_are_awaited() {
    let (mut run, mut peer) = talk("");
    run.say("question");
    run.hang_up();
    assert_eq!(drain(&mut peer), (b"question".to_vec(), Wire::Fin));
    assert!(run.is_running());
    peer.write_all(b"a late answer").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "a late answer"));
}

#[test]
fn s2_input_is_empty_from_the_start() {
    let listener = Listener::new();
    let mut run = connect(&listener.at()).stdin(Stdio::null()).start();
    let mut peer = listener.accept();
    assert_eq!(drain(&mut peer), NOTHING);
    peer.write_all(b"the time").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "the time"));
}

#[test]
fn s3_close_ends_everything_with_the_input() {
    let (mut run, mut peer) = talk("--eof close");
    run.say("question");
    let ended = run.hang_up_and_end();
    assert_eq!(ended.code, 0);
    assert_eq!(drain(&mut peer), (b"question".to_vec(), Wire::Fin));
}

#[test]
fn s4_keep_goes_on_until_the_peer_ends() {
    let (mut run, mut peer) = talk("--eof keep");
    run.say("question");
    run.hang_up();
    hear(&mut peer, "question");
    peer.write_all(b"one").unwrap();
    run.out.until("one");
    assert_eq!(now(&peer), Wire::Open);
    peer.write_all(b" two").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "one two"));
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s5_keep_for_a_time() {
    let (mut run, mut peer) = talk("--eof keep:300ms");
    run.say("question");
    hear(&mut peer, "question");
    let start = Instant::now();
    run.hang_up();
    peer.write_all(b"answer").unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "answer"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s6_peer_ends_first_and_a_pipe_stays_open() {
    let (mut run, mut peer) = talk("");
    peer.write_all(b"bye").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "bye"));
    assert!(
        ended.after < Duration::from_millis(2500),
        "{:?}",
        ended.after
    );
    assert!(
        ended.err.contains("standard input was not read to its end"),
        "{ended:?}"
    );
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s7_peer_ends_first_and_a_file_is_still_sent_whole() {
    let folder = folder();
    let file = path(&folder, "big");
    let data = crate::stage::binary(3 << 20);
    std::fs::write(&file, &data).unwrap();
    let listener = Listener::new();
    let input = std::fs::File::open(&file).unwrap();
    let mut run = connect(&listener.at()).stdin(input).start();
    let mut peer = listener.accept();
    peer.shutdown(Shutdown::Write).unwrap();
    let (got, wire) = drain(&mut peer);
    assert_eq!((got == data, wire), (true, Wire::Fin));
    assert_eq!(run.end().code, 0);
}

#[test]
fn s8_peer_ends_first_and_what_stands_in_a_pipe_is_still_sent() {
    let listener = Listener::new();
    let (input, mut pipe) = std::io::pipe().unwrap();
    pipe.write_all(&vec![b'x'; 60_000]).unwrap();
    let mut run = connect(&listener.at()).stdin(input).start();
    let mut peer = listener.accept();
    peer.shutdown(Shutdown::Write).unwrap();
    let (got, wire) = drain(&mut peer);
    assert_eq!((got.len(), wire), (60_000, Wire::Fin));
    assert_eq!(run.end().code, 0);
}

#[test]
fn s9_peer_ends_first_and_keep_goes_on_sending() {
    let (mut run, mut peer) = talk("--eof keep");
    peer.shutdown(Shutdown::Write).unwrap();
    run.say("still ");
    hear(&mut peer, "still ");
    run.say("here");
    let ended = run.hang_up_and_end();
    assert_eq!(ended.code, 0);
    assert_eq!(drain(&mut peer), (b"here".to_vec(), Wire::Fin));
}

#[test]
fn s10_both_end() {
    let (mut run, mut peer) = talk("");
    run.say("a");
    run.hang_up();
    peer.write_all(b"b").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "b"));
    assert_eq!(drain(&mut peer), (b"a".to_vec(), Wire::Fin));
}

#[test]
fn s11_reset_by_the_peer() {
    let (mut run, mut peer) = talk("");
    peer.write_all(b"half a sen").unwrap();
    run.out.until("half a sen");
    reset(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (6, "half a sen"));
    let line = ended.complaint();
    assert!(
        line.contains("127.0.0.1:") && line.contains("reset"),
        "{line}"
    );
}

#[test]
fn s12_reset_while_input_is_sent() {
    let (mut run, peer) = talk("");
    reset(peer);
    let mut pipe = run.take_input();
    // Until the pipe breaks: whoever read it has ended.
    while pipe.write_all(&[0; 4096]).is_ok() {}
    let ended = run.end();
    assert_eq!(ended.code, 6, "{ended:?}");
    ended.complaint();
}

#[test]
fn s13_interrupt() {
    let (mut run, mut peer) = talk("");
    peer.write_all(b"so far").unwrap();
    run.out.until("so far");
    run.signal(Signal::INT);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (130, "so far"));
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s14_terminate() {
    let (mut run, mut peer) = talk("");
    run.signal(Signal::TERM);
    assert_eq!(run.end().code, 143);
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s15_nobody_reads_our_output() {
    let listener = Listener::new();
    let (reader, output) = std::io::pipe().unwrap();
    let mut run = connect(&listener.at()).stdout(output).start();
    let mut peer = listener.accept();
    drop(reader);
    peer.write_all(b"unseen").unwrap();
    assert_eq!(run.end().code, 0);
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s16_silence_for_the_time_of_w() {
    let (mut run, mut peer) = talk("-w 300ms");
    peer.write_all(b"first").unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (3, "first"));
    assert!(
        ended.complaint().contains("nothing came from 127.0.0.1:"),
        "{ended:?}"
    );
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s17_silence_after_our_end_too() {
    let (mut run, mut peer) = talk("-w 300ms");
    run.say("question");
    run.hang_up();
    assert_eq!(drain(&mut peer), (b"question".to_vec(), Wire::Fin));
    assert_eq!(run.end().code, 3);
}

#[test]
fn s18_a_script_ends_with_the_last_answer() {
    let listener = Listener::new();
    let mut run = connect(&format!(
        "{} --send one --send two --wait 10s",
        listener.at()
    ))
    .start();
    let mut peer = listener.accept();
    hear(&mut peer, "one\n");
    assert_eq!(now(&peer), Wire::Open, "the next one waits for an answer");
    peer.write_all(b"1\n").unwrap();
    hear(&mut peer, "two\n");
    peer.write_all(b"2\n").unwrap();
    assert_eq!(drain(&mut peer), NOTHING);
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "1\n2\n"));
}

#[test]
fn s19_a_script_that_nobody_answers() {
    let listener = Listener::new();
    let mut run = connect(&format!(
        "{} --send one --send two --wait 200ms",
        listener.at()
    ))
    .start();
    let mut peer = listener.accept();
    assert_eq!(drain(&mut peer), (b"one\ntwo\n".to_vec(), Wire::Fin));
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, ""));
}

#[test]
fn s20_a_script_with_keep() {
    let (mut run, mut peer) = talk("--send one --wait 100ms --eof keep");
    hear(&mut peer, "one\n");
    peer.write_all(b"1").unwrap();
    run.out.until("1");
    assert_eq!(now(&peer), Wire::Open);
    peer.write_all(b"2").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "12"));
}

#[test]
fn s21_a_script_with_close() {
    let (mut run, mut peer) = talk("--send one --wait 10s --eof close");
    hear(&mut peer, "one\n");
    peer.write_all(b"1").unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "1"));
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s22_count_ends_everything() {
    let (mut run, mut peer) = talk("--count 2 --frame line");
    peer.write_all(b"1\n2\n3\n").unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "1\n2\n"));
    drain(&mut peer);
}

#[test]
fn s23_no_input_at_all() {
    let (mut run, mut peer) = talk("--no-stdin");
    peer.write_all(b"one").unwrap();
    run.out.until("one");
    assert_eq!(now(&peer), Wire::Open);
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "one"));
}

#[test]
fn s24_no_input_and_a_limit() {
    let (mut run, mut peer) = talk("--no-stdin -w 200ms");
    let ended = run.end();
    assert_eq!(ended.code, 3);
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s25_lines_peer_ends_first_and_a_pipe_stays_open() {
    let (mut run, mut peer) = talk("--crlf");
    run.say("a\n");
    hear(&mut peer, "a\r\n");
    peer.write_all(b"bye").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "bye"));
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s26_lines_peer_ends_first_and_a_file_is_still_sent_whole() {
    let folder = folder();
    let file = path(&folder, "lines");
    std::fs::write(&file, "a line\n".repeat(50_000)).unwrap();
    let listener = Listener::new();
    let line = format!("{} --crlf", listener.at());
    let mut run = connect(&line)
        .stdin(std::fs::File::open(&file).unwrap())
        .start();
    let mut peer = listener.accept();
    peer.shutdown(Shutdown::Write).unwrap();
    let (got, wire) = drain(&mut peer);
    assert_eq!((got.len(), wire), (8 * 50_000, Wire::Fin));
    assert_eq!(run.end().code, 0);
}

#[test]
fn s27_lines_input_ends_first() {
    let (mut run, mut peer) = talk("--crlf");
    run.say("a\nb");
    run.hang_up();
    assert_eq!(drain(&mut peer), (b"a\r\nb".to_vec(), Wire::Fin));
    peer.write_all(b"late").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "late"));
}

#[test]
fn s28_the_same_over_a_unix_socket() {
    let folder = folder();
    let place = path(&folder, "socket");
    let listener = UnixListener::bind(&place).unwrap();
    let mut run = connect(&format!("unix:{}", place.display())).start();
    readable(&listener);
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    run.say("question");
    run.hang_up();
    assert_eq!(drain(&mut peer), (b"question".to_vec(), Wire::Fin));
    peer.write_all(b"late").unwrap();
    drop(peer);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "late"));
}

#[test]
fn s29_a_slow_reader_of_our_output_gets_everything_after_the_end() {
    let listener = Listener::new();
    let (reader, output) = std::io::pipe().unwrap();
    let mut run = connect(&listener.at())
        .stdin(Stdio::null())
        .stdout(output)
        .start();
    let mut peer = listener.accept();
    let data = crate::stage::binary(300_000);
    let sent = data.clone();
    let sending = std::thread::spawn(move || {
        peer.write_all(&sent).unwrap();
        drop(peer);
    });
    sending.join().unwrap();
    assert!(
        run.is_running(),
        "what does not fit into the pipe is still to be written"
    );
    let mut reader = reader;
    assert!(drain(&mut reader).0 == data);
    assert_eq!(run.end().code, 0);
}

#[test]
fn s30_each_line_of_a_pipe_leaves_at_once() {
    let (mut run, mut peer) = talk("");
    let start = Instant::now();
    for _ in 0..10 {
        run.say("x");
        hear(&mut peer, "x");
    }
    // A kernel that is told that more will come keeps each of them for 200 ms.
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn s31_a_script_goes_on_when_the_peer_ends_first() {
    let (mut run, mut peer) = talk("--send one --send two --wait 60s");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut peer), (b"one\ntwo\n".to_vec(), Wire::Fin));
    assert_eq!(run.end().code, 0);
}

#[test]
fn s32_a_script_that_is_interrupted() {
    let (mut run, mut peer) = talk("--send one --wait 60s");
    hear(&mut peer, "one\n");
    run.signal(Signal::INT);
    assert_eq!(run.end().code, 130);
    assert_eq!(drain(&mut peer), NOTHING);
}

#[test]
fn s33_a_script_whose_peer_resets() {
    let (mut run, mut peer) = talk("--send one --send two --wait 60s");
    hear(&mut peer, "one\n");
    reset(peer);
    let ended = run.end();
    assert_eq!(ended.code, 6, "{ended:?}");
}

#[test]
fn s34_interrupt_while_nobody_reads_our_output() {
    let listener = Listener::new();
    let (_reader, output) = std::io::pipe().unwrap();
    let mut run = connect(&listener.at())
        .stdin(Stdio::null())
        .stdout(output)
        .start();
    let mut peer = listener.accept();
    peer.set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    // Until every buffer on the way is full.
    while peer.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    run.signal(Signal::INT);
    assert_eq!(run.end().code, 130);
}

#[test]
fn s35_the_peer_ends_without_a_byte() {
    let (mut run, mut peer) = talk("--no-stdin");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut peer), NOTHING);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, ""));
}
