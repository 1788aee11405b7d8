//! What a client of another make may do, and what is said of it.

use super::*;

#[tokio::test]
async fn streams_of_one_connection_are_sessions_of_their_own() {
    let mut quic = Quic::echo().await;
    let connection = quic.stranger().await;
    let mut streams = Vec::new();
    for number in 0..20u8 {
        let (mut out, into) = connection.open_bi().await.unwrap();
        out.write_all(&[number]).await.unwrap();
        streams.push((number, out, into));
    }
    // Whichever is last heard of is not the last to be answered.
    for (number, mut out, mut into) in streams.into_iter().rev() {
        out.finish().unwrap();
        let all = within(into.read_to_end(10)).await.unwrap();
        assert_eq!(all, [number]);
    }
    for _ in 0..20 {
        assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
    }
    connection.close(VarInt::from_u32(0), b"");
    quic.stage.end().await;
}

#[tokio::test]
async fn a_stream_of_one_direction_can_only_be_heard() {
    let sink = Quic::new("127.0.0.1:0", PortConfig::default(), Sink::default()).await;
    let mut quic = sink;
    let connection = quic.stranger().await;
    let mut out = connection.open_uni().await.unwrap();
    out.write_all(b"for you").await.unwrap();
    out.finish().unwrap();
    assert_eq!(within(out.stopped()).await, Ok(None));
    assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
    quic.stage.end().await;

    let mut quic = Quic::echo().await;
    let connection = quic.stranger().await;
    let mut out = connection.open_uni().await.unwrap();
    out.write_all(b"and back?").await.unwrap();
    let closed = quic.stage.events.closed().await;
    assert!(
        closed.text.contains("its own direction only"),
        "{}",
        closed.text
    );
    quic.stage.end().await;
}

#[tokio::test]
async fn codes_of_streams_and_connections_are_told() {
    let mut quic = Quic::echo().await;
    let code = VarInt::from_u32;

    let connection = quic.stranger().await;
    let (mut out, _into) = connection.open_bi().await.unwrap();
    out.write_all(b"a").await.unwrap();
    quic.stage.events.opened().await;
    out.reset(code(7)).unwrap();
    let closed = quic.stage.events.closed().await;
    assert_eq!(closed.how, "Failed");
    assert!(
        closed
            .text
            .ends_with("the peer reset the stream with code 7"),
        "{}",
        closed.text
    );

    let (mut out, mut into) = connection.open_bi().await.unwrap();
    into.stop(code(8)).unwrap();
    out.write_all(b"a").await.unwrap();
    let closed = quic.stage.events.closed().await;
    assert!(
        closed
            .text
            .ends_with("the peer stopped reading the stream with code 8"),
        "{}",
        closed.text
    );

    let (mut out, _into) = connection.open_bi().await.unwrap();
    out.write_all(b"a").await.unwrap();
    quic.stage.events.opened().await;
    connection.close(code(42), b"bye");
    let closed = quic.stage.events.closed().await;
    assert!(
        closed
            .text
            .ends_with("the peer closed the connection with code 42: bye"),
        "{}",
        closed.text
    );
    // Where no session is there to tell it, the port does.
    quic.stranger().await.close(code(43), b"nobody");
    quic.stage.events.note("with code 43: nobody").await;
    quic.stage.end().await;
}

