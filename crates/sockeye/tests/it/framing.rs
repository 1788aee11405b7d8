//! Messages in a byte stream: cut and wrapped by each framing, over a session in memory.

use std::time::Duration;

use sockeye::{ByteStream, Endpoint, Error, Framing, Identity, Link, Session, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{Wire, heard, within};

fn framing(name: &str) -> Framing {
    name.parse().unwrap()
}

/// What a session receives whose peer writes `wire` and finishes: the messages, and the error at the end.
async fn cut(name: &str, wire: &[u8]) -> (Vec<Vec<u8>>, Option<Error>) {
    let (near, far) = Session::pair(framing(name));
    receive(near, far.into_stream(), wire).await
}

async fn receive(
    mut near: Session,
    mut far: ByteStream,
    wire: &[u8],
) -> (Vec<Vec<u8>>, Option<Error>) {
    let writing = async {
        // A session that has failed closes, so that the rest may not get through.
        let _ = far.write_all(wire).await;
        let _ = far.shutdown().await;
    };
    let reading = async {
        let mut messages = Vec::new();
        let error = loop {
            match near.recv().await {
                Ok(Some(message)) => messages.push(message.data.to_vec()),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        drop(near);
        (messages, error)
    };
    within(async { tokio::join!(writing, reading).1 }).await
}

/// What stands on the wire when `messages` are sent.
async fn wrap(name: &str, messages: &[&'static [u8]]) -> Vec<u8> {
    let (mut near, far) = Session::pair(framing(name));
    for message in messages {
        near.send(*message).await.unwrap();
    }
    near.finish().await.unwrap();
    let mut wire = Vec::new();
    within(far.into_stream().read_to_end(&mut wire))
        .await
        .unwrap();
    wire
}

fn source(error: Error) -> String {
    match error {
        Error::Framing { source, .. } => source.to_string(),
        other => panic!("not about framing: {other}"),
    }
}

const SAME_BOTH_WAYS: &[Wire] = &[
    ("line", b"one\n\ntwo\n", &[b"one", b"", b"two"]),
    ("fixed:4", b"abcdefgh", &[b"abcd", b"efgh"]),
    ("length:u8", b"\x03abc\x00\x01d", &[b"abc", b"", b"d"]),
    ("length:u16be", b"\x00\x03abc\x00\x00", &[b"abc", b""]),
    ("length:u16le", b"\x03\x00abc\x00\x00", &[b"abc", b""]),
    ("length:u32be", b"\x00\x00\x00\x03abc", &[b"abc"]),
    ("length:u32le", b"\x03\x00\x00\x00abc", &[b"abc"]),
    ("length:varint", b"\x03abc\x00", &[b"abc", b""]),
    (
        r"until:\r\n.\r\n",
        b"a\r\nb\r\n.\r\n\r\n.\r\n",
        &[b"a\r\nb", b""],
    ),
    ("until:;", b"a;b;", &[b"a", b"b"]),
    ("raw", b"abc", &[b"abc"]),
];

#[tokio::test]
async fn each_framing_cuts_what_its_definition_says() {
    for (name, wire, messages) in SAME_BOTH_WAYS {
        let (got, error) = cut(name, wire).await;
        assert_eq!(&got, messages, "{name}");
        assert!(error.is_none(), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn each_framing_wraps_what_its_definition_says() {
    for (name, wire, messages) in SAME_BOTH_WAYS {
        assert_eq!(&wrap(name, messages).await, wire, "{name}");
    }
    assert_eq!(wrap("idle:5ms", &[b"a", b"b"]).await, b"ab");
}

#[tokio::test]
async fn a_length_of_several_bytes_is_read_and_written() {
    static LONG: [u8; 300] = [b'x'; 300];
    for (name, head) in [
        ("length:u16be", &[1, 44][..]),
        ("length:u16le", &[44, 1]),
        ("length:u32be", &[0, 0, 1, 44]),
        // 300 = 0b10_0101100: the low seven bits first (LEB128).
        ("length:varint", &[0xac, 0x02]),
    ] {
        let wire = [head, &LONG].concat();
        assert_eq!(wrap(name, &[&LONG]).await, wire, "{name}");
        assert_eq!(cut(name, &wire).await.0, [LONG.to_vec()], "{name}");
    }
}

#[tokio::test]
async fn a_carriage_return_before_the_line_end_belongs_to_the_mark() {
    let (got, error) = cut("line", b"a\r\nb\rc\n\r\n").await;
    assert_eq!(got, [&b"a"[..], b"b\rc", b""]);
    assert!(error.is_none());
}

#[tokio::test]
async fn what_stands_after_the_last_mark_is_the_last_message() {
    for name in ["raw", "line", "until:;", "idle:1s"] {
        let (got, error) = cut(name, b"rest").await;
        assert_eq!(got, [b"rest"], "{name}");
        assert!(error.is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_frame_that_was_cut_short_says_by_how_much() {
    for (name, wire, words) in [
        (
            "fixed:16",
            &b"abcde"[..],
            "expected 16 bytes, the peer closed after 5",
        ),
        (
            "length:u8",
            b"\x10abcde",
            "expected 16 bytes, the peer closed after 5",
        ),
        (
            "length:u32le",
            b"\x10\x00\x00\x00abcde",
            "expected 16 bytes, the peer closed after 5",
        ),
        (
            "length:varint",
            b"\x10abcde",
            "expected 16 bytes, the peer closed after 5",
        ),
        (
            "length:u16be",
            b"\x00",
            "expected a 2-byte length, the peer closed after 1 byte",
        ),
    ] {
        let (got, error) = cut(name, wire).await;
        assert!(got.is_empty(), "{name}: {got:?}");
        assert_eq!(source(error.expect(name)), words, "{name}");
    }
}

#[tokio::test]
async fn whole_messages_before_a_cut_short_one_are_received() {
    let (got, error) = cut("fixed:4", b"abcdefghij").await;
    assert_eq!(got, [b"abcd", b"efgh"]);
    assert_eq!(
        error.unwrap().to_string(),
        "cannot receive from (memory): expected 4 bytes, the peer closed after 2"
    );
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_before_it_is_kept() {
    for (name, wire, words) in [
        (
            "line",
            &b"123456789\n"[..],
            "message is longer than the limit of 8 bytes",
        ),
        (
            "until:;",
            b"123456789;",
            "message is longer than the limit of 8 bytes",
        ),
        (
            "length:u32be",
            b"\xff\xff\xff\xff",
            "message of 4294967295 bytes is longer than the limit of 8 bytes",
        ),
        (
            "fixed:9",
            b"123456789",
            "message of 9 bytes is longer than the limit of 8 bytes",
        ),
    ] {
        let (near, far) = limited(name);
        let (got, error) = receive(near, far, wire).await;
        assert!(got.is_empty(), "{name}: {got:?}");
        let text = source(error.expect(name));
        assert!(
            text == words || text.replace(" of 9 bytes is", " is") == words,
            "{name}: {text}"
        );
    }
    let (near, far) = limited("line");
    let (got, error) = receive(near, far, b"12345678\r\n").await;
    assert_eq!(got, [b"12345678"], "exactly the limit is allowed");
    assert!(error.is_none());
    let (near, far) = limited("raw");
    let (got, _) = receive(near, far, b"123456789").await;
    assert_eq!(
        got,
        [&b"12345678"[..], b"9"],
        "raw has no message to refuse"
    );
}

/// A session that takes messages of up to 8 bytes, and what its peer writes to.
fn limited(name: &str) -> (Session, ByteStream) {
    let (near, far) = tokio::io::duplex(1024);
    let identity = Identity::new(Side::Accepted, "test", Endpoint::Memory, Endpoint::Memory);
    let link = Link::Bytes(ByteStream::new(near), framing(name));
    (Session::new(link, identity, 8), ByteStream::new(far))
}

#[tokio::test]
async fn a_message_that_the_framing_cannot_carry_is_not_sent_at_all() {
    for (name, message, words) in [
        (
            "fixed:4",
            vec![b'a'; 3],
            "every message must have exactly 4 bytes, this one has 3",
        ),
        (
            "length:u8",
            vec![b'a'; 256],
            "message of 256 bytes is longer than the limit of 255 bytes",
        ),
    ] {
        let (mut near, far) = Session::pair(framing(name));
        assert_eq!(source(near.send(message).await.unwrap_err()), words);
        near.finish().await.unwrap();
        let mut wire = Vec::new();
        within(far.into_stream().read_to_end(&mut wire))
            .await
            .unwrap();
        assert!(wire.is_empty(), "{name}: {wire:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_ends_a_message_when_nothing_came_for_as_long_as_it_says() {
    const GAP: Duration = Duration::from_millis(50);
    let (mut near, far) = Session::pair(Framing::Idle(GAP));
    let mut far = far.into_stream();
    let writing = async {
        for part in ["one ", "message"] {
            far.write_all(part.as_bytes()).await.unwrap();
            tokio::time::sleep(GAP - Duration::from_millis(1)).await;
        }
        tokio::time::sleep(GAP).await;
        far.write_all(b"another").await.unwrap();
        tokio::time::sleep(GAP * 100).await;
        far.write_all(b"last").await.unwrap();
        far.shutdown().await.unwrap();
    };
    let reading = async {
        let began = tokio::time::Instant::now();
        assert_eq!(heard(&mut near).await, b"one message");
        // The second part came 49 ms after the first, and 50 ms of silence follow it.
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(99) && took < Duration::from_millis(105),
            "{took:?}"
        );
        assert_eq!(heard(&mut near).await, b"another");
        assert_eq!(heard(&mut near).await, b"last");
        assert_eq!(near.recv().await.unwrap(), None);
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn reframing_keeps_what_was_read_ahead() {
    let (mut near, far) = Session::pair(Framing::Line);
    let mut far = far.into_stream();
    far.write_all(b"HEAD\nabcdef").await.unwrap();
    assert_eq!(heard(&mut near).await, b"HEAD");
    near.reframe(framing("fixed:3"));
    assert_eq!(heard(&mut near).await, b"abc");
    assert_eq!(heard(&mut near).await, b"def");
}

#[tokio::test]
async fn the_peers_end_is_told_again_and_again() {
    let (mut near, mut far) = Session::pair(Framing::Raw);
    far.finish().await.unwrap();
    for _ in 0..3 {
        assert_eq!(within(near.recv()).await.unwrap(), None);
    }
    assert!(near.info().peer_has_finished());
    near.send("still").await.unwrap();
    assert_eq!(heard(&mut far).await, b"still");
}
