//! A session: one conversation with one peer, message by message, over any carrier.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use wire::framing::Framing;
use wire::sniff::{Matcher, Protocol};
use wire::text::Encoding;

use crate::error::{Error, Result};
use crate::stream::ByteStream;

mod answer;
mod bytes_link;
mod endpoint;
mod fate;
mod head;
mod info;
mod join;
mod message;
mod packet_bytes;
mod path;
mod reflect;
mod sending;
mod split;
mod tap;

pub use answer::Answered;
pub use endpoint::Endpoint;
pub(crate) use fate::Fate;
pub use head::{AnswerHead, RequestHead};
pub use info::{Direction, Ending, Identity, Info, Observer, Side, Tls};
pub use join::JoinOptions;
pub use message::{Kind, Message};
pub use path::{EarlyData, Path};
pub use split::{Receiver, Sender};

use bytes_link::Inbox;
use sending::{Outbox, Sending};

/// The largest message that is taken from a peer unless told otherwise: 16 MiB.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// One conversation with one peer.
///
/// # Cancel safety
/// [`recv`](Self::recv) may be dropped at any await point and called again; no byte is lost.
/// [`send`](Self::send) may not: a message that was half written when its future was dropped stays half
/// written. Over packet carriers a message is sent once or not at all: if the carrier had taken it when the future
/// was dropped, it leaves before the next message that is sent, and before [`recv`](Self::recv) waits; if not, it is
/// gone.
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

/// Boxed either way, so that handing a session on moves pointers and the futures that hold it stay small.
enum Carrier {
    Bytes(Box<BytesCarrier>),
    Packets(Box<dyn Packets>, Fed),
}

/// The socket comes first and begins a line of the cache: a message that is only passed on touches no other.
#[repr(C, align(64))]
struct BytesCarrier {
    stream: ByteStream,
    inbox: Inbox,
    outbox: Outbox,
}

/// Whether a carrier of packets may keep some that it was not told to send at once.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fed(bool);

impl Session {
    /// A session over `link`. Messages from a byte stream may have up to `max_message` bytes.
    pub fn new(link: Link, identity: Identity, max_message: usize) -> Self {
        let info = Arc::new(Info::new(identity));
        match link {
            Link::Bytes(stream, framing) => Self::of_bytes(info, stream, framing, max_message),
            Link::Packets(packets) => Self::of_packets(info, packets),
        }
    }

    /// A session over a byte stream whose facts are already shared with whoever feeds it.
    pub(crate) fn of_bytes(
        info: Arc<Info>,
        stream: ByteStream,
        framing: Framing,
        max_message: usize,
    ) -> Self {
        // What was read ahead has come.
        info.counters().add_bytes_in(stream.head.len());
        let carrier = BytesCarrier {
            stream,
            inbox: Inbox::new(framing, max_message),
            outbox: Outbox::default(),
        };
        Self {
            info,
            carrier: Carrier::Bytes(Box::new(carrier)),
        }
    }

    /// A session over packets whose facts are already shared with whoever feeds them.
    pub(crate) fn of_packets(info: Arc<Info>, packets: Box<dyn Packets>) -> Self {
        Self {
            info,
            carrier: Carrier::Packets(packets, Fed(false)),
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
        matches!(self.carrier, Carrier::Packets(..))
    }

    /// Whether a message arrives as it was sent: kept by the carrier, or by a framing that marks its end.
    pub fn has_boundaries(&self) -> bool {
        match &self.carrier {
            Carrier::Bytes(bytes) => {
                !matches!(bytes.inbox.framing(), Framing::Raw | Framing::Idle(_))
            }
            Carrier::Packets(..) => true,
        }
    }

    /// From here on messages of a byte stream are cut by `framing`. Packets stay as they are.
    pub fn reframe(&mut self, framing: Framing) {
        if let Carrier::Bytes(bytes) = &mut self.carrier {
            bytes.inbox.reframe(framing);
        }
    }

    /// The next message; `None` when the peer has finished. Cancel-safe.
    ///
    /// # Errors
    /// When the connection broke, or the bytes do not fit the framing.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>>> + Send + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// As [`recv`](Self::recv), for those who poll by hand.
    ///
    /// # Errors
    /// As `recv`.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        let Self { info, carrier } = self;
        let received = match carrier {
            Carrier::Bytes(bytes) => {
                let BytesCarrier {
                    stream,
                    inbox,
                    outbox,
                } = &mut **bytes;
                let gathered = match outbox.is_empty() {
                    true => None,
                    false => inbox.cut(&mut stream.head, info)?,
                };
                if gathered.is_none() {
                    // Before more is waited for, and not for each message of a batch.
                    ready!(outbox.poll_write(&mut stream.io, info, cx))?;
                    ready!(inbox.poll_receive(&mut stream.io, &mut stream.head, info, cx))?
                } else {
                    gathered
                }
            }
            Carrier::Packets(packets, fed) => {
                let received = match packets.poll_next_unpin(cx) {
                    Poll::Ready(received) => received.transpose()?,
                    Poll::Pending => {
                        if fed.0 && packets.poll_flush_unpin(cx)?.is_ready() {
                            fed.0 = false;
                        }
                        return Poll::Pending;
                    }
                };
                info.count_packet_in(received.as_ref());
                received
            }
        };
        info.note_received(received.as_ref());
        Poll::Ready(Ok(received))
    }

