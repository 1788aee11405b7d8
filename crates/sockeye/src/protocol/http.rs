//! HTTP (RFC 9110), both ends: hyper reads and writes it, and a request becomes an answer or a session.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use ::http::{HeaderValue, StatusCode, header};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use wire::framing::Framing;

use super::{Host, ws};
use crate::request::{Body, Response};
use crate::service::AnyService;
use crate::session::{Identity, Session};
use crate::stream::{ByteStream, DRAIN_STOPPING};
use crate::token::Token;
use crate::view::View;

mod answer;
mod ask;
mod client;
mod cors;
mod exchange;
mod host;
mod lent;
mod pace;
mod page;
#[cfg(test)]
mod tests;
mod token;
mod unread;
pub(crate) mod upgrade;
mod view;

pub(super) use answer::{Apart, Arriving, answer};
use answer::{Left, Quick};
pub use page::Page;

pub use ask::{Ask, Sends};
pub(crate) use ask::{Resource, Terms, dial};
pub(super) use ask::{Sender, head, session};
pub(super) use client::Interim;
pub(crate) use client::{Client, on_interim, reason};
use lent::{Lent, see_off};
pub(super) use pace::{HEAD, Pace};
use pace::{Late, Wire};

/// The largest head of a request, in bytes; in HTTP/2 the largest list of header fields.
pub(super) const HEAD_MAX: u16 = u16::MAX;

/// The longest target, in bytes. RFC 9112, section 3, asks for 8000 at least.
const TARGET_MAX: usize = 8 * 1024;

/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 100;

/// Bytes of one HTTP/2 stream that may wait for the client.
const SEND_BUFFER: usize = 64 * 1024;

/// How long what a client still sends is read and thrown away, so that it sees our last answer.
const LINGER: Duration = Duration::from_secs(2);

/// The versions that a byte stream can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0 and 1.1.
    One,
    /// HTTP/2, over TLS or with prior knowledge.
    Two,
}

/// What all requests of one connection share.
pub(crate) struct Connection {
    pub(crate) service: AnyService,
    pub(crate) host: Arc<dyn Host>,
    /// Of the sessions that requests become.
    pub(crate) identity: Arc<Identity>,
    pub(crate) framing: Framing,
    pub(crate) max_message: usize,
    pub(crate) settings: Arc<Settings>,
    /// Of those sessions that are WebSocket's.
    pub(crate) websocket: Arc<ws::Settings>,
    /// Nothing else is wanted here.
    pub(crate) only_websocket: bool,
    /// What a request must say.
    pub(crate) token: Option<Token>,
    /// How long it may take to end once we want to.
    pub(crate) grace: Duration,
    /// Where the same is served over HTTP/3 (RFC 7838), if that is to be told.
    pub(crate) elsewhere: Option<HeaderValue>,
    /// Whether WebTransport is spoken at the same number.
    pub(crate) webtransport: bool,
}

impl Connection {
    /// Where only WebSocket is spoken there is none.
    fn page(&self) -> Option<&Page> {
        let page = self.settings.page.as_ref();
        page.filter(|_| !self.only_websocket)
    }
}

/// What a port was told about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The `Content-Type` of what a session sends; plain text in the session's encoding when `None`.
    pub content_type: Option<HeaderValue>,
    /// What browsers get where the service speaks in sessions; nothing of its own when `None`.
    pub page: Option<Page>,
    /// What the page shows of what happens at the port; nothing when `None`.
    pub view: Option<Arc<dyn View>>,
    /// Names that this machine answers to, besides `localhost` and what it calls itself. Requests for other names
    /// are refused with 421 on loopback, and everywhere when there are any: so no web page can reach a port of
    /// this machine through a name of its own.
    pub hosts: Vec<String>,
}

/// A connection that is being served.
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) pace: Arc<Pace>,
    /// Whether the names in requests are looked at.
    checks_hosts: bool,
    /// What the connection has become, after its last answer.
    upgrade: upgrade::Slot,
}

impl Shared {
    /// `heads`: bytes between requests begin the head of the next one, as they do in HTTP/1 alone.
    pub(super) fn new(connection: Connection, heads: bool) -> Self {
        let local = connection.identity.local().socket_addr();
        let loopback = local.is_some_and(|local| local.ip().to_canonical().is_loopback());
        let listed = local.is_some() && !connection.settings.hosts.is_empty();
        Self {
            connection,
            pace: Arc::new(Pace::new(heads)),
            checks_hosts: loopback || listed,
            upgrade: upgrade::Slot::default(),
        }
    }
}

