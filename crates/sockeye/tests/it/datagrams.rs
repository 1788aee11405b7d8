//! UDP: a session per peer, bounded in every direction.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sockeye::service::Echo;
use sockeye::{DialOptions, Error, PortConfig, Session, dial, service_fn};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, Semaphore};

use crate::stage::{Event, Stage, address, exchange, heard, within};

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn ask(socket: &UdpSocket, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    socket.send_to(data, to).await.unwrap();
    let mut answer = vec![0; 70_000];
    let (n, from) = within(socket.recv_from(&mut answer)).await.unwrap();
    assert_eq!(from, to);
    answer.truncate(n);
    answer
}

#[tokio::test]
async fn two_clients_are_two_sessions() {
    let mut stage = Stage::new("udp://127.0.0.1:0", Echo).await;
    let (mut a, mut b) = (stage.dial().await, stage.dial().await);
    for _ in 0..3 {
        exchange(&mut a, "from a").await;
        exchange(&mut b, "from b").await;
    }
    let opened = [stage.events.opened().await, stage.events.opened().await];
    for (info, session) in opened.iter().zip([&a, &b]) {
        assert_eq!(info.peer(), session.info().local());
        assert_eq!(info.counters().messages_in(), 3);
        assert_eq!(info.counters().bytes_in(), 18);
        assert_eq!(info.counters().messages_out(), 3);
    }
    assert!(stage.events.so_far().is_empty(), "no third session");
    stage.end().await;
}

#[tokio::test]
async fn a_dialed_session_counts_its_bytes() {
    for at in ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"] {
        let stage = Stage::new(at, Echo).await;
        let mut session = stage.dial().await;
        exchange(&mut session, "four").await;
        let counters = session.info().counters();
        assert_eq!((counters.bytes_out(), counters.bytes_in()), (4, 4), "{at}");
        stage.end().await;
    }
}

#[tokio::test]
async fn an_empty_datagram_is_a_message() {
    let mut stage = Stage::new("udp://127.0.0.1:0", Echo).await;
    let mut session = stage.dial().await;
    for text in ["", "a", "", ""] {
        session.send(text).await.unwrap();
        assert_eq!(heard(&mut session).await, text.as_bytes());
    }
    assert_eq!(stage.events.opened().await.counters().messages_in(), 4);
    stage.end().await;
}

