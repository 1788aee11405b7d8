//! The dialing side: what a session sends is the body of a request, what it receives is the body of the answer.

use std::future::Future;
use std::io;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::http::header::{self, HeaderMap, HeaderValue};
use ::http::{Method, Request, Uri};
use bytes::Bytes;
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSender;
use wire::framing::Framing;

use super::Version;
use super::client::{Answer, connect, reason};
use super::exchange::{Outbound, PIECE, Piece, QUEUE, gone};
use crate::request::Body;
use crate::session::{AnswerHead, Identity, Info, Session};
use crate::stream::{ByteStream, hand_out};

/// How something is asked for over HTTP.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// GET when nothing is sent and POST otherwise, when `None`.
    pub method: Option<Method>,
    /// What the session will send.
    pub sends: Sends,
}

/// What a session that asks will send: the body of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sends {
    /// Nothing. The request is sent at once.
    Nothing,
    /// It is not known. The first bytes, the end or a quarter of a second decides; the request waits for that.
    #[default]
    Perhaps,
    /// Something, of this many bytes if that is known. The request is sent at once.
    Something(Option<u64>),
}

/// How long the first byte of a body is waited for, where it is not known whether there will be one.
const PERHAPS: Duration = Duration::from_millis(250);

/// Who is asked for what.
pub(crate) struct Resource {
    /// `http`, `https`.
    pub(crate) scheme: &'static str,
    /// Host and port, as they stand in a URL.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
    /// Header fields that are sent; they win over those that are sent anyway: `Host`, `Accept`, `User-Agent`.
    pub(crate) headers: HeaderMap,
}

/// What a session over HTTP has in common with all others.
pub(crate) struct Terms {
    pub(crate) identity: Identity,
    pub(crate) framing: Framing,
    pub(crate) max_message: usize,
}

/// Opens a session whose messages are bodies.
///
/// # Errors
/// When the request cannot be written, or HTTP/2 cannot be begun.
pub(crate) async fn dial(
    stream: ByteStream,
    version: Version,
    resource: &Resource,
    ask: &Ask,
    terms: Terms,
) -> io::Result<Session> {
    let head = head(version, resource)?;
    let (mut sender, task) = connect(stream, version).await?;
    let send: Sender = Box::new(move |request| sender.send(request));
    Ok(session(send, head, ask, terms, Box::new(task)))
}

/// What sends one request. It is on its way from then on, whether or not somebody waits for the answer.
pub(in crate::protocol) type Sender = Box<dyn FnOnce(Request<Body>) -> Answer + Send>;

/// A session that asks by `sender`, which needs what is `held`.
pub(in crate::protocol) fn session(
    sender: Sender,
    head: Request<()>,
    ask: &Ask,
    terms: Terms,
    held: Box<dyn Send>,
) -> Session {
    let Terms {
        identity,
        framing,
        max_message,
    } = terms;
    let info = Arc::new(Info::new(identity));
    let (answer, pieces) = mpsc::channel(QUEUE);
    let mut asking = Asking {
        state: State::Undecided(Box::new(Undecided {
            sender,
            head,
            pieces,
            wait: Box::pin(sleep(PERHAPS)),
        })),
        method: ask.method.clone(),
        rest: Bytes::new(),
        request: PollSender::new(answer),
        info: info.clone(),
        reader: None,
        _held: held,
    };
    match ask.sends {
        Sends::Nothing => asking.ask(Some(0)),
        Sends::Perhaps => {}
        Sends::Something(length) => asking.ask(length),
    }
    let stream = ByteStream::new(asking);
    Session::of_bytes(info, stream, framing, max_message)
}

