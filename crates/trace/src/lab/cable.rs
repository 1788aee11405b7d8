//! The wire between both ends: packets wait as long as the way is, and what the rules say happens to them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::packet::{Body, ETHERNET, Packet};

use super::rule::{Action, Rule};
use crate::event::Side;
use crate::witness::Witnessed;
use crate::words::{duration, grouped};

/// The header of Ethernet.
const HEADER: usize = 14;
/// The longest frame: no interface here takes more than 1500 bytes of IP.
const LONGEST: usize = 4096;
/// A packet that others should overtake goes on after this time even if there are none.
const ALONE: Duration = Duration::from_millis(300);

/// The way between both ends.
#[derive(Clone, Debug)]
pub struct Link {
    /// How long each way takes.
    pub delay: Duration,
    /// Bits a second each way; none is no limit.
    pub rate: Option<u64>,
    /// How many bytes wait for their turn where there is a rate; what comes beyond them is lost.
    pub queue: u64,
    /// How many packets of a million are lost at random.
    pub loss: u32,
    /// Where the random numbers begin: the same seed loses the same packets.
    pub seed: u64,
    /// What happens to chosen packets.
    pub rules: Vec<Rule>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            rate: None,
            queue: 64 * 1024,
            loss: 0,
            seed: 1,
            rules: Vec::new(),
        }
    }
}

/// `10 ms each way, 5 % lost at random (seed 7), drop client:syn:1`
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} each way", duration(self.delay.as_nanos() as u64))?;
        if let Some(rate) = self.rate {
            write!(f, ", {} kbit/s", grouped(rate / 1000))?;
        }
        if self.loss > 0 {
            let percent = f64::from(self.loss) / 1e4;
            write!(f, ", {percent} % lost at random (seed {})", self.seed)?;
        }
        self.rules.iter().try_for_each(|rule| write!(f, ", {rule}"))
    }
}

/// A packet on its way. Ordered by the moment of its arrival, and then by that of its beginning.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    due: Duration,
    packet: usize,
}

/// Both ends of the wire, and everything that has passed.
pub(super) struct Cable {
    link: Link,
    sockets: [OwnedFd; 2],
    started: Instant,
    flights: BinaryHeap<Reverse<Flight>>,
    /// Of each direction, the packet that waits to be overtaken, and until when it waits.
    held: [Option<(usize, Duration)>; 2],
    /// Until when each direction sends what it has.
    busy: [Duration; 2],
    chance: Chance,
    seen: Vec<Witnessed>,
}

impl Cable {
    /// Between two interfaces of this network, by their names.
    pub(super) fn new(link: Link, names: [&str; 2]) -> io::Result<Self> {
        let sockets = [listen(names[0])?, listen(names[1])?];
        Ok(Self {
            chance: Chance(link.seed),
            link,
            sockets,
            started: Instant::now(),
            flights: BinaryHeap::new(),
            held: [None; 2],
            busy: [Duration::ZERO; 2],
            seen: Vec::new(),
        })
    }

