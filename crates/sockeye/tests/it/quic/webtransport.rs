//! Sessions of WebTransport through ports and dialing.

use super::behaviour::foreign;
use super::*;

impl Quic {
    async fn session(&self, path: &str) -> Session {
        self.try_session(path).await.unwrap()
    }

    async fn try_session(&self, path: &str) -> sockeye::Result<Session> {
        let to = address(&format!("wt://{}{path}", self.at()));
        within(dial(&to, &self.options)).await
    }
}

#[tokio::test]
async fn a_stream_of_a_session_is_a_session_of_ours() {
    let mut quic = Quic::echo().await;
    let mut session = quic.session("/chat?a=b").await;
    exchange(&mut session, "hello").await;
    let info = session.info().clone();
    assert_eq!(info.protocol(), "wt");
    assert_eq!(info.request().unwrap().target(), "/chat?a=b");
    assert_eq!(info.tls().unwrap().alpn.as_deref(), Some("h3"));
    session.finish().await.unwrap();
    assert_eq!(heard_to_the_end(&mut session).await, Vec::<Vec<u8>>::new());
    drop(session);
    let opened = quic.stage.events.opened().await;
    assert_eq!(opened.protocol(), "wt");
    assert_eq!((opened.peer(), opened.local()), (info.local(), info.peer()));
    assert_eq!(opened.request().unwrap().target(), "/chat?a=b");
    assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
    quic.stage.end().await;
}

#[tokio::test]
async fn the_datagrams_of_a_session_are_packets() {
    let mut quic = Quic::echo().await;
    quic.options.datagrams = true;
    let mut session = quic.session("/").await;
    assert!(session.keeps_boundaries());
    for text in ["one", "", "two"] {
        session.send(text).await.unwrap();
        assert_eq!(heard(&mut session).await, text.as_bytes());
    }
    let limit = match session.send(vec![0; 100_000]).await {
        Err(Error::TooLarge { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    // The largest one that is said to fit does.
    let largest = vec![7; limit];
    session.send(largest.clone()).await.unwrap();
    assert_eq!(heard(&mut session).await, largest);
    assert!(session.send(vec![0; limit + 1]).await.is_err());
    drop(session);
    assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
    quic.stage.end().await;
}

#[tokio::test]
async fn a_client_that_is_gone_is_heard_of_at_once_and_may_come_again() {
    let mut quic = Quic::echo().await;
    for _ in 0..3 {
        let mut session = quic.session("/").await;
        exchange(&mut session, "hello").await;
        drop(session);
        assert_eq!(quic.stage.events.closed().await.how, "PeerFinished");
    }
    quic.stage.end().await;
}

#[tokio::test]
async fn a_port_that_stops_ends_sessions_in_good_order() {
    let quic = Quic::echo().await;
    let mut session = quic.session("/").await;
    exchange(&mut session, "hello").await;
    let heard = tokio::spawn(async move { within(session.recv()).await });
    quic.stage.end().await;
    assert!(matches!(heard.await.unwrap(), Ok(None)));
}

#[tokio::test]
async fn a_session_moves_with_its_connection() {
    let mut quic = Quic::echo().await;
    // After the session has begun: one that begins elsewhere has not moved.
    quic.options.migrate_after = Some(Duration::from_millis(500));
    let (observer, mut notes) = crate::stage::Events::pair();
    quic.options.observer = Some(observer);
    let mut session = quic.session("/").await;
    exchange(&mut session, "here").await;
    notes.note("moved from").await;
    exchange(&mut session, "and there").await;
    quic.stage.events.note("has moved to").await;
    drop(session);
    quic.stage.end().await;
}

#[tokio::test]
async fn where_it_is_not_spoken_that_is_said() {
    let quic = Quic::new("quic://127.0.0.1:0", PortConfig::default(), Echo).await;
    let error = quic.try_session("/").await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    // One that speaks HTTP/3, and says nothing of this.
    let silent = foreign::server(&quic, "h3", |connection| async move {
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(b"\0\x04\0").await.unwrap();
        connection.closed().await;
    });
    let to = address(&format!("wt://{}/", silent.at));
    let error = within(dial(&to, &silent.options)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the server does not offer WebTransport"),
        "{error}"
    );
}
