//! What is noted of sessions while somebody talks: on standard error, above the line that is being typed.

use std::io::Write;
use std::sync::OnceLock;

use sockeye::Observer;
use wire::text::printable;

use super::screen::Teller;

/// Hears notes from before the first session on.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    screen: OnceLock<Teller>,
}

impl Notes {
    /// From here on they go where everything else goes.
    pub(crate) fn onto(&self, screen: Teller) {
        // There is one screen.
        let _ = self.screen.set(screen);
    }
}

impl Observer for Notes {
    fn note(&self, what: &str) {
        let line = format!("note: {}\n", printable(what));
        let rest = match self.screen.get() {
            Some(screen) => screen.tell(line),
            None => Err(line),
        };
        if let Err(line) = rest {
            // A standard error that is gone takes nothing from the conversation.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}
