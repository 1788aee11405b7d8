//! Answers to datagrams that are given without waking a session: nobody can tell them from the session's.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sockeye::service::{Echo, Upper};
use sockeye::{
    Direction, Identity, Info, Message, Observer, Port, PortConfig, Result, Service, Session,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, address, within};

/// Says who answered, the session or the reflex.
struct Told;

fn told(who: &str, datagram: &[u8]) -> Bytes {
    [who.as_bytes(), b" ", datagram].concat().into()
}

impl Service for Told {
    async fn serve(&self, mut session: Session) -> Result<()> {
        while let Some(message) = session.recv().await? {
            let answer = told("session", &message.data);
            session.feed(answer).await?;
        }
        session.close().await
    }

    fn reflex(&self, datagram: &[u8], _: &Identity) -> Option<Bytes> {
        match datagram {
            b"think" => None,
            b"panic" => panic!("a reflex that panics"),
            // IPv4 takes 65,507 bytes.
            b"large" => Some(vec![0; 65_508].into()),
            _ => Some(told("reflex", datagram)),
        }
    }
}

async fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn hear(socket: &UdpSocket) -> String {
    let mut answer = [0; 200];
    let n = within(socket.recv(&mut answer)).await.unwrap();
    str::from_utf8(&answer[..n]).unwrap().to_owned()
}

#[tokio::test]
async fn a_session_that_waits_is_woken_only_for_what_has_no_reflex() {
    let mut stage = Stage::new("udp://127.0.0.1:0", Told).await;
    let socket = client(stage.socket_addr()).await;
    let asked = ["a", "b", "", "think", "c", "panic", "d", "large", "e"];
    for (text, who) in asked.into_iter().zip([
        "session", "reflex", "reflex", "session", "reflex", "session", "reflex", "session",
        "reflex",
    ]) {
        socket.send(text.as_bytes()).await.unwrap();
        assert_eq!(hear(&socket).await, format!("{who} {text}"));
    }
    let info = stage.events.opened().await;
    let counters = info.counters();
    let count = asked.len() as u64;
    assert_eq!(
        (counters.messages_in(), counters.messages_out()),
        (count, count)
    );
    assert_eq!(counters.bytes_in(), asked.concat().len() as u64);
    // Each answer begins with a word and a space.
    let words = 4 * "session ".len() + 5 * "reflex ".len();
    assert_eq!(counters.bytes_out(), counters.bytes_in() + words as u64);
    assert!(stage.events.so_far().is_empty(), "one session");
    stage.end().await;
}

/// The driver and the session run at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_at_once_is_answered_in_its_order() {
    let stage = Stage::new("udp://127.0.0.1:0", Told).await;
    let socket = client(stage.socket_addr()).await;
    for round in 0..100 {
        let texts: Vec<_> = (0..40)
            .map(|n| match (n + round) % 7 {
                0 => "think".to_owned(),
                _ => format!("{round} {n}"),
            })
            .collect();
        for text in &texts {
            socket.send(text.as_bytes()).await.unwrap();
        }
        for text in &texts {
            let answer = hear(&socket).await;
            let (_, said) = answer.split_once(' ').unwrap();
            assert_eq!(said, text);
        }
    }
    stage.end().await;
}

/// The first datagram is the session's, and the second the reflex's.
#[tokio::test]
async fn text_is_raised_alike_in_every_encoding() {
    let config = |encoding: &str| PortConfig {
        encoding: encoding.parse().unwrap(),
        ..PortConfig::default()
    };
    for (encoding, text, expected) in [
        ("utf-8", &b"stra\xc3\x9fe \xff"[..], &b"STRASSE \xff"[..]),
        // A character that is cut short, and one whose second byte looks like a letter.
        ("gbk", b"\xc4\xe3x \x81a \xc4", b"\xc4\xe3X \x81a \xc4"),
        ("latin1", b"\xe9t\xe9", b"\xc9T\xc9"),
        ("utf-8", b"", b""),
    ] {
        let stage = Stage::with("udp://127.0.0.1:0", config(encoding), Upper).await;
        let socket = client(stage.socket_addr()).await;
        for who in ["session", "reflex"] {
            socket.send(text).await.unwrap();
            let mut answer = [0; 200];
            let n = within(socket.recv(&mut answer)).await.unwrap();
            assert_eq!(&answer[..n], expected, "{encoding}, by the {who}");
        }
        stage.end().await;
    }
}

/// Wants to see every message.
struct Eye(mpsc::UnboundedSender<(Direction, Bytes)>);

impl Observer for Eye {
    fn wants_messages(&self) -> bool {
        true
    }

    fn message(&self, _: &Info, direction: Direction, message: &Message) {
        let _ = self.0.send((direction, message.data.clone()));
    }
}

#[tokio::test]
async fn who_watches_sees_every_message() {
    let (to, mut seen) = mpsc::unbounded_channel();
    let config = PortConfig {
        observer: Some(Arc::new(Eye(to))),
        ..PortConfig::default()
    };
    let port = Port::bind(&address("udp://127.0.0.1:0"), config).await;
    let port = port.unwrap();
    let at = port.listening()[0].at.socket_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(port.serve(Echo, stop.clone()));
    let socket = client(at).await;
    for text in ["a", "b", "c"] {
        socket.send(text.as_bytes()).await.unwrap();
        assert_eq!(hear(&socket).await, text);
        for direction in [Direction::In, Direction::Out] {
            let shown = within(seen.recv()).await.unwrap();
            assert_eq!(shown, (direction, Bytes::from(text)));
        }
    }
    stop.cancel();
    within(serving).await.unwrap().unwrap();
}
