//! What a connection speaks, and who serves it: the one place on this side that chooses among protocols.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep, timeout};
use wire::address::Scheme;
use wire::sniff::{self, Matcher, Protocol};

use super::gate::Admission;
use super::run::{Context, Place};
use crate::error::{Error, Operation, Result};
use crate::protocol::{Host, Told, http, tls};
use crate::service::{AnyService, Service};
use crate::session::{Answered, Ending, Identity, Link, Session};
use crate::stream::ByteStream;
use crate::token::{MAX_TOKEN, Token};

/// Bytes that have come and tell nothing yet are taken as they are after this long.
const UNDECIDED: Duration = Duration::from_secs(3);

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Inside TLS there is no TLS.
const INSIDE: &[Matcher] = &[HTTP2, HTTP1];

/// Where only HTTP is spoken, what is not HTTP/2 is left to HTTP/1 to refuse.
const VERSION: &[Matcher] = &[
    HTTP2,
    Matcher {
        protocol: Protocol::Http1,
        matches: |_| sniff::Match::Yes,
    },
];

const HTTP2: Matcher = Matcher {
    protocol: Protocol::Http2,
    matches: sniff::http2,
};

const HTTP1: Matcher = Matcher {
    protocol: Protocol::Http1,
    matches: sniff::http1,
};

/// What may be spoken at a listener, as the address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// Whatever the client begins with.
    Any,
    /// Plain bytes, and nothing is looked at.
    Plain,
    /// TLS, and plain bytes inside.
    Tls,
    /// HTTP/1 or HTTP/2.
    Http,
    /// The same in TLS.
    Https,
    /// HTTP, and only to begin WebSocket sessions.
    Ws,
    /// The same in TLS.
    Wss,
}

impl Spoken {
    /// What an address with this scheme is to speak over TCP; `None` when that is not TCP's to carry.
    pub(super) fn by(scheme: Option<Scheme>) -> Option<Self> {
        Some(match scheme {
            None => Self::Any,
            Some(Scheme::Tcp) => Self::Plain,
            Some(Scheme::Tls) => Self::Tls,
            Some(Scheme::Http) => Self::Http,
            Some(Scheme::Https) => Self::Https,
            Some(Scheme::Ws) => Self::Ws,
            Some(Scheme::Wss) => Self::Wss,
            Some(_) => return None,
        })
    }

    /// As it is announced.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any | Self::Plain => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// One layer of a connection: a session over its bytes, should they be plain.
struct Layer {
    place: Place,
    session: Session,
}

/// Serves a connection, whatever it turns out to speak.
pub(super) async fn serve(
    spoken: Spoken,
    place: Place,
    session: Session,
    service: Arc<impl Service>,
) {
    let layer = Layer { place, session };
    match spoken {
        Spoken::Any => layer.sniff(sniff::TCP, spoken, service).await,
        Spoken::Plain => layer.converse(service).await,
        Spoken::Http | Spoken::Ws => layer.sniff(VERSION, spoken, service).await,
        Spoken::Tls | Spoken::Https | Spoken::Wss => {
            Box::pin(layer.enter(Protocol::Tls, spoken, service)).await;
        }
    }
}

impl Layer {
    /// The bytes are the session's.
    async fn converse(self, service: Arc<impl Service>) {
        let Self { place, mut session } = self;
        if let Some(token) = &place.context().config.token
            && !knows(token, &place, &mut session).await
        {
            return refuse(&place, session).await;
        }
        Self { place, session }.hold(service).await;
    }

    /// It is a session.
    async fn hold(self, service: Arc<impl Service>) {
        let Self { mut place, session } = self;
        if place.open() {
            let served = place.limit(service.serve(session)).await;
            place.leave(served);
        }
    }

