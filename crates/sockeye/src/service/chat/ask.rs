//! What somebody in a chat asks for, whichever way they say it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::hub::{LineKind, Look, Order};

/// A request. Where a room is missing, the current one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Hello(Hello),
    Say {
        room: Option<String>,
        kind: LineKind,
        text: String,
    },
    Join {
        room: String,
        after: Option<u64>,
    },
    Part(Option<String>),
    Name {
        name: String,
        password: Option<String>,
    },
    Tell {
        to: String,
        text: String,
    },
    History {
        room: Option<String>,
        look: Look,
        limit: Option<usize>,
    },
    Who(Option<String>),
    Rooms,
    /// Asks for it if there is none.
    Topic {
        room: Option<String>,
        topic: Option<String>,
    },
    Order {
        room: Option<String>,
        order: Order,
        name: String,
        why: String,
    },
    /// For a token to come back with.
    Token,
    Resume(String),
    Moderate(String),
    /// They read what is sent to where they say they are.
    Here(String),
    Help,
    Ping,
    Quit,
}

/// How a program begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) name: Option<String>,
    pub(super) password: Option<String>,
    pub(super) resume: Option<String>,
    /// Rooms, and the last line known of each.
    pub(super) rooms: Option<BTreeMap<String, Option<u64>>>,
}

/// A moment as people write it: a time (RFC 3339), a day, or how long ago (`90s`, `10m`, `2h`, `3d`).
pub(super) fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(day) = text.parse::<jiff::civil::DateTime>() {
        return Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    }
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    let ago = std::time::Duration::from_secs(u64::from(count) * unit);
    now.saturating_sub(ago).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, time) in [
            ("2026-01-30T10:00:00+08:00", "2026-01-30T02:00:00Z"),
            ("2026-01-30T10:00", "2026-01-30T10:00:00Z"),
            ("2026-01-30", "2026-01-30T00:00:00Z"),
            ("90s", "2026-01-31T11:58:30Z"),
            ("10m", "2026-01-31T11:50:00Z"),
            ("2h", "2026-01-31T10:00:00Z"),
            ("3d", "2026-01-28T12:00:00Z"),
        ] {
            assert_eq!(moment(text, now), Some(time.parse().unwrap()), "{text}");
        }
        for text in ["", "yesterday", "-1h", "m", "10 m", "1鱼"] {
            assert_eq!(moment(text, now), None, "{text}");
        }
    }
}
