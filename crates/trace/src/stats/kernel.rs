//! What the kernel says of its own connections, without any privilege: sock_diag(7) and what it calls TCP_INFO.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

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

use super::{Curve, Quantity, Stats};

/// Asks the kernel about connections.
#[derive(Debug)]
pub struct Kernel(OwnedFd);

impl Kernel {
    /// Opens the way to it.
    ///
    /// # Errors
    /// As opening a socket.
    pub fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        Ok(Self(socket))
    }

    /// All connections of this network: their own address, the other one, and how they do.
    fn all(&self) -> io::Result<Vec<(SocketAddr, SocketAddr, Info)>> {
        let mut found = Vec::new();
        for (family, any) in [
            (AF_INET, SocketId::new_v4()),
            (AF_INET6, SocketId::new_v6()),
        ] {
            self.dump(family, any, &mut found)?;
        }
        Ok(found)
    }

    fn dump(
        &self,
        family: u8,
        socket_id: SocketId,
        found: &mut Vec<(SocketAddr, SocketAddr, Info)>,
    ) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: StateFlags::all() - StateFlags::LISTEN - StateFlags::TIME_WAIT,
            socket_id,
        });
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(self.0.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = vec![0; 64 * 1024];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            let mut rest = &answer[..length];
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                // Messages begin at multiples of four.
                let next = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(next.max(4)..).unwrap_or_default();
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        found.extend(connection(*response));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }
}

/// What is read of `struct tcp_info` (linux/tcp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Info {
    /// Smoothed, in nanoseconds.
    round_trip: u64,
    /// The congestion window, in bytes.
    window: u64,
    /// How many segments were sent again.
    again: u64,
    /// Bytes that the other end has acknowledged, and that it has sent.
    acknowledged: u64,
    received: u64,
}

impl Info {
    /// Kernels add fields at the end, and some of these came with Linux 4.1.
    fn read(bytes: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?).into());
        let long = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let (segment, microseconds, segments): (u64, u64, u64) =
            (short(16)?, short(68)?, short(80)?);
        Some(Self {
            round_trip: microseconds * 1000,
            window: segments * segment,
            again: short(100)?,
            acknowledged: long(120)?,
            received: long(128)?,
        })
    }
}

fn connection(response: InetResponse) -> Option<(SocketAddr, SocketAddr, Info)> {
    let id = &response.header.socket_id;
    let own = SocketAddr::new(id.source_address.to_canonical(), id.source_port);
    let peer = SocketAddr::new(id.destination_address.to_canonical(), id.destination_port);
    let info = response.nlas.into_iter().find_map(|nla| match nla {
        Nla::TcpInfo(bytes) => Info::read(&bytes),
        _ => None,
    });
    Some((own, peer, info?))
}

/// Asks again and again how some connections do.
#[derive(Debug)]
pub struct Sampler {
    kernel: Kernel,
    /// Of interest is what has this address, or this port, at one end.
    address: Option<SocketAddr>,
    port: u16,
    began: Instant,
    seen: BTreeMap<(SocketAddr, SocketAddr), Samples>,
}

/// What one connection said.
#[derive(Debug, Default)]
struct Samples {
    sent: Vec<(i64, f64)>,
    received: Vec<(i64, f64)>,
    round_trip: Vec<(i64, f64)>,
    window: Vec<(i64, f64)>,
    again: Vec<(i64, f64)>,
    totals: Option<[u64; 3]>,
    last: i64,
}

impl Sampler {
    /// About connections with this address at one end, or with this port.
    ///
    /// # Errors
    /// As opening a socket.
    pub fn new(address: Option<SocketAddr>, port: u16) -> io::Result<Self> {
        Ok(Self {
            kernel: Kernel::open()?,
            address,
            port,
            began: Instant::now(),
            seen: BTreeMap::new(),
        })
    }

