//! The dialing side of HTTP/3: one request, whose body a session sends and whose answer it receives.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h3::client::{RequestStream, builder};
use ::h3::error::Code;
use ::http::{HeaderValue, Request, header};
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame};
use quinn::VarInt;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{bounded, broken, broken_stream};
use crate::protocol::http::{self, Ask, HEAD_MAX, Resource, Sender};
use crate::protocol::quic::{Connected, Lent, Move, Terms};
use crate::request::Body;
use crate::session::Session;

type Sending = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type Receiving = RequestStream<bounded::RecvStream, Bytes>;

/// Opens a session whose messages are bodies.
///
/// # Errors
/// When HTTP/3 cannot be begun, or this cannot be asked for.
pub(crate) async fn dial(
    connected: Connected,
    resource: &Resource,
    ask: &Ask,
    terms: Terms,
    moving: Option<Move>,
) -> io::Result<Session> {
    let head = http::head(http::Version::Two, resource)?;
    let (framing, max_message) = (terms.framing.clone(), terms.max_message);
    let code = VarInt::try_from(Code::H3_NO_ERROR.value()).unwrap_or_default();
    let lent = connected.lend(code, terms, moving);
    let (mut driver, sender) = builder()
        .max_field_section_size(HEAD_MAX.into())
        .build::<_, _, Bytes>(bounded::Connection::new(lent.connection()))
        .await
        .map_err(broken)?;
    // The last of these closes the connection when it is dropped, and that is not for the library to decide.
    let kept = sender.clone();
    Lent::run(async move {
        poll_fn(|cx| driver.poll_close(cx)).await;
        drop(kept);
    });
    let terms = http::Terms {
        identity: lent.identity(),
        framing,
        max_message,
    };
    let send: Sender = Box::new(move |request| {
        let sending = crate::task::spawn(&TaskTracker::new(), send(sender, request));
        let sending = AbortOnDropHandle::new(sending);
        Box::pin(async move {
            sending
                .await
                .unwrap_or_else(|ended| Err(io::Error::other(ended)))
        })
    });
    Ok(http::session(send, head, ask, terms, Box::new(lent)))
}

async fn send(
    mut sender: ::h3::client::SendRequest<bounded::Opener, Bytes>,
    request: Request<Body>,
) -> io::Result<::http::Response<Body>> {
    let (mut parts, body) = request.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        let fields = parts.headers.entry(header::CONTENT_LENGTH);
        fields.or_insert_with(|| HeaderValue::from(length));
    }
    let sent = sender.send_request(Request::from_parts(parts, ())).await;
    let (sending, mut receiving) = sent.map_err(|error| broken_stream(&error))?.split();
    // On a task of its own, so that both directions move whoever is polled.
    let sending = crate::task::spawn(&TaskTracker::new(), pump(sending, body));
    let sending = AbortOnDropHandle::new(sending);
    let head = receiving.recv_response().await;
    let head = head.map_err(|error| broken_stream(&error))?;
    Ok(head.map(|()| {
        Body::stream(Coming {
            receiving,
            _sending: sending,
        })
    }))
}

/// Sends the body of a request, as far as the server wants it.
async fn pump(mut sending: Sending, mut body: Body) {
    while let Some(data) = body.data().await {
        let sent = match data {
            Ok(data) => sending.send_data(data).await,
            Err(_) => return sending.stop_stream(Code::H3_REQUEST_CANCELLED),
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
    _sending: AbortOnDropHandle<()>,
}

impl http_body::Body for Coming {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match ready!(self.receiving.poll_recv_data(cx)) {
            Ok(None) => None,
            Ok(Some(mut data)) => Some(Ok(Frame::data(data.copy_to_bytes(data.remaining())))),
            Err(error) => Some(Err(broken_stream(&error))),
        })
    }
}
