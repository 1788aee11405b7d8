//! Reaching a peer: several addresses, a chosen source, a time limit.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use sockeye::service::Echo;
use sockeye::{DialOptions, Error, Family, dial};

use crate::stage::{Stage, address, exchange, within};

/// An address that refuses: bound, so that nobody else takes it, and not listening.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    let at = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, at)
}

/// An address that does not answer: its queue of connections is full, so the kernel drops what comes.
struct BlackHole {
    at: SocketAddr,
    _listener: Socket,
    _queue: Vec<Socket>,
}

impl BlackHole {
    fn new() -> Self {
        let (listener, at) = refusing();
        listener.listen(0).unwrap();
        let mut queue = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = socket.connect_timeout(&at.into(), Duration::from_millis(150));
            queue.push(socket);
            if connected.is_err() {
                return Self {
                    at,
                    _listener: listener,
                    _queue: queue,
                };
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_over() {
    let stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let (_held, refuses) = refusing();
    let to = address(&format!("tcp://{refuses},{}", stage.socket_addr()));
    let mut session = within(dial(&to, &DialOptions::default())).await.unwrap();
    assert_eq!(
        session.info().peer().socket_addr(),
        Some(stage.socket_addr())
    );
    exchange(&mut session, "hi").await;
    stage.end().await;
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_not_waited_for() {
    let hole = tokio::task::spawn_blocking(BlackHole::new).await.unwrap();
    let stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let to = address(&format!("tcp://{},{}", hole.at, stage.socket_addr()));
    let began = Instant::now();
    let mut session = within(dial(&to, &DialOptions::default())).await.unwrap();
    let took = began.elapsed();
    // RFC 8305, section 5: 250 ms before the next attempt, and far less than the kernel's own patience.
    assert!(
        took >= Duration::from_millis(240) && took < Duration::from_secs(2),
        "{took:?}"
    );
    exchange(&mut session, "hi").await;
    stage.end().await;
}

#[tokio::test]
async fn a_time_limit_ends_the_wait() {
    let hole = tokio::task::spawn_blocking(BlackHole::new).await.unwrap();
    let to = address(&format!("tcp://{}", hole.at));
    let options = DialOptions {
        timeout: Some(Duration::from_millis(120)),
        ..DialOptions::default()
    };
    let began = Instant::now();
    let error = within(dial(&to, &options)).await.unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(120));
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot connect to tcp://{}: no answer within 120ms",
            hole.at
        )
    );
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::TimedOut));
}

#[tokio::test]
async fn when_nobody_answers_the_first_is_named() {
    let ((_a, first), (_b, second)) = (refusing(), refusing());
    let to = address(&format!("tcp://{first},{second}"));
    let error = within(dial(&to, &DialOptions::default()))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {first}: connection refused")
    );
}

#[tokio::test]
async fn localhost_reaches_a_server_of_either_family() {
    for at in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
        let stage = Stage::new(at, Echo).await;
        let to = address(&format!("tcp://localhost:{}", stage.socket_addr().port()));
        let mut session = within(dial(&to, &DialOptions::default())).await.unwrap();
        exchange(&mut session, "hi").await;
        assert_eq!(
            session.info().peer().socket_addr(),
            Some(stage.socket_addr())
        );
        stage.end().await;
    }
}

#[tokio::test]
async fn a_family_without_addresses_says_so() {
    let options = DialOptions {
        family: Family::V6,
        ..DialOptions::default()
    };
    let error = dial(&address("127.0.0.1:9"), &options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot resolve 127.0.0.1: it has no ipv6 address"
    );
}

/// A port number that is free on every address of 127.0.0.0/8 but one.
fn free_number() -> (TcpListener, u16) {
    let held = TcpListener::bind("127.0.0.99:0").unwrap();
    let number = held.local_addr().unwrap().port();
    (held, number)
}

#[tokio::test]
async fn our_own_address_and_port_can_be_chosen() {
    for at in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"] {
        let mut stage = Stage::new(at, Echo).await;
        let (_held, number) = free_number();
        let source = SocketAddr::from(([127, 0, 0, 3], number));
        let options = DialOptions {
            source_address: Some(source.ip()),
            source_port: Some(number),
            ..DialOptions::default()
        };
        let mut session = dial(&stage.address(), &options).await.unwrap();
        exchange(&mut session, "hi").await;
        assert_eq!(session.info().local().socket_addr(), Some(source));
        let seen = stage.events.opened().await;
        assert_eq!(seen.peer().socket_addr(), Some(source));
        if !session.keeps_boundaries() {
            // We close first, so the number is in TIME-WAIT here, and usable for another peer all the same.
            session.close().await.unwrap();
            stage.events.closed().await;
            let other = Stage::new(at, Echo).await;
            let mut session = dial(&other.address(), &options).await.unwrap();
            exchange(&mut session, "hi").await;
            other.end().await;
        }
        stage.end().await;
    }
}

#[tokio::test]
async fn a_source_that_is_not_ours_is_named() {
    let options = DialOptions {
        source_address: Some([192, 0, 2, 77].into()),
        ..DialOptions::default()
    };
    for scheme in ["tcp", "udp"] {
        let to = address(&format!("{scheme}://127.0.0.1:9"));
        let error = within(dial(&to, &options)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot connect to 127.0.0.1:9 from 192.0.2.77:0: cannot assign requested address"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_dialed_says_so() {
    for to in ["-"] {
        let error = dial(&address(to), &DialOptions::default())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("can be dialed"), "{error}");
    }
    let error = dial(&address("nowhere.invalid:9"), &DialOptions::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot resolve nowhere.invalid: "),
        "{error}"
    );
}

#[tokio::test]
async fn every_is_this_machine_when_dialed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = listener.local_addr().unwrap().port();
    let session = within(dial(
        &address(&format!("*:{number}")),
        &DialOptions::default(),
    ))
    .await
    .unwrap();
    assert_eq!(
        session.info().peer().to_string(),
        format!("127.0.0.1:{number}")
    );
}
