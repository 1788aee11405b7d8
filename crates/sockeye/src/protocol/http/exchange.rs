//! A request and its answer as one session: the body that comes is received, the body that goes is sent.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSender;
use wire::framing::FrameError;

use super::answer::full;
use super::{Connection, Refusal, Shared};
use crate::error::{Error, Operation};
use crate::request::{Body, Request, Response};
use crate::session::{AnswerHead, Ending, Info, RequestHead, Session};
use crate::stream::{ByteStream, hand_out};

/// Pieces of an answer that may wait for the peer to take them.
pub(super) const QUEUE: usize = 4;

/// The largest piece.
pub(super) const PIECE: usize = 64 * 1024;

/// When stopping, a request that pauses longer than this is not waited for.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes a session of `request`, and an answer of what it sends.
///
/// The answer's head leaves with its first bytes, so that a session that fails before can still say so.
pub(super) async fn open(shared: &Shared, request: Request) -> Response {
    let connection = &shared.connection;
    let (parts, body) = request.into_parts();
    let head = RequestHead {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers,
    };
    let version = head.version;
    let identity = (*connection.identity).clone().asked_by(Arc::new(head));
    let info = Arc::new(Info::patient(identity));
    let (pieces, mut answer) = channel(body, info.clone());
    let session = Session::of_bytes(
        info.clone(),
        ByteStream::new(pieces),
        connection.framing.clone(),
        connection.max_message,
    );
    let (tell, told) = oneshot::channel();
    let ended = move |served: &Result<(), Ending>| {
        let refused = served.as_ref().err().map(|ending| {
            let refusal = refusal(ending, info.peer_has_finished());
            answered(&info, refusal.status, version);
            refusal
        });
        // The client may have left before.
        let _ = tell.send(refused);
    };
    if !connection.host.open(session, Box::new(ended)) {
        return full().response();
    }
    answer.told = Some(told);
    let body = match answer.pieces.recv().await {
        None => match answer.verdict().await {
            Some(Ok(())) => Body::empty(),
            Some(Err(refusal)) => return refusal.response(),
            None => return failed().response(),
        },
        Some(Piece::End) => Body::empty(),
        Some(Piece::Data(first)) => {
            // One turn for the rest of a small request: the answer to it then says how long it is.
            a_turn().await;
            match answer.pieces.try_recv() {
                Ok(Piece::End) => first.into(),
                Ok(Piece::Data(second)) => answer.after([second, first].into()),
                Err(_) => answer.after([first].into()),
            }
        }
    };
    let mut response = Response::new(body);
    describe(response.headers_mut(), connection);
    response
}

/// Lets the tasks run that are ready now.
async fn a_turn() {
    let mut had = false;
    poll_fn(|cx| match std::mem::replace(&mut had, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// What a session's answer would begin with, for who asks for no more: no session is opened for that.
pub(super) fn head(connection: &Connection) -> Response {
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), connection);
    response
}

/// What a client is told of a session that failed before it had sent anything.
pub(super) fn refusal(ending: &Ending, request_is_whole: bool) -> Refusal {
    let error = match ending {
        Ending::Failed(error) => error,
        Ending::Idle(_) if !request_is_whole => {
            let words = "the request did not come in time\n";
            return Refusal::new(StatusCode::REQUEST_TIMEOUT, words);
        }
        _ => {
            let words = "this server is about to end\n";
            return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, words);
        }
    };
    let malformed = |cause: &dyn std::fmt::Display| {
        let words = format!("the request cannot be read: {cause}\n");
        Refusal::new(StatusCode::BAD_REQUEST, words)
    };
    match error {
        Error::Framing {
            operation: Operation::Receive,
            source,
            ..
        } => match source {
            FrameError::TooLong { .. } => {
                let words = format!("{source}\n");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words)
            }
            other => malformed(other),
        },
        Error::NotText(source) => malformed(source),
        Error::Io {
            operation: Operation::Receive,
            source,
            ..
        } => malformed(source),
        _ => failed(),
    }
}

fn failed() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed\n")
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

fn answered(info: &Info, status: StatusCode, version: Version) {
    info.answer_with(AnswerHead {
        version,
        status,
        reason: None,
        headers: HeaderMap::new(),
    });
}

fn channel(body: Body, info: Arc<Info>) -> (Exchange, Outbound) {
    let (sender, pieces) = mpsc::channel(QUEUE);
    let exchange = Exchange {
        body,
        rest: Bytes::new(),
        answer: PollSender::new(sender),
        info,
        pause: None,
    };
    (exchange, Outbound::of(pieces, None))
}

/// A part of an answer on its way.
pub(super) enum Piece {
    Data(Bytes),
    End,
}

/// The session's side: reads the request's body, writes the answer's.
struct Exchange {
    body: Body,
    rest: Bytes,
    answer: PollSender<Piece>,
    info: Arc<Info>,
    /// Runs while a request pauses that holds up the end of this server.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Exchange {
    fn commit(&self) {
        if self.info.answer().is_none() {
            let version = self.info.request().map(|request| request.version);
            answered(&self.info, StatusCode::OK, version.unwrap_or_default());
        }
    }
}

impl AsyncRead for Exchange {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                // Trailers are no part of the message.
                Poll::Ready(Some(frame)) => self.rest = frame?.into_data().unwrap_or_default(),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if self.info.is_stopping() => {
                    let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
                    ready!(pause.as_mut().poll(cx));
                    let stopped = io::ErrorKind::ConnectionAborted;
                    return Poll::Ready(Err(io::Error::new(stopped, "this server ends")));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        self.pause = None;
        hand_out(&mut self.rest, out);
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
        self.commit();
        self.answer.send_item(piece).map_err(|_| gone())?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.answer.is_closed() {
            ready!(self.answer.poll_reserve(cx)).map_err(|_| gone())?;
            self.commit();
            self.answer.send_item(Piece::End).map_err(|_| gone())?;
            self.answer.close();
        }
        Poll::Ready(Ok(()))
    }
}

pub(super) fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// hyper's side: the body that is sent.
pub(super) struct Outbound {
    /// What came before the body was made, the first last.
    ahead: Vec<Bytes>,
    pieces: mpsc::Receiver<Piece>,
    /// How the session ended: with what it would be refused, had it not begun to answer.
    told: Option<oneshot::Receiver<Option<Refusal>>>,
    /// Whether all before the break has been taken.
    flushed: bool,
    /// How much is to come, if that is known.
    left: Option<u64>,
}

impl Outbound {
    /// The body that these pieces make.
    pub(super) fn of(pieces: mpsc::Receiver<Piece>, length: Option<u64>) -> Self {
        Self {
            ahead: Vec::new(),
            pieces,
            told: None,
            flushed: false,
            left: length,
        }
    }

    fn after(mut self, ahead: Vec<Bytes>) -> Body {
        self.ahead = ahead;
        Body::stream(self)
    }

    /// How the session ended; `None` when it cannot say: it panicked.
    async fn verdict(&mut self) -> Option<Result<(), Refusal>> {
        let told = self.told.take()?.await.ok()?;
        Some(told.map_or(Ok(()), Err))
    }
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
        match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Data(data)) => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Piece::End) => return Poll::Ready(None),
            None => {}
        }
        // A session that ended well without an end of its answer has said all that it had to say.
        if let Some(told) = &mut self.told {
            let told = ready!(Pin::new(told).poll(cx));
            self.told = None;
            if let Ok(None) = told {
                return Poll::Ready(None);
            }
        }
        // After anything else the peer must not take it for whole. What it has so far is sent before.
        if !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
