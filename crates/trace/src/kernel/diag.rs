//! Questions about all connections of this network: sock_diag(7).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::event::State;

/// Any socket, whatever number the kernel has given to it (INET_DIAG_NOCOOKIE).
const ANY: [u8; 8] = [0xff; 8];

/// Where an answer says in how many milliseconds the timer of the socket expires, behind the header of netlink
/// (`struct inet_diag_msg`, linux/inet_diag.h).
const EXPIRES: usize = 16 + 52;

/// An answer is not longer: the kernel fills no more than that at once.
const ANSWER: usize = 64 * 1024;

/// Asks the kernel about connections.
#[derive(Debug)]
pub(crate) struct Kernel {
    socket: OwnedFd,
    answer: Vec<u8>,
}

/// One end of a connection, or somebody who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) own: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) state: State,
    /// How much longer it stays in TIME-WAIT, or in FIN-WAIT-2 when no program has it any more.
    pub(crate) left: Option<Duration>,
    /// Bytes that have come, and that the program has not read.
    pub(crate) unread: u32,
    /// Bytes that the program has sent, and that are not acknowledged.
    pub(crate) unsent: u32,
    /// By which number programs know it; 0 if none has it.
    pub(crate) inode: u32,
    pub(crate) info: Option<Info>,
}

/// What is read of `struct tcp_info` (linux/tcp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// Smoothed, in nanoseconds.
    pub(crate) round_trip: u64,
    /// When it is sent again, in nanoseconds.
    pub(crate) timeout: u64,
    /// Bytes of a segment, and how many may be on the way.
    pub(crate) segment: u64,
    pub(crate) segments: u64,
    /// How many segments were sent again.
    pub(crate) again: u64,
    /// What the other end has acknowledged, and what it has sent; a SYN and a FIN may be counted like a byte.
    pub(crate) acknowledged: u64,
    pub(crate) received: u64,
    /// Bytes of data that were sent, each counted once.
    pub(crate) sent: Option<u64>,
}

impl Info {
    /// Kernels add fields at the end: some of these came with Linux 4.1, and the last with 4.19.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?).into());
        let long = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let microseconds = |at: usize| short(at).map(|time: u64| time * 1000);
        Some(Self {
            round_trip: microseconds(68)?,
            timeout: microseconds(8)?,
            segment: short(16)?,
            segments: short(80)?,
            again: short(100)?,
            acknowledged: long(120)?,
            received: long(128)?,
            sent: long(200)
                .zip(long(208))
                .map(|(all, again)| all.saturating_sub(again)),
        })
    }

    /// The congestion window, in bytes.
    pub(crate) fn window(&self) -> u64 {
        self.segments * self.segment
    }
}

impl Kernel {
    /// Opens the way to it.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self {
            socket,
            answer: vec![0; ANSWER],
        })
    }

    /// All sockets of this network that have `port` at their own end, or at the other one; all there are without.
    pub(crate) fn all(&mut self, port: Option<u16>) -> io::Result<Vec<Socket>> {
        let mut found = Vec::new();
        for (family, any) in [
            (AF_INET, SocketId::new_v4()),
            (AF_INET6, SocketId::new_v6()),
        ] {
            let Some(port) = port else {
                self.ask(family, any, NLM_F_DUMP, &mut found)?;
                continue;
            };
            let (mut own, mut peer) = (any.clone(), any);
            own.source_port = port;
            self.ask(family, own, NLM_F_DUMP, &mut found)?;
            let mut others = Vec::new();
            peer.destination_port = port;
            self.ask(family, peer, NLM_F_DUMP, &mut others)?;
            // Who has this port at both ends was among the first.
            others.retain(|socket| socket.own.port() != port);
            found.append(&mut others);
        }
        Ok(found)
    }

    /// One end of a connection; `None` if there is none such.
    pub(crate) fn one(&mut self, own: SocketAddr, peer: SocketAddr) -> io::Result<Option<Socket>> {
        let (own, peer) = (canonical(own), canonical(peer));
        let family = match own.ip() {
            IpAddr::V4(_) => AF_INET,
            IpAddr::V6(_) => AF_INET6,
        };
        let id = SocketId {
            source_port: own.port(),
            destination_port: peer.port(),
            source_address: own.ip(),
            destination_address: peer.ip(),
            interface_id: 0,
            cookie: ANY,
        };
        let mut found = Vec::new();
        match self.ask(family, id, 0, &mut found) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            asked => asked?,
        }
        // Where there is no connection it tells of who listens there.
        Ok(found
            .into_iter()
            .find(|socket| (socket.own, socket.peer) == (own, peer)))
    }

    fn ask(
        &mut self,
        family: u8,
        socket_id: SocketId,
        flags: u16,
        found: &mut Vec<Socket>,
    ) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: StateFlags::all(),
            socket_id,
        });
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut self.answer, MsgFlags::empty())?;
            let mut rest = &self.answer[..length];
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        let expires = rest.get(EXPIRES..).and_then(<[u8]>::first_chunk);
                        let expires = expires.map(|bytes| u32::from_ne_bytes(*bytes));
                        found.extend(end(*response, expires));
                        if flags & NLM_F_DUMP == 0 {
                            return Ok(());
                        }
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
                // Messages begin at multiples of four.
                let next = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(next.max(4)..).unwrap_or_default();
            }
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `expires`: when its timer does, in milliseconds.
fn end(response: InetResponse, expires: Option<u32>) -> Option<Socket> {
    let header = &response.header;
    let id = &header.socket_id;
    let state = state(header.state)?;
    let lingers = matches!(state, State::TimeWait | State::FinWait2) && header.inode == 0;
    let left = expires.filter(|left| lingers && *left > 0);
    let (unread, unsent) = match state {
        // They count connections there.
        State::Listen => (0, 0),
        _ => (header.recv_queue, header.send_queue),
    };
    Some(Socket {
        own: canonical(SocketAddr::new(id.source_address, id.source_port)),
        peer: canonical(SocketAddr::new(id.destination_address, id.destination_port)),
        state,
        left: left.map(|left| Duration::from_millis(left.into())),
        unread,
        unsent,
        inode: header.inode,
        info: response.nlas.iter().find_map(|nla| match nla {
            Nla::TcpInfo(bytes) => Info::read(bytes),
            _ => None,
        }),
    })
}

