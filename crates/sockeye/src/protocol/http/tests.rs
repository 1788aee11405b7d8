//! HTTP/1 in memory, with a clock of its own: what a client may and may not do.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::framing::Framing;

use super::{Connection, Settings, Version, serve};
use crate::error::Result;
use crate::protocol::{Host, Told};
use crate::service::{AnyService, Echo, Reply, Service, Sink, Site, SiteOptions, service_fn};
use crate::session::{Answered, Endpoint, Identity, Session, Side};
use crate::stream::ByteStream;

mod at_once;
mod both_ends;
mod floods;
mod payloads;
mod quick;
mod view;

/// A port in memory.
struct Stage {
    service: AnyService,
    tracker: TaskTracker,
    goodbye: CancellationToken,
    /// What was answered without a session, and how sessions ended.
    told: Mutex<Vec<String>>,
}

impl Host for Stage {
    fn open(&self, session: Session, told: Told) -> bool {
        let (service, goodbye) = (self.service.clone(), self.goodbye.clone());
        let info = session.info().clone();
        self.run(Box::pin(async move {
            let serving = service.serve(session);
            let mut serving = std::pin::pin!(serving);
            let served = tokio::select! {
                served = &mut serving => served,
                () = goodbye.cancelled() => {
                    info.stop();
                    serving.await
                }
            };
            told(&served.map_err(Into::into));
        }));
        true
    }

    fn welcome(&self, session: Session, told: Told) -> bool {
        self.open(session, told)
    }

    fn admit(&self) -> bool {
        true
    }

    fn answered(&self, answered: &Answered<'_>, _: bool) {
        let Answered {
            method,
            status,
            bytes,
            ..
        } = answered;
        let line = format!("{method} {} {} {bytes}", answered.target(), status.as_u16());
        self.told.lock().unwrap().push(line);
    }

    fn own_fingerprint(&self) -> Option<crate::certificate::Fingerprint> {
        None
    }

    fn run(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        crate::task::spawn(&self.tracker, work);
    }

    fn goodbye(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.goodbye.cancelled())
    }

    fn is_leaving(&self) -> bool {
        self.goodbye.is_cancelled()
    }
}

/// A client, and the connection that serves it.
struct Client {
    wire: DuplexStream,
    served: JoinHandle<std::io::Result<Option<Session>>>,
    stage: Arc<Stage>,
}

impl Client {
    fn of(service: impl Service) -> Self {
        Self::with(service, Version::One, Framing::Raw)
    }

    fn with(service: impl Service, version: Version, framing: Framing) -> Self {
        Self::on(service, version, framing, |_| {})
    }