#[tokio::test]
async fn bursts_of_any_sizes_keep_their_boundaries_and_order() {
    let stage = Stage::new("udp://127.0.0.1:0", Echo).await;
    let to = stage.socket_addr();
    let socket = socket().await;
    // Runs of equal sizes leave and arrive joined (GSO, GRO); a shorter one ends a run, an empty one stands alone.
    let sizes = [
        100, 100, 100, 40, 100, 100, 0, 0, 1472, 1472, 1472, 1, 1473, 1473, 9000, 1200, 1200,
    ];
    for round in 0..20_u8 {
        for (n, size) in sizes.iter().enumerate() {
            socket
                .send_to(&vec![round ^ n as u8; *size], to)
                .await
                .unwrap();
        }
        for (n, size) in sizes.iter().enumerate() {
            let mut answer = vec![0; 70_000];
            let (got, _) = within(socket.recv_from(&mut answer)).await.unwrap();
            assert_eq!(answer[..got], vec![round ^ n as u8; *size], "message {n}");
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn the_largest_datagram_goes_both_ways_and_one_more_byte_is_too_much() {
    let stage = Stage::new("udp://127.0.0.1:0", Echo).await;
    let mut session = stage.dial().await;
    // 65,535 of IPv4's total length, less 20 for its header and 8 for UDP's.
    let largest = vec![b'x'; 65_507];
    session.send(largest.clone()).await.unwrap();
    assert_eq!(heard(&mut session).await, largest);
    let error = session.send(vec![b'x'; 65_508]).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: 65_508,
                limit: 65_507,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!(
            "cannot send to {}: a datagram of 65508 bytes is too large, the limit is 65507",
            stage.socket_addr()
        )
    );
    exchange(&mut session, "goes on").await;
    stage.end().await;
}

#[tokio::test]
async fn too_large_an_answer_fails_its_session_only() {
    let service = service_fn(async |mut session: Session| {
        while let Some(message) = session.recv().await? {
            session.send(vec![0; message.data.len() * 65_508]).await?;
        }
        Ok(())
    });
    let mut stage = Stage::new("udp://127.0.0.1:0", service).await;
    let (a, b) = (socket().await, socket().await);
    let to = stage.socket_addr();
    a.send_to(b"x", to).await.unwrap();
    let closed = stage.events.closed().await;
    assert_eq!(closed.how, "Failed");
    assert!(
        closed.text.ends_with("the limit is 65507"),
        "{}",
        closed.text
    );
    assert_eq!(ask(&b, to, b"").await, b"");
    stage.end().await;
}

#[tokio::test]
async fn a_peer_that_comes_back_gets_a_new_session() {
    let once = service_fn(async |mut session: Session| {
        if let Some(message) = session.recv().await? {
            session.send(message).await?;
        }
        session.close().await
    });
    let mut stage = Stage::new("udp://127.0.0.1:0", once).await;
    let socket = socket().await;
    let mut ids = Vec::new();
    for text in [b"one", b"two", b"six"] {
        assert_eq!(ask(&socket, stage.socket_addr(), text).await, text);
        ids.push(stage.events.opened().await.id());
        assert_eq!(stage.events.closed().await.how, "ServiceFinished");
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    stage.end().await;
}

#[tokio::test]
async fn silence_ends_a_session_and_makes_room_for_another() {
    let config = PortConfig {
        idle_timeout: Some(Duration::from_millis(60)),
        sessions: Arc::new(Semaphore::new(1)),
        ..PortConfig::default()
    };
    let sessions = config.sessions.clone();
    let mut stage = Stage::with("udp://127.0.0.1:0", config, Echo).await;
    let (a, b) = (socket().await, socket().await);
    for socket in [&a, &b, &a] {
        assert_eq!(ask(socket, stage.socket_addr(), b"hi").await, b"hi");
        let info = stage.events.opened().await;
        let closed = stage.events.closed().await;
        assert_eq!((closed.how, &*closed.text), ("Idle", "idle for 60ms"));
        // Nobody but us remembers it: not the table, not the queue of those who have ended.
        within(async {
            while Arc::strong_count(&info) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // The permit is given back after the session has said that it ended.
        drop(within(sessions.acquire()).await.unwrap());
    }
    stage.end().await;
}

#[tokio::test]
async fn who_keeps_talking_is_not_idle() {
    let config = PortConfig {
        idle_timeout: Some(Duration::from_millis(200)),
        ..PortConfig::default()
    };
    let mut stage = Stage::with("udp://127.0.0.1:0", config, Echo).await;
    let mut session = stage.dial().await;
    let began = std::time::Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while began.elapsed() < Duration::from_millis(500) {
        pace.tick().await;
        exchange(&mut session, "hi").await;
    }
    let events = stage.events.so_far();
    assert!(matches!(events[..], [Event::Opened(_)]), "{events:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_flood_of_newcomers_does_not_push_out_those_who_are_there() {
    let config = PortConfig {
        sessions: Arc::new(Semaphore::new(4)),
        ..PortConfig::default()
    };
    let mut stage = Stage::with("udp://127.0.0.1:0", config, Echo).await;
    let to = stage.socket_addr();
    let mut peers = Vec::new();
    for _ in 0..4 {
        let peer = socket().await;
        assert_eq!(ask(&peer, to, b"hi").await, b"hi");
        peers.push(peer);
    }
    for _ in 0..10 {
        let mut strangers = Vec::new();
        for _ in 0..50 {
            let stranger = socket().await;
            stranger.send_to(b"flood", to).await.unwrap();
            strangers.push(stranger);
        }
        for peer in &peers {
            assert_eq!(ask(peer, to, b"still here").await, b"still here");
        }
        for stranger in strangers {
            assert!(stranger.try_recv(&mut [0; 9]).is_err(), "it was answered");
        }
    }
    let opened = stage.events.so_far();
    let opened = opened.iter().filter(|e| matches!(e, Event::Opened(_)));
    assert_eq!(opened.count(), 4);
    stage.end().await;
}

#[tokio::test]
async fn a_slow_session_loses_its_newest_and_is_told_how_many() {
    const SENT: usize = 100;
    const SIZE: usize = 60_000;
    /// What the library says may wait for one session.
    const QUEUE: usize = 4 * 1024 * 1024;

    let released = Arc::new(Notify::new());
    let wait = released.clone();
    let service = service_fn(move |mut session: Session| {
        let wait = wait.clone();
        async move {
            while let Some(message) = session.recv().await? {
                if message.data == "wait" {
                    wait.notified().await;
                }
                session
                    .send(vec![message.data.first().copied().unwrap_or(0)])
                    .await?;
            }
            session.close().await
        }
    });
    let mut stage = Stage::new("udp://127.0.0.1:0", service).await;
    let to = stage.socket_addr();
    let (slow, other) = (socket().await, socket().await);
    slow.send_to(b"wait", to).await.unwrap();
    let info = stage.events.opened().await;
    for n in 0..SENT {
        slow.send_to(&vec![n as u8; SIZE], to).await.unwrap();
        // The other's answer proves that the datagram before it was taken from the kernel.
        assert_eq!(ask(&other, to, b"x").await, b"x", "others go on");
    }
    let lost = info.counters().lost() as usize;
    assert!(lost > 0, "{SENT} datagrams cannot all have waited");
    assert!((SENT - lost) * SIZE <= QUEUE, "{lost} lost");
    assert!(
        (SENT - lost + 2) * SIZE > QUEUE,
        "{lost} lost with room left"
    );
    released.notify_one();
    let mut answer = [0; 9];
    assert_eq!(within(slow.recv(&mut answer)).await.unwrap(), 1);
    assert_eq!(answer[0], b'w');
    for n in 0..SENT - lost {
        within(slow.recv(&mut answer)).await.unwrap();
        assert_eq!(answer[0], n as u8, "the oldest are kept, in order");
    }
    assert_eq!(
        ask(&slow, to, b"later").await,
        b"l",
        "and none of the newest"
    );
    stage.end().await;
}

#[tokio::test]
async fn nobody_there_is_an_error_of_the_dialed_session() {
    let gone = socket().await;
    let to = gone.local_addr().unwrap();
    drop(gone);
    let mut session = dial(&address(&format!("udp://{to}")), &DialOptions::default())
        .await
        .unwrap();
    session.send("hi").await.unwrap();
    assert_eq!(
        within(session.recv()).await.unwrap_err().to_string(),
        format!("cannot receive from {to}: connection refused")
    );
}

#[tokio::test]
async fn who_hears_everyone_is_told_who_spoke() {
    let (peer, stranger) = (socket().await, socket().await);
    let options = DialOptions {
        from_anyone: true,
        source_address: Some([127, 0, 0, 1].into()),
        ..DialOptions::default()
    };
    let to = address(&format!("udp://{}", peer.local_addr().unwrap()));
    let mut session = dial(&to, &options).await.unwrap();
    let us = session.info().local().socket_addr().unwrap();
    peer.send_to(b"a", us).await.unwrap();
    stranger.send_to(b"b", us).await.unwrap();
    for (text, from) in [("a", None), ("b", Some(stranger.local_addr().unwrap()))] {
        let message = within(session.recv()).await.unwrap().unwrap();
        assert_eq!(message.data, text);
        let told = message.from.map(|from| from.to_string());
        assert_eq!(told, from.map(|from| from.to_string()));
    }
}
