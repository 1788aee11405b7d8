//! The dialing side of WebTransport: a connection of HTTP/3 and the one request that begins a session in it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::h3::ConnectionState;
use ::h3::client::{SendRequest, builder};
use ::h3::error::Code;
use ::h3::ext::Protocol;
use ::http::{HeaderValue, Method, Request, Version, header};
use bytes::Bytes;
use quinn::VarInt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::webtransport::CLIENT_SETTINGS;

use super::client::{Receiving, answered, told};
use super::{DRAFT_2, broken, streams};
use crate::error::{Error, Operation, Result};
use crate::protocol::http::{self, HEAD_MAX, Resource};
use crate::protocol::quic::{Connected, Lent, Move, Terms, Wanted};
use crate::protocol::webtransport::{self, Hears, Sessions, Telling};
use crate::session::{RequestHead, Session};

/// How long a server's settings are waited for that allow it.
const SETTINGS: Duration = Duration::from_secs(5);

/// Bytes of what a server says about its refusal.
const MOST_WORDS: usize = 200;

/// What a session of WebTransport is opened by.
pub(crate) struct Wish<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) wanted: Wanted,
    pub(crate) terms: Terms,
    pub(crate) moving: Move,
    /// As errors name it.
    pub(crate) address: &'a str,
}

/// Opens a session of WebTransport, and what is wanted in it.
///
/// # Errors
/// When the server does not speak it, refuses, or the connection breaks.
pub(crate) async fn dial(connected: Connected, wish: Wish<'_>) -> Result<Session> {
    let failed = |error| Error::io(Operation::Connect, wish.address, error);
    let request = request(wish.resource).map_err(failed)?;
    let head = RequestHead {
        method: Method::CONNECT,
        uri: request.uri().clone(),
        version: Version::HTTP_3,
        headers: request.headers().clone(),
    };
    let code = VarInt::try_from(Code::H3_NO_ERROR.value()).unwrap_or_default();
    let lent = connected.lend(code, wish.terms.clone(), wish.moving);
    let (connection, gauge) = (lent.connection(), lent.gauge());
    let sessions = Arc::<Sessions>::default();
    let mut asking = open(&lent, &sessions, wish.address).await?;
    let stream = asking.send_request(request).await;
    let stream = stream.map_err(|error| failed(told(&error, &gauge)))?;
    let id = 4 * stream.id().index();
    let (says, mut hears) = stream.split();
    let answer = answered(&mut hears, None).await;
    let answer = answer.map_err(|error| failed(told(&error, &gauge)))?;
    if !answer.status().is_success() {
        return Err(Error::Refused {
            operation: Operation::Connect,
            address: wish.address.to_owned(),
            status: answer.status(),
            words: words(&mut hears).await,
        });
    }
    let Some(opened) = sessions.open(id) else {
        return Err(unlike(wish.address, "the session has begun already"));
    };
    let terms = Terms {
        identity: wish.terms.identity.asked_by(Arc::new(head)),
        ..wish.terms
    };
    let telling = Telling::new(says, hears);
    let dialed = webtransport::dial(connection, terms, opened, telling, wish.wanted).await;
    let (session, keeping) = dialed?;
    Lent::run(async move {
        keeping.await;
        // Now it may be closed.
        drop((asking, lent));
    });
    Ok(session)
}

fn request(resource: &Resource) -> io::Result<Request<()>> {
    let mut request = http::head(http::Version::Two, resource)?;
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::WEB_TRANSPORT);
    let headers = request.headers_mut();
    headers.remove(header::ACCEPT);
    let fields = headers.entry(DRAFT_2);
    fields.or_insert(const { HeaderValue::from_static("1") });
    Ok(request)
}

/// HTTP/3 with a server that allows sessions.
async fn open(
    lent: &Lent,
    sessions: &Arc<Sessions>,
    address: &str,
) -> Result<SendRequest<streams::Opener, Bytes>> {
    let connection = lent.connection();
    let streams =
        streams::Connection::sorted(connection.clone(), sessions.clone(), &CLIENT_SETTINGS);
    let (mut driver, asking) = builder()
        .max_field_section_size(HEAD_MAX.into())
        .enable_datagram(true)
        .enable_extended_connect(true)
        .build(streams)
        .await
        .map_err(|error| Error::io(Operation::Connect, address, broken(error)))?;
    let allowed = CancellationToken::new();
    let allows = allowed.clone();
    Lent::run(async move {
        poll_fn(|cx| {
            let over = driver.poll_close(cx);
            let settings = driver.settings();
            if settings.enable_extended_connect() || settings.enable_webtransport() {
                allows.cancel();
            }
            over
        })
        .await;
    });
    // Not before the server has said that it knows `:protocol` (RFC 9220, section 3).
    tokio::select! {
        waited = timeout(SETTINGS, allowed.cancelled()) => match waited {
            Ok(()) => Ok(asking),
            Err(_) => Err(unlike(address, "the server does not offer WebTransport")),
        },
        // Asking tells why.
        _ = connection.closed() => Ok(asking),
    }
}

fn unlike(address: &str, reason: &str) -> Error {
    Error::Protocol {
        operation: Operation::Connect,
        address: address.to_owned(),
        reason: reason.to_owned(),
    }
}

/// What a server says to people about its refusal: not much of it, and not for long.
async fn words(hears: &mut Receiving) -> String {
    let mut words = Vec::new();
    let reading = async {
        while words.len() < MOST_WORDS
            && let Ok(Some(data)) = poll_fn(|cx| hears.poll_hear(cx)).await
        {
            words.extend_from_slice(&data);
        }
    };
    let _ = timeout(Duration::from_secs(1), reading).await;
    words.truncate(MOST_WORDS);
    let text = String::from_utf8_lossy(&words);
    text.lines().next().unwrap_or_default().trim().to_owned()
}
