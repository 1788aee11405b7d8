//! The end of a conversation over datagrams: one test for each row of docs/EOF.md, named after it.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::stage::{LONG, Run, connect, folder, path};

struct Peer(UdpSocket);

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self(socket)
    }

    fn at(&self) -> String {
        format!("udp://{}", self.0.local_addr().unwrap())
    }

    #[track_caller]
    fn hear(&self, expected: &str) -> SocketAddr {
        let mut buffer = [0; 2048];
        let (n, from) = self.0.recv_from(&mut buffer).unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..n]), expected);
        from
    }

    fn say(&self, text: &str, to: SocketAddr) {
        self.0.send_to(text.as_bytes(), to).unwrap();
    }
}

fn talk(options: &str) -> (Run, Peer) {
    let peer = Peer::new();
    let run = connect(&format!("{} {options}", peer.at())).start();
    run.err.until("connected udp ");
    (run, peer)
}

#[test]
fn d1_input_ends_first_and_a_second_of_silence_ends_it() {
    let (mut run, peer) = talk("");
    run.say("question");
    let start = Instant::now();
    run.hang_up();
    let from = peer.hear("question");
    peer.say("answer", from);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "answer"));
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn d2_each_datagram_starts_the_second_anew() {
    let (mut run, peer) = talk("");
    let start = Instant::now();
    run.say("question");
    run.hang_up();
    let from = peer.hear("question");
    for part in ["a", "ab", "abc"] {
        // The pause is what is tested: each is shorter than the limit, all together are longer.
        std::thread::sleep(Duration::from_millis(500));
        peer.say(&part[part.len() - 1..], from);
        run.out.until(part);
    }
    assert_eq!(run.end().code, 0);
    assert!(
        start.elapsed() > Duration::from_millis(2300),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn d3_close_waits_for_nothing() {
    let (mut run, peer) = talk("--eof close");
    run.say("question");
    let ended = run.hang_up_and_end();
    assert_eq!(ended.code, 0);
    assert!(
        ended.after < Duration::from_millis(800),
        "{:?}",
        ended.after
    );
    peer.hear("question");
}

#[test]
fn d4_keep_listens_until_it_is_told_to_stop() {
    let (mut run, peer) = talk("--eof keep");
    run.say("question");
    run.hang_up();
    let from = peer.hear("question");
    peer.say("one", from);
    run.out.until("one");
    std::thread::sleep(Duration::from_millis(1200));
    assert!(
        run.is_running(),
        "the second of --eof half does not count here"
    );
    peer.say("two", from);
    run.out.until("two");
    run.signal(Signal::INT);
    assert_eq!(run.end().code, 130);
}

#[test]
fn d5_keep_for_a_time() {
    let (mut run, peer) = talk("--eof keep:300ms");
    run.say("question");
    run.hang_up();
    let from = peer.hear("question");
    peer.say("answer", from);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "answer"));
    assert!(
        ended.after < Duration::from_millis(900),
        "{:?}",
        ended.after
    );
}

#[test]
fn d6_silence_for_the_time_of_w() {
    let (mut run, _peer) = talk("-w 200ms");
    run.say("anybody?\n");
    let ended = run.end();
    assert_eq!(ended.code, 3);
    ended.complaint();
}

#[test]
fn d7_nobody_is_there() {
    let (mut run, peer) = talk("");
    drop(peer);
    run.say("anybody?\n");
    let ended = run.hang_up_and_end();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.complaint().contains("refused"), "{ended:?}");
}

#[test]
fn d8_a_script_shows_all_answers() {
    let (mut run, peer) = talk("--send one --send two --wait 400ms");
    let from = peer.hear("one");
    peer.say("1", from);
    peer.hear("two");
    peer.say("2", from);
    peer.say("3", from);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "123"));
    assert!(
        ended.after >= Duration::from_millis(300),
        "{:?}",
        ended.after
    );
}

#[test]
fn d9_count_ends_everything() {
    let (mut run, peer) = talk("--count 2");
    run.say("go\n");
    let from = peer.hear("go");
    for text in ["1", "2", "3"] {
        peer.say(text, from);
    }
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "12"));
}

#[test]
fn d10_interrupt() {
    let (mut run, peer) = talk("");
    run.say("go\n");
    let from = peer.hear("go");
    peer.say("so far", from);
    run.out.until("so far");
    run.signal(Signal::INT);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (130, "so far"));
}

#[test]
fn d11_nobody_reads_our_output() {
    let peer = Peer::new();
    let (reader, output) = std::io::pipe().unwrap();
    let mut run = connect(&peer.at()).stdout(output).start();
    drop(reader);
    run.say("go\n");
    let from = peer.hear("go");
    peer.say("unseen", from);
    assert_eq!(run.end().code, 0);
}

#[test]
fn d12_no_input_at_all() {
    let (mut run, peer) = talk("--no-stdin -p 0 --count 1");
    let line = run.err.until(" -> ");
    let from = line
        .split("connected udp ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    peer.say("out of the blue", from.parse().unwrap());
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "out of the blue"));
}

#[test]
fn d13_a_datagram_without_bytes_is_no_end() {
    let (mut run, peer) = talk("");
    run.say("go\n");
    let from = peer.hear("go");
    peer.say("", from);
    peer.say("more", from);
    run.out.until("more");
    let ended = run.hang_up_and_end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "more"));
}

#[test]
fn d14_a_unix_peer_that_goes_away() {
    let folder = folder();
    let place = path(&folder, "peer");
    let peer = UnixDatagram::bind(&place).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    let mut run = connect(&format!("unixgram:{}", place.display())).start();
    run.say("one\n");
    let mut buffer = [0; 16];
    let n = peer.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"one");
    drop(peer);
    std::fs::remove_file(&place).unwrap();
    run.say("two\n");
    let ended = run.hang_up_and_end();
    assert_eq!(ended.code, 1, "{ended:?}");
    ended.complaint();
}

#[test]
fn d15_empty_input() {
    let peer = Peer::new();
    let mut run = connect(&peer.at()).stdin(Stdio::null()).start();
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, ""));
    assert!(
        ended.after >= Duration::from_millis(500),
        "{:?}",
        ended.after
    );
}
