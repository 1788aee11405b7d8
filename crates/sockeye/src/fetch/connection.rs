//! A connection to a server: how it is opened, and what is asked over it.
//!
//! This is where another version of HTTP would come in: what is asked for here is a request with a body, and what
//! comes back is an answer with one.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, Version, header};
use wire::address::{Host, HostPort};
use wire::upstream::{Credentials, Kind, Proxy};

use super::facts::{Event, Exchange, Reach};
use super::{Location, Options, Speaks};
use crate::dial::{self, DialOptions};
use crate::error::{Error, Operation, Result};
use crate::protocol::http::{self as protocol, Client};
use crate::protocol::tls::{HTTP1, HTTP2};
use crate::request::{Body, basic_authorization};
use crate::session::RequestHead;

/// A connection that requests can be sent over, one after the other.
pub(super) struct Connection {
    pub(super) reach: Arc<Reach>,
    location: Location,
    client: Client,
    /// What the proxy is told of us, where it passes on requests and not bytes; `None` where it does not.
    relay: Option<Option<HeaderValue>>,
}

impl Connection {
    /// Whether it can be used for that.
    pub(super) fn leads_to(&self, location: &Location) -> bool {
        self.location.same_origin(location)
    }

    /// Whether another request can be sent.
    pub(super) async fn is_free(&mut self) -> bool {
        self.client.is_free().await
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        self.client.close().await;
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
    pub(super) async fn send(&mut self, request: Request<Body>) -> std::io::Result<Response<Body>> {
        self.client.send(request).await
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
) -> Result<Connection> {
    let host = location.host_port();
    let mut way = options.dial.clone();
    way.proxy = way.proxy.or_else(|| options.proxies.of(location).cloned());
    let relaying = way
        .proxy
        .as_ref()
        .filter(|proxy| relays(proxy, location, options.speaks));
    let reached = match relaying {
        Some(proxy) => dial::reach_proxy(proxy, &way).await?,
        None => {
            let addresses = find(&host, &way, options).await?;
            if way.proxy.is_none() {
                exchange.timings.resolved = exchange.now();
                let (host, addresses) = (&host.host.to_string(), &addresses);
                options.tell(&Event::Resolved { host, addresses });
            }
            dial::reach_host(&host, &addresses, &way).await?
        }
    };
    exchange.timings.connected = exchange.now();
    let (local, peer) = (reached.local.clone(), reached.peer.clone());
    let proxy = way.proxy.as_ref().map(ToString::to_string);
    options.tell(&Event::Connected {
        local: &local,
        peer: &peer,
        proxy: proxy.as_deref(),
    });
    let (stream, tls) = dial::converse(reached, alpn(location, options.speaks), &way).await?;
    if let Some(tls) = &tls {
        exchange.timings.secured = exchange.now();
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
        number,
        local,
        peer,
        proxy,
        tls,
        version,
    };
    let basic = |who: &Credentials| basic_authorization(&format!("{}:{}", who.user, who.password));
    Ok(Connection {
        reach: Arc::new(reach),
        location: location.clone(),
        client,
        relay: relaying.map(|proxy| proxy.credentials.as_ref().map(basic)),
    })
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
        (true, Speaks::Any) => &[HTTP2, HTTP1],
        (true, Speaks::One) => &[HTTP1],
        (true, Speaks::Two) => &[HTTP2],
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.reach).finish()
    }
}
