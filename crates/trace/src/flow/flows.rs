//! All flows: whose packets belong together, and who began.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use wire::packet::{Body, Flags, Segment};

use super::{Flow, Transport};
use crate::course::Course;
use crate::event::Kind;
use crate::step::KeyLog;

/// Where and when a packet was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) frame: u64,
    pub(crate) time: i64,
    /// When our program has read it, if `time` is what the kernel says.
    pub(crate) read: Option<i64>,
    pub(crate) id: Option<u32>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// Both ends, the smaller address first, so that both directions find the same.
type Key = (Transport, SocketAddr, SocketAddr);

fn key(transport: Transport, one: SocketAddr, other: SocketAddr) -> Key {
    (transport, one.min(other), one.max(other))
}

/// All flows of a capture, by their numbers, but for those that are over and were forgotten.
#[derive(Debug, Default)]
pub struct Flows {
    all: BTreeMap<usize, Flow>,
    /// The number of the next one.
    next: usize,
    /// The latest flow between two ends: ports are used again.
    latest: HashMap<Key, usize>,
    /// The flow of the latest packet, to which the next one mostly belongs.
    current: Option<(Key, usize)>,
    now: i64,
}

impl Flows {
    /// In the order of their first packets.
    pub fn iter(&self) -> impl Iterator<Item = &Flow> + Clone {
        self.all.values()
    }

    /// With their numbers, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = (usize, &Flow)> {
        self.all.iter().rev().map(|(number, flow)| (*number, flow))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Flow> {
        self.all.get(&number)
    }

    /// How many there were, with those that were forgotten.
    #[must_use]
    pub fn count(&self) -> usize {
        self.next
    }

    /// How many were forgotten.
    pub(crate) fn forgotten(&self) -> usize {
        self.next - self.all.len()
    }

    pub(crate) fn done(self) -> Vec<Flow> {
        self.all.into_values().collect()
    }

    pub(crate) fn at(&mut self, number: usize) -> Option<&mut Flow> {
        self.all.get_mut(&number)
    }

    /// A flow that is over makes room; what still comes of it begins another one.
    pub(crate) fn forget(&mut self, number: usize) {
        if let Some(flow) = self.all.remove(&number) {
            let key = key(flow.transport, flow.ends[0], flow.ends[1]);
            if self.latest.get(&key) == Some(&number) {
                self.latest.remove(&key);
                self.current = None;
            }
        }
    }

    /// Whether a datagram can only be read when a key has come: the number of its flow then.
    pub(crate) fn waiting_for(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        keys: &KeyLog,
    ) -> Option<usize> {
        let number = *self.latest.get(&key(Transport::Udp, source, destination))?;
        let flow = self.all.get(&number)?;
        let from = flow.side(source);
        flow.talk.waits_with(from, payload, keys).then_some(number)
    }

    /// The time of the latest packet.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// The number of its flow; `None` if it is about one that was not seen.
    pub(crate) fn add(&mut self, at: Frame, body: &Body<'_>, keys: &KeyLog) -> Option<usize> {
        self.now = at.time;
        match body {
            Body::Tcp(segment) => Some(self.segment(at, segment, keys)),
            Body::Udp(datagram) => {
                let len = datagram.length;
                let ports = (datagram.source, datagram.destination);
                let kind = Kind::Datagram { len, packets: None };
                Some(self.plain(Transport::Udp, at, ports, kind, datagram.payload, keys))
            }
            Body::Stream {
                source,
                destination,
                payload,
            } => {
                let len = payload.len() as u32;
                let kind = Kind::Bytes { len };
                let ports = (*source, *destination);
                Some(self.plain(Transport::Stream, at, ports, kind, payload, keys))
            }
            Body::Icmp(error) => {
                let transport = match error.protocol {
                    6 => Transport::Tcp,
                    _ => Transport::Udp,
                };
                let key = key(transport, error.source, error.destination);
                let number = *self.latest.get(&key)?;
                let flow = self.all.get_mut(&number)?;
                // It answers whoever had sent the packet.
                let from = flow.side(error.source).other();
                flow.push(at, from, Kind::Icmp(error.why), &[], keys);
                Some(number)
            }
            Body::Part { .. } | Body::Other(_) => None,
        }
    }

    /// The connection between A and B, of which only sockets tell: another one, if it `begins`. Its number, and
    /// whether it is new.
    pub(crate) fn connection(&mut self, ends: [SocketAddr; 2], begins: bool) -> (usize, bool) {
        let key = key(Transport::Stream, ends[0], ends[1]);
        let latest = self.latest.get(&key).and_then(|at| self.all.get(at));
        if begins && latest.is_some_and(|flow| flow.rows() > 0) {
            self.latest.remove(&key);
            self.current = None;
        }
        let before = self.next;
        let (number, flow) = self.flow(key, ends);
        flow.course.get_or_insert_with(|| Box::new(Course::new()));
        (number, number >= before)
    }

    /// The connection between two ends, if there is one of which only sockets tell.
    pub(crate) fn connected(&self, one: SocketAddr, other: SocketAddr) -> Option<usize> {
        let number = *self.latest.get(&key(Transport::Stream, one, other))?;
        let flow = self.all.get(&number)?;
        flow.course.as_ref().map(|_| number)
    }

    fn plain(
        &mut self,
        transport: Transport,
        at: Frame,
        ports: (u16, u16),
        kind: Kind,
        payload: &[u8],
        keys: &KeyLog,
    ) -> usize {
        let source = SocketAddr::new(at.source, ports.0);
        let destination = SocketAddr::new(at.destination, ports.1);
        let key = key(transport, source, destination);
        let (number, flow) = self.flow(key, [source, destination]);
        let from = flow.side(source);
        flow.push(at, from, kind, payload, keys);
        number
    }

    /// The flow between two ends, which begins if there is none, and its number.
    fn flow(&mut self, key: Key, ends: [SocketAddr; 2]) -> (usize, &mut Flow) {
        let number = match self.current {
            Some((current, number)) if current == key => number,
            _ => *self.latest.entry(key).or_insert(self.next),
        };
        self.current = Some((key, number));
        self.next = self.next.max(number + 1);
        let flow = self.all.entry(number);
        (number, flow.or_insert_with(|| Flow::new(key.0, ends)))
    }

    fn segment(&mut self, at: Frame, segment: &Segment<'_>, keys: &KeyLog) -> usize {
        let source = SocketAddr::new(at.source, segment.source);
        let destination = SocketAddr::new(at.destination, segment.destination);
        let key = key(Transport::Tcp, source, destination);
        let syn = segment.flags.has(Flags::SYN);
        let answer = segment.flags.has(Flags::ACK);
        if syn
            && !answer
            && let Some(number) = self.latest.get(&key)
            && let Some(flow) = self.all.get(number)
            && flow.is_over_for(source, segment.seq)
        {
            self.latest.remove(&key);
            self.current = None;
        }
        let ends = match syn && answer {
            true => [destination, source],
            false => [source, destination],
        };
        let (number, flow) = self.flow(key, ends);
        let from = flow.side(source);
        let tcp = flow.number(from, segment);
        flow.push(at, from, Kind::Tcp(tcp), segment.payload, keys);
        number
    }
}
