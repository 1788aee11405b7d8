//! Requests before the end of the handshake (0-RTT): what acts on them, what waits, and what comes a second time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::rustls::{ClientConfig, RootCertStore};
use sockeye::fetch::{Event, Exchange, Fetcher, NotEarly, Options, Order, Speaks, Witness};
use sockeye::{
    DialOptions, EarlyData, PortConfig, QuicSettings, QuicVersion, Service, Session, TlsClient,
    TlsClientOptions, TlsServer, service_fn,
};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::stage::{Stage, within};

/// Counts what it is asked.
#[derive(Default)]
struct Asked {
    times: AtomicUsize,
    told: Notify,
}

impl Asked {
    fn service(self: &Arc<Self>) -> impl Service {
        let asked = self.clone();
        service_fn(move |mut session: Session| {
            asked.times.fetch_add(1, SeqCst);
            asked.told.notify_one();
            async move {
                session.send("done").await?;
                session.finish().await
            }
        })
    }

    async fn reaches(&self, times: usize) {
        while self.times.load(SeqCst) < times {
            within(self.told.notified()).await;
        }
        assert_eq!(self.times.load(SeqCst), times);
    }
}

/// A way to a server on which its answers can be kept from arriving.
struct OneWay {
    at: SocketAddr,
    /// Where whoever comes next is led.
    server: Arc<Mutex<SocketAddr>>,
    muted: Arc<AtomicBool>,
    /// What came from the client meanwhile.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    passing: JoinHandle<()>,
}

impl OneWay {
    async fn to(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut back = Self::back(server).await;
        let at = front.local_addr().unwrap();
        let (muted, heard) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<_>>>::default(),
        );
        let (is_muted, hears) = (muted.clone(), heard.clone());
        let server = Arc::new(Mutex::new(server));
        let leads = server.clone();
        let passing = tokio::spawn(async move {
            let (mut there, mut here) = ([0; 2000], [0; 2000]);
            let mut client = None;
            loop {
                tokio::select! {
                    got = front.recv_from(&mut there) => {
                        let (n, from) = got.unwrap();
                        if client != Some(from) {
                            client = Some(from);
                            let server = *leads.lock().unwrap();
                            back = Self::back(server).await;
                        }
                        if is_muted.load(SeqCst) {
                            hears.lock().unwrap().push(there[..n].to_vec());
                        }
                        let _ = back.send(&there[..n]).await;
                    }
                    got = back.recv(&mut here) => {
                        let (Ok(n), Some(client), false) = (got, client, is_muted.load(SeqCst)) else {
                            continue;
                        };
                        front.send_to(&here[..n], client).await.unwrap();
                    }
                }
            }
        });
        Self {
            at,
            server,
            muted,
            heard,
            passing,
        }
    }

    async fn back(server: SocketAddr) -> UdpSocket {
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(server).await.unwrap();
        back
    }

    fn mute(&self, muted: bool) {
        self.muted.store(muted, SeqCst);
    }
}

impl Drop for OneWay {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// What became of each exchange, and why something was asked again.
#[derive(Default)]
struct Seen {
    exchanges: Mutex<Vec<Exchange>>,
    again: Mutex<Vec<NotEarly>>,
}

impl Witness for Seen {
    fn saw(&self, event: &Event<'_>) {
        match event {
            Event::Ended(exchange) => self.exchanges.lock().unwrap().push((*exchange).clone()),
            Event::NotEarly(why) => self.again.lock().unwrap().push(why.clone()),
            _ => {}
        }
    }
}

fn new_fetcher(version: QuicVersion, early_data: bool) -> (Arc<Seen>, Fetcher) {
    let seen = Arc::new(Seen::default());
    let anyone = TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    };
    let options = Options {
        dial: DialOptions {
            tls: TlsClient::new(anyone).unwrap(),
            quic: QuicSettings {
                version,
                ..QuicSettings::default()
            },
            ..DialOptions::default()
        },
        speaks: Speaks::Three,
        early_data,
        no_reuse: true,
        witness: Some(seen.clone()),
        ..Options::default()
    };
    (seen, Fetcher::new(options))
}

fn get(at: SocketAddr) -> Order {
    Order::get(format!("h3://{at}/").parse().unwrap())
}

/// Asks, and gives what became of it.
async fn ask(seen: &Seen, fetcher: &mut Fetcher, order: Order) -> (EarlyData, bool) {
    let mut fetched = within(fetcher.fetch(order)).await.unwrap();
    let mut all = Vec::new();
    while let Some(data) = within(fetched.content.data()).await {
        all.extend_from_slice(&data.unwrap());
    }
    assert_eq!(all, b"done");
    let exchange = seen.exchanges.lock().unwrap().pop().unwrap();
    let reach = exchange.connection.unwrap();
    (exchange.early_data, reach.tls.as_ref().unwrap().resumed)
}

