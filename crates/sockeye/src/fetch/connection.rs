//! A connection to a server: how it is opened, and what is asked over it.
//!
//! What is asked for here is a request with a body, and what comes back is an answer with one, whatever the version.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, Version, header};
use tokio::time::{Instant, timeout};
use wire::address::{Host, HostPort};
use wire::upstream::{Credentials, Kind, Proxy};

use super::facts::{Event, Exchange, Reach, Timings};
use super::{Location, Options, Speaks};
use crate::dial::{self, DialOptions};
use crate::error::{Error, Operation, Result};
use crate::protocol::h3;
use crate::protocol::http::{self as protocol, Client};
use crate::protocol::tls::{HTTP1, HTTP2};
use crate::request::{Body, basic_authorization};
use crate::session::{EarlyData, RequestHead};

/// A connection that requests can be sent over, one after the other.
pub(super) struct Connection {
    pub(super) reach: Arc<Reach>,
    location: Location,
    carrier: Carrier,
    /// Where the handshake is still under way.
    early: Option<dial::Early>,
    /// What the proxy is told of us, where it passes on requests and not bytes; `None` where it does not.
    relay: Option<Option<HeaderValue>>,
}

/// What carries requests.
enum Carrier {
    /// HTTP/1.1 or HTTP/2 over a byte stream.
    Stream(Client),
    /// HTTP/3.
    Quic(h3::Client),
}

impl Connection {
    /// Whether it can be used for that.
    pub(super) fn leads_to(&self, location: &Location, speaks: Speaks) -> bool {
        let fits = !is_http3_alone(location, speaks) || self.reach.version == Version::HTTP_3;
        fits && self.location.same_origin(location)
    }

