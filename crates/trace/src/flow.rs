//! A flow: its packets, and numbers that count from the beginning.

use std::collections::HashSet;
use std::net::SocketAddr;

use wire::packet::{Flags, Segment};

use crate::analysis::{self, Analysis};
use crate::course::{Course, Row};
use crate::event::{
    Event, Fate, How, Kind, Note, Side, Sight, State, StateAt, Step, Sure, Tcp, Vantage,
};
use crate::step::{KeyLog, Talk};
use crate::summary::Sum;
use crate::vantage;

mod flows;

pub use flows::Flows;
pub(crate) use flows::Frame;

/// Longer data is not shown as text.
const TEXT_MAX: usize = 32;

/// What was read so long after it had come has waited for its reader; in nanoseconds.
const WAITED: u64 = 1_000_000;

/// As many packets are let go at once, at least.
const TOGETHER: usize = 256;

/// How a flow is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Segments of TCP.
    Tcp,
    /// Datagrams of UDP.
    Udp,
    /// Bytes of a stream, of which the capture saw no packets.
    Stream,
}

impl Transport {
    /// `tcp`, `udp` or `stream`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Stream => "stream",
        }
    }
}

/// Packets between two ends.
#[derive(Debug)]
pub struct Flow {
    /// How it is carried.
    pub transport: Transport,
    /// The addresses of A, who began, and of B.
    pub ends: [SocketAddr; 2],
    /// On whose behalf A, which is a relay here, has dialed B.
    pub client: Option<SocketAddr>,
    /// How much of it is seen.
    pub sight: Sight,
    /// Where it was captured.
    pub vantage: Vantage,
    /// The states before the first packet; they mean something only for TCP.
    pub first: [State; 2],
    /// Its packets, but for the first ones of a long [`Live`](crate::Live) one that were let go.
    pub events: Vec<Event>,
    /// How many were let go, and what they come to.
    pub(crate) gone: usize,
    pub(crate) past: Sum,
    /// The time of the first packet.
    began: Option<i64>,
    /// When each end became what, in nanoseconds like those of its packets, where that was seen.
    pub(crate) lives: Option<[Vec<(i64, State)>; 2]>,
    numbers: [Numbers; 2],
    /// What is said in it, as far as that is understood.
    talk: Talk,
    /// What is known of a connection that goes on.
    pub(crate) analysis: Option<Box<Analysis>>,
    /// How far one has come whose packets nobody sees.
    pub(crate) course: Option<Box<Course>>,
}

/// What is known about the numbers of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    /// The number that counts as 0.
    base: Option<u32>,
    /// The highest relative number so far: what is far from it has wrapped around.
    highest: i64,
    /// Of the SYN.
    syn: Option<Syn>,
    fin: bool,
}

#[derive(Clone, Copy, Debug)]
struct Syn {
    isn: u32,
    scale: Option<u8>,
}

impl Numbers {
    /// The relative number that is nearest to the highest so far.
    fn relative(&mut self, raw: u32) -> i64 {
        let base = *self.base.get_or_insert_with(|| raw.wrapping_sub(1));
        let near = (self.highest as u32).wrapping_add(base);
        self.highest + i64::from(raw.wrapping_sub(near).cast_signed())
    }
}

impl Flow {
    fn new(transport: Transport, ends: [SocketAddr; 2]) -> Self {
        Self {
            transport,
            ends,
            client: None,
            sight: Sight::File,
            vantage: Vantage::Middle,
            first: [State::Closed, State::Listen],
            events: Vec::new(),
            gone: 0,
            past: Sum::default(),
            began: None,
            lives: None,
            numbers: [Numbers::default(); 2],
            talk: Talk::default(),
            analysis: None,
            course: None,
        }
    }

    /// Whether the states of its ends are told.
    #[must_use]
    pub fn has_states(&self) -> bool {
        self.transport == Transport::Tcp || self.course.is_some()
    }

    /// A packet that nobody saw, and that must have been there.
    pub(crate) fn infer(&mut self, at: Frame, row: Row, steps: Vec<Step>) {
        let (from, what) = row;
        let opening = self
            .course
            .as_ref()
            .is_some_and(|course| course.is_opening());
        if let Some(course) = &mut self.course {
            course.passed(row);
        }
        let note = match what {
            "RST" if opening => {
                self.refuse(from);
                Some(Note::Refused)
            }
            "sent again" if opening => self.repeated(at.time, from),
            _ => None,
        };
        self.push(at, from, Kind::Inferred(what), &[], &KeyLog::default());
        self.say(steps);
        if let Some(last) = self.events.last_mut() {
            last.notes.extend(note);
        }
    }

