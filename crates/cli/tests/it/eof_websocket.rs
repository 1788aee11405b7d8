//! The end of a conversation over WebSocket: one test for each row of docs/EOF.md, named after it. The peer is
//! another implementation.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

use crate::stage::{LONG, Run, Server, connect};

/// A server that has taken one client.
struct Peer(WebSocket<TcpStream>);

impl Peer {
    #[track_caller]
    fn hear(&mut self, expected: &str) {
        assert_eq!(self.0.read().unwrap(), Message::text(expected));
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// The client's close frame comes next; it is answered, and the connection ended.
    #[track_caller]
    fn hear_close(&mut self) -> u16 {
        let heard = self.0.read().unwrap();
        let Message::Close(Some(close)) = heard else {
            panic!("{heard:?}");
        };
        let ended = self.0.read();
        assert!(matches!(ended, Err(Error::ConnectionClosed)), "{ended:?}");
        close.code.into()
    }

    /// Closes; what the client answers.
    fn close(&mut self, code: u16, reason: &str) -> Option<u16> {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.0.close(Some(frame)).unwrap();
        match self.0.read() {
            Ok(Message::Close(close)) => close.map(|close| close.code.into()),
            other => panic!("{other:?}"),
        }
    }
}

fn talk(options: &str) -> (Run, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let run = connect(&format!("ws://{at} {options}")).start();
    let (tcp, _) = listener.accept().unwrap();
    tcp.set_read_timeout(Some(LONG)).unwrap();
    let peer = Peer(tungstenite::accept(tcp).unwrap());
    run.err.until("connected ws ");
    (run, peer)
}

#[test]
fn w1_input_ends_first_and_the_close_comes_after_a_second_of_silence() {
    let (mut run, mut peer) = talk("");
    run.say("question\n");
    let start = Instant::now();
    run.hang_up();
    peer.hear("question");
    peer.say("answer");
    assert_eq!(peer.hear_close(), 1000);
    assert!(start.elapsed() >= Duration::from_secs(1));
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (0, "answer\n"));
}

#[test]
fn w2_answers_that_keep_coming_are_all_shown() {
    let (mut run, mut peer) = talk("");
    run.say("question\n");
    run.hang_up();
    peer.hear("question");
    for n in 0..4 {
        std::thread::sleep(Duration::from_millis(400));
        peer.say(&format!("answer {n}"));
    }
    assert_eq!(peer.hear_close(), 1000);
    let ended = run.end();
    let all = "answer 0\nanswer 1\nanswer 2\nanswer 3\n";
    assert_eq!((ended.code, &*ended.text()), (0, all));
}

#[test]
fn w3_input_first_and_everything_is_closed() {
    let (mut run, mut peer) = talk("--eof close");
    run.say("question\n");
    run.hang_up();
    peer.hear("question");
    assert_eq!(peer.hear_close(), 1000);
    assert_eq!(run.end().code, 0);
}

#[test]
fn w4_input_first_and_nothing_is_closed() {
    let (mut run, mut peer) = talk("--eof keep");
    run.hang_up();
    peer.0
        .get_ref()
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    let silent = peer.0.read();
    assert!(matches!(silent, Err(Error::Io(_))), "{silent:?}");
    peer.say("still here");
    assert_eq!(peer.close(1000, ""), Some(1000));
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (0, "still here\n"));
}

#[test]
fn w5_the_peer_closes_without_an_error() {
    for code in [1000, 1001] {
        let (mut run, mut peer) = talk("--no-stdin");
        peer.say("last");
        assert_eq!(peer.close(code, "done"), Some(code));
        let ended = run.end();
        assert_eq!((ended.code, &*ended.text()), (0, "last\n"));
    }
}

#[test]
fn w6_the_peer_closes_with_an_error() {
    let (mut run, mut peer) = talk("--no-stdin");
    peer.say("last");
    assert_eq!(peer.close(4001, "as you wish"), Some(4001));
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (6, "last\n"));
    let line = "the peer closed with 4001 (an application's code): as you wish";
    assert!(ended.err.contains(line), "{}", ended.err);
}

#[test]
fn w7_the_stream_ends_without_a_close() {
    let (mut run, mut peer) = talk("--no-stdin");
    peer.say("last");
    peer.0.get_ref().shutdown(Shutdown::Both).unwrap();
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (6, "last\n"));
    assert!(ended.err.contains("1006 (no close frame)"), "{}", ended.err);
}

