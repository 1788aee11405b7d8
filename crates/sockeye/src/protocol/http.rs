//! HTTP (RFC 9110), both ends: hyper reads and writes it, and a request becomes an answer or a session.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, Response as HttpResponse, StatusCode, header};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use wire::framing::Framing;

use super::Host;
use crate::request::{Answer, Body, Response};
use crate::service::{AnyService, Service};
use crate::session::Identity;
use crate::stream::ByteStream;
use crate::token::Token;

mod exchange;
mod page;
mod token;

pub use page::Page;

/// How long a client may take to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);

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
    pub(crate) identity: Identity,
    pub(crate) framing: Framing,
    pub(crate) max_message: usize,
    pub(crate) settings: Arc<Settings>,
    /// What a request must say.
    pub(crate) token: Option<Token>,
}

/// What a port was told about HTTP.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The `Content-Type` of what a service sends; plain text in the session's encoding when `None`.
    pub content_type: Option<HeaderValue>,
    /// What browsers get where the service speaks in sessions; nothing of its own when `None`.
    pub page: Option<Page>,
}

/// Serves one connection to its end.
///
/// # Errors
/// When it broke, or the peer broke the protocol; it has been told in the protocol's own way.
pub(crate) async fn serve(
    stream: ByteStream,
    version: Version,
    connection: Connection,
) -> io::Result<()> {
    let host = connection.host.clone();
    let goodbye = host.goodbye();
    let connection = Arc::new(connection);
    let io = TokioIo::new(stream);
    let service = service_fn(|request| answer(connection.clone(), request));
    match version {
        Version::One => {
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .half_close(true)
                .serve_connection(io, service)
                .with_upgrades();
            let serving = pin!(serving);
            until_goodbye(serving, goodbye, |serving| serving.graceful_shutdown()).await
        }
        Version::Two => {
            let serving = http2::Builder::new(Tasks(host.clone()))
                .timer(TokioTimer::new())
                .serve_connection(io, service);
            let serving = pin!(serving);
            until_goodbye(serving, goodbye, |serving| serving.graceful_shutdown()).await
        }
    }
    .map_err(io::Error::other)
}

/// Drives a connection, and tells it to come to its end when this end says goodbye.
async fn until_goodbye<C: Future>(
    mut connection: Pin<&mut C>,
    goodbye: impl Future<Output = ()>,
    leave: impl FnOnce(Pin<&mut C>),
) -> C::Output {
    tokio::select! {
        biased;
        done = connection.as_mut() => return done,
        () = goodbye => leave(connection.as_mut()),
    }
    connection.await
}

async fn answer(
    connection: Arc<Connection>,
    request: ::http::Request<Incoming>,
) -> Result<Response, Infallible> {
    let page = connection.settings.page.as_ref();
    if let Some(part) = page.and_then(|page| page::part(page, &connection, &request)) {
        return Ok(part);
    }
    if let Some(token) = &connection.token
        && !token::says(token, request.uri(), request.headers())
    {
        return Ok(token::ask());
    }
    let mut request = request.map(inbound);
    request
        .extensions_mut()
        .insert(Arc::new(connection.identity.clone()));
    let answered = match connection.service.http(request).await {
        Ok(Answer::Response(response)) => response,
        Ok(Answer::Session(request)) if page.is_some() && page::is_wanted(&request) => {
            page::whole()
        }
        Ok(Answer::Session(request)) => exchange::open(&connection, request).await,
        Err(error) => {
            connection.identity.note(&error.to_string());
            status(StatusCode::INTERNAL_SERVER_ERROR, "the service failed\n")
        }
    };
    Ok(answered)
}

/// An answer that says what is wrong.
fn status(status: StatusCode, words: &'static str) -> Response {
    let mut response = HttpResponse::new(Body::from(words));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// hyper's body as ours.
fn inbound(body: Incoming) -> Body {
    match http_body::Body::is_end_stream(&body) {
        true => Body::empty(),
        false => Body::stream(Inbound(body)),
    }
}

struct Inbound(Incoming);

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.0)
            .poll_frame(cx)
            .map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// hyper's tasks are tasks of the port.
#[derive(Clone)]
struct Tasks(Arc<dyn Host>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.run(Box::pin(task));
    }
}
