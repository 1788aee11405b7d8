//! A stream that comes back from whoever it was lent to: hyper's connections drop theirs as soon as they have said goodbye.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::stream::ByteStream;

/// How much of what the peer still says is read and thrown away.
const MOST: u64 = 64 * 1024;

/// The stream, until it is dropped.
pub(super) struct Lent {
    stream: Option<ByteStream>,
    back: Option<oneshot::Sender<ByteStream>>,
}

impl Lent {
    /// `stream` to be lent, and where it comes back.
    pub(super) fn new(stream: ByteStream) -> (Self, oneshot::Receiver<ByteStream>) {
        let (back, returned) = oneshot::channel();
        let lent = Self {
            stream: Some(stream),
            back: Some(back),
        };
        (lent, returned)
    }

    fn poll<T>(
        self: Pin<&mut Self>,
        work: impl FnOnce(Pin<&mut ByteStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.get_mut().stream {
            Some(stream) => work(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// Reads to the peer's own goodbye. A socket that is closed while something is unread, or still comes, answers with a
/// reset, and the peer may take that for a broken connection.
pub(super) async fn see_off(returned: oneshot::Receiver<ByteStream>) {
    if let Ok(stream) = returned.await {
        // However it ends, nothing of it is of use.
        let _ = tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            // If nobody waits for it, it is closed.
            let _ = back.send(stream);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_read(cx, out))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(cx))
    }
}
