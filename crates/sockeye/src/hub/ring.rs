//! The latest of what happened in a room, for all who are there at once: one copy, however many read it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Event;
use super::run::Run;

/// How many events are held.
pub(super) const EVENTS: usize = 4096;
/// How many bytes they may have together.
pub(super) const BYTES: usize = 2 * 1024 * 1024;

/// Events by position. Positions count up for ever; old events leave at the front.
#[derive(Debug, Default)]
pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The position of the first.
    first: u64,
    bytes: usize,
    /// Those that were put together last.
    run: Option<Arc<Run>>,
}

impl Ring {
    /// The position that the next event will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > EVENTS || (self.bytes > BYTES && self.events.len() > 1) {
            let Some(old) = self.events.pop_front() else {
                break;
            };
            self.bytes -= old.weight();
            self.first += 1;
        }
    }

    /// The event at `position`, or the oldest one if that has left, and the position behind it.
    pub(super) fn at(&self, position: u64) -> Option<(&Arc<Event>, u64)> {
        let position = position.max(self.first);
        let at = usize::try_from(position - self.first).ok()?;
        Some((self.events.get(at)?, position + 1))
    }

    /// Two lines or more from `position` on.
    pub(super) fn run(&mut self, position: u64) -> Option<Arc<Run>> {
        let end = self.end();
        if self.has_lost(position) || position + 1 >= end {
            return None;
        }
        if self
            .run
            .as_ref()
            .is_none_or(|run| !run.is_all(position, end))
        {
            let skipped = usize::try_from(position - self.first).ok()?;
            self.run = Run::gather(self.events.range(skipped..), position).map(Arc::new);
        }
        self.run.clone()
    }

    /// Whether what stood at `position` has left before it was read.
    pub(super) fn has_lost(&self, position: u64) -> bool {
        position < self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str) -> Arc<Event> {
        Arc::new(Event::Came { name: name.into() })
    }

    #[test]
    fn old_events_leave_and_are_missed() {
        let mut ring = Ring::default();
        assert!(ring.at(0).is_none());
        for n in 0..EVENTS + 10 {
            ring.push(event(&n.to_string()));
        }
        assert_eq!(ring.end(), EVENTS as u64 + 10);
        assert!(ring.has_lost(9));
        assert!(!ring.has_lost(10));
        let (oldest, behind) = ring.at(0).unwrap();
        assert_eq!((&**oldest, behind), (&*event("10"), 11));
        let (newest, behind) = ring.at(ring.end() - 1).unwrap();
        assert_eq!(**newest, *event(&(EVENTS + 9).to_string()));
        assert!(ring.at(behind).is_none());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ring = Ring::default();
        for _ in 0..100 {
            ring.push(event(&"x".repeat(BYTES / 10)));
        }
        assert!(ring.events.len() < 11, "{}", ring.events.len());
        assert_eq!(ring.end(), 100);
    }
}
