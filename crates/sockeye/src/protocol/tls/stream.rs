//! The bytes inside TLS: an end without close_notify is an end, and what breaks is said in plain words.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refusal::later;
use crate::stream::AsyncIo;

pub(super) struct Secured<T> {
    tls: T,
    /// The peer's end was read.
    ended: bool,
    /// Set when that was no end by the rules.
    cut_off: Arc<AtomicBool>,
}

impl<T: AsyncIo> Secured<T> {
    pub(super) fn new(tls: T, cut_off: Arc<AtomicBool>) -> Self {
        Self {
            tls,
            ended: false,
            cut_off,
        }
    }
}

impl<T: AsyncIo> AsyncRead for Secured<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        let read = ready!(Pin::new(&mut self.tls).poll_read(cx, out));
        Poll::Ready(match read {
            Ok(()) => {
                self.ended = out.filled().len() == before && out.remaining() > 0;
                Ok(())
            }
            // Not said by the peer, so it may be somebody else's doing (RFC 8446, section 6.1). Many leave it
            // out, and whoever reads may know better whether something is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                self.cut_off.store(true, Relaxed);
                Ok(())
            }
            Err(error) => Err(later(error)),
        })
    }
}

impl<T: AsyncIo> AsyncWrite for Secured<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, data).map_err(later)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls)
            .poll_write_vectored(cx, data)
            .map_err(later)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx).map_err(later)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match ready!(Pin::new(&mut self.tls).poll_shutdown(cx)) {
            // It has said its last and left: nobody waits for our close_notify.
            Err(error) if self.ended && matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                Poll::Ready(Ok(()))
            }
            other => Poll::Ready(other.map_err(later)),
        }
    }
}
