//! A connection that was seen at both ends, and on the way between them: when each packet left, and whether and when
//! it arrived. Nothing has to be guessed.
//!
//! Each end is analysed as a capture made there would be; what the two say about their own segments and states is
//! put together, in the order in which everything was sent.

use std::collections::HashMap;
use std::net::IpAddr;

use wire::packet::ETHERNET;
use wire::pcapng::{Writer, Written};

use crate::event::{Event, Fate, Note, Side, Sight, State, StateAt, Sure, Vantage};
use crate::file::{Capture, Sorter};
use crate::flow::{Flow, Transport};
use crate::{analysis, lab};

/// A packet, with what became of it. Times are nanoseconds since the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Witnessed {
    pub(crate) from: Side,
    pub(crate) sent: i64,
    pub(crate) arrived: Option<i64>,
    /// It was changed on the way, so whoever received it threw it away.
    pub(crate) damaged: bool,
    /// The wire has made it out of the one before it.
    pub(crate) copy: bool,
    /// From Ethernet on, as it was sent.
    pub(crate) frame: Vec<u8>,
}

impl Witnessed {
    /// When it was seen at one end, if it was.
    fn at(&self, side: Side) -> Option<i64> {
        match self.from == side {
            true => (!self.copy).then_some(self.sent),
            false => self.arrived.filter(|_| !self.damaged),
        }
    }
}

/// What one end has seen, in its order: the time, and which packet.
fn view(packets: &[Witnessed], side: Side) -> Vec<(i64, usize)> {
    let all = packets.iter().enumerate();
    let mut seen: Vec<_> = all
        .filter_map(|(index, packet)| Some((packet.at(side)?, index)))
        .collect();
    seen.sort_unstable();
    seen
}

/// A capture file as one end would have written it, and with what it could not know: pcapng, with lines of a key log
/// if there are any.
pub(crate) fn file(packets: &[Witnessed], started: u64, side: Side, keys: &[u8]) -> Vec<u8> {
    const LONGEST: u32 = 65535;
    let mut file = Vec::new();
    let comment = ["seen at the client of a lab", "seen at the server of a lab"];
    let about = ("sockeye", comment[side.index()], lab::INTERFACE);
    let mut writer = Writer::begin(&mut file, about, LONGEST);
    if !keys.is_empty() {
        writer.secrets(&mut file, keys);
    }
    for (time, index) in view(packets, side) {
        let packet = &packets[index];
        let comment = match (packet.arrived, packet.damaged) {
            _ if packet.from != side => "",
            (None, _) => "lost on the way",
            (Some(_), true) => "damaged on the way",
            (Some(_), false) => "",
        };
        let written = Written {
            link: ETHERNET,
            time: started.saturating_add_signed(time),
            original: packet.frame.len() as u32,
            data: &packet.frame,
            outbound: Some(packet.from == side),
            comment,
        };
        writer.packet(&mut file, &written);
    }
    file
}

/// What all of it means.
pub(crate) fn capture(packets: &[Witnessed], started: u64, keys: &[u8]) -> Capture {
    let order = packets
        .iter()
        .enumerate()
        .map(|(index, packet)| (packet.sent, index));
    let mut whole = sorted(packets, order, started, keys);
    let ends = Side::BOTH.map(|side| {
        let mut seen = sorted(packets, view(packets, side).into_iter(), started, &[]);
        let own = IpAddr::from(lab::ADDRESSES[side.index()]);
        for flow in &mut seen.flows {
            let near = Side::BOTH
                .into_iter()
                .find(|side| flow.ends[side.index()].ip() == own);
            flow.vantage = Vantage::At(near.unwrap_or(Side::A));
            if flow.transport == Transport::Tcp {
                analysis::run(flow);
            }
        }
        End::new(seen, own)
    });
    for flow in &mut whole.flows {
        flow.vantage = Vantage::Both;
        flow.sight = Sight::Lab;
        for event in &mut flow.events {
            let packet = &packets[event.frame as usize - 1];
            event.arrived = packet.arrived;
            event.fate = match packet.arrived.filter(|_| !packet.damaged) {
                Some(_) => Fate::Arrived,
                None => Fate::Lost,
            };
        }
        if flow.transport == Transport::Tcp {
            put_together(flow, packets, &ends);
        }
    }
    whole
}

fn sorted(
    packets: &[Witnessed],
    order: impl Iterator<Item = (i64, usize)>,
    started: u64,
    keys: &[u8],
) -> Capture {
    let mut sorter = Sorter::with_keys(keys);
    sorter.begin(started);
    for (time, index) in order {
        sorter.see(index as u64 + 1, time, ETHERNET, &packets[index].frame);
    }
    sorter.finish(None)
}

/// What one end makes of what it has seen.
struct End {
    seen: Capture,
    own: IpAddr,
    /// Where a packet is: its flow and its row.
    rows: HashMap<u64, (usize, usize)>,
}

impl End {
    fn new(seen: Capture, own: IpAddr) -> Self {
        let mut rows = HashMap::new();
        for (number, flow) in seen.flows.iter().enumerate() {
            let events = flow.events.iter().enumerate();
            rows.extend(events.map(|(row, event)| (event.frame, (number, row))));
        }
        Self { seen, own, rows }
    }

