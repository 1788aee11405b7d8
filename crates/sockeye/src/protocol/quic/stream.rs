//! One stream of a connection as a byte stream: both directions, or one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::{RecvStream, SendStream, StoppedError, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::DropGuard;

use super::closing;
use super::ends::Ends;

/// Waits until everything has arrived.
type Arrival = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

pub(super) struct Stream {
    ends: Arc<Ends>,
    sending: Option<SendStream>,
    receiving: RecvStream,
    /// We have said that nothing more comes.
    arrival: Option<Arrival>,
    /// Lets go of the connection.
    _held: Option<DropGuard>,
}

impl Stream {
    pub(super) fn new(
        ends: Arc<Ends>,
        sending: Option<SendStream>,
        receiving: RecvStream,
        held: Option<DropGuard>,
    ) -> Self {
        Self {
            ends,
            sending,
            receiving,
            arrival: None,
            _held: held,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ends.look();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.receiving.poll_read_buf(cx, out));
        self.ends.notice_move_soon();
        Poll::Ready(read.or_else(|error| closing::read(&self.ends.address(), error)))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(sending) = &mut self.sending else {
            return Poll::Ready(Err(one_way()));
        };
        let written = ready!(Pin::new(sending).poll_write(cx, data));
        Poll::Ready(written.map_err(|error| closing::write(&self.ends.address(), error)))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more comes, and waits until the peer has everything: whoever closes the connection after
    /// that loses nothing.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            sending, arrival, ..
        } = &mut *self;
        let Some(sending) = sending else {
            return Poll::Ready(Ok(()));
        };
        let arrival = arrival.get_or_insert_with(|| {
            // A second time is none: what counts is whether it arrives.
            let _ = sending.finish();
            Box::pin(sending.stopped())
        });
        let ended = ready!(arrival.as_mut().poll(cx));
        // Whoever asks again gets the same answer.
        self.arrival = None;
        Poll::Ready(closing::finish(&self.ends.address(), ended))
    }
}

fn one_way() -> io::Error {
    let why = "the peer has opened this stream for its own direction only";
    io::Error::new(io::ErrorKind::Unsupported, why)
}
