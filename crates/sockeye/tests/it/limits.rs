//! Who is let in, and how many.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sockeye::service::Echo;
use sockeye::{DialOptions, PortConfig, dial};
use tokio::sync::Semaphore;

use crate::stage::{Event, Stage, address, exchange, heard_to_the_end, within};

fn at_most(sessions: usize) -> PortConfig {
    PortConfig {
        sessions: Arc::new(Semaphore::new(sessions)),
        ..PortConfig::default()
    }
}

fn in_total(sessions: u64) -> PortConfig {
    PortConfig {
        total_sessions: Some(sessions),
        ..PortConfig::default()
    }
}

#[tokio::test]
async fn one_more_connection_than_allowed_is_served_when_one_leaves() {
    let mut stage = Stage::with("tcp://127.0.0.1:0", at_most(2), Echo).await;
    let mut first = stage.dial().await;
    let mut second = stage.dial().await;
    exchange(&mut first, "1").await;
    exchange(&mut second, "2").await;
    let mut third = stage.dial().await;
    third.send("3").await.unwrap();
    stage.events.note("as many sessions").await;
    for _ in 0..20 {
        exchange(&mut first, "1").await;
        exchange(&mut second, "2").await;
    }
    assert!(third.recv().now_or_never().is_none(), "beyond the limit");
    first.close().await.unwrap();
    assert_eq!(within(third.recv()).await.unwrap().unwrap().data, "3");
    stage.end().await;
}

#[tokio::test]
async fn one_session_at_a_time_may_come_over_any_socket_of_the_port() {
    let stage = Stage::with("*:0", at_most(1), Echo).await;
    let number = stage.socket_addr().port();
    for to in ["udp://127.0.0.1", "tcp://[::1]", "tcp://127.0.0.1"] {
        let to = address(&format!("{to}:{number}"));
        let mut session = dial(&to, &DialOptions::default()).await.unwrap();
        exchange(&mut session, "hi").await;
        if session.keeps_boundaries() {
            break;
        }
    }
    stage.end().await;
    let stage = Stage::with("localhost:0", at_most(1), Echo).await;
    let number = stage.socket_addr().port();
    for to in [
        "tcp://127.0.0.1",
        "tcp://[::1]",
        "tcp://127.0.0.1",
        "udp://[::1]",
    ] {
        let to = address(&format!("{to}:{number}"));
        let mut session = dial(&to, &DialOptions::default()).await.unwrap();
        exchange(&mut session, "hi").await;
        session.close().await.unwrap();
    }
    stage.end().await;
}

#[tokio::test]
async fn a_port_that_has_served_enough_stops() {
    let mut stage = Stage::with("127.0.0.1:0", in_total(2), Echo).await;
    for _ in 0..2 {
        let mut session = stage.dial().await;
        exchange(&mut session, "hi").await;
        session.close().await.unwrap();
    }
    within(stage.serving).await.unwrap().unwrap();
    assert!(
        !stage.stop.is_cancelled(),
        "the caller's token is the caller's"
    );
    let opened = stage
        .events
        .so_far()
        .into_iter()
        .filter(|event| matches!(event, Event::Opened(_)));
    assert_eq!(opened.count(), 2);
}

