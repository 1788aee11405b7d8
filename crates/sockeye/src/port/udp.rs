//! UDP on the listening side: batches in and out of one socket, and the right source address on each answer.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6DontFrag, Ipv6RecvPacketInfo};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::net::connect_unspec;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::gate::is_local;
use super::peers::{Datagrams, Each, Outbox, Unsent};
use crate::error::{Error, Operation, Result};
use crate::lookout::{Lookout, tell_run};
use crate::session::Endpoint;
use crate::socket::{DATAGRAM_BUFFER, LARGEST_V4, Role, SocketOptions, bind, largest_datagram};

mod again;
mod door;
mod sieve;

use again::Again;
pub(super) use door::Door;
pub(super) use sieve::IdKey;
use sieve::Sieve;

/// What may be spoken over UDP at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// Datagrams, as they are.
    Datagrams,
    /// QUIC.
    Quic,
    /// Both, told apart.
    Both,
}

/// A slot for one datagram or one run of datagrams that the kernel has joined (GRO).
const SLOT: usize = 64 * 1024;

/// Slots for datagrams that come one by one. The second one tells that no other has come.
const FEW: usize = 2;

#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    local: SocketAddr,
    carries: Carries,
    own: Option<Own>,
    lookout: Option<Arc<dyn Lookout>>,
}

impl Socket {
    pub(super) fn bind(
        address: SocketAddr,
        carries: Carries,
        options: &SocketOptions,
        lookout: Option<Arc<dyn Lookout>>,
    ) -> Result<Self> {
        let socket = options.udp(address, Role::Listen)?;
        if options.receive_buffer.is_none() {
            // The system clamps this to its own maximum; any size works.
            let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER);
        }
        if options.send_buffer.is_none() {
            let _ = socket.set_send_buffer_size(DATAGRAM_BUFFER);
        }
        bind(&socket, address)?;
        let opened = || {
            let socket = UdpSocket::from_std(socket.into())?;
            let local = socket.local_addr()?;
            let wildcard = local.ip().is_unspecified();
            Ok(Self {
                socket,
                local,
                carries,
                own: wildcard.then(Own::new).transpose()?,
                lookout,
            })
        };
        opened().map_err(|source| Error::io(Operation::Listen, address, source))
    }

    pub(super) fn port(&self) -> u16 {
        self.local.port()
    }

    pub(super) fn local(&self) -> Endpoint {
        Endpoint::Net(self.local)
    }

    pub(super) fn carries(&self) -> Carries {
        self.carries
    }

    /// Ready to receive batches.
    pub(super) fn open(self) -> Result<Batches> {
        let failed = |source| Error::io(Operation::Listen, self.local, source);
        let state = UdpSocketState::new((&self.socket).into()).map_err(failed)?;
        // Each datagram would carry the traffic class, for which only QUIC asks, once it is spoken, and where it was
        // sent to, which on a socket with one address is known.
        let socket = SockRef::from(&self.socket);
        let _ = socket.set_recv_tos_v4(false);
        let _ = socket.set_recv_tclass_v6(false);
        if self.own.is_none() {
            let _ = setsockopt(&self.socket, Ipv4PacketInfo, &false);
            let _ = setsockopt(&self.socket, Ipv6RecvPacketInfo, &false);
        }
        // Batching forbids fragments, for QUIC's path probes. Plain datagrams may be larger than a packet.
        let _ = set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::WANT);
        if self.local.is_ipv6() {
            // Not left to path discovery alone: this option by itself refuses what is larger than a packet.
            let _ = setsockopt(&self.socket, Ipv6DontFrag, &false);
            let _ = set_ipv6_mtu_discover(&self.socket, Ipv6PathMtuDiscovery::WANT);
        }
        let (socket, state) = (Arc::new(self.socket), Arc::new(state));
        let quic = match self.carries {
            Carries::Datagrams => None,
            Carries::Quic | Carries::Both => {
                let mut door = Door::new(socket.clone(), state.clone(), self.local);
                door.lookout.clone_from(&self.lookout);
                let key = IdKey::new()
                    .map_err(|source| Error::io(Operation::Listen, self.local, source))?;
                let sieve = Sieve::new(Arc::new(door), key, self.carries == Carries::Quic);
                Some((sieve, key))
            }
        };
        Ok(Batches {
            slots: vec![0; BATCH_SIZE * SLOT],
            few: true,
            again: Again::default(),
            metas: vec![RecvMeta::default(); BATCH_SIZE],
            joined: Vec::new(),
            own: self.own,
            lookout: self.lookout,
            quic,
            state,
            socket,
            local: self.local,
        })
    }
}