    fn flow(&self, frame: u64) -> Option<&Flow> {
        self.rows
            .get(&frame)
            .map(|(flow, _)| &self.seen.flows[*flow])
    }

    fn event(&self, frame: u64) -> Option<&Event> {
        let (flow, row) = self.rows.get(&frame)?;
        Some(&self.seen.flows[*flow].events[*row])
    }

    /// Which side this end is in a flow, as itself has seen that one.
    fn side(&self, flow: &Flow) -> Side {
        match flow.ends[0].ip() == self.own {
            true => Side::A,
            false => Side::B,
        }
    }
}

/// The end of the lab that is this side of a flow.
fn end_of<'a>(flow: &Flow, side: Side, ends: &'a [End; 2]) -> &'a End {
    let ip = flow.ends[side.index()].ip();
    match ends[1].own == ip {
        true => &ends[1],
        false => &ends[0],
    }
}

fn put_together(flow: &mut Flow, packets: &[Witnessed], ends: &[End; 2]) {
    for row in 0..flow.events.len() {
        let (frame, from) = (flow.events[row].frame, flow.events[row].from);
        let sent = end_of(flow, from, ends).event(frame);
        let received = end_of(flow, from.other(), ends).event(frame);
        let mut notes: Vec<Note> = sent.map(|event| event.notes.clone()).unwrap_or_default();
        let heard = received
            .map(|event| event.notes.iter())
            .into_iter()
            .flatten();
        notes.extend(heard.filter(|note| is_for_receiver(note)));
        if packets[frame as usize - 1].damaged {
            notes.push(Note::Damaged);
        }
        flow.events[row].notes = notes;
    }
    say_once(flow);
    let [a, b] = Side::BOTH.map(|side| states(flow, side, end_of(flow, side, ends)));
    flow.first = [a.first, b.first];
    flow.lives = Some([a.life, b.life]);
    let seen = |state| StateAt {
        state,
        sure: Sure::Seen,
    };
    let rows = flow.events.iter_mut().zip(a.rows.into_iter().zip(b.rows));
    for (event, (a, b)) in rows {
        event.states = Some([seen(a), seen(b)]);
    }
}

/// What the receiver of a packet knows better than its sender.
fn is_for_receiver(note: &Note) -> bool {
    matches!(
        note,
        Note::OutOfOrder
            | Note::Gap { .. }
            | Note::Duplicate { .. }
            | Note::Rtt { .. }
            | Note::SimultaneousOpen
            | Note::SimultaneousClose
            | Note::Refused
    )
}

/// Both ends notice that they did something at once: it is told where the second one did it. That they are
/// connected is told where the first one was.
fn say_once(flow: &mut Flow) {
    for note in [
        Note::SimultaneousOpen,
        Note::SimultaneousClose,
        Note::Refused,
    ] {
        keep_first(flow.events.iter_mut().rev(), |other| *other == note);
    }
    keep_first(flow.events.iter_mut(), |note| {
        matches!(note, Note::Connected { .. })
    });
}

fn keep_first<'a>(events: impl Iterator<Item = &'a mut Event>, is: impl Fn(&Note) -> bool) {
    let mut told = false;
    for event in events {
        event
            .notes
            .retain(|note| !is(note) || !std::mem::replace(&mut told, true));
    }
}

/// The states of one end.
struct States {
    first: State,
    /// After each row of the flow.
    rows: Vec<State>,
    /// When it became what.
    life: Vec<(i64, State)>,
}

/// The states of one end.
///
/// What an end becomes when a packet arrives stands in the packet's row, if the end says nothing between the moment
/// when that was sent and the one when it arrived; otherwise in the first row that is later.
fn states(flow: &Flow, side: Side, end: &End) -> States {
    let rows = &flow.events;
    let mut own = rows.iter().filter_map(|event| end.flow(event.frame));
    let Some(view) = own.next() else {
        let state = flow.first[side.index()];
        return States {
            first: state,
            rows: vec![state; rows.len()],
            life: Vec::new(),
        };
    };
    let at = end.side(view).index();
    let mut last = view.first[at];
    let first = last;
    let mut changes: Vec<(usize, State)> = Vec::new();
    let mut life = Vec::new();
    for event in &view.events {
        let Some(states) = event.states else { continue };
        let state = states[at].state;
        if state == last {
            continue;
        }
        last = state;
        life.push((event.time, state));
        let row = rows.partition_point(|other| other.frame < event.frame);
        let later = rows.partition_point(|other| other.time < event.time);
        let speaks = rows.get(row + 1..later).unwrap_or_default();
        let place = match speaks.iter().any(|other| other.from == side) {
            true => later.min(rows.len() - 1),
            false => row,
        };
        // One after the other, as they were.
        let place = place.max(changes.last().map_or(0, |(place, _)| *place));
        changes.push((place, state));
    }
    let mut changes = changes.into_iter().peekable();
    let mut state = first;
    let after = (0..rows.len()).map(|row| {
        while let Some((_, next)) = changes.next_if(|(place, _)| *place <= row) {
            state = next;
        }
        state
    });
    States {
        first,
        rows: after.collect(),
        life,
    }
}
