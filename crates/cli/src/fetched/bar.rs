//! How far a download is, for a person who waits.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on standard error, if that is a terminal.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Of a file that has `begins_at` bytes already and gets `length` more.
    pub(super) fn new(begins_at: u64, length: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::none();
        }
        let whole = length.map(|length| begins_at + length);
        let bar = ProgressBar::with_draw_target(whole, ProgressDrawTarget::stderr());
        let shown = match whole {
            Some(_) => {
                "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
            }
            None => "{spinner} {binary_bytes}, {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(shown) {
            bar.set_style(style);
        }
        bar.set_position(begins_at);
        // What was there does not make it faster.
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn came(&self, bytes: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes as u64);
        }
    }

    /// Leaves the bar where it is, full.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.abandon();
        }
    }
}