/// Says that HTTP/3 is spoken on the UDP port of this number, for a day (RFC 7838, section 3; RFC 9114, section 3.1.1).
pub(crate) fn elsewhere(port: u16) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("h3=\":{port}\"; ma=86400")).ok()
}

/// Serves one connection to its end, or until it has become a session as a whole: by an upgrade.
///
/// # Errors
/// When it broke, or the peer broke the protocol; it has been told in the protocol's own way.
pub(crate) async fn serve(
    stream: ByteStream,
    version: Version,
    connection: Connection,
) -> io::Result<Option<Session>> {
    let shared = Arc::new(Shared::new(connection, version == Version::One));
    match version {
        Version::One => one(stream, shared.clone()).await?,
        Version::Two => two(stream, shared.clone()).await?,
    }
    shared.upgrade.session(&shared.connection).await
}

async fn one(stream: ByteStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut wire = Wire::new(stream, shared.pace.clone());
    if !shared.connection.only_websocket {
        let mut quick = Quick::new(wire, shared.clone());
        let driven = drive(Pin::new(&mut quick), &shared, |quick| {
            quick.get_mut().leave()
        });
        let driven = match driven.await {
            Driven::Done(Ok(Left::Others)) => None,
            over => Some(over.map(|ended| ended.map(drop))),
        };
        wire = quick.into_wire();
        if let Some(driven) = driven {
            return end(wire, &shared, driven).await;
        }
    }
    let asked = shared.clone();
    let service = service_fn(move |request| answer(asked.clone(), request));
    let mut serving = http1::Builder::new()
        .half_close(true)
        .max_buf_size(HEAD_MAX.into())
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let driven = drive(Pin::new(&mut serving), &shared, |serving| {
        serving.graceful_shutdown();
    });
    let driven = driven.await.map(explained);
    // Nothing is left of a connection that was upgraded.
    match serving.into_parts() {
        Some(parts) => end(parts.io.into_inner(), &shared, driven).await,
        None => Ok(()),
    }
}

/// Leaves a connection of HTTP/1.
async fn end(wire: Wire, shared: &Shared, driven: Driven<io::Result<()>>) -> io::Result<()> {
    let ended = match driven {
        Driven::Done(ended) => ended,
        Driven::Late(Late::Head) => {
            farewell(wire).await;
            return Err(Late::Head.error());
        }
        // Whatever was on its way is not whole.
        Driven::Late(late) => {
            wire.into_stream().reset();
            return Err(late.error());
        }
        Driven::Cut => {
            wire.into_stream().reset();
            return Ok(());
        }
    };
    if shared.pace.is_broken() {
        wire.into_stream().reset();
    } else if !wire.has_ended() && (shared.pace.has_unread() || ended.is_err()) {
        linger(wire).await;
    }
    ended
}

async fn two(stream: ByteStream, shared: Arc<Shared>) -> io::Result<()> {
    let (lent, returned) = Lent::new(stream);
    let wire = Wire::new(ByteStream::new(lent), shared.pace.clone());
    let io = TokioIo::new(wire);
    let asked = shared.clone();
    let service = service_fn(move |request| answer(asked.clone(), request));
    let serving = http2::Builder::new(Tasks(shared.connection.host.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_MAX.into())
        .max_send_buf_size(SEND_BUFFER)
        .enable_connect_protocol()
        .serve_connection(io, service);
    let driven = {
        let serving = pin!(serving);
        drive(serving, &shared, |serving| serving.graceful_shutdown()).await
    };
    match driven {
        Driven::Done(Ok(())) => {
            // The client's own goodbye may still be on its way.
            let longest = match shared.connection.host.is_leaving() {
                true => DRAIN_STOPPING,
                false => LINGER,
            };
            let _ = timeout(longest, see_off(returned)).await;
            Ok(())
        }
        Driven::Done(ended) => explained(ended),
        Driven::Late(late) => Err(late.error()),
        Driven::Cut => Ok(()),
    }
}

/// How a connection came to its end.
pub(super) enum Driven<T> {
    /// By itself.
    Done(T),
    /// The client took too long.
    Late(Late),
    /// It was told to end and did not.
    Cut,
}

impl<T> Driven<T> {
    fn map<U>(self, done: impl FnOnce(T) -> U) -> Driven<U> {
        match self {
            Self::Done(ended) => Driven::Done(done(ended)),
            Self::Late(late) => Driven::Late(late),
            Self::Cut => Driven::Cut,
        }
    }
}

/// Drives a connection while its client keeps pace. When this end says goodbye, or nothing has been asked for
/// long, it is told to come to its end, and has a grace time for that.
pub(super) async fn drive<C: Future>(
    mut serving: Pin<&mut C>,
    shared: &Shared,
    leave: impl Fn(Pin<&mut C>),
) -> Driven<C::Output> {
    let Connection { host, grace, .. } = &shared.connection;
    let mut goodbye = host.goodbye();
    let mut waits = false;
    let mut cut = None;
    let mut armed = shared
        .pace
        .deadline()
        .map_or_else(Instant::now, |(at, _)| at);
    let mut alarm = Box::pin(sleep_until(armed));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                return Poll::Ready(Driven::Done(ended));
            }
            // Waiting for the goodbye is set up once; after that each poll costs one look at a flag.
            let told = cut.is_none() && (!waits || host.is_leaving());
            waits = true;
            if told && goodbye.as_mut().poll(cx).is_ready() {
                leave(serving.as_mut());
                cut = Some(Instant::now() + *grace);
                continue;
            }
            let due = shared.pace.deadline();
            // One that has been told to go is idle by our wish.
            let due = due.filter(|(_, late)| cut.is_none() || *late != Late::Idle);
            let next = [cut, due.map(|(at, _)| at)].into_iter().flatten().min();
            match next {
                Some(next) if next < armed => {
                    alarm.as_mut().reset(next);
                    armed = next;
                }
                _ => {}
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match due {
                _ if cut.is_some_and(|cut| cut <= now) => return Poll::Ready(Driven::Cut),
                Some((at, Late::Idle)) if at <= now => {
                    leave(serving.as_mut());
                    cut = Some(now + *grace);
                    armed = now + *grace;
                }
                Some((at, late)) if at <= now => return Poll::Ready(Driven::Late(late)),
                // Things have moved on since it was set.
                _ => armed = next.unwrap_or(now + LOOK),
            }
            alarm.as_mut().reset(armed);
        }
    })
    .await
}

