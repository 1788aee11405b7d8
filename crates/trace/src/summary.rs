//! What a flow comes to: the lines under its diagram.

use wire::packet::Flags;

use crate::event::{Event, Kind, Note, Side, State};
use crate::flow::{Flow, Transport};
use crate::words::{duration, grouped};

/// The lines under the diagram of `flow`.
pub(crate) fn lines(flow: &Flow, names: [&str; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    let notes = || flow.events.iter().flat_map(|event| &event.notes);
    let round_trip = notes().find_map(|note| match note {
        Note::Connected { rtt } => Some(*rtt),
        _ => None,
    });
    lines.extend(round_trip.map(|rtt| format!("handshake round trip {}", duration(rtt))));
    let mut samples: Vec<u64> = notes()
        .filter_map(|note| match note {
            Note::Rtt { time, .. } => Some(*time),
            _ => None,
        })
        .collect();
    samples.sort_unstable();
    if let (Some(least), Some(most)) = (samples.first(), samples.last()) {
        lines.push(format!(
            "data→ack {} samples: min {} median {} max {}",
            grouped(samples.len() as u64),
            duration(*least),
            duration(samples[samples.len() / 2]),
            duration(*most)
        ));
    }
    let [to, back] = Side::BOTH.map(|side| grouped(bytes(flow, side)));
    let unit = match flow.transport {
        Transport::Tcp => "segment",
        Transport::Udp => "datagram",
        Transport::Stream => "piece",
    };
    let packets = flow.events.iter();
    let packets = packets.filter(|event| match &event.kind {
        Kind::Tcp(_) => flow.transport == Transport::Tcp,
        Kind::Icmp(_) | Kind::Inferred(_) | Kind::Counted { .. } => false,
        Kind::Bytes { .. } | Kind::Datagram { .. } => true,
    });
    let count = packets.count();
    let plural = if count == 1 { "" } else { "s" };
    let counted = match flow.transport == Transport::Stream && flow.has_states() && count == 0 {
        true => "as the kernel has counted".to_owned(),
        false => format!("{} {unit}{plural}", grouped(count as u64)),
    };
    lines.push(format!("{to} bytes →, {back} bytes ←, {counted}"));
    let again = Side::BOTH.map(|side| {
        flow.events
            .iter()
            .filter(|e| e.from == side && repeats(e))
            .count()
    });
    if again != [0, 0] {
        let [a, b] = again.map(|count| grouped(count as u64));
        let [first, second] = names.map(|name| match name {
            "A" | "B" => name.to_owned(),
            name => format!("the {name}"),
        });
        lines.push(format!("retransmitted: {a} by {first}, {b} by {second}"));
    }
    lines.extend(close(flow, names));
    lines
}

/// Whether it was sent before, or so it seems.
pub(crate) fn repeats(event: &Event) -> bool {
    let mut notes = event.notes.iter();
    notes.any(|note| matches!(note, Note::Retransmission { .. }))
}

/// Bytes of data that one end sent, each counted once.
fn bytes(flow: &Flow, side: Side) -> u64 {
    let events = flow.events.iter().filter(|event| event.from == side);
    let counted = events.filter(|event| {
        !event.notes.iter().any(|note| {
            matches!(
                note,
                Note::Retransmission { of: Some(_), .. } | Note::Duplicate { .. } | Note::KeepAlive
            )
        })
    });
    counted.map(|event| u64::from(event.len())).sum()
}

fn close(flow: &Flow, names: [&str; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    let has = |flag| move |event: &&Event| event.tcp().is_some_and(|tcp| tcp.flags.has(flag));
    let finishes = |event: &&Event| match &event.kind {
        Kind::Inferred(what) => *what == "FIN",
        _ => has(Flags::FIN)(event),
    };
    let at_once = flow
        .events
        .iter()
        .any(|event| event.notes.contains(&Note::SimultaneousClose));
    match flow.events.iter().find(finishes) {
        Some(_) if at_once => lines.push("both ends closed at once".to_owned()),
        Some(event) => lines.push(format!("{} closed first", names[event.from.index()])),
        None => {}
    }
    let refused = flow
        .events
        .iter()
        .any(|event| event.notes.contains(&Note::Refused));
    if let (Some(event), false) = (flow.events.iter().find(has(Flags::RST)), refused) {
        lines.push(format!("{} broke it off (RST)", names[event.from.index()]));
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
