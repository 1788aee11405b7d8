//! What stands on an arrow, and which parts of it go first when there is little room.

use wire::packet::Flags;

use super::fold::Arrow;
use super::{is_lost, pen};
use crate::event::{Event, Kind, Note, Side, Tcp};
use crate::summary::repeats;
use crate::words::{grouped, groups};

/// What an arrow is about, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Syn,
    Fin,
    Rst,
    Data,
    Ack,
    Again,
    /// A step of an upper layer.
    Step,
    Note,
    Explained,
}

/// An arrow's text in parts, with the order in which they give way: the highest first, 0 never.
pub(super) struct Label {
    pub(super) from: Side,
    pub(super) class: Class,
    pub(super) heavy: bool,
    /// Nobody saw it.
    pub(super) hollow: bool,
    pub(super) lost: bool,
    parts: Vec<(u8, String)>,
}

impl Label {
    pub(super) fn of(arrow: &Arrow<'_>, absolute: bool) -> Self {
        match arrow {
            Arrow::One(event) => Self::one(event, absolute),
            Arrow::Many {
                from,
                count,
                bytes,
                range,
                packets,
            } => {
                let many = grouped(*count);
                let mut parts = vec![(0, format!("{many} {packets}"))];
                if let Some((start, end)) = range {
                    let name = if *bytes > 0 { "seq" } else { "ack" };
                    parts.push((2, format!("{name} {start}–{end}")));
                }
                if *bytes > 0 {
                    parts.push((1, format!("{} B", groups(&bytes.to_string()))));
                }
                Self {
                    from: *from,
                    class: if *bytes > 0 { Class::Data } else { Class::Ack },
                    heavy: *bytes > 0,
                    hollow: *packets == "looks",
                    lost: false,
                    parts,
                }
            }
        }
    }

    fn one(event: &Event, absolute: bool) -> Self {
        let (class, parts) = match &event.kind {
            Kind::Tcp(tcp) => (class(event, tcp), segment(event, tcp, absolute)),
            Kind::Datagram {
                len,
                packets: Some(packets),
            } => {
                let mut parts = vec![(0, packets.to_string())];
                parts.push((1, format!("{} B", grouped((*len).into()))));
                (Class::Data, parts)
            }
            Kind::Datagram { len, .. } | Kind::Bytes { len } => {
                let mut parts = vec![(0, format!("{} B", grouped((*len).into())))];
                parts.extend(text(event));
                (Class::Data, parts)
            }
            Kind::Inferred(what) => (class_of(what), vec![(0, format!("({what})"))]),
            Kind::Counted { len } => {
                let bytes = grouped((*len).into());
                (Class::Data, vec![(0, format!("({bytes} B)"))])
            }
            Kind::Icmp(why) => (Class::Rst, vec![(0, format!("ICMP {}", why.text()))]),
        };
        Self {
            from: event.from,
            class,
            heavy: !event.is_empty(),
            hollow: event.is_inferred(),
            lost: is_lost(event),
            parts,
        }
    }

    /// In the letters that a pen may use.
    pub(super) fn plain(mut self, pen: &pen::Pen) -> Self {
        for (_, part) in &mut self.parts {
            *part = pen.plain(part);
        }
        self
    }

    /// As much of it as fits into `room` columns.
    pub(super) fn fitted(&self, room: usize) -> String {
        let mut limit = 9;
        loop {
            let parts = self.parts.iter().filter(|(order, _)| *order <= limit);
            let text = parts
                .map(|(_, part)| part.as_str())
                .collect::<Vec<_>>()
                .join("  ");
            if pen::width(&text) <= room || limit == 0 {
                return text;
            }
            limit -= 1;
        }
    }
}

/// Of a packet that nobody saw.
fn class_of(what: &str) -> Class {
    match what {
        "SYN" | "SYN ACK" => Class::Syn,
        "FIN" => Class::Fin,
        "RST" => Class::Rst,
        "sent again" => Class::Again,
        _ => Class::Ack,
    }
}

fn class(event: &Event, tcp: &Tcp) -> Class {
    if repeats(event) {
        Class::Again
    } else if tcp.flags.has(Flags::RST) {
        Class::Rst
    } else if tcp.flags.has(Flags::SYN) {
        Class::Syn
    } else if tcp.flags.has(Flags::FIN) {
        Class::Fin
    } else if tcp.len > 0 {
        Class::Data
    } else {
        Class::Ack
    }
}

fn segment(event: &Event, tcp: &Tcp, absolute: bool) -> Vec<(u8, String)> {
    let flags = tcp.flags.names().collect::<Vec<_>>().join(" ");
    let flags = if repeats(event) {
        format!("↻ {flags}")
    } else {
        flags
    };
    let mut parts = vec![(0, flags)];
    let last = i64::from(tcp.len) - 1;
    let seq = match (absolute, tcp.len) {
        (true, _) => format!("seq {}", groups(&tcp.seq_raw.to_string())),
        (false, 0) => format!("seq {}", tcp.seq),
        (false, _) => format!("seq {}–{}", tcp.seq, tcp.seq + last),
    };
    parts.push((2, seq));
    if tcp.flags.has(Flags::ACK) {
        let ack = match absolute {
            true => groups(&tcp.ack_raw.to_string()),
            false => tcp.ack.to_string(),
        };
        parts.push((3, format!("ack {ack}")));
    }
    if tcp.len > 0 {
        parts.push((1, format!("{} B", grouped(tcp.len.into()))));
    }
    parts.extend(text(event));
    if !tcp.sack.is_empty() {
        let ranges = tcp
            .sack
            .iter()
            .map(|(start, end)| format!("{start}–{}", end - 1));
        parts.push((5, format!("sack {}", ranges.collect::<Vec<_>>().join(" "))));
    }
    let told = |note: &Note| matches!(note, Note::ZeroWindow | Note::WindowUpdate);
    if tcp.flags.has(Flags::SYN) || event.notes.iter().any(told) {
        parts.push((6, format!("win {}", tcp.window)));
    }
    if let Some(mss) = tcp.mss {
        parts.push((7, format!("mss {mss}")));
    }
    if tcp.flags.has(Flags::SYN) {
        let mut options = Vec::new();
        options.extend(tcp.scale.map(|scale| format!("ws {}", 1 << scale)));
        options.extend(tcp.sack_permitted.then(|| "sack".to_owned()));
        options.extend(tcp.timestamps.map(|_| "ts".to_owned()));
        if !options.is_empty() {
            parts.push((8, options.join(" ")));
        }
    }
    parts
}

fn text(event: &Event) -> Option<(u8, String)> {
    let text = event.text.as_ref()?;
    Some((4, format!("\"{text}\"")))
}
