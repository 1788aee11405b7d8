//! WebSocket over a served port, both of our ends and the bytes between them.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use sockeye::service::{Echo, Reply, Upper};
use sockeye::{
    DialOptions, Error, Kind, Message, PortConfig, Result, Session, Side, Token, WsSettings, dial,
    service_fn,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Stage, address, heard, within};

fn at(stage: &Stage, path: &str) -> sockeye::Address {
    address(&format!("ws://{}{path}", stage.socket_addr()))
}

async fn dialed(stage: &Stage, path: &str, options: &DialOptions) -> Result<Session> {
    within(dial(&at(stage, path), options)).await
}

/// Every way to the same session.
fn ways() -> [DialOptions; 4] {
    [(false, false), (true, false), (false, true), (true, true)].map(|(http2, compress)| {
        DialOptions {
            http2,
            websocket: WsSettings {
                compress,
                ..WsSettings::default()
            },
            ..DialOptions::default()
        }
    })
}

fn compressing() -> PortConfig {
    PortConfig {
        websocket: Arc::new(WsSettings {
            compress: true,
            ..WsSettings::default()
        }),
        ..PortConfig::default()
    }
}

#[tokio::test]
async fn one_number_echoes_over_every_way_and_keeps_the_kind() {
    let mut stage = Stage::with("127.0.0.1:0", compressing(), Echo).await;
    for options in ways() {
        let mut session = dialed(&stage, "/any/path?x=1", &options).await.unwrap();
        assert_eq!(
            (session.info().side(), session.info().protocol()),
            (Side::Dialed, "ws")
        );
        let info = stage.events.opened().await;
        assert_eq!(info.protocol(), "ws");
        let request = info.request().unwrap();
        assert_eq!(request.uri.path_and_query().unwrap(), "/any/path?x=1");
        for size in [0, 10, 1000, 100_000, 500_000] {
            for kind in [Kind::Text, Kind::Binary] {
                let message = Message {
                    kind,
                    ..vec![b'a'; size].into()
                };
                session.send(message.clone()).await.unwrap();
                assert_eq!(within(session.recv()).await.unwrap(), Some(message));
            }
        }
        session.finish().await.unwrap();
        assert_eq!(within(session.recv()).await.unwrap(), None);
        assert_eq!(stage.events.closed().await.how, "PeerFinished");
    }
    stage.end().await;
}

