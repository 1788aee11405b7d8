//! TLS through ports and dialing: the same sessions, with what was agreed on.

use sockeye::service::{Echo, Upper};
use sockeye::{
    DialOptions, PortConfig, Session, TlsClient, TlsClientOptions, TlsServer, TlsServerOptions,
    dial, service_fn,
};
use tokio::io::AsyncReadExt;

use crate::stage::{Stage, address, exchange, heard_bytes, heard_to_the_end, within};

/// How to dial whoever shows the certificate of `server`.
fn trusting(server: &TlsServer) -> DialOptions {
    let pins = vec![server.certificate().unwrap().certificate.sha256()];
    let options = TlsClientOptions {
        pins,
        ..TlsClientOptions::default()
    };
    DialOptions {
        tls: TlsClient::new(options).unwrap(),
        ..DialOptions::default()
    }
}

/// A port and how to dial it in TLS.
async fn secured(
    at: &str,
    service: impl sockeye::Service,
) -> (Stage, sockeye::Address, DialOptions) {
    let tls = TlsServer::new(TlsServerOptions::default()).unwrap();
    let options = trusting(&tls);
    let config = PortConfig {
        tls,
        ..PortConfig::default()
    };
    let stage = Stage::with(at, config, service).await;
    let to = address(&format!("tls://localhost:{}", stage.socket_addr().port()));
    (stage, to, options)
}

#[tokio::test]
async fn one_port_speaks_with_and_without_tls() {
    let (mut stage, to, options) = secured("127.0.0.1:0", Upper).await;
    let mut plain = within(dial(
        &address(&format!("tcp://{}", stage.socket_addr())),
        &options,
    ))
    .await
    .unwrap();
    let mut secret = within(dial(&to, &options)).await.unwrap();
    for (session, protocol) in [(&mut plain, "tcp"), (&mut secret, "tls")] {
        session.send("hello").await.unwrap();
        assert_eq!(heard_bytes(session, 5).await, b"HELLO");
        assert_eq!(session.info().protocol(), protocol);
        let opened = stage.events.opened().await;
        assert_eq!(opened.protocol(), protocol);
        assert_eq!(opened.tls().is_some(), protocol == "tls");
        if let Some(tls) = opened.tls() {
            assert_eq!(tls.server_name.as_deref(), Some("localhost"));
            assert_eq!(session.info().tls().unwrap().cipher, tls.cipher);
        }
    }
    drop((plain, secret));
    stage.end().await;
}

#[tokio::test]
async fn sessions_that_are_dialed_alike_are_resumed() {
    let (stage, to, options) = secured("tls://127.0.0.1:0", Echo).await;
    for resumed in [false, true, true] {
        let mut session = within(dial(&to, &options)).await.unwrap();
        exchange(&mut session, "hello").await;
        assert_eq!(session.info().tls().unwrap().resumed, resumed);
        session.close().await.unwrap();
    }
    let again = DialOptions::default();
    let refused = within(dial(&to, &again)).await.unwrap_err();
    let told = refused.to_string();
    assert!(told.starts_with("cannot connect to localhost:"), "{told}");
    assert!(
        told.ends_with(": its certificate is self-signed") || told.contains("no authority"),
        "{told}"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_half_that_has_finished_hears_on() {
    let service = service_fn(async |mut session: Session| {
        let mut n = 0;
        while let Some(message) = session.recv().await? {
            n += message.data.len();
        }
        session.send(format!("{n} bytes")).await?;
        session.finish().await
    });
    let (mut stage, to, options) = secured("127.0.0.1:0", service).await;
    let mut session = within(dial(&to, &options)).await.unwrap();
    session.send(vec![7; 500_000]).await.unwrap();
    session.finish().await.unwrap();
    let heard = heard_to_the_end(&mut session).await.concat();
    assert_eq!(heard, b"500000 bytes");
    assert_eq!(stage.events.closed().await.how, "PeerFinished");
    assert!(stage.events.so_far().is_empty(), "nothing was noted");
    stage.end().await;
}

#[tokio::test]
async fn what_has_come_before_a_stop_is_answered() {
    let (stage, to, options) = secured("127.0.0.1:0", Echo).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let mut session = within(dial(&to, &options)).await.unwrap();
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
async fn both_halves_speak_at_once() {
    let (stage, to, options) = secured("127.0.0.1:0", Echo).await;
    let session = within(dial(&to, &options)).await.unwrap();
    let (mut receiver, mut sender) = session.split();
    const EACH: usize = 10_000;
    const TIMES: usize = 300;
    let sending = tokio::spawn(async move {
        for _ in 0..TIMES {
            sender.send(vec![1; EACH]).await.unwrap();
        }
        sender.finish().await.unwrap();
    });
    let mut n = 0;
    while let Some(message) = within(receiver.recv()).await.unwrap() {
        n += message.data.len();
    }
    assert_eq!(n, EACH * TIMES);
    within(sending).await.unwrap();
    stage.end().await;
}

#[tokio::test]
async fn a_cut_connection_is_noted_in_messages_and_in_a_stream() {
    let messages = service_fn(async |mut session: Session| {
        while session.recv().await?.is_some() {}
        session.finish().await
    });
    let stream = service_fn(async |session: Session| {
        let mut stream = session.into_stream();
        // An end is all that can come.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Ok(())
    });
    let note = "closed without close_notify: the end may be missing";
    let (mut stage, to, options) = secured("127.0.0.1:0", messages).await;
    drop(within(dial(&to, &options)).await.unwrap());
    stage.events.note(note).await;
    stage.end().await;
    let (mut stage, to, options) = secured("127.0.0.1:0", stream).await;
    drop(within(dial(&to, &options)).await.unwrap());
    stage.events.note(note).await;
    stage.end().await;
}

#[tokio::test]
async fn a_handshake_that_fails_is_noted_and_is_no_session() {
    let (mut stage, to, _) = secured("127.0.0.1:0", Echo).await;
    let strangers = DialOptions {
        tls: TlsClient::new(TlsClientOptions {
            pins: vec!["00".repeat(32).parse().unwrap()],
            ..TlsClientOptions::default()
        })
        .unwrap(),
        ..DialOptions::default()
    };
    within(dial(&to, &strangers)).await.unwrap_err();
    let told = stage.events.note("cannot speak TLS with 127.0.0.1:").await;
    assert!(
        told.ends_with("it denies us access (alert access_denied)"),
        "{told}"
    );
    assert!(stage.events.so_far().is_empty(), "no session was opened");
    stage.end().await;
}
