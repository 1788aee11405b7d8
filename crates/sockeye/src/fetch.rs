//! Fetching what a URL names, and showing how: an HTTP client that tells every step of the conversation.
//!
//! ```no_run
//! # async fn run() -> sockeye::Result<()> {
//! use sockeye::fetch::{Fetcher, Options, Order};
//!
//! let mut fetcher = Fetcher::new(Options { redirects: 50, ..Options::default() });
//! let mut answer = fetcher.fetch(Order::get("https://example.org/".parse()?)).await?;
//! println!("{} after {} redirects", answer.head.status, answer.hops.len());
//! while let Some(data) = answer.content.data().await {
//!     println!("{} bytes", data?.len());
//! }
//! let times = answer.content.exchange().timings;
//! println!("connected after {:?}, answered after {:?}", times.connected, times.answered);
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use http::{StatusCode, header};

use crate::dial::DialOptions;
use crate::error::{Error, Operation, Result};
use crate::protocol::h3::Unprocessed;
use crate::session::{AnswerHead, EarlyData};

mod alternatives;
mod coding;
mod connection;
mod content;
mod exchange;
mod facts;
mod location;
mod order;
mod proxies;
mod redirect;
mod upload;

pub use alternatives::Alternatives;
pub use content::Content;
pub use facts::{Event, Exchange, NotEarly, Reach, Timings, Witness};
pub use location::Location;
pub use order::{Order, Payload};
pub use proxies::{Exceptions, Proxies};

use connection::Connection;

/// Connections that are kept for the next request.
const IDLE: usize = 8;

/// Bytes of an answer that are read only to keep its connection.
const PASSED_OVER: u64 = 64 * 1024;

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    /// In TLS what both ends agree on by ALPN (RFC 7301), HTTP/2 rather than 1.1; without TLS HTTP/1.1.
    #[default]
    Any,
    /// HTTP/1.1 alone.
    One,
    /// HTTP/2 alone, also without TLS: prior knowledge (RFC 9113, section 3.3).
    Two,
    /// HTTP/3 alone, which is always in TLS. `h3://` says the same of one URL.
    Three,
    /// HTTP/3 where it is there first: it has a head start of 250 ms before TCP, as two addresses of one host have in
    /// RFC 8305. Without TLS HTTP/1.1.
    First,
}

/// How things are fetched.
#[derive(Clone, Default)]
pub struct Options {
    /// How hosts are reached. Its `timeout` is for connecting, with all that belongs to it; its `proxy` for
    /// everyone, whatever `proxies` says.
    pub dial: DialOptions,
    /// The version of HTTP.
    pub speaks: Speaks,
    /// Redirects that are followed for each order; none when 0.
    pub redirects: u32,
    /// Addresses of hosts that are not looked up: host, port, addresses.
    pub resolve: Vec<(String, u16, Vec<std::net::IpAddr>)>,
    /// Proxies by what is asked for.
    pub proxies: Proxies,
    /// Where HTTP/3 is said to be spoken: with [`Speaks::Any`] it is tried there as with [`Speaks::First`]. Nothing is
    /// remembered when `None`.
    pub alternatives: Option<Alternatives>,
    /// Ask for compressed answers, and decompress them.
    pub compressed: bool,
    /// Ask before the handshake is over (0-RTT, RFC 8470), over HTTP/3 and where the server has allowed it on an earlier
    /// connection of this fetcher: for what changes nothing there, because somebody else may say it again.
    pub early_data: bool,
    /// A connection of its own for each request.
    pub no_reuse: bool,
    /// Who hears what happens.
    pub witness: Option<Arc<dyn Witness>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("speaks", &self.speaks)
            .field("redirects", &self.redirects)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// A connection stands over QUIC.
    fn tell_quic(&self, reach: &Reach) {
        self.tell(&Event::Quic(reach));
        if let Some(tls) = &reach.tls {
            self.tell(&Event::Secured(tls));
        }
    }

