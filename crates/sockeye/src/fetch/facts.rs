//! What is told of a conversation: events while it goes on, and the facts of each exchange.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Version};
use tokio::time::Instant;

use super::location::Location;
use super::order::Order;
use crate::error::Error;
use crate::session::{AnswerHead, EarlyData, Endpoint, Path, RequestHead, Tls};

/// Hears what happens while something is fetched. Called where it happens: be quick.
pub trait Witness: Send + Sync + 'static {
    /// This happened.
    fn saw(&self, event: &Event<'_>);
}

/// What happens while something is fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A host was found, in the order in which its addresses are tried.
    Resolved {
        /// The host as it was asked for.
        host: &'a str,
        /// Where it is.
        addresses: &'a [SocketAddr],
    },
    /// A connection stands; TLS is still to come.
    Connected {
        /// Our end.
        local: &'a Endpoint,
        /// The other.
        peer: &'a Endpoint,
        /// The proxy in between.
        proxy: Option<&'a str>,
    },
    /// TLS was agreed on.
    Secured(&'a Tls),
    /// A connection stands over QUIC, TLS included: HTTP/3.
    Quic(&'a Reach),
    /// The server says that it speaks HTTP/3 there, `HOST:PORT` or `:PORT`, which is remembered (RFC 7838).
    Alternative(&'a str),
    /// HTTP/3 was tried, and came to nothing; over TCP it goes on.
    NoQuic(&'a Error),
    /// This connection was there first, and the other way to the server is given up.
    Faster(&'a Reach),
    /// A connection of before is used again.
    Reused(&'a Reach),
    /// One that was to be used again was closed meanwhile; another is opened.
    Stale,
    /// It goes over a connection whose handshake is not over (0-RTT); what was agreed on is told when it is.
    Early(&'a Reach),
    /// That was in vain, and it is asked for again.
    NotEarly(NotEarly),
    /// The head of a request was sent.
    Asked(&'a RequestHead),
    /// An answer before the answer (RFC 9110, section 15.2).
    Interim {
        /// 100, 103, ….
        status: StatusCode,
        /// Its fields.
        headers: &'a HeaderMap,
    },
    /// The head of the answer came.
    Heard(&'a AnswerHead),
    /// The content has ended with these fields (RFC 9110, section 6.5).
    Trailers(&'a HeaderMap),
    /// A redirect is followed.
    Redirected {
        /// The status that said so.
        status: StatusCode,
        /// The method that is used there.
        method: &'a Method,
        /// Where it leads.
        to: &'a Location,
    },
    /// An exchange is over, whatever became of it.
    Ended(&'a Exchange),
}

/// Why a request is sent again that was sent before the handshake was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotEarly {
    /// The server did not look at it.
    Rejected,
    /// The server does not act on it before it knows who asks (425, RFC 8470).
    TooEarly,
    /// The connection came to nothing: one line.
    Failed(String),
}

/// A connection to a server.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Counts from 1 for each fetcher.
    pub number: u64,
    /// Our end.
    pub local: Endpoint,
    /// The other; only a name where a proxy resolves it, and the proxy's own where it passes on requests.
    pub peer: Endpoint,
    /// The proxy in between, without user and password.
    pub proxy: Option<String>,
    /// What was agreed on in TLS.
    pub tls: Option<Arc<Tls>>,
    /// What is spoken over it.
    pub version: Version,
    /// What the packets tell of the way, over QUIC: as of the last look, at each head and at each end.
    pub path: Option<Arc<Path>>,
}

impl Reach {
    /// What broke TLS, if that is what broke it.
    pub(super) fn fault(&self) -> Option<std::io::Error> {
        let fault = self.tls.as_ref()?.fault.get()?;
        Some(fault.again().into_io())
    }
}

/// When the phases of an exchange ended, each counted from its beginning. A phase that there was not is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// The host was found.
    pub resolved: Option<Duration>,
    /// A connection stood, the talk with a proxy included; over QUIC TLS is a part of that.
    pub connected: Option<Duration>,
    /// TLS was agreed on; over QUIC the same moment.
    pub secured: Option<Duration>,
    /// The request could be sent.
    pub ready: Option<Duration>,
    /// All of the request had been taken.
    pub sent: Option<Duration>,
    /// The head of the answer came.
    pub answered: Option<Duration>,
    /// It was over.
    pub ended: Option<Duration>,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was asked for.
    pub location: Location,
    /// How.
    pub method: Method,
    /// Over which connection.
    pub connection: Option<Arc<Reach>>,
    /// Whether that connection had served before.
    pub reused: bool,
    /// The status of the answer.
    pub status: Option<StatusCode>,
    /// Bytes of the request's content.
    pub sent: u64,
    /// Bytes of the answer's content, before they are decompressed.
    pub received: u64,
    /// Tickets that came meanwhile, with which later connections can be resumed (RFC 8446, section 4.6.1).
    pub tickets: u64,
    /// What became of what was sent before the handshake was over, on this connection or on one that was tried before.
    pub early_data: EarlyData,
    /// Whether all of the answer came.
    pub whole: bool,
    /// Why it failed: one line.
    pub failure: Option<String>,
    /// How long everything took.
    pub timings: Timings,
    pub(super) began: Instant,
    pub(super) tickets_before: u64,
    /// The handshake was not over when it was sent.
    pub(super) went_early: bool,
}

impl Exchange {
    pub(super) fn begin(order: &Order, tickets_before: u64) -> Self {
        Self {
            location: order.location.clone(),
            method: order.method.clone(),
            connection: None,
            reused: false,
            status: None,
            sent: 0,
            received: 0,
            tickets: 0,
            early_data: EarlyData::None,
            went_early: false,
            whole: false,
            failure: None,
            timings: Timings::default(),
            began: Instant::now(),
            tickets_before,
        }
    }

    /// How long it has taken so far.
    pub(super) fn now(&self) -> Option<Duration> {
        Some(self.began.elapsed())
    }

    pub(super) fn fail(&mut self, error: &Error) {
        self.failure = Some(error.to_string());
        self.timings.ended = self.now();
    }
}
