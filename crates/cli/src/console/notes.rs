//! What is noted of sessions while somebody talks: on standard error, above the line that is being typed.

use std::io::Write;
use std::sync::OnceLock;

use sockeye::{AnswerHead, Info, Observer};
use wire::text::printable;

use super::screen::Teller;
use crate::report::text;

/// Hears notes from before the first session on.
#[derive(Debug)]
pub(crate) struct Notes {
    screen: OnceLock<Teller>,
    /// Whether whole heads of answers are told.
    heads: bool,
}

impl Notes {
    pub(crate) fn new(heads: bool) -> Self {
        let screen = OnceLock::new();
        Self { screen, heads }
    }

    /// From here on they go where everything else goes.
    pub(crate) fn onto(&self, screen: Teller) {
        // There is one screen.
        let _ = self.screen.set(screen);
    }

    fn tell(&self, line: String) {
        let rest = match self.screen.get() {
            Some(screen) => screen.tell(line),
            None => Err(line.into_bytes()),
        };
        if let Err(line) = rest {
            // A standard error that is gone takes nothing from the conversation.
            let _ = std::io::stderr().write_all(&line);
        }
    }
}

impl Observer for Notes {
    fn note(&self, what: &str) {
        self.tell(format!("note: {}\n", printable(what)));
    }

    fn heard(&self, _info: &Info, head: &AnswerHead) {
        self.tell(text::heard(head, self.heads));
    }
}
