//! Runs of packets that are alike, drawn as one: a long transfer fits on a few screens.

use wire::packet::Flags;

use super::label::Class;
use crate::event::{Event, Kind, Note, Side, StateAt};
use crate::flow::Flow;
use crate::words::{duration, grouped};

/// As many lines a picture may have before more is folded.
const LINES: usize = 150;

/// As many alike are worth folding in one direction, and in both.
const RUN: usize = 3;
const EXCHANGE: usize = 8;

/// A long exchange is drawn in pieces, so that one sees how it went on: so many of all events are one at most.
const PIECES: usize = 16;

/// A line of the picture, or what was folded into a few.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a>(&'a [Event]);

/// One arrow of a row.
pub(super) enum Arrow<'a> {
    One(&'a Event),
    Many {
        from: Side,
        count: u64,
        bytes: u64,
        /// The first and the last number.
        range: Option<(i64, i64)>,
        packets: &'static str,
    },
}

/// How much is folded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Level {
    /// Nothing.
    None,
    /// What goes on in one direction.
    Runs,
    /// Data and its ACKs.
    Exchanges,
    /// With what is said about windows and duplicates, and steps of upper layers.
    Remarks,
    /// Everything that leaves the states as they are.
    Everything,
}

/// The rows of a flow: as many as stay readable, or all of them.
pub(crate) fn rows(flow: &Flow, all: bool) -> Vec<Row<'_>> {
    let levels = [Level::Runs, Level::Exchanges, Level::Remarks];
    if all {
        return folded(flow, Level::None);
    }
    for level in levels {
        let rows = folded(flow, level);
        let lines: usize = rows.iter().map(Row::height).sum();
        if lines <= LINES {
            return rows;
        }
    }
    folded(flow, Level::Everything)
}

fn folded(flow: &Flow, level: Level) -> Vec<Row<'_>> {
    let events = &flow.events[..];
    let mut rows = Vec::new();
    let mut start = 0;
    while start < events.len() {
        let least = match level {
            Level::None | Level::Runs => RUN,
            _ => EXCHANGE,
        };
        let mut length = run(events, start, level);
        if length < least && level > Level::Runs {
            length = run(events, start, Level::Runs);
        }
        let length = if length < RUN { 1 } else { length };
        rows.push(Row(&events[start..start + length]));
        start += length;
    }
    rows
}

/// How many events from `start` on are one row of a picture that grows, and whether the next event may belong to it.
pub(super) fn next(events: &[Event], start: usize, level: Level) -> (usize, bool) {
    let alike = plain(events, start, level, events.len());
    let mut length = alike;
    if length < EXCHANGE && level > Level::Runs {
        length = plain(events, start, Level::Runs, events.len());
    }
    let length = if length < RUN { 1 } else { length };
    (length, alike > 0 && start + alike == events.len())
}

impl<'a> Row<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        Self(events)
    }
}

/// How many events from `start` on are alike.
fn run(events: &[Event], start: usize, level: Level) -> usize {
    let most = match level {
        Level::None | Level::Runs => events.len(),
        _ => (events.len() / PIECES).max(EXCHANGE * 4),
    };
    plain(events, start, level, most)
}

/// The same, and not more than `most`.
fn plain(events: &[Event], start: usize, level: Level, most: usize) -> usize {
    let states = match start {
        0 => None,
        _ => events[start - 1].states,
    };
    let first = &events[start];
    let rest = events[start..].iter().take(most);
    rest.take_while(|event| belongs(first, event, states, level))
        .count()
}

/// Whether the events behind the first `known` of a row that begins at `start` belong to it, too.
pub(super) fn goes_on(events: &[Event], start: usize, known: usize, level: Level) -> bool {
    let states = match start {
        0 => None,
        _ => events[start - 1].states,
    };
    let first = &events[start];
    let new = &events[start + known..];
    new.iter().all(|event| belongs(first, event, states, level))
}

fn belongs(first: &Event, event: &Event, states: Option<[StateAt; 2]>, level: Level) -> bool {
    let alike =
        level > Level::Runs || (event.from == first.from && event.is_empty() == first.is_empty());
    level != Level::None && alike && is_plain(event, states, level)
}

fn is_plain(event: &Event, before: Option<[StateAt; 2]>, level: Level) -> bool {
    let control = match &event.kind {
        Kind::Tcp(tcp) => [Flags::SYN, Flags::FIN, Flags::RST]
            .iter()
            .any(|flag| tcp.flags.has(*flag)),
        Kind::Icmp(_) | Kind::Inferred(_) => true,
        Kind::Datagram { .. } | Kind::Bytes { .. } | Kind::Counted { .. } => false,
    };
    if control || event.states != before {
        return false;
    }
    if level < Level::Remarks && (!event.steps.is_empty() || event.text.is_some()) {
        return false;
    }
    let plain = |note: &Note| match note {
        Note::Rtt { .. } => true,
        Note::DuplicateAck { .. }
        | Note::DuplicateSack
        | Note::WindowFull
        | Note::WindowUpdate
        | Note::KeepAlive
        | Note::KeepAliveAck
        | Note::ZeroWindowProbe
        | Note::ZeroWindowProbeAck => level >= Level::Remarks,
        Note::Connected { .. } => false,
        _ => level >= Level::Everything,
    };
    let lost = super::is_lost(event) && level < Level::Everything;
    !lost && event.notes.iter().all(plain)
}

