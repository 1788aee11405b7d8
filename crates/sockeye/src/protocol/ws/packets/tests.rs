//! Sessions over WebSocket in memory: with each other, with another implementation, and with raw bytes.

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, poll};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Theirs;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as TheirRole};
use wire::websocket::deflate::Parameters;

use super::*;
use crate::protocol::ws::session;
use crate::session::{Identity, MAX_MESSAGE, Observer, Session};

/// Keeps what is noted.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn note(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }
}

impl Notes {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn over(io: impl crate::stream::AsyncIo + 'static, side: Side) -> (Session, Arc<Notes>) {
    over_with(io, side, &Agreed::default(), &Settings::default())
}

fn over_with(
    io: impl crate::stream::AsyncIo + 'static,
    side: Side,
    agreed: &Agreed,
    settings: &Settings,
) -> (Session, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let identity = Identity::in_memory(side).observer(Some(notes.clone()));
    let stream = ByteStream::new(io);
    (
        session(stream, identity, MAX_MESSAGE, agreed, settings),
        notes,
    )
}

fn pair(agreed: &Agreed) -> (Session, Session) {
    let (near, far) = duplex(1000);
    let settings = Settings::default();
    let (server, _) = over_with(near, Side::Accepted, agreed, &settings);
    let (client, _) = over_with(far, Side::Dialed, agreed, &settings);
    (server, client)
}

/// A session, and the raw bytes of its peer.
fn raw(side: Side) -> (Session, DuplexStream, Arc<Notes>) {
    let (near, far) = duplex(1 << 20);
    let (session, notes) = over(near, side);
    (session, far, notes)
}

fn hex(text: &str) -> Vec<u8> {
    wire::hex::parse(text).unwrap()
}

fn text(text: &str) -> Message {
    text.into()
}

fn binary(data: impl Into<Vec<u8>>) -> Message {
    data.into().into()
}

/// Gives back all that comes, and both ends' last words.
async fn echo(mut session: Session) -> Result<()> {
    while let Some(message) = session.recv().await? {
        session.feed(message).await?;
    }
    session.close().await
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .expect("in time")
}

fn agreements() -> [Agreed; 3] {
    [None, Some(Parameters::FULL), Some(Parameters::FRUGAL)].map(|deflate| Agreed {
        protocol: None,
        deflate,
    })
}

#[tokio::test]
async fn messages_of_all_sizes_arrive_as_they_are_and_keep_their_kind() {
    for agreed in agreements() {
        let (server, mut client) = pair(&agreed);
        let asked = async {
            for size in [
                0,
                1,
                125,
                126,
                1000,
                LARGE - 1,
                LARGE,
                65535,
                65536,
                300_000,
            ] {
                for message in [text(&"ä".repeat(size / 2)), binary(vec![0xff; size])] {
                    client.send(message.clone()).await.unwrap();
                    assert_eq!(client.recv().await.unwrap(), Some(message), "{size}");
                }
            }
            client.finish().await.unwrap();
            assert_eq!(client.recv().await.unwrap(), None);
        };
        let (served, ()) = soon(async { tokio::join!(echo(server), asked) }).await;
        served.unwrap();
    }
}

#[tokio::test]
async fn text_that_is_none_is_sent_as_binary() {
    let (mut server, mut client) = pair(&Agreed::default());
    let message = Message {
        kind: Kind::Text,
        ..binary(b"\xff\xfe".to_vec())
    };
    server.send(message).await.unwrap();
    assert_eq!(
        client.recv().await.unwrap(),
        Some(binary(b"\xff\xfe".to_vec()))
    );
}

/// Counts the writes that go through it.
struct Counting(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Relaxed);
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_batch_is_answered_with_one_write_and_a_pong_before_more_is_waited_for() {
    let (near, mut far) = duplex(1 << 20);
    let writes = Arc::new(AtomicUsize::new(0));
    let (mut server, _) = over(Counting(near, writes.clone()), Side::Accepted);
    let frame = hex("82 81 00 00 00 00 07");
    far.write_all(&frame.repeat(16)).await.unwrap();
    for _ in 0..16 {
        let message = server.recv().await.unwrap().unwrap();
        server.feed(message).await.unwrap();
    }
    assert_eq!(writes.load(Relaxed), 0, "nothing is flushed unasked");
    assert!(poll!(Box::pin(server.recv())).is_pending());
    assert_eq!(writes.load(Relaxed), 1);
    let mut answers = vec![0; 16 * 3];
    far.read_exact(&mut answers).await.unwrap();
    assert_eq!(answers, hex("82 01 07").repeat(16));

    far.write_all(&hex("89 82 00 00 00 00 68 69 89 80 00 00 00 00"))
        .await
        .unwrap();
    assert!(poll!(Box::pin(server.recv())).is_pending());
    let mut pongs = vec![0; 6];
    far.read_exact(&mut pongs).await.unwrap();
    assert_eq!(pongs, hex("8a 02 68 69 8a 00"));
    assert_eq!(writes.load(Relaxed), 2);
}

#[tokio::test]
async fn pings_without_end_that_nobody_reads_the_answers_of_take_bounded_memory() {
    let (near, mut far) = duplex(4096);
    let (mut server, _) = over(near, Side::Accepted);
    let mut pings = 0u32;
    // The server's answers fill the pipe; from then on only the newest ping is remembered.
    for _ in 0..100_000 {
        let frame = [&hex("89 84 00 00 00 00")[..], &pings.to_be_bytes()].concat();
        far.write_all(&frame).await.unwrap();
        pings += 1;
        assert!(poll!(Box::pin(server.recv())).is_pending());
    }
    let mut pongs = 0;
    let mut frame = [0; 6];
    loop {
        let reading = far.read_exact(&mut frame);
        tokio::select! {
            biased;
            received = server.recv() => panic!("{received:?}"),
            read = reading => read.unwrap(),
        };
        assert_eq!(frame[..2], [0x8a, 4]);
        pongs += 1;
        if u32::from_be_bytes(*frame.last_chunk().unwrap()) == pings - 1 {
            break;
        }
    }
    assert!(pongs < 20_000, "{pongs} pongs were kept");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_the_answer_is_timed() {
    let (mut server, mut client) = pair(&Agreed::default());
    assert_eq!(server.info().rtt(), None);
    let start = Instant::now();
    let mut asking = Box::pin(async {
        let received = client.recv().await;
        (received, Instant::now())
    });
    let served = async {
        tokio::select! {
            received = server.recv() => panic!("{received:?}"),
            _ = &mut asking => panic!("nothing was sent"),
            () = tokio::time::sleep(Duration::from_secs(300)) => {}
        }
        assert!(server.info().rtt().unwrap() < Duration::from_secs(1));
        server.send("still here").await.unwrap();
    };
    soon_enough(served).await;
    let (received, then) = asking.await;
    assert_eq!(received.unwrap(), Some(text("still here")));
    assert!(then - start >= Duration::from_secs(300));
}

/// `soon` with the clock of a paused test, where hours pass at once.
async fn soon_enough<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), work)
        .await
        .expect("within an hour")
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_given_up() {
    let (mut server, mut far, _) = raw(Side::Accepted);
    let start = Instant::now();
    let error = soon_enough(server.recv()).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(
        error.to_string(),
        "cannot receive from (memory): 2 pings were not answered, nothing came for 60s"
    );
    assert_eq!(error.io_kind(), Some(io::ErrorKind::TimedOut));
    drop(server);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, hex("89 04 00 00 00 01 89 04 00 00 00 02"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_is_not_pinged() {
    let (mut server, mut far, _) = raw(Side::Accepted);
    let talking = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            far.write_all(&hex("8a 80 00 00 00 00")).await.unwrap();
        }
    };
    tokio::select! {
        received = server.recv() => panic!("{received:?}"),
        () = talking => {}
    }
    drop(server);
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, hex("88 02 03 e9"), "only the goodbye");
}

