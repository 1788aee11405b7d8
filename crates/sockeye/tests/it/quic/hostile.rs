//! What a port bears that is meant to harm it: it is bounded, it is told of once, and plain datagrams on the same number
//! go on.

use super::*;
use crate::stage::Event;

/// A socket of nobody's that sends plain datagrams.
async fn plain(quic: &Quic) -> tokio::net::UdpSocket {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(quic.at()).await.unwrap();
    socket
}

/// Everybody who means well is served.
async fn all_goes_on(quic: &Quic, session: &mut Session) {
    exchange(session, "still here").await;
    let mut newcomer = quic.dial().await;
    exchange(&mut newcomer, "come later").await;
    let plain = plain(quic).await;
    plain.send("你好".as_bytes()).await.unwrap();
    let mut answer = [0; 100];
    let n = within(plain.recv(&mut answer)).await.unwrap();
    assert_eq!(&answer[..n], "你好".as_bytes());
}

/// How many notes contain `part`.
fn notes(events: &[Event], part: &str) -> usize {
    let told = |event: &&Event| matches!(event, Event::Note(note) if note.contains(part));
    events.iter().filter(told).count()
}

#[tokio::test]
async fn broken_packets_are_counted_and_told_of_once() {
    const BROKEN: usize = 300;
    let mut quic = Quic::echo().await;
    let mut session = quic.dial().await;
    exchange(&mut session, "before").await;
    let first = quic.first_packet().await;
    let socket = plain(&quic).await;
    for number in 0..BROKEN {
        let mut packet = first.clone();
        // Another connection each, whose keys do not fit what is inside (RFC 9001, section 5.2): the id begins behind
        // the first byte, the version and its length.
        packet[6..8].copy_from_slice(&(number as u16).to_be_bytes());
        socket.send(&packet).await.unwrap();
        // What is cut off is no packet any more, and nobody is told of it.
        socket.send(&packet[..1100 - number]).await.unwrap();
        let mut answer = [0; 2000];
        let n = within(socket.recv(&mut answer)).await.unwrap();
        assert_eq!(answer[..n], packet[..1100 - number]);
    }
    all_goes_on(&quic, &mut session).await;
    assert_eq!(notes(&quic.stage.events.so_far(), "none of QUIC's"), 1);
    quic.stage.stop.cancel();
    // Most are thrown away before that: two bits that are hidden by the keys must be zero (RFC 9000, section 17.2).
    let sum = quic.stage.events.note("none of QUIC's").await;
    let (more, _) = sum.split_once(" more ").unwrap();
    assert!((1..BROKEN).contains(&more.parse().unwrap()), "{sum}");
    quic.stage.end().await;
}

#[tokio::test]
async fn a_first_packet_that_is_replayed_makes_one_connection() {
    let mut quic = Quic::echo().await;
    let mut session = quic.dial().await;
    exchange(&mut session, "before").await;
    quic.stage.events.opened().await;
    let first = quic.first_packet().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let socket = plain(&quic).await;
        for _ in 0..20 {
            socket.send(&first).await.unwrap();
        }
        sockets.push(socket);
    }
    all_goes_on(&quic, &mut session).await;
    // RFC 9000, section 8.1: nobody gets more than three times of what came.
    let mut answered = 0;
    let mut answer = [0; 2000];
    for socket in &sockets {
        while let Ok(n) = socket.try_recv(&mut answer) {
            assert_ne!(answer[..n], first, "it was taken for a plain datagram");
            answered += n;
        }
    }
    assert!(answered <= 3 * 400 * first.len(), "{answered}");
    drop(session);
    quic.stage.end().await;
}

