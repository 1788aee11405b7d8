//! How what was said looks: with time and colours for a person, bare for a program.

use jiff::{Timestamp, Zoned};
use wire::text::printable;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Room(String),
    /// To us alone, or by us to this person alone.
    Person,
}

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Say,
    Me,
    /// A new topic, or what an owner did.
    Event,
}

/// A line that somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) place: Place,
    pub(crate) time: Option<Timestamp>,
    pub(crate) from: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) colors: bool,
    /// `ROOM NAME: TEXT`, for a program.
    pub(crate) plain: bool,
}

/// Colours of names that can be read on white and on black.
const COLORS: [u8; 10] = [31, 32, 33, 34, 35, 36, 91, 94, 95, 96];

impl Look {
    /// A line with its end. `current` is the room that needs no name.
    pub(crate) fn line(self, line: &Line, current: &str) -> String {
        let text = printable(&line.text);
        let name = self.name(&line.from);
        let said = match line.kind {
            Kind::Say => format!("{name}: {text}"),
            Kind::Me => format!("* {name} {text}"),
            Kind::Event => format!("* {name}: {text}"),
        };
        let place = match (&line.place, self.plain) {
            (Place::Room(room), true) => format!("{} ", printable(room)),
            (Place::Person, true) => "@ ".to_owned(),
            (Place::Room(room), false) if room == current => String::new(),
            (Place::Room(room), false) => self.dim(&format!("#{} ", printable(room))),
            (Place::Person, false) => self.dim("-> "),
        };
        let time = line.time.filter(|_| !self.plain);
        let time = time.map_or_else(String::new, |time| self.dim(&format!("[{}] ", clock(time))));
        format!("{time}{place}{said}\n")
    }

    /// Something that happened, without its end. A program gets it on standard error.
    pub(crate) fn note(self, text: &str) -> String {
        self.dim(&format!("* {}", printable(text)))
    }

    pub(crate) fn name(self, name: &str) -> String {
        let shown = printable(name);
        match self.colors {
            true => format!("\x1b[{}m{shown}\x1b[0m", color(name)),
            false => shown.into_owned(),
        }
    }

    fn dim(self, text: &str) -> String {
        match self.colors {
            true => format!("\x1b[2m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The same for everyone who looks (FNV-1a).
fn color(name: &str) -> u8 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    COLORS[(hash ^ hash >> 15) as usize % COLORS.len()]
}

/// `12:03` today, `2026-11-20 12:03` on any other day; here.
fn clock(time: Timestamp) -> String {
    let now = Zoned::now();
    let then = time.to_zoned(now.time_zone().clone());
    let form = if then.date() == now.date() {
        "%H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    then.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(place: Place, kind: Kind, text: &str) -> Line {
        Line {
            place,
            time: Some(Timestamp::now()),
            from: "ann".to_owned(),
            kind,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_program_gets_room_name_and_text() {
        let look = Look {
            colors: false,
            plain: true,
        };
        let room = || Place::Room("dev".to_owned());
        assert_eq!(
            look.line(&line(room(), Kind::Say, "a: b"), "dev"),
            "dev ann: a: b\n"
        );
        assert_eq!(
            look.line(&line(room(), Kind::Me, "waves"), "dev"),
            "dev * ann waves\n"
        );
        assert_eq!(
            look.line(&line(Place::Person, Kind::Say, "psst"), "dev"),
            "@ ann: psst\n"
        );
    }

    #[test]
    fn a_person_gets_time_and_colour_and_no_escape_of_a_peer() {
        let look = Look {
            colors: true,
            plain: false,
        };
        let mut said = line(
            Place::Room("ops".to_owned()),
            Kind::Say,
            "a\x1b[2J\u{202e}b\nc",
        );
        said.from = "e\x07ve".to_owned();
        let shown = look.line(&said, "dev");
        assert!(shown.starts_with("\x1b[2m["), "{shown:?}");
        assert!(shown.contains("#ops "), "{shown:?}");
        assert!(shown.contains(r"a\e[2J\u{202e}b\nc"), "{shown:?}");
        assert!(
            !shown.contains("\x1b[2J") && !shown.contains('\x07'),
            "{shown:?}"
        );
        assert_eq!(shown.matches('\n').count(), 1, "{shown:?}");
        let same = look.line(&line(Place::Room("dev".to_owned()), Kind::Say, "x"), "dev");
        assert!(!same.contains("#dev"), "{same:?}");
    }
}
