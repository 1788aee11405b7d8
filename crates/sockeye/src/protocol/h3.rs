//! HTTP/3 (RFC 9114): requests that come over the streams of a QUIC connection are answered as those of the other
//! versions are.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use ::h3::error::{Code, ConnectionError, StreamError};
use ::h3::server::{RequestResolver, RequestStream, builder};
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame};
use quinn::VarInt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http::{self, Arriving, Driven, HEAD, HEAD_MAX, Pace, Shared, answer, drive};
use super::quic::{Confirmed, Gauge, Shaken, Terms};

mod bounded;
mod client;

pub(crate) use client::{Client, Unprocessed, dial};

/// How long a client that was told to leave may take to do so, after its last answer, beyond a few round trips: so
/// long the last packets may take.
const LAST: Duration = Duration::from_millis(250);

type Resolver = RequestResolver<bounded::Connection, Bytes>;
type Sending = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type Receiving = RequestStream<bounded::RecvStream, Bytes>;

/// Serves one connection to its end.
///
/// # Errors
/// When it broke, or the client broke the protocol; it has been told by a code.
pub(crate) async fn serve(shaken: Shaken, mut connection: http::Connection) -> io::Result<()> {
    let quic = shaken.connection.clone();
    let gauge = shaken.gauge(Terms {
        identity: (*connection.identity).clone(),
        framing: connection.framing.clone(),
        max_message: connection.max_message,
    });
    connection.identity = Arc::new(gauge.identity());
    let shared = Arc::new(Shared::new(connection, false));
    let leaving = CancellationToken::new();
    let serving = pin!(requests(shaken, gauge, shared.clone(), leaving.clone()));
    match drive(serving, &shared, |_| leaving.cancel()).await {
        Driven::Done(served) => served,
        Driven::Late(late) => {
            let code = VarInt::try_from(Code::H3_REQUEST_CANCELLED.value());
            quic.close(code.unwrap_or_default(), b"");
            Err(late.error())
        }
        Driven::Cut => Ok(()),
    }
}

async fn requests(
    shaken: Shaken,
    gauge: Gauge,
    shared: Arc<Shared>,
    leaving: CancellationToken,
) -> io::Result<()> {
    let (quic, confirmed) = (shaken.connection, shaken.confirmed);
    let mut connection = builder()
        .max_field_section_size(HEAD_MAX.into())
        .build::<_, Bytes>(bounded::Connection::new(quic.clone()))
        .await
        .map_err(broken)?;
    let under_way = TaskTracker::new();
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = leaving.cancelled(), if !told => {
                told = true;
                under_way.close();
                // GOAWAY: what comes from now on is refused, and may be asked again elsewhere.
                connection.shutdown(0).await.map_err(broken)?;
                continue;
            }
            accepted = connection.accept() => accepted,
            () = under_way.wait(), if told => break,
        };
        match accepted {
            Ok(Some(resolver)) => {
                let (token, shared) = (under_way.token(), shared.clone());
                let (confirmed, gauge) = (confirmed.clone(), gauge.clone());
                let host = shared.connection.host.clone();
                host.run(Box::pin(async move {
                    let _token = token;
                    one(resolver, shared, confirmed, gauge).await;
                }));
            }
            Ok(None) => break,
            Err(error) => return ended(&quic, error),
        }
    }
    // Closing throws away what has not arrived.
    let _ = timeout(3 * quic.rtt() + LAST, quic.closed()).await;
    Ok(())
}

/// Answers one request.
async fn one(resolver: Resolver, shared: Arc<Shared>, confirmed: Confirmed, gauge: Gauge) {
    // Who does not send its head is left; what is none has been answered by a code.
    let Ok(Ok((request, stream))) = timeout(HEAD, resolver.resolve_request()).await else {
        return;
    };
    if !request.method().is_safe() {
        // It may have been said before, and somebody else may say it again (RFC 8470, section 4).
        confirmed.await;
    }
    let (mut sending, receiving) = stream.split();
    let takes_trailers = takes_trailers(request.headers());
    let is_head = request.method() == Method::HEAD;
    let mut body = Inbound {
        receiving,
        pace: shared.pace.clone(),
        gauge: gauge.clone(),
        first: None,
        ended: false,
    };
    body.look_ahead().await;
    let pace = shared.pace.clone();
    let Ok(response) = answer(shared, request.map(|()| body)).await else {
        return sending.stop_stream(Code::H3_MESSAGE_ERROR);
    };
    let (mut parts, body) = response.into_parts();
    let length = body.size_hint().exact().filter(|_| !is_head);
    dress(parts.status, &mut parts.headers, length);
    let head = Response::from_parts(parts, ());
    // A client that has left needs no answer; its session hears of that by itself.
    if sending.send_response(head).await.is_ok() {
        let _ = send(&mut sending, body, takes_trailers, &pace).await;
    }
    gauge.look();
}

