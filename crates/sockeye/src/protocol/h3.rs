//! HTTP/3 (RFC 9114): requests that come over the streams of a QUIC connection are answered as those of the other
//! versions are.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::h3::error::{Code, ConnectionError, StreamError};
use ::h3::ext::Protocol;
use ::h3::quic::ConnectionErrorIncoming as Lost;
use ::h3::server::{RequestResolver, RequestStream, builder};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body::Body as _;
use quinn::VarInt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::webtransport::SERVER_SETTINGS;

use super::http::{self, Driven, HEAD, HEAD_MAX, Pace, Shared, answer, drive};
use super::quic::{Confirmed, Gauge, Shaken, Terms};
use super::webtransport::{self, Sessions, Telling};
use crate::session::{Identity, RequestHead};

mod apart;
mod client;
mod frames;
mod inbound;
mod sorting;
mod streams;
mod telling;

pub(crate) use apart::{Wish, dial as dial_session};
pub(crate) use client::{Client, Unprocessed, dial};
use inbound::Inbound;

/// How long a client that was told to leave may take to do so, after its last answer, beyond a few round trips: so
/// long the last packets may take.
const LAST: Duration = Duration::from_millis(250);

type Resolver = RequestResolver<streams::Connection, Bytes>;
type Sending = RequestStream<streams::SendStream, Bytes>;
type Receiving = RequestStream<streams::RecvStream, Bytes>;

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
    let sessions = Arc::<Sessions>::default();
    let streams = streams::Connection::sorted(quic.clone(), sessions.clone(), &SERVER_SETTINGS);
    let mut connection = builder()
        .max_field_section_size(HEAD_MAX.into())
        .enable_extended_connect(true)
        .enable_datagram(true)
        .enable_webtransport(true)
        .max_webtransport_sessions(webtransport::SESSIONS)
        .build::<_, Bytes>(streams)
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
                let token = under_way.token();
                let asked = Asked {
                    quic: quic.clone(),
                    shared: shared.clone(),
                    sessions: sessions.clone(),
                    confirmed: confirmed.clone(),
                    gauge: gauge.clone(),
                };
                let host = shared.connection.host.clone();
                host.run(Box::pin(async move {
                    let _token = token;
                    asked.answer(resolver).await;
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

/// What a request needs to be answered.
struct Asked {
    quic: quinn::Connection,
    shared: Arc<Shared>,
    sessions: Arc<Sessions>,
    confirmed: Confirmed,
    gauge: Gauge,
}

impl Asked {
    /// Answers one request.
    async fn answer(self, resolver: Resolver) {
        // Who does not send its head is left; what is none has been answered by a code.
        let Ok(Ok((request, stream))) = timeout(HEAD, resolver.resolve_request()).await else {
            return;
        };
        if request.extensions().get() == Some(&Protocol::WEB_TRANSPORT) {
            // Boxed: few requests are.
            return Box::pin(self.begin(request, stream)).await;
        }
        let Self {
            shared,
            confirmed,
            gauge,
            ..
        } = self;
        if !request.method().is_safe() {
            // It may have been said before, and somebody else may say it again (RFC 8470, section 4).
            confirmed.await;
        }
        let (mut sending, receiving) = stream.split();
        let takes_trailers = takes_trailers(request.headers());
        let is_head = request.method() == Method::HEAD;
        let mut body = Inbound::new(receiving, &shared, gauge.clone());
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

    /// Answers a request for a session of WebTransport, and serves that to its end.
    async fn begin(
        self,
        mut request: Request<()>,
        stream: RequestStream<streams::BidiStream, Bytes>,
    ) {
        let Self {
            quic,
            shared,
            sessions,
            confirmed,
            gauge,
        } = self;
        // As for every method that is not safe.
        confirmed.await;
        let id = 4 * stream.id().index();
        let (mut sending, mut receiving) = stream.split();
        let Some(opened) = sessions.open(id) else {
            sessions.close(id);
            receiving.stop_sending(Code::H3_REQUEST_REJECTED);
            return sending.stop_stream(Code::H3_REQUEST_REJECTED);
        };
        request.extensions_mut().insert(http::Apart);
        let head = RequestHead {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
        };
        let body = request.map(|()| Inbound::none(&shared, gauge));
        let Ok(response) = answer(shared.clone(), body).await else {
            return sending.stop_stream(Code::H3_MESSAGE_ERROR);
        };
        let (mut parts, body) = response.into_parts();
        let accepted = parts.status == StatusCode::OK;
        dress(parts.status, &mut parts.headers, None);
        if accepted && head.headers.contains_key(DRAFT_2) {
            parts
                .headers
                .insert(DRAFT, HeaderValue::from_static("draft02"));
        }
        if sending
            .send_response(Response::from_parts(parts, ()))
            .await
            .is_err()
        {
            return;
        }
        if !accepted {
            drop(opened);
            let _ = send(&mut sending, body, false, &shared.pace).await;
            return;
        }
        let http::Connection {
            identity,
            framing,
            max_message,
            grace,
            host,
            ..
        } = &shared.connection;
        let terms = Terms {
            identity: Identity::clone(identity)
                .over("wt")
                .asked_by(Arc::new(head.on_its_own())),
            framing: framing.clone(),
            max_message: *max_message,
        };
        let telling = Telling::new(sending, receiving);
        let served = webtransport::serve(quic, terms, opened, telling, *grace, host.clone());
        match served.await {
            // The connection tells why by itself.
            Err(error) if error.io_kind() == Some(io::ErrorKind::NotConnected) => {}
            Err(error) => identity.note(&error.to_string()),
            Ok(()) => {}
        }
        // Until now the connection was not idle.
        drop(body);
    }
}

/// What a browser says that speaks draft 2, and what it wants to hear.
const DRAFT_2: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft02");
const DRAFT: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft");

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

fn broken(error: ConnectionError) -> io::Error {
    let words = match error {
        // Words of our own.
        ConnectionError::Remote(Lost::Undefined(cause)) => cause.to_string(),
        other => other.to_string(),
    };
    io::Error::new(io::ErrorKind::InvalidData, words)
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
