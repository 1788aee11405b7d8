//! The asking end of a connection: requests go out one after the other, answers come with their bodies.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::{Extensions, HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::Version;
use super::lent::{Lent, see_off};
use crate::request::Body;
use crate::stream::ByteStream;

/// The most bytes that the head of an answer may have: what curl takes, too.
const HEAD: usize = 300 * 1024;

/// The most fields that it may have.
const FIELDS: usize = 1000;

/// How long a connection that should be free, or a server's goodbye, is waited for. It is free when its task has seen
/// the end of the last answer, which is a matter of turns.
const TURN: Duration = Duration::from_millis(100);

/// A connection that is asked again and again.
pub(crate) struct Client {
    sender: Sender,
    task: AbortOnDropHandle<()>,
}

impl Client {
    /// # Errors
    /// When HTTP/2 cannot be begun.
    pub(crate) async fn open(stream: ByteStream, version: Version) -> io::Result<Self> {
        let (sender, task) = connect(stream, version).await?;
        Ok(Self { sender, task })
    }

    /// Whether another request can be sent: the last answer has been read, and the peer has not left.
    pub(crate) async fn is_free(&mut self) -> bool {
        let free = async {
            match &mut self.sender {
                Sender::One(sender) => sender.ready().await.is_ok(),
                Sender::Two(sender) => sender.ready().await.is_ok(),
            }
        };
        timeout(TURN, free).await.unwrap_or(false)
    }

    /// Ends the connection in order: with GOAWAY and close_notify, where there are those.
    pub(crate) async fn close(self) {
        drop(self.sender);
        // One that does not take our goodbye in time is left without.
        let _ = timeout(TURN, self.task).await;
    }

    /// Sends a request, and waits for the head of its answer.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> io::Result<Response<Body>> {
        self.sender.send(request).await
    }
}

/// Calls `hear` for each answer before the answer (1xx), in HTTP/1.1 and HTTP/3.
pub(crate) fn on_interim(
    request: &mut Request<Body>,
    hear: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
) {
    let hear: Arc<Hear> = Arc::new(hear);
    request.extensions_mut().insert(Interim(hear.clone()));
    hyper::ext::on_informational(request, move |answer| {
        hear(answer.status(), answer.headers());
    });
}

/// Who hears of each answer before the answer, where it is not hyper that reads them.
#[derive(Clone)]
pub(in crate::protocol) struct Interim(Arc<Hear>);

type Hear = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

impl Interim {
    pub(in crate::protocol) fn hears(&self, status: StatusCode, headers: &HeaderMap) {
        (self.0)(status, headers);
    }
}

/// What an answer in HTTP/1 calls its status, where that is not the usual.
pub(crate) fn reason(extensions: &Extensions) -> Option<Box<str>> {
    let reason: &hyper::ext::ReasonPhrase = extensions.get()?;
    Some(String::from_utf8_lossy(reason.as_bytes()).into())
}

/// The body of an answer, whose faults are told as ours are.
struct Answered {
    body: Incoming,
    /// In HTTP/2 an end without END_STREAM is none, whatever the stream was reset with.
    says_end: bool,
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() && self.says_end && !self.body.is_end_stream() {
            let words = "the server reset the stream";
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, words);
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// What comes back for a request.
pub(in crate::protocol) type Answer =
    Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

impl Sender {
    pub(super) fn send(&mut self, request: Request<Body>) -> Answer {
        match self {
            Self::One(sender) => answer(sender.send_request(request)),
            Self::Two(sender) => answer(sender.send_request(request)),
        }
    }
}

/// An answer of hyper's as one of ours.
fn answer(
    coming: impl Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static,
) -> Answer {
    Box::pin(async move {
        let answer = coming.await.map_err(broken)?;
        let says_end = answer.version() == ::http::Version::HTTP_2;
        Ok(answer.map(|body| Body::stream(Answered { body, says_end })))
    })
}

/// Who drives the connection: a task, so that both directions of it move whoever is polled.
pub(super) async fn connect(
    stream: ByteStream,
    version: Version,
) -> io::Result<(Sender, AbortOnDropHandle<()>)> {
    let (lent, returned) = Lent::new(stream);
    let io = TokioIo::new(lent);
    let tracker = TaskTracker::new();
    Ok(match version {
        Version::One => {
            let begun = http1::Builder::new()
                .max_buf_size(HEAD)
                .max_headers(FIELDS)
                .handshake(io);
            let (sender, connection) = begun.await.map_err(broken)?;
            let driving = async {
                // What breaks it is told to the answer, too.
                if connection.await.is_ok() {
                    let _ = timeout(TURN, see_off(returned)).await;
                }
            };
            let task = crate::task::spawn(&tracker, driving);
            (Sender::One(sender), AbortOnDropHandle::new(task))
        }
        Version::Two => {
            let begun = http2::Builder::new(Tasks(tracker.clone()))
                .timer(TokioTimer::new())
                .max_header_list_size(HEAD as u32)
                .handshake(io);
            let (sender, connection) = begun.await.map_err(broken)?;
            let driving = async {
                if connection.await.is_ok() {
                    let _ = timeout(TURN, see_off(returned)).await;
                }
            };
            let task = crate::task::spawn(&tracker, driving);
            (Sender::Two(sender), AbortOnDropHandle::new(task))
        }
    })
}

/// hyper's tasks end with the connection, whose task is ours.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        drop(crate::task::spawn(&self.0, task));
    }
}

/// What went wrong, in the words of the innermost cause.
pub(super) fn broken(error: hyper::Error) -> io::Error {
    // A request that could not be sent names what happened to the connection as its cause.
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let cause: &hyper::Error = cause.unwrap_or(&error);
    let io: Option<&io::Error> = cause.source().and_then(|cause| cause.downcast_ref());
    let cut_short = io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
    if cut_short || cause.is_incomplete_message() {
        let words = "the connection ended before the answer did";
        return io::Error::new(io::ErrorKind::ConnectionAborted, words);
    }
    if let Some(error) = cause.source().and_then(|cause| cause.downcast_ref()) {
        return of_http2(error);
    }
    // What hyper calls unexpected came before anything was asked: SSH and others speak first.
    let unexpected = !cause.is_canceled() && !cause.is_closed() && cause.source().is_none();
    let malformed = cause.is_parse() || unexpected;
    let told = super::broken(error);
    match malformed {
        true => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the answer is not HTTP: {told}"),
        ),
        false => told,
    }
}

/// The same in HTTP/2, where either end may say that something is wrong.
fn of_http2(error: &h2::Error) -> io::Error {
    if let Some(source) = error.get_io() {
        return io::Error::new(source.kind(), source.to_string());
    }
    let reason = error.reason().unwrap_or(h2::Reason::PROTOCOL_ERROR);
    let reason = reason.description();
    let aborted = |words: String| io::Error::new(io::ErrorKind::ConnectionAborted, words);
    match (error.is_remote(), error.is_go_away()) {
        (true, true) => aborted(format!("the server ended the connection: {reason}")),
        (true, false) => aborted(format!("the server reset the stream: {reason}")),
        (false, _) => {
            let words = format!("what came breaks the rules of HTTP/2: {reason}");
            io::Error::new(io::ErrorKind::InvalidData, words)
        }
    }
}