#[test]
fn w8_the_peer_breaks_the_rules() {
    use std::io::Write;
    for (frame, code, words) in [
        (&b"\x83\x00"[..], 1002, "reserved opcode 0x3"),
        (b"\x81\x03a\xc3(", 1007, "byte 1 is c3"),
        (
            b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
            1009,
            "more than 16777216 bytes",
        ),
    ] {
        let (mut run, mut peer) = talk("--no-stdin");
        peer.say("last");
        peer.0.get_mut().write_all(frame).unwrap();
        assert_eq!(peer.hear_close(), code);
        let ended = run.end();
        assert_eq!((ended.code, &*ended.text()), (5, "last\n"));
        assert!(ended.err.contains(words), "{}", ended.err);
    }
}

#[test]
fn w9_interrupted() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut run, mut peer) = talk("");
        peer.say("last");
        run.out.until("last\n");
        run.signal(signal);
        assert_eq!(peer.hear_close(), 1000);
        assert_eq!(run.end().code, code);
    }
}

#[test]
fn w10_a_script() {
    let (mut run, mut peer) = talk("--send one --send two --wait 300ms");
    for text in ["one", "two"] {
        peer.hear(text);
        peer.say(&text.to_uppercase());
    }
    assert_eq!(peer.hear_close(), 1000);
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (0, "ONE\nTWO\n"));
}

#[test]
fn w11_enough_messages() {
    let (mut run, mut peer) = talk("--count 2 --close-code 4000 --close-reason enough");
    peer.say("one");
    peer.say("two");
    assert_eq!(peer.hear_close(), 4000);
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (0, "one\ntwo\n"));
}

#[test]
fn w12_the_close_is_not_answered() {
    let (mut run, peer) = talk("");
    let start = Instant::now();
    let ended = run.hang_up_and_end();
    assert_eq!(ended.code, 0);
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "1 s of silence, 2 s for the answer"
    );
    assert!(
        ended
            .err
            .contains("did not answer our close frame within 2s"),
        "{}",
        ended.err
    );
    drop(peer);
}

#[test]
fn w13_pings_are_not_answered() {
    let (mut run, peer) = talk("--no-stdin --ping-interval 100ms");
    let ended = run.end();
    assert_eq!(ended.code, 3);
    let line = "2 pings were not answered, nothing came for 300ms";
    assert!(ended.err.contains(line), "{}", ended.err);
    drop(peer);
}

#[test]
fn w14_silence() {
    let (mut run, mut peer) = talk("--no-stdin -w 500ms");
    peer.say("last");
    assert_eq!(peer.hear_close(), 1000);
    let ended = run.end();
    assert_eq!((ended.code, &*ended.text()), (3, "last\n"));
}

#[test]
fn w15_the_server_stops_reading() {
    let (mut run, mut peer) = talk("--ping-interval 400ms --binary");
    let mut input = run.take_input();
    let feeding = std::thread::spawn(move || {
        use std::io::Write;
        // It ends when the client does.
        while input.write_all(&[b'x'; 65536]).is_ok() {}
    });
    // It talks all the time, and is given up nevertheless.
    while run.is_running() && peer.0.send(Message::text("still here")).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = run.end();
    assert_eq!(ended.code, 3, "{}", ended.err);
    let line = "it took nothing for 1.2s";
    assert!(ended.err.contains(line), "{}", ended.err);
    feeding.join().unwrap();
}

#[test]
fn a_served_client_that_stops_reading_is_cut_off() {
    let server = Server::start("echo ws://127.0.0.1:0 --ping-interval 400ms");
    let tcp = server.tcp();
    let (mut peer, _) = tungstenite::client(format!("ws://{}/", server.at), tcp).unwrap();
    // More than all buffers between us hold, and no word of it is read.
    let message = Message::binary(vec![b'x'; 1 << 20]);
    let cut = (0..200).find_map(|_| peer.send(message.clone()).err());
    assert!(cut.is_some(), "somebody has taken 200 MiB");
    let closed = server.run.err.rest_of("close #");
    assert!(closed.contains("it took nothing for 1.2s"), "{closed}");
}
