//! The terminal: its settings, put back when the program ends, its width, and whether it shows colours.

use std::env::{var, var_os};
use std::io::{IsTerminal, stdout as out};

use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

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

/// How wide the terminal is that shows standard output, or what `COLUMNS` says of the reader behind a pipe.
pub(crate) fn columns() -> Option<usize> {
    let window = tcgetwinsize(stdout()).ok();
    let columns = window.map(|window| usize::from(window.ws_col));
    let told = || var("COLUMNS").ok()?.parse().ok();
    columns.filter(|columns| *columns > 0).or_else(told)
}

/// How wide the terminal is that shows standard error, if one does that can place what is written to it.
pub(crate) fn told_columns() -> Option<usize> {
    let window = tcgetwinsize(stderr()).ok()?;
    let is_dumb = var_os("TERM").is_none_or(|kind| kind == "dumb");
    (window.ws_col > 0 && !is_dumb).then(|| usize::from(window.ws_col))
}

/// Whether standard output shows colours: <https://no-color.org> and <https://bixense.com/clicolors/>.
pub(crate) fn colors() -> bool {
    let is_set = |name: &str| var_os(name).is_some_and(|value| !value.is_empty());
    let forced = var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    !is_set("NO_COLOR") && (forced || out().is_terminal())
}