    /// On a connection that is not like the others.
    fn on(
        service: impl Service,
        version: Version,
        framing: Framing,
        change: impl FnOnce(&mut Connection),
    ) -> Self {
        // Small, so that one who does not read is soon felt.
        let (wire, far) = duplex(16 * 1024);
        let stage = Arc::new(Stage {
            service: AnyService::new(service),
            tracker: TaskTracker::new(),
            goodbye: CancellationToken::new(),
            told: Mutex::default(),
        });
        let local = Endpoint::Net("127.0.0.1:80".parse().unwrap());
        let peer = Endpoint::Net("127.0.0.1:50000".parse().unwrap());
        let mut connection = Connection {
            service: stage.service.clone(),
            host: stage.clone(),
            identity: Arc::new(Identity::new(Side::Accepted, "http", local, peer)),
            framing,
            max_message: 100,
            settings: Arc::new(Settings::default()),
            websocket: Arc::default(),
            only_websocket: false,
            token: None,
            grace: Duration::from_secs(5),
            elsewhere: None,
            webtransport: false,
        };
        change(&mut connection);
        let serving = serve(ByteStream::new(far), version, connection);
        let served = crate::task::spawn(&stage.tracker, serving);
        Self {
            wire,
            served,
            stage,
        }
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.wire.write_all(text.as_ref()).await.unwrap();
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        // A connection that is cut off ends, too.
        let _ = self.wire.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    /// What comes until it ends in `end`.
    async fn until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let byte = timeout(HOUR, self.wire.read_u8())
                .await
                .unwrap_or_else(|_| {
                    panic!("{end:?} did not come: {:?}", String::from_utf8_lossy(&all))
                });
            all.push(byte.unwrap_or_else(|error| {
                panic!(
                    "{error} before {end:?}: {:?}",
                    String::from_utf8_lossy(&all)
                )
            }));
        }
        String::from_utf8(all).unwrap()
    }

    fn told(&self) -> Vec<String> {
        self.stage.told.lock().unwrap().clone()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn reply(text: &'static str) -> Reply {
    Reply {
        answer: text.into(),
        close: false,
        content_type: None,
    }
}

/// The body of an answer that says how long it is.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_takes_longer_than_ten_seconds_is_told_so() {
    for drip in [false, true] {
        let mut client = Client::of(reply("hi"));
        let start = Instant::now();
        client.say("GET / HTTP/1.1\r\nHost: localhost\r\n").await;
        if drip {
            // Every byte is a sign of life, and none of them puts off the end.
            while client.wire.write_all(b"X").await.is_ok() && start.elapsed() < HOUR {
                sleep(Duration::from_secs(1)).await;
            }
        }
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.contains("\r\ndate: "), "{answer}");
        let after = start.elapsed().as_secs();
        assert!((10..14).contains(&after), "{after} s, drip {drip}");
        let ended = client.served.await.unwrap().unwrap_err();
        assert!(ended.to_string().contains("head"), "{ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_is_closed_after_a_minute_without_a_word() {
    for asks in [false, true] {
        let mut client = Client::of(reply("hi"));
        let start = Instant::now();
        if asks {
            client.say(GET).await;
            assert_eq!(body(&client.until("hi").await), "hi");
        }
        assert_eq!(client.rest().await, "", "asks: {asks}");
        assert_eq!(start.elapsed().as_secs(), 60, "asks: {asks}");
        client.served.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_now_and_then_is_kept() {
    let mut client = Client::of(reply("hi"));
    for _ in 0..10 {
        client.say(GET).await;
        client.until("hi").await;
        sleep(Duration::from_secs(50)).await;
    }
    assert_eq!(client.told(), ["GET /x 200 2"; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_a_service_waits_for_may_pause_for_thirty_seconds() {
    let mut client = Client::of(reply("hi"));
    let start = Instant::now();
    client
        .say(format!("{POST}Content-Length: 5\r\n\r\nab"))
        .await;
    sleep(Duration::from_secs(29)).await;
    client.say("c").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(start.elapsed().as_secs(), 59);
    let ended = client.served.await.unwrap().unwrap_err();
    assert!(ended.to_string().contains("not a byte moved"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_peer_as_long_as_the_port_says() {
    let mut client = Client::of(Echo);
    client
        .say(format!("{POST}Content-Length: 2\r\n\r\na"))
        .await;
    assert_eq!(body(&client.until("1\r\na\r\n").await), "1\r\na\r\n");
    sleep(HOUR).await;
    client.say("b").await;
    assert_eq!(client.until("0\r\n\r\n").await, "1\r\nb\r\n0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_left_after_thirty_seconds() {
    let (tell, told) = std::sync::mpsc::channel();
    let endless = service_fn(move |mut session: Session| {
        let tell = tell.clone();
        async move {
            let ended = loop {
                if let Err(error) = session.send(vec![b'x'; 10_000]).await {
                    break error;
                }
            };
            tell.send(ended.is_reset()).unwrap();
            Err(ended)
        }
    });
    let mut client = Client::of(endless);
    let start = Instant::now();
    client.say(GET).await;
    let ended = client.served.await.unwrap().unwrap_err();
    assert!(ended.to_string().contains("not a byte moved"), "{ended}");
    assert_eq!(start.elapsed().as_secs(), 30);
    client.stage.tracker.close();
    client.stage.tracker.wait().await;
    assert_eq!(told.try_recv(), Ok(true), "the session's send fails");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_fails_says_so_by_status_or_by_breaking_off() {
    let failing = |after: &'static str| {
        service_fn(move |mut session: Session| async move {
            if !after.is_empty() {
                session.send(after).await?;
            }
            let made_up = crate::error::Operation::Send;
            Err(crate::error::Error::unsupported(made_up, "x", "made up"))
        })
    };
    let mut client = Client::of(failing(""));
    client.say(GET).await;
    let answer = client.until("failed\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");

    let mut client = Client::of(failing("half"));
    client.say(GET).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("4\r\nhalf\r\n"), "no last chunk: {answer}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_request_and_no_other() {
    let panics = service_fn(async |mut session: Session| {
        let message = session.recv().await?.unwrap();
        assert_ne!(message.data, "panic");
        session.send(message).await?;
        session.finish().await
    });
    let mut client = Client::of(panics);
    client
        .say(format!("{POST}Content-Length: 5\r\n\r\npanic"))
        .await;
    let answer = client.until("failed\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    client
        .say(format!("{POST}Content-Length: 4\r\n\r\ncalm"))
        .await;
    assert_eq!(body(&client.until("calm").await), "calm");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_well_has_said_all() {
    let hasty = service_fn(async |mut session: Session| session.send("all").await);
    let mut client = Client::of(hasty);
    client.say(GET).await;
    let answer = client.until("0\r\n\r\n").await;
    assert_eq!(body(&answer), "3\r\nall\r\n0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_413_and_what_cannot_be_read_400() {
    let long = "x".repeat(101);
    for (framing, sent, status) in [
        (Framing::Line, long.as_str(), "413"),
        ("length:u8".parse().unwrap(), "\x05abc", "400"),
    ] {
        let mut client = Client::with(Echo, Version::One, framing);
        let length = sent.len();
        client
            .say(format!("{POST}Content-Length: {length}\r\n\r\n{sent}"))
            .await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_in_the_middle_is_an_error_for_the_session() {
    for head in [
        "Content-Length: 9\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let (tell, told) = std::sync::mpsc::channel();
        let listener = service_fn(move |mut session: Session| {
            let tell = tell.clone();
            async move {
                let mut heard = Vec::new();
                let ended = loop {
                    match session.recv().await {
                        Ok(Some(message)) => heard.extend_from_slice(&message.data),
                        other => break other.is_err(),
                    }
                };
                tell.send((heard, ended)).unwrap();
                Ok(())
            }
        });
        let mut client = Client::of(listener);
        client.say(format!("{POST}{head}")).await;
        drop(client.wire);
        client.stage.tracker.close();
        client.stage.tracker.wait().await;
        assert_eq!(told.try_recv(), Ok((b"abc".to_vec(), true)), "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn methods() {
    for (method, status, service) in [
        ("GET", "200", AnyService::new(Echo)),
        ("DELETE", "200", AnyService::new(Echo)),
        ("BREW", "200", AnyService::new(Echo)),
        ("TRACE", "405", AnyService::new(Echo)),
        ("OPTIONS", "204", AnyService::new(Echo)),
        ("DELETE", "200", AnyService::new(reply("hi"))),
        ("GET", "405", AnyService::new(Sink::default())),
        ("HEAD", "405", AnyService::new(Sink::default())),
        ("POST", "200", AnyService::new(Sink::default())),
    ] {
        let mut client = Client::of(service);
        client
            .say(format!(
                "{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method}: {answer}"
        );
        let has_allow = answer.contains("\r\nallow: ");
        assert_eq!(
            has_allow,
            matches!(status, "405" | "204"),
            "{method}: {answer}"
        );
    }
}

/// What is allowed, at these targets of this service.
async fn allowed(service: impl Service, method: &str, target: &str) -> String {
    let mut client = Client::of(service);
    client
        .say(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let answer = client.rest().await;
    let allow = answer.lines().find_map(|line| line.strip_prefix("allow: "));
    allow.unwrap_or(&answer).to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_service_says_which_methods_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::open(folder.path(), SiteOptions::default()).unwrap();
    for target in ["/", "/nothing/there", "*"] {
        let all = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(allowed(Echo, "OPTIONS", target).await, all);
        let some = "PUT, POST, PATCH, DELETE, OPTIONS";
        assert_eq!(allowed(Sink::default(), "OPTIONS", target).await, some);
        let files = "GET, HEAD, OPTIONS";
        assert_eq!(allowed(site.clone(), "OPTIONS", target).await, files);
    }
    for method in ["POST", "TRACE"] {
        assert_eq!(
            allowed(site.clone(), method, "/").await,
            "GET, HEAD, OPTIONS"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn head_is_get_without_the_body() {
    for (service, length) in [
        (
            AnyService::new(reply("hello")),
            Some("content-length: 5\r\n"),
        ),
        // What a session would send is not known before it has.
        (AnyService::new(Echo), None),
    ] {
        let mut client = Client::of(service);
        client
            .say("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("\r\ncontent-type: text/plain; charset=UTF-8\r\n"),
            "{answer}"
        );
        assert_eq!(
            answer.contains("content-length"),
            length.is_some(),
            "{answer}"
        );
        assert!(answer.contains(length.unwrap_or_default()), "{answer}");
        assert_eq!(body(&answer), "");
    }
}

#[tokio::test(start_paused = true)]
async fn expect_is_answered_when_the_body_is_wanted_and_not_before() {
    let mut client = Client::of(Echo);
    let expect = "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.say(format!("{POST}{expect}")).await;
    assert_eq!(
        client.until("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.say("hi").await;
    assert_eq!(body(&client.until("hi").await), "hi");
    // Who is refused is told so before the body is sent.
    let mut client = Client::of(Echo);
    client
        .say(format!("POST / HTTP/1.1\r\nHost: evil.example\r\n{expect}"))
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn http_1_0_gets_answers_that_it_understands() {
    let mut client = Client::of(reply("hi"));
    client.say("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("hi"),
        "{answer}"
    );
    // Longer than what is gathered, so that its length is not known in front: it ends with the connection.
    let mut client = Client::of(Echo);
    let sent = "x".repeat(10_000);
    client
        .say(format!(
            "POST / HTTP/1.0\r\nContent-Length: 10000\r\n\r\n{sent}"
        ))
        .await;
    let answer = client.rest().await;
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(body(&answer) == sent);
    let mut client = Client::of(reply("hi"));
    client
        .say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    client.until("hi").await;
    client.say("GET / HTTP/1.0\r\n\r\n").await;
    assert!(client.rest().await.ends_with("hi"));
}

#[tokio::test(start_paused = true)]
async fn heads_are_bounded() {
    let header = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: y\r\n".repeat(n - 1)
        )
    };
    let long = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "y".repeat(n)
        )
    };
    let target = |n: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "y".repeat(n - 1)
        )
    };
    for (head, status) in [
        (header(100), "200"),
        (header(101), "431"),
        (long(60_000), "200"),
        (long(70_000), "431"),
        (target(8 * 1024), "200"),
        (target(8 * 1024 + 1), "414"),
        (target(70_000), "431"),
    ] {
        let Client { wire, .. } = Client::of(reply("hi"));
        let (mut read, mut write) = tokio::io::split(wire);
        let writing = async {
            // Who is refused may be refused before all is said.
            let _ = write.write_all(head.as_bytes()).await;
        };
        let reading = async {
            let mut start = [0; 12];
            read.read_exact(&mut start).await.unwrap();
            String::from_utf8_lossy(&start).into_owned()
        };
        let ((), start) = tokio::join!(writing, reading);
        assert_eq!(start, format!("HTTP/1.1 {status}"), "{} bytes", head.len());
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_are_read_and_are_no_part_of_the_message() {
    let mut client = Client::of(Echo);
    client
        .say(format!(
            "{POST}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n{GET}"
        ))
        .await;
    assert!(client.until("hi").await.starts_with("HTTP/1.1 200 "));
    let second = client.until("content-length: 0\r\n").await;
    assert!(second.contains("HTTP/1.1 200 "), "{second}");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_closes_idle_connections_at_once_and_lets_requests_finish() {
    let idle = Client::of(Echo);
    idle.stage.goodbye.cancel();
    let start = Instant::now();
    idle.served.await.unwrap().unwrap();
    let mut asked = Client::of(reply("hi"));
    asked.say(GET).await;
    asked.until("hi").await;
    asked.stage.goodbye.cancel();
    assert_eq!(asked.rest().await, "");
    assert_eq!(start.elapsed(), Duration::ZERO);

    let mut running = Client::of(Echo);
    running
        .say(format!("{POST}Content-Length: 6\r\n\r\nab"))
        .await;
    running.until("ab\r\n").await;
    running.stage.goodbye.cancel();
    for part in ["cd", "ef"] {
        sleep(Duration::from_millis(900)).await;
        running.say(part).await;
    }
    let rest = running.rest().await;
    assert_eq!(rest, "2\r\ncd\r\n2\r\nef\r\n0\r\n\r\n", "the whole answer");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_pauses_is_not_waited_for_when_stopping_and_not_taken_for_whole() {
    let mut client = Client::of(Echo);
    client
        .say(format!("{POST}Content-Length: 6\r\n\r\nab"))
        .await;
    client.until("ab\r\n").await;
    let start = Instant::now();
    client.stage.goodbye.cancel();
    assert_eq!(client.rest().await, "", "no last chunk");
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_after_the_goodbye_is_cut_off() {
    let deaf = service_fn(async |_session: Session| -> Result<()> { std::future::pending().await });
    let mut client = Client::of(deaf);
    client.say(GET).await;
    sleep(Duration::from_millis(10)).await;
    let start = Instant::now();
    client.stage.goodbye.cancel();
    assert_eq!(client.rest().await, "");
    assert_eq!(start.elapsed().as_secs(), 5, "the grace time");
    client.served.await.unwrap().unwrap();
}
