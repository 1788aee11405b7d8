//! Lines that follow one another, put together once for all who are told of them at the same time.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::event::{Event, Said};

/// How many lines are put together.
const LINES: usize = 64;
/// How many bytes of text they may have.
const BYTES: usize = 64 * 1024;

/// Two lines or more with ids that follow one another, and nothing between them.
#[derive(Debug)]
pub struct Run {
    lines: Vec<Arc<Event>>,
    /// Whose they are, each once.
    senders: Vec<Arc<str>>,
    /// The position of the first in the room's ring.
    position: u64,
    /// The ids of the first and the last.
    ids: (u64, u64),
    /// Whether no more lines fit.
    is_full: bool,
    text: OnceLock<Bytes>,
}

impl Run {
    /// As many of `events` as are lines; the first of them stands at `position`.
    pub(super) fn gather<'a>(
        events: impl Iterator<Item = &'a Arc<Event>>,
        position: u64,
    ) -> Option<Self> {
        let mut lines: Vec<Arc<Event>> = Vec::new();
        let mut senders: Vec<Arc<str>> = Vec::new();
        let mut ids = None;
        let mut bytes = 0;
        let mut is_full = false;
        for event in events {
            let next = match (&**event, ids) {
                (Event::Said(said), None) => Some((said, said.line.id)),
                (Event::Said(said), Some((first, last))) if said.line.id == last + 1 => {
                    Some((said, first))
                }
                _ => None,
            };
            let Some((said, first)) = next.filter(|_| lines.len() < LINES && bytes < BYTES) else {
                is_full = true;
                break;
            };
            ids = Some((first, said.line.id));
            bytes += said.line.text.len();
            if !senders.contains(&said.line.from) {
                senders.push(said.line.from.clone());
            }
            lines.push(event.clone());
        }
        (lines.len() > 1).then_some(Self {
            lines,
            senders,
            position,
            ids: ids?,
            is_full,
            text: OnceLock::new(),
        })
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.lines.iter()
    }

    /// The id of the line in place `at`.
    pub fn id(&self, at: usize) -> Option<u64> {
        (at < self.lines.len()).then(|| self.ids.0 + at as u64)
    }

    /// Whether a line of somebody's is among them.
    pub fn has_lines_of(&self, name: &str) -> bool {
        self.senders.iter().any(|sender| **sender == *name)
    }

    /// All lines as one text, which `write` makes of them if nobody has before.
    pub fn text(&self, write: impl Fn(&Said, &mut Vec<u8>)) -> &Bytes {
        self.text.get_or_init(|| {
            let mut text = Vec::new();
            for line in &self.lines {
                if let Event::Said(said) = &**line {
                    write(said, &mut text);
                }
            }
            text.into()
        })
    }

    /// The ids of the first and the last line.
    pub(super) fn ids(&self) -> (u64, u64) {
        self.ids
    }

    /// The position behind the last.
    pub(super) fn end(&self) -> u64 {
        self.position + self.lines.len() as u64
    }

    /// Whether it is all that can be put together from `position` on, in a ring that goes up to `end`.
    pub(super) fn is_all(&self, position: u64, end: u64) -> bool {
        self.position == position && (self.is_full || self.end() == end)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::line::{Line, LineKind};
    use super::*;

    fn said(id: u64, from: &str, text: &str) -> Arc<Event> {
        Arc::new(Event::Said(Said::new(Arc::new(Line {
            id,
            time: Timestamp::UNIX_EPOCH,
            room: "lobby".into(),
            from: from.into(),
            kind: LineKind::Say,
            text: text.into(),
            tag: None,
        }))))
    }

    fn text(run: &Run) -> &Bytes {
        run.text(|said, text| text.extend_from_slice(said.line.text.as_bytes()))
    }

    #[test]
    fn lines_that_follow_one_another_are_one_text() {
        let events = [
            said(7, "ann", "a"),
            said(8, "bob", "b"),
            said(9, "ann", "c"),
        ];
        let run = Run::gather(events.iter(), 40).unwrap();
        assert_eq!(text(&run), "abc");
        assert_eq!((run.ids(), run.end()), ((7, 9), 43));
        assert_eq!((run.id(2), run.id(3)), (Some(9), None));
        assert!(run.has_lines_of("bob") && !run.has_lines_of("eve"));
        assert!(run.is_all(40, 43));
        assert!(!run.is_all(40, 44), "there is one more by now");
        assert!(!run.is_all(41, 43), "who has heard the first hears it once");
    }

    #[test]
    fn it_ends_where_something_else_happened() {
        let came = Arc::new(Event::Came { name: "eve".into() });
        let events = [
            said(1, "ann", "a"),
            said(2, "ann", "b"),
            came,
            said(3, "ann", "c"),
        ];
        let run = Run::gather(events.iter(), 0).unwrap();
        assert_eq!(text(&run), "ab");
        assert!(run.is_all(0, 4), "nothing more can be put together");

        let gap = [said(1, "ann", "a"), said(3, "ann", "b")];
        assert!(Run::gather(gap.iter(), 0).is_none());
    }

    #[test]
    fn it_is_bounded() {
        let many: Vec<_> = (1..=200).map(|id| said(id, "ann", "x")).collect();
        assert_eq!(Run::gather(many.iter(), 0).unwrap().end(), LINES as u64);
        let long = "x".repeat(BYTES / 2);
        let long: Vec<_> = (1..=20).map(|id| said(id, "ann", &long)).collect();
        assert_eq!(Run::gather(long.iter(), 0).unwrap().end(), 2);
    }
}
