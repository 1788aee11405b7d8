//! What a connection speaks, and who serves it: the one place on this side that chooses among protocols.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep, timeout};
use wire::address::Scheme;
use wire::sniff::{self, Matcher, Protocol};

use super::gate::Admission;
use super::guests::Guests;
use super::run::{Context, Place};
use crate::error::{Error, Operation, Result};
use crate::protocol::{h3, http, quic, tls};
use crate::service::{AnyService, Service};
use crate::session::{Ending, Endpoint, Identity, Link, Session};
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
///
/// It comes to be a session in a future of its own, which is gone when the session runs: there may be many, and most
/// of their life they wait. Not an `async fn`: that would keep its arguments twice.
pub(super) fn serve(
    spoken: Spoken,
    place: Place,
    session: Session,
    service: Arc<impl Service>,
) -> impl Future<Output = ()> + Send {
    let mut layer = Layer { place, session };
    async move {
        let mut below = Vec::new();
        if spoken != Spoken::Plain || layer.place.context().config.token.is_some() {
            let arrival = Arrival {
                spoken,
                service: AnyService::shared(service.clone()),
                below: Vec::new(),
            };
            match Box::pin(arrival.run(layer)).await {
                Some(arrived) => (layer, below) = arrived,
                None => return,
            }
        }
        if layer.place.open() {
            let serving = pin!(service.serve(layer.session));
            let served = layer.place.limit(serving).await;
            layer.place.leave(served);
        }
        leave(below);
    }
}

/// What is below a session ends well, however the session did.
const END: Result<(), Ending> = Ok(());

/// The layers below end, the uppermost first.
fn leave(below: Vec<Place>) {
    below.into_iter().rev().for_each(|place| place.leave(END));
}

/// What is to be done with a layer.
enum Stage {
    /// Look at the first bytes.
    Sniff(&'static [Matcher]),
    /// It is a protocol's.
    Enter(Protocol),
    /// The bytes are the session's.
    Converse,
    /// It is a session.
    Hold,
}

impl Stage {
    fn first(spoken: Spoken) -> Self {
        match spoken {
            Spoken::Any => Self::Sniff(sniff::TCP),
            Spoken::Plain => Self::Converse,
            Spoken::Http | Spoken::Ws => Self::Sniff(VERSION),
            Spoken::Tls | Spoken::Https | Spoken::Wss => Self::Enter(Protocol::Tls),
        }
    }

    fn inside_tls(spoken: Spoken) -> Self {
        match spoken {
            Spoken::Tls => Self::Converse,
            Spoken::Https | Spoken::Wss => Self::Sniff(VERSION),
            _ => Self::Sniff(INSIDE),
        }
    }
}

/// A connection on its way to become a session.
struct Arrival {
    spoken: Spoken,
    service: AnyService,
    /// The places of the layers below, which are kept until the session has ended.
    below: Vec<Place>,
}

impl Arrival {
    /// From layer to layer, to a session and the places below it. `None`: it has ended without one.
    async fn run(mut self, mut layer: Layer) -> Option<(Layer, Vec<Place>)> {
        let mut stage = Stage::first(self.spoken);
        loop {
            let next = match stage {
                Stage::Sniff(matchers) => self.sniff(layer, matchers).await,
                Stage::Enter(protocol) => self.enter(layer, protocol).await,
                Stage::Converse => layer.hear_token().await,
                Stage::Hold => return Some((layer, self.below)),
            };
            let Some(next) = next else {
                leave(self.below);
                return None;
            };
            (layer, stage) = next;
        }
    }

    /// Looks at the first bytes, and goes on as they say.
    async fn sniff(&self, layer: Layer, matchers: &'static [Matcher]) -> Option<(Layer, Stage)> {
        let Layer {
            mut place,
            mut session,
        } = layer;
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
                    place.leave(Err(Ending::Idle(limit)));
                    return None;
                }
                // Not a session before it has said the token.
                Ok(None) if config.token.is_some() => patience = None,
                Ok(None) => {
                    if !place.open() {
                        return None;
                    }
                    if self.service.speaks_first() {
                        session.refuse(matchers);
                        break Protocol::Raw;
                    }
                    patience = config.idle_timeout;
                }
                Err(error) => {
                    place.leave(Err(error));
                    return None;
                }
            }
        };
        let stage = match protocol {
            Protocol::Raw => Stage::Converse,
            other => Stage::Enter(other),
        };
        Some((Layer { place, session }, stage))
    }

    /// Hands the bytes to a protocol. What comes of it keeps this layer's place until it has ended.
    async fn enter(&mut self, layer: Layer, protocol: Protocol) -> Option<(Layer, Stage)> {
        let Layer { place, session } = layer;
        let identity = session.info().identity().clone();
        let lower = Lower {
            stream: session.into_lower(),
            identity,
            context: place.context().clone(),
            service: self.service.clone(),
        };
        let entered = match protocol {
            Protocol::Tls => lower.tls(self.spoken).await,
            // Boxed: what is in TLS should not have room for it.
            Protocol::Http1 => Box::pin(lower.http(http::Version::One, self.spoken)).await,
            Protocol::Http2 => Box::pin(lower.http(http::Version::Two, self.spoken)).await,
            Protocol::Raw => Ok(None),
        };
        match entered {
            Ok(Some(above)) => {
                // One or two in all.
                self.below.reserve_exact(1);
                self.below.push(place);
                Some(above)
            }
            Ok(None) => {
                place.leave(END);
                None
            }
            Err(error) => {
                if !place.is_open() {
                    place.context().note(&error.to_string());
                }
                place.leave(Err(error));
                None
            }
        }
    }
}

