//! QUIC through ports and dialing, and with a peer that speaks it by itself.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::rustls::pki_types::CertificateDer;
use quinn::rustls::{ClientConfig, RootCertStore};
use quinn::{Connection, VarInt};
use sockeye::service::{Echo, Sink};
use sockeye::{
    DialOptions, Error, PortConfig, QuicEnd, QuicVersion, Service, Session, TlsClient,
    TlsClientOptions, TlsServer, Token, dial, service_fn,
};

use crate::stage::{Stage, address, exchange, heard, heard_bytes, heard_to_the_end, within};

mod behaviour;
mod hostile;
mod webtransport;

/// A port that somebody speaks QUIC with.
struct Quic {
    stage: Stage,
    options: DialOptions,
    certificate: CertificateDer<'static>,
}

impl Quic {
    async fn new(at: &str, config: PortConfig, service: impl Service) -> Self {
        let tls = TlsServer::default();
        let certificate = tls.certificate().unwrap().certificate;
        let options = TlsClientOptions {
            pins: vec![certificate.sha256()],
            ..TlsClientOptions::default()
        };
        let config = PortConfig { tls, ..config };
        Self {
            stage: Stage::with(at, config, service).await,
            options: DialOptions {
                tls: TlsClient::new(options).unwrap(),
                ..DialOptions::default()
            },
            certificate: certificate.der().to_vec().into(),
        }
    }

    async fn echo() -> Self {
        Self::new("127.0.0.1:0", PortConfig::default(), Echo).await
    }

    fn at(&self) -> SocketAddr {
        self.stage.socket_addr()
    }

    async fn dial(&self) -> Session {
        self.try_dial().await.unwrap()
    }

    async fn try_dial(&self) -> sockeye::Result<Session> {
        let to = address(&format!("quic://{}", self.at()));
        within(dial(&to, &self.options)).await
    }

    /// Another session over datagrams.
    async fn dial_datagrams(&self) -> Session {
        let options = DialOptions {
            datagrams: true,
            ..self.options.clone()
        };
        let to = address(&format!("quic://{}", self.at()));
        within(dial(&to, &options)).await.unwrap()
    }

    /// A connection that is not made by us.
    async fn stranger(&self) -> Connection {
        within(self.knock()).await.unwrap()
    }

    /// The same, which speaks HTTP/3.
    async fn stranger_of_http(&self) -> Connection {
        within(self.knock_at(self.at(), "h3")).await.unwrap()
    }

    fn knock(&self) -> quinn::Connecting {
        self.knock_at(self.at(), "sockeye")
    }

    /// What a client begins with, and nothing that comes after it.
    async fn first_packet(&self) -> Vec<u8> {
        let listener = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let _connecting = self.knock_at(listener.local_addr().unwrap(), "sockeye");
        let mut first = vec![0; 2000];
        let n = within(listener.recv(&mut first)).await.unwrap();
        first.truncate(n);
        first
    }

    fn knock_at(&self, at: SocketAddr, alpn: &str) -> quinn::Connecting {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.into()];
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.connect_with(config, at, "localhost").unwrap()
    }
}

#[tokio::test]
async fn a_stream_is_a_session() {
    let mut quic = Quic::echo().await;
    let mut session = quic.dial().await;
    exchange(&mut session, "hello").await;
    let info = session.info().clone();
    let tls = info.tls().unwrap();
    assert_eq!((info.protocol(), tls.version), ("quic", "TLSv1.3"));
    assert_eq!(tls.alpn.as_deref(), Some("sockeye"));
    assert_eq!(tls.peer_certificates.len(), 1);
    session.finish().await.unwrap();
    assert_eq!(heard_to_the_end(&mut session).await, Vec::<Vec<u8>>::new());
    drop(session);
    assert!(info.path().unwrap().packets_sent() > 0);
    assert!(info.path().unwrap().rtt() > Duration::ZERO);
    let opened = quic.stage.events.opened().await;
    assert_eq!(opened.protocol(), "quic");
    assert_eq!(opened.peer(), info.local());
    assert_eq!(opened.local(), info.peer());
    assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
    quic.stage.end().await;
}

