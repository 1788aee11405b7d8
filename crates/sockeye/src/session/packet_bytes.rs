//! Packets where no socket is: seen as a byte stream, or as a pair in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{Message, Packets};
use crate::error::{Error, Operation};
use crate::stream::hand_out;

/// The payloads of packets as one stream of bytes; each write is one packet.
pub(super) struct PacketBytes {
    packets: Box<dyn Packets>,
    rest: Bytes,
}

impl PacketBytes {
    pub(super) fn new(packets: Box<dyn Packets>) -> Self {
        Self {
            packets,
            rest: Bytes::new(),
        }
    }
}

impl AsyncRead for PacketBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An empty packet is no end of stream, so it is passed over.
        while self.rest.is_empty() {
            match ready!(self.packets.poll_next_unpin(cx)) {
                Some(message) => self.rest = message.map_err(io::Error::other)?.data,
                None => return Poll::Ready(Ok(())),
            }
        }
        hand_out(&mut self.rest, out);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PacketBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.packets.poll_ready_unpin(cx)).map_err(io::Error::other)?;
        let message = Message::binary(Bytes::copy_from_slice(data));
        self.packets
            .start_send_unpin(message)
            .map_err(io::Error::other)?;
        // Who writes to a socket need not flush it. What does not fit now leaves with the next call.
        if let Poll::Ready(Err(error)) = self.packets.poll_flush_unpin(cx) {
            return Poll::Ready(Err(io::Error::other(error)));
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_flush_unpin(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_close_unpin(cx).map_err(io::Error::other)
    }
}

/// One end of a packet pair in memory.
pub(super) struct MemoryPackets {
    inbox: mpsc::Receiver<Message>,
    outbox: PollSender<Message>,
}

pub(super) fn pair() -> (MemoryPackets, MemoryPackets) {
    const QUEUE: usize = 64;
    let (to_far, from_near) = mpsc::channel(QUEUE);
    let (to_near, from_far) = mpsc::channel(QUEUE);
    let end = |inbox, outbox| MemoryPackets {
        inbox,
        outbox: PollSender::new(outbox),
    };
    (end(from_far, to_far), end(from_near, to_near))
}

impl Stream for MemoryPackets {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inbox.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for MemoryPackets {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.outbox.poll_ready_unpin(cx).map_err(|_| gone())
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.outbox.start_send_unpin(message).map_err(|_| gone())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.outbox.poll_flush_unpin(cx).map_err(|_| gone())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.outbox.poll_close_unpin(cx).map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::io(
        Operation::Send,
        "(memory)",
        io::ErrorKind::BrokenPipe.into(),
    )
}
