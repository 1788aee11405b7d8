//! The terminal's settings, put back when the program ends.

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Puts the terminal back as it was: the line editor may be in the middle of a line when the program ends.
pub(crate) struct Restored(Option<Termios>);

impl Restored {
    pub(crate) fn at_the_end() -> Self {
        Self(tcgetattr(stdin()).ok())
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // A terminal that is gone needs no settings.
            let _ = tcsetattr(stdin(), OptionalActions::Now, settings);
        }
    }
}
