//! One byte stream: the socket, the one read buffer in front of it, and what has been counted.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::poll_read_buf;

pub(crate) mod join;
mod last_look;
pub(crate) mod pump;

pub(crate) use last_look::LastLook;

/// Anything that reads and writes bytes without blocking: what a [`ByteStream`] can be made of.
pub trait AsyncIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncIo for T {}

/// A byte stream and its read-ahead.
///
/// `head` is the one read buffer: whoever looks at the first bytes (sniff, framing) looks there, so
/// nothing that was read is ever lost when the stream is handed on. An idle stream owns no buffer:
/// memory is taken when the socket is readable and given back when it is not.
// In this order for the sake of what it is a part of, see `BytesCarrier`.
#[repr(C)]
pub struct ByteStream {
    pub(crate) io: Io,
    pub(crate) head: BytesMut,
    /// Where bytes are counted once nobody counts messages any more.
    pub(crate) tally: Option<Arc<dyn Tally>>,
}

/// Something that keeps counts: the facts of a session.
pub(crate) trait Tally: Send + Sync {
    fn counters(&self) -> &Counters;

    /// The peer's end was read.
    fn ended(&self);
}

/// What carries the bytes. Only what the kernel can move by itself has a name of its own.
pub(crate) enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Other(Box<dyn AsyncIo>),
}

/// Bytes and messages, each way, since the session opened. Cheap to read at any time.
#[derive(Debug, Default)]
pub struct Counters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    /// Bytes received from the peer.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// Bytes sent to the peer.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }

    /// Messages received, as the framing cut them.
    pub fn messages_in(&self) -> u64 {
        self.messages_in.load(Relaxed)
    }

    /// Messages sent.
    pub fn messages_out(&self) -> u64 {
        self.messages_out.load(Relaxed)
    }

    /// Messages that were dropped because a queue was full (only lossy carriers: datagrams).
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(crate) fn add_bytes_in(&self, n: usize) {
        add(&self.bytes_in, n as u64);
    }

    pub(crate) fn add_bytes_out(&self, n: usize) {
        add(&self.bytes_out, n as u64);
    }

    pub(crate) fn add_message_in(&self) {
        add(&self.messages_in, 1);
    }

    pub(crate) fn add_message_out(&self) {
        add(&self.messages_out, 1);
    }

    pub(crate) fn add_lost(&self) {
        self.add_lost_by(1);
    }

    pub(crate) fn add_lost_by(&self, n: u64) {
        self.lost.fetch_add(n, Relaxed);
    }
}

/// Each direction of a session has one task that counts, so no locked instruction is needed.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed) + n, Relaxed);
}

impl ByteStream {
    /// A stream over anything that is neither a TCP nor a Unix socket.
    pub fn new(io: impl AsyncIo + 'static) -> Self {
        Self::over(Io::Other(Box::new(io)))
    }

    pub(crate) fn over(io: Io) -> Self {
        Self {
            head: BytesMut::new(),
            io,
            tally: None,
        }
    }

    /// Says that nothing more comes from here, and reads on for a moment: closing with unread input would make
    /// the kernel send RST, which can destroy our last words (RFC 1122, section 4.2.2.13).
    pub(crate) async fn part(mut self) {
        // Who has left already has heard what it wanted to hear.
        if self.io.shutdown().await.is_ok() {
            drain(&mut self.io, &mut self.head, Duration::from_secs(1)).await;
        }
    }

    /// Bytes that were read ahead and not consumed yet.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// What went through so far, when the stream was a session's.
    pub fn counters(&self) -> Option<&Counters> {
        self.tally.as_deref().map(Tally::counters)
    }

    /// Ends it so that the peer cannot take what came for the whole: with RST, where that is TCP's to say.
    pub(crate) fn reset(self) {
        if let Io::Tcp(tcp) = &self.io {
            // A socket that has no linger to set has no connection to reset.
            let _ = tcp.set_zero_linger();
        }
    }

    fn count_out(&self, n: usize) {
        if let Some(counters) = self.counters() {
            counters.add_bytes_out(n);
        }
    }

    /// Waits until something is in [`head`](Self::head). `false`: the peer has finished. Cancel-safe.
    pub(crate) async fn arrives(&mut self) -> io::Result<bool> {
        poll_fn(|cx| self.poll_arrives(cx)).await
    }

    /// See [`arrives`](Self::arrives).
    pub(crate) fn poll_arrives(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.head.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let Self { io, head, tally } = self;
        let n = ready!(poll_fill(io, head, cx))?;
        if let Some(tally) = tally {
            match n {
                0 => tally.ended(),
                n => tally.counters().add_bytes_in(n),
            }
        }
        Poll::Ready(Ok(n > 0))
    }

    /// The kernel socket behind the stream, duplicated, when it is one.
    pub(crate) fn duplicate(&self) -> Option<io::Result<std::os::fd::OwnedFd>> {
        use std::os::fd::AsFd;
        match &self.io {
            Io::Tcp(tcp) => Some(tcp.as_fd().try_clone_to_owned()),
            Io::Unix(unix) => Some(unix.as_fd().try_clone_to_owned()),
            Io::Other(_) => None,
        }
    }
}

impl From<TcpStream> for ByteStream {
    fn from(tcp: TcpStream) -> Self {
        Self::over(Io::Tcp(tcp))
    }
}

impl From<UnixStream> for ByteStream {
    fn from(unix: UnixStream) -> Self {
        Self::over(Io::Unix(unix))
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let carrier = match self.io {
            Io::Tcp(_) => "tcp",
            Io::Unix(_) => "unix",
            Io::Other(_) => "other",
        };
        f.debug_struct("ByteStream")
            .field("io", &carrier)
            .field("head", &self.head.len())
            .finish_non_exhaustive()
    }
}