#[tokio::test]
async fn datagrams_are_a_session() {
    let quic = Quic::echo().await;
    let mut session = quic.dial_datagrams().await;
    assert!(session.keeps_boundaries());
    for text in ["one", "", "two"] {
        session.send(text).await.unwrap();
        assert_eq!(heard(&mut session).await, text.as_bytes());
    }
    let most = match session.send(vec![0; 100_000]).await {
        Err(Error::TooLarge {
            size: 100_000,
            limit,
            ..
        }) => limit,
        other => panic!("{other:?}"),
    };
    assert!((1000..1500).contains(&most), "{most}");
    session.send(vec![7; most]).await.unwrap();
    assert_eq!(heard(&mut session).await.len(), most);
    quic.stage.end().await;
}

#[tokio::test]
async fn what_is_sent_arrives_whole_also_when_the_sender_leaves() {
    const SIZE: usize = 8 * 1024 * 1024;
    let (heard, mut told) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |mut session: Session| {
        let heard = heard.clone();
        async move {
            let mut size = 0;
            while let Some(message) = session.recv().await? {
                size += message.data.len();
            }
            let _ = heard.send(size);
            session.close().await
        }
    });
    let quic = Quic::new("127.0.0.1:0", PortConfig::default(), service).await;
    let mut session = quic.dial().await;
    within(session.send(vec![1; SIZE])).await.unwrap();
    within(session.finish()).await.unwrap();
    drop(session);
    assert_eq!(within(told.recv()).await, Some(SIZE));
    quic.stage.end().await;
}

#[tokio::test]
async fn plain_datagrams_and_quic_share_the_socket() {
    let quic = Quic::echo().await;
    let mut session = quic.dial().await;
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    plain.set_nonblocking(true).unwrap();
    let plain = tokio::net::UdpSocket::from_std(plain).unwrap();
    plain.connect(quic.at()).await.unwrap();
    let mut greased = vec![0xc0, 0x51, 0x30, 0x33, 0x36];
    greased.resize(1300, 0x42);
    for datagram in [
        &b"hello"[..],
        b"",
        "你好，世界".as_bytes(),
        &[0xc4, 0xe3, 0xba, 0xc3],
        &[0xff; 1472],
        &[0x40; 9000],
        &greased,
    ] {
        plain.send(datagram).await.unwrap();
        exchange(&mut session, "beside it").await;
        let mut answer = vec![0; 10_000];
        let n = within(plain.recv(&mut answer)).await.unwrap();
        assert_eq!(&answer[..n], datagram);
    }
    quic.stage.end().await;
}

#[tokio::test]
async fn datagrams_that_look_like_quic_are_plain_where_it_is_not_spoken() {
    let quic = Quic::echo().await;
    let first = quic.first_packet().await;
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut answer = vec![0; 2000];
    let config = PortConfig {
        quic_beside: false,
        ..PortConfig::default()
    };
    for (at, config) in [
        ("127.0.0.1:0", config),
        ("udp://127.0.0.1:0", PortConfig::default()),
    ] {
        let plain = Quic::new(at, config, Echo).await;
        client.send_to(&first, plain.at()).await.unwrap();
        let size = within(client.recv(&mut answer)).await.unwrap();
        assert_eq!(answer[..size], first);
        plain.stage.end().await;
    }
    // Where it is, the same is answered with a handshake, whose packets have long headers.
    client.send_to(&first, quic.at()).await.unwrap();
    let size = within(client.recv(&mut answer)).await.unwrap();
    assert_eq!(answer[..5], [answer[0] | 0x80, 0, 0, 0, 1]);
    assert_ne!(answer[..size], first);
    // It stops without waiting for who will not come.
    quic.stage.end().await;
}

#[tokio::test]
async fn a_stop_lets_the_last_answers_out() {
    let quic = Quic::echo().await;
    let (mut session, mut datagrams) = (quic.dial().await, quic.dial_datagrams().await);
    exchange(&mut session, "before").await;
    datagrams.send("before").await.unwrap();
    assert_eq!(heard(&mut datagrams).await, b"before");
    let stopped = std::time::Instant::now();
    quic.stage.stop.cancel();
    assert_eq!(heard_to_the_end(&mut session).await, Vec::<Vec<u8>>::new());
    assert_eq!(
        heard_to_the_end(&mut datagrams).await,
        Vec::<Vec<u8>>::new()
    );
    within(quic.stage.serving).await.unwrap().unwrap();
    // Not the grace, which is for those who do not end.
    assert!(
        stopped.elapsed() < Duration::from_secs(4),
        "{:?}",
        stopped.elapsed()
    );
}