    /// That `side` listens was a guess, and is taken back.
    fn refuse(&mut self, side: Side) {
        let closed = StateAt {
            state: State::Closed,
            sure: Sure::Expected,
        };
        self.first[side.index()] = State::Closed;
        let states = self
            .events
            .iter_mut()
            .filter_map(|event| event.states.as_mut());
        states.for_each(|states| states[side.index()] = closed);
    }

    /// What is sent again before there is a connection is the SYN.
    fn repeated(&self, time: i64, from: Side) -> Option<Note> {
        let last = self.events.last().filter(|last| last.from == from)?;
        Some(Note::Retransmission {
            of: Some(last.frame),
            after: (time - last.time).max(0) as u64,
            how: How::Syn,
        })
    }

    /// Bytes that the kernel has counted.
    pub(crate) fn count(&mut self, at: Frame, (from, len): (Side, u64), steps: Vec<Step>) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.push(at, from, Kind::Counted { len }, &[], &KeyLog::default());
        self.say(steps);
    }

    /// The SYN of A, as the kernel has kept it: it was seen, though by nobody who says when.
    pub(crate) fn begin(&mut self, at: Frame, segment: &Segment<'_>, steps: Vec<Step>) {
        if let Some(course) = &mut self.course {
            course.passed((Side::A, "SYN"));
            course.saw(Side::A);
        }
        let tcp = self.number(Side::A, segment);
        self.push(at, Side::A, Kind::Tcp(tcp), &[], &KeyLog::default());
        self.say(steps);
    }

    fn say(&mut self, steps: Vec<Step>) {
        if let Some(last) = self.events.last_mut() {
            last.steps.extend(steps);
        }
    }

    /// Which end has this address. An end that talks to itself is A.
    pub(crate) fn side(&self, address: SocketAddr) -> Side {
        match self.ends[0] == address {
            true => Side::A,
            false => Side::B,
        }
    }

    /// Whether a SYN with this number begins another connection between the same ports.
    fn is_over_for(&self, source: SocketAddr, isn: u32) -> bool {
        let numbers = &self.numbers[self.side(source).index()];
        match numbers.syn {
            Some(syn) => syn.isn != isn,
            None => numbers.fin || numbers.base.is_some_and(|base| base != isn),
        }
    }

    /// The segment with numbers that count from the beginning.
    fn number(&mut self, from: Side, segment: &Segment<'_>) -> Tcp {
        let flags = segment.flags;
        let syn = flags.has(Flags::SYN);
        let [own, peer] = self.numbers.each_mut();
        let (own, peer) = match from {
            Side::A => (own, peer),
            Side::B => (peer, own),
        };
        if syn {
            own.base.get_or_insert(segment.seq);
            own.syn.get_or_insert(Syn {
                isn: segment.seq,
                scale: segment.options.scale,
            });
        }
        own.fin |= flags.has(Flags::FIN);
        let seq = own.relative(segment.seq);
        own.highest = own.highest.max(seq + i64::from(segment.length));
        let ack = match flags.has(Flags::ACK) {
            true => peer.relative(segment.ack),
            false => 0,
        };
        let shift = match (syn, own.syn, peer.syn) {
            (
                false,
                Some(Syn {
                    scale: Some(own), ..
                }),
                Some(Syn { scale: Some(_), .. }),
            ) => own,
            _ => 0,
        };
        let ranges = segment.options.sack.iter().flatten();
        Tcp {
            flags,
            seq_raw: segment.seq,
            ack_raw: segment.ack,
            seq,
            ack,
            len: segment.length,
            window: u32::from(segment.window) << shift,
            mss: segment.options.mss,
            scale: segment.options.scale,
            sack_permitted: segment.options.sack_permitted,
            timestamps: segment.options.timestamps,
            sack: ranges
                .map(|(start, end)| (peer.relative(*start), peer.relative(*end)))
                .collect(),
        }
    }

    fn push(&mut self, at: Frame, from: Side, kind: Kind, payload: &[u8], keys: &KeyLog) {
        let mut event = Event {
            frame: at.frame,
            time: at.time,
            read: at.read,
            from,
            fate: Fate::Unknown,
            arrived: None,
            kind,
            id: at.id,
            states: self.course.as_ref().map(|course| course.states()),
            notes: Vec::new(),
            steps: Vec::new(),
            text: None,
        };
        self.began.get_or_insert(at.time);
        let len = event.len();
        let begin = match &event.kind {
            Kind::Tcp(tcp) => Some(tcp.seq + i64::from(tcp.flags.has(Flags::SYN))),
            Kind::Bytes { .. } => {
                let told = &mut self.numbers[from.index()].highest;
                *told += i64::from(len);
                Some(*told - i64::from(len))
            }
            Kind::Counted { .. } | Kind::Datagram { .. } | Kind::Icmp(_) | Kind::Inferred(_) => {
                None
            }
        };
        if let Some(begin) = begin {
            event.steps = self.talk.read(from, begin, payload, len, keys);
        }
        if let Kind::Datagram { packets, .. } = &mut event.kind {
            (*packets, event.steps) = self.talk.datagram(from, payload, keys);
        }
        let quic = matches!(
            &event.kind,
            Kind::Datagram {
                packets: Some(_),
                ..
            }
        );
        if event.steps.is_empty() && !quic {
            event.text = text(payload, len);
        }
        event.notes.extend(self.delay(&event));
        self.events.push(event);
    }

    /// That it had come before it was read, if that is worth saying: what stands above it may be later.
    fn delay(&self, event: &Event) -> Option<Note> {
        let after = (event.read? - event.time).max(0) as u64;
        let is_behind = self
            .events
            .last()
            .is_some_and(|last| event.time < last.time);
        (is_behind || after >= WAITED).then_some(Note::ReadLate { after })
    }

    /// Whether what was said last can only be read when a key has come.
    pub(crate) fn waits(&self) -> bool {
        self.talk.waits()
    }

    /// Reads what has waited for a key: the steps that are complete now.
    pub(crate) fn go_on(&mut self, keys: &KeyLog, give_up: bool) -> Vec<Step> {
        if give_up {
            self.talk.give_up();
        }
        self.talk.go_on(keys)
    }

    /// How many packets it has had.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.gone + self.events.len()
    }

    /// Lets packets before the one of this number go, counted from 0. What they come to is kept, and so is the latest.
    pub(crate) fn let_go(&mut self, row: usize) {
        let count = row.saturating_sub(self.gone).min(self.events.len());
        // What is behind them moves, so it is worth it for many.
        if count < TOGETHER || count == self.events.len() {
            return;
        }
        for event in self.events.drain(..count) {
            self.past.add(&event);
        }
        self.past.thin();
        self.gone += count;
        self.events.shrink_to(2 * TOGETHER);
    }

    /// Whether nothing more is expected of it. Only connections end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let states = self.events.last().and_then(|event| event.states);
        let ended = |state| matches!(state, State::Closed | State::TimeWait);
        states.is_some_and(|states| states.iter().all(|at| ended(at.state)))
    }

    /// Whether more is expected of it.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.events.is_empty() && !self.is_over()
    }

    /// Finds out what the packets mean. Everything that is known in the end counts for all of them.
    pub(crate) fn analyse(&mut self) {
        self.vantage = vantage::of(self);
        self.advance();
    }

    /// Finds out what the packets mean that came since it was asked last.
    pub(crate) fn advance(&mut self) {
        if self.transport == Transport::Tcp {
            analysis::run(self);
        }
    }

    /// Puts what was read late where it came. No state followed from it.
    pub(crate) fn put_in_order(&mut self) {
        if self.events.is_sorted_by_key(|event| event.time) {
            return;
        }
        let mut latest = i64::MIN;
        let late: HashSet<u64> = self
            .events
            .iter()
            .filter(|event| {
                let is_late = event.time < latest;
                latest = latest.max(event.time);
                is_late
            })
            .map(|event| event.frame)
            .collect();
        self.events.sort_by_key(|event| event.time);
        for row in 1..self.events.len() {
            if late.contains(&self.events[row].frame) {
                self.events[row].states = self.events[row - 1].states;
            }
        }
    }

    /// Nanoseconds between the first packet and this one.
    #[must_use]
    pub fn since_start(&self, event: &Event) -> i64 {
        event.time - self.began.unwrap_or(event.time)
    }
}

/// Data that is short and nothing but text, without the end of its line.
pub(crate) fn text(payload: &[u8], len: u32) -> Option<Box<str>> {
    if payload.is_empty() || payload.len() > TEXT_MAX || payload.len() != len as usize {
        return None;
    }
    let text = std::str::from_utf8(payload).ok()?;
    let line = text.trim_end_matches(['\r', '\n']);
    let printable = !line.is_empty() && line.chars().all(wire::text::is_printable);
    printable.then(|| line.into())
}
