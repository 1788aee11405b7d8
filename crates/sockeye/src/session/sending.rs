//! Messages on their way out, over either kind of carrier: one by one, or gathered.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, SinkExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::framing::Framing;

use crate::error::{Error, Operation, Result};
use crate::session::{Info, Message};
use crate::stream::{ByteStream, Io};

/// A message that is being sent, and how much of it has gone.
pub(super) struct Sending {
    /// Taken when a packet carrier has taken it.
    message: Option<Message>,
    /// Bytes of the framed message that are written.
    written: usize,
}

impl Sending {
    pub(super) fn new(message: Message, info: &Info) -> Self {
        info.note_sent(&message);
        Self {
            message: Some(message),
            written: 0,
        }
    }

    /// Writes what is left of the message with what the framing puts around it.
    pub(super) fn poll_bytes<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        framing: &Framing,
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        let data = self
            .message
            .as_ref()
            .map_or(&[][..], |message| &message.data);
        let polled = if framing.is_raw() {
            poll_write_all(&mut self.written, data.len(), info, |written| {
                // A plain `send`: for one slice the kernel takes it a third faster than `writev`.
                Pin::new(&mut *io).poll_write(cx, &data[written..])
            })
        } else {
            let wrapper = framing.wrap(data).map_err(|source| Error::Framing {
                operation: Operation::Send,
                address: info.peer().to_string(),
                source,
            })?;
            let total = wrapper.head().len() + data.len() + wrapper.tail().len();
            poll_write_all(&mut self.written, total, info, |written| {
                let mut parts = [wrapper.head(), data, wrapper.tail()].map(IoSlice::new);
                let mut parts = &mut parts[..];
                IoSlice::advance_slices(&mut parts, written);
                Pin::new(&mut *io).poll_write_vectored(cx, parts)
            })
        };
        let flushed = match ready!(polled) {
            Ok(()) => ready!(Pin::new(io).poll_flush(cx)),
            Err(error) => Err(error),
        };
        Poll::Ready(flushed.map_err(|source| Error::io(Operation::Send, info.peer(), source)))
    }

    /// Puts the message, with what the framing puts around it, behind the others in `outbox`; one that is
    /// large, or has nothing around it, is written instead.
    pub(super) fn poll_gather<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        outbox: &mut Outbox,
        framing: &Framing,
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        let data = self
            .message
            .as_ref()
            .map_or(&[][..], |message| &message.data);
        if framing.is_raw() || data.len() > LARGE || outbox.bytes.len() > FULL {
            ready!(outbox.poll_write(io, info, cx))?;
        }
        if framing.is_raw() || data.len() > LARGE {
            return self.poll_bytes(io, framing, info, cx);
        }
        let wrapper = framing.wrap(data).map_err(|source| Error::Framing {
            operation: Operation::Send,
            address: info.peer().to_string(),
            source,
        })?;
        for part in [wrapper.head(), data, wrapper.tail()] {
            outbox.bytes.extend_from_slice(part);
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the message to a packet carrier, which may keep it until it is flushed.
    pub(super) fn poll_feed<P>(
        &mut self,
        packets: &mut P,
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>>
    where
        P: Sink<Message, Error = Error> + Unpin,
    {
        ready!(packets.poll_ready_unpin(cx))?;
        if let Some(message) = self.message.take() {
            info.counters().add_bytes_out(message.data.len());
            packets.start_send_unpin(message)?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_packets<P>(
        &mut self,
        packets: &mut P,
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>>
    where
        P: Sink<Message, Error = Error> + Unpin,
    {
        if self.message.is_some() {
            ready!(packets.poll_ready_unpin(cx))?;
        }
        if let Some(message) = self.message.take() {
            self.written = message.data.len();
            packets.start_send_unpin(message)?;
        }
        ready!(packets.poll_flush_unpin(cx))?;
        info.counters().add_bytes_out(self.written);
        Poll::Ready(Ok(()))
    }
}

/// Messages that are gathered leave with the next one beyond this.
const FULL: usize = 64 * 1024;

/// A message beyond this is not worth copying to save a system call.
const LARGE: usize = 16 * 1024;

/// Framed messages that wait to be written with one call.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// `stream`, which will write what still waits here before anything else.
    pub(super) fn before(mut self, stream: ByteStream) -> ByteStream {
        let unsent = self.bytes.split_off(self.written);
        if unsent.is_empty() {
            return stream;
        }
        let ByteStream { head, io, tally } = stream;
        let io = Io::Other(Box::new(After {
            unsent: unsent.into(),
            io,
        }));
        ByteStream { head, io, tally }
    }

    /// Writes all that waits, and gives the memory back: an idle session owns none.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let Self { bytes, written } = self;
        let polled = ready!(poll_write_all(written, bytes.len(), info, |written| {
            Pin::new(&mut *io).poll_write(cx, &bytes[written..])
        }));
        let flushed = match polled {
            Ok(()) => ready!(Pin::new(io).poll_flush(cx)),
            Err(error) => Err(error),
        };
        *self = Self::default();
        Poll::Ready(flushed.map_err(|source| Error::io(Operation::Send, info.peer(), source)))
    }
}

/// A stream that has something to write before it does as it is told.
struct After {
    unsent: Bytes,
    io: Io,
}

impl After {
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent.has_remaining() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.unsent.advance(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for After {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, out)
    }
}

impl AsyncWrite for After {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn poll_write_all(
    written: &mut usize,
    total: usize,
    info: &Info,
    mut write: impl FnMut(usize) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    while *written < total {
        match ready!(write(*written)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => {
                *written += n;
                info.counters().add_bytes_out(n);
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}