#[tokio::test]
async fn what_a_server_gives_as_a_code_is_an_error_with_it() {
    // The other end is not ours, and says why it leaves.
    let quic = Quic::echo().await;
    let server = foreign::server(&quic, "sockeye", |connection| async move {
        let (mut out, mut into) = connection.accept_bi().await.unwrap();
        let mut what = [0; 5];
        into.read_exact(&mut what).await.unwrap();
        match &what {
            b"reset" => {
                out.reset(VarInt::from_u32(1)).unwrap();
            }
            b"close" => connection.close(VarInt::from_u32(2), b"enough"),
            _ => connection.close(VarInt::from_u32(0), b""),
        }
        connection.closed().await;
    });
    let to = address(&format!("quic://{}", server.at));
    for (text, expected, code) in [
        ("reset", QuicEnd::Reset, 1),
        ("close", QuicEnd::Connection, 2),
    ] {
        let mut session = within(dial(&to, &server.options)).await.unwrap();
        session.send(text).await.unwrap();
        match within(session.recv()).await {
            Err(Error::QuicClosed {
                end, code: told, ..
            }) => {
                assert_eq!((end, told), (expected, code), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    // A connection that is closed without a reproach is an end.
    let mut session = within(dial(&to, &server.options)).await.unwrap();
    session.send("leave").await.unwrap();
    assert!(within(session.recv()).await.unwrap().is_none());
}

#[tokio::test]
async fn who_may_come_is_asked_as_anywhere() {
    let denying = PortConfig {
        deny: vec!["127.0.0.0/8".parse().unwrap()],
        ..PortConfig::default()
    };
    let full = PortConfig {
        sessions: Arc::new(tokio::sync::Semaphore::new(0)),
        ..PortConfig::default()
    };
    for (config, note) in [(denying, "not allowed"), (full, "as many sessions")] {
        let mut quic = Quic::new("127.0.0.1:0", config, Echo).await;
        let refused = quic.try_dial().await.unwrap_err();
        assert_eq!(
            refused.io_kind(),
            Some(std::io::ErrorKind::ConnectionRefused),
            "{refused}"
        );
        quic.stage.events.note(note).await;
        quic.stage.end().await;
    }
}

#[tokio::test]
async fn a_connection_is_one_of_so_many_sessions_of_an_address() {
    let config = PortConfig {
        sessions_per_address: Some(1),
        ..PortConfig::default()
    };
    let mut quic = Quic::new("127.0.0.1:0", config, Echo).await;
    let mut session = quic.dial().await;
    exchange(&mut session, "hello").await;
    assert!(quic.try_dial().await.is_err());
    quic.stage.events.note("has 1 sessions open already").await;
    within(session.close()).await.unwrap();
    // Its place is free when the connection is closed, and not before.
    let mut again = loop {
        if let Ok(again) = quic.try_dial().await {
            break again;
        }
    };
    exchange(&mut again, "hello").await;
    quic.stage.end().await;
}

#[tokio::test]
async fn the_token_comes_first_on_streams_and_in_datagrams() {
    let config = || PortConfig {
        token: Some(Token::new("open sesame").unwrap()),
        ..PortConfig::default()
    };
    let mut quic = Quic::new("127.0.0.1:0", config(), Echo).await;
    for knows in [true, false] {
        quic.options.token = knows.then(|| Token::new("open sesame").unwrap());
        let mut stream = quic.dial().await;
        let mut datagrams = quic.dial_datagrams().await;
        if knows {
            exchange(&mut stream, "hello").await;
            datagrams.send("hello").await.unwrap();
            assert_eq!(heard(&mut datagrams).await, b"hello");
            continue;
        }
        stream.send("hello\n").await.unwrap();
        let told = heard_bytes(&mut stream, 1).await;
        assert!(told.starts_with(b"the token is missing"), "{told:?}");
        datagrams.send("hello").await.unwrap();
        let told = heard(&mut datagrams).await;
        assert!(told.starts_with(b"the token is missing"), "{told:?}");
    }
    quic.stage.end().await;
}

#[tokio::test]
async fn many_strangers_at_once_have_to_prove_that_they_are_there() {
    let mut quic = Quic::echo().await;
    // They begin, and never answer.
    let mut answer = vec![0; 2000];
    let mut retried = 0;
    for number in 0..70 {
        let first = quic.first_packet().await;
        let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stranger.send_to(&first, quic.at()).await.unwrap();
        within(stranger.recv(&mut answer)).await.unwrap();
        // RFC 9000, section 17.2.5: the type of a Retry packet.
        let is_retry = answer[0] & 0xf0 == 0xf0;
        assert!(is_retry || number < 64, "stranger {number} was believed");
        retried += usize::from(is_retry);
    }
    assert!(retried > 0);
    // Who is there comes in.
    for version in [QuicVersion::One, QuicVersion::Two] {
        quic.options.quic.version = version;
        let mut session = quic.dial().await;
        exchange(&mut session, "hello").await;
        let path = session.info().path().unwrap();
        assert_eq!(
            (path.version(), path.was_retried()),
            (version.number(), true)
        );
    }
    quic.stage.end().await;
}

#[tokio::test]
async fn that_nobody_is_there_is_heard_at_once() {
    let quic = Quic::echo().await;
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let to = address(&format!("quic://{gone}"));
    let began = std::time::Instant::now();
    let error = within(dial(&to, &quic.options)).await.unwrap_err();
    let told = error.to_string();
    assert!(told.ends_with("connection refused"), "{told}");
    // Before anything would be sent again, which is after three times 333 ms (RFC 9002, section 6.2.2).
    assert!(began.elapsed() < Duration::from_millis(900), "{began:?}");
    quic.stage.end().await;
}

#[tokio::test]
async fn who_leaves_is_gone_at_once() {
    let mut quic = Quic::echo().await;
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let mut session = quic.dial_datagrams().await;
        session.send("hello").await.unwrap();
        assert_eq!(heard(&mut session).await, b"hello");
        let left = std::time::Instant::now();
        drop(session);
        assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
        quickest = quickest.min(left.elapsed());
    }
    // Nothing waits to be sent, so nothing is waited for.
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    quic.stage.end().await;
}

#[tokio::test]
async fn another_version_is_told_which_there_is() {
    let quic = Quic::echo().await;
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for version in [0x1a2a_3a4au32, 0xff00_001d] {
        let mut first = vec![0xc0];
        first.extend(version.to_be_bytes());
        first.extend(b"\x08invented\x06client\x00\x44\x00");
        first.resize(1200, 0);
        client.send_to(&first, quic.at()).await.unwrap();
        let mut answer = vec![0; 2000];
        let n = within(client.recv(&mut answer)).await.unwrap();
        // RFC 9000, section 17.2.1: version 0, the ids changed places, and the versions there are.
        assert_eq!(answer[1..5], [0; 4]);
        assert_eq!(&answer[5..21], b"\x06client\x08invented");
        let versions: Vec<_> = answer[21..n].chunks(4).collect();
        for version in [b"\0\0\0\x01", b"\x6b\x33\x43\xcf"] {
            assert!(versions.contains(&&version[..]), "{versions:x?}");
        }
    }
    quic.stage.end().await;
}

#[tokio::test]
async fn a_client_that_moves_stays_the_same_session() {
    let mut quic = Quic::echo().await;
    quic.options.migrate_after = Some(Duration::from_millis(1));
    let (observer, mut notes) = crate::stage::Events::pair();
    quic.options.observer = Some(observer);
    let mut session = quic.dial().await;
    exchange(&mut session, "here").await;
    let note = notes.note("moved from").await;
    assert!(note.ends_with("which answers there"), "{note}");
    exchange(&mut session, "and there").await;
    let moved = quic.stage.events.note("has moved to").await;
    assert!(
        moved.starts_with(&session.info().local().to_string()),
        "{moved}"
    );
    drop(session);
    quic.stage.end().await;
}

pub(super) mod foreign {
    use quinn::rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    pub(in crate::quic) struct Server {
        pub(in crate::quic) at: SocketAddr,
        pub(in crate::quic) options: DialOptions,
        _serving: tokio::task::JoinHandle<()>,
    }

    /// A server of another make that agrees on `alpn`, each of whose connections `serve` has.
    pub(in crate::quic) fn server<F: Future<Output = ()> + Send + 'static>(
        quic: &Quic,
        alpn: &str,
        serve: impl Fn(Connection) -> F + Send + 'static,
    ) -> Server {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![key.cert.der().clone()],
                PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
            )
            .unwrap();
        tls.alpn_protocols = vec![alpn.into()];
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let insecure = TlsClientOptions {
            insecure: true,
            ..TlsClientOptions::default()
        };
        Server {
            at: endpoint.local_addr().unwrap(),
            options: DialOptions {
                tls: TlsClient::new(insecure).unwrap(),
                ..quic.options.clone()
            },
            _serving: tokio::spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    let connection = incoming.await.unwrap();
                    tokio::spawn(serve(connection));
                }
            }),
        }
    }
}