    fn tell(&self, event: &Event<'_>) {
        if let Some(witness) = &self.witness {
            witness.saw(event);
        }
    }
}

/// Fetches one thing after the other, over connections that it keeps.
#[derive(Debug)]
pub struct Fetcher {
    options: Options,
    idle: Vec<Connection>,
    /// Connections that were opened so far.
    opened: u64,
}

/// An answer whose content is still to be read.
#[derive(Debug)]
pub struct Fetched {
    /// The answers that were redirects, each with what was known of it in the end.
    pub hops: Vec<(AnswerHead, Exchange)>,
    /// The head of the answer.
    pub head: AnswerHead,
    /// The answer's content, and what is known of the exchange.
    pub content: Content,
}

impl Fetcher {
    /// With these options.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            idle: Vec::new(),
            opened: 0,
        }
    }

    /// Asks for it, following redirects as the options say.
    ///
    /// A redirect is followed as browsers do it (WHATWG Fetch, "HTTP-redirect fetch"): 303 makes a GET of everything
    /// but HEAD, 301 and 302 of POST; 307 and 308 change nothing. `Authorization` and `Cookie` stay with the origin
    /// that they were meant for.
    ///
    /// # Errors
    /// When nobody is reached, the connection breaks, what comes is no HTTP, or redirects lead nowhere.
    pub async fn fetch(&mut self, mut order: Order) -> Result<Fetched> {
        let mut hops: Vec<(AnswerHead, Exchange)> = Vec::new();
        loop {
            let (head, mut content) = Box::pin(self.exchange(&order)).await?;
            let next = match self.options.redirects {
                0 => None,
                _ => redirect::next(&order, &head)?,
            };
            let Some(next) = next else {
                return Ok(Fetched {
                    hops,
                    head,
                    content,
                });
            };
            if hops.len() >= self.options.redirects as usize {
                return Err(too_many(&hops, &order.location, &next.location));
            }
            content.pass_over(PASSED_OVER).await;
            self.options.tell(&Event::Redirected {
                status: head.status,
                method: &next.method,
                to: &next.location,
            });
            hops.push((head, content.into_exchange()));
            order = next;
        }
    }

    /// Says goodbye to the servers that were kept.
    pub async fn close(self) {
        let closing = self.idle.into_iter().map(Connection::close);
        futures_util::future::join_all(closing).await;
    }

    /// One request and its answer.
    async fn exchange(&mut self, order: &Order) -> Result<(AnswerHead, Content)> {
        let tickets = self.options.dial.tls.tickets();
        let mut exchange = Exchange::begin(order, tickets);
        let early = self.options.early_data && order.may_be_early();
        let mut done = Box::pin(self.attempt(order, &mut exchange, early)).await;
        if let Some(why) = in_vain(&exchange, &mut done).await {
            self.options.tell(&Event::NotEarly(why));
            let early_data = exchange.early_data;
            exchange = Exchange::begin(order, tickets);
            exchange.early_data = early_data;
            done = Box::pin(self.attempt(order, &mut exchange, false)).await;
        }
        if let Err(error) = &done
            && may_be_asked_again(order, &exchange, error)
        {
            self.options.tell(&Event::Stale);
            self.idle.clear();
            exchange = Exchange::begin(order, tickets);
            done = Box::pin(self.attempt(order, &mut exchange, false)).await;
        }
        if let Err(error) = &done {
            exchange.fail(error);
            self.options.tell(&Event::Ended(&exchange));
        }
        done
    }

    async fn attempt(
        &mut self,
        order: &Order,
        exchange: &mut Exchange,
        early: bool,
    ) -> Result<(AnswerHead, Content)> {
        let mut connection = self.connection(&order.location, exchange, early).await?;
        exchange.connection = Some(connection.reach.clone());
        let answered = exchange::ask(&mut connection, order, exchange, &self.options).await?;
        if self.idle.len() >= IDLE {
            self.idle.remove(0);
        }
        self.idle.push(connection);
        Ok(answered)
    }

    /// One that waits, or a new one.
    async fn connection(
        &mut self,
        location: &Location,
        exchange: &mut Exchange,
        early: bool,
    ) -> Result<Connection> {
        if self.options.no_reuse {
            self.idle.clear();
        }
        let speaks = self.options.speaks;
        let fits = |kept: &Connection| kept.leads_to(location, speaks);
        while let Some(at) = self.idle.iter().position(fits) {
            let mut kept = self.idle.swap_remove(at);
            if kept.is_free().await {
                exchange.reused = true;
                self.options.tell(&Event::Reused(&kept.reach));
                return Ok(kept);
            }
        }
        self.opened += 1;
        let (options, number) = (&self.options, self.opened);
        let opening = connection::open(location, options, number, exchange, early);
        let Some(limit) = self.options.dial.timeout else {
            return opening.await;
        };
        tokio::time::timeout(limit, opening)
            .await
            .unwrap_or_else(|_| {
                Err(Error::TimedOut {
                    operation: Operation::Connect,
                    address: location.host_port().to_string(),
                    after: limit,
                })
            })
    }
}