impl Layer {
    fn above(context: &Arc<Context>, session: Session) -> Self {
        let place = Place::wait(context, &session, Admission::default());
        Self { place, session }
    }

    /// The bytes are the session's, once it has said the token.
    async fn hear_token(self) -> Option<(Self, Stage)> {
        let Self { place, mut session } = self;
        if let Some(token) = &place.context().config.token
            && !knows(token, &place, &mut session).await
        {
            refuse(&place, session).await;
            return None;
        }
        Some((Self { place, session }, Stage::Hold))
    }
}

/// Serves a QUIC connection, whose first session has its room in `admission`.
pub(super) async fn quic(
    shaken: quic::Shaken,
    local: Endpoint,
    peer: Endpoint,
    guests: Guests,
    _admission: Admission,
) -> Result<()> {
    let context = guests.context.clone();
    let facts = shaken.tls();
    let identity = context.identity("quic", local, peer);
    let identity = identity.in_tls(Arc::new(facts));
    if identity.tls().and_then(|tls| tls.alpn.as_deref()) == Some(tls::HTTP3) {
        let address = identity.peer().to_string();
        let connection = asked(guests, identity.over("h3"), Spoken::Any);
        let served = Box::pin(h3::serve(shaken, connection)).await;
        return served.map_err(|source| Error::io(Operation::Receive, address, source));
    }
    let terms = quic::Terms {
        identity,
        framing: context.config.framing.clone(),
        max_message: context.config.max_message,
    };
    quic::serve(shaken, terms, context.config.grace, Arc::new(guests)).await
}

/// What all requests of a connection share.
fn asked(guests: Guests, identity: Identity, spoken: Spoken) -> http::Connection {
    let context = guests.context.clone();
    let config = &context.config;
    let local = identity.local().socket_addr();
    let beside = spoken == Spoken::Any && config.quic_beside;
    let local = local.filter(|_| beside);
    // Browsers believe it only of who has proven its name.
    let told = local.filter(|_| identity.protocol() == "https");
    http::Connection {
        service: guests.service.clone(),
        elsewhere: told.and_then(|told| http::elsewhere(told.port())),
        webtransport: local.is_some(),
        identity: Arc::new(identity),
        framing: config.framing.clone(),
        max_message: config.max_message,
        settings: config.http.clone(),
        websocket: config.websocket.clone(),
        only_websocket: matches!(spoken, Spoken::Ws | Spoken::Wss),
        token: config.token.clone(),
        grace: config.grace,
        host: Arc::new(guests),
    }
}

/// Whether the first line is the token.
pub(super) async fn knows(token: &Token, place: &Place, session: &mut Session) -> bool {
    let line = poll_fn(|cx| session.poll_line(MAX_TOKEN + "\r\n".len(), cx));
    match place.until_goodbye(timeout(HANDSHAKE, line)).await {
        Some(Ok(Ok(line))) => token.is_line(&line),
        // Gone, stopped, or silent: in any case not somebody who knows it.
        _ => false,
    }
}

/// Turns away who does not know the token.
pub(super) async fn refuse(place: &Place, mut session: Session) {
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
    context: Arc<Context>,
    service: AnyService,
}

impl Lower {
    async fn tls(self, spoken: Spoken) -> Result<Option<(Layer, Stage)>> {
        let context = self.context.clone();
        let identity = self.identity.over("tls");
        let may_be_http = spoken != Spoken::Tls;
        let shaken = tokio::select! {
            shaken = context.config.tls.accept(self.stream, may_be_http, &identity) => shaken,
            () = context.goodbye.cancelled() => return Ok(None),
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
            let inside = Self {
                stream,
                identity,
                ..self
            };
            return Box::pin(inside.http(version, spoken)).await;
        }
        let link = Link::Bytes(stream, context.config.framing.clone());
        let session = Session::new(link, identity, context.config.max_message);
        let layer = Layer::above(&context, session);
        Ok(Some((layer, Stage::inside_tls(spoken))))
    }

    async fn http(self, version: http::Version, spoken: Spoken) -> Result<Option<(Layer, Stage)>> {
        let context = self.context.clone();
        let scheme = match self.identity.tls() {
            Some(_) => "https",
            None => "http",
        };
        let peer = self.identity.peer().to_string();
        let guests = Guests::new(self.context, self.service);
        let connection = asked(guests, self.identity.over(scheme), spoken);
        let served = http::serve(self.stream, version, connection).await;
        let upgraded = served.map_err(|source| Error::io(Operation::Receive, peer, source))?;
        Ok(upgraded.map(|session| (Layer::above(&context, session), Stage::Hold)))
    }
}
