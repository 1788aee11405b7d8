//! The bytes inside TLS: an end without close_notify is an end, and what breaks is said in plain words.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::refusal::later;
use crate::error::TlsError;
use crate::stream::ByteStream;

pub(super) struct Secured {
    tls: TlsStream<ByteStream>,
    /// The peer's end was read.
    ended: bool,
    /// Set when that was no end by the rules.
    cut_off: Arc<AtomicBool>,
    /// Whoever writes waits until the peer takes more.
    full: bool,
    /// Who is told what broke it.
    fault: Option<Arc<OnceLock<TlsError>>>,
}

impl Secured {
    pub(super) fn new(tls: impl Into<TlsStream<ByteStream>>, cut_off: Arc<AtomicBool>) -> Self {
        Self {
            tls: tls.into(),
            ended: false,
            cut_off,
            full: false,
            fault: None,
        }
    }

    /// The same, and `fault` gets what breaks it.
    pub(super) fn telling(mut self, fault: Arc<OnceLock<TlsError>>) -> Self {
        self.fault = Some(fault);
        self
    }

    fn broke(&self, error: io::Error) -> io::Error {
        let error = later(error);
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let (Some(fault), Some(tls)) = (&self.fault, tls) {
            // The first is the cause of the others.
            let _ = fault.set(TlsError::again(tls));
        }
        error
    }

    /// Sends what reading has to be answered with: that keys are updated, that there is no renegotiation. tokio-rustls
    /// leaves it lying until somebody writes.
    fn answer(&mut self, cx: &mut Context<'_>) {
        // Whoever waits to write sends it too, and must stay the one who is woken.
        if !self.full && self.tls.get_ref().1.wants_write() {
            // Whether it fails is found by whoever writes.
            let _ = Pin::new(&mut self.tls).poll_flush(cx);
        }
    }

    fn wrote<R>(&mut self, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.full = polled.is_pending();
        polled.map_err(|error| self.broke(error))
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.tls).poll_read(cx, out);
        self.answer(cx);
        Poll::Ready(match ready!(read) {
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
            Err(error) => Err(self.broke(error)),
        })
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tls).poll_write(cx, data);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tls).poll_write_vectored(cx, data);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.tls).poll_flush(cx);
        self.wrote(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        let polled = Pin::new(&mut self.tls).poll_shutdown(cx);
        match ready!(self.wrote(polled)) {
            // It has said its last and left: nobody waits for our close_notify.
            Err(error) if self.ended && matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                Poll::Ready(Ok(()))
            }
            other => Poll::Ready(other),
        }
    }
}
