//! Runs of packets that are alike, drawn as one: a long transfer fits on a few screens.

use wire::packet::Flags;

use super::label::Class;
use super::sheaf::Sheaf;
use crate::event::{Event, Kind, Note, Side, StateAt};
use crate::flow::Flow;

/// As many lines a picture may have before more is folded.
const LINES: usize = 150;

/// As many alike are worth folding in one direction, and in both.
const RUN: usize = 3;
const EXCHANGE: usize = 8;

/// A long exchange is drawn in pieces, so that one sees how it went on: so many of all events are one at most.
const PIECES: usize = 16;

/// A line of the picture, or what was folded into a few.
#[derive(Clone)]
pub(crate) struct Row<'a> {
    /// Those of its packets that are kept.
    events: &'a [Event],
    /// What came before them.
    before: Option<Box<Sheaf>>,
}

/// One arrow of a row.
#[derive(Debug, PartialEq)]
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
        rows.push(Row::of(&events[start..start + length], None));
        start += length;
    }
    rows
}

/// How many events from `start` on are one row of a picture that grows, and whether the next event may belong to it.
/// `begun` says that others before them belong to it.
pub(super) fn next(events: &[Event], start: usize, level: Level, begun: bool) -> (usize, bool) {
    let alike = plain(events, start, level, events.len());
    if begun {
        return (alike.max(1), start + alike == events.len());
    }
    let mut length = alike;
    if length < EXCHANGE && level > Level::Runs {
        length = plain(events, start, Level::Runs, events.len());
    }
    let length = if length < RUN { 1 } else { length };
    (length, alike > 0 && start + alike == events.len())
}

impl<'a> Row<'a> {
    pub(super) fn of(events: &'a [Event], before: Option<Box<Sheaf>>) -> Self {
        Self { events, before }
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
        Note::Rtt { .. } | Note::ReadLate { .. } => true,
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
        self.events
    }

    pub(crate) fn first(&self) -> &Event {
        match &self.before {
            Some(before) => &before.first,
            None => &self.events[0],
        }
    }

    pub(crate) fn last(&self) -> &'a Event {
        &self.events[self.events.len() - 1]
    }

    /// The packet, if it is one.
    fn single(&self) -> Option<&'a Event> {
        match (self.events, &self.before) {
            ([event], None) => Some(event),
            _ => None,
        }
    }

    /// How many lines it takes, about.
    pub(super) fn height(&self) -> usize {
        match self.single() {
            Some(event) => {
                1 + event.steps.len() + event.notes.iter().filter_map(Note::line).count()
            }
            None => 3,
        }
    }

    fn sheaf(&self) -> Sheaf {
        let mut sheaf = match &self.before {
            Some(before) => Sheaf::clone(before),
            None => Sheaf::begin(&self.events[0]),
        };
        self.events.iter().for_each(|event| sheaf.add(event));
        sheaf
    }

    pub(super) fn arrows(&self) -> Vec<Arrow<'a>> {
        match self.single() {
            Some(event) => vec![Arrow::One(event)],
            None => self.sheaf().arrows(),
        }
    }

    /// What stands under the arrows.
    pub(super) fn lines(&self) -> Vec<(Class, String)> {
        match self.single() {
            Some(event) => {
                let notes = event.notes.iter().filter_map(Note::line);
                let notes = notes.map(|text| (Class::Note, text));
                let steps = event.steps.iter();
                let steps =
                    steps.map(|step| (Class::Step, format!("{} {}", step.layer, step.text)));
                notes.chain(steps).collect()
            }
            None => self.sheaf().line().into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Capture;

    #[test]
    fn what_was_counted_and_not_kept_is_drawn_alike() {
        for name in ["reorder.pcap", "tail-loss.pcap", "zero-window.pcap"] {
            let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
            let capture = Capture::read(std::fs::File::open(path).unwrap());
            let events = &capture.flows[0].events[3..];
            let whole = Row::of(events, None);
            assert!(whole.lines().len() == 1 && whole.arrows().len() == 2);
            for split in 1..events.len() {
                let (before, behind) = events.split_at(split);
                let mut sheaf = Sheaf::begin(&before[0]);
                before.iter().for_each(|event| sheaf.add(event));
                let row = Row::of(behind, Some(Box::new(sheaf)));
                assert_eq!(row.arrows(), whole.arrows(), "{name}, {split}");
                assert_eq!(row.lines(), whole.lines(), "{name}, {split}");
                assert_eq!(row.first(), whole.first());
                assert_eq!(row.last(), whole.last());
            }
        }
    }
}