impl<'a> Row<'a> {
    pub(crate) fn events(&self) -> &'a [Event] {
        self.0
    }

    pub(crate) fn first(&self) -> &'a Event {
        &self.0[0]
    }

    pub(crate) fn last(&self) -> &'a Event {
        &self.0[self.0.len() - 1]
    }

    /// How many lines it takes, about.
    fn height(&self) -> usize {
        match self.0 {
            [event] => 1 + event.steps.len() + event.notes.iter().filter_map(Note::line).count(),
            _ => 3,
        }
    }

    pub(super) fn arrows(&self) -> Vec<Arrow<'a>> {
        if let [event] = self.0 {
            return vec![Arrow::One(event)];
        }
        let first = self.first().from;
        let sides = [first, first.other()];
        sides
            .into_iter()
            .filter_map(|side| self.many(side))
            .collect()
    }

    fn many(&self, from: Side) -> Option<Arrow<'a>> {
        let events = || self.0.iter().filter(|event| event.from == from);
        let count = events().count() as u64;
        if count == 0 {
            return None;
        }
        let bytes: u64 = events().map(|event| u64::from(event.len())).sum();
        let segments = || events().filter_map(Event::tcp);
        let range = match bytes > 0 {
            true => {
                let start = segments()
                    .filter(|tcp| tcp.len > 0)
                    .map(|tcp| tcp.seq)
                    .min();
                start.zip(segments().map(|tcp| tcp.end() - 1).max())
            }
            false => {
                let start = segments().map(|tcp| tcp.ack).min();
                start.zip(segments().map(|tcp| tcp.ack).max())
            }
        };
        let packets = match (&self.first().kind, bytes > 0) {
            (Kind::Tcp(_), true) => "segments",
            (Kind::Tcp(_), false) => "ACKs",
            (Kind::Bytes { .. }, _) => "pieces",
            (Kind::Counted { .. }, _) => "looks",
            _ => "datagrams",
        };
        Some(Arrow::Many {
            from,
            count,
            bytes,
            range,
            packets,
        })
    }

    /// What stands under the arrows.
    pub(super) fn lines(&self) -> Vec<(Class, String)> {
        if let [event] = self.0 {
            let notes = event.notes.iter().filter_map(Note::line);
            let notes = notes.map(|text| (Class::Note, text));
            let steps = event.steps.iter();
            let steps = steps.map(|step| (Class::Step, format!("{} {}", step.layer, step.text)));
            return notes.chain(steps).collect();
        }
        let mut counts: Vec<(&str, u64)> = Vec::new();
        let steps = self.0.iter().map(|event| event.steps.len() as u64).sum();
        if steps > 0 {
            counts.push(("step of upper layers", steps));
        }
        for note in self.0.iter().flat_map(|event| &event.notes) {
            let Some(name) = counted(note) else { continue };
            match counts.iter_mut().find(|(other, _)| *other == name) {
                Some((_, count)) => *count += 1,
                None => counts.push((name, 1)),
            }
        }
        let took = (self.last().time - self.first().time).max(0) as u64;
        let mut parts = Vec::new();
        if self.0.iter().any(|event| event.from != self.first().from) {
            parts.push(format!("in {}", duration(took)));
        }
        parts.extend(counts.iter().map(|(name, count)| match count {
            1 => format!("1 {name}"),
            _ => format!("{} {}", grouped(*count), plural(name)),
        }));
        match parts.is_empty() {
            true => Vec::new(),
            false => vec![(Class::Note, parts.join(", "))],
        }
    }
}

fn plural(name: &str) -> String {
    match name.split_once(' ') {
        Some((first, rest)) if rest.starts_with("of ") => format!("{first}s {rest}"),
        _ => format!("{name}s"),
    }
}

fn counted(note: &Note) -> Option<&'static str> {
    Some(match note {
        Note::Retransmission { .. } => "retransmission",
        Note::Duplicate { .. } => "duplicate of the network",
        Note::OutOfOrder => "late segment",
        Note::Gap { .. } => "gap",
        Note::DuplicateAck { .. } => "duplicate ACK",
        Note::DuplicateSack => "D-SACK",
        Note::ZeroWindow => "zero window",
        Note::WindowFull => "full window",
        Note::WindowUpdate => "window update",
        Note::ZeroWindowProbe => "zero-window probe",
        Note::KeepAlive => "keep-alive",
        Note::AckUnseen => "ACK of what was not captured",
        _ => return None,
    })
}
