//! Numbers and notes as people read them.

use crate::event::{How, Note};

/// Nanoseconds: `17 µs`, `23.8 ms`, `1.01 s`.
pub(crate) fn duration(time: u64) -> String {
    let of = |unit: f64| time as f64 / unit;
    match time {
        0..1_000 => format!("{time} ns"),
        1_000..999_500 => format!("{:.0} µs", of(1e3)),
        999_500..999_950_000 => format!("{:.1} ms", of(1e6)),
        999_950_000..99_995_000_000 => format!("{:.2} s", of(1e9)),
        _ => format!("{:.0} s", of(1e9)),
    }
}

/// In groups of three: `7 240`. Small numbers stay as they are: `1448`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    groups(&digits)
}

/// In groups of three, whatever its size.
pub(crate) fn groups(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

impl Note {
    /// Its name in JSON: `zero-window`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Retransmission { .. } => "retransmission",
            Self::Duplicate { .. } => "duplicate",
            Self::OutOfOrder => "out-of-order",
            Self::Gap { .. } => "gap",
            Self::DuplicateAck { .. } => "duplicate-ack",
            Self::DuplicateSack => "duplicate-sack",
            Self::ZeroWindow => "zero-window",
            Self::WindowFull => "window-full",
            Self::WindowUpdate => "window-update",
            Self::ZeroWindowProbe => "zero-window-probe",
            Self::ZeroWindowProbeAck => "zero-window-probe-ack",
            Self::KeepAlive => "keep-alive",
            Self::KeepAliveAck => "keep-alive-ack",
            Self::SimultaneousOpen => "simultaneous-open",
            Self::SimultaneousClose => "simultaneous-close",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::AckUnseen => "ack-unseen",
            Self::ReadLate { .. } => "read-late",
            Self::Connected { .. } => "connected",
            Self::Rtt { .. } => "rtt",
        }
    }

    /// A line under the arrow; `None` for what is only counted.
    pub(crate) fn line(&self) -> Option<String> {
        Some(match *self {
            Self::Retransmission { of, after, how } => {
                return Some(format!("↻ {}", repeated(of, after, how)));
            }
            Self::Duplicate { of } => format!("the network delivered #{of} twice"),
            Self::OutOfOrder => "came late: others that were sent after it came before".to_owned(),
            Self::Gap { bytes } => format!("{} B are missing before it", grouped(bytes)),
            Self::DuplicateAck { count, of } => format!("duplicate ACK {count} of #{of}"),
            Self::DuplicateSack => "says that this came twice (D-SACK)".to_owned(),
            Self::ZeroWindow => "can take no more: window 0".to_owned(),
            Self::WindowFull => "fills the window of the other end".to_owned(),
            Self::WindowUpdate => "can take more again".to_owned(),
            Self::ZeroWindowProbe => "asks whether there is room again".to_owned(),
            Self::ZeroWindowProbeAck => "no room yet".to_owned(),
            Self::KeepAlive => "keep-alive: are you still there?".to_owned(),
            Self::KeepAliveAck => "still there".to_owned(),
            Self::SimultaneousOpen => "both ends opened at once".to_owned(),
            Self::SimultaneousClose => "both ends closed at once".to_owned(),
            Self::Refused => "connection refused: nothing listens there".to_owned(),
            Self::Damaged => {
                "damaged on the way: its checksum is wrong, so it is thrown away".to_owned()
            }
            Self::AckUnseen => "acknowledges what was not captured".to_owned(),
            Self::ReadLate { after } => {
                format!("kernel: had come {} before it was read", duration(after))
            }
            Self::Connected { rtt } => format!("connected; round trip {}", duration(rtt)),
            Self::Rtt { .. } => return None,
        })
    }
}

fn repeated(of: Option<u64>, after: u64, how: How) -> String {
    let which = of.map_or_else(
        || "of a segment that is missing here".to_owned(),
        |of| format!("of #{of}"),
    );
    let later = duration(after);
    match how {
        How::Fast => format!("fast retransmission {which}, {later} later"),
        How::Timeout => format!("retransmission on timeout {which}, {later} later"),
        How::Probe => format!("tail-loss probe: repeats {which}, {later} later")
            .replace("repeats of ", "repeats "),
        How::Syn | How::SynAck | How::Fin => format!("retransmission {which}, {later} later"),
        How::Spurious => {
            format!(
                "retransmission {which}, {later} later, though acknowledged: that ACK was lost or late"
            )
        }
    }
}
