//! Both ways of seeing packets, on the loopback. Without the right to see any there is nothing to test.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::sys::socket::GetSockOpt as _;
use nix::sys::socket::sockopt::GetStruct;
use socket2::SockFilter;

use super::ring::FRAMES;
use super::*;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

/// As many datagrams as a socket holds in any case.
const LOT: usize = 100;

/// A packet that was seen.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    time: u64,
    data: Vec<u8>,
    outbound: bool,
}

/// Sees packets in one way.
struct Sight {
    lookout: Lookout,
    eye: Eye,
}

impl Sight {
    fn of(lookout: io::Result<Lookout>) -> Option<Self> {
        match lookout {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                eprintln!("skipped: packets cannot be seen without CAP_NET_RAW");
                None
            }
            lookout => {
                let lookout = lookout.unwrap();
                let eye = lookout.eye().unwrap();
                Some(Self { lookout, eye })
            }
        }
    }

    fn ring(snap: u32) -> Option<Self> {
        Self::of(Lookout::open(snap)).inspect(|sight| assert!(sight.eye.has_ring()))
    }

    fn queue(snap: u32) -> Option<Self> {
        Self::of(Lookout::queued(snap)).inspect(|sight| assert!(!sight.eye.has_ring()))
    }

    fn look(&mut self) -> Option<Packet> {
        let seen = self.eye.look().unwrap()?;
        Some(Packet {
            time: seen.time,
            data: seen.data.to_vec(),
            outbound: seen.outbound,
        })
    }

    /// Everything up to a packet that ends with these bytes.
    fn until(&mut self, end: &[u8]) -> Vec<Packet> {
        let start = Instant::now();
        let (nobody, _open) = UnixStream::pair().unwrap();
        let mut packets = Vec::new();
        loop {
            match self.look() {
                Some(packet) => {
                    packets.push(packet);
                    if packets.last().unwrap().data.ends_with(end) {
                        return packets;
                    }
                }
                None => assert!(!self.eye.wait(nobody.as_fd(), LONG).unwrap()),
            }
            assert!(start.elapsed() < LONG, "{} packets", packets.len());
        }
    }

    /// How long it waits for something.
    fn waits(&self, limit: Duration) -> Duration {
        let (nobody, _open) = UnixStream::pair().unwrap();
        let start = Instant::now();
        assert!(!self.eye.wait(nobody.as_fd(), limit).unwrap());
        start.elapsed()
    }
}

/// Somebody who sends datagrams to a port.
struct Talk {
    from: UdpSocket,
    to: UdpSocket,
    end: SocketAddr,
}

impl Talk {
    fn at(host: impl Into<std::net::IpAddr>) -> Self {
        let host = host.into();
        let to = UdpSocket::bind((host, 0)).unwrap();
        to.set_read_timeout(Some(LONG)).unwrap();
        let end = to.local_addr().unwrap();
        let from = UdpSocket::bind((host, 0)).unwrap();
        Self { from, to, end }
    }

    /// What has arrived has been seen before.
    fn say(&self, what: &[u8]) {
        self.from.send_to(what, self.end).unwrap();
        let mut room = vec![0; what.len() + 1];
        assert_eq!(self.to.recv(&mut room).unwrap(), what.len());
    }

    /// Datagrams that are numbered from `first` on.
    fn count(&self, first: usize, many: usize) {
        for number in first..first + many {
            self.say(&(number as u64).to_be_bytes());
        }
    }
}

/// The number in the data of a datagram over IPv4.
fn number(packet: &Packet) -> usize {
    let data = packet.data[28..].try_into().unwrap();
    u64::from_be_bytes(data) as usize
}

/// Bytes of which no two parts are alike.
fn data(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at / 7 + at) as u8).collect()
}

/// Datagrams of many lengths, over both versions of IP, and a connection; a last datagram says that it is over.
fn converse(talks: &[Talk; 2], listener: &TcpListener) {
    for talk in talks {
        for length in [
            0, 1, 47, 100, 404, 405, 1200, 2020, 2021, 2068, 2069, 9000, 20_000,
        ] {
            talk.say(&data(length));
        }
    }
    // Nothing is said back: then every segment is acknowledged at once, and not by a clock later.
    let mut from = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut to, _) = listener.accept().unwrap();
    for length in [300, 1990, 2100, 5000, 100_000] {
        from.write_all(&data(length)).unwrap();
        to.read_exact(&mut vec![0; length]).unwrap();
    }
    drop((from, to));
    talks[0].say(b"over");
}

fn is_tcp(packet: &Packet) -> bool {
    packet.data[0] >> 4 == 4 && packet.data[9] == 6
}