    /// Waits until it is known which protocol the peer speaks; packets and all that is none are
    /// [`Protocol::Raw`]. The bytes stay where they are.
    pub(crate) fn poll_sniff(
        &mut self,
        matchers: &[Matcher],
        cx: &mut Context<'_>,
    ) -> Poll<Result<Protocol>> {
        let Self { info, carrier } = self;
        match carrier {
            Carrier::Bytes(bytes) => {
                let BytesCarrier { stream, inbox, .. } = &mut **bytes;
                inbox.poll_sniff(&mut stream.io, &mut stream.head, matchers, info, cx)
            }
            Carrier::Packets(..) => Poll::Ready(Ok(Protocol::Raw)),
        }
    }

    /// Takes the first line off a byte stream before there are messages; over packets it is the first one.
    pub(crate) fn poll_line(
        &mut self,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BytesMut>> {
        let Self { info, carrier } = self;
        match carrier {
            Carrier::Bytes(bytes) => {
                let stream = &mut bytes.stream;
                bytes_link::poll_line(&mut stream.io, &mut stream.head, most, info, cx)
            }
            Carrier::Packets(packets, _) => {
                let first = ready!(packets.poll_next_unpin(cx)).transpose()?;
                let line = first.map(|first| BytesMut::from(&first.data[..]));
                Poll::Ready(Ok(line.unwrap_or_default()))
            }
        }
    }

    /// Says `line` before there are messages: without what the framing puts around one.
    pub(crate) async fn say(&mut self, line: &str) -> Result<()> {
        match &mut self.carrier {
            Carrier::Bytes(bytes) => bytes.outbox.push(line.as_bytes()),
            Carrier::Packets(packets, _) => {
                let bytes = line.as_bytes().to_vec();
                packets.feed(bytes.into()).await?;
            }
        }
        self.flush().await
    }

    /// Whether bytes have been read that no message has taken.
    pub(crate) fn has_read_ahead(&self) -> bool {
        match &self.carrier {
            Carrier::Bytes(bytes) => !bytes.stream.head.is_empty(),
            Carrier::Packets(..) => false,
        }
    }

    /// The peer is about to be spoken to as a plain one. If its first bytes are of one of these protocols
    /// nevertheless, `recv` says so, for it cannot understand what it was sent.
    pub(crate) fn refuse(&mut self, matchers: &'static [Matcher]) {
        if let Carrier::Bytes(bytes) = &mut self.carrier {
            bytes.inbox.refuse(matchers);
        }
    }

    /// Sends one message and waits until the carrier has taken it.
    ///
    /// # Errors
    /// When the connection broke, or the message does not fit the framing or the carrier.
    pub fn send(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<()>> + Send + '_ {
        let Self { info, carrier } = self;
        let mut sending = Sending::new(message.into(), info);
        poll_fn(move |cx| match carrier {
            Carrier::Bytes(bytes) => {
                let BytesCarrier {
                    stream,
                    inbox,
                    outbox,
                } = &mut **bytes;
                ready!(outbox.poll_write(&mut stream.io, info, cx))?;
                sending.poll_bytes(&mut stream.io, inbox.framing(), info, cx)
            }
            Carrier::Packets(packets, fed) => {
                let sent = sending.poll_packets(packets, info, cx);
                // If this is dropped now, what was taken leaves before more is waited for.
                fed.0 = sent.is_pending();
                sent
            }
        })
    }

    /// Sends one message, but lets it wait for others: what was fed leaves with the next [`send`](Self::send),
    /// [`flush`](Self::flush) or [`finish`](Self::finish), when much has gathered, and before
    /// [`recv`](Self::recv) waits. So a service that answers a batch of messages answers with one write.
    ///
    /// # Errors
    /// As `send`.
    pub fn feed(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<()>> + Send + '_ {
        let Self { info, carrier } = self;
        let mut sending = Sending::new(message.into(), info);
        poll_fn(move |cx| match carrier {
            Carrier::Bytes(bytes) => {
                let BytesCarrier {
                    stream,
                    inbox,
                    outbox,
                } = &mut **bytes;
                sending.poll_gather(&mut stream.io, outbox, inbox.framing(), info, cx)
            }
            Carrier::Packets(packets, fed) => {
                fed.0 = true;
                sending.poll_feed(packets, info, cx)
            }
        })
    }

    /// Sends what was fed and waits until the carrier has taken it.
    ///
    /// # Errors
    /// As `send`.
    pub fn flush(&mut self) -> impl Future<Output = Result<()>> + Send + '_ {
        let Self { info, carrier } = self;
        poll_fn(move |cx| match carrier {
            Carrier::Bytes(bytes) => {
                let BytesCarrier { stream, outbox, .. } = &mut **bytes;
                outbox.poll_write(&mut stream.io, info, cx)
            }
            Carrier::Packets(packets, _) => packets.poll_flush_unpin(cx),
        })
    }

