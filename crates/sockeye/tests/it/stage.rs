//! What the tests stand on: a port that is served, someone who listens to what happens, bounded waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sockeye::{
    Address, DialOptions, Ending, Endpoint, Info, Listening, Observer, Port, PortConfig, Result,
    Service, Session, dial,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything here may take before a test fails.
const LONG: Duration = Duration::from_secs(15);

/// A framing, what stands on the wire, and the messages in it.
pub(crate) type Wire = (&'static str, &'static [u8], &'static [&'static [u8]]);

/// What `work` gives; a panic when it takes too long.
#[track_caller]
pub(crate) fn within<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let at = std::panic::Location::caller();
    async move {
        tokio::time::timeout(LONG, work)
            .await
            .unwrap_or_else(|_| panic!("nothing happened for {LONG:?}: {at}"))
    }
}

/// What a port tells its observer.
#[derive(Debug)]
pub(crate) enum Event {
    Opened(Arc<Info>),
    Closed(Closed),
    Trouble(String),
    Note(String),
}

/// The end of one session.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) peer: Endpoint,
    /// The name of the [`Ending`]'s variant.
    pub(crate) how: &'static str,
    pub(crate) text: String,
    pub(crate) is_reset: bool,
}

struct Ear(mpsc::UnboundedSender<Event>);

impl Observer for Ear {
    fn opened(&self, info: &Arc<Info>) {
        let _ = self.0.send(Event::Opened(info.clone()));
    }

    fn closed(&self, info: &Info, ending: &Ending) {
        let how = match ending {
            Ending::PeerFinished => "PeerFinished",
            Ending::ServiceFinished => "ServiceFinished",
            Ending::Idle(_) => "Idle",
            Ending::Stopped => "Stopped",
            Ending::Failed(_) => "Failed",
            _ => "?",
        };
        let is_reset = matches!(ending, Ending::Failed(error) if error.is_reset());
        let _ = self.0.send(Event::Closed(Closed {
            peer: info.peer().clone(),
            how,
            text: ending.to_string(),
            is_reset,
        }));
    }

    fn trouble(&self, error: &sockeye::Error) {
        let _ = self.0.send(Event::Trouble(error.to_string()));
    }

    fn note(&self, what: &str) {
        let _ = self.0.send(Event::Note(what.to_owned()));
    }
}

/// Events as they come.
pub(crate) struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    pub(crate) fn pair() -> (Arc<dyn Observer>, Self) {
        let (to, from) = mpsc::unbounded_channel();
        (Arc::new(Ear(to)), Self(from))
    }

    pub(crate) async fn next(&mut self) -> Event {
        within(self.0.recv()).await.expect("the port is gone")
    }

    /// The next session that opens; what else happens is passed over.
    pub(crate) async fn opened(&mut self) -> Arc<Info> {
        loop {
            if let Event::Opened(info) = self.next().await {
                return info;
            }
        }
    }

    /// The next session that ends.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            if let Event::Closed(closed) = self.next().await {
                return closed;
            }
        }
    }

    /// The next note that contains `part`.
    pub(crate) async fn note(&mut self, part: &str) -> String {
        loop {
            if let Event::Note(note) = self.next().await
                && note.contains(part)
            {
                return note;
            }
        }
    }

    /// What has happened already.
    pub(crate) fn so_far(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// A port with a service behind it.
pub(crate) struct Stage {
    pub(crate) listening: Vec<Listening>,
    pub(crate) events: Events,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<Result<()>>,
}

impl Stage {
    pub(crate) async fn new(at: &str, service: impl Service) -> Self {
        Self::with(at, PortConfig::default(), service).await
    }

    pub(crate) async fn with(at: &str, config: PortConfig, service: impl Service) -> Self {
        let (observer, events) = Events::pair();
        let config = PortConfig {
            observer: Some(observer),
            ..config
        };
        let port = Port::bind(&address(at), config).await.unwrap();
        let stop = CancellationToken::new();
        Self {
            listening: port.listening(),
            events,
            serving: tokio::spawn(port.serve(service, stop.clone())),
            stop,
        }
    }

    /// How the first socket is dialed.
    pub(crate) fn address(&self) -> Address {
        let first = &self.listening[0];
        let slashes = match first.at {
            Endpoint::Net(_) => "//",
            _ => "",
        };
        address(&format!("{}:{slashes}{}", first.protocol, first.at))
    }

    /// The address and port of the first socket.
    pub(crate) fn socket_addr(&self) -> SocketAddr {
        self.listening[0].at.socket_addr().unwrap()
    }

    pub(crate) async fn dial(&self) -> Session {
        within(dial(&self.address(), &DialOptions::default()))
            .await
            .unwrap()
    }

    /// Stops the port; it must have served well.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        within(self.serving).await.unwrap().unwrap();
    }
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// The next message.
#[track_caller]
pub(crate) fn heard(session: &mut Session) -> impl Future<Output = Vec<u8>> {
    let received = within(session.recv());
    async move {
        received
            .await
            .unwrap()
            .expect("the peer has finished")
            .data
            .to_vec()
    }
}

/// Bytes of as many messages as it takes to get `count` of them.
pub(crate) async fn heard_bytes(session: &mut Session, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(heard(session).await);
    }
    all
}

/// All messages up to the end.
pub(crate) async fn heard_to_the_end(session: &mut Session) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(message) = within(session.recv()).await.unwrap() {
        all.push(message.data.to_vec());
    }
    all
}

/// One question and its answer over a session that echoes.
pub(crate) async fn exchange(session: &mut Session, text: &'static str) {
    session.send(text).await.unwrap();
    assert_eq!(
        heard_bytes(session, text.len()).await,
        text.as_bytes(),
        "the echo of {text:?}"
    );
}