/// A UDP socket that receives and sends in batches.
pub(super) struct Batches {
    socket: Arc<UdpSocket>,
    state: Arc<UdpSocketState>,
    local: SocketAddr,
    /// Where QUIC is spoken, too.
    quic: Option<(Sieve, IdKey)>,
    /// On a socket that hears every address of ours.
    own: Option<Own>,
    lookout: Option<Arc<dyn Lookout>>,
    slots: Vec<u8>,
    /// Datagrams come one by one. Preparing all slots for each would cost more than the rest of our own work.
    few: bool,
    again: Again,
    metas: Vec<RecvMeta>,
    joined: Vec<u8>,
}

/// A peer, and which of our addresses it talks to when we have bound them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    peer: SocketAddr,
    local: Option<IpAddr>,
}

impl Hash for Pair {
    /// In as few pieces as there can be: each datagram is looked up.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let port = self.peer.port();
        match self.peer.ip() {
            IpAddr::V4(ip) => state.write_u64(u64::from(ip.to_bits()) << 16 | u64::from(port)),
            IpAddr::V6(ip) => {
                state.write_u128(ip.to_bits());
                state.write_u16(port);
            }
        }
        match self.local {
            None => {}
            Some(IpAddr::V4(ip)) => state.write_u32(ip.to_bits()),
            Some(IpAddr::V6(ip)) => state.write_u128(ip.to_bits()),
        }
    }
}