#[test]
fn both_ways_see_the_same() {
    let (Some(ring), Some(queue)) = (Sight::ring(WHOLE), Sight::queue(WHOLE)) else {
        return;
    };
    let mut sights = [ring, queue];
    let talks = [Talk::at(Ipv4Addr::LOCALHOST), Talk::at(Ipv6Addr::LOCALHOST)];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for sight in &sights {
        for end in [talks[0].end, talks[1].end, listener.local_addr().unwrap()] {
            sight.lookout.admit(end).unwrap();
        }
    }
    for snap in [WHOLE, SNAP, 1000, 60] {
        for sight in &sights {
            sight.lookout.keep(snap).unwrap();
        }
        let before = now();
        converse(&talks, &listener);
        let after = now();
        let [ring, queue] = sights.each_mut().map(|sight| sight.until(b"over"));
        assert_eq!(ring.len(), queue.len(), "{snap}");
        for (one, other) in ring.iter().zip(&queue) {
            let what = |packet: &Packet| (packet.data.clone(), packet.outbound);
            assert_eq!(what(one), what(other), "{snap}");
            assert!((before..=after).contains(&one.time), "{one:?}");
            assert!((before..=after).contains(&other.time), "{other:?}");
            // Those of TCP bring a time of another clock with them, and each way takes one of its own.
            if !is_tcp(one) {
                assert_eq!(one.time, other.time, "{snap}");
            }
        }
        let longest = ring.iter().map(|packet| packet.data.len()).max().unwrap();
        match snap {
            WHOLE => assert!(longest > 20_000, "all of it: {longest}"),
            _ => assert_eq!(longest, snap as usize),
        }
        let cut = ring
            .iter()
            .filter(|packet| is_tcp(packet))
            .filter(|packet| {
                let said = u16::from_be_bytes([packet.data[2], packet.data[3]]);
                packet.data.len() < usize::from(said)
            });
        let headers = |packet: &Packet| 20 + usize::from(packet.data[20 + 12] >> 4) * 4;
        let cut: Vec<_> = cut
            .map(|packet| (packet.data.len(), headers(packet)))
            .collect();
        match snap {
            WHOLE => assert_eq!(cut, []),
            _ => assert!(
                cut.len() >= 3 && cut.iter().all(|(kept, headers)| kept == headers),
                "the headers of long segments: {cut:?}"
            ),
        }
    }
    for sight in &mut sights {
        assert_eq!(sight.eye.missed().unwrap(), 0);
    }
}

#[test]
fn packets_come_in_their_order_however_often_the_ring_is_filled() {
    let Some(mut sight) = Sight::ring(SNAP) else {
        return;
    };
    let talk = Talk::at(Ipv4Addr::LOCALHOST);
    sight.lookout.admit(talk.end).unwrap();
    let mut first = 0;
    while first < 2 * FRAMES + LOT {
        talk.count(first, LOT);
        for number_of_it in first..first + LOT {
            assert_eq!(number(&sight.look().unwrap()), number_of_it);
        }
        assert_eq!(sight.look(), None, "not what stood there a turn ago");
        first += LOT;
    }
    assert_eq!(sight.eye.missed().unwrap(), 0);
}

#[test]
fn what_a_full_ring_has_no_room_for_is_counted() {
    let Some(mut sight) = Sight::ring(SNAP) else {
        return;
    };
    let talk = Talk::at(Ipv4Addr::LOCALHOST);
    sight.lookout.admit(talk.end).unwrap();
    talk.count(0, FRAMES + 70);
    for expected in 0..FRAMES {
        assert_eq!(number(&sight.look().unwrap()), expected);
    }
    assert_eq!(sight.look(), None);
    assert_eq!(sight.eye.missed().unwrap(), 70);
    talk.count(9, 1);
    assert_eq!(number(&sight.look().unwrap()), 9);
    assert_eq!(sight.look(), None);
    assert_eq!(sight.eye.missed().unwrap(), 70, "no more than that");
}

#[test]
fn a_wait_ends_with_a_packet_and_not_before_when_all_were_looked_at() {
    const SHORT: Duration = Duration::from_millis(30);
    let (Some(ring), Some(queue)) = (Sight::ring(WHOLE), Sight::queue(WHOLE)) else {
        return;
    };
    let talk = Talk::at(Ipv4Addr::LOCALHOST);
    for mut sight in [ring, queue] {
        sight.lookout.admit(talk.end).unwrap();
        // Some find room in a frame of the ring, and some do not.
        for length in [1, 404, 405, 9000, 1, 9000, 9000] {
            talk.say(&data(length));
            assert!(sight.waits(LONG) < LONG, "{length}");
            assert_eq!(sight.look().unwrap().data.len(), 28 + length);
            assert_eq!(sight.look(), None);
            assert!(sight.waits(SHORT) >= SHORT, "{length}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct IgnoresOutgoing;

nix::getsockopt_impl!(
    IgnoresOutgoing,
    libc::SOL_PACKET,
    libc::PACKET_IGNORE_OUTGOING,
    libc::c_int,
    GetStruct<libc::c_int>
);

#[test]
fn packets_are_seen_on_their_way_out_when_they_may_leave_the_machine() {
    let Some(mut sight) = Sight::ring(SNAP) else {
        return;
    };
    let ignores = |sight: &Sight| IgnoresOutgoing.get(&sight.lookout.0.socket).unwrap();
    let talk = Talk::at(Ipv4Addr::LOCALHOST);
    for (end, ignored) in [(talk.end, 1), ("192.0.2.1:9".parse().unwrap(), 0)] {
        sight.lookout.admit(end).unwrap();
        assert_eq!(ignores(&sight), ignored);
        talk.say(b"once");
        assert!(sight.look().is_some());
        assert_eq!(
            sight.look(),
            None,
            "on the loopback it is seen as it comes in"
        );
    }
}

#[test]
fn what_leaves_is_told_apart_from_what_comes() {
    let (Some(ring), Some(queue)) = (Sight::ring(SNAP), Sight::queue(SNAP)) else {
        return;
    };
    let talk = Talk::at(Ipv4Addr::LOCALHOST);
    for mut sight in [ring, queue] {
        // Everything, of everybody: on the loopback each packet passes twice.
        let all = [SockFilter::new(filter::RETURN, 0, 0, SNAP)];
        let socket = &sight.lookout.0.socket;
        see_outgoing(socket, true).unwrap();
        socket.attach_filter(&all).unwrap();
        talk.say(b"to and fro");
        let directions = [(); 2].map(|()| sight.until(b"to and fro").pop().unwrap().outbound);
        assert_eq!(directions, [true, false]);
    }
}

#[test]
fn there_is_one_eye() {
    let Some(sight) = Sight::ring(SNAP) else {
        return;
    };
    assert!(sight.lookout.eye().is_none());
    drop(sight.eye);
    assert!(sight.lookout.eye().is_none());
}
