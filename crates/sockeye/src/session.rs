//! A session: one conversation with one peer, message by message, over any carrier.

use std::sync::Arc;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use wire::framing::Framing;
use wire::text::Encoding;

use crate::error::{Error, Result};
use crate::stream::ByteStream;

mod bytes_link;
mod info;
mod message;
mod packet_bytes;
mod split;
mod tap;

pub use info::{Direction, Ending, Endpoint, Identity, Info, Observer, Side};
pub use message::{Kind, Message};
pub use split::{Receiver, Sender};

use bytes_link::Inbox;

/// The largest message that is taken from a peer unless told otherwise: 16 MiB.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// One conversation with one peer.
///
/// # Cancel safety
/// [`recv`](Self::recv) may be dropped at any await point and called again; no byte is lost.
/// [`send`](Self::send) may not: a message that was half written when its future was dropped stays half
/// written. Over packet carriers it is either sent or not.
#[derive(Debug)]
pub struct Session {
    info: Arc<Info>,
    carrier: Carrier,
}

/// What carries a session.
pub enum Link {
    /// A byte stream, and how messages are cut from it.
    Bytes(ByteStream, Framing),
    /// A carrier that keeps message boundaries.
    Packets(Box<dyn Packets>),
}

/// A carrier that keeps message boundaries: datagrams, WebSocket messages.
///
/// The stream ends when the peer has finished. The sink takes a message when there is room for it.
pub trait Packets:
    Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Send + Unpin
{
}

impl<T: Stream<Item = Result<Message>> + Sink<Message, Error = Error> + Send + Unpin> Packets
    for T
{
}

enum Carrier {
    Bytes { stream: ByteStream, inbox: Inbox },
    Packets(Box<dyn Packets>),
}

impl Session {
    /// A session over `link`. Messages from a byte stream may have up to `max_message` bytes.
    pub fn new(link: Link, identity: Identity, max_message: usize) -> Self {
        match link {
            Link::Bytes(stream, framing) => Self {
                info: Arc::new(Info::new(identity, stream.counters().clone())),
                carrier: Carrier::Bytes {
                    stream,
                    inbox: Inbox::new(framing, max_message),
                },
            },
            Link::Packets(packets) => Self {
                info: Arc::new(Info::new(identity, Arc::default())),
                carrier: Carrier::Packets(packets),
            },
        }
    }

    /// A session over packets whose facts are already shared with whoever feeds them.
    pub(crate) fn of_packets(info: Arc<Info>, packets: Box<dyn Packets>) -> Self {
        Self {
            info,
            carrier: Carrier::Packets(packets),
        }
    }

    /// Two ends of one conversation in memory: services are tested without sockets.
    pub fn pair(framing: Framing) -> (Self, Self) {
        Self::pair_in(Encoding::UTF_8, framing)
    }