#[tokio::test]
async fn early_data_that_is_replayed_finds_nobody() {
    let quic = Quic::echo().await;
    let mut session = quic.dial().await;
    let first = quic.first_packet().await;
    // RFC 9000, section 17.2.3: 0-RTT, to the id that the first packet goes to, or to another one.
    let to = |id: &[u8]| {
        let mut packet = vec![0xd0, 0, 0, 0, 1, id.len() as u8];
        packet.extend(id);
        packet.extend(b"\x00\x44\x00");
        packet.resize(1200, 0x55);
        packet
    };
    let known = to(&first[6..6 + usize::from(first[5])]);
    let unknown = to(b"nobody's");
    let socket = plain(&quic).await;
    socket.send(&first).await.unwrap();
    for _ in 0..200 {
        socket.send(&known).await.unwrap();
    }
    // Nobody has been given that id: it is what somebody says.
    socket.send(&unknown).await.unwrap();
    let mut answer = vec![0; 2000];
    loop {
        let n = within(socket.recv(&mut answer)).await.unwrap();
        assert_ne!(answer[..n], known, "it was taken for a plain datagram");
        if answer[..n] == unknown {
            break;
        }
        // The handshake, whose packets have long headers.
        assert_eq!(answer[..5], [answer[0] | 0x80, 0, 0, 0, 1]);
    }
    all_goes_on(&quic, &mut session).await;
    quic.stage.end().await;
}

#[tokio::test]
async fn so_many_streams_are_open_at_once_and_no_more() {
    const STREAMS: usize = 256;
    let quic = Quic::echo().await;
    let mut session = quic.dial().await;
    let connection = quic.stranger().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let (mut out, into) = within(connection.open_bi()).await.unwrap();
        out.write_all(b"a").await.unwrap();
        streams.push((out, into));
    }
    {
        let mut more = std::pin::pin!(connection.open_bi());
        let opened = tokio::select! {
            biased;
            _ = &mut more => true,
            () = all_goes_on(&quic, &mut session) => false,
        };
        assert!(!opened, "one stream too many");
    }
    // As soon as they have ended, others may come.
    for (mut out, mut into) in streams {
        out.finish().unwrap();
        assert_eq!(within(into.read_to_end(10)).await.unwrap(), b"a");
    }
    let (mut out, mut into) = within(connection.open_bi()).await.unwrap();
    out.write_all(b"b").await.unwrap();
    out.finish().unwrap();
    assert_eq!(within(into.read_to_end(10)).await.unwrap(), b"b");
    quic.stage.end().await;
}

/// `POST https://localhost/`, in entries of the table and one literal.
const POST: &[u8] = b"\x01\x10\x00\x00\xd4\xd7\xc1\x50\x09localhost";

#[tokio::test]
async fn what_is_reset_at_once_leaves_nothing_behind() {
    const STREAMS: usize = 1000;
    for begin in [&b"a"[..], POST] {
        let mut quic = Quic::echo().await;
        let connection = match begin {
            POST => quic.stranger_of_http().await,
            _ => quic.stranger().await,
        };
        for _ in 0..STREAMS {
            let (mut out, mut into) = within(connection.open_bi()).await.unwrap();
            out.write_all(begin).await.unwrap();
            out.reset(VarInt::from_u32(7)).unwrap();
            into.stop(VarInt::from_u32(7)).unwrap();
        }
        let mut session = quic.dial().await;
        all_goes_on(&quic, &mut session).await;
        drop(session);
        assert_eq!(connection.close_reason(), None);
        connection.close(VarInt::from_u32(0), b"");
        quic.stage.stop.cancel();
        within(quic.stage.serving).await.unwrap().unwrap();
        let events = quic.stage.events.so_far();
        let opened = events
            .iter()
            .filter(|event| matches!(event, Event::Opened(_)));
        let closed = events
            .iter()
            .filter(|event| matches!(event, Event::Closed(_)));
        let (opened, closed) = (opened.count(), closed.count());
        assert_eq!(opened, closed);
        assert!(opened <= STREAMS + 3, "{opened}");
    }
}

#[tokio::test]
async fn those_who_come_and_go_at_once_leave_room() {
    let quic = Quic::echo().await;
    let mut session = quic.dial().await;
    for _ in 0..4 {
        let crowd: Vec<_> = (0..50).map(|_| quic.knock()).collect();
        for one in crowd {
            // Half of a handshake, all of it, or none: whatever has become of it by now.
            drop(one);
        }
    }
    for _ in 0..50 {
        let connection = quic.stranger().await;
        connection.close(VarInt::from_u32(0), b"");
    }
    all_goes_on(&quic, &mut session).await;
    quic.stage.end().await;
}

