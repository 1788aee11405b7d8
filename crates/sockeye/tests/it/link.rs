//! Leaving the message view: split sessions, links and streams keep every byte.

use std::sync::{Arc, Mutex};

use sockeye::{
    ByteStream, Direction, Endpoint, Framing, Identity, Info, Link, Message, Observer, Session,
    Side,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{heard, heard_to_the_end, within};

/// A session that has received `one` of three lines, with the rest read ahead.
async fn read_ahead() -> Session {
    let (mut near, far) = Session::pair(Framing::Line);
    let mut far = far.into_stream();
    far.write_all(b"one\ntwo\nthree\n").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(heard(&mut near).await, b"one");
    near
}

#[tokio::test]
async fn a_stream_begins_with_what_was_read_ahead() {
    let mut stream = read_ahead().await.into_stream();
    assert_eq!(stream.head(), b"two\nthree\n");
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"two\nthree\n");
    assert_eq!(stream.counters().unwrap().bytes_in(), 14, "counted once");
}

#[tokio::test]
async fn a_link_begins_with_what_was_read_ahead() {
    let link = read_ahead().await.into_link();
    let Link::Bytes(stream, framing) = &link else {
        panic!("{link:?}");
    };
    assert_eq!(stream.head(), b"two\nthree\n");
    assert_eq!(*framing, Framing::Line);
    let identity = Identity::new(Side::Dialed, "test", Endpoint::Memory, Endpoint::Memory);
    let mut again = Session::new(link, identity, 100);
    assert_eq!(heard_to_the_end(&mut again).await, [&b"two"[..], b"three"]);
}

#[tokio::test]
async fn split_halves_begin_with_what_was_read_ahead() {
    let (mut receiver, _sender) = read_ahead().await.split();
    for line in ["two", "three"] {
        let message = within(receiver.recv()).await.unwrap().unwrap();
        assert_eq!(message.text().unwrap(), line);
    }
    assert_eq!(within(receiver.recv()).await.unwrap(), None);
}

/// Both ends send far more than the pipe holds before either reads all: only full duplex gets through.
async fn talk_at_once(near: Session, far: Session) {
    const MESSAGES: usize = 1_000;
    const SIZE: usize = 1_000;
    let end = |session: Session| async move {
        let (mut receiver, mut sender) = session.split();
        let sending = async {
            for n in 0..MESSAGES {
                sender.send(vec![n as u8; SIZE]).await.unwrap();
            }
            sender.finish().await.unwrap();
        };
        let receiving = async {
            for n in 0..MESSAGES {
                let message = receiver.recv().await.unwrap().unwrap();
                assert_eq!(message.data, vec![n as u8; SIZE], "message {n}");
            }
        };
        tokio::join!(sending, receiving);
        assert_eq!(receiver.info().counters().messages_in(), MESSAGES as u64);
        assert_eq!(sender.info().counters().messages_out(), MESSAGES as u64);
        receiver.recv().await.unwrap()
    };
    let ended = within(async { tokio::join!(end(near), end(far)) }).await;
    assert_eq!(ended, (None, None));
}

#[tokio::test]
async fn split_sessions_talk_and_listen_at_once() {
    let (near, far) = Session::pair("length:u16be".parse().unwrap());
    talk_at_once(near, far).await;
}

#[tokio::test]
async fn split_packet_sessions_talk_and_listen_at_once() {
    let (near, far) = Session::packet_pair();
    talk_at_once(near, far).await;
}

#[tokio::test]
async fn packets_keep_their_boundaries_and_empty_ones_count() {
    let (mut near, mut far) = Session::packet_pair();
    for packet in ["", "a\nb", "", ""] {
        far.send(packet).await.unwrap();
    }
    drop(far);
    assert_eq!(
        heard_to_the_end(&mut near).await,
        [&b""[..], b"a\nb", b"", b""]
    );
    assert_eq!(near.info().counters().messages_in(), 4);
}

#[tokio::test]
async fn packets_count_their_bytes() {
    let (mut near, mut far) = Session::packet_pair();
    far.send("four").await.unwrap();
    heard(&mut near).await;
    assert_eq!(far.info().counters().bytes_out(), 4);
    assert_eq!(near.info().counters().bytes_in(), 4);
}

#[tokio::test]
async fn packets_are_a_stream_of_their_payloads() {
    let (near, mut far) = Session::packet_pair();
    let mut stream = near.into_stream();
    for packet in ["ab", "", "c"] {
        far.send(packet).await.unwrap();
    }
    let mut bytes = [0; 3];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"abc");
    stream.write_all(b"xyz").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(heard(&mut far).await, b"xyz");
}

#[tokio::test]
async fn sending_to_a_peer_that_is_gone_is_a_reset() {
    for (mut near, far) in [Session::pair(Framing::Raw), Session::packet_pair()] {
        drop(far);
        let error = within(near.send("x")).await.unwrap_err();
        assert!(error.is_reset(), "{error}");
    }
}

/// Keeps what it is shown.
#[derive(Default)]
struct Watcher(Mutex<Vec<(Direction, Vec<u8>)>>);

impl Observer for Watcher {
    fn wants_messages(&self) -> bool {
        true
    }

    fn message(&self, _: &Info, direction: Direction, message: &Message) {
        let shown = (direction, message.data.to_vec());
        self.0.lock().unwrap().push(shown);
    }
}

#[tokio::test]
async fn a_watcher_sees_every_byte_of_a_session_that_becomes_a_stream() {
    let watcher = Arc::new(Watcher::default());
    let (near, mut far) = tokio::io::duplex(1024);
    let identity = Identity::new(Side::Accepted, "test", Endpoint::Memory, Endpoint::Memory)
        .observer(Some(watcher.clone()));
    let link = Link::Bytes(ByteStream::new(near), Framing::Line);
    let mut session = Session::new(link, identity, 1024);
    far.write_all(b"one\ntwo\n").await.unwrap();
    assert_eq!(heard(&mut session).await, b"one");
    session.send("answer").await.unwrap();
    let mut stream = session.into_stream();
    far.write_all(b"three").await.unwrap();
    far.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"two\nthree");
    stream.write_all(b"bye").await.unwrap();
    let expected = [
        (Direction::In, &b"one"[..]),
        (Direction::Out, b"answer"),
        (Direction::In, b"two\n"),
        (Direction::In, b"three"),
        (Direction::Out, b"bye"),
    ];
    let shown = watcher.0.lock().unwrap();
    let shown: Vec<_> = shown.iter().map(|(way, data)| (*way, &data[..])).collect();
    assert_eq!(shown, expected);
}