/// Whether a request that has failed may be sent once more.
fn may_be_asked_again(order: &Order, exchange: &Exchange, error: &Error) -> bool {
    // It was closed while it waited for us. Whether anything was done is not known, so only what may be done twice is
    // (RFC 9110, section 9.2.2).
    let was_closed = exchange.reused && error.is_reset() && order.method.is_idempotent();
    (was_closed || is_unprocessed(error)) && order.payload.can_be_sent_again()
}

/// Whether nothing was done for sure.
fn is_unprocessed(error: &Error) -> bool {
    let Error::Io { source, .. } = error else {
        return false;
    };
    let source = source.get_ref();
    source.is_some_and(|source| source.is::<Unprocessed>())
}

/// Why a request was not answered that was sent before the handshake was over, if it was.
async fn in_vain(
    exchange: &Exchange,
    done: &mut Result<(AnswerHead, Content)>,
) -> Option<NotEarly> {
    if !exchange.went_early {
        return None;
    }
    match done {
        Err(_) if exchange.early_data == EarlyData::Rejected => Some(NotEarly::Rejected),
        Err(error) => Some(NotEarly::Failed(error.to_string())),
        Ok((head, content)) if head.status == StatusCode::TOO_EARLY => {
            content.pass_over(PASSED_OVER).await;
            Some(NotEarly::TooEarly)
        }
        Ok(_) => None,
    }
}

fn too_many(hops: &[(AnswerHead, Exchange)], at: &Location, to: &Location) -> Error {
    let circle = hops.iter().any(|(_, hop)| hop.location == *to) || at == to;
    let reason = match circle {
        true => format!("it redirects in a circle, {} times so far", hops.len()),
        false => format!("it redirects on and on, {} times so far", hops.len()),
    };
    Error::Protocol {
        operation: Operation::Fetch,
        address: at.to_string(),
        reason,
    }
}

/// A type of content, and its charset, as a header says it.
///
/// ```
/// let headers = http::HeaderMap::from_iter([(
///     http::header::CONTENT_TYPE,
///     http::HeaderValue::from_static("text/html; charset=\"gb2312\""),
/// )]);
/// let (kind, charset) = sockeye::fetch::content_type(&headers);
/// assert_eq!((&*kind, charset.as_deref()), ("text/html", Some("gb2312")));
/// ```
pub fn content_type(headers: &http::HeaderMap) -> (String, Option<String>) {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.map_or(&b""[..], http::HeaderValue::as_bytes);
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_owned();
    let charset = parts
        .find_map(|part| part.strip_prefix("charset="))
        .map(|name| name.trim_matches('"').to_owned());
    (kind, charset)
}
