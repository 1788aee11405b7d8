//! The rows of a flow by their numbers, of which the first may be kept no more.

use std::ops::{Index, IndexMut};

use crate::event::Event;

/// Rows that are kept, behind others that are not.
pub(crate) struct Rows<'a> {
    gone: usize,
    events: &'a mut [Event],
}

impl<'a> Rows<'a> {
    /// `events` are those behind the first `gone`.
    pub(crate) fn new(gone: usize, events: &'a mut [Event]) -> Self {
        Self { gone, events }
    }

    /// One that may be kept no more.
    pub(crate) fn get_mut(&mut self, row: usize) -> Option<&mut Event> {
        self.events.get_mut(row.checked_sub(self.gone)?)
    }

    /// What is kept of the rows from `from` on, before `to`.
    pub(crate) fn between(&mut self, from: usize, to: usize) -> &mut [Event] {
        let [from, to] = [from, to].map(|row| row.saturating_sub(self.gone));
        self.events.get_mut(from..to).unwrap_or_default()
    }
}

/// Those that were not understood yet are kept.
impl Index<usize> for Rows<'_> {
    type Output = Event;

    fn index(&self, row: usize) -> &Event {
        &self.events[row - self.gone]
    }
}

impl IndexMut<usize> for Rows<'_> {
    fn index_mut(&mut self, row: usize) -> &mut Event {
        &mut self.events[row - self.gone]
    }
}