#[tokio::test]
async fn many_sessions_share_one_http2_connection_and_each_ends_by_itself() {
    let mut stage = Stage::new("http://127.0.0.1:0", Upper).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(dialed(&stage, "/", &ways()[1]).await.unwrap());
    }
    for session in &mut sessions {
        session.send("hello").await.unwrap();
        assert_eq!(heard(session).await, b"HELLO");
    }
    for session in sessions {
        within(session.close()).await.unwrap();
        assert_eq!(stage.events.closed().await.how, "PeerFinished");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_server_that_ends_says_so() {
    for options in ways() {
        let service = service_fn(async |mut session: Session| {
            session.recv().await?;
            session.send("enough").await?;
            session.close().await
        });
        let mut stage = Stage::new("127.0.0.1:0", service).await;
        let mut session = dialed(&stage, "/", &options).await.unwrap();
        session.send("").await.unwrap();
        assert_eq!(heard(&mut session).await, b"enough");
        assert_eq!(within(session.recv()).await.unwrap(), None);
        within(session.close()).await.unwrap();
        assert_eq!(stage.events.closed().await.how, "ServiceFinished");
        stage.end().await;
    }
}

#[tokio::test]
async fn a_stop_reaches_the_clients_of_every_way() {
    for options in ways() {
        let stage = Stage::new("127.0.0.1:0", Echo).await;
        let mut session = dialed(&stage, "/", &options).await.unwrap();
        session.send("last").await.unwrap();
        assert_eq!(heard(&mut session).await, b"last");
        let closing = async {
            assert_eq!(within(session.recv()).await.unwrap(), None);
            within(session.close()).await.unwrap();
        };
        tokio::join!(stage.end(), closing);
    }
}

#[tokio::test]
async fn what_the_server_says_against_it_reaches_the_caller() {
    let config = PortConfig {
        token: Some(Token::new("secret").unwrap()),
        ..PortConfig::default()
    };
    let stage = Stage::with("127.0.0.1:0", config, Echo).await;
    for http2 in [false, true] {
        let options = DialOptions {
            http2,
            ..DialOptions::default()
        };
        let error = dialed(&stage, "/", &options).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("the server answers 401 Unauthorized: the token is"),
            "{text}"
        );
        assert!(matches!(error, Error::Refused { status, .. } if status == 401));
        let options = DialOptions {
            token: Some(Token::new("secret").unwrap()),
            ..options
        };
        let mut session = dialed(&stage, "/", &options).await.unwrap();
        session.send("in").await.unwrap();
        assert_eq!(heard(&mut session).await, b"in");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_page_of_another_site_opens_nothing_unless_it_is_listed() {
    let websocket = WsSettings {
        origins: vec!["https://friend.example".to_owned()],
        ..WsSettings::default()
    };
    let config = PortConfig {
        websocket: Arc::new(websocket),
        ..PortConfig::default()
    };
    let stage = Stage::with("127.0.0.1:0", config, Echo).await;
    let own = format!("http://{}", stage.socket_addr());
    for http2 in [false, true] {
        for (origin, may) in [
            ("https://evil.example", false),
            ("null", false),
            ("https://friend.example", true),
            (own.as_str(), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            let options = DialOptions {
                headers,
                http2,
                ..DialOptions::default()
            };
            match dialed(&stage, "/", &options).await {
                Ok(session) => {
                    assert!(may, "{origin}");
                    within(session.close()).await.unwrap();
                }
                Err(Error::Refused { status, words, .. }) => {
                    assert!(!may, "{origin}");
                    assert_eq!(status, 403);
                    assert!(words.contains(origin), "{words}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_strange_name_for_this_machine_is_refused() {
    let stage = Stage::new("127.0.0.1:0", Echo).await;
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("evil.example"));
    headers.insert(
        header::ORIGIN,
        HeaderValue::from_static("http://evil.example"),
    );
    let options = DialOptions {
        headers,
        ..DialOptions::default()
    };
    let error = dialed(&stage, "/", &options).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status, .. } if status == 421),
        "{error}"
    );
    stage.end().await;
}

#[tokio::test]
async fn an_address_for_websocket_alone_serves_nothing_else() {
    let stage = Stage::new("ws://127.0.0.1:0", Echo).await;
    assert_eq!(stage.listening[0].protocol, "ws");
    let mut session = stage.dial().await;
    session.send("hi").await.unwrap();
    assert_eq!(heard(&mut session).await, b"hi");
    within(session.close()).await.unwrap();
    for (request, status) in [
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n",
            "426",
        ),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            "426",
        ),
        ("hello\r\n", "400"),
    ] {
        let answer = asked(&stage, request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    stage.end().await;
}

/// What the server answers to these bytes, up to its end.
async fn asked(stage: &Stage, request: &str) -> String {
    let mut tcp = TcpStream::connect(stage.socket_addr()).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut answer = Vec::new();
    within(tcp.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_wrong_handshake_gets_its_status() {
    let stage = Stage::new("127.0.0.1:0", Echo).await;
    for (request, status) in [
        (format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n"), "101"),
        (format!("{UPGRADE}\r\n"), "426"),
        (format!("{UPGRADE}Sec-WebSocket-Version: 99\r\n\r\n"), "426"),
        (
            format!("{UPGRADE}Sec-WebSocket-Version: 13\r\nOrigin: http://a\r\n\r\n"),
            "403",
        ),
        (
            UPGRADE.replace("dGhl", "") + "Sec-WebSocket-Version: 13\r\n\r\n",
            "400",
        ),
        (
            UPGRADE.replace("GET", "PUT") + "Sec-WebSocket-Version: 13\r\n\r\n",
            "400",
        ),
    ] {
        let answer = asked(&stage, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{answer}"
        );
        let says_version = answer.contains("sec-websocket-version: 13\r\n");
        assert_eq!(says_version, status == "426", "{answer}");
    }
    stage.end().await;
}

#[tokio::test]
async fn frames_that_come_with_the_request_are_not_lost() {
    let mut stage = Stage::new("127.0.0.1:0", Echo).await;
    let mut tcp = TcpStream::connect(stage.socket_addr()).await.unwrap();
    let request = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");
    let frames = b"\x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8";
    tcp.write_all(&[request.as_bytes(), frames].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    within(tcp.read_to_end(&mut answer)).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{text}"
    );
    assert!(
        answer.ends_with(b"\r\n\r\n\x81\x02hi\x88\x02\x03\xe8"),
        "{text}"
    );
    assert_eq!(stage.events.closed().await.how, "PeerFinished");
    stage.end().await;
}

#[tokio::test]
async fn what_breaks_a_session_is_reported_with_the_reason() {
    let mut stage = Stage::new("127.0.0.1:0", Echo).await;
    let request = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n");
    for (frame, reason) in [
        (&b"\x81\x82\0\0\0\0a\xff"[..], "not UTF-8: byte 1 is ff"),
        (b"\x81\x02hi", "not masked"),
        (
            b"\x82\xff\0\0\0\0\xff\xff\xff\xff\0\0\0\0",
            "more than 16777216 bytes",
        ),
        (b"\x88\x82\0\0\0\0\x03\xf3", "1011 (internal error)"),
        (b"", "1006 (no close frame)"),
    ] {
        let mut tcp = TcpStream::connect(stage.socket_addr()).await.unwrap();
        tcp.write_all(&[request.as_bytes(), frame].concat())
            .await
            .unwrap();
        tcp.shutdown().await.unwrap();
        let closed = stage.events.closed().await;
        assert_eq!(closed.how, "Failed");
        assert!(closed.text.contains(reason), "{}", closed.text);
    }
    stage.end().await;
}

#[tokio::test]
async fn a_subprotocol_is_known_at_both_ends() {
    let protocols = |names: &[&str]| WsSettings {
        protocols: names.iter().copied().map(str::to_owned).collect(),
        ..WsSettings::default()
    };
    let config = PortConfig {
        websocket: Arc::new(protocols(&["b", "c"])),
        ..PortConfig::default()
    };
    let mut stage = Stage::with("127.0.0.1:0", config, Echo).await;
    for (offered, agreed) in [(&["a", "b"][..], Some("b")), (&["a"], None), (&[], None)] {
        let options = DialOptions {
            websocket: protocols(offered),
            ..DialOptions::default()
        };
        let session = dialed(&stage, "/", &options).await.unwrap();
        assert_eq!(session.info().subprotocol(), agreed);
        assert_eq!(stage.events.opened().await.subprotocol(), agreed);
        within(session.close()).await.unwrap();
    }
    stage.end().await;
}

#[tokio::test]
async fn who_is_no_websocket_server_is_not_taken_for_one() {
    let reply = Reply {
        answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            .into(),
        close: false,
        content_type: None,
    };
    let stage = Stage::new("tcp://127.0.0.1:0", reply).await;
    let error = dialed(&stage, "/", &DialOptions::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the server does not prove that it speaks WebSocket")
    );
    assert!(matches!(error, Error::Protocol { .. }));
    let error = dialed(&stage, "/", &ways()[1]).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    stage.end().await;
}
