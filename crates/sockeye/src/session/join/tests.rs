//! Joins of sessions in memory: packets and bytes, framings, deadlines, processes.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts tasks and waits for them itself"
)]

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use wire::framing::Framing;

use super::*;
use crate::session::{
    Direction, Fate, Identity, Kind, Link, MAX_MESSAGE, Observer, Side, packet_bytes,
};
use crate::stream::ByteStream;

const OPTIONS: JoinOptions = JoinOptions {
    half_open: HALF_OPEN,
};

fn framed(name: &str) -> (Session, Session) {
    Session::pair(name.parse().unwrap())
}

/// To the millisecond or two that the runtime's clock may be late.
#[track_caller]
fn lasted(began: Instant, expected: Duration) {
    let took = began.elapsed();
    let late = took.checked_sub(expected);
    assert!(late.is_some_and(|late| late.as_millis() < 5), "{took:?}");
}

/// Everything that is heard up to the end.
async fn heard(session: &mut Session) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(message) = session.recv().await.unwrap() {
        all.push(message);
    }
    all
}

fn payloads(messages: Vec<Message>) -> Vec<Bytes> {
    messages.into_iter().map(|message| message.data).collect()
}

/// Says all of `said` from one side and gives what the other side hears.
async fn through(
    (mut first, near): (Session, Session),
    (far, mut second): (Session, Session),
    said: Vec<Message>,
) -> (Vec<Message>, Result<Traffic>) {
    let joined = tokio::spawn(near.join(far, OPTIONS));
    let saying = async {
        for message in said {
            first.send(message).await.unwrap();
        }
        first.finish().await.unwrap();
        heard(&mut first).await
    };
    let hearing = async {
        let all = heard(&mut second).await;
        second.finish().await.unwrap();
        all
    };
    let (nothing, all) = tokio::join!(saying, hearing);
    assert_eq!(nothing, []);
    (all, joined.await.unwrap())
}

fn text(text: &str) -> Message {
    text.into()
}

fn binary(data: &[u8]) -> Message {
    data.to_vec().into()
}

#[tokio::test]
async fn packets_keep_their_boundaries_and_their_kind() {
    let said = || {
        vec![
            text("one"),
            binary(b"\x00\xff"),
            text(""),
            binary(b""),
            text("三"),
        ]
    };
    let packets = Session::packet_pair;
    let (all, joined) = through(packets(), packets(), said()).await;
    assert_eq!(all, said());
    assert_eq!(joined.unwrap(), Traffic { forth: 8, back: 0 });
    // The other way round.
    let (near, first) = packets();
    let (second, far) = packets();
    let (all, joined) = through((far, second), (near, first), said()).await;
    assert_eq!((all, joined.unwrap().forth), (said(), 8));
}