    /// Whether nothing is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.flights.is_empty() && self.held.iter().all(Option::is_none)
    }

    /// How long nobody has said anything.
    pub(super) fn silence(&self) -> Duration {
        let last = self.seen.last().map_or(0, |packet| packet.sent);
        let now = self.started.elapsed();
        now.saturating_sub(Duration::from_nanos(last.cast_unsigned()))
    }

    pub(super) fn done(self) -> Vec<Witnessed> {
        self.seen
    }

    /// Takes what comes and delivers what is due, for at most `most`.
    pub(super) fn pass(&mut self, most: Duration) -> io::Result<()> {
        let now = self.started.elapsed();
        let held = self.held.iter().flatten().map(|(_, until)| *until);
        let due = self.flights.peek().map(|Reverse(flight)| flight.due);
        let next = held.chain(due).min();
        let wait = next.map_or(most, |next| next.saturating_sub(now).min(most));
        let wait = Timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut sockets = self
            .sockets
            .each_ref()
            .map(|socket| PollFd::new(socket, PollFlags::IN));
        match poll(&mut sockets, Some(&wait)) {
            Err(rustix::io::Errno::INTR) => {}
            polled => drop(polled?),
        }
        let ready = sockets.map(|socket| !socket.revents().is_empty());
        for side in Side::BOTH {
            if ready[side.index()] {
                self.take(side)?;
            }
        }
        self.let_go();
        self.deliver()
    }

    /// Everything that one end has sent.
    fn take(&mut self, from: Side) -> io::Result<()> {
        let mut frame = [0; LONGEST];
        let socket = self.sockets[from.index()].as_raw_fd();
        loop {
            let length = match recv(socket, &mut frame, MsgFlags::MSG_DONTWAIT) {
                Err(nix::Error::EAGAIN) => return Ok(()),
                // The socket was there before the interface was up, and says so once.
                Err(nix::Error::EINTR | nix::Error::ENETDOWN) => continue,
                length => length?,
            };
            // The ends know each other: what is no IPv4 asks who is there.
            if frame[..length].get(12..HEADER) == Some(&[8, 0]) {
                self.send(from, frame[..length].to_vec());
            }
        }
    }

    fn send(&mut self, from: Side, mut frame: Vec<u8>) {
        wire::packet::finish_checksum(&mut frame[HEADER..]);
        let now = self.started.elapsed();
        let length = frame.len() as u32;
        let mut actions = Vec::new();
        let mut skipped = true;
        if let Ok(packet) = Packet::read(ETHERNET, &frame, length) {
            skipped = matches!(packet.body, Body::Other(_));
            let rules = self.link.rules.iter_mut();
            actions.extend(rules.filter_map(|rule| rule.meets(from, &packet)));
        }
        let lost = self.chance.takes(self.link.loss) || actions.contains(&Action::Drop);
        let damaged = actions.contains(&Action::Corrupt);
        let late = actions.iter().map(|action| match action {
            Action::Late(time) => *time,
            _ => Duration::ZERO,
        });
        let late = late.sum::<Duration>();
        // Every packet takes its time of the line, also one that is lost behind it.
        let due = self.turn(from, now, u64::from(length));
        let sent = now.as_nanos() as i64;
        let index = self.seen.len();
        self.seen.push(Witnessed {
            from,
            sent,
            arrived: None,
            damaged,
            copy: false,
            frame,
        });
        let Some(due) = due.filter(|_| !lost) else {
            return;
        };
        let due = due + self.link.delay + late;
        if actions.contains(&Action::Reorder) && !skipped {
            let behind = self.held[from.index()].replace((index, due + ALONE));
            self.flights
                .extend(behind.map(|(packet, _)| Reverse(Flight { due, packet })));
            return;
        }
        self.flights.push(Reverse(Flight { due, packet: index }));
        if let Some((packet, _)) = self.held[from.index()].take() {
            self.flights.push(Reverse(Flight {
                due: due + Duration::from_nanos(1),
                packet,
            }));
        }
        if actions.contains(&Action::Duplicate) {
            let copy = Witnessed {
                copy: true,
                ..self.seen[index].clone()
            };
            self.seen.push(copy);
            self.flights.push(Reverse(Flight {
                due,
                packet: index + 1,
            }));
        }
    }

    /// When all of a packet has left, if it finds a place in the queue.
    fn turn(&mut self, from: Side, now: Duration, bytes: u64) -> Option<Duration> {
        let Some(rate) = self.link.rate else {
            return Some(now);
        };
        let time = |bytes: u64| Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        let busy = &mut self.busy[from.index()];
        if busy.saturating_sub(now) > time(self.link.queue) {
            return None;
        }
        *busy = (*busy).max(now) + time(bytes);
        Some(*busy)
    }

    /// Nobody has overtaken them.
    fn let_go(&mut self) {
        let now = self.started.elapsed();
        for held in &mut self.held {
            if let Some((packet, due)) = held.take_if(|(_, until)| *until <= now) {
                self.flights.push(Reverse(Flight { due, packet }));
            }
        }
    }

    fn deliver(&mut self) -> io::Result<()> {
        loop {
            let now = self.started.elapsed();
            let next = self.flights.peek_mut();
            let Some(next) = next.filter(|flight| flight.0.due <= now) else {
                return Ok(());
            };
            let Reverse(flight) = PeekMut::pop(next);
            let packet = &mut self.seen[flight.packet];
            let socket = self.sockets[packet.from.other().index()].as_raw_fd();
            let mut damaged = Vec::new();
            let frame = match packet.damaged {
                true => {
                    damaged.clone_from(&packet.frame);
                    if let Some(last) = damaged.last_mut() {
                        *last ^= 1;
                    }
                    &damaged
                }
                false => &packet.frame,
            };
            packet.arrived = Some(now.as_nanos() as i64);
            match send(socket, frame, MsgFlags::empty()) {
                // Full, or taken down by the end: it is lost, as it would be at a real interface.
                Err(nix::Error::ENOBUFS | nix::Error::ENETDOWN | nix::Error::ENXIO) => {
                    packet.arrived = None;
                }
                sent => drop(sent?),
            }
        }
    }
}

/// Random numbers by SplitMix64, so that a seed says which packets are lost.
struct Chance(u64);

impl Chance {
    /// Whether it takes this one, as it does so many of a million.
    fn takes(&mut self, share: u32) -> bool {
        if share == 0 {
            return false;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1_000_000 < u64::from(share)
    }
}

/// A socket that sees what crosses an interface, before it says that it is up: nothing is missed.
fn listen(name: &str) -> io::Result<OwnedFd> {
    let interfaces = getifaddrs()?;
    let address = interfaces
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::other(format!("the interface {name} has no address")))?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(seed: u64, share: u32) -> Vec<bool> {
        let mut chance = Chance(seed);
        (0..10_000).map(|_| chance.takes(share)).collect()
    }

    #[test]
    fn a_seed_says_which_packets_are_lost_and_the_share_how_many() {
        assert_eq!(taken(7, 50_000), taken(7, 50_000));
        assert_ne!(taken(7, 50_000), taken(8, 50_000));
        let count = |share| taken(1, share).into_iter().filter(|taken| *taken).count();
        assert_eq!((count(0), count(1_000_000)), (0, 10_000));
        // 500 are expected, and the deviation is 22.
        assert!((400..600).contains(&count(50_000)), "{}", count(50_000));
    }

    #[test]
    fn a_wire_says_what_it_does() {
        let mut link = Link {
            rate: Some(10_000_000),
            loss: 5_000,
            ..Link::default()
        };
        link.rules.extend(Rule::new(Action::Drop, "syn:1"));
        let said = "10.0 ms each way, 10 000 kbit/s, 0.5 % lost at random (seed 1), drop syn:1";
        assert_eq!(link.to_string(), said);
    }
}
