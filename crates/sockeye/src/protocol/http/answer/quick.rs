//! Plain requests of HTTP/1.1 to a service that knows its answers by their heads: read, answered and written in one go.
//!
//! They come before everything else on a connection. What is not as plain as that is left to hyper with every byte of
//! it, and so is all that follows.

use std::cell::Cell;
use std::fmt::Write;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header,
};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::super::cors::Leave;
use super::super::pace::Wire;
use super::super::{Shared, page};
use super::{Asked, By, Verdict};

/// Header fields of a request.
const FIELDS: usize = 32;

/// Bytes of an answer's body. A longer one is better not copied.
const BODY: usize = 4 * 1024;

/// Bytes of answers that are gathered before they are written.
const GATHERED: usize = 16 * 1024;

/// A connection on which nothing but plain requests has come.
pub(in crate::protocol::http) struct Quick {
    wire: Wire,
    shared: Arc<Shared>,
    /// Answers on their way.
    answers: BytesMut,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are waited for.
    Reads,
    /// There are answers that are not written.
    Writes,
    /// The same, and what comes then is for others.
    Others,
    /// The connection comes to its end.
    Ends,
}

/// What is left to do for others.
pub(in crate::protocol::http) enum Left {
    /// The connection has come to its end.
    Nothing,
    /// It goes on, with a request that is not as plain.
    Others,
}

impl Quick {
    pub(in crate::protocol::http) fn new(wire: Wire, shared: Arc<Shared>) -> Self {
        Self {
            wire,
            shared,
            answers: BytesMut::new(),
            state: State::Reads,
        }
    }

    /// Ends it, as soon as what was asked is answered.
    pub(in crate::protocol::http) fn leave(&mut self) {
        // What others shall have, they also end.
        if self.state != State::Others {
            self.state = State::Ends;
        }
    }