/// How often it is looked at a connection of which nothing is expected.
const LOOK: Duration = Duration::from_secs(30);

/// Says that a request did not come in time: nobody else does, for a request that never was one.
async fn farewell(mut wire: Wire) {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n"
    );
    if let Ok(Ok(())) = timeout(LINGER, wire.write_all(head.as_bytes())).await {
        linger(wire).await;
    }
}

/// Reads what the client still sends. Closing a socket with unread input sends RST, which could destroy our last
/// answer on its way (RFC 9112, section 9.6).
async fn linger(mut wire: Wire) {
    let lingering = async {
        wire.shutdown().await?;
        let mut thrown = [0; 4096];
        while wire.read(&mut thrown).await? > 0 {}
        io::Result::Ok(())
    };
    // However it ends, the socket is closed now.
    let _ = timeout(LINGER, lingering).await;
}

/// A request that is answered by HTTP's own rules, with words for a person.
struct Refusal {
    status: StatusCode,
    words: Cow<'static, str>,
}

impl Refusal {
    fn new(status: StatusCode, words: impl Into<Cow<'static, str>>) -> Self {
        let words = words.into();
        Self { status, words }
    }

    fn response(self) -> Response {
        let mut response = Response::new(match self.words {
            Cow::Borrowed(words) => Body::from(words),
            Cow::Owned(words) => Body::from(words),
        });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        let exactly = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, exactly);
        // What such a client sends next may be the rest of what it sent wrongly. HTTP/2 has no such field, and
        // hyper takes it out again.
        if let StatusCode::BAD_REQUEST
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::PAYLOAD_TOO_LARGE = self.status
        {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// How a connection ended, in hyper's words and those of the cause. An answer that broke off is no fault of the
/// connection: its session tells of it.
fn explained(ended: hyper::Result<()>) -> io::Result<()> {
    let error = match ended {
        Err(error) if !error.is_user() => error,
        Ok(()) | Err(_) => return Ok(()),
    };
    let words = error.to_string();
    let kind = match error.is_parse() {
        true => io::ErrorKind::InvalidData,
        false => io::ErrorKind::Other,
    };
    let cause = broken(error).to_string();
    Err(match cause == words {
        true => io::Error::new(kind, words),
        false => io::Error::new(kind, format!("{words}: {cause}")),
    })
}

/// What a body that broke off says of it: [`io::ErrorKind::InvalidData`] when its peer wrote it wrongly.
fn broken(error: hyper::Error) -> io::Error {
    let mut cause: &dyn std::error::Error = &error;
    let mut kind = io::ErrorKind::ConnectionAborted;
    while let Some(source) = cause.source() {
        cause = source;
        let said = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) = said {
            kind = io::ErrorKind::InvalidData;
        }
    }
    io::Error::new(kind, cause.to_string())
}

/// hyper's tasks are tasks of the port.
#[derive(Clone)]
struct Tasks(Arc<dyn Host>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.run(Box::pin(task));
    }
}