    /// Looks at the first bytes, and goes on as they say.
    async fn sniff(self, matchers: &'static [Matcher], spoken: Spoken, service: Arc<impl Service>) {
        let Self {
            mut place,
            mut session,
        } = self;
        let config = &place.context().clone().config;
        let mut patience = Some(config.greet_after);
        let protocol = loop {
            let looked = {
                let mut looking = pin!(look(&mut session, matchers, patience));
                match place.until_goodbye(looking.as_mut()).await {
                    Some(looked) => looked,
                    None => {
                        place.info().stop();
                        looking.await
                    }
                }
            };
            match looked {
                Ok(Some(protocol)) => break protocol,
                Ok(None) if place.is_open() => {
                    let limit = config.idle_timeout.unwrap_or_default();
                    return place.leave(Err(Ending::Idle(limit)));
                }
                // Not a session before it has said the token.
                Ok(None) if config.token.is_some() => patience = None,
                Ok(None) => {
                    if !place.open() {
                        return;
                    }
                    if service.speaks_first() {
                        session.refuse(matchers);
                        break Protocol::Raw;
                    }
                    patience = config.idle_timeout;
                }
                Err(error) => return place.leave(Err(error)),
            }
        };
        let layer = Self { place, session };
        match protocol {
            Protocol::Raw => layer.converse(service).await,
            other => Box::pin(layer.enter(other, spoken, service)).await,
        }
    }

    /// Hands the bytes to a protocol, and keeps this layer's place until that has ended.
    async fn enter(self, protocol: Protocol, spoken: Spoken, service: Arc<impl Service>) {
        let Self { place, session } = self;
        let identity = session.info().identity().clone();
        let lower = Lower {
            stream: session.into_lower(),
            identity,
            guests: Guests {
                context: place.context().clone(),
                service: AnyService::shared(service),
                inside: Arc::default(),
            },
        };
        let served = match protocol {
            Protocol::Tls => lower.tls(spoken).await,
            // Boxed: what is in TLS should not have room for it.
            Protocol::Http1 => Box::pin(lower.http(http::Version::One, spoken)).await,
            Protocol::Http2 => Box::pin(lower.http(http::Version::Two, spoken)).await,
            Protocol::Raw => Ok(()),
        };
        if let (Err(error), false) = (&served, place.is_open()) {
            place.context().note(&error.to_string());
        }
        place.leave(served);
    }
}

/// Whether the first line is the token.
async fn knows(token: &Token, place: &Place, session: &mut Session) -> bool {
    let line = poll_fn(|cx| session.poll_line(MAX_TOKEN + "\r\n".len(), cx));
    let line = pin!(timeout(HANDSHAKE, line));
    match place.until_goodbye(line).await {
        Some(Ok(Ok(line))) => token.is_line(&line),
        // Gone, stopped, or silent: in any case not somebody who knows it.
        _ => false,
    }
}

/// Turns away who does not know the token.
async fn refuse(place: &Place, mut session: Session) {
    let peer = session.info().peer().to_string();
    let context = place.context();
    context.note(&format!("refused {peer}: it did not say the token first"));
    let told = async {
        session
            .send("the token is missing or wrong: say it in the first line\n")
            .await?;
        session.close().await
    };
    // Whether it still listens is its own affair.
    let _ = timeout(HANDSHAKE, told).await;
}

/// Waits until it is known what the peer speaks. `None`: it has said nothing for as long as `patience`.
async fn look(
    session: &mut Session,
    matchers: &'static [Matcher],
    patience: Option<Duration>,
) -> Result<Option<Protocol>> {
    let mut undecided = false;
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if let Poll::Ready(looked) = session.poll_sniff(matchers, cx) {
            return Poll::Ready(looked.map(Some));
        }
        if !undecided && session.has_read_ahead() {
            undecided = true;
            timer = Some(Box::pin(sleep(UNDECIDED)));
        } else if timer.is_none() {
            timer = patience.map(|patience| Box::pin(sleep(patience)));
        }
        let Some(timer) = &mut timer else {
            return Poll::Pending;
        };
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Ok(undecided.then_some(Protocol::Raw)))
    })
    .await
}

/// What a protocol gets: the bytes below it, whose they are, and where its sessions go.
struct Lower {
    stream: ByteStream,
    identity: Identity,
    guests: Guests,
}