#[tokio::test]
async fn the_last_session_to_open_does_not_end_those_before_it() {
    let mut stage = Stage::with("tcp://127.0.0.1:0", in_total(2), Echo).await;
    let mut first = stage.dial().await;
    exchange(&mut first, "first").await;
    let mut second = stage.dial().await;
    exchange(&mut second, "second").await;
    second.close().await.unwrap();
    stage.events.closed().await;
    for _ in 0..20 {
        exchange(&mut first, "still here").await;
        tokio::task::yield_now().await;
    }
    first.close().await.unwrap();
    within(stage.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_third_connection_is_refused_when_two_are_served() {
    let stage = Stage::with("tcp://127.0.0.1:0", in_total(1), Echo).await;
    let mut first = stage.dial().await;
    exchange(&mut first, "first").await;
    // The listening socket is closed as soon as nobody more is to come.
    within(async {
        while dial(&stage.address(), &DialOptions::default())
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    exchange(&mut first, "still here").await;
    first.close().await.unwrap();
    within(stage.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_in_a_service_is_one_session_of_the_total() {
    let service = sockeye::service_fn(async |_| panic!("on purpose"));
    let stage = Stage::with("tcp://127.0.0.1:0", in_total(1), service).await;
    let _session = stage.dial().await;
    within(stage.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn lists_decide_who_comes_in() {
    let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
    for (allow, deny, from, served) in [
        (&["127.0.0.1/32"][..], &[][..], "127.0.0.1", true),
        (&["127.0.0.1/32"], &[], "127.0.0.2", false),
        (&[], &["127.0.0.2/31"], "127.0.0.3", false),
        (&[], &["127.0.0.2/31"], "127.0.0.1", true),
        (&["127.0.0.0/8"], &["127.0.0.2/32"], "127.0.0.2", false),
        (&["::1/128"], &[], "127.0.0.1", false),
    ] {
        let config = PortConfig {
            allow: nets(allow),
            deny: nets(deny),
            ..PortConfig::default()
        };
        // A dual-stack socket: IPv4 peers must be judged as IPv4.
        let mut stage = Stage::with("*:0", config, Echo).await;
        let number = stage.socket_addr().port();
        let options = DialOptions {
            source_address: Some(from.parse().unwrap()),
            ..DialOptions::default()
        };
        for scheme in ["tcp", "udp"] {
            let case = format!("{scheme} from {from}, allow {allow:?}, deny {deny:?}");
            let to = address(&format!("{scheme}://127.0.0.1:{number}"));
            let mut session = dial(&to, &options).await.unwrap();
            if served {
                exchange(&mut session, "hi").await;
            } else if scheme == "tcp" {
                assert!(stage.events.note("refused").await.contains(from), "{case}");
                match within(session.recv()).await {
                    Ok(None) => {}
                    Err(error) if error.is_reset() => {}
                    other => panic!("{case}: {other:?}"),
                }
            } else {
                session.send("hi").await.unwrap();
                stage.stop.cancel();
                within(&mut stage.serving).await.unwrap().unwrap();
                assert!(session.recv().now_or_never().is_none(), "{case}");
                let opened = stage.events.so_far();
                let opened = opened.iter().any(|event| matches!(event, Event::Opened(_)));
                assert!(!opened, "{case}");
                break;
            }
        }
        stage.stop.cancel();
    }
}

#[tokio::test]
async fn a_silent_client_holds_up_nobody() {
    let stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let _silent: Vec<_> = [stage.dial().await, stage.dial().await].into();
    for _ in 0..10 {
        let mut session = stage.dial().await;
        exchange(&mut session, "hi").await;
    }
    stage.end().await;
}

#[tokio::test]
async fn a_silent_session_ends_after_the_idle_time() {
    let config = PortConfig {
        idle_timeout: Some(Duration::from_millis(80)),
        ..PortConfig::default()
    };
    let mut stage = Stage::with("tcp://127.0.0.1:0", config, Echo).await;
    let began = std::time::Instant::now();
    let mut session = stage.dial().await;
    assert!(heard_to_the_end(&mut session).await.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(80));
    let closed = stage.events.closed().await;
    assert_eq!((closed.how, &*closed.text), ("Idle", "idle for 80ms"));
    stage.end().await;
}

#[tokio::test]
async fn a_session_with_traffic_is_not_idle() {
    let config = PortConfig {
        idle_timeout: Some(Duration::from_millis(200)),
        ..PortConfig::default()
    };
    let mut stage = Stage::with("tcp://127.0.0.1:0", config, Echo).await;
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