    /// The same, with text in `encoding`.
    pub fn pair_in(encoding: Encoding, framing: Framing) -> (Self, Self) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let end = |io, side| {
            let link = Link::Bytes(ByteStream::new(io), framing.clone());
            Self::new(
                link,
                Identity::in_memory(side).encoding(encoding),
                MAX_MESSAGE,
            )
        };
        (end(near, Side::Accepted), end(far, Side::Dialed))
    }

    /// Two ends of one conversation in memory that keeps message boundaries, as datagrams do.
    pub fn packet_pair() -> (Self, Self) {
        let (near, far) = packet_bytes::pair();
        let end = |packets, side| {
            Self::new(
                Link::Packets(Box::new(packets)),
                Identity::in_memory(side),
                MAX_MESSAGE,
            )
        };
        (end(near, Side::Accepted), end(far, Side::Dialed))
    }

    /// Who, where, since when, and how much so far.
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// Whether the carrier itself keeps message boundaries.
    pub fn keeps_boundaries(&self) -> bool {
        matches!(self.carrier, Carrier::Packets(_))
    }

    /// Whether a message arrives as it was sent: kept by the carrier, or by a framing that marks its end.
    pub fn has_boundaries(&self) -> bool {
        match &self.carrier {
            Carrier::Bytes { inbox, .. } => {
                !matches!(inbox.framing(), Framing::Raw | Framing::Idle(_))
            }
            Carrier::Packets(_) => true,
        }
    }

    /// From here on messages of a byte stream are cut by `framing`. Packets stay as they are.
    pub fn reframe(&mut self, framing: Framing) {
        if let Carrier::Bytes { inbox, .. } = &mut self.carrier {
            inbox.reframe(framing);
        }
    }

    /// The next message; `None` when the peer has finished. Cancel-safe.
    ///
    /// # Errors
    /// When the connection broke, or the bytes do not fit the framing.
    pub async fn recv(&mut self) -> Result<Option<Message>> {
        let received = match &mut self.carrier {
            Carrier::Bytes { stream, inbox } => inbox
                .receive(&mut stream.io, &mut stream.head, &self.info)
                .await?
                .map(Message::binary),
            Carrier::Packets(packets) => {
                let received = packets.next().await.transpose()?;
                self.info.count_packet_in(received.as_ref());
                received
            }
        };
        self.info.note_received(received.as_ref());
        Ok(received)
    }

    /// Sends one message and waits until the carrier has taken it.
    ///
    /// # Errors
    /// When the connection broke, or the message does not fit the framing or the carrier.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        self.info.note_sent(&message);
        match &mut self.carrier {
            Carrier::Bytes { stream, inbox } => {
                bytes_link::transmit(&mut stream.io, inbox.framing(), &message.data, &self.info)
                    .await
            }
            Carrier::Packets(packets) => {
                let size = message.data.len();
                packets.send(message).await?;
                self.info.counters().add_bytes_out(size);
                Ok(())
            }
        }
    }

    /// Says that nothing more will be sent: FIN, end of body, close frame; nothing over plain datagrams.
    /// Receiving goes on.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn finish(&mut self) -> Result<()> {
        match &mut self.carrier {
            Carrier::Bytes { stream, .. } => bytes_link::finish(&mut stream.io, &self.info).await,
            Carrier::Packets(packets) => packets.close().await,
        }
    }

    /// Finishes, and waits a moment for the peer to do the same.
    ///
    /// Closing a TCP socket with unread input makes the kernel send RST, which can destroy the last
    /// answer on its way (RFC 1122, section 4.2.2.13); so what still comes is read and thrown away,
    /// for a second and 64 KiB at the most.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn close(mut self) -> Result<()> {
        self.finish().await?;
        if let Carrier::Bytes { stream, inbox } = &mut self.carrier {
            bytes_link::drain(&mut stream.io, &mut stream.head, inbox).await;
        }
        Ok(())
    }

    /// Full duplex: the two directions by themselves.
    pub fn split(self) -> (Receiver, Sender) {
        split::split(self.info, self.carrier)
    }

    /// Leaves the message view; nothing that was read is lost.
    pub fn into_link(self) -> Link {
        match self.carrier {
            Carrier::Bytes { stream, inbox } => {
                Link::Bytes(tap::tapped(stream, &self.info), inbox.framing().clone())
            }
            Carrier::Packets(packets) => Link::Packets(packets),
        }
    }

    /// Leaves the message view for plain bytes. Packets become a stream of their payloads, and each
    /// write becomes a packet.
    pub fn into_stream(self) -> ByteStream {
        match self.into_link() {
            Link::Bytes(stream, _) => stream,
            Link::Packets(packets) => ByteStream::new(packet_bytes::PacketBytes::new(packets)),
        }
    }

    /// The socket itself, to move bytes in the kernel; only where the stream is one, is unframed, and
    /// nobody watches the messages.
    pub fn raw_socket(&self) -> Option<std::io::Result<std::os::fd::OwnedFd>> {
        match &self.carrier {
            Carrier::Bytes { stream, inbox }
                if inbox.framing().is_raw() && !self.info.is_watched() =>
            {
                stream.duplicate()
            }
            Carrier::Bytes { .. } | Carrier::Packets(_) => None,
        }
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes { stream, inbox } => f
                .debug_tuple("Bytes")
                .field(stream)
                .field(inbox.framing())
                .finish(),
            Self::Packets(_) => f.write_str("Packets"),
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(stream, framing) => {
                f.debug_tuple("Bytes").field(stream).field(framing).finish()
            }
            Self::Packets(_) => f.write_str("Packets"),
        }
    }
}