#[tokio::test]
async fn sessions_are_resumed_and_what_is_safe_goes_early_if_it_may() {
    for version in [QuicVersion::One, QuicVersion::Two] {
        let asked = Arc::<Asked>::default();
        let stage = Stage::new("127.0.0.1:0", asked.service()).await;
        let order = get(stage.socket_addr());
        let (seen, mut fetcher) = new_fetcher(version, false);
        for resumed in [false, true, true] {
            let asked = ask(&seen, &mut fetcher, order.clone()).await;
            assert_eq!(asked, (EarlyData::None, resumed), "{version:?}");
        }
        let (seen, mut fetcher) = new_fetcher(version, true);
        let first = ask(&seen, &mut fetcher, order.clone()).await;
        assert_eq!(first, (EarlyData::None, false));
        let get = ask(&seen, &mut fetcher, order.clone()).await;
        assert_eq!(get, (EarlyData::Accepted, true));
        let mut post = order.clone();
        post.method = Method::POST;
        let post = ask(&seen, &mut fetcher, post).await;
        assert_eq!(post, (EarlyData::None, true));
        assert!(seen.again.lock().unwrap().is_empty());
        asked.reaches(6).await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_server_that_has_forgotten_us_is_asked_again() {
    let asked = Arc::<Asked>::default();
    let stage = Stage::new("127.0.0.1:0", asked.service()).await;
    let way = OneWay::to(stage.socket_addr()).await;
    let (seen, mut fetcher) = new_fetcher(QuicVersion::One, true);
    ask(&seen, &mut fetcher, get(way.at)).await;
    stage.end().await;
    // The same address, and another server there.
    let stage = Stage::new("127.0.0.1:0", asked.service()).await;
    *way.server.lock().unwrap() = stage.socket_addr();
    let again = ask(&seen, &mut fetcher, get(way.at)).await;
    assert_eq!(again, (EarlyData::Rejected, false));
    assert_eq!(seen.again.lock().unwrap()[..], [NotEarly::Rejected]);
    asked.reaches(2).await;
    stage.end().await;
}

#[tokio::test]
async fn what_somebody_sends_again_is_not_heard_again() {
    let asked = Arc::<Asked>::default();
    let stage = Stage::new("127.0.0.1:0", asked.service()).await;
    let way = OneWay::to(stage.socket_addr()).await;
    let (seen, mut fetcher) = new_fetcher(QuicVersion::One, true);
    ask(&seen, &mut fetcher, get(way.at)).await;
    asked.reaches(1).await;

    // The server acts although it has not heard the end of the handshake.
    way.mute(true);
    let at = way.at;
    let waiting = tokio::spawn(async move { fetcher.fetch(get(at)).await.map(drop) });
    asked.reaches(2).await;
    let packets = way.heard.lock().unwrap().clone();
    assert!(packets.len() >= 2, "{}", packets.len());
    // It leaves, which the server hears.
    waiting.abort();

    // And again, from somewhere else. Once the server has forgotten that connection it begins another, and answers.
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    within(async {
        let mut answered = false;
        while !answered {
            for packet in &packets {
                other.send_to(packet, stage.socket_addr()).await.unwrap();
            }
            let answer = timeout(Duration::from_millis(50), other.recv(&mut [0; 2000])).await;
            answered = answer.is_ok();
        }
    })
    .await;
    // Whoever comes now comes after all of that.
    let (seen, mut fetcher) = new_fetcher(QuicVersion::One, false);
    ask(&seen, &mut fetcher, get(stage.socket_addr())).await;
    asked.reaches(3).await;
    stage.stop.cancel();
}

/// quinn with its own TLS, and h3.
fn stranger(server: &TlsServer) -> quinn::Endpoint {
    let mut roots = RootCertStore::empty();
    let own = server.certificate().unwrap().certificate;
    roots.add(own.der().to_vec().into()).unwrap();
    let mut tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.enable_early_data = true;
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

/// A request, whose answer is waited for.
async fn request(connection: quinn::Connection, method: Method) {
    let connection = h3_quinn::Connection::new(connection);
    let (mut driver, mut asking) = h3::client::new(connection).await.unwrap();
    let driving = tokio::spawn(async move {
        std::future::poll_fn(|cx| driver.poll_close(cx)).await;
    });
    let request = Request::builder().method(method).uri("https://localhost/");
    let mut stream = asking
        .send_request(request.body(()).unwrap())
        .await
        .unwrap();
    stream.finish().await.unwrap();
    stream.recv_response().await.unwrap();
    while stream.recv_data().await.unwrap().is_some() {}
    driving.abort();
}

#[tokio::test]
async fn what_may_change_something_waits_for_the_handshake() {
    let asked = Arc::<Asked>::default();
    let server = TlsServer::default();
    let config = PortConfig {
        tls: server.clone(),
        ..PortConfig::default()
    };
    let stage = Stage::with("127.0.0.1:0", config, asked.service()).await;
    let way = OneWay::to(stage.socket_addr()).await;
    let endpoint = stranger(&server);
    for _ in 0..2 {
        let connecting = endpoint.connect(way.at, "localhost").unwrap();
        within(request(connecting.await.unwrap(), Method::GET)).await;
    }
    asked.reaches(2).await;

    way.mute(true);
    let early = || {
        let (connection, _) = endpoint
            .connect(way.at, "localhost")
            .unwrap()
            .into_0rtt()
            .unwrap();
        connection
    };
    let posting = tokio::spawn(request(early(), Method::POST));
    while way.heard.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    // A request of somebody who has come after it is answered.
    let (seen, mut fetcher) = new_fetcher(QuicVersion::One, false);
    ask(&seen, &mut fetcher, get(stage.socket_addr())).await;
    asked.reaches(3).await;
    assert!(!posting.is_finished());
    way.mute(false);
    within(posting).await.unwrap();
    asked.reaches(4).await;
    stage.stop.cancel();
}
