//! What a flow comes to: the lines under its diagram.

use wire::packet::Flags;

use crate::event::{Event, Kind, Note, Side, State, Sure};
use crate::flow::{Flow, Transport};
use crate::words::{duration, grouped};

/// As many round trips are kept of packets that are not.
const SAMPLES: usize = 1 << 14;

/// What packets come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// Of the handshake.
    round_trip: Option<u64>,
    trips: Trips,
    /// Bytes of data that each end sent, each counted once.
    bytes: [u64; 2],
    packets: u64,
    /// Those of TCP.
    segments: u64,
    /// Segments of each end that were sent before.
    again: [u64; 2],
    /// Who was the first to send one.
    fin: Option<Side>,
    rst: Option<Side>,
    at_once: bool,
    refused: bool,
    /// A state that only follows if something arrived.
    pub(crate) expected: bool,
    /// One that the kernel of that end has told.
    pub(crate) kernel: bool,
    /// An end was connected, or more.
    stood: bool,
    /// A packet that nobody saw.
    pub(crate) inferred: bool,
    /// The kernel has said when one came.
    pub(crate) stamped: bool,
}

impl Sum {
    /// All packets of `flow`.
    pub(crate) fn of(flow: &Flow) -> Self {
        let mut sum = flow.past.clone();
        flow.events.iter().for_each(|event| sum.add(event));
        sum
    }

    pub(crate) fn add(&mut self, event: &Event) {
        let from = event.from.index();
        let mut new = true;
        for note in &event.notes {
            match note {
                Note::Connected { rtt } => {
                    self.round_trip.get_or_insert(*rtt);
                }
                Note::Rtt { time, .. } => self.trips.add(*time),
                Note::Retransmission { of: Some(_), .. }
                | Note::Duplicate { .. }
                | Note::KeepAlive => new = false,
                Note::SimultaneousClose => self.at_once = true,
                Note::Refused => self.refused = true,
                _ => {}
            }
        }
        if new {
            self.bytes[from] += u64::from(event.len());
        }
        let inferred = event.is_inferred();
        self.inferred |= inferred;
        self.stamped |= event.read.is_some();
        self.packets += u64::from(!inferred && !matches!(event.kind, Kind::Icmp(_)));
        if let Kind::Inferred("FIN") = event.kind {
            self.fin.get_or_insert(event.from);
        }
        self.again[from] += u64::from(repeats(event));
        if let Some(tcp) = event.tcp() {
            self.segments += 1;
            if tcp.flags.has(Flags::FIN) {
                self.fin.get_or_insert(event.from);
            }
            if tcp.flags.has(Flags::RST) {
                self.rst.get_or_insert(event.from);
            }
        }
        for at in event.states.iter().flatten() {
            self.expected |= at.sure == Sure::Expected;
            self.kernel |= at.sure == Sure::Kernel;
            self.stood |= !is_before(at.state);
        }
    }

    /// Keeps no more than the limit, however many packets there were.
    pub(crate) fn thin(&mut self) {
        if self.trips.kept.len() > SAMPLES {
            self.trips.thin();
        }
    }
}

/// Round trips of data.
#[derive(Clone, Debug)]
struct Trips {
    count: u64,
    least: u64,
    most: u64,
    kept: Vec<u64>,
    /// One of so many is kept.
    step: u64,
}

impl Default for Trips {
    fn default() -> Self {
        Self {
            count: 0,
            least: u64::MAX,
            most: 0,
            kept: Vec::new(),
            step: 1,
        }
    }
}

impl Trips {
    fn add(&mut self, time: u64) {
        if self.count.is_multiple_of(self.step) {
            self.kept.push(time);
        }
        self.count += 1;
        self.least = self.least.min(time);
        self.most = self.most.max(time);
    }

    fn thin(&mut self) {
        let mut kept = 0;
        self.kept.retain(|_| {
            kept += 1;
            kept % 2 == 1
        });
        self.step *= 2;
    }

    fn line(mut self) -> Option<String> {
        self.kept.sort_unstable();
        let median = self.kept.get(self.kept.len() / 2)?;
        Some(format!(
            "data→ack {} samples: min {} median {} max {}",
            grouped(self.count),
            duration(self.least),
            duration(*median),
            duration(self.most)
        ))
    }
}

/// The lines under the diagram of `flow`, which comes to `sum`.
pub(crate) fn lines(flow: &Flow, sum: Sum, names: [&str; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    let round_trip = sum.round_trip;
    lines.extend(round_trip.map(|rtt| format!("handshake round trip {}", duration(rtt))));
    let ends = close(flow, &sum, names);
    lines.extend(sum.trips.line());
    let [to, back] = sum.bytes.map(grouped);
    let unit = match flow.transport {
        Transport::Tcp => "segment",
        Transport::Udp => "datagram",
        Transport::Stream => "piece",
    };
    // A SYN that the kernel has kept is no piece of what was said.
    let count = match flow.transport {
        Transport::Stream => sum.packets - sum.segments,
        Transport::Tcp | Transport::Udp => sum.packets,
    };
    let plural = if count == 1 { "" } else { "s" };
    let counted = match flow.transport == Transport::Stream && flow.has_states() {
        true if !sum.stood => "no connection came about".to_owned(),
        true if count == 0 => "as the kernel had counted at the last look".to_owned(),
        _ => format!("{} {unit}{plural}", grouped(count)),
    };
    lines.push(format!("{to} bytes →, {back} bytes ←, {counted}"));
    if sum.again != [0, 0] {
        let [a, b] = sum.again.map(grouped);
        let [first, second] = names.map(|name| match name {
            "A" | "B" => name.to_owned(),
            name => format!("the {name}"),
        });
        lines.push(format!("retransmitted: {a} by {first}, {b} by {second}"));
    }
    lines.extend(ends);
    lines
}

/// Whether an end in this state has not been connected yet, or is so no more.
fn is_before(state: State) -> bool {
    matches!(
        state,
        State::Closed | State::Listen | State::SynSent | State::SynReceived
    )
}

/// Whether it was sent before, or so it seems.
pub(crate) fn repeats(event: &Event) -> bool {
    let mut notes = event.notes.iter();
    notes.any(|note| matches!(note, Note::Retransmission { .. }))
}

fn close(flow: &Flow, sum: &Sum, names: [&str; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    match sum.fin {
        Some(_) if sum.at_once => lines.push("both ends closed at once".to_owned()),
        Some(side) => lines.push(format!("{} closed first", names[side.index()])),
        None => {}
    }
    if let (Some(side), false) = (sum.rst, sum.refused) {
        lines.push(format!("{} broke it off (RST)", names[side.index()]));
    }
    if let Some(states) = flow.events.last().and_then(|event| event.states) {
        for side in Side::BOTH {
            if states[side.index()].state == State::TimeWait {
                lines.push(format!(
                    "{} keeps TIME-WAIT (60 s on Linux)",
                    names[side.index()]
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_round_trips_some_are_kept_and_tell_the_same() {
        let mut sum = Sum::default();
        let count = 10 * SAMPLES as u64;
        for time in 0..count {
            sum.trips.add(time * 1000);
            sum.thin();
        }
        let trips = sum.trips;
        assert!(trips.kept.len() <= SAMPLES + 1, "{}", trips.kept.len());
        assert!(trips.kept.len() > SAMPLES / 3, "{}", trips.kept.len());
        assert_eq!(
            (trips.count, trips.least, trips.most),
            (count, 0, (count - 1) * 1000)
        );
        let line = trips.line().unwrap();
        assert!(line.contains("median 81.9 ms"), "{line}");
    }
}
