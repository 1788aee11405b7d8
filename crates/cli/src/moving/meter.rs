//! How a transfer is told: a bar for a person who waits, a line for what went wrong, and the sum.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use sockeye::transfer::{Outcome, Reason, RelativePath, Watch};
use wire::text::printable;

use crate::args::MovingArgs;
use crate::failure::code;

/// Who hears how a transfer goes, and tells it.
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    json: bool,
    quiet: bool,
    since: Instant,
    moved: AtomicU64,
    sum: Mutex<Sum>,
}

#[derive(Default)]
struct Sum {
    /// Names that have landed; after a cut they may be told again.
    landed: HashSet<RelativePath>,
    bytes: u64,
    failed: HashSet<RelativePath>,
    /// What was told of names; after a cut it may be told again.
    noted: HashSet<RelativePath>,
    damaged: bool,
}

impl Meter {
    /// `whole` bytes are to come, if that is known.
    pub(crate) fn new(args: &MovingArgs, whole: Option<u64>) -> Self {
        let is_shown = !args.quiet && !args.json && std::io::stderr().is_terminal();
        Self {
            bar: is_shown.then(|| bar(whole)),
            json: args.json,
            quiet: args.quiet,
            since: Instant::now(),
            moved: AtomicU64::new(0),
            sum: Mutex::default(),
        }
    }

    /// Bytes that went by.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    /// Tells something beside the bar.
    pub(crate) fn tell(&self, line: &str) {
        let line = printable(line);
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// The same, unless only what goes wrong is to be told.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.tell(line);
        }
    }

    /// A file did not come for a reason that the other end has not given.
    pub(crate) fn failed(&self, path: &RelativePath, text: &str) {
        let (reason, text) = (Reason::Other, text.to_owned());
        self.ended(path, 0, &Outcome::Failed { reason, text });
    }

    /// Tells the sum, and gives the exit code.
    pub(crate) fn sum(&self, verb: &str) -> u8 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let sum = self.lock();
        let (files, seconds) = (sum.landed.len(), self.since.elapsed().as_secs_f64());
        let moved = self.moved().min(sum.bytes);
        let rate = HumanBytes((moved as f64 / seconds.max(1e-3)) as u64);
        let s = if files == 1 { "" } else { "s" };
        let bytes = HumanBytes(sum.bytes);
        // What was there before need not come again.
        let now = match moved < sum.bytes {
            true => format!(", {} of it now", HumanBytes(moved)),
            false => String::new(),
        };
        if !self.quiet && !self.json {
            eprintln!(
                "{verb} {files} file{s}, {bytes}{now}, in {seconds:.1} s ({rate}/s), verified"
            );
        }
        match sum.failed.len() {
            0 => 0,
            n => {
                eprintln!("sockeye: {n} of {} did not land", n + files);
                if sum.damaged {
                    code::VERIFICATION
                } else {
                    code::PEER
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sum> {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Meter {
    fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn began(&self, path: &RelativePath, there: u64, _: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_message(path.to_string());
            bar.inc(there);
            // What was there does not make it faster.
            bar.reset_eta();
        }
    }

    fn noted(&self, path: &RelativePath, text: &str) {
        if self.lock().noted.insert(path.clone()) {
            self.note(&format!("note: {text}"));
        }
    }

    fn ended(&self, path: &RelativePath, size: u64, outcome: &Outcome) {
        let mut sum = self.lock();
        match outcome {
            Outcome::Landed(landed) => {
                if !sum.landed.insert(path.clone()) {
                    return;
                }
                sum.bytes += size;
                sum.failed.remove(path);
                drop(sum);
                if landed.name() != path.name() {
                    self.note(&format!("{path} is {landed} there: its name was taken"));
                }
                if self.json {
                    let (name, landed) = (path.to_string(), landed.to_string());
                    let told = json!({"event": "landed", "name": name, "as": landed, "size": size});
                    println!("{told}");
                }
            }
            Outcome::Failed { reason, text } => {
                sum.failed.insert(path.clone());
                sum.damaged |= *reason == Reason::Damaged;
                drop(sum);
                self.tell(&format!("sockeye: {path} did not land: {text}"));
                if self.json {
                    let name = path.to_string();
                    let told = json!({"event": "failed", "name": name, "reason": text});
                    println!("{told}");
                }
            }
        }
    }
}

fn bar(whole: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(whole, ProgressDrawTarget::stderr());
    let shown = match whole {
        Some(_) => {
            "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left  {wide_msg}"
        }
        None => "{spinner} {binary_bytes}, {binary_bytes_per_sec}  {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(shown) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
