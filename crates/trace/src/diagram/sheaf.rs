//! Packets that are drawn as one: what they come to is enough, and none of them need be kept.

use super::fold::Arrow;
use super::label::Class;
use crate::event::{Event, Kind, Note, Side};
use crate::words::{duration, grouped};

/// What packets that are alike come to.
#[derive(Clone, Debug)]
pub(crate) struct Sheaf {
    pub(super) first: Event,
    /// When the latest came.
    last: i64,
    ways: [Way; 2],
    steps: u64,
    /// What is remarked, and how often.
    counts: Vec<(&'static str, u64)>,
}

/// Those of one end.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    count: u64,
    bytes: u64,
    /// The lowest number of data, and the highest of anything.
    data: Option<i64>,
    end: Option<i64>,
    /// The lowest and the highest acknowledgment number.
    acks: Option<(i64, i64)>,
}

impl Way {
    fn add(&mut self, event: &Event) {
        self.count += 1;
        self.bytes += u64::from(event.len());
        let Some(tcp) = event.tcp() else { return };
        if tcp.len > 0 {
            self.data = Some(self.data.map_or(tcp.seq, |data| data.min(tcp.seq)));
        }
        self.end = self.end.max(Some(tcp.end() - 1));
        let (lowest, highest) = self.acks.unwrap_or((tcp.ack, tcp.ack));
        self.acks = Some((lowest.min(tcp.ack), highest.max(tcp.ack)));
    }
}

impl Sheaf {
    /// Nothing so far, but for how it looks.
    pub(super) fn begin(first: &Event) -> Self {
        Self {
            first: first.clone(),
            last: first.time,
            ways: Default::default(),
            steps: 0,
            counts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, event: &Event) {
        self.last = event.time;
        self.ways[event.from.index()].add(event);
        self.steps += event.steps.len() as u64;
        for name in event.notes.iter().filter_map(counted) {
            match self.counts.iter_mut().find(|(other, _)| *other == name) {
                Some((_, count)) => *count += 1,
                None => self.counts.push((name, 1)),
            }
        }
    }

    pub(super) fn arrows<'a>(&self) -> Vec<Arrow<'a>> {
        let first = self.first.from;
        let sides = [first, first.other()];
        let some = |side: &Side| self.ways[side.index()].count > 0;
        let sides = sides.into_iter().filter(some);
        sides.map(|side| self.arrow(side)).collect()
    }

    fn arrow<'a>(&self, from: Side) -> Arrow<'a> {
        let way = self.ways[from.index()];
        Arrow::Many {
            from,
            count: way.count,
            bytes: way.bytes,
            range: match way.bytes > 0 {
                true => way.data.zip(way.end),
                false => way.acks,
            },
            packets: match (&self.first.kind, way.bytes > 0) {
                (Kind::Tcp(_), true) => "segments",
                (Kind::Tcp(_), false) => "ACKs",
                (Kind::Bytes { .. }, _) => "pieces",
                (Kind::Counted { .. }, _) => "looks",
                _ => "datagrams",
            },
        }
    }

    /// What stands under the arrows.
    pub(super) fn line(&self) -> Option<(Class, String)> {
        let mut parts = Vec::new();
        if self.ways.iter().all(|way| way.count > 0) {
            let took = (self.last - self.first.time).max(0) as u64;
            parts.push(format!("in {}", duration(took)));
        }
        let steps = ("step of upper layers", self.steps);
        let steps = (self.steps > 0).then_some(&steps);
        parts.extend(
            steps
                .into_iter()
                .chain(&self.counts)
                .map(|(name, count)| match count {
                    1 => format!("1 {name}"),
                    _ => format!("{} {}", grouped(*count), plural(name)),
                }),
        );
        (!parts.is_empty()).then(|| (Class::Note, parts.join(", ")))
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
        Note::ReadLate { .. } => "late read",
        _ => return None,
    })
}