/// The head of the request, but for its method. HTTP/3 has those of HTTP/2.
pub(in crate::protocol) fn head(version: Version, resource: &Resource) -> io::Result<Request<()>> {
    let Resource {
        scheme,
        authority,
        path,
        headers: asked,
    } = resource;
    // A query may stand without a path (RFC 3986, section 3).
    let path = match path.starts_with('/') {
        true => path.clone(),
        false => format!("/{path}"),
    };
    // RFC 9112, section 3.2.1: to an origin server the target is the path alone.
    let target = match version {
        Version::One => ascii(&path),
        Version::Two => format!("{scheme}://{authority}{}", ascii(&path)),
    };
    let wrong = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{what}` cannot be asked for"),
        )
    };
    let mut request = Request::new(());
    *request.uri_mut() = Uri::try_from(&target).map_err(|_| wrong(&target))?;
    let host = HeaderValue::try_from(authority).map_err(|_| wrong(authority))?;
    let headers = request.headers_mut();
    if version == Version::One {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let own = concat!("sockeye/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(own));
    for name in asked.keys() {
        headers.remove(name);
    }
    headers.extend(asked.clone());
    Ok(request)
}

/// What is no ASCII in a path is sent as `%XX` (RFC 3986, section 2.1).
fn ascii(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter.is_ascii() {
            out.push(letter);
            continue;
        }
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The session's side: writes the request's body, reads the answer's.
struct Asking {
    state: State,
    method: Option<Method>,
    rest: Bytes,
    request: PollSender<Piece>,
    info: Arc<Info>,
    /// Who waits for an answer that nobody has asked for yet.
    reader: Option<Waker>,
    /// What carries it.
    _held: Box<dyn Send>,
}

enum State {
    Undecided(Box<Undecided>),
    Asked(Answer),
    Answered(Body),
    /// It failed, and that has been told.
    Failed,
}

struct Undecided {
    sender: Sender,
    head: Request<()>,
    pieces: mpsc::Receiver<Piece>,
    wait: Pin<Box<Sleep>>,
}

impl Asking {
    /// Sends the head, with a body of `length`, `None` if it is not known.
    fn ask(&mut self, length: Option<u64>) {
        let undecided = match replace(&mut self.state, State::Failed) {
            State::Undecided(undecided) => *undecided,
            other => {
                self.state = other;
                return;
            }
        };
        let Undecided {
            sender,
            head,
            pieces,
            ..
        } = undecided;
        let empty = length == Some(0);
        let mut request = head.map(|()| match empty {
            true => Body::empty(),
            false => Body::stream(Outbound::of(pieces, length)),
        });
        *request.method_mut() = match &self.method {
            Some(method) => method.clone(),
            None if empty => Method::GET,
            None => Method::POST,
        };
        self.state = State::Asked(sender(request));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match &mut self.state {
                State::Undecided(undecided) => {
                    if undecided.wait.as_mut().poll(cx).is_pending() {
                        self.reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    self.ask(None);
                }
                State::Asked(answer) => match ready!(answer.as_mut().poll(cx)) {
                    Ok(answer) => {
                        let (parts, body) = answer.into_parts();
                        let head = AnswerHead {
                            version: parts.version,
                            status: parts.status,
                            reason: reason(&parts.extensions),
                            headers: parts.headers,
                        };
                        if let Some(observer) = self.info.observer() {
                            observer.heard(&self.info, &head);
                        }
                        self.info.answer_with(head);
                        self.state = State::Answered(body);
                    }
                    Err(error) => {
                        self.state = State::Failed;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Answered(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                    Some(Err(error)) => {
                        self.state = State::Failed;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => return Poll::Ready(None),
                },
                State::Failed => return Poll::Ready(Some(Err(gone()))),
            }
        }
    }

    /// Why nothing more of the request is taken.
    fn closed(&self) -> io::Error {
        match self.info.answer() {
            Some(_) => io::Error::new(
                io::ErrorKind::BrokenPipe,
                "it has answered and does not take the rest of the request",
            ),
            None => gone(),
        }
    }
}

impl AsyncRead for Asking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.poll_body(cx)) {
                Some(data) => self.rest = data?,
                None => return Poll::Ready(Ok(())),
            }
        }
        hand_out(&mut self.rest, out);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Asking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.ask(None);
        let reserved = ready!(self.request.poll_reserve(cx));
        let data = &data[..data.len().min(PIECE)];
        let piece = Piece::Data(Bytes::copy_from_slice(data));
        let sent = reserved.and_then(|()| self.request.send_item(piece));
        Poll::Ready(sent.map(|()| data.len()).map_err(|_| self.closed()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ask(Some(0));
        if !self.request.is_closed() {
            if ready!(self.request.poll_reserve(cx)).is_ok() {
                // An answer that is whole ends the request, whoever wanted to say more.
                let _ = self.request.send_item(Piece::End);
            }
            self.request.close();
        }
        Poll::Ready(Ok(()))
    }
}