/// Sends bytes as a request and gives what comes back, or why nothing does.
async fn asked(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, quinn::ReadToEndError> {
    let (mut out, mut into) = within(connection.open_bi()).await.unwrap();
    // It may be stopped before all is written.
    let _ = within(out.write_all(bytes)).await;
    let _ = out.finish();
    within(into.read_to_end(1 << 20)).await
}

#[tokio::test]
async fn a_frame_that_has_no_end_is_not_kept() {
    let mut quic = Quic::echo().await;
    let mut session = quic.dial().await;
    // HEADERS, and a frame that nobody knows: 2^30 - 1 bytes are to come. On the control stream: SETTINGS.
    for begin in [
        &b"\x01\xbf\xff\xff\xff"[..],
        b"\x21\xbf\xff\xff\xff",
        b"\x00\x04\xbf\xff\xff\xff",
    ] {
        let connection = quic.stranger_of_http().await;
        let control = begin.len() == 6;
        let mut out = match control {
            true => within(connection.open_uni()).await.unwrap(),
            false => within(connection.open_bi()).await.unwrap().0,
        };
        out.write_all(begin).await.unwrap();
        match within(connection.closed()).await {
            // RFC 9114, section 8.1: H3_EXCESSIVE_LOAD.
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, VarInt::from_u32(0x107), "{close}");
            }
            other => panic!("{other}"),
        }
        quic.stage.events.note("a frame is longer than ").await;
    }
    all_goes_on(&quic, &mut session).await;
    assert_eq!(
        notes(&quic.stage.events.so_far(), "a frame is longer than "),
        0
    );
    quic.stage.end().await;
}

#[tokio::test]
async fn fields_that_unfold_are_limited() {
    let quic = Quic::echo().await;
    let mut session = quic.dial().await;
    let connection = quic.stranger_of_http().await;
    // A head of 60,000 times one byte, each of which stands for `accept-encoding: gzip, deflate, br` (RFC 9204,
    // appendix A, entry 31): 4 MB as HTTP counts them.
    let mut bomb = b"\x01\x80\x00\xea\x62\x00\x00".to_vec();
    bomb.resize(bomb.len() + 60_000, 0xc0 | 31);
    for _ in 0..20 {
        let answer = asked(&connection, &bomb).await;
        // It is refused, by an answer that is short or by a code.
        assert!(answer.as_ref().map_or(0, Vec::len) < 1000, "{answer:?}");
    }
    assert_eq!(connection.close_reason(), None);
    // `GET https://localhost/`, in entries of the table and one literal.
    let head = b"\x01\x10\x00\x00\xd1\xd7\xc1\x50\x09localhost";
    let answer = asked(&connection, head).await.unwrap();
    assert_eq!(answer.first(), Some(&0x01), "{answer:?}");
    all_goes_on(&quic, &mut session).await;
    quic.stage.end().await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_by_a_code() {
    let quic = Quic::echo().await;
    let mut session = quic.dial().await;
    for bytes in [
        // DATA before any head; a frame of HTTP/2; a head that refers to a table that there is not.
        &b"\x00\x01a"[..],
        b"\x06\x00",
        b"\x01\x03\x02\x00\x80",
        // A head that is cut off, one that says nothing, one whose length is wrong.
        b"\x01\x10\x00\x00\xd1",
        b"\x01\x00",
        b"\x01\x04\x00\x00\xff\xff",
        b"\x40",
        b"",
    ] {
        let connection = quic.stranger_of_http().await;
        let answer = asked(&connection, bytes).await;
        assert!(
            answer.as_ref().map_or(0, Vec::len) < 1000,
            "{bytes:?}: {answer:?}"
        );
    }
    all_goes_on(&quic, &mut session).await;
    quic.stage.end().await;
}
