//! An HTTP request and its answer, as a service sees them: independent of the version that carries them.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body::{Frame, SizeHint};

/// A request: the head, and a body that is read as it comes. An `Arc` of [`Identity`](crate::Identity) in its
/// extensions says who asks.
pub type Request = http::Request<Body>;

/// An answer: the head, and a body that is sent as it is made.
pub type Response = http::Response<Body>;

/// The head of a request, where nobody needs the rest.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `GET`, `POST`, …
    pub method: &'a Method,
    /// The target as it was sent.
    pub uri: &'a Uri,
    /// The version that carries it.
    pub version: Version,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl<'a, B> From<&'a http::Request<B>> for Head<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        }
    }
}

/// What a service does with a request.
#[derive(Debug)]
pub enum Answer {
    /// This is the answer.
    Response(Response),
    /// A session: the request body is what it receives, the response body what it sends.
    Session(Request),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// In the extensions of a request: a person looks, with a browser, and the port has a page for them. They get it when
/// the service answers with [`Answer::Session`].
#[derive(Clone, Copy, Debug)]
pub struct HasPage;

/// The `Authorization` that says `NAME:PASSWORD` (RFC 7617).
pub fn basic_authorization(user: &str) -> HeaderValue {
    let said = format!("Basic {}", STANDARD.encode(user));
    // base64 has no letter that a header could not have.
    let mut value = HeaderValue::try_from(said).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// The bytes of a request or of an answer.
pub struct Body(Inner);

enum Inner {
    Empty,
    Whole(Bytes),
    Stream(Pin<Box<dyn Stream>>),
}

trait Stream: http_body::Body<Data = Bytes, Error = io::Error> + Send {}

impl<T: http_body::Body<Data = Bytes, Error = io::Error> + Send> Stream for T {}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// Bytes that are made or read while they are sent.
    pub fn stream(
        body: impl http_body::Body<Data = Bytes, Error = io::Error> + Send + 'static,
    ) -> Self {
        Self(Inner::Stream(Box::pin(body)))
    }

    /// The next bytes; `None` at the end. Trailers are passed over. Cancel-safe.
    ///
    /// # Errors
    /// When the body broke off, or its peer wrote it wrongly ([`io::ErrorKind::InvalidData`]).
    pub fn data(&mut self) -> impl Future<Output = Option<io::Result<Bytes>>> + Send + '_ {
        poll_fn(|cx| {
            loop {
                match ready!(http_body::Body::poll_frame(Pin::new(&mut *self), cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            }
        })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(match bytes.is_empty() {
            true => Inner::Empty,
            false => Inner::Whole(bytes),
        })
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Inner::Stream(stream) = &mut self.0 {
            return stream.as_mut().poll_frame(cx);
        }
        Poll::Ready(match std::mem::replace(&mut self.0, Inner::Empty) {
            Inner::Whole(bytes) => Some(Ok(Frame::data(bytes))),
            Inner::Empty | Inner::Stream(_) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Whole(_) => false,
            Inner::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Empty => f.write_str("Empty"),
            Inner::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Inner::Stream(_) => f.write_str("Stream"),
        }
    }
}
