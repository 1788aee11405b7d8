//! Every kind of address with every basic service, over real sockets.

use bytes::Bytes;
use sockeye::service::{Echo, Hello, Reply, Sink, Target, Upper};
use sockeye::{Service, Session};

use crate::stage::{Stage, heard, heard_bytes, heard_to_the_end};

/// A kind of address; `FOLDER` stands for a folder of the test's own.
const KINDS: &[&str] = &[
    "tcp://127.0.0.1:0",
    "tcp://[::1]:0",
    "udp://127.0.0.1:0",
    "udp://[::1]:0",
    "unix:FOLDER/stream",
    "unix:@FOLDER/stream",
    "unixgram:FOLDER/datagram",
    "unixgram:@FOLDER/datagram",
];

/// Opens a port of each kind with `service` behind it, and lets `talk` talk to it.
async fn each_kind<S: Service>(
    service: impl Fn() -> S,
    talk: impl AsyncFn(&mut Stage, Session, &str),
) {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let at = kind.replace("FOLDER", folder.path().to_str().unwrap());
        let mut stage = Stage::new(&at, service()).await;
        let session = stage.dial().await;
        let scheme = kind.split_once(':').unwrap().0;
        assert_eq!(session.info().protocol(), scheme);
        assert_eq!(stage.listening.len(), 1);
        assert_eq!(stage.listening[0].protocol, scheme);
        talk(&mut stage, session, kind).await;
        stage.end().await;
    }
}

/// Sends nothing more; where that can be told, the service ends and so does the session.
async fn part(mut session: Session, kind: &str) {
    if !session.keeps_boundaries() {
        session.finish().await.unwrap();
        assert!(heard_to_the_end(&mut session).await.is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn echo() {
    each_kind(
        || Echo,
        async |_, mut session, kind| {
            for text in ["one", "\0\u{ff}", "three"] {
                session.send(text).await.unwrap();
                assert_eq!(
                    heard_bytes(&mut session, text.len()).await,
                    text.as_bytes(),
                    "{kind}"
                );
            }
            part(session, kind).await;
        },
    )
    .await;
}

#[tokio::test]
async fn upper() {
    each_kind(
        || Upper,
        async |_, mut session, kind| {
            session.send("straße é").await.unwrap();
            let raised = "STRASSE É";
            assert_eq!(
                heard_bytes(&mut session, raised.len()).await,
                raised.as_bytes(),
                "{kind}"
            );
            part(session, kind).await;
        },
    )
    .await;
}

#[tokio::test]
async fn hello() {
    each_kind(Hello::default, async |_, mut session, kind| {
        if session.keeps_boundaries() {
            // The session opens with the first datagram.
            session.send("Ann").await.unwrap();
            assert_eq!(heard(&mut session).await, b"hello!", "{kind}");
            assert_eq!(heard(&mut session).await, b"Hello, Ann!", "{kind}");
        } else {
            assert_eq!(heard_bytes(&mut session, 7).await, b"hello!\n", "{kind}");
            session.send("Ann\n").await.unwrap();
            assert_eq!(
                heard_bytes(&mut session, 12).await,
                b"Hello, Ann!\n",
                "{kind}"
            );
        }
        part(session, kind).await;
    })
    .await;
}

#[tokio::test]
async fn reply() {
    let service = || Reply {
        answer: Bytes::from_static(b"ACK"),
        close: false,
        content_type: None,
    };
    each_kind(service, async |_, mut session, kind| {
        for _ in 0..2 {
            session.send("?").await.unwrap();
            assert_eq!(heard_bytes(&mut session, 3).await, b"ACK", "{kind}");
        }
        part(session, kind).await;
    })
    .await;
}

#[tokio::test]
async fn sink() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("got");
    let service = || Sink {
        target: Target::File(name.clone()),
    };
    each_kind(service, async |stage, mut session, kind| {
        session.send("kept").await.unwrap();
        let info = stage.events.opened().await;
        while info.counters().messages_in() == 0 {
            tokio::task::yield_now().await;
        }
        if session.keeps_boundaries() {
            stage.stop.cancel();
        } else {
            part(session, kind).await;
        }
        stage.events.note("saved 4 bytes").await;
        assert_eq!(std::fs::read(&name).unwrap(), b"kept", "{kind}");
        std::fs::remove_file(&name).unwrap();
    })
    .await;
}
