//! One stream of a connection as a byte stream: both directions, or one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::DropGuard;
use wire::webtransport::{BOTH_WAYS, SESSION_GONE, beginning, to_http3};

use super::ends::Ends;
use super::within::Over;
use super::{DONE, closing};
use crate::error::{Error, Operation, Result};

/// Waits until everything has arrived.
type Arrival = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

pub(in crate::protocol) struct Stream {
    ends: Arc<Ends>,
    sending: Option<SendStream>,
    receiving: RecvStream,
    /// What was read of it before.
    read: Bytes,
    /// We have said that nothing more comes.
    arrival: Option<Arrival>,
    /// The end of the session that it belongs to.
    over: Over,
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
            over: Over::of(ends.within.as_ref()),
            ends,
            sending,
            receiving,
            read: Bytes::new(),
            arrival: None,
            _held: held,
        }
    }

    /// A stream of session `id`, opened by this end. The peer hears of it at once.
    ///
    /// # Errors
    /// When the connection broke.
    pub(in crate::protocol) async fn open(
        ends: Arc<Ends>,
        id: u64,
        held: DropGuard,
    ) -> Result<Self> {
        let failed =
            |error: &ConnectionError| closing::lost(Operation::Connect, &ends.address(), error);
        let opened = ends.connection.open_bi().await;
        let (mut sending, receiving) = opened.map_err(|error| failed(&error))?;
        let written = sending.write_all(&beginning(BOTH_WAYS, id)).await;
        written.map_err(|error| {
            let error = closing::write(&ends, error);
            Error::io(Operation::Connect, ends.address(), error)
        })?;
        Ok(Self::new(ends, Some(sending), receiving, Some(held)))
    }

    /// The same, of which `read` has been read already.
    pub(super) fn behind(mut self, read: Bytes) -> Self {
        self.read = read;
        self
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ends.look();
        let Some(within) = &self.ends.within else {
            return;
        };
        // Inside of HTTP/3 a code that is left out is none of the application's. What has ended already stays so.
        let code = match within.is_over() {
            true => SESSION_GONE,
            false => to_http3(0),
        };
        let code = VarInt::try_from(code).unwrap_or(DONE);
        let _ = self.receiving.stop(code);
        if let (true, Some(sending)) = (within.is_over(), &mut self.sending) {
            let _ = sending.reset(code);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let room = self.read.len().min(out.remaining());
            out.put_slice(&self.read.split_to(room));
            return Poll::Ready(Ok(()));
        }
        match self.receiving.poll_read_buf(cx, out) {
            // Its session will say why.
            Poll::Ready(Err(ReadError::Reset(code))) if closing::is_gone(&self.ends, code) => {}
            Poll::Ready(read) => {
                self.ends.notice_move_soon();
                return Poll::Ready(read.or_else(|error| closing::read(&self.ends, error)));
            }
            Poll::Pending => {}
        }
        ready!(self.over.poll(cx));
        Poll::Ready(closing::of_session(&self.ends, Operation::Receive))
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
        match Pin::new(sending).poll_write(cx, data) {
            Poll::Ready(Err(WriteError::Stopped(code))) if closing::is_gone(&self.ends, code) => {}
            Poll::Ready(written) => {
                return Poll::Ready(written.map_err(|error| closing::write(&self.ends, error)));
            }
            Poll::Pending => {}
        }
        ready!(self.over.poll(cx));
        let ended = closing::of_session(&self.ends, Operation::Send);
        Poll::Ready(ended.and_then(|()| Err(io::ErrorKind::BrokenPipe.into())))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more comes, and waits until the peer has everything: whoever closes the connection after
    /// that loses nothing.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            sending,
            arrival,
            over,
            ends,
            ..
        } = &mut *self;
        let Some(sending) = sending else {
            return Poll::Ready(Ok(()));
        };
        let arrival = arrival.get_or_insert_with(|| {
            // A second time is none: what counts is whether it arrives.
            let _ = sending.finish();
            Box::pin(sending.stopped())
        });
        match arrival.as_mut().poll(cx) {
            Poll::Ready(Ok(Some(code))) if closing::is_gone(ends, code) => {}
            Poll::Ready(ended) => {
                // Whoever asks again gets the same answer.
                self.arrival = None;
                return Poll::Ready(closing::finish(&self.ends, ended));
            }
            Poll::Pending => {}
        }
        ready!(over.poll(cx));
        Poll::Ready(closing::of_session(&self.ends, Operation::Send))
    }
}

fn one_way() -> io::Error {
    let why = "the peer has opened this stream for its own direction only";
    io::Error::new(io::ErrorKind::Unsupported, why)
}
