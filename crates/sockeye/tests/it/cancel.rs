//! A `recv` that is dropped before it is done loses nothing, wherever the bytes stand then.

use futures_util::FutureExt;
use sockeye::{DialOptions, Framing, Session, dial, service_fn};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::stage::{Stage, Wire, within};

const WIRES: &[Wire] = &[
    (
        "line",
        b"one\r\ntwo\n\nrest",
        &[b"one", b"two", b"", b"rest"],
    ),
    ("fixed:3", b"abcdef", &[b"abc", b"def"]),
    (
        "length:u16be",
        b"\0\x03abc\0\0\0\x02de",
        &[b"abc", b"", b"de"],
    ),
    ("length:varint", b"\x03abc\0\x02de", &[b"abc", b"", b"de"]),
    ("until:--", b"a-b--c----d", &[b"a-b", b"c", b"", b"d"]),
];

#[tokio::test]
async fn at_every_byte_in_memory() {
    for (name, wire, messages) in WIRES {
        let (mut near, far) = Session::pair(name.parse().unwrap());
        let mut far = far.into_stream();
        let mut got = Vec::new();
        for byte in *wire {
            far.write_all(&[*byte]).await.unwrap();
            for _ in 0..3 {
                // Polled once and dropped.
                if let Some(received) = near.recv().now_or_never() {
                    got.push(received.unwrap().unwrap().data.to_vec());
                }
            }
        }
        far.shutdown().await.unwrap();
        while let Some(message) = within(near.recv()).await.unwrap() {
            got.push(message.data.to_vec());
        }
        assert_eq!(&got, messages, "{name}");
    }
}

#[tokio::test]
async fn at_every_byte_of_a_split_session() {
    for (name, wire, messages) in WIRES {
        let (near, far) = Session::pair(name.parse().unwrap());
        let (mut receiver, _sender) = near.split();
        let mut far = far.into_stream();
        let mut got = Vec::new();
        for byte in *wire {
            far.write_all(&[*byte]).await.unwrap();
            if let Some(received) = receiver.recv().now_or_never() {
                got.push(received.unwrap().unwrap().data.to_vec());
            }
        }
        far.shutdown().await.unwrap();
        while let Some(message) = within(receiver.recv()).await.unwrap() {
            got.push(message.data.to_vec());
        }
        assert_eq!(&got, messages, "{name}");
    }
}

#[tokio::test]
async fn in_a_select_over_tcp() {
    const LINES: usize = 2_000;
    let (told, mut told_here) = mpsc::unbounded_channel();
    let service = service_fn(move |mut session: Session| {
        let told = told.clone();
        async move {
            let mut dropped = 0_u64;
            loop {
                tokio::select! {
                    received = session.recv() => match received? {
                        Some(message) => told.send(Some(message.data)).unwrap(),
                        None => break,
                    },
                    () = tokio::task::yield_now() => dropped += 1,
                }
            }
            assert!(dropped > 0, "nothing was dropped, so nothing was tested");
            told.send(None).unwrap();
            session.close().await
        }
    });
    let stage = Stage::with(
        "tcp://127.0.0.1:0",
        sockeye::PortConfig {
            framing: Framing::Line,
            ..Default::default()
        },
        service,
    )
    .await;
    let session = dial(&stage.address(), &DialOptions::default())
        .await
        .unwrap();
    let writing = async {
        let mut stream = session.into_stream();
        let text: String = (0..LINES).map(|n| format!("line {n}\n")).collect();
        // Pieces that end anywhere, most of them inside a line.
        for (n, piece) in text.as_bytes().chunks(13).enumerate() {
            stream.write_all(piece).await.unwrap();
            if n % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        stream.shutdown().await.unwrap();
        stream
    };
    let reading = async {
        let mut lines = Vec::new();
        while let Some(line) = told_here.recv().await.unwrap() {
            lines.push(line);
        }
        lines
    };
    let (_stream, lines) = within(async { tokio::join!(writing, reading) }).await;
    let expected: Vec<String> = (0..LINES).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected);
    stage.end().await;
}

#[tokio::test]
async fn of_packets() {
    let (mut near, mut far) = Session::packet_pair();
    let mut got = Vec::new();
    for n in 0..50_u8 {
        assert!(near.recv().now_or_never().is_none());
        far.send(vec![n]).await.unwrap();
        if let Some(received) = near.recv().now_or_never() {
            got.push(received.unwrap().unwrap().data[0]);
        }
    }
    drop(far);
    while let Some(message) = within(near.recv()).await.unwrap() {
        got.push(message.data[0]);
    }
    assert_eq!(got, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_send_of_packets_that_is_dropped_is_sent_once_or_not_at_all() {
    let (mut near, mut far) = Session::packet_pair();
    let mut sent = Vec::new();
    // Nobody reads: the carrier takes some, and no more.
    for n in 0..100_u8 {
        if let Some(done) = near.send(vec![n]).now_or_never() {
            done.unwrap();
            sent.push(n);
        }
    }
    assert!((1..100).contains(&sent.len()), "{} were taken", sent.len());
    let reading = async {
        let mut got = Vec::new();
        while let Some(message) = far.recv().await.unwrap() {
            got.push(message.data[0]);
        }
        got
    };
    let sending = async {
        near.send(vec![200]).await.unwrap();
        drop(near);
    };
    let (got, ()) = within(async { tokio::join!(reading, sending) }).await;
    sent.push(200);
    assert_eq!(got, sent);
}

#[tokio::test(start_paused = true)]
async fn dropping_it_again_and_again_does_not_put_off_the_end_of_an_idle_message() {
    let (mut near, far) = Session::pair("idle:50ms".parse().unwrap());
    let mut far = far.into_stream();
    far.write_all(b"message").await.unwrap();
    let began = tokio::time::Instant::now();
    let message = within(async {
        loop {
            tokio::select! {
                received = near.recv() => break received.unwrap().unwrap(),
                () = tokio::time::sleep(std::time::Duration::from_millis(10)) => {}
            }
        }
    })
    .await;
    assert_eq!(message.data, "message");
    let took = began.elapsed().as_millis();
    assert!((50..=65).contains(&took), "{took} ms");
}
