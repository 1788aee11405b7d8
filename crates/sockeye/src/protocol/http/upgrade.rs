//! Requests that go on as WebSocket, both ends: by an upgrade over HTTP/1.1 (RFC 6455), by extended CONNECT over
//! HTTP/2 (RFC 8441).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{
    Request as HttpRequest, Response as HttpResponse, StatusCode, Version, header, request,
};
use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::TaskTracker;

use super::pace::{Pace, Wire};
use super::{Connection, Refusal, Shared};
use crate::protocol::ws::handshake::{self, Agreed, Asked, Unlike};
use crate::protocol::ws::{self, Settings};
use crate::request::{Body, Response};
use crate::session::{Identity, RequestHead, Session};
use crate::stream::ByteStream;

/// The upgrade of one connection: after its answer, which is the last, the bytes belong to WebSocket.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Upgrade>>);

struct Upgrade {
    on: OnUpgrade,
    identity: Identity,
    agreed: Agreed,
    open: Open,
}

impl Slot {
    fn put(&self, upgrade: Upgrade) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
    }

    /// The session that the connection has become, if it has.
    pub(super) async fn session(&self, connection: &Connection) -> io::Result<Option<Session>> {
        let upgrade = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match upgrade {
            Some(upgrade) => upgrade.complete(connection).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Upgrade {
    async fn complete(self, connection: &Connection) -> io::Result<Session> {
        let upgraded = self.on.await.map_err(io::Error::other)?;
        // Over HTTP/1.1 it is the very stream that hyper was given, and what it has read ahead.
        let stream = match upgraded.downcast::<TokioIo<Wire>>() {
            Ok(parts) => behind(&parts.read_buf, parts.io.into_inner().into_stream()),
            Err(upgraded) => ByteStream::new(Tunnel {
                io: TokioIo::new(upgraded),
                _open: self.open,
            }),
        };
        let (settings, most) = (&connection.websocket, connection.max_message);
        let (identity, agreed) = (self.identity, &self.agreed);
        Ok(ws::session(stream, identity, most, agreed, settings))
    }
}

/// `stream`, after what was read from it already.
fn behind(read: &[u8], mut stream: ByteStream) -> ByteStream {
    if !read.is_empty() {
        let mut head = BytesMut::from(read);
        head.extend_from_slice(&stream.head);
        stream.head = head;
    }
    stream
}

/// The server's answer. The session begins when the answer is out.
///
/// # Errors
/// When the request is no right one.
pub(super) fn answer(
    shared: &Arc<Shared>,
    mut request: HttpRequest<impl Send>,
) -> Result<Response, handshake::Refusal> {
    let connection = &shared.connection;
    let (head, agreed) = handshake::accept(&request, &connection.websocket)?;
    let scheme = match connection.identity.tls() {
        Some(_) => "wss",
        None => "ws",
    };
    let upgrade = Upgrade {
        on: hyper::upgrade::on(&mut request),
        identity: Identity::clone(&connection.identity)
            .over(scheme)
            .asked_by(Arc::new(asked(request.into_parts().0).on_its_own()))
            .agreed_on(agreed.protocol.as_deref()),
        agreed,
        open: Open::new(shared.pace.clone()),
    };
    if head.status() == StatusCode::SWITCHING_PROTOCOLS {
        shared.upgrade.put(upgrade);
    } else {
        let (host, shared) = (connection.host.clone(), shared.clone());
        host.run(Box::pin(async move {
            let connection = &shared.connection;
            match upgrade.complete(connection).await {
                // If no more sessions are taken, dropping this one says so.
                Ok(session) => drop(connection.host.open(session, Box::new(|_| {}))),
                Err(error) => connection.identity.note(&error.to_string()),
            }
        }));
    }
    Ok(head.map(|()| Body::empty()))
}

/// The answer to a request that asks for no session where nothing else is to be had.
pub(super) fn ask() -> Response {
    refuse(handshake::Refusal {
        status: StatusCode::UPGRADE_REQUIRED,
        reason: "this address speaks WebSocket and nothing else".to_owned(),
    })
}

/// The answer that says what is wrong with a request.
pub(super) fn refuse(refusal: handshake::Refusal) -> Response {
    let (head, ()) = refusal.answer().into_parts();
    let mut response = Refusal::new(refusal.status, refusal.reason + "\n").response();
    response.headers_mut().extend(head.headers);
    response
}

/// A request of the connection that is not answered to the end as long as this lives.
struct Open(Arc<Pace>);

impl Open {
    fn new(pace: Arc<Pace>) -> Self {
        let _ = pace.begin();
        Self(pace)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// One stream of an HTTP/2 connection, which is not idle while there is one.
struct Tunnel {
    io: TokioIo<Upgraded>,
    _open: Open,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn asked(parts: request::Parts) -> RequestHead {
    RequestHead {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers,
    }
}

/// Why a WebSocket connection could not be opened.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    /// The server answers something else than was asked for.
    Unlike(Unlike),
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Io(io::Error::other(error))
    }
}

/// How long a server's settings are waited for that allow WebSocket over HTTP/2.
const SETTINGS: Duration = Duration::from_secs(5);

/// The client's part over a fresh `stream`. `request` names the version, the target (with its authority over
/// HTTP/2) and what headers the server is to get.
pub(crate) async fn open(
    stream: ByteStream,
    request: request::Parts,
    settings: &Settings,
) -> Result<(ByteStream, Agreed, RequestHead), Failure> {
    let mut parts = request;
    let wish = Asked::complete(&mut parts, settings);
    let head = asked(parts.clone());
    let request = HttpRequest::from_parts(parts, Body::empty());
    let response = match head.version {
        Version::HTTP_2 => over_http2(stream, request).await?,
        _ => over_http1(stream, request).await?,
    };
    let (stream, agreed) = finish(&wish, response).await?;
    Ok((stream, agreed, head))
}

async fn over_http1(
    stream: ByteStream,
    request: HttpRequest<Body>,
) -> Result<HttpResponse<Incoming>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the stream is handed on, or the other side has answered and gone.
    let tracker = TaskTracker::new();
    crate::task::spawn(&tracker, connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

async fn over_http2(
    stream: ByteStream,
    request: HttpRequest<Body>,
) -> Result<HttpResponse<Incoming>, Failure> {
    let tasks = Tasks::default();
    let (mut sender, mut connection) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(stream))
        .await?;
    // Not before the server has said that it knows `:protocol` (RFC 8441, section 3).
    let allowed = poll_fn(|cx| {
        tasks.moved.register(cx.waker());
        if connection.is_extended_connect_protocol_enabled() {
            return Poll::Ready(Ok(()));
        }
        pin!(&mut connection).poll(cx)
    });
    match tokio::time::timeout(SETTINGS, allowed).await {
        Ok(allowed) => allowed?,
        Err(_) => return Err(Failure::Unlike(Unlike::no_extended_connect())),
    }
    if !connection.is_extended_connect_protocol_enabled() {
        return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    let tracker = tasks.tracker;
    crate::task::spawn(&tracker, connection);
    Ok(sender.send_request(request).await?)
}

/// hyper's tasks, and word of when one has done something: it gives none of what the server allows.
#[derive(Clone, Default)]
struct Tasks {
    tracker: TaskTracker,
    moved: Arc<AtomicWaker>,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let moved = self.moved.clone();
        let mut task = Box::pin(task);
        let working = poll_fn(move |cx| {
            let polled = task.as_mut().poll(cx);
            moved.wake();
            polled
        });
        crate::task::spawn(&self.tracker, working);
    }
}

async fn finish(
    wish: &Asked,
    response: HttpResponse<Incoming>,
) -> Result<(ByteStream, Agreed), Failure> {
    let (mut parts, body) = response.into_parts();
    match wish.agree(&parts) {
        Ok(agreed) => {
            let on = match parts.extensions.remove::<OnUpgrade>() {
                Some(on) => on,
                None => hyper::upgrade::on(HttpResponse::from_parts(parts, body)),
            };
            let stream = match on.await?.downcast::<TokioIo<ByteStream>>() {
                Ok(parts) => behind(&parts.read_buf, parts.io.into_inner()),
                Err(upgraded) => ByteStream::new(TokioIo::new(upgraded)),
            };
            Ok((stream, agreed))
        }
        Err(mut unlike) => {
            if unlike.is_refusal() && is_plain_text(&parts.headers) {
                unlike.add_words(&first_line(body).await);
            }
            Err(Failure::Unlike(unlike))
        }
    }
}

fn is_plain_text(headers: &::http::HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/plain"))
}

/// What a server says to people in an answer that is no session: not much of it, and not for long.
async fn first_line(body: Incoming) -> String {
    const MOST: usize = 200;
    let mut words = Vec::new();
    let reading = async {
        let mut body = pin!(body);
        while words.len() < MOST
            && let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await
        {
            words.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), reading).await;
    words.truncate(MOST);
    let text = String::from_utf8_lossy(&words);
    text.lines().next().unwrap_or_default().trim().to_owned()
}