/// As the kernel numbers them (net/tcp_states.h).
fn state(number: u8) -> Option<State> {
    Some(match number {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ends_of_a_connection_and_who_keeps_time_wait() {
        let mut kernel = Kernel::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(at).unwrap();
        let (mut server, from) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        let near = kernel.one(from, at).unwrap().unwrap();
        let far = kernel.one(at, from).unwrap().unwrap();
        assert_eq!(
            (near.state, far.state),
            (State::Established, State::Established)
        );
        assert_eq!(near.info.unwrap().sent, Some(5));
        assert_eq!(far.info.unwrap().received, 5);
        let all = kernel.all(Some(at.port())).unwrap();
        let listening = all.iter().filter(|socket| socket.state == State::Listen);
        assert_eq!(listening.count(), 1);
        assert_eq!(all.len(), 3, "{all:?}");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
        drop(server);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        let near = kernel.one(from, at).unwrap().unwrap();
        assert_eq!(near.state, State::TimeWait, "it closed first");
        let left = near.left.unwrap();
        // Linux: 60 s, rounded up to whole ticks.
        assert!(left > Duration::from_secs(50) && left < Duration::from_secs(61));
        assert_eq!(
            kernel.one(at, from).unwrap(),
            None,
            "the other end is gone, and its listener is no answer"
        );
    }

    #[test]
    fn a_connection_over_ipv6_that_carries_ipv4_is_found_by_either_name() {
        let mut kernel = Kernel::open().unwrap();
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (_server, from) = listener.accept().unwrap();
        assert!(from.is_ipv6());
        let at = client.peer_addr().unwrap();
        assert!(kernel.one(at, from).unwrap().is_some());
        let all = kernel.all(Some(port)).unwrap();
        let ends = all.iter().filter(|socket| socket.state != State::Listen);
        assert_eq!(ends.count(), 2, "{all:?}");
    }

    #[test]
    fn what_an_older_kernel_does_not_say_is_not_made_up() {
        let mut bytes = vec![0; 136];
        bytes[16..20].copy_from_slice(&1448_u32.to_ne_bytes());
        bytes[68..72].copy_from_slice(&20_300_u32.to_ne_bytes());
        bytes[80..84].copy_from_slice(&10_u32.to_ne_bytes());
        bytes[100..104].copy_from_slice(&3_u32.to_ne_bytes());
        bytes[120..128].copy_from_slice(&5_000_000_000_u64.to_ne_bytes());
        let info = Info::read(&bytes).unwrap();
        assert_eq!((info.round_trip, info.window()), (20_300_000, 14_480));
        assert_eq!(
            (info.again, info.acknowledged, info.received, info.sent),
            (3, 5_000_000_000, 0, None)
        );
        assert_eq!(Info::read(&bytes[..135]), None);
    }
}