/// Gives a reader as much of `rest`, which lies in one piece, as it has room for.
pub(crate) fn hand_out(rest: &mut impl Buf, out: &mut ReadBuf<'_>) {
    let n = rest.remaining().min(out.remaining());
    out.put_slice(&rest.chunk()[..n]);
    rest.advance(n);
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.head.is_empty() {
            hand_out(&mut self.head, out);
            if self.head.is_empty() {
                // Its memory is given back.
                self.head = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        if let Some(tally) = &self.tally {
            match out.filled().len() - before {
                0 if out.remaining() > 0 => tally.ended(),
                n => tally.counters().add_bytes_in(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.io).poll_write(cx, data))?;
        self.count_out(n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, data))?;
        self.count_out(n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A reader that can say that bytes are waiting before a buffer is spent on them.
pub(crate) trait Source: AsyncRead + Unpin {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the kernel has something to read, which the runtime may not have heard of yet; `None` where there
    /// is no socket to ask.
    fn has_arrived(&self) -> Option<bool>;
}

/// Asks the kernel, without waiting, whether `socket` has something to read.
pub(crate) fn has_arrived(socket: impl std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut asked = [PollFd::new(&socket, PollFlags::IN)];
    matches!(poll(&mut asked, Some(&Timespec::default())), Ok(1..))
}

impl Source for Io {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Unix(unix) => unix.poll_read_ready(cx),
            Self::Other(_) => Poll::Ready(Ok(())),
        }
    }

    fn has_arrived(&self) -> Option<bool> {
        match self {
            Self::Tcp(tcp) => Some(has_arrived(tcp)),
            Self::Unix(unix) => Some(has_arrived(unix)),
            Self::Other(_) => None,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, out),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, out),
            Self::Other(other) => Pin::new(other).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, data),
            Self::Other(other) => Pin::new(other).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, data),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, data),
            Self::Other(other) => Pin::new(other).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Other(other) => other.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Other(other) => Pin::new(other).poll_flush(cx),
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Other(other) => Pin::new(other).poll_shutdown(cx),
        }
    }
}

/// Bytes asked for at once: a 64 KiB target stays in the L2 cache, larger ones read slower.
pub(crate) const READ: usize = 64 * 1024;

/// How long is read on at the end, at most, so that the peer hears our last words.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);

/// The same while shutting down: peers that go on in spite of a FIN do not hold that up for long.
pub(crate) const DRAIN_STOPPING: Duration = Duration::from_millis(200);

/// Throws away what the peer still sends: 64 KiB and `longest` at the most.
pub(crate) async fn drain<R: Source>(io: &mut R, head: &mut BytesMut, longest: Duration) {
    const MOST: usize = 64 * 1024;

    let reading = async {
        let mut thrown = 0;
        while thrown < MOST {
            head.clear();
            match poll_fn(|cx| poll_fill(io, head, cx)).await {
                Ok(0) | Err(_) => return,
                Ok(n) => thrown += n,
            }
        }
    };
    // Whether the peer finished or the time ran out: either way the socket is closed now.
    let _ = tokio::time::timeout(longest, reading).await;
}

/// Reads up to this size are copied out of the thread's buffer, so that a small message that somebody
/// keeps does not keep 64 KiB alive.
const SMALL: usize = 4 * 1024;

thread_local! {
    /// Every stream of a thread reads through this one buffer, which therefore stays hot.
    static SCRATCH: Cell<BytesMut> = Cell::new(BytesMut::new());
    /// The same for bytes that nobody keeps.
    static LENT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads once and shows what came, in memory that all streams of a thread share. `None`: the peer has finished.
pub(crate) fn poll_lend<R: AsyncRead + Unpin, T>(
    io: &mut R,
    cx: &mut Context<'_>,
    lend: impl FnOnce(&mut R, &[u8], &mut Context<'_>) -> T,
) -> Poll<io::Result<Option<T>>> {
    let mut lent = LENT.take();
    if lent.is_empty() {
        lent = vec![0; READ];
    }
    let mut came = ReadBuf::new(&mut lent);
    let used = match Pin::new(&mut *io).poll_read(cx, &mut came) {
        Poll::Ready(Ok(())) if !came.filled().is_empty() => {
            Poll::Ready(Ok(Some(lend(io, came.filled(), cx))))
        }
        read => read.map_ok(|()| None),
    };
    LENT.set(lent);
    used
}

/// Gives `user` the buffer of this thread, empty and with room for a read.
fn with_scratch<T>(user: impl FnOnce(&mut BytesMut) -> T) -> T {
    // Taken out rather than borrowed: a stream may be made of another stream.
    let mut scratch = SCRATCH.take();
    scratch.reserve(READ);
    let used = user(&mut scratch);
    scratch.clear();
    SCRATCH.set(scratch);
    used
}

/// Reads once and appends to `head`. 0 bytes: the peer has finished.
///
/// Cancel-safe: bytes are in `head` or still in the kernel.
pub(crate) fn poll_fill<R: Source>(
    io: &mut R,
    head: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    ready!(io.poll_readable(cx))?;
    if !head.is_empty() {
        // An unfinished message: grow by doubling, so that a long one costs O(n).
        head.reserve(head.len().clamp(SMALL, READ));
        return poll_read_buf(Pin::new(io), cx, head);
    }
    with_scratch(|scratch| {
        let read = poll_read_buf(Pin::new(io), cx, scratch);
        *head = match read {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) | Poll::Pending => BytesMut::new(),
            Poll::Ready(Ok(n)) if n <= SMALL => BytesMut::from(&scratch[..]),
            Poll::Ready(Ok(_)) => scratch.split(),
        };
        read
    })
}
