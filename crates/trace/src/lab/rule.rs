//! What the wire does to chosen packets: `drop syn:1`, `late server:data:2=15ms`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use wire::packet::{Body, Flags, Packet};

use crate::event::Side;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// The next one of its direction overtakes it.
    Reorder,
    /// It is on its way for so much longer.
    Late(Duration),
    /// A bit of it is turned over, so its receiver throws it away.
    Corrupt,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Duplicate => "dup",
            Self::Reorder => "reorder",
            Self::Late(_) => "late",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Which packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first step of a handshake.
    Syn,
    /// The second.
    SynAck,
    /// An acknowledgment that carries nothing.
    Ack,
    /// A segment or a datagram with data.
    Data,
    /// With FIN.
    Fin,
    /// With RST.
    Rst,
    /// All.
    Any,
}

const WHICH: [(&str, Which); 7] = [
    ("syn", Which::Syn),
    ("syn-ack", Which::SynAck),
    ("ack", Which::Ack),
    ("data", Which::Data),
    ("fin", Which::Fin),
    ("rst", Which::Rst),
    ("any", Which::Any),
];

impl Which {
    fn has(self, packet: &Packet<'_>) -> bool {
        let segment = match &packet.body {
            Body::Tcp(segment) => segment,
            Body::Udp(datagram) => {
                return self == Self::Any || self == Self::Data && datagram.length > 0;
            }
            _ => return self == Self::Any,
        };
        let is = |flag| segment.flags.has(flag);
        match self {
            Self::Syn => is(Flags::SYN) && !is(Flags::ACK),
            Self::SynAck => is(Flags::SYN) && is(Flags::ACK),
            Self::Ack => {
                let bare = [Flags::SYN, Flags::FIN, Flags::RST]
                    .into_iter()
                    .all(|flag| !is(flag));
                is(Flags::ACK) && segment.length == 0 && bare
            }
            Self::Data => segment.length > 0,
            Self::Fin => is(Flags::FIN),
            Self::Rst => is(Flags::RST),
            Self::Any => true,
        }
    }
}

/// One thing that the wire does to some packets, which it counts as they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    action: Action,
    which: Which,
    /// Only what this end sends.
    from: Option<Side>,
    /// Which of them, from 1; none is all.
    numbers: Vec<RangeInclusive<u64>>,
    seen: u64,
}

/// Why a rule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rule: write [client:|server:]KIND[:N], KIND one of syn, syn-ack, ack, data, fin, rst, any, and N a number from 1, 2-4 or 2,5"
)]
pub struct RuleError(String);

impl Rule {
    /// Reads which packets: `[client:|server:]KIND[:N]`, where `N` is a number from 1, a range or a list of both.
    ///
    /// # Errors
    /// When that is not what is written.
    pub fn new(action: Action, text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError(text.to_owned());
        let (from, rest) = match text.split_once(':') {
            Some(("client" | "a", rest)) => (Some(Side::A), rest),
            Some(("server" | "b", rest)) => (Some(Side::B), rest),
            _ => (None, text),
        };
        let (kind, numbers) = rest
            .split_once(':')
            .map_or((rest, None), |(kind, numbers)| (kind, Some(numbers)));
        let named = WHICH.iter().find(|(name, _)| *name == kind);
        let (_, which) = named.ok_or_else(wrong)?;
        let numbers = numbers.map(|list| list.split(',').map(range).collect::<Option<Vec<_>>>());
        Ok(Self {
            action,
            which: *which,
            from,
            numbers: match numbers {
                Some(numbers) => numbers.ok_or_else(wrong)?,
                None => Vec::new(),
            },
            seen: 0,
        })
    }

    /// What is done to this packet, if it is one of those.
    pub(super) fn meets(&mut self, from: Side, packet: &Packet<'_>) -> Option<Action> {
        if self.from.is_some_and(|only| only != from) || !self.which.has(packet) {
            return None;
        }
        self.seen += 1;
        let mut numbers = self.numbers.iter();
        let meant = self.numbers.is_empty() || numbers.any(|range| range.contains(&self.seen));
        meant.then_some(self.action)
    }
}

fn range(text: &str) -> Option<RangeInclusive<u64>> {
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let range = match text.split_once('-') {
        Some((first, last)) => number(first)?..=number(last)?,
        None => number(text)?..=number(text)?,
    };
    (!range.is_empty()).then_some(range)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action.name())?;
        f.write_str(match self.from {
            Some(Side::A) => " client:",
            Some(Side::B) => " server:",
            None => " ",
        })?;
        let named = WHICH.iter().find(|(_, which)| *which == self.which);
        f.write_str(named.map_or("", |(name, _)| name))?;
        for (index, range) in self.numbers.iter().enumerate() {
            f.write_str(if index == 0 { ":" } else { "," })?;
            match range.start() == range.end() {
                true => write!(f, "{}", range.start())?,
                false => write!(f, "{}-{}", range.start(), range.end())?,
            }
        }
        match self.action {
            Action::Late(time) => write!(f, "={}", crate::words::duration(time.as_nanos() as u64)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_back_what_was_written() {
        for text in ["syn:1", "client:data:3", "server:syn-ack:1-2,5", "any"] {
            let rule = Rule::new(Action::Drop, text).unwrap();
            assert_eq!(rule.to_string(), format!("drop {text}"));
        }
        let late = Rule::new(Action::Late(Duration::from_millis(15)), "fin:1").unwrap();
        assert_eq!(late.to_string(), "late fin:1=15.0 ms");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "sin:1",
            "data:0",
            "data:",
            "data:3-2",
            "peer:data",
            "data:1:2",
        ] {
            let refused = Rule::new(Action::Drop, text).unwrap_err();
            assert!(refused.to_string().starts_with(&format!("`{text}`")));
        }
    }

    /// A packet of raw IP with these flags and so many bytes.
    fn packet(flags: u8, data: usize) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40 + data as u8, 0, 0, 0, 0, 64, 6, 0, 0];
        bytes.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 9]);
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        bytes.resize(40 + data, b'x');
        bytes
    }

    #[test]
    fn packets_are_counted_by_kind_and_sender() {
        let mut rule = Rule::new(Action::Drop, "client:data:2-3").unwrap();
        let (data, ack) = (packet(0x18, 5), packet(0x10, 0));
        let mut meets = |from, bytes: &[u8]| {
            let packet = Packet::read(wire::packet::RAW, bytes, bytes.len() as u32).unwrap();
            rule.meets(from, &packet).is_some()
        };
        let met = [
            meets(Side::A, &data),
            meets(Side::A, &ack),
            meets(Side::B, &data),
            meets(Side::A, &data),
            meets(Side::A, &data),
            meets(Side::A, &data),
        ];
        assert_eq!(met, [false, false, false, true, true, false]);
        let met = |kind: &str, flags, data| {
            let bytes = packet(flags, data);
            let packet = Packet::read(wire::packet::RAW, &bytes, bytes.len() as u32).unwrap();
            Which::has(
                WHICH.iter().find(|(name, _)| *name == kind).unwrap().1,
                &packet,
            )
        };
        // SYN, SYN-ACK, FIN with ACK and with data, RST.
        assert!(met("syn", 0x02, 0) && !met("syn", 0x12, 0) && met("syn-ack", 0x12, 0));
        assert!(met("fin", 0x11, 0) && !met("ack", 0x11, 0) && met("data", 0x19, 3));
        assert!(met("rst", 0x14, 0) && !met("ack", 0x14, 0) && met("any", 0, 0));
    }
}