async fn send(
    sending: &mut Sending,
    mut body: impl http_body::Body<Data = Bytes, Error = io::Error> + Unpin,
    takes_trailers: bool,
    pace: &Pace,
) -> Result<(), StreamError> {
    loop {
        let frame = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return sending.finish().await,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                // It must not be taken for whole.
                sending.stop_stream(Code::H3_INTERNAL_ERROR);
                return Ok(());
            }
        };
        match frame.into_data() {
            Ok(data) => {
                sending.send_data(data).await?;
                pace.sent();
            }
            // Browsers hang on trailers that they have not asked for.
            Err(frame) => {
                if let (Ok(trailers), true) = (frame.into_trailers(), takes_trailers) {
                    sending.send_trailers(trailers).await?;
                }
            }
        }
    }
}

/// What HTTP/3 wants in an answer, and what it does not want.
fn dress(status: StatusCode, headers: &mut HeaderMap, length: Option<u64>) {
    // RFC 9114, section 4.2: what belongs to a connection has no place.
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    let has_body = !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED;
    if let Some(length) = length.filter(|_| has_body) {
        headers
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
    if let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        headers.entry(header::DATE).or_insert(now);
    }
}

/// Whether the client has asked for trailers (RFC 9110, section 6.5.1).
fn takes_trailers(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::TE).iter();
    let names = fields.filter_map(|field| field.to_str().ok());
    names
        .flat_map(|field| field.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("trailers"))
}

/// The body of a request.
struct Inbound {
    receiving: Receiving,
    pace: Arc<Pace>,
    gauge: Gauge,
    /// What was read to see whether there is a body at all.
    first: Option<io::Result<Bytes>>,
    ended: bool,
}

impl Inbound {
    /// Finds out whether there is a body, if that can be known by now: most requests have none.
    async fn look_ahead(&mut self) {
        poll_fn(|cx| {
            match self.poll_data(cx) {
                Poll::Ready(Some(first)) => self.first = Some(first),
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => {}
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let received = match ready!(self.receiving.poll_recv_data(cx)) {
            Ok(None) => None,
            Ok(Some(mut data)) => Some(Ok(data.copy_to_bytes(data.remaining()))),
            Err(error) => Some(Err(broken_stream(&error))),
        };
        self.pace.received();
        self.gauge.notice_move_soon();
        Poll::Ready(received)
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first.map(Frame::data)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let received = ready!(self.poll_data(cx));
        self.ended = !matches!(received, Some(Ok(_)));
        Poll::Ready(received.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.first.is_none()
    }
}

impl Arriving for Inbound {
    fn broken(error: io::Error) -> io::Error {
        error
    }
}

fn broken_stream(error: &StreamError) -> io::Error {
    let kind = match error {
        StreamError::RemoteTerminate { .. } => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error.to_string())
}

fn broken(error: ConnectionError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// How a connection ended that this end has not closed. Leaving is the client's right, and so is silence.
fn ended(quic: &quinn::Connection, error: ConnectionError) -> io::Result<()> {
    use quinn::ConnectionError as E;
    let no_error = |code: VarInt| {
        let code = code.into_inner();
        code == 0 || code == Code::H3_NO_ERROR.value()
    };
    match quic.close_reason() {
        Some(E::ApplicationClosed(close)) if no_error(close.error_code) => Ok(()),
        Some(E::TimedOut) => Ok(()),
        _ if error.is_h3_no_error() => Ok(()),
        _ => Err(broken(error)),
    }
}
