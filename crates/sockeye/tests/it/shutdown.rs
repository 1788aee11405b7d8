//! Stopping a port: what came is answered, who is idle ends at once, who is stuck is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sockeye::service::{Echo, Relay};
use sockeye::{
    DialOptions, PortConfig, Result, Service, Session, TlsClient, TlsClientOptions, dial,
    service_fn,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{Stage, exchange, heard_to_the_end, within};

/// A grace time that no test waits for.
fn patient() -> PortConfig {
    PortConfig {
        grace: Duration::from_secs(60),
        ..PortConfig::default()
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_the_stop_is_answered() {
    let stage = Stage::with("tcp://127.0.0.1:0", patient(), Echo).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let mut session = stage.dial().await;
        exchange(&mut session, "hi").await;
        sessions.push(session);
    }
    // On loopback `send` returns when the bytes are in the receiver's kernel buffer.
    let sent = vec![b'x'; 20_000];
    for session in &mut sessions {
        session.send(sent.clone()).await.unwrap();
    }
    stage.stop.cancel();
    for session in &mut sessions {
        let all = heard_to_the_end(session).await.concat();
        assert!(all == sent, "{} of {}", all.len(), sent.len());
    }
    stage.end().await;
}

#[tokio::test]
async fn a_service_that_has_split_its_session_answers_too() {
    let service = service_fn(async |session: Session| {
        let (mut receiver, mut sender) = session.split();
        while let Some(message) = receiver.recv().await? {
            sender.send(message).await?;
        }
        sender.finish().await
    });
    for at in ["tcp://127.0.0.1:0", "unix:@FOLDER"] {
        let folder = tempfile::tempdir().unwrap();
        let at = at.replace("FOLDER", folder.path().to_str().unwrap());
        let stage = Stage::with(&at, patient(), service).await;
        let mut session = stage.dial().await;
        exchange(&mut session, "hi").await;
        session.send("last").await.unwrap();
        stage.stop.cancel();
        assert_eq!(heard_to_the_end(&mut session).await.concat(), b"last");
        stage.end().await;
    }
}

#[tokio::test]
async fn datagrams_in_a_queue_are_answered_before_the_stop() {
    let service = service_fn(async |mut session: Session| {
        while let Some(message) = session.recv().await? {
            // One turn of the runtime each, so that the rest waits in the queue.
            tokio::task::yield_now().await;
            session.send(message).await?;
        }
        session.close().await
    });
    let mut stage = Stage::with("udp://127.0.0.1:0", patient(), service).await;
    let mut session = stage.dial().await;
    for n in 0..50_u8 {
        session.send(vec![n]).await.unwrap();
    }
    let info = stage.events.opened().await;
    within(async {
        while info.counters().messages_in() < 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stage.stop.cancel();
    assert_eq!(stage.events.closed().await.how, "Stopped");
    let answered = info.counters().messages_in();
    assert_eq!(info.counters().messages_out(), answered);
    for n in 0..answered {
        let answer = within(session.recv()).await.unwrap().unwrap();
        assert_eq!(answer.data[0], n as u8);
    }
    stage.end().await;
}

#[tokio::test]
async fn idle_sessions_end_at_once() {
    for at in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix:@FOLDER"] {
        let folder = tempfile::tempdir().unwrap();
        let at = at.replace("FOLDER", folder.path().to_str().unwrap());
        let mut stage = Stage::with(&at, patient(), Echo).await;
        let mut sessions = Vec::new();
        for _ in 0..50 {
            let mut session = stage.dial().await;
            exchange(&mut session, "hi").await;
            sessions.push(session);
        }
        let began = Instant::now();
        stage.stop.cancel();
        within(&mut stage.serving).await.unwrap().unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{at}: {took:?}");
        for session in &mut sessions {
            if !session.keeps_boundaries() {
                assert!(heard_to_the_end(session).await.is_empty());
            }
            assert_eq!(stage.events.closed().await.how, "Stopped", "{at}");
        }
    }
}

#[tokio::test]
async fn a_port_without_sessions_stops_at_once() {
    let stage = Stage::with("*:0", patient(), Echo).await;
    let began = Instant::now();
    stage.end().await;
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_stuck_service_is_cut_off_after_the_grace_time() {
    const GRACE: Duration = Duration::from_millis(150);
    for at in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"] {
        let stuck = service_fn(async |_: Session| std::future::pending().await);
        let config = PortConfig {
            grace: GRACE,
            ..PortConfig::default()
        };
        let mut stage = Stage::with(at, config, stuck).await;
        let mut session = stage.dial().await;
        session.send("hi").await.unwrap();
        stage.events.opened().await;
        let began = Instant::now();
        stage.stop.cancel();
        within(&mut stage.serving).await.unwrap().unwrap();
        let took = began.elapsed();
        assert!(
            took >= GRACE && took < GRACE + Duration::from_secs(2),
            "{at}: {took:?}"
        );
        assert_eq!(stage.events.closed().await.how, "Stopped", "{at}");
    }
}

struct Told(Arc<AtomicUsize>);

impl Service for Told {
    async fn serve(&self, session: Session) -> Result<()> {
        Echo.serve(session).await
    }

    async fn shutdown(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_service_is_told_once() {
    let told = Arc::new(AtomicUsize::new(0));
    let stage = Stage::with("localhost:0", patient(), Told(told.clone())).await;
    let mut session = stage.dial().await;
    exchange(&mut session, "hi").await;
    assert_eq!(told.load(Ordering::SeqCst), 0);
    stage.end().await;
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

struct NeverDone;

impl Service for NeverDone {
    async fn serve(&self, session: Session) -> Result<()> {
        Echo.serve(session).await
    }

    async fn shutdown(&self) {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_service_whose_own_shutdown_hangs_is_cut_off_too() {
    let config = PortConfig {
        grace: Duration::from_millis(100),
        ..PortConfig::default()
    };
    let stage = Stage::with("tcp://127.0.0.1:0", config, NeverDone).await;
    stage.end().await;
}

#[tokio::test]
async fn nobody_new_is_taken_after_the_stop() {
    let stage = Stage::with("tcp://127.0.0.1:0", patient(), Echo).await;
    let at = stage.address();
    stage.end().await;
    let error = dial(&at, &DialOptions::default()).await.unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
}

/// Somebody who has said nothing yet, and whose first words arrive just before the stop.
#[tokio::test]
async fn first_words_are_answered_in_their_own_protocol() {
    for round in 0..100 {
        let config = PortConfig {
            greet_after: Duration::from_millis(1),
            ..patient()
        };
        let mut stage = Stage::with("127.0.0.1:0", config, Echo).await;
        let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
        stage.events.opened().await;
        let request = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
        client.write_all(request).await.unwrap();
        stage.stop.cancel();
        let mut answer = String::new();
        within(client.read_to_string(&mut answer)).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{round}: {answer}"
        );
        assert!(answer.ends_with("\r\n\r\nhi"), "{round}: {answer}");
        stage.end().await;
    }
}

/// A port that echoes at `at`, or passes on to one that does.
struct Echoing {
    stage: Stage,
    target: Option<Stage>,
}

impl Echoing {
    async fn start(at: &str, to: Option<&str>) -> Self {
        let Some(to) = to else {
            let stage = Stage::with(at, patient(), Echo).await;
            return Self {
                stage,
                target: None,
            };
        };
        let target = Stage::with(to, patient(), Echo).await;
        let relay = Relay::new(vec![target.address()], insecure());
        Self {
            stage: Stage::with(at, patient(), relay).await,
            target: Some(target),
        }
    }
}

fn insecure() -> DialOptions {
    let options = TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    };
    DialOptions {
        tls: TlsClient::new(options).unwrap(),
        ..DialOptions::default()
    }
}

/// Says something to many sessions and stops at once, again and again.
async fn what_arrives_just_before_a_stop_is_answered(at: &str, to: Option<&str>) {
    const ROUNDS: usize = 10;
    const SESSIONS: usize = 20;
    for round in 0..ROUNDS {
        let Echoing { stage, target } = Echoing::start(at, to).await;
        let (port, options) = (stage.address(), insecure());
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let mut session = within(dial(&port, &options)).await.unwrap();
            exchange(&mut session, "hi").await;
            sessions.push(session);
        }
        for session in &mut sessions {
            session.send("last words").await.unwrap();
        }
        stage.stop.cancel();
        for (n, mut session) in sessions.into_iter().enumerate() {
            let heard = heard_to_the_end(&mut session).await.concat();
            let heard = String::from_utf8_lossy(&heard).into_owned();
            assert_eq!(
                heard, "last words",
                "{at} {to:?}, round {round}, session {n}"
            );
            // A close frame is answered.
            session.close().await.unwrap();
        }
        stage.end().await;
        if let Some(target) = target {
            target.end().await;
        }
    }
}

/// Every pair of carriers where a relay and a protocol stand between the peer and the service.
const WAYS: [(&str, Option<&str>); 8] = [
    ("ws://127.0.0.1:0", None),
    ("wss://127.0.0.1:0", None),
    ("tls://127.0.0.1:0", None),
    ("tcp://127.0.0.1:0", Some("tcp://127.0.0.1:0")),
    ("tcp://127.0.0.1:0", Some("ws://127.0.0.1:0")),
    ("ws://127.0.0.1:0", Some("tcp://127.0.0.1:0")),
    ("tls://127.0.0.1:0", Some("tls://127.0.0.1:0")),
    ("wss://127.0.0.1:0", Some("wss://127.0.0.1:0")),
];

#[tokio::test]
async fn nothing_that_has_just_arrived_is_lost() {
    for (at, to) in WAYS {
        what_arrives_just_before_a_stop_is_answered(at, to).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_has_just_arrived_is_lost_among_threads() {
    for (at, to) in WAYS {
        what_arrives_just_before_a_stop_is_answered(at, to).await;
    }
}
