//! One room as we know it.

use std::collections::{BTreeSet, VecDeque};

use super::Shown;
use crate::chat::show::Line;

/// Lines that wait in a room where nobody looks; older ones are in the server's history.
const HELD: usize = 500;

/// One room as we know it.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The id of the last line that came.
    pub(crate) last: u64,
    /// The id of the last line that there was when we entered.
    pub(super) until: u64,
    pub(crate) topic: String,
    pub(crate) people: BTreeSet<String>,
    /// Lines that came while we talked elsewhere.
    pub(crate) unread: u64,
    held: VecDeque<Line>,
}

impl Room {
    /// Keeps a line until somebody goes there.
    pub(super) fn hold(&mut self, line: Line) {
        self.unread += 1;
        self.held.push_back(line);
        if self.held.len() > HELD {
            self.held.pop_front();
        }
    }

    /// Everything that waited.
    pub(super) fn read(&mut self) -> Vec<Shown> {
        let left = self.unread - self.held.len() as u64;
        self.unread = 0;
        let older = (left > 0).then(|| {
            let what = format!(
                "{left} older lines are not shown: /history {} has them",
                left + HELD as u64
            );
            Shown::Note(what)
        });
        older
            .into_iter()
            .chain(self.held.drain(..).map(Shown::Line))
            .collect()
    }
}