impl Datagrams for Batches {
    const PROTOCOL: &'static str = "udp";
    type Address = Pair;

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut Each<'_, Pair>,
    ) -> Poll<io::Result<bool>> {
        let Self {
            socket,
            state,
            slots,
            metas,
            few,
            again,
            ..
        } = self;
        let room = if *few { FEW } else { BATCH_SIZE };
        let mut received = 0;
        let outcome = socket.try_io(Interest::READABLE, || {
            let socket = (&**socket).into();
            let outcome = match few {
                true => state.recv(socket, &mut slot_buffers::<FEW>(slots), metas),
                false => state.recv(socket, &mut slot_buffers::<BATCH_SIZE>(slots), metas),
            };
            received = *outcome.as_ref().unwrap_or(&0);
            let look = again.after(received);
            outcome?;
            // A batch that is not full has emptied the socket. Saying so here spares the system call
            // that would only find that out.
            if received < room && !look {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        if received > 0 {
            *few = received == 1;
        }
        for (meta, slot) in self.metas[..received]
            .iter_mut()
            .zip(self.slots.chunks_exact(SLOT))
        {
            let local = match &mut self.own {
                Some(own) => meta.dst_ip.filter(|ip| own.has(*ip)),
                None => None,
            };
            let pair = Pair {
                peer: meta.addr,
                local,
            };
            let run = &slot[..meta.len];
            if self.lookout.is_some() {
                let ends = (at(self.local, local), meta.addr);
                tell_run(self.lookout.as_ref(), ends, false, run, meta.stride);
            }
            match &mut self.quic {
                None => each(pair, run, meta.stride),
                Some((sieve, _)) => {
                    meta.dst_ip = local;
                    sieve.sort(meta, run, &mut |datagrams, stride| {
                        each(pair.clone(), datagrams, stride);
                    });
                }
            }
        }
        let rang = match &mut self.quic {
            Some((sieve, _)) => sieve.ring(),
            None => false,
        };
        match outcome {
            Ok(()) => Poll::Ready(Ok(rang)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Nothing is there any more; this registers for the next datagram.
                self.socket.poll_recv_ready(cx).map_ok(|()| rang)
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut Outbox<Pair>,
    ) -> Poll<Result<(), Unsent>> {
        let mut run = self.run_length(outbox);
        let Some(first) = outbox.front() else {
            return Poll::Ready(Ok(()));
        };
        let Pair { peer, local } = first.peer.address;
        let size = first.data.len();
        loop {
            let sent = if run == 1 && local.is_none() {
                self.socket.try_send_to(&first.data, peer).map(|_| ())
            } else {
                self.joined.clear();
                outbox
                    .iter()
                    .take(run)
                    .for_each(|message| self.joined.extend_from_slice(&message.data));
                let segment_size = (run > 1).then_some(size);
                let transmit = Transmit {
                    destination: peer,
                    ecn: None,
                    contents: &self.joined,
                    segment_size,
                    src_ip: local,
                };
                self.socket.try_io(Interest::WRITABLE, || {
                    self.state.try_send((&*self.socket).into(), &transmit)
                })
            };
            match sent {
                Ok(()) => {
                    if self.lookout.is_some() {
                        let ends = (at(self.local, local), peer);
                        for message in outbox.iter().take(run) {
                            let data = &message.data;
                            tell_run(self.lookout.as_ref(), ends, true, data, data.len());
                        }
                    }
                    (0..run).for_each(|_| drop(outbox.pop()));
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = ready!(self.socket.poll_send_ready(cx)) {
                        return Poll::Ready(Err(Unsent(error)));
                    }
                }
                // Offload may be all that the interface refuses: alone, a datagram may be fragmented.
                Err(_) if run > 1 => run = 1,
                Err(error) => return Poll::Ready(Err(Unsent(error))),
            }
        }
    }

    /// Packets are read for as long as somebody behind the door wants them. Datagrams that are none come too late.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_open = |quic: &Option<(Sieve, IdKey)>| {
            let quic = quic.as_ref();
            quic.is_some_and(|(sieve, _)| sieve.door.is_open(cx))
        };
        if !is_open(&self.quic) {
            return Poll::Ready(());
        }
        match self.poll_receive(cx, &mut |_, _, _| {}) {
            Poll::Ready(Ok(_)) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn endpoints(&self, address: &Pair) -> (Endpoint, Endpoint) {
        let local = at(self.local, address.local);
        (local.into(), address.peer.into())
    }

    fn limit(address: &Pair) -> usize {
        largest_datagram(address.peer)
    }

    fn may_be_forged(&self, address: &Pair) -> bool {
        !is_local(address.peer.ip())
    }
}

impl Batches {
    /// Where QUIC is to be heard, and how its connection ids are made.
    pub(super) fn door(&self) -> Option<(Arc<Door>, IdKey)> {
        let quic = self.quic.as_ref();
        quic.map(|(sieve, key)| (sieve.door.clone(), *key))
    }

    /// How many messages at the front can leave with one call: to one peer, of one size, the last may be shorter.
    fn run_length(&self, outbox: &Outbox<Pair>) -> usize {
        /// Segments larger than an Ethernet payload would not pass the interface (udp(7), UDP_SEGMENT).
        const SEGMENT: usize = 1472;

        let Some(first) = outbox.front() else {
            return 0;
        };
        let size = first.data.len();
        if outbox.len() == 1 || size == 0 || size > SEGMENT {
            return 1;
        }
        let most = self.state.max_gso_segments().min(LARGEST_V4 / size).max(1);
        let mut run = 1;
        for message in outbox.iter().take(most).skip(1) {
            if message.data.is_empty()
                || message.data.len() > size
                || message.peer.address != first.peer.address
            {
                break;
            }
            run += 1;
            if message.data.len() < size {
                break;
            }
        }
        run
    }
}

/// Where a socket is heard that is bound to `local`, or to all addresses.
fn at(local: SocketAddr, ip: Option<IpAddr>) -> SocketAddr {
    ip.map_or(local, |ip| SocketAddr::new(ip, local.port()))
}

/// Which of the addresses that datagrams were sent to are our own, so that an answer may come from there.
#[derive(Debug)]
struct Own {
    known: HashMap<Ipv4Addr, bool>,
    /// Kept for as long as the port, so that the limit of open files changes no answer.
    probe: socket2::Socket,
}

impl Own {
    fn new() -> io::Result<Self> {
        Ok(Self {
            known: HashMap::new(),
            probe: socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?,
        })
    }

    /// A group's or a broadcast address is nobody's own.
    fn has(&mut self, ip: IpAddr) -> bool {
        /// More than a machine has, so that a scan of 127.0.0.0/8 cannot fill the memory.
        const MOST: usize = 1024;

        let v4 = match ip.to_canonical() {
            IpAddr::V6(v6) => return !v6.is_multicast(),
            IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => return false,
            IpAddr::V4(v4) => v4,
        };
        if let Some(own) = self.known.get(&v4) {
            return *own;
        }
        // Only the system knows that 192.168.1.255 is a broadcast address: connecting to one is forbidden.
        // Sending from one would fail, and quinn-udp takes that failure for a lack of segmentation offload.
        let connected = self.probe.connect(&SocketAddr::from((v4, 9)).into());
        // Or else the next one would be asked for with this address as its source.
        let _ = connect_unspec(&self.probe);
        let own = connected.is_ok();
        // Any other failure says nothing of the address.
        if own || connected.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            self.known.insert(v4, own);
        }
        own
    }
}

fn slot_buffers<const N: usize>(slots: &mut [u8]) -> [IoSliceMut<'_>; N] {
    let mut chunks = slots.chunks_exact_mut(SLOT);
    std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;

    use super::*;

    /// What batching sets is for QUIC. A plain datagram may be larger than a packet, over IPv6 too (RFC 8200,
    /// section 4.5), and nobody reads traffic classes.
    #[tokio::test]
    async fn an_ipv6_socket_may_fragment() {
        let at = "[::1]:0".parse().unwrap();
        let socket = Socket::bind(at, Carries::Both, &SocketOptions::default(), None).unwrap();
        let batches = socket.open().unwrap();
        assert!(!getsockopt(&*batches.socket, Ipv6DontFrag).unwrap());
        let socket = SockRef::from(&*batches.socket);
        assert!(!socket.recv_tclass_v6().unwrap());
        assert!(!socket.recv_tos_v4().unwrap());
    }
}
