//! Many at once.

use sockeye::service::Upper;
use sockeye::{DialOptions, dial};
use tokio::task::JoinSet;

use crate::stage::{Event, Stage, heard_bytes, within};

const CLIENTS: usize = 2_000;

/// As many open files as the system lets us have: each client is two.
pub(crate) fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    let limits = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limits).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_are_all_answered() {
    allow_files();
    let mut stage = Stage::new("tcp://127.0.0.1:0", Upper).await;
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let at = stage.address();
        // Addresses of their own, so that the TIME-WAITs they leave are in nobody's way.
        let source = [127, 0, 1, 1 + (n % 20) as u8];
        let options = DialOptions {
            source_address: Some(source.into()),
            ..DialOptions::default()
        };
        clients.spawn(async move {
            let mut session = dial(&at, &options).await.unwrap();
            session.send(format!("client {n}")).await.unwrap();
            let expected = format!("CLIENT {n}");
            let answer = heard_bytes(&mut session, expected.len()).await;
            assert_eq!(answer, expected.as_bytes());
            // Held open until all have an answer: they are here at the same time.
            session
        });
    }
    let sessions = within(clients.join_all()).await;
    assert_eq!(sessions.len(), CLIENTS);
    for session in sessions {
        session.close().await.unwrap();
    }
    let mut ended = 0;
    while ended < CLIENTS {
        match stage.events.next().await {
            Event::Closed(closed) => {
                assert_eq!(closed.how, "PeerFinished");
                ended += 1;
            }
            Event::Opened(_) => {}
            Event::Trouble(what) | Event::Note(what) => panic!("{what}"),
        }
    }
    stage.end().await;
}
