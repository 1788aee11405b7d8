//! The dialing side of HTTP/3: requests over one connection, whose bodies are sent while the answers come.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h3::client::{RequestStream, builder};
use ::h3::error::{Code, ConnectionError, LocalError, StreamError};
use ::http::{HeaderName, HeaderValue, Request, Response, header};
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame};
use quinn::VarInt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{broken, streams};
use crate::protocol::http::{self, Ask, HEAD_MAX, Interim, Resource, Sender};
use crate::protocol::quic::{Connected, Gauge, Lent, Move, Terms};
use crate::request::Body;
use crate::session::{Identity, Session};

type Asking = ::h3::client::SendRequest<streams::Opener, Bytes>;
pub(super) type Sending = RequestStream<streams::SendStream, Bytes>;
pub(super) type Receiving = RequestStream<streams::RecvStream, Bytes>;

/// What belongs to a connection of HTTP/1.1 and has no place here (RFC 9114, section 4.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Opens a session whose messages are bodies.
///
/// # Errors
/// When HTTP/3 cannot be begun, or this cannot be asked for.
pub(crate) async fn dial(
    connected: Connected,
    resource: &Resource,
    ask: &Ask,
    terms: Terms,
    moving: Move,
) -> io::Result<Session> {
    let head = http::head(http::Version::Two, resource)?;
    let (framing, max_message) = (terms.framing.clone(), terms.max_message);
    let Client { asking, lent, .. } = Client::open(connected, terms, moving).await?;
    let terms = http::Terms {
        identity: lent.identity(),
        framing,
        max_message,
    };
    let gauge = lent.gauge();
    let send: Sender = Box::new(move |request| {
        let sending = crate::task::spawn(&TaskTracker::new(), send(asking, request, gauge));
        let sending = AbortOnDropHandle::new(sending);
        Box::pin(async move {
            sending
                .await
                .unwrap_or_else(|ended| Err(io::Error::other(ended)))
        })
    });
    Ok(http::session(send, head, ask, terms, Box::new(lent)))
}

/// A connection that is asked again and again. It is closed when this is dropped.
pub(crate) struct Client {
    asking: Asking,
    lent: Lent,
    /// Cancelled when nothing more can be asked.
    over: CancellationToken,
}

impl Client {
    /// # Errors
    /// When HTTP/3 cannot be begun.
    pub(crate) async fn open(connected: Connected, terms: Terms, moving: Move) -> io::Result<Self> {
        let code = VarInt::try_from(Code::H3_NO_ERROR.value()).unwrap_or_default();
        let lent = connected.lend(code, terms, moving);
        let (mut driver, asking) = builder()
            .max_field_section_size(HEAD_MAX.into())
            .build::<_, _, Bytes>(streams::Connection::new(lent.connection()))
            .await
            .map_err(broken)?;
        // The last of these closes the connection when it is dropped, and that is not for the library to decide.
        let kept = asking.clone();
        let over = CancellationToken::new();
        let ended = over.clone();
        Lent::run(async move {
            poll_fn(|cx| driver.poll_close(cx)).await;
            ended.cancel();
            drop(kept);
        });
        Ok(Self { asking, lent, over })
    }

    /// The two ends, what was agreed on, and what the packets tell of the way.
    pub(crate) fn identity(&self) -> Identity {
        self.lent.identity()
    }

    /// Takes note of what the packets tell by now.
    pub(crate) fn look(&self) {
        self.lent.gauge().look();
    }

    /// Whether another request can be sent.
    pub(crate) fn is_free(&self) -> bool {
        !self.over.is_cancelled() && self.lent.connection().close_reason().is_none()
    }

    /// Sends a request, and waits for the head of its answer.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP/3.
    pub(crate) async fn send(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        send(self.asking.clone(), request, self.lent.gauge()).await
    }
}

async fn send(
    mut asking: Asking,
    request: Request<Body>,
    gauge: Gauge,
) -> io::Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        let fields = parts.headers.entry(header::CONTENT_LENGTH);
        fields.or_insert_with(|| HeaderValue::from(length));
    }
    for name in OF_CONNECTIONS {
        parts.headers.remove(name);
    }
    let interim = parts.extensions.remove::<Interim>();
    let sent = asking.send_request(Request::from_parts(parts, ())).await;
    let (sending, mut receiving) = sent.map_err(|error| told(&error, &gauge))?.split();
    let (failed, failure) = oneshot::channel();
    // On a task of its own, so that both directions move whoever is polled.
    let sending = crate::task::spawn(&TaskTracker::new(), pump(sending, body, failed));
    let sending = AbortOnDropHandle::new(sending);
    let head = tokio::select! {
        biased;
        Ok(error) = failure => return Err(error),
        head = answered(&mut receiving, interim.as_ref()) => head,
    };
    gauge.look();
    let head = head.map_err(|error| told(&error, &gauge))?;
    Ok(head.map(|()| {
        Body::stream(Coming {
            receiving,
            gauge,
            trailing: false,
            over: false,
            _sending: sending,
        })
    }))
}

