//! UDP on the dialing side.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{Interest, ReadBuf, Ready};
use tokio::net::UdpSocket;
use wire::address::HostPort;

use super::DialOptions;
use crate::error::{Error, Operation, Result};
use crate::lookout::Lookout;
use crate::session::{Endpoint, Link, Message, Session};
use crate::socket::slot::Slot;
use crate::socket::{LARGEST_V6, Role, any_address, largest_datagram};

pub(super) async fn dial(hosts: &[HostPort], options: &DialOptions) -> Result<Session> {
    if let Some(proxy) = &options.proxy {
        let reason = format!("{proxy} takes TCP only, and going past it would be no answer");
        let address = hosts.first().map(ToString::to_string).unwrap_or_default();
        return Err(Error::unsupported(Operation::Connect, address, reason));
    }
    // No handshake tells which address answers, so the first one that can be routed to is taken.
    let mut first_error = None;
    for (peer, _) in super::candidates(hosts, options).await? {
        match open(peer, options) {
            Ok(session) => return Ok(session),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(super::names_no_host))
}

fn open(peer: SocketAddr, options: &DialOptions) -> Result<Session> {
    let failed = |source| Error::io(Operation::Connect, peer, source);
    let socket = options.options.udp(peer, Role::Dial)?;
    // Who broadcasts is answered by whoever is there.
    let hear_all = options.from_anyone || options.options.broadcast || is_shared(peer.ip());
    if let Some(source) = options.source(peer) {
        let bound = socket.bind(&source.into());
        bound.map_err(|error| {
            Error::io(Operation::Connect, format!("{peer} from {source}"), error)
        })?;
    } else if hear_all {
        socket.bind(&any_address(peer).into()).map_err(failed)?;
    }
    if !hear_all {
        // A connected socket hears only its peer, and is told when nobody listens there (ICMP).
        socket.connect(&peer.into()).map_err(failed)?;
    }
    let socket = UdpSocket::from_std(socket.into()).map_err(failed)?;
    let own = socket.local_addr().map_err(failed)?;
    options.tell_patron(own, peer);
    let local: Endpoint = own.into();
    let packets = UdpPackets {
        socket: Arc::new(socket),
        peer,
        hear_all,
        trouble: None,
        outgoing: Slot::default(),
        slot: Vec::new(),
        watched: options.lookout.clone().map(|lookout| (lookout, own)),
    };
    let identity = options.identity("udp", local, peer.into());
    Ok(Session::new(
        Link::Packets(Box::new(packets)),
        identity,
        options.max_message,
    ))
}

/// Whether answers come from other addresses than the one that was asked.
fn is_shared(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

struct UdpPackets {
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    hear_all: bool,
    /// Waits for an error: see [`poll_trouble`](Self::poll_trouble).
    trouble: Option<Pin<Box<dyn Future<Output = io::Result<Ready>> + Send>>>,
    outgoing: Slot,
    slot: Vec<u8>,
    /// Who watches what passes, and where we are.
    watched: Option<(Arc<dyn Lookout>, SocketAddr)>,
}

impl UdpPackets {
    /// An error that came in by itself, such as "port unreachable" (ICMP). The runtime wakes a reader for
    /// datagrams only, so a session that waits for an answer would never hear that there will be none.
    fn poll_trouble(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let socket = &self.socket;
            let waiting = self.trouble.get_or_insert_with(|| {
                let socket = socket.clone();
                Box::pin(async move { socket.ready(Interest::ERROR).await })
            });
            let heard = ready!(waiting.as_mut().poll(cx));
            self.trouble = None;
            match heard.and_then(|_| self.socket.take_error()) {
                Err(error) | Ok(Some(error)) => return Poll::Ready(error),
                // A send was told of it first. Waiting for the next one begins anew.
                Ok(None) => {
                    let _ = self.socket.try_io(Interest::ERROR, || {
                        Err::<(), _>(io::ErrorKind::WouldBlock.into())
                    });
                }
            }
        }
    }
}

impl Stream for UdpPackets {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            socket,
            slot,
            peer,
            hear_all,
            watched,
            ..
        } = &mut *self;
        slot.resize(LARGEST_V6, 0);
        let mut buffer = ReadBuf::new(slot);
        let received = if *hear_all {
            socket.poll_recv_from(cx, &mut buffer).map_ok(Some)
        } else {
            socket.poll_recv(cx, &mut buffer).map_ok(|()| None)
        };
        let Poll::Ready(received) = received else {
            let source = ready!(self.poll_trouble(cx));
            let error = Error::io(Operation::Receive, self.peer, source);
            return Poll::Ready(Some(Err(error)));
        };
        if let (Ok(from), Some((lookout, local))) = (&received, watched) {
            lookout.datagram(*local, from.unwrap_or(*peer), false, buffer.filled());
        }
        let message = received.map(|from| Message {
            from: from.filter(|from| from != peer).map(Box::new),
            ..Message::binary(Bytes::copy_from_slice(buffer.filled()))
        });
        Poll::Ready(Some(
            message.map_err(|source| Error::io(Operation::Receive, *peer, source)),
        ))
    }
}

impl Sink<Message> for UdpPackets {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let limit = largest_datagram(self.peer);
        if message.data.len() > limit {
            return Err(Error::TooLarge {
                address: self.peer.to_string(),
                size: message.data.len(),
                limit,
            });
        }
        let put = self.outgoing.put(message.data);
        put.map_err(|source| Error::io(Operation::Send, self.peer, source))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self {
            socket,
            peer,
            hear_all,
            outgoing,
            watched,
            ..
        } = &mut *self;
        let left = outgoing.poll_leave(|message| {
            let sent = match hear_all {
                true => socket.poll_send_to(cx, message, *peer),
                false => socket.poll_send(cx, message),
            };
            if let (Poll::Ready(Ok(_)), Some((lookout, local))) = (&sent, watched) {
                lookout.datagram(*local, *peer, true, message);
            }
            sent
        });
        left.map_err(|source| Error::io(Operation::Send, *peer, source))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}
