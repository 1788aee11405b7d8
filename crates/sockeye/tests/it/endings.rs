//! How TCP sessions end, and what a peer that does not read can cost.

use std::sync::Arc;
use std::time::Duration;

use sockeye::service::Echo;
use sockeye::{Framing, PortConfig, Session, service_fn};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::stage::{Stage, exchange, heard, heard_to_the_end, within};

#[tokio::test]
async fn a_client_that_finishes_first_gets_all_answers() {
    const MESSAGES: usize = 2_000;
    let mut stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let session = stage.dial().await;
    let (mut receiver, mut sender) = session.split();
    let sending = async {
        for n in 0..MESSAGES {
            sender.send(vec![n as u8; 1_000]).await.unwrap();
        }
        sender.finish().await.unwrap();
    };
    let receiving = async {
        let mut all = Vec::new();
        while let Some(message) = receiver.recv().await.unwrap() {
            all.extend_from_slice(&message.data);
        }
        all
    };
    let ((), all) = within(async { tokio::join!(sending, receiving) }).await;
    let sent: Vec<u8> = (0..MESSAGES).flat_map(|n| vec![n as u8; 1_000]).collect();
    assert!(all == sent, "{} of {} bytes", all.len(), sent.len());
    assert_eq!(stage.events.closed().await.how, "PeerFinished");
    stage.end().await;
}

#[tokio::test]
async fn a_service_that_finishes_first_still_receives() {
    let (told, mut told_here) = mpsc::unbounded_channel();
    let service = service_fn(move |mut session: Session| {
        let told = told.clone();
        async move {
            session.send("that was all from me").await?;
            session.finish().await?;
            let mut all = Vec::new();
            while let Some(message) = session.recv().await? {
                all.extend_from_slice(&message.data);
            }
            told.send(all).unwrap();
            Ok(())
        }
    });
    let stage = Stage::new("tcp://127.0.0.1:0", service).await;
    let mut session = stage.dial().await;
    assert_eq!(
        heard_to_the_end(&mut session).await.concat(),
        b"that was all from me"
    );
    for _ in 0..100 {
        session.send(vec![7; 10_000]).await.unwrap();
    }
    session.finish().await.unwrap();
    let all = within(told_here.recv()).await.unwrap();
    assert_eq!(all.len(), 1_000_000);
    stage.end().await;
}

#[tokio::test]
async fn a_last_answer_survives_input_that_nobody_reads() {
    // Closing with unread input sends RST, which destroys what is on its way: RFC 1122, section 4.2.2.13.
    const ANSWER: usize = 1_000_000;
    let (asked, more_is_there) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let both = (asked.clone(), more_is_there.clone());
    let service = service_fn(move |mut session: Session| {
        let (asked, more_is_there) = both.clone();
        async move {
            session.recv().await?;
            asked.notify_one();
            more_is_there.notified().await;
            session.send(vec![b'!'; ANSWER]).await?;
            session.close().await
        }
    });
    let stage = Stage::new("tcp://127.0.0.1:0", service).await;
    for _ in 0..5 {
        let mut session = stage.dial().await;
        session.send("question").await.unwrap();
        within(asked.notified()).await;
        session.send(vec![b'x'; 10_000]).await.unwrap();
        session.finish().await.unwrap();
        more_is_there.notify_one();
        let all = heard_to_the_end(&mut session).await.concat();
        assert_eq!(all.len(), ANSWER);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_reset_ends_that_session_only() {
    let mut stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let mut other = stage.dial().await;
    exchange(&mut other, "before").await;
    stage.events.opened().await;
    let rude = TcpStream::connect(stage.socket_addr()).await.unwrap();
    let peer = rude.local_addr().unwrap();
    stage.events.opened().await;
    socket2::SockRef::from(&rude)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(rude);
    let closed = stage.events.closed().await;
    assert_eq!(closed.peer.socket_addr(), Some(peer));
    assert_eq!(closed.how, "Failed");
    assert!(closed.is_reset);
    assert_eq!(closed.text, "reset by the peer");
    exchange(&mut other, "after").await;
    stage.end().await;
}

#[tokio::test]
async fn a_reset_by_the_service_is_a_reset_for_the_client() {
    let service = service_fn(async |mut session: Session| {
        session.recv().await?;
        let socket = session.raw_socket().expect("a plain socket").unwrap();
        socket2::SockRef::from(&socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        Ok(())
    });
    let stage = Stage::new("tcp://127.0.0.1:0", service).await;
    let mut session = stage.dial().await;
    session.send("x").await.unwrap();
    let error = within(session.recv()).await.unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot receive from {}: connection reset by peer",
            stage.socket_addr()
        )
    );
    stage.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_stopped_by_the_window() {
    const BUFFER: usize = 64 * 1024;
    /// Four socket buffers, each doubled by the kernel for its own bookkeeping, and what the library holds.
    const BOUND: usize = 4 * 2 * BUFFER + 256 * 1024;

    let mut config = PortConfig::default();
    config.options.receive_buffer = Some(BUFFER);
    config.options.send_buffer = Some(BUFFER);
    let mut stage = Stage::with("tcp://127.0.0.1:0", config, Echo).await;
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.set_recv_buffer_size(BUFFER as u32).unwrap();
    deaf.set_send_buffer_size(BUFFER as u32).unwrap();
    let mut deaf = deaf.connect(stage.socket_addr()).await.unwrap();
    let info = stage.events.opened().await;
    let mut sent = 0;
    let block = vec![b'x'; 16 * 1024];
    // Blocked: nothing more was taken for this long.
    while let Ok(written) =
        tokio::time::timeout(Duration::from_millis(400), deaf.write(&block)).await
    {
        sent += written.unwrap();
        assert!(
            sent <= BOUND,
            "{sent} bytes were taken from a client that reads none"
        );
    }
    assert!(info.counters().bytes_in() <= sent as u64);
    for _ in 0..5 {
        let mut other = stage.dial().await;
        exchange(&mut other, "served meanwhile").await;
    }
    drop(deaf);
    stage.end().await;
}

#[tokio::test]
async fn an_oversized_line_ends_its_session_with_a_reason() {
    let config = PortConfig {
        framing: Framing::Line,
        max_message: 10,
        ..PortConfig::default()
    };
    let mut stage = Stage::with("tcp://127.0.0.1:0", config, Echo).await;
    let mut session = stage.dial().await;
    session.send("short\n").await.unwrap();
    assert_eq!(heard(&mut session).await, b"short\n");
    session.send("far too long for it").await.unwrap();
    let closed = stage.events.closed().await;
    assert_eq!(closed.how, "Failed");
    assert_eq!(
        closed.text,
        format!(
            "cannot receive from {}: message is longer than the limit of 10 bytes",
            session.info().local()
        )
    );
    stage.end().await;
}
