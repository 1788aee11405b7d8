//! A request and its answer as one session: the body that comes is received, the body that goes is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{Connection, status};
use crate::request::{Body, Request, Response};
use crate::session::{Link, RequestHead, Session};
use crate::stream::ByteStream;

/// Pieces of an answer that may wait for the peer to take them.
const QUEUE: usize = 4;

/// The largest piece.
const PIECE: usize = 64 * 1024;

/// Makes a session of `request`, and an answer of what it sends.
///
/// The answer's head leaves with its first bytes, so that a session that fails before can still say so.
pub(super) async fn open(connection: &Connection, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let head = RequestHead {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers,
    };
    let identity = connection.identity.clone().asked_by(Arc::new(head));
    let (sender, mut pieces) = mpsc::channel(QUEUE);
    let exchange = Exchange {
        body,
        rest: Bytes::new(),
        answer: PollSender::new(sender),
    };
    let link = Link::Bytes(ByteStream::new(exchange), connection.framing.clone());
    let session = Session::new(link, identity, connection.max_message);
    if !connection.host.open(session) {
        return status(
            StatusCode::SERVICE_UNAVAILABLE,
            "no more sessions are taken\n",
        );
    }
    let body = match pieces.recv().await {
        None => return status(StatusCode::INTERNAL_SERVER_ERROR, "the service failed\n"),
        Some(Piece::End) => Body::empty(),
        Some(Piece::Data(first)) => match pieces.try_recv() {
            Ok(Piece::End) => first.into(),
            Ok(Piece::Data(second)) => Body::stream(Outbound {
                ahead: [second, first].into(),
                pieces,
            }),
            Err(_) => Body::stream(Outbound {
                ahead: [first].into(),
                pieces,
            }),
        },
    };
    let mut response = Response::new(body);
    describe(response.headers_mut(), connection);
    response
}

/// What a browser must know to show the answer as what it is: text, not markup, in this encoding.
fn describe(headers: &mut HeaderMap, connection: &Connection) {
    let kind = connection.settings.content_type.clone();
    let kind = kind.unwrap_or_else(|| {
        let encoding = connection.identity.text_encoding();
        HeaderValue::try_from(format!("text/plain; charset={encoding}"))
            .unwrap_or(HeaderValue::from_static("text/plain"))
    });
    headers.insert(header::CONTENT_TYPE, kind);
    let exactly = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, exactly);
}

/// A part of an answer on its way.
enum Piece {
    Data(Bytes),
    End,
}

/// The session's side: reads the request's body, writes the answer's.
struct Exchange {
    body: Body,
    rest: Bytes,
    answer: PollSender<Piece>,
}

impl AsyncRead for Exchange {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // Trailers are no part of the message.
                Some(frame) => self.rest = frame?.into_data().unwrap_or_default(),
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.rest.len().min(out.remaining());
        out.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Exchange {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.answer.poll_reserve(cx)).map_err(|_| gone())?;
        let data = &data[..data.len().min(PIECE)];
        let piece = Piece::Data(Bytes::copy_from_slice(data));
        self.answer.send_item(piece).map_err(|_| gone())?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.answer.is_closed() {
            ready!(self.answer.poll_reserve(cx)).map_err(|_| gone())?;
            self.answer.send_item(Piece::End).map_err(|_| gone())?;
            self.answer.close();
        }
        Poll::Ready(Ok(()))
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// hyper's side: the answer's body.
struct Outbound {
    /// What came before the body was made, the first last.
    ahead: Vec<Bytes>,
    pieces: mpsc::Receiver<Piece>,
}

impl http_body::Body for Outbound {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(data) = self.ahead.pop() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::End) => None,
            // The session ended without an end of its answer: the peer must not take it for whole.
            None => Some(Err(io::ErrorKind::ConnectionAborted.into())),
        })
    }
}
