//! How long a client may take: for the head of a request, between requests, and to take its answers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::stream::ByteStream;

/// For a request's head, from its first byte.
pub(in crate::protocol) const HEAD: Duration = Duration::from_secs(10);

/// Between requests.
const IDLE: Duration = Duration::from_secs(60);

/// Without a byte either way, when it is the client's turn.
const STALL: Duration = Duration::from_secs(30);

/// Bytes that are joined before they are written.
const SMALL: usize = 1024;

/// What one connection's client is doing, told by whoever sees it. Cheap to tell: nothing here waits or
/// allocates, and a clock is read only where bytes move.
#[derive(Debug)]
pub(in crate::protocol) struct Pace {
    start: Instant,
    /// Whether bytes between requests begin a head: in HTTP/1 alone.
    heads: bool,
    /// Requests that are not answered to the end.
    open: AtomicU32,
    /// What the client keeps us waiting for: bodies that a service wants, answers that it has not taken.
    owed: AtomicU32,
    /// When the head that is being read began; [`NEVER`] when none is.
    head: AtomicU64,
    /// When bytes moved last.
    moved: AtomicU64,
    /// A request's body was left unread.
    unread: AtomicBool,
    /// An answer without a length broke off.
    broken: AtomicBool,
}

/// Moments are microseconds since the start.
const NEVER: u64 = u64::MAX;

/// Who has taken too long, and what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Late {
    /// Nothing is under way: the connection may be closed in good order.
    Idle,
    /// The head of a request has begun and does not end.
    Head,
    /// The client does not send what it announced, or does not take what it asked for.
    Stalled,
}

impl Late {
    pub(in crate::protocol) fn error(self) -> io::Error {
        let what = match self {
            Self::Idle => format!("nothing was asked for {IDLE:?}"),
            Self::Head => format!("the head of a request did not come within {HEAD:?}"),
            Self::Stalled => format!("not a byte moved for {STALL:?}"),
        };
        io::Error::new(io::ErrorKind::TimedOut, what)
    }
}

impl Pace {
    pub(super) fn new(heads: bool) -> Self {
        Self {
            start: Instant::now(),
            heads,
            open: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            head: AtomicU64::new(NEVER),
            moved: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// A request's head has come; gives when its first byte did, as far as that is known.
    pub(super) fn begin(&self) -> Moment {
        self.open.fetch_add(1, Relaxed);
        match self.head.swap(NEVER, Relaxed) {
            NEVER => Moment(self.moved.load(Relaxed)),
            head => Moment(head),
        }
    }

    /// A request is answered to the end, or nobody wants its answer any more.
    pub(super) fn end(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// It is the client's turn, or not any more. `was` remembers which.
    pub(super) fn owe(&self, was: &mut bool, is: bool) {
        match (*was, is) {
            (false, true) => drop(self.owed.fetch_add(1, Relaxed)),
            (true, false) => drop(self.owed.fetch_sub(1, Relaxed)),
            (true, true) | (false, false) => {}
        }
        *was = is;
    }

    /// A request's body is left unread.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// An answer broke off whose end is the end of the connection.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    pub(super) fn since(&self, moment: Moment) -> Duration {
        Duration::from_micros(self.now().saturating_sub(moment.0))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(NEVER - 1)
    }

    /// Bytes have come.
    pub(in crate::protocol) fn received(&self) {
        let now = self.now();
        self.moved.store(now, Relaxed);
        if self.heads && self.open.load(Relaxed) == 0 && self.head.load(Relaxed) == NEVER {
            self.head.store(now, Relaxed);
        }
    }

    /// Bytes have left.
    pub(in crate::protocol) fn sent(&self) {
        self.moved.store(self.now(), Relaxed);
    }

    /// Who is late by when, unless something happens before.
    pub(super) fn deadline(&self) -> Option<(Instant, Late)> {
        let moved = self.moved.load(Relaxed);
        let (since, limit, late) = match self.head.load(Relaxed) {
            NEVER if self.open.load(Relaxed) == 0 => (moved, IDLE, Late::Idle),
            NEVER if self.owed.load(Relaxed) > 0 => (moved, STALL, Late::Stalled),
            NEVER => return None,
            head => (head, HEAD, Late::Head),
        };
        Some((self.start + Duration::from_micros(since) + limit, late))
    }
}

/// A moment in the life of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(u64);

/// The bytes below HTTP, and when they move.
pub(super) struct Wire {
    stream: ByteStream,
    pace: Arc<Pace>,
    /// Whether the client has finished.
    ended: bool,
}

impl Wire {
    pub(super) fn new(stream: ByteStream, pace: Arc<Pace>) -> Self {
        Self {
            stream,
            pace,
            ended: false,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn into_stream(self) -> ByteStream {
        self.stream
    }

    /// Waits until something can be taken with [`take`](Self::take). `false`: the client has finished.
    pub(super) fn poll_arrives(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let arrived = ready!(self.stream.poll_arrives(cx))?;
        match arrived {
            true => self.pace.received(),
            false => self.ended = true,
        }
        Poll::Ready(Ok(arrived))
    }

    /// What has been read and nobody has looked at.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.stream.head).freeze()
    }

    /// Gives back what was [taken](Self::take): it is read again.
    pub(super) fn give_back(&mut self, bytes: Bytes) {
        self.stream.head = bytes.into();
    }

    fn count<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.pace.sent();
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        match out.filled().len() == before {
            true => self.ended = true,
            false => self.pace.received(),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole: usize = data.iter().map(|part| part.len()).sum();
        let written = if whole <= SMALL {
            // A head and a few bytes: copying them costs less than two places to write from.
            let (mut joined, mut end) = ([0; SMALL], 0);
            for part in data {
                joined[end..end + part.len()].copy_from_slice(part);
                end += part.len();
            }
            Pin::new(&mut self.stream).poll_write(cx, &joined[..end])
        } else {
            Pin::new(&mut self.stream).poll_write_vectored(cx, data)
        };
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