#[tokio::test]
async fn packets_become_bytes_and_reads_become_packets() {
    let said = vec![text("one"), text(""), text("two")];
    let (all, _) = through(Session::packet_pair(), framed("raw"), said).await;
    assert_eq!(payloads(all).concat(), b"onetwo");

    let (mut first, near) = framed("raw");
    let (far, mut second) = Session::packet_pair();
    let joined = tokio::spawn(near.join(far, OPTIONS));
    for said in ["one", "two"] {
        first.send(said).await.unwrap();
        let message = second.recv().await.unwrap().unwrap();
        assert_eq!(
            (&message.data[..], message.kind),
            (said.as_bytes(), Kind::Binary)
        );
    }
    drop((first, second));
    joined.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_read_that_no_datagram_holds_becomes_several() {
    let data: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let (all, joined) = through(framed("raw"), Session::packet_pair(), vec![binary(&data)]).await;
    assert!(all.iter().all(|message| message.data.len() <= 65_507));
    assert_eq!(payloads(all).concat(), data);
    assert_eq!(joined.unwrap().forth, 200_000);
}

#[tokio::test]
async fn marks_stand_for_boundaries_on_byte_streams() {
    let said = vec![text("one"), text(""), text("three")];
    let expected = ["one", "", "three"];
    for (from, to) in [
        (framed("line"), Session::packet_pair()),
        (Session::packet_pair(), framed("length:u16be")),
        (framed("line"), framed("length:u8")),
        (framed("line"), framed("line")),
    ] {
        let (all, joined) = through(from, to, said.clone()).await;
        assert_eq!(payloads(all), expected);
        joined.unwrap();
    }
    // A message that somebody sent as one is not cut, whatever its size.
    let long = vec![binary(&[b'x'; 100_000])];
    let (all, _) = through(framed("line"), Session::packet_pair(), long).await;
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn between_equal_framings_bytes_go_through_as_they_are() {
    let (mut first, near) = framed("line");
    let (far, mut second) = framed("line");
    let joined = tokio::spawn(near.join(far, OPTIONS));
    // No line end comes, and no line is waited for.
    first.reframe(Framing::Raw);
    second.reframe(Framing::Raw);
    first.send("half a li").await.unwrap();
    assert_eq!(second.recv().await.unwrap().unwrap().data, "half a li");
    drop((first, second));
    joined.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_fit_the_framing_ends_both() {
    let (mut first, near) = framed("raw");
    let (far, second) = Session::packet_pair();
    let mut near = near;
    near.reframe("fixed:4".parse().unwrap());
    let joined = tokio::spawn(near.join(far, OPTIONS));
    first.send("123456").await.unwrap();
    first.finish().await.unwrap();
    let error = joined.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Framing { .. }), "{error}");
    let mut second = second;
    assert_eq!(payloads(heard(&mut second).await), ["1234"]);
}

#[tokio::test]
async fn both_sessions_count_what_went_through() {
    for (from, to) in [
        (framed("raw"), framed("raw")),
        (framed("raw"), Session::packet_pair()),
        (Session::packet_pair(), Session::packet_pair()),
    ] {
        let infos = [from.1.info().clone(), to.0.info().clone()];
        through(from, to, vec![text("question")]).await.1.unwrap();
        let [near, far] = infos.map(|info| {
            assert!(info.peer_has_finished());
            let counters = info.counters();
            [
                counters.bytes_in(),
                counters.messages_in(),
                counters.bytes_out(),
                counters.messages_out(),
            ]
        });
        assert_eq!((near, far), ([8, 1, 0, 0], [0, 0, 8, 1]));
    }
}

#[derive(Default)]
struct Watcher(Mutex<Vec<String>>);

impl Observer for Watcher {
    fn message(&self, info: &Info, direction: Direction, message: &Message) {
        let data = String::from_utf8_lossy(&message.data);
        let line = format!("{} {direction:?} {data}", info.protocol());
        self.0.lock().unwrap().push(line);
    }

    fn wants_messages(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn who_watches_sees_what_passes() {
    for packets in [false, true] {
        let watcher = Arc::new(Watcher::default());
        let watched = |protocol| {
            let name = crate::session::Endpoint::Memory;
            Identity::new(Side::Accepted, protocol, name.clone(), name)
                .observer(Some(watcher.clone()))
        };
        let (far, near) = tokio::io::duplex(1024);
        let link = Link::Bytes(ByteStream::new(near), Framing::Raw);
        let near = Session::new(link, watched("near"), MAX_MESSAGE);
        let link = Link::Bytes(ByteStream::new(far), Framing::Raw);
        let first = Session::new(link, Identity::in_memory(Side::Dialed), MAX_MESSAGE);
        let to = if packets {
            let (one, two) = packet_bytes::pair();
            let one = Session::new(Link::Packets(Box::new(one)), watched("far"), MAX_MESSAGE);
            let two = Link::Packets(Box::new(two));
            (
                one,
                Session::new(two, Identity::in_memory(Side::Dialed), MAX_MESSAGE),
            )
        } else {
            framed("raw")
        };
        through((first, near), to, vec![text("hi")])
            .await
            .1
            .unwrap();
        let seen = watcher.0.lock().unwrap().join(", ");
        let expected = if packets {
            "near In hi, far Out hi"
        } else {
            "near In hi"
        };
        assert_eq!(seen, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn half_open_streams_are_given_up_after_silence() {
    let (mut first, near) = framed("raw");
    let (far, _second) = framed("raw");
    let began = Instant::now();
    let joined = tokio::spawn(near.join(far, OPTIONS));
    first.finish().await.unwrap();
    let error = joined.await.unwrap().unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::TimedOut));
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn half_open_packets_are_given_up_after_silence() {
    let (mut first, near) = Session::packet_pair();
    let (far, mut second) = Session::packet_pair();
    let began = Instant::now();
    let joined = tokio::spawn(near.join(far, OPTIONS));
    first.finish().await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    second.send("still here").await.unwrap();
    let error = joined.await.unwrap().unwrap_err();
    let told = "cannot receive from (memory): no answer within 60s";
    assert_eq!(error.to_string(), told);
    assert_eq!(began.elapsed().as_secs(), 59 + 60);
    assert_eq!(payloads(heard(&mut first).await), ["still here"]);
}

/// A session over packets that says it runs over `protocol`.
fn packets_over(protocol: &'static str) -> (Session, Session) {
    let (near, far) = packet_bytes::pair();
    let name = crate::session::Endpoint::Memory;
    let identity = Identity::new(Side::Dialed, protocol, name.clone(), name);
    let far = Session::new(
        Link::Packets(Box::new(far)),
        Identity::in_memory(Side::Accepted),
        MAX_MESSAGE,
    );
    (
        Session::new(Link::Packets(Box::new(near)), identity, MAX_MESSAGE),
        far,
    )
}

#[tokio::test(start_paused = true)]
async fn what_has_no_end_is_listened_to_for_a_second() {
    for half_open in [HALF_OPEN, Duration::from_millis(300)] {
        let (mut first, near) = framed("raw");
        let (far, mut second) = packets_over("udp");
        let began = Instant::now();
        let joined = tokio::spawn(near.join(far, JoinOptions { half_open }));
        first.send("question").await.unwrap();
        first.finish().await.unwrap();
        assert_eq!(second.recv().await.unwrap().unwrap().data, "question");
        tokio::time::sleep(half_open.min(LINGER) / 2).await;
        second.send("answer").await.unwrap();
        assert_eq!(payloads(heard(&mut first).await), ["answer"]);
        joined.await.unwrap().unwrap();
        lasted(began, half_open.min(LINGER) * 3 / 2);
    }
}

#[tokio::test]
async fn silence_of_a_datagram_peer_is_its_end() {
    let (first, near) = packets_over("udp");
    let (far, mut second) = framed("raw");
    // As the port does it: the flag, then the end of the queue.
    first.info().expire();
    drop(near);
    let joined = first.join(far, OPTIONS);
    let (joined, all) = tokio::join!(joined, heard(&mut second));
    assert_eq!((joined.unwrap().forth, all), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn when_stopping_nobody_is_waited_for() {
    for packets in [false, true] {
        let (_first, near) = framed("raw");
        let (far, second) = if packets {
            Session::packet_pair()
        } else {
            framed("raw")
        };
        near.info().stop();
        let began = Instant::now();
        near.join(far, OPTIONS).await.unwrap();
        lasted(began, STOPPING);
        drop(second);
    }
}

/// A session with a process, the process's end of it, and its exit.
fn process(framing: &str) -> (Session, Session, watch::Sender<Option<ExitStatus>>) {
    let (exit, told) = watch::channel(None);
    let (near, far) = tokio::io::duplex(1024);
    let identity = Identity::in_memory(Side::Dialed).fate(Fate::new("prog", told));
    let link = Link::Bytes(ByteStream::new(near), framing.parse().unwrap());
    let near = Session::new(link, identity, MAX_MESSAGE);
    let link = Link::Bytes(ByteStream::new(far), Framing::Raw);
    let far = Session::new(link, Identity::in_memory(Side::Accepted), MAX_MESSAGE);
    (near, far, exit)
}

/// `wait(2)` status of an exit code.
fn exit_code(code: i32) -> Option<ExitStatus> {
    Some(ExitStatus::from_raw(code << 8))
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_ends_the_join_as_soon_as_all_of_it_is_read() {
    for framing in ["raw", "line"] {
        let (mut first, near) = framed("raw");
        let (far, mut prog, exit) = process(framing);
        let joined = tokio::spawn(near.join(far, OPTIONS));
        prog.send("result\n").await.unwrap();
        exit.send_replace(exit_code(0));
        drop(prog);
        // The first never finishes, and need not.
        let expected = if framing == "raw" {
            "result\n"
        } else {
            "result"
        };
        assert_eq!(payloads(heard(&mut first).await), [expected]);
        let began = Instant::now();
        joined.await.unwrap().unwrap();
        assert!(began.elapsed() <= DRAIN);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_may_work_as_long_as_it_likes_and_its_exit_code_counts() {
    let (mut first, near) = framed("raw");
    let (far, mut prog, exit) = process("raw");
    let joined = tokio::spawn(near.join(far, OPTIONS));
    first.send("work").await.unwrap();
    first.finish().await.unwrap();
    assert_eq!(payloads(heard(&mut prog).await), ["work"]);
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    prog.send("done").await.unwrap();
    prog.finish().await.unwrap();
    assert_eq!(payloads(heard(&mut first).await), ["done"]);
    // It has said all, and is still at work.
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    assert!(!joined.is_finished());
    exit.send_replace(exit_code(3));
    let error = joined.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "`prog` exited with code 3");
}

#[tokio::test]
async fn a_process_that_reads_no_more_has_not_failed_by_that() {
    for framing in ["raw", "line"] {
        let (mut first, near) = framed("raw");
        let (far, prog, exit) = process(framing);
        drop(prog);
        let joined = tokio::spawn(near.join(far, OPTIONS));
        first.send("more than it wants").await.unwrap();
        assert_eq!(heard(&mut first).await, []);
        exit.send_replace(exit_code(0));
        joined.await.unwrap().unwrap();
    }
}

#[test]
fn the_end_of_a_process_is_told_in_words() {
    let told = |status: i32| {
        let (_exit, told) = watch::channel(Some(ExitStatus::from_raw(status)));
        let fate = Fate::new("a b", told);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(fate.verdict())
    };
    assert!(told(0).is_ok());
    let error = |status| told(status).unwrap_err().to_string();
    assert_eq!(error(7 << 8), "`a b` exited with code 7");
    assert_eq!(error(9), "`a b` was ended by signal 9");
}
