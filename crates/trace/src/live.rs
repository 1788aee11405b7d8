//! Packets that come one by one, sorted into flows and understood as they come.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use wire::packet::{Body, Packet, RAW};

use crate::event::{Event, Side, Sight, Step, Vantage};
use crate::file::{Capture, Sorter};
use crate::flow::{Flow, Flows};

mod sockets;

pub(crate) use sockets::kernel;

/// As long a packet waits for the key that opens it: whoever speaks to us has it before we do.
const PATIENCE: Duration = Duration::from_millis(100);

/// As many relayed connections are known whose first packet is still to come.
const PATRONS: usize = 4096;

/// As many packets wait. If more come, no key is waited for.
const WAITING: usize = 4096;

/// What goes on, as far as it was seen.
///
/// Nothing that was told is taken back, but the state of an end that turned out to be another one is told with the
/// next packet.
#[derive(Default)]
pub struct Live {
    sorter: Sorter,
    sight: Sight,
    /// Packets behind one that waits for its key.
    waiting: VecDeque<Owned>,
    /// The flow that waits, and since when.
    stalled: Option<(usize, Instant)>,
    /// Its packet, if that was read as far as it could be.
    half: Option<Event>,
    /// Flows of which something was heard.
    fresh: Vec<usize>,
    /// For whom we dial, by our port and the peer.
    patrons: HashMap<(u16, SocketAddr), SocketAddr>,
}

struct Owned {
    link: u16,
    /// When it came, and when our program read it if the first is what the kernel says.
    times: (u64, Option<u64>),
    original: u32,
    data: Box<[u8]>,
}

impl Live {
    /// For packets of which `wanted` says that they are of interest, by the addresses of their sender and receiver.
    pub fn new(
        sight: Sight,
        wanted: impl FnMut(SocketAddr, SocketAddr) -> bool + Send + 'static,
    ) -> Self {
        let mut live = Self {
            sight,
            ..Self::default()
        };
        live.sorter.wanted = Some(Box::new(wanted));
        live
    }

    /// Keys come while the connections go on, because these are our own: a packet waits a moment for its key.
    pub fn expect_keys(&mut self) {
        self.sorter.keys.more_come = true;
    }

    /// Adds lines of a key log.
    pub fn keys(&mut self, lines: &[u8]) {
        self.sorter.keys.add(lines);
        self.go_on(false);
    }

    /// Takes a packet of a [link type](https://www.tcpdump.org/linktypes.html), of which `data` was kept, as it was seen
    /// `time` nanoseconds after 1970.
    pub fn packet(&mut self, link: u16, time: u64, data: &[u8]) {
        self.packet_read(link, time, None, data);
    }

    /// The same; `read` is when our own program got it, if `time` is when the kernel says that it came.
    pub fn packet_read(&mut self, link: u16, time: u64, read: Option<u64>, data: &[u8]) {
        let original = original(link, data);
        let times = (time, read);
        if self.stalled.is_none() {
            return self.take(link, times, original, data);
        }
        self.waiting.push_back(Owned {
            link,
            times,
            original,
            data: data.into(),
        });
        self.go_on(self.waiting.len() > WAITING);
    }

    /// Packets that the capture has missed so far.
    pub fn missed(&mut self, count: u64) {
        self.sorter.capture.dropped = count;
    }