    /// The connection, with what has been read of the next request.
    pub(in crate::protocol::http) fn into_wire(self) -> Wire {
        self.wire
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.answers.has_remaining() {
            let n = ready!(Pin::new(&mut self.wire).poll_write(cx, &self.answers))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answers.advance(n);
        }
        ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
        // Memory is given back while nothing is asked.
        self.answers = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Answers what has been read.
    fn answer(&mut self) {
        let mut rest = self.wire.take();
        self.state = State::Writes;
        while !rest.is_empty() && self.answers.len() < GATHERED {
            match read(&rest) {
                Some((request, length)) if answer(&self.shared, &request, &mut self.answers) => {
                    rest.advance(length);
                }
                _ => {
                    self.state = State::Others;
                    break;
                }
            }
        }
        if !rest.is_empty() {
            self.wire.give_back(rest);
        }
    }
}

impl Future for Quick {
    type Output = io::Result<Left>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Left>> {
        let quick = self.get_mut();
        loop {
            match quick.state {
                State::Reads => match ready!(quick.wire.poll_arrives(cx)) {
                    Ok(true) => quick.answer(),
                    // Between requests nothing is lost with a connection that breaks.
                    Ok(false) | Err(_) => quick.state = State::Ends,
                },
                State::Writes => {
                    ready!(quick.poll_write(cx))?;
                    quick.state = State::Reads;
                }
                State::Others => {
                    ready!(quick.poll_write(cx))?;
                    return Poll::Ready(Ok(Left::Others));
                }
                State::Ends => {
                    ready!(quick.poll_write(cx))?;
                    ready!(Pin::new(&mut quick.wire).poll_shutdown(cx))?;
                    return Poll::Ready(Ok(Left::Nothing));
                }
            }
        }
    }
}

/// The request that `bytes` begin with, and how long it is: `None` when it is not plain, not right, or not whole.
fn read(bytes: &Bytes) -> Option<(Request<()>, usize)> {
    if !bytes.starts_with(b"GET /") {
        return None;
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let parsed = head.parse_with_uninit_headers(bytes, &mut fields).ok()?;
    let (httparse::Status::Complete(length), Some(target), Some(1)) =
        (parsed, head.path, head.version)
    else {
        return None;
    };
    let part = |text: &[u8]| bytes.slice_ref(text);
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if !is_plain(&name, field.value) {
            return None;
        }
        let value = HeaderValue::from_maybe_shared(part(field.value)).ok()?;
        headers.append(name, value);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from_maybe_shared(part(target.as_bytes())).ok()?;
    *request.headers_mut() = headers;
    Some((request, length))
}

/// Whether a field says nothing of the connection, of what it shall become, or of a body.
fn is_plain(name: &HeaderName, value: &[u8]) -> bool {
    match *name {
        header::CONNECTION => value.eq_ignore_ascii_case(b"keep-alive"),
        header::CONTENT_LENGTH
        | header::EXPECT
        | header::SEC_WEBSOCKET_PROTOCOL
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE => false,
        _ => true,
    }
}

/// Writes the answer to `out`. `false`: it is not known by the head, or is none that is written here.
fn answer(shared: &Arc<Shared>, request: &Request<()>, out: &mut BytesMut) -> bool {
    let connection = &shared.connection;
    // Who says a key in the query claims the connection, and does that once.
    let may_claim = connection.settings.view.is_some() && request.uri().query().is_some();
    if may_claim || page::is_part(request.uri()) {
        return false;
    }
    let mut asked = Asked::new(shared.clone(), request);
    let leave = Leave::of(&connection.websocket, request.headers());
    let Verdict::ByHead(mut response) = asked.judge(request, false, leave.is_given()) else {
        return false;
    };
    let headers = response.headers_mut();
    leave.tell(headers);
    if let Some(elsewhere) = &connection.elsewhere {
        let fields = headers.entry(header::ALT_SVC);
        fields.or_insert_with(|| elsewhere.clone());
    }
    if !fits(&response) || !connection.host.admit() {
        return false;
    }
    asked.by = By::Service;
    write(&response, out);
    asked.tell(response.status(), response.body().len() as u64, true);
    true
}

/// Whether `response` has a short body and says nothing of the connection, or of how long the body is.
fn fits(response: &::http::Response<Bytes>) -> bool {
    let status = response.status();
    let has_body = !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    has_body
        && !status.is_informational()
        && status.canonical_reason().is_some()
        && response.body().len() <= BODY
        && response
            .headers()
            .keys()
            .all(|name| *name != header::CONNECTION && *name != header::DATE && is_plain(name, b""))
}

/// As hyper does it, byte by byte.
fn write(response: &::http::Response<Bytes>, out: &mut BytesMut) {
    let status = response.status();
    out.reserve(512);
    let mut put = |parts: [&[u8]; 4]| parts.iter().for_each(|part| out.extend_from_slice(part));
    let reason = status.canonical_reason().unwrap_or_default();
    put([
        b"HTTP/1.1 ",
        status.as_str().as_bytes(),
        b" ",
        reason.as_bytes(),
    ]);
    for (name, value) in response.headers() {
        put([b"\r\n", name.as_ref(), b": ", value.as_bytes()]);
    }
    let length = response.body().len();
    let mut digits = itoa::Buffer::new();
    put([
        b"\r\ncontent-length: ",
        digits.format(length).as_bytes(),
        b"\r\ndate: ",
        &date(),
    ]);
    put([b"\r\n\r\n", response.body(), b"", b""]);
}

/// The time now, as RFC 9110, section 5.6.7, writes it.
fn date() -> [u8; 29] {
    thread_local! {
        /// It is written once a second.
        static WRITTEN: Cell<(u64, [u8; 29])> = const { Cell::new((u64::MAX, [0; 29])) };
    }
    let now = SystemTime::now();
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (written, date) = WRITTEN.get();
    if written == second {
        return date;
    }
    let mut text = String::with_capacity(29);
    // A string takes everything.
    let _ = write!(text, "{}", httpdate::HttpDate::from(now));
    let date = text.as_bytes().try_into().unwrap_or(date);
    WRITTEN.set((second, date));
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &'static str) -> Option<(Request<()>, usize)> {
        read(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn plain_requests_are_read() {
        for (text, target, fields, length) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", 1, 27),
            ("GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\nGET", "/a?b=c", 1, 32),
            (
                "GET / HTTP/1.1\r\nHOST:a\r\nAccept: */*\r\nX: \t b \r\nx: c\r\n\r\n",
                "/",
                4,
                54,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
                "/",
                2,
                51,
            ),
        ] {
            let (request, read) = plain(text).expect(text);
            assert_eq!(request.uri(), target, "{text}");
            assert_eq!(request.method(), Method::GET);
            assert_eq!(request.version(), Version::HTTP_11);
            assert_eq!(request.headers().len(), fields, "{text}");
            assert_eq!(read, length, "{text}");
        }
        let (request, _) = plain("GET / HTTP/1.1\r\nX: \t b \r\nx: c\r\n\r\n").unwrap();
        let values: Vec<_> = request.headers().get_all("x").iter().collect();
        assert_eq!(values, ["b", "c"]);
    }

    #[test]
    fn all_others_are_left() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: wire.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "",
        ] {
            assert!(plain(text).is_none(), "{text:?}");
        }
        let many = "X: y\r\n".repeat(FIELDS + 1);
        let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
        assert!(read(&many.into()).is_none());
    }

    #[test]
    fn only_short_answers_with_a_body_are_written_here() {
        let with = |status: u16, field: &'static str, length: usize| {
            let mut response = ::http::Response::new(Bytes::from(vec![b'x'; length]));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let value = HeaderValue::from_static("x");
            response.headers_mut().insert(field, value);
            response
        };
        for (status, field, length, does) in [
            (200, "x-a", 0, true),
            (404, "content-type", BODY, true),
            (200, "x-a", BODY + 1, false),
            (204, "x-a", 0, false),
            (304, "etag", 0, false),
            (101, "x-a", 0, false),
            // hyper has words of its own where there are none.
            (299, "x-a", 0, false),
            (200, "connection", 0, false),
            (200, "content-length", 1, false),
            (200, "transfer-encoding", 1, false),
            (200, "date", 1, false),
        ] {
            let response = with(status, field, length);
            assert_eq!(fits(&response), does, "{status} {field} {length}");
        }
    }

    #[test]
    fn the_date_is_that_of_the_clock() {
        // The second may change between two looks, but not twice.
        let is_now = || date() == *httpdate::fmt_http_date(SystemTime::now()).as_bytes();
        assert!(is_now() || is_now());
    }
}