/// The head of the answer, after those that only came before it (RFC 9114, section 4.1).
pub(super) async fn answered(
    receiving: &mut Receiving,
    interim: Option<&Interim>,
) -> Result<Response<()>, StreamError> {
    loop {
        let head = receiving.recv_response().await?;
        if !head.status().is_informational() {
            return Ok(head);
        }
        if let Some(interim) = interim {
            interim.hears(head.status(), head.headers());
        }
    }
}

/// Sends the body of a request, as far as the server wants it. What cannot be read is told through `failed`.
async fn pump(mut sending: Sending, mut body: Body, failed: oneshot::Sender<io::Error>) {
    while let Some(data) = body.data().await {
        let sent = match data {
            Ok(data) => sending.send_data(data).await,
            Err(error) => {
                let _ = failed.send(error);
                return sending.stop_stream(Code::H3_REQUEST_CANCELLED);
            }
        };
        // Its answer says what it thinks of the request.
        if sent.is_err() {
            return;
        }
    }
    let _ = sending.finish().await;
}

/// The body of an answer.
struct Coming {
    receiving: Receiving,
    gauge: Gauge,
    /// Whether all of the data has come.
    trailing: bool,
    over: bool,
    _sending: AbortOnDropHandle<()>,
}

impl Coming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if !self.trailing {
            match ready!(self.receiving.poll_recv_data(cx)) {
                Ok(Some(mut data)) => {
                    let data = data.copy_to_bytes(data.remaining());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(None) => self.trailing = true,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let trailers = ready!(self.receiving.poll_recv_trailers(cx));
        self.over = true;
        Poll::Ready(
            trailers
                .map(|fields| fields.map(Frame::trailers))
                .transpose(),
        )
    }
}

impl http_body::Body for Coming {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let frame = ready!(self.poll(cx));
        self.over |= matches!(frame, Some(Err(_)));
        if self.over {
            self.gauge.look();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| told(&error, &self.gauge))))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

/// The server has surely not looked at a request: it can be sent again, whatever it is (RFC 9114, sections 4.1.1 and
/// 5.2).
#[derive(Debug, thiserror::Error)]
#[error("the server takes no more requests")]
pub(crate) struct Unprocessed;

/// What went wrong, for who asked.
pub(super) fn told(error: &StreamError, gauge: &Gauge) -> io::Error {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, TimedOut};
    use quinn::ConnectionError as E;
    let rules = |what: &dyn std::fmt::Display| {
        io::Error::new(
            InvalidData,
            format!("what came breaks the rules of HTTP/3: {what}"),
        )
    };
    match error {
        StreamError::RemoteClosing => return io::Error::new(ConnectionReset, Unprocessed),
        StreamError::RemoteTerminate { code, .. } if *code == Code::H3_REQUEST_REJECTED => {
            return io::Error::new(ConnectionReset, Unprocessed);
        }
        StreamError::RemoteTerminate { code, .. } => {
            let words = format!("the server reset the stream: {code}");
            return io::Error::new(ConnectionAborted, words);
        }
        StreamError::HeaderTooBig {
            actual_size,
            max_size,
            ..
        } => {
            let words = format!("a head has {actual_size} bytes, and {max_size} are taken");
            return io::Error::new(InvalidData, words);
        }
        StreamError::StreamError { reason, .. }
        | StreamError::ConnectionError {
            0:
                ConnectionError::Local {
                    error: LocalError::Application { reason, .. },
                    ..
                },
            ..
        } => return rules(reason),
        StreamError::Undefined { 0: error, .. } => {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return io::Error::new(error.kind(), error.to_string());
            }
        }
        _ => {}
    }
    match gauge.close_reason() {
        Some(E::ApplicationClosed(close)) => {
            let words = format!(
                "the server ended the connection with code {:#x}",
                close.error_code.into_inner()
            );
            io::Error::new(ConnectionAborted, words)
        }
        Some(E::TimedOut) => io::Error::new(TimedOut, "nothing came from it any more"),
        Some(E::Reset) => ConnectionReset.into(),
        Some(error) => io::Error::new(ConnectionAborted, format!("the connection broke: {error}")),
        None => rules(error),
    }
}
