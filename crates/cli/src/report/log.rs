//! Lines on their way to standard error.

use std::io::{self, IsTerminal, Write};
use std::mem::{replace, take};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::console::Printer;

/// Lines on their way to standard error.
///
/// A thread writes them, so that a reader of the log who has stopped reading does not stop the server. When too
/// many wait, lines are left out, and how many is told in their place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Queue>);

/// Lines that may wait.
const LINES: usize = 4096;

/// Between two writes. A server that says much would otherwise wake the thread for every line, which costs more
/// than the line.
const PAUSE: Duration = Duration::from_millis(5);

/// After this long without a line there is no thread: in a process that has only one, each system call finds its file
/// without counting who uses it, which is a hundredth of the time that a small message takes.
const REST: Duration = Duration::from_millis(100);

/// Who does not read the log for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    writer: Writer,
    /// Lines are to appear above the one that is being typed.
    above: Option<Printer>,
}

/// What has not been taken yet.
#[derive(Debug, Default)]
struct Waiting {
    text: String,
    lines: usize,
    left_out: u64,
    /// Who waits until it is written.
    flushes: Vec<SyncSender<()>>,
}

/// The thread that writes.
#[derive(Clone, Copy, Debug, Default)]
enum Writer {
    /// There is none.
    #[default]
    Gone,
    Busy,
    /// It has to be woken.
    Asleep,
    /// It could not write, nor will anybody.
    Failed,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(self: &Arc<Self>, put: impl FnOnce(&mut Waiting)) {
        let mut state = self.lock();
        let writer = match state.writer {
            Writer::Failed => return,
            _ => replace(&mut state.writer, Writer::Busy),
        };
        put(&mut state.waiting);
        drop(state);
        match writer {
            Writer::Asleep => self.filled.notify_one(),
            Writer::Gone => self.start(),
            Writer::Busy | Writer::Failed => {}
        }
    }

    fn start(self: &Arc<Self>) {
        let queue = self.clone();
        let started = thread::Builder::new().spawn(move || queue.write_all());
        if started.is_err() {
            // Where there is no room for a thread the caller is the one who waits for the reader.
            self.lock().writer = Writer::Gone;
            let _ = self.write_next();
        }
    }

    fn write_all(&self) {
        while self.wait() {
            if self.write_next().is_err() {
                let mut state = self.lock();
                state.writer = Writer::Failed;
                state.waiting = Waiting::default();
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Until there is something to write. `false`: there was nothing for long.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            state.writer = Writer::Asleep;
            let woken = self.filled.wait_timeout(state, REST);
            let (next, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() && state.waiting.is_empty() {
                state.writer = Writer::Gone;
                return false;
            }
        }
        true
    }

    /// Writes what has gathered.
    fn write_next(&self) -> io::Result<()> {
        let mut state = self.lock();
        let Waiting {
            mut text,
            left_out,
            flushes,
            ..
        } = take(&mut state.waiting);
        let mut above = state.above.take();
        drop(state);
        if left_out > 0 {
            text.push_str(&format!(
                "note: {left_out} lines were left out here: they came faster than they were read\n"
            ));
        }
        let written = match &mut above {
            _ if text.is_empty() => Ok(()),
            Some(printer) => printer.print(text),
            None => io::stderr().write_all(text.as_bytes()),
        };
        if let Some(printer) = above {
            self.lock().above.get_or_insert(printer);
        }
        for done in flushes {
            // Who waited for it may have stopped waiting.
            let _ = done.send(());
        }
        written
    }
}

impl State {
    /// Whether every line is written.
    fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && !matches!(self.writer, Writer::Busy)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.flushes.is_empty()
    }
}

impl Log {
    pub(crate) fn write(&self, line: String) {
        self.0.put(|waiting| match waiting.lines < LINES {
            true => {
                waiting.lines += 1;
                match waiting.text.is_empty() {
                    true => waiting.text = line,
                    false => waiting.text.push_str(&line),
                }
            }
            false => waiting.left_out += 1,
        });
    }

    /// Waits until every line so far is written, but not for ever.
    pub(crate) fn flush(&self) {
        if self.0.lock().is_at_rest() {
            return;
        }
        let (done, flushed) = sync_channel(1);
        self.0.put(|waiting| waiting.flushes.push(done));
        let _ = flushed.recv_timeout(PATIENCE);
    }

    /// A person types where the log goes: their half-typed line shall survive it.
    pub(crate) fn above(&self, printer: Printer) {
        if io::stderr().is_terminal() {
            self.0.lock().above = Some(printer);
        }
    }
}