    /// Asks once, and says how many of them there are now.
    ///
    /// # Errors
    /// As asking the kernel.
    pub fn sample(&mut self) -> io::Result<usize> {
        let all = self.kernel.all()?;
        let now = self.began.elapsed().as_nanos() as i64;
        let mut count = 0;
        for (own, peer, info) in all {
            let is = |end: SocketAddr| match self.address {
                Some(address) => end == address,
                None => end.port() == self.port,
            };
            if is(own) || is(peer) {
                count += 1;
                self.seen.entry((own, peer)).or_default().add(now, info);
            }
        }
        Ok(count)
    }

    /// Whether any was ever there.
    #[must_use]
    pub fn has_seen(&self) -> bool {
        !self.seen.is_empty()
    }

    /// How they went until now, each counted from when it was first seen.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        let all = self.seen.iter();
        all.map(|((own, peer), samples)| samples.stats(*own, *peer))
            .collect()
    }
}

impl Samples {
    fn add(&mut self, now: i64, info: Info) {
        let totals = [info.acknowledged, info.received, info.again];
        // What was before the first look belongs to no moment.
        let before = self.totals.replace(totals).unwrap_or(totals);
        let more = [0, 1, 2].map(|index| totals[index].saturating_sub(before[index]) as f64);
        self.sent.push((now, more[0]));
        self.received.push((now, more[1]));
        self.again.push((now, more[2]));
        self.round_trip.push((now, info.round_trip as f64));
        self.window.push((now, info.window as f64));
        self.last = now;
    }

    fn stats(&self, own: SocketAddr, peer: SocketAddr) -> Stats {
        let first = self.window.first().map_or(0, |(time, _)| *time);
        let curve = |name: &str, quantity, samples: &[(i64, f64)]| Curve {
            name: name.to_owned(),
            quantity,
            samples: samples
                .iter()
                .map(|(time, value)| (time - first, *value))
                .collect(),
        };
        let mut curves = vec![
            curve("acknowledged", Quantity::Flowed, &self.sent),
            curve("received", Quantity::Flowed, &self.received),
            curve(
                "round trip (smoothed)",
                Quantity::Smoothed,
                &self.round_trip,
            ),
            curve("congestion window", Quantity::Held, &self.window),
            curve("retransmissions", Quantity::Count, &self.again),
        ];
        // Of one that only listens there is nothing to see.
        curves.retain(|curve| curve.samples.iter().any(|(_, value)| *value > 0.0));
        Stats {
            title: format!("{own} → {peer}, sight: socket, as the kernel says (TCP_INFO)"),
            span: (self.last - first).max(1),
            curves,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_what_passed_through_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(at).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut sampler = Sampler::new(Some(at), at.port()).unwrap();
        assert_eq!(sampler.sample().unwrap(), 2, "both ends are here");
        client.write_all(&[7; 100_000]).unwrap();
        server.read_exact(&mut [0; 100_000]).unwrap();
        // The last ACK may still be on its way to the client.
        let mut both = Vec::new();
        while both.len() < 2 {
            sampler.sample().unwrap();
            both = sampler.stats();
            let whole = |stats: &Stats| {
                let passed = stats
                    .curves
                    .iter()
                    .filter(|curve| curve.quantity == Quantity::Flowed);
                passed
                    .flat_map(|curve| &curve.samples)
                    .map(|(_, bytes)| bytes)
                    .sum::<f64>()
                    >= 100_000.0
            };
            both.retain(whole);
        }
        let sent = both
            .iter()
            .find(|stats| stats.title.contains(&format!("→ {at}")))
            .unwrap();
        assert_eq!(sent.curves[0].name, "acknowledged");
        let names: Vec<_> = sent
            .curves
            .iter()
            .map(|curve| curve.name.as_str())
            .collect();
        assert!(names.contains(&"congestion window"), "{names:?}");
        let window = sent
            .curves
            .iter()
            .find(|curve| curve.name == "congestion window")
            .unwrap();
        // Ten segments at least (RFC 6928).
        assert!(
            window
                .samples
                .iter()
                .all(|(_, bytes)| *bytes >= 10.0 * 500.0)
        );
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
        assert_eq!((info.round_trip, info.window), (20_300_000, 14_480));
        assert_eq!(
            (info.again, info.acknowledged, info.received),
            (3, 5_000_000_000, 0)
        );
        assert_eq!(Info::read(&bytes[..135]), None);
    }
}