    /// Says that nothing more will be sent: FIN, end of body, close frame; nothing over plain datagrams.
    /// Receiving goes on.
    ///
    /// # Errors
    /// When the connection broke before.
    pub async fn finish(&mut self) -> Result<()> {
        self.flush().await?;
        let Self { info, carrier } = self;
        match carrier {
            Carrier::Bytes(bytes) => bytes_link::finish(&mut bytes.stream.io, info).await,
            Carrier::Packets(packets, _) => packets.close().await,
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
    pub fn close(mut self) -> impl Future<Output = Result<()>> + Send {
        // Boxed: it comes once, and should not be room in the future of every session.
        Box::pin(async move {
            self.finish().await?;
            if let Carrier::Bytes(bytes) = &mut self.carrier {
                let BytesCarrier { stream, inbox, .. } = &mut **bytes;
                bytes_link::drain(&mut stream.io, &mut stream.head, inbox, &self.info).await;
            }
            Ok(())
        })
    }

    /// Lets go of the peer so that it cannot take this for an orderly end, where the carrier has a way to
    /// say so: TCP is reset.
    pub(crate) fn abort(self) {
        if let Carrier::Bytes(bytes) = &self.carrier {
            bytes.stream.reset_on_close();
        }
    }

    /// Full duplex: the two directions by themselves.
    pub fn split(self) -> (Receiver, Sender) {
        split::split(self.info, self.carrier)
    }

    /// Leaves the message view; nothing that was read is lost.
    pub fn into_link(self) -> Link {
        let Self { info, carrier } = self;
        match carrier {
            Carrier::Bytes(bytes) => {
                let BytesCarrier {
                    stream,
                    inbox,
                    outbox,
                } = *bytes;
                let mut stream = outbox.before(stream);
                stream.tally = Some(info.clone());
                Link::Bytes(tap::tapped(stream, &info), inbox.framing().clone())
            }
            Carrier::Packets(packets, _) => Link::Packets(packets),
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

    /// As [`into_stream`](Self::into_stream), for a protocol that runs below the sessions: what goes by is no
    /// message of anyone, and is not shown.
    pub(crate) fn into_lower(self) -> ByteStream {
        let Self { info, carrier } = self;
        info.lower();
        match carrier {
            Carrier::Bytes(bytes) => {
                let mut stream = bytes.outbox.before(bytes.stream);
                stream.tally = Some(info);
                stream
            }
            Carrier::Packets(packets, _) => {
                ByteStream::new(packet_bytes::PacketBytes::new(packets))
            }
        }
    }

    /// The socket itself, to move bytes in the kernel; only where the stream is one, is unframed, and
    /// nobody watches the messages.
    pub fn raw_socket(&self) -> Option<std::io::Result<std::os::fd::OwnedFd>> {
        match &self.carrier {
            Carrier::Bytes(bytes)
                if bytes.inbox.framing().is_raw()
                    && bytes.outbox.is_empty()
                    && !self.info.is_watched() =>
            {
                bytes.stream.duplicate()
            }
            Carrier::Bytes(_) | Carrier::Packets(..) => None,
        }
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => f
                .debug_tuple("Bytes")
                .field(&bytes.stream)
                .field(bytes.inbox.framing())
                .finish(),
            Self::Packets(..) => f.write_str("Packets"),
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