    /// Whether another request can be sent.
    pub(super) async fn is_free(&mut self) -> bool {
        match &mut self.carrier {
            Carrier::Stream(client) => client.is_free().await,
            Carrier::Quic(client) => client.is_free(),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        match self.carrier {
            Carrier::Stream(client) => client.close().await,
            // Whoever keeps it says goodbye when it is dropped.
            Carrier::Quic(client) => drop(client),
        }
    }

    /// Makes a request one for the proxy that passes it on: it must know the server too (RFC 9112, section 3.2.2).
    pub(super) fn address(&self, head: &mut RequestHead) {
        let Some(authorization) = &self.relay else {
            return;
        };
        let absolute = format!("http://{}{}", self.location.authority(), head.uri);
        // A path and an authority that were read are a URL together.
        if let Ok(uri) = absolute.parse() {
            head.uri = uri;
        }
        if let Some(authorization) = authorization {
            head.headers
                .insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
        exchange: &mut Exchange,
        options: &Options,
    ) -> io::Result<Response<Body>> {
        match (&mut self.carrier, self.early.take()) {
            (Carrier::Stream(client), _) => client.send(request).await,
            (Carrier::Quic(client), None) => client.send(request).await,
            (Carrier::Quic(client), Some(early)) => {
                exchange.went_early = true;
                let mut sending = pin!(client.send(request));
                let mut settling = pin!(early.settle());
                let mut answered = None;
                let settled = loop {
                    tokio::select! {
                        biased;
                        settled = &mut settling => break settled,
                        done = &mut sending, if answered.is_none() => answered = Some(done),
                    }
                };
                let (early, tls) = settled.map_err(io::Error::other)?;
                exchange.early_data = early;
                if early == EarlyData::Rejected {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                client.look();
                let timings = &mut exchange.timings;
                timings.connected = Some(exchange.began.elapsed());
                timings.secured = timings.connected;
                self.reach = Arc::new(Reach {
                    tls: Some(Arc::new(tls)),
                    ..(*self.reach).clone()
                });
                exchange.connection = Some(self.reach.clone());
                options.tell_quic(&self.reach);
                match answered {
                    Some(answered) => answered,
                    None => sending.await,
                }
            }
        }
    }
}

/// Opens one.
///
/// # Errors
/// When nobody is reached, or nothing can be agreed on.
pub(super) async fn open(
    location: &Location,
    options: &Options,
    number: u64,
    exchange: &mut Exchange,
    early: bool,
) -> Result<Connection> {
    let mut way = options.dial.clone();
    way.proxy = way.proxy.or_else(|| options.proxies.of(location).cloned());
    let known = options.alternatives.as_ref();
    let known = known.filter(|_| matches!(options.speaks, Speaks::Any | Speaks::First));
    let elsewhere = known.and_then(|known| known.place_of(location));
    let speaks = match (options.speaks, &elsewhere) {
        (Speaks::Any, Some(_)) => Speaks::First,
        (speaks, _) => speaks,
    };
    let ways = ways(location, speaks, way.proxy.as_ref())?;
    let mut opening = Opening {
        location,
        options,
        way: &way,
        addresses: Vec::new(),
        elsewhere,
        began: exchange.began,
        number,
    };
    if way.proxy.is_none() {
        let host = location.host_port();
        opening.addresses = find(&host, &way, options).await?;
        exchange.timings.resolved = exchange.now();
        let (host, addresses) = (&host.host.to_string(), &opening.addresses);
        options.tell(&Event::Resolved { host, addresses });
    }
    if early
        && ways != Ways::Stream
        && let Ok(Some(connection)) = opening.early().await
    {
        return Ok(connection);
    }
    let timings = &mut exchange.timings;
    match ways {
        Ways::Stream => opening.over_tcp(timings).await,
        Ways::Quic => opening.over_quic(timings).await,
        Ways::Both => {
            let mut of_quic = *timings;
            let racing = race(
                opening.over_quic(&mut of_quic),
                opening.over_tcp(timings),
                options,
            );
            let connection = Box::pin(racing).await?;
            match (connection.reach.version, known) {
                (Version::HTTP_3, _) => *timings = of_quic,
                (_, Some(known)) => known.was_no_good(location),
                _ => {}
            }
            Ok(connection)
        }
    }
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    Stream,
    Quic,
    /// Whichever is there first.
    Both,
}

/// Whether nothing else will do.
fn is_http3_alone(location: &Location, speaks: Speaks) -> bool {
    location.is_over_http3() || speaks == Speaks::Three
}

fn ways(location: &Location, speaks: Speaks, proxy: Option<&Proxy>) -> Result<Ways> {
    let refused = |why: String| Err(Error::unsupported(Operation::Fetch, location, why));
    match (
        is_http3_alone(location, speaks),
        location.is_secure(),
        proxy,
    ) {
        (true, false, _) => refused("HTTP/3 is always in TLS, which is https://".to_owned()),
        (true, true, Some(proxy)) => refused(format!(
            "{proxy} takes TCP only, and going past it would be no answer"
        )),
        (true, true, None) => Ok(Ways::Quic),
        (false, true, None) if speaks == Speaks::First => Ok(Ways::Both),
        (false, ..) => Ok(Ways::Stream),
    }
}

/// How long HTTP/3 is alone before TCP is tried, too: as one address before the next (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// The first of both to stand. Where QUIC comes to nothing it is TCP that says why nothing was reached.
async fn race(
    quic: impl Future<Output = Result<Connection>>,
    stream: impl Future<Output = Result<Connection>>,
    options: &Options,
) -> Result<Connection> {
    let (mut quic, mut stream) = (pin!(quic), pin!(stream));
    let lost = |error: Error| options.tell(&Event::NoQuic(&error));
    let won = match timeout(HEAD_START, &mut quic).await {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(error)) => {
            lost(error);
            return stream.await;
        }
        Err(_) => tokio::select! {
            biased;
            quic = &mut quic => match quic {
                Ok(opened) => opened,
                Err(error) => {
                    lost(error);
                    return stream.await;
                }
            },
            opened = &mut stream => match opened {
                Ok(opened) => opened,
                Err(first) => quic.await.map_err(|error| {
                    lost(error);
                    first
                })?,
            },
        },
    };
    options.tell(&Event::Faster(&won.reach));
    Ok(won)
}

/// What is needed to open one.
struct Opening<'a> {
    location: &'a Location,
    options: &'a Options,
    /// How it is reached, with the proxy that counts.
    way: &'a DialOptions,
    /// Where it is, unless a proxy finds out.
    addresses: Vec<SocketAddr>,
    /// Where HTTP/3 is, when that is another place.
    elsewhere: Option<HostPort>,
    began: Instant,
    number: u64,
}

impl Opening<'_> {
    fn now(&self) -> Option<Duration> {
        Some(self.began.elapsed())
    }

    /// HTTP/3.
    async fn over_quic(&self, timings: &mut Timings) -> Result<Connection> {
        let host = self.location.host_port();
        let addresses = self.of_http3().await?;
        // Wherever it is, it has to prove that it is the host of the URL.
        let client = Box::pin(dial::ask_host(&host, &addresses, self.way)).await?;
        timings.connected = self.now();
        timings.secured = timings.connected;
        let connection = self.with(client, None);
        self.options.tell_quic(&connection.reach);
        Ok(connection)
    }

