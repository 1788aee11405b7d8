//! Joins between real sockets and in memory: ends, deadlines, breaks, bulk, and what rests in them.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts tasks and waits for them itself"
)]

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::stream::AsyncIo;

/// Nothing here may take longer.
const LONG: Duration = Duration::from_secs(30);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("it hangs")
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Somebody to talk to, and the stream that leads there.
struct Far(Box<dyn AsyncIo>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Carrier {
    Tcp,
    Unix,
    Memory,
}

async fn end(carrier: Carrier) -> (Far, ByteStream) {
    match carrier {
        Carrier::Tcp => {
            let (far, near) = tcp_pair().await;
            (Far(Box::new(far)), near.into())
        }
        Carrier::Unix => {
            let (far, near) = UnixStream::pair().unwrap();
            (Far(Box::new(far)), near.into())
        }
        Carrier::Memory => {
            let (far, near) = duplex(64 * 1024);
            (Far(Box::new(far)), ByteStream::new(near))
        }
    }
}

const PAIRS: [(Carrier, Carrier); 6] = [
    (Carrier::Tcp, Carrier::Tcp),
    (Carrier::Tcp, Carrier::Unix),
    (Carrier::Unix, Carrier::Tcp),
    (Carrier::Unix, Carrier::Unix),
    (Carrier::Memory, Carrier::Tcp),
    (Carrier::Memory, Carrier::Memory),
];

impl Far {
    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn hear(&mut self, text: &str) {
        let mut heard = vec![0; text.len()];
        within(self.0.read_exact(&mut heard)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), text);
    }

    async fn hear_the_end(&mut self) {
        let mut rest = Vec::new();
        within(self.0.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"");
    }

    async fn finish(&mut self) {
        self.0.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn either_end_may_finish_first_and_still_hears_the_other() {
    for (one, two) in PAIRS {
        for swapped in [false, true] {
            let ((mut first, near), (mut second, far)) = (end(one).await, end(two).await);
            let joined = tokio::spawn(near.join(far, HALF_OPEN));
            let (asks, answers) = match swapped {
                false => (&mut first, &mut second),
                true => (&mut second, &mut first),
            };
            asks.say("question").await;
            asks.finish().await;
            answers.hear("question").await;
            answers.hear_the_end().await;
            answers.say("a long ").await;
            asks.hear("a long ").await;
            answers.say("answer").await;
            answers.finish().await;
            asks.hear("answer").await;
            asks.hear_the_end().await;
            let (forth, back) = if swapped { (13, 8) } else { (8, 13) };
            let traffic = within(joined).await.unwrap().unwrap();
            assert_eq!(traffic, Traffic { forth, back }, "{one:?} {two:?}");
        }
    }
}

#[tokio::test]
async fn what_was_read_ahead_goes_first() {
    for (one, two) in PAIRS {
        let ((mut first, mut near), (mut second, far)) = (end(one).await, end(two).await);
        near.head = BytesMut::from(&b"read ahead, "[..]);
        first.say("read later").await;
        let joined = tokio::spawn(near.join(far, HALF_OPEN));
        second.hear("read ahead, read later").await;
        first.finish().await;
        second.finish().await;
        assert_eq!(within(joined).await.unwrap().unwrap().forth, 22);
    }
}

/// Bytes whose place can be told: the length is a prime, so that no buffer's size divides it.
fn pattern() -> Vec<u8> {
    let mut state = 1_u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(65_521).collect()
}

/// Sends `size` bytes, then the end.
async fn pour(io: &mut (impl AsyncWrite + Unpin), size: usize) {
    let pattern = pattern();
    let mut left = size;
    while left > 0 {
        let n = left.min(pattern.len());
        io.write_all(&pattern[..n]).await.unwrap();
        left -= n;
    }
    io.shutdown().await.unwrap();
}

/// Compares every byte up to the end; gives how many came.
async fn drink(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> usize {
    let pattern = [pattern(), pattern()].concat();
    let mut buffer = vec![0; 50_000];
    let mut all = 0;
    loop {
        let n = io.read(&mut buffer).await.unwrap();
        if n == 0 {
            return all;
        }
        let from = all % 65_521;
        assert!(buffer[..n] == pattern[from..from + n], "wrong after {all}");
        all += n;
    }
}

async fn pour_both_ways(one: Carrier, two: Carrier, size: usize) {
    let ((first, near), (second, far)) = (end(one).await, end(two).await);
    let joined = tokio::spawn(near.join(far, HALF_OPEN));
    let ((mut from_first, mut to_first), (mut from_second, mut to_second)) =
        (tokio::io::split(first.0), tokio::io::split(second.0));
    let both = async {
        tokio::join!(
            pour(&mut to_first, size),
            pour(&mut to_second, size),
            drink(&mut from_first),
            drink(&mut from_second),
        )
    };
    let (_, _, forth, back) = within(both).await;
    assert_eq!((forth, back), (size, size));
    let size = size as u64;
    let traffic = within(joined).await.unwrap().unwrap();
    assert_eq!(
        traffic,
        Traffic {
            forth: size,
            back: size
        }
    );
}

#[tokio::test]
async fn a_hundred_megabytes_each_way_between_tcp_peers() {
    pour_both_ways(Carrier::Tcp, Carrier::Tcp, 100 << 20).await;
    assert!(pipe::kept() > 0, "it was spliced, and the pipes were kept");
}

#[tokio::test]
async fn a_hundred_megabytes_each_way_between_tcp_and_unix() {
    pour_both_ways(Carrier::Tcp, Carrier::Unix, 100 << 20).await;
    assert!(pipe::kept() > 0, "it was spliced, and the pipes were kept");
}

#[tokio::test]
async fn a_hundred_megabytes_each_way_by_copying() {
    pour_both_ways(Carrier::Memory, Carrier::Tcp, 100 << 20).await;
    assert_eq!(pipe::kept(), 0, "there is nothing to be spliced");
}

#[tokio::test]
async fn sizes_around_the_change_from_copying_to_splicing() {
    for size in [0, 1, 262_143, 262_144, 262_145, 1 << 20, (1 << 20) + 1] {
        pour_both_ways(Carrier::Tcp, Carrier::Tcp, size).await;
    }
}

/// Polls a join until nothing moves any more.
async fn settle(joint: &mut Joint) {
    for _ in 0..20 {
        let polling = poll_fn(|cx| joint.poll(cx, [State::default(); 2], |_| Some(HALF_OPEN)));
        let polled = tokio::time::timeout(Duration::from_millis(10), polling).await;
        assert!(polled.is_err(), "{polled:?}");
    }
}

#[tokio::test]
async fn a_join_that_rests_holds_neither_buffers_nor_pipes() {
    for (one, two) in PAIRS {
        let ((mut first, near), (mut second, far)) = (end(one).await, end(two).await);
        let mut joint = Joint::new(near, far);
        let moved = async {
            let pouring = async {
                let data = vec![7; 1 << 20];
                first.0.write_all(&data).await.unwrap();
            };
            let drinking = async {
                let mut data = vec![0; 1 << 20];
                second.0.read_exact(&mut data).await.unwrap();
            };
            tokio::join!(pouring, drinking)
        };
        tokio::select! {
            ended = poll_fn(|cx| joint.poll(cx, [State::default(); 2], |_| None)) => panic!("{ended:?}"),
            _ = within(moved) => {}
        }
        settle(&mut joint).await;
        for side in [0, 1] {
            assert!(joint.flows[side].pipe.is_none(), "{one:?} {two:?}");
            assert_eq!(joint.ends[side].head.capacity(), 0, "{one:?} {two:?}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_makes_the_writer_wait() {
    for (one, two) in PAIRS {
        let ((mut first, near), (mut second, far)) = (end(one).await, end(two).await);
        let joined = tokio::spawn(near.join(far, HALF_OPEN));
        let chunk = [5; 64 * 1024];
        let mut taken = 0;
        // What is taken is bounded by the sockets' buffers, one pipe and one read.
        while let Ok(written) =
            tokio::time::timeout(Duration::from_millis(300), first.0.write(&chunk)).await
        {
            taken += written.unwrap();
            assert!(taken < 64 << 20, "{one:?} {two:?}");
        }
        // Nothing of it is lost.
        let rest = tokio::spawn(async move {
            first.finish().await;
            first
        });
        let mut all = Vec::new();
        within(second.0.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.len(), taken);
        assert!(all.iter().all(|byte| *byte == 5));
        second.finish().await;
        drop(within(rest).await.unwrap());
        within(joined).await.unwrap().unwrap();
    }
}

fn memory() -> (DuplexStream, ByteStream) {
    let (far, near) = duplex(1024);
    (far, ByteStream::new(near))
}

#[tokio::test(start_paused = true)]
async fn half_open_it_lives_as_long_as_there_is_data() {
    let ((mut first, near), (mut second, far)) = (memory(), memory());
    let began = Instant::now();
    let joined = tokio::spawn(near.join(far, Duration::from_secs(60)));
    // Silence counts only from the first end on.
    tokio::time::sleep(Duration::from_secs(500)).await;
    first.shutdown().await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(59)).await;
        second.write_all(b"x").await.unwrap();
    }
    let traffic = joined.await.unwrap().unwrap();
    assert_eq!(traffic, Traffic { forth: 0, back: 3 });
    assert_eq!(began.elapsed().as_secs(), 500 + 3 * 59 + 60);
    // Both are closed.
    let mut rest = Vec::new();
    assert_eq!(second.read_to_end(&mut rest).await.unwrap(), 0);
    assert_eq!(first.read_to_end(&mut rest).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_an_end_nothing_is_ever_given_up() {
    let ((first, near), (second, far)) = (memory(), memory());
    let joined = tokio::spawn(near.join(far, Duration::from_secs(60)));
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    assert!(!joined.is_finished());
    drop((first, second));
    joined.await.unwrap().unwrap();
}

#[tokio::test]
async fn half_open_and_given_up_nobody_takes_it_for_an_end() {
    let ((mut first, near), (second, far)) = (tcp_pair().await, tcp_pair().await);
    first.shutdown().await.unwrap();
    let joined = ByteStream::from(near).join(far.into(), Duration::from_millis(50));
    within(joined).await.unwrap();
    for mut peer in [first, second] {
        let mut rest = Vec::new();
        let read = within(peer.read_to_end(&mut rest)).await;
        // The second has heard the end of the first, and the reset comes behind it.
        let failed = match read {
            Ok(_) => peer.take_error().unwrap().map(|error| error.kind()),
            Err(error) => Some(error.kind()),
        };
        assert!(
            matches!(
                failed,
                Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            ),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_reset_is_passed_on_as_one() {
    for (carrier, resets_first) in [
        (Carrier::Tcp, true),
        (Carrier::Tcp, false),
        (Carrier::Memory, true),
    ] {
        let (mut first, near) = tcp_pair().await;
        let (mut second, far) = end(carrier).await;
        let joined = match resets_first {
            true => tokio::spawn(ByteStream::from(near).join(far, HALF_OPEN)),
            false => tokio::spawn(far.join(near.into(), HALF_OPEN)),
        };
        first.write_all(b"half of").await.unwrap();
        second.hear("half of").await;
        first.set_zero_linger().unwrap();
        drop(first);
        let error = within(joined).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut rest = Vec::new();
        let read = within(second.0.read_to_end(&mut rest)).await;
        match carrier {
            Carrier::Tcp => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset),
            // Memory has no word for it.
            _ => assert_eq!(read.unwrap(), 0),
        }
    }
}

#[tokio::test]
async fn who_takes_no_more_may_still_say_why() {
    // The second answers, finishes and closes without having read: what it said must arrive.
    let ((mut first, near), (mut second, far)) = (tcp_pair().await, tcp_pair().await);
    let joined = tokio::spawn(ByteStream::from(near).join(far.into(), HALF_OPEN));
    first.write_all(&[1; 1000]).await.unwrap();
    second.readable().await.unwrap();
    second.write_all(b"go away").await.unwrap();
    second.shutdown().await.unwrap();
    drop(second);
    let mut heard = [0; 7];
    within(first.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"go away");
    // It goes on writing to somebody who is not there, and is told.
    let chunk = [1; 64 * 1024];
    let told = async { while first.write_all(&chunk).await.is_ok() {} };
    within(told).await;
    assert!(within(joined).await.unwrap().is_err());
}

#[tokio::test]
async fn when_stopping_what_has_arrived_is_still_passed_on() {
    for (one, two) in PAIRS {
        let ((mut first, near), (mut second, far)) = (end(one).await, end(two).await);
        first.say("the last words").await;
        let mut joint = Joint::new(near, far);
        let stopping = State {
            stopping: true,
            gone: false,
        };
        let ended = poll_fn(|cx| joint.poll(cx, [stopping, State::default()], |_| None));
        let heard = async {
            second.hear("the last words").await;
            second.hear_the_end().await;
            second.say("goodbye").await;
            second.finish().await;
        };
        let (ended, ()) = within(async { tokio::join!(ended, heard) }).await;
        assert!(matches!(ended, Ended::Both));
        assert!(!joint.has_finished(0) && joint.has_finished(1));
        assert!(joint.close(ended, Duration::ZERO).await.is_none());
        first.hear("goodbye").await;
        first.hear_the_end().await;
    }
}

#[tokio::test]
async fn nothing_is_waited_for_once_the_other_end_is_gone() {
    let ((mut first, near), (mut second, far)) = (tcp_pair().await, memory());
    second.write_all(b"result").await.unwrap();
    let mut joint = Joint::new(near.into(), far);
    let gone = State {
        stopping: false,
        gone: true,
    };
    // Gone, but not all of what it said was read: the first must get it.
    let polled = poll_fn(|cx| Poll::Ready(joint.poll(cx, [State::default(), gone], |_| None)));
    assert!(polled.await.is_pending());
    drop(second);
    let ended = poll_fn(|cx| joint.poll(cx, [State::default(), gone], |_| None));
    let ended = within(ended).await;
    assert!(matches!(ended, Ended::Both));
    first.write_all(b"unread").await.unwrap();
    let close = tokio::spawn(joint.close(ended, DRAIN));
    let mut heard = Vec::new();
    within(first.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"result");
    drop(first);
    assert!(within(close).await.unwrap().is_none());
}

#[tokio::test]
async fn where_splicing_is_not_possible_it_is_copied() {
    let ((mut first, near), (mut second, far)) = (memory(), memory());
    let mut joint = Joint::new(near, far);
    for flow in &mut joint.flows {
        flow.splices = true;
    }
    let size = 1 << 20;
    let joined = async {
        let ended = poll_fn(|cx| joint.poll(cx, [State::default(); 2], |_| None)).await;
        assert!(matches!(ended, Ended::Both));
    };
    let drinking = async {
        let n = drink(&mut second).await;
        second.shutdown().await.unwrap();
        n
    };
    let all = async { tokio::join!(joined, pour(&mut first, size), drinking) };
    assert_eq!(within(all).await.2, size);
    assert!(!joint.flows[0].splices);
}