    /// When something is to be done though no packet comes: [`Live::go_on`].
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.stalled.map(|(_, since)| since + PATIENCE)
    }

    /// Goes on with what has waited long enough; with `at_once` with all that waits.
    pub fn go_on(&mut self, at_once: bool) {
        while let Some((number, since)) = self.stalled {
            let late = at_once || since.elapsed() >= PATIENCE;
            let Sorter { flows, keys, .. } = &mut self.sorter;
            let Some(flow) = flows.at(number) else { return };
            if let Some(mut half) = self.half.take() {
                join(&mut half.steps, flow.go_on(keys, late));
                if flow.waits() {
                    self.half = Some(half);
                    return;
                }
                flow.events.push(half);
                self.heard(number);
            } else if late {
                // A datagram stands at the head of those that wait.
                flow.go_on(keys, true);
            } else if let Some(first) = self.waiting.front()
                && let Ok(packet) = Packet::read(first.link, &first.data, first.original)
                && self.lacks(&packet).is_some()
            {
                return;
            }
            self.stalled = None;
            while self.stalled.is_none()
                && let Some(next) = self.waiting.pop_front()
            {
                self.take(next.link, next.times, next.original, &next.data);
            }
        }
    }

    fn take(&mut self, link: u16, times: (u64, Option<u64>), original: u32, data: &[u8]) {
        let packet = Packet::read(link, data, original);
        if let Some(number) = packet.as_ref().ok().and_then(|packet| self.lacks(packet)) {
            self.stalled = Some((number, Instant::now()));
            self.waiting.push_front(Owned {
                link,
                times,
                original,
                data: data.into(),
            });
            return;
        }
        let before = self.sorter.flows.count();
        let (time, read) = times;
        let Some(number) = self.sorter.take_in(Some(time), read, packet) else {
            return;
        };
        if number >= before {
            self.begun(number);
        }
        let Some(flow) = self.sorter.flows.at(number) else {
            return;
        };
        match flow.waits() {
            true => {
                self.half = flow.events.pop();
                self.stalled = Some((number, Instant::now()));
            }
            false => self.heard(number),
        }
    }

    /// A flow has begun: what is known of it from elsewhere.
    fn begun(&mut self, number: usize) {
        let Some(flow) = self.sorter.flows.at(number) else {
            return;
        };
        flow.sight = self.sight;
        flow.vantage = vantage(flow.ends);
        let [local, peer] = flow.ends;
        flow.client = self.patrons.remove(&(local.port(), peer));
    }

    /// A connection that is dialed from a port of ours is one end of a relay, and `client` is the other. Told before its
    /// first packet.
    pub fn on_behalf(&mut self, port: u16, peer: SocketAddr, client: SocketAddr) {
        if self.patrons.len() >= PATRONS {
            // Dials that never sent anything.
            self.patrons.clear();
        }
        self.patrons.insert((port, peer), client);
    }

    /// The flow of a datagram that can only be read when a key has come.
    fn lacks(&self, packet: &Packet<'_>) -> Option<usize> {
        let Body::Udp(datagram) = &packet.body else {
            return None;
        };
        if !self.sorter.keys.more_come {
            return None;
        }
        let source = SocketAddr::new(packet.source, datagram.source);
        let destination = SocketAddr::new(packet.destination, datagram.destination);
        let Sorter { flows, keys, .. } = &self.sorter;
        flows.waiting_for(source, destination, datagram.payload, keys)
    }

    fn heard(&mut self, number: usize) {
        if let Some(flow) = self.sorter.flows.at(number) {
            flow.advance();
        }
        if self.fresh.last() != Some(&number) {
            self.fresh.push(number);
        }
    }

    /// The flows of which something was heard since it was asked last, by their numbers.
    pub fn fresh(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.fresh)
    }

    /// All flows.
    #[must_use]
    pub fn flows(&self) -> &Flows {
        &self.sorter.flows
    }

    /// Lets packets of a flow go that come before the one of this number, counted from 0: nothing asks for them any
    /// more. What they come to is kept.
    pub fn let_go(&mut self, number: usize, row: usize) {
        if let Some(flow) = self.sorter.flows.at(number) {
            flow.let_go(row);
        }
    }

    /// The moment of the first packet, in nanoseconds since 1970.
    #[must_use]
    pub fn started(&self) -> Option<u64> {
        self.sorter.capture.started
    }

    /// A flow that is over makes room. What still comes of it begins another one.
    pub fn forget(&mut self, number: usize) {
        self.sorter.flows.forget(number);
    }

    /// Everything that was seen, as if it had been read from a file.
    #[must_use]
    pub fn done(mut self) -> Capture {
        self.go_on(true);
        self.sorter.capture.forgotten = self.sorter.flows.forgotten();
        let mut flows = self.sorter.flows.done();
        flows.iter_mut().for_each(Flow::put_in_order);
        self.sorter.capture.flows = flows;
        self.sorter.capture
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("sight", &self.sight)
            .field("flows", &self.sorter.flows.count())
            .finish_non_exhaustive()
    }
}

/// What one layer says in one packet stands on one line.
fn join(steps: &mut Vec<Step>, more: Vec<Step>) {
    for step in more {
        match steps.last_mut().filter(|last| last.layer == step.layer) {
            Some(last) => {
                last.text.push_str(", ");
                last.text.push_str(&step.text);
            }
            None => steps.push(step),
        }
    }
}

/// How long a packet was on the wire. The header of IP says it, and one of the loopback may be longer than that can
/// (0 stands there then).
#[must_use]
pub fn original(link: u16, data: &[u8]) -> u32 {
    let kept = data.len() as u32;
    let field = |at: usize| {
        let bytes = data.get(at..at + 2)?;
        Some(u32::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let length = match (link, data.first().map(|first| first >> 4)) {
        (RAW, Some(4)) => field(2),
        (RAW, Some(6)) => field(4)
            .filter(|length| *length > 0)
            .map(|length| length + 40),
        _ => None,
    };
    length.unwrap_or(kept).max(kept)
}

/// Which ends are here: their addresses are ours.
fn vantage(ends: [SocketAddr; 2]) -> Vantage {
    match ends.map(|end| is_ours(end.ip())) {
        [true, true] => Vantage::Both,
        [true, false] => Vantage::At(Side::A),
        [false, true] => Vantage::At(Side::B),
        [false, false] => Vantage::Middle,
    }
}

/// Only an address of this machine can be listened at.
fn is_ours(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// The sender and the receiver of a packet of TCP or UDP, or of the one that an error of ICMP is about.
#[must_use]
pub fn ends(link: u16, data: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let packet = Packet::read(link, data, original(link, data)).ok()?;
    let (source, destination) = match packet.body {
        Body::Tcp(segment) => (segment.source, segment.destination),
        Body::Udp(datagram) => (datagram.source, datagram.destination),
        Body::Stream {
            source,
            destination,
            ..
        } => (source, destination),
        Body::Icmp(error) => return Some((error.source, error.destination)),
        Body::Part { .. } | Body::Other(_) => return None,
    };
    Some((
        SocketAddr::new(packet.source, source),
        SocketAddr::new(packet.destination, destination),
    ))
}