impl Lower {
    async fn tls(self, spoken: Spoken) -> Result<()> {
        let Self {
            stream,
            identity,
            guests,
        } = self;
        let context = guests.context.clone();
        let identity = identity.over("tls");
        let may_be_http = spoken != Spoken::Tls;
        let shaken = tokio::select! {
            shaken = context.config.tls.accept(stream, may_be_http, &identity) => shaken,
            () = context.goodbye.cancelled() => return Ok(()),
        };
        let (stream, facts) = shaken.map_err(|source| Error::Tls {
            operation: Operation::Secure,
            address: identity.peer().to_string(),
            source: source.into(),
        })?;
        let version = match facts.alpn.as_deref() {
            Some(tls::HTTP2) => Some(http::Version::Two),
            Some(tls::HTTP1) => Some(http::Version::One),
            _ => None,
        };
        let identity = identity.in_tls(Arc::new(facts));
        if let Some(version) = version {
            let lower = Self {
                stream,
                identity,
                guests,
            };
            return Box::pin(lower.http(version, spoken)).await;
        }
        let link = Link::Bytes(stream, context.config.framing.clone());
        let session = Session::new(link, identity, context.config.max_message);
        let place = Place::wait(&context, &session, Admission::default());
        let layer = Layer { place, session };
        let service = Arc::new(guests.service);
        match spoken {
            Spoken::Tls => layer.converse(service).await,
            Spoken::Https | Spoken::Wss => layer.sniff(VERSION, spoken, service).await,
            _ => layer.sniff(INSIDE, spoken, service).await,
        }
        Ok(())
    }

    async fn http(self, version: http::Version, spoken: Spoken) -> Result<()> {
        let context = self.guests.context.clone();
        let service = self.guests.service.clone();
        let config = &context.config;
        let scheme = match self.identity.tls() {
            Some(_) => "https",
            None => "http",
        };
        let peer = self.identity.peer().to_string();
        let connection = http::Connection {
            service: service.clone(),
            identity: Arc::new(self.identity.over(scheme)),
            framing: config.framing.clone(),
            max_message: config.max_message,
            settings: config.http.clone(),
            websocket: config.websocket.clone(),
            only_websocket: matches!(spoken, Spoken::Ws | Spoken::Wss),
            token: config.token.clone(),
            grace: config.grace,
            host: Arc::new(self.guests),
        };
        // Boxed, and gone when the connection has become a session that may live long.
        let serving = Box::pin(http::serve(self.stream, version, connection));
        let served = serving.await;
        let upgraded = served.map_err(|source| Error::io(Operation::Receive, peer, source))?;
        if let Some(session) = upgraded {
            let place = Place::wait(&context, &session, Admission::default());
            let layer = Layer { place, session };
            layer.hold(Arc::new(service)).await;
        }
        Ok(())
    }
}

/// The sessions inside a connection that carries several.
struct Guests {
    context: Arc<Context>,
    service: AnyService,
    /// Sessions that have not ended; the connection's own room is for one of them.
    inside: Arc<AtomicUsize>,
}

/// A session inside a connection.
struct Guest {
    inside: Arc<AtomicUsize>,
    admission: Admission,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Relaxed);
    }
}

impl Guests {
    /// Room for one more session.
    fn enter(&self) -> Option<Guest> {
        let inside = self.inside.clone();
        let first = inside.fetch_add(1, Relaxed) == 0;
        let mut guest = Guest {
            inside,
            admission: Admission::default(),
        };
        if !first {
            self.context.gate.try_enter(&mut guest.admission)?;
        }
        Some(guest)
    }
}

impl Host for Guests {
    fn open(&self, session: Session, told: Told) -> bool {
        let Some(guest) = self.enter() else {
            return false;
        };
        let mut place = Place::wait(&self.context, &session, Admission::default());
        if !place.open() {
            return false;
        }
        let service = self.service.clone();
        self.run(Box::pin(async move {
            let _guest = guest;
            let mut served = place.limit(service.serve(session)).await;
            if served.is_err() && place.info().is_stopping() {
                // It was not the peer that broke it off.
                served = Err(Ending::Stopped);
            }
            told(&served);
            place.leave(served);
        }));
        true
    }

    fn admit(&self) -> bool {
        self.context.admit()
    }

    fn answered(&self, answered: &Answered<'_>, counts: bool) {
        self.context.answered(answered, counts);
    }

    fn run(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        crate::task::spawn(&self.context.tracker, work);
    }

    fn goodbye(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.context.goodbye.cancelled())
    }

    fn is_leaving(&self) -> bool {
        self.context.leaving.load(Relaxed)
    }
}