    /// HTTP/3 before the handshake is over; `None` where no earlier connection allows that.
    async fn early(&self) -> Result<Option<Connection>> {
        let host = self.location.host_port();
        let addresses = self.of_http3().await?;
        let reached = Box::pin(dial::ask_host_early(&host, &addresses, self.way)).await?;
        Ok(reached.map(|(client, early)| {
            let connection = self.with(client, Some(early));
            self.options.tell(&Event::Early(&connection.reach));
            connection
        }))
    }

    /// Where HTTP/3 is.
    async fn of_http3(&self) -> Result<Cow<'_, [SocketAddr]>> {
        let host = self.location.host_port();
        Ok(
            match self.elsewhere.as_ref().filter(|place| **place != host) {
                Some(place) => find(place, self.way, self.options).await?.into(),
                None => self.addresses.as_slice().into(),
            },
        )
    }

    fn with(&self, client: h3::Client, early: Option<dial::Early>) -> Connection {
        let identity = client.identity();
        let reach = Reach {
            number: self.number,
            local: identity.local().clone(),
            peer: identity.peer().clone(),
            proxy: None,
            tls: identity.tls().filter(|_| early.is_none()).cloned(),
            version: Version::HTTP_3,
            path: identity.path().cloned(),
        };
        Connection {
            reach: Arc::new(reach),
            location: self.location.clone(),
            carrier: Carrier::Quic(client),
            early,
            relay: None,
        }
    }

    /// The other versions.
    async fn over_tcp(&self, timings: &mut Timings) -> Result<Connection> {
        let (location, options, way) = (self.location, self.options, self.way);
        let relaying = way
            .proxy
            .as_ref()
            .filter(|proxy| relays(proxy, location, options.speaks));
        let reached = match relaying {
            Some(proxy) => dial::reach_proxy(proxy, way).await?,
            None => dial::reach_host(&location.host_port(), &self.addresses, way).await?,
        };
        timings.connected = self.now();
        let (local, peer) = (reached.local.clone(), reached.peer.clone());
        let proxy = way.proxy.as_ref().map(ToString::to_string);
        options.tell(&Event::Connected {
            local: &local,
            peer: &peer,
            proxy: proxy.as_deref(),
        });
        let (stream, tls) = dial::converse(reached, alpn(location, options.speaks), way).await?;
        if let Some(tls) = &tls {
            timings.secured = self.now();
            options.tell(&Event::Secured(tls));
        }
        let agreed = tls.as_ref().and_then(|tls| tls.alpn.as_deref());
        let two = options.speaks == Speaks::Two || agreed == Some(HTTP2);
        let (speaks, version) = match two {
            true => (protocol::Version::Two, Version::HTTP_2),
            false => (protocol::Version::One, Version::HTTP_11),
        };
        let client = Client::open(stream, speaks).await;
        let client = client.map_err(|source| Error::io(Operation::Connect, location, source))?;
        let reach = Reach {
            number: self.number,
            local,
            peer,
            proxy,
            tls,
            version,
            path: None,
        };
        let basic =
            |who: &Credentials| basic_authorization(&format!("{}:{}", who.user, who.password));
        Ok(Connection {
            reach: Arc::new(reach),
            location: location.clone(),
            carrier: Carrier::Stream(client),
            early: None,
            relay: relaying.map(|proxy| proxy.credentials.as_ref().map(basic)),
        })
    }
}

/// Whether the proxy passes on requests: what it can read, and HTTP/1.1. Anything else goes through a tunnel.
fn relays(proxy: &Proxy, location: &Location, speaks: Speaks) -> bool {
    proxy.kind == Kind::Http && !location.is_secure() && speaks != Speaks::Two
}

/// Where the host is: as the options say, or as the system does. A proxy finds it itself.
async fn find(host: &HostPort, way: &DialOptions, options: &Options) -> Result<Vec<SocketAddr>> {
    if way.proxy.is_some() {
        return Ok(Vec::new());
    }
    if let Host::Name(name) = &host.host {
        let told = options.resolve.iter();
        let mut told =
            told.filter(|(other, port, _)| other.eq_ignore_ascii_case(name) && *port == host.port);
        if let Some((_, port, addresses)) = told.next_back() {
            return Ok(addresses.iter().map(|ip| (*ip, *port).into()).collect());
        }
    }
    dial::find(host, way).await
}

/// What is offered in TLS; nothing where there is none.
fn alpn(location: &Location, speaks: Speaks) -> &'static [&'static str] {
    match (location.is_secure(), speaks) {
        (false, _) => &[],
        (true, Speaks::Any | Speaks::Three | Speaks::First) => &[HTTP2, HTTP1],
        (true, Speaks::One) => &[HTTP1],
        (true, Speaks::Two) => &[HTTP2],
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.reach).finish()
    }
}