#[tokio::test(start_paused = true)]
async fn no_ping_is_sent_when_none_is_wanted() {
    let (near, mut far) = duplex(1000);
    let settings = Settings {
        ping_interval: None,
        ..Settings::default()
    };
    let (mut server, _) = over_with(near, Side::Accepted, &Agreed::default(), &settings);
    let waited = tokio::time::timeout(Duration::from_secs(1000), server.recv()).await;
    assert!(waited.is_err());
    assert!(poll!(Box::pin(far.read_u8())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_given_up() {
    let (near, mut far) = duplex(1000);
    let (server, _) = over(near, Side::Accepted);
    let (mut receiver, mut sender) = server.split();
    // Whether it talks does not matter, and a whole session that sends would not hear it.
    let talking = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if far.write_all(&hex("81 80 00 00 00 00")).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let sending = async {
        let start = Instant::now();
        let error = sender.send(vec![0; 2000]).await.unwrap_err();
        (error, start.elapsed().as_secs())
    };
    let hearing = async {
        loop {
            if let Err(error) = receiver.recv().await {
                return error;
            }
        }
    };
    let work = async { tokio::join!(sending, hearing) };
    let ((error, after), heard) = tokio::select! {
        () = talking => unreachable!(),
        ended = soon_enough(work) => ended,
    };
    assert_eq!(after, 60);
    let words = "cannot send to (memory): it took nothing for 60s";
    assert_eq!([error.to_string(), heard.to_string()], [words; 2]);
    assert_eq!(error.io_kind(), Some(io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_or_is_not_asked_for_life_is_waited_for() {
    let (near, mut far) = duplex(100);
    let (server, _) = over(near, Side::Accepted);
    let slow = async {
        far.write_all(&hex("82 fe 03 e8 00 00 00 00"))
            .await
            .unwrap();
        far.write_all(&[0; 1000]).await.unwrap();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(59)).await;
            far.read_u8().await.unwrap();
        }
        let left = tokio::time::sleep(Duration::from_secs(61));
        left.await;
    };
    let (served, ()) = soon_enough(async { tokio::join!(echo(server), slow) }).await;
    assert_eq!(served.unwrap_err().io_kind(), Some(io::ErrorKind::TimedOut));
    let (near, _far) = duplex(100);
    let settings = Settings {
        ping_interval: None,
        ..Settings::default()
    };
    let (mut server, _) = over_with(near, Side::Accepted, &Agreed::default(), &settings);
    let sending = server.send(vec![0; 1000]);
    let waited = tokio::time::timeout(Duration::from_secs(3600), sending).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_the_server_ends_first() {
    for (close, answer) in [
        ("88 82 00 00 00 00 03 e8", "88 02 03 e8"),
        ("88 85 00 00 00 00 03 e9 62 79 65", "88 02 03 e9"),
        ("88 80 00 00 00 00", "88 00"),
    ] {
        let (mut server, mut far, notes) = raw(Side::Accepted);
        far.write_all(&hex("81 81 00 00 00 00 61")).await.unwrap();
        far.write_all(&hex(close)).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some(text("a")));
        assert_eq!(server.recv().await.unwrap(), None);
        assert_eq!(server.recv().await.unwrap(), None);
        // What is still to be said comes before.
        server.send("A").await.unwrap();
        soon(server.close()).await.unwrap();
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, [hex("81 01 41"), hex(answer)].concat());
        assert_eq!(notes.all(), [""; 0]);
    }
}

#[tokio::test]
async fn a_peer_that_closes_with_an_error_is_answered_and_told_of() {
    for side in [Side::Accepted, Side::Dialed] {
        let (mut session, mut far, _) = raw(side);
        let (close, key) = match side {
            Side::Accepted => ("88 86 00 00 00 00 03 f3 6f 6f 70 73", 0),
            Side::Dialed => ("88 06 03 f3 6f 6f 70 73", 4),
        };
        far.write_all(&hex(close)).await.unwrap();
        let receiving = async {
            let error = session.recv().await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot receive from (memory): the peer closed with 1011 (internal error): oops"
            );
            assert!(matches!(error, Error::ClosedByPeer { code: 1011, .. }));
            assert_eq!(session.recv().await.unwrap(), None);
            assert!(session.send("more").await.unwrap_err().is_reset());
        };
        let answered = async {
            let mut answer = vec![0; 4 + key];
            far.read_exact(&mut answer).await.unwrap();
            assert_eq!((answer[0], answer[1] & 0x7f), (0x88, 2));
            far.shutdown().await.unwrap();
        };
        soon(async { tokio::join!(receiving, answered) }).await;
    }
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_which_and_the_connection_ends() {
    for (bytes, code, reason) in [
        ("81 01 61", 1002, "a client's frame is not masked"),
        (
            "81 83 00 00 00 00 61 c3 28",
            1007,
            "a text message is not UTF-8: byte 1 is c3",
        ),
        (
            "82 ff 00 00 00 00 ff ff ff ff",
            1009,
            "a message has more than 16777216 bytes",
        ),
    ] {
        let (mut server, mut far, _) = raw(Side::Accepted);
        far.write_all(&hex(bytes)).await.unwrap();
        // It goes on talking, and is read until it listens.
        far.write_all(&[0; 300_000]).await.unwrap();
        let receiving = async {
            let error = server.recv().await.unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }));
            assert_eq!(
                error.to_string(),
                format!("cannot receive from (memory): {reason}")
            );
        };
        let told = async {
            let mut sent = Vec::new();
            far.read_to_end(&mut sent).await.unwrap();
            let length = u8::try_from(reason.len() + 2).unwrap();
            let expected = [
                &[0x88, length][..],
                &u16::to_be_bytes(code),
                reason.as_bytes(),
            ];
            assert_eq!(sent, expected.concat());
            drop(far);
        };
        soon(async { tokio::join!(receiving, told) }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_breaks_the_rules_and_goes_on_is_left_after_two_seconds() {
    let (mut server, mut far, _) = raw(Side::Accepted);
    far.write_all(&hex("83")).await.unwrap();
    let start = Instant::now();
    let flooding = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if far.write_all(&[0; 1000]).await.is_err() {
                break;
            }
        }
    };
    let receiving = async {
        let error = server.recv().await.unwrap_err();
        assert!(error.to_string().contains("reserved opcode 0x3"), "{error}");
        assert_eq!(start.elapsed().as_secs(), 2);
        drop(server);
    };
    soon_enough(async { tokio::join!(receiving, flooding) }).await;
}

#[tokio::test]
async fn an_end_without_a_close_is_an_error() {
    for (bytes, words) in [
        ("", "the peer closed with 1006 (no close frame)"),
        (
            "81 85 00 00 00 00 61",
            "the peer closed with 1006 (no close frame): a message is cut short",
        ),
    ] {
        let (mut server, mut far, _) = raw(Side::Accepted);
        far.write_all(&hex(bytes)).await.unwrap();
        drop(far);
        let error = soon(server.recv()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot receive from (memory): {words}")
        );
        assert_eq!(server.recv().await.unwrap(), None);
    }
}

#[tokio::test]
async fn after_our_close_an_end_without_one_is_only_noted() {
    let (mut client, mut far, notes) = raw(Side::Dialed);
    let closing = async {
        client.finish().await.unwrap();
        assert_eq!(client.recv().await.unwrap(), None);
    };
    let leaving = async {
        far.read_exact(&mut [0; 8]).await.unwrap();
        drop(far);
    };
    soon(async { tokio::join!(closing, leaving) }).await;
    assert_eq!(
        notes.all(),
        ["(memory) closed without an answer to our close frame"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_is_waited_for_two_seconds() {
    for side in [Side::Accepted, Side::Dialed] {
        let (session, mut far, notes) = raw(side);
        let start = Instant::now();
        soon_enough(session.close()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 2, "{side:?}");
        assert_eq!(
            notes.all(),
            ["(memory) did not answer our close frame within 2s"]
        );
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent[0], 0x88);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_our_close_is_still_received() {
    for is_split in [false, true] {
        let (mut client, mut far, notes) = raw(Side::Dialed);
        let answering = async {
            far.read_exact(&mut [0; 8]).await.unwrap();
            for n in 0..100u8 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let payload = vec![n; 2000];
                far.write_all(&[&hex("82 7e 07 d0")[..], &payload].concat())
                    .await
                    .unwrap();
            }
            far.write_all(&hex("88 02 03 e8")).await.unwrap();
            far.shutdown().await.unwrap();
        };
        let receiving = async {
            let mut received = Vec::new();
            if is_split {
                let (mut receiver, mut sender) = client.split();
                let listening = async {
                    while let Some(message) = receiver.recv().await.unwrap() {
                        received.push(message.data);
                    }
                };
                let (finished, ()) = tokio::join!(sender.finish(), listening);
                finished.unwrap();
            } else {
                client.finish().await.unwrap();
                while let Some(message) = client.recv().await.unwrap() {
                    received.push(message.data);
                }
            }
            received
        };
        let (received, ()) = soon_enough(async { tokio::join!(receiving, answering) }).await;
        let firsts: Vec<_> = received.iter().map(|data| (data[0], data.len())).collect();
        let expected: Vec<_> = (0..100u8).map(|n| (n, 2000)).collect();
        assert_eq!(firsts, expected, "split: {is_split}");
        assert_eq!(notes.all(), [""; 0]);
    }
}

#[tokio::test]
async fn the_last_words_are_ours_to_choose() {
    let (near, far) = duplex(1000);
    let settings = Settings {
        close: Some((4000, "enough".to_owned())),
        ..Settings::default()
    };
    let (server, _) = over_with(near, Side::Accepted, &Agreed::default(), &settings);
    let (mut client, _) = over(far, Side::Dialed);
    let (closed, received) = soon(async { tokio::join!(server.close(), client.recv()) }).await;
    closed.unwrap();
    let error = received.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot receive from (memory): the peer closed with 4000 (an application's code): enough"
    );
}

#[tokio::test]
async fn a_session_that_nobody_finishes_says_goodbye_nevertheless() {
    for (received, sent) in [("", "88 02 03 e9"), ("88 80 00 00 00 00", "88 00")] {
        let (mut server, mut far, _) = raw(Side::Accepted);
        if !received.is_empty() {
            far.write_all(&hex(received)).await.unwrap();
            assert_eq!(server.recv().await.unwrap(), None);
        }
        server.feed("waits").await.unwrap();
        drop(server);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [&b"\x81\x05waits"[..], &hex(sent)].concat());
    }
}

#[tokio::test]
async fn who_stops_gives_what_has_come_and_goes_away() {
    let (mut server, mut far, notes) = raw(Side::Accepted);
    far.write_all(&hex("81 81 00 00 00 00 61")).await.unwrap();
    server.info().stop();
    let stopping = async {
        let last = server.recv().await.unwrap().unwrap();
        assert_eq!(server.recv().await.unwrap(), None);
        server.send(last).await.unwrap();
        server.close().await.unwrap();
    };
    let listening = async {
        let mut sent = vec![0; 7];
        far.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, hex("81 01 61 88 02 03 e9"));
        far.write_all(&hex("88 82 00 00 00 00 03 e9"))
            .await
            .unwrap();
        assert_eq!(far.read(&mut sent).await.unwrap(), 0);
    };
    soon(async { tokio::join!(stopping, listening) }).await;
    assert_eq!(notes.all(), [""; 0]);
}

#[tokio::test]
async fn a_receiver_may_be_dropped_at_any_point() {
    let (mut server, mut far, _) = raw(Side::Accepted);
    let frames = hex("01 83 01 02 03 04 60 60 60 89 80 00 00 00 00 80 82 00 00 00 00 64 65");
    let mut received = Vec::new();
    for byte in frames.repeat(3) {
        far.write_all(&[byte]).await.unwrap();
        if let Poll::Ready(message) = poll!(Box::pin(server.recv())) {
            received.push(message.unwrap().unwrap());
        }
    }
    assert_eq!(received, vec![text("abcde"); 3]);
}

#[tokio::test]
async fn what_was_taken_when_a_send_was_dropped_leaves_whole_and_first() {
    for next in ["sends", "waits"] {
        let (near, mut far) = duplex(16);
        let (mut server, _) = over(near, Side::Accepted);
        assert!(poll!(Box::pin(server.send("x".repeat(100)))).is_pending());
        let going_on = async {
            if next == "sends" {
                server.send("second").await.unwrap();
            }
            server.recv().await
        };
        let length = 102 + 8 * usize::from(next == "sends");
        let mut heard = vec![0; length];
        tokio::select! {
            received = going_on => panic!("{received:?}"),
            read = soon(far.read_exact(&mut heard)) => assert_eq!(read.unwrap(), length),
        }
        assert_eq!(heard[..2], [0x81, 100]);
        assert_eq!(heard[2..102], [b'x'; 100]);
        let rest = [&b"\x81\x06second"[..], b""][usize::from(next == "waits")];
        assert_eq!(heard[102..], *rest);
    }
}

/// Two tasks, a narrow pipe, both directions full: each half waits for the other's work again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_halves_may_belong_to_two_tasks() {
    const COUNT: u32 = 3000;
    let (near, far) = duplex(300);
    let tracker = tokio_util::task::TaskTracker::new();
    let settings = Settings {
        // Often, and still longer than a busy machine lets a task wait.
        ping_interval: Some(Duration::from_millis(50)),
        ..Settings::default()
    };
    let mut all = Vec::new();
    for (io, side) in [(near, Side::Accepted), (far, Side::Dialed)] {
        let (session, _) = over_with(io, side, &Agreed::default(), &settings);
        let (mut receiver, mut sender) = session.split();
        all.push(crate::task::spawn(&tracker, async move {
            for n in 0..COUNT {
                let size = 4 + (n as usize * 7) % 900;
                let mut data = n.to_be_bytes().to_vec();
                data.resize(size, 1);
                sender.send(data).await.unwrap();
            }
            sender.finish().await.unwrap();
            COUNT
        }));
        all.push(crate::task::spawn(&tracker, async move {
            let mut count = 0;
            while let Some(message) = receiver.recv().await.unwrap() {
                assert_eq!(message.data[..4], u32::to_be_bytes(count));
                count += 1;
            }
            count
        }));
    }
    for task in all {
        assert_eq!(soon(task).await.unwrap(), COUNT);
    }
}

#[tokio::test]
async fn another_implementation_at_the_other_end() {
    for side in [Side::Accepted, Side::Dialed] {
        let (near, far) = duplex(1000);
        let role = match side {
            Side::Accepted => TheirRole::Client,
            Side::Dialed => TheirRole::Server,
        };
        let (session, notes) = over(near, side);
        let theirs = async {
            let mut theirs = WebSocketStream::from_raw_socket(far, role, None).await;
            for size in [0, 5, 125, 126, 65535, 65536, 200_000] {
                theirs.send(Theirs::binary(vec![7; size])).await.unwrap();
                theirs
                    .send(Theirs::Ping(vec![1; size.min(125)].into()))
                    .await
                    .unwrap();
                theirs.send(Theirs::text("ü".repeat(size))).await.unwrap();
                let mut came = Vec::new();
                while came.len() < 3 {
                    came.push(theirs.next().await.unwrap().unwrap());
                }
                assert!(came.contains(&Theirs::binary(vec![7; size])), "{size}");
                assert!(
                    came.contains(&Theirs::Pong(vec![1; size.min(125)].into())),
                    "{size}"
                );
                assert!(came.contains(&Theirs::text("ü".repeat(size))), "{size}");
            }
            let close = CloseFrame {
                code: 1000.into(),
                reason: "done".into(),
            };
            theirs.close(Some(close)).await.unwrap();
            let answer = theirs.next().await.unwrap().unwrap();
            assert!(matches!(answer, Theirs::Close(Some(close)) if u16::from(close.code) == 1000));
            assert!(theirs.next().await.is_none());
        };
        let (echoed, ()) = soon(async { tokio::join!(echo(session), theirs) }).await;
        echoed.unwrap();
        assert_eq!(notes.all(), [""; 0]);
    }
}

#[test]
fn an_idle_session_holds_little() {
    let size = size_of::<WsPackets>();
    assert!(size <= 512, "{size} bytes");
}
