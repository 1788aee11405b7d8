//! The two directions of a session by themselves, for services that talk and listen at once.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::{tcp, unix};
use wire::framing::Framing;

use super::sending::Sending;
use super::{BytesCarrier, Carrier, Info, Message, Packets, bytes_link};
use crate::error::Result;
use crate::stream::{AsyncIo, Io, Source, has_arrived};

/// The receiving direction of a [`Session`](super::Session).
pub struct Receiver {
    info: Arc<Info>,
    inlet: Inlet,
}

/// The sending direction of a [`Session`](super::Session).
pub struct Sender {
    info: Arc<Info>,
    outlet: Outlet,
}

enum Inlet {
    Bytes {
        io: ReadIo,
        head: BytesMut,
        inbox: bytes_link::Inbox,
    },
    Packets(SplitStream<Box<dyn Packets>>),
}

enum Outlet {
    Bytes { io: WriteIo, framing: Framing },
    Packets(SplitSink<Box<dyn Packets>, Message>),
}

pub(super) fn split(info: Arc<Info>, carrier: Carrier) -> (Receiver, Sender) {
    let (inlet, outlet) = match carrier {
        Carrier::Bytes(bytes) => {
            let BytesCarrier {
                stream,
                inbox,
                outbox,
            } = *bytes;
            let stream = outbox.before(stream);
            let framing = inbox.framing().clone();
            let (read, write) = halves(stream.io);
            (
                Inlet::Bytes {
                    io: read,
                    head: stream.head,
                    inbox,
                },
                Outlet::Bytes { io: write, framing },
            )
        }
        Carrier::Packets(packets, _) => {
            let (sink, stream) = packets.split();
            (Inlet::Packets(stream), Outlet::Packets(sink))
        }
    };
    (
        Receiver {
            info: info.clone(),
            inlet,
        },
        Sender { info, outlet },
    )
}

impl Receiver {
    /// As [`Session::info`](super::Session::info).
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// As [`Session::recv`](super::Session::recv): cancel-safe.
    ///
    /// # Errors
    /// When the connection broke, or the bytes do not fit the framing.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>>> + Send + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        let Self { info, inlet } = self;
        let received = match inlet {
            Inlet::Bytes { io, head, inbox } => ready!(inbox.poll_receive(io, head, info, cx))?,
            Inlet::Packets(packets) => {
                let received = ready!(packets.poll_next_unpin(cx)).transpose()?;
                info.count_packet_in(received.as_ref());
                received
            }
        };
        info.note_received(received.as_ref());
        Poll::Ready(Ok(received))
    }
}

impl Sender {
    /// As [`Session::info`](super::Session::info).
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// As [`Session::keeps_boundaries`](super::Session::keeps_boundaries).
    pub fn keeps_boundaries(&self) -> bool {
        matches!(self.outlet, Outlet::Packets(_))
    }

    /// As [`Session::send`](super::Session::send).
    ///
    /// # Errors
    /// When the connection broke, or the message does not fit the framing or the carrier.
    pub fn send(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<()>> + Send + '_ {
        let Self { info, outlet } = self;
        let mut sending = Sending::new(message.into(), info);
        poll_fn(move |cx| match outlet {
            Outlet::Bytes { io, framing } => sending.poll_bytes(io, framing, info, cx),
            Outlet::Packets(packets) => sending.poll_packets(packets, info, cx),
        })
    }

    /// As [`Session::finish`](super::Session::finish).
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn finish(&mut self) -> Result<()> {
        match &mut self.outlet {
            Outlet::Bytes { io, .. } => bytes_link::finish(io, &self.info).await,
            Outlet::Packets(packets) => packets.close().await,
        }
    }
}

impl Sender {
    /// As [`ByteStream::reset_on_close`](crate::stream::ByteStream::reset_on_close).
    pub(super) fn reset_on_close(&self) {
        if let Outlet::Bytes {
            io: WriteIo::Tcp(half),
            ..
        } = &self.outlet
        {
            // A socket that refuses is closed in the ordinary way.
            let _ = half.as_ref().set_zero_linger();
        }
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

enum ReadIo {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Other(ReadHalf<Box<dyn AsyncIo>>),
}

enum WriteIo {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Other(WriteHalf<Box<dyn AsyncIo>>),
}

fn halves(io: Io) -> (ReadIo, WriteIo) {
    match io {
        Io::Tcp(tcp) => {
            let (read, write) = tcp.into_split();
            (ReadIo::Tcp(read), WriteIo::Tcp(write))
        }
        Io::Unix(unix) => {
            let (read, write) = unix.into_split();
            (ReadIo::Unix(read), WriteIo::Unix(write))
        }
        Io::Other(other) => {
            let (read, write) = tokio::io::split(other);
            (ReadIo::Other(read), WriteIo::Other(write))
        }
    }
}

impl Source for ReadIo {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
            Self::Other(_) => Poll::Ready(Ok(())),
        }
    }

    fn has_arrived(&self) -> Option<bool> {
        match self {
            Self::Tcp(half) => Some(has_arrived(half.as_ref())),
            Self::Unix(half) => Some(has_arrived(half.as_ref())),
            Self::Other(_) => None,
        }
    }
}

impl AsyncRead for ReadIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, out),
            Self::Unix(half) => Pin::new(half).poll_read(cx, out),
            Self::Other(half) => Pin::new(half).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for WriteIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_write(cx, data),
            Self::Unix(half) => Pin::new(half).poll_write(cx, data),
            Self::Other(half) => Pin::new(half).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_write_vectored(cx, data),
            Self::Unix(half) => Pin::new(half).poll_write_vectored(cx, data),
            Self::Other(half) => Pin::new(half).poll_write_vectored(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_flush(cx),
            Self::Unix(half) => Pin::new(half).poll_flush(cx),
            Self::Other(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Other(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
