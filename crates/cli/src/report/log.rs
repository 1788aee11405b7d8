//! Lines on their way to standard error.

use std::io::{self, IsTerminal, Write};
use std::mem::take;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::console::Printer;

/// Lines on their way to standard error.
///
/// A thread writes them, so that a reader of the log who has stopped reading does not stop the server. When too
/// many wait, lines are left out, and how many is told in their place.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    /// The thread ends when the last of these is gone.
    _open: Arc<Open>,
}

/// Lines that may wait.
const LINES: usize = 4096;

/// Between two writes. A server that says much would otherwise wake the thread for every line, which costs more
/// than the line.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

/// What the thread has not taken yet.
#[derive(Debug, Default)]
struct Waiting {
    text: String,
    lines: usize,
    left_out: u64,
    /// From here on above the line that is being typed.
    above: Option<Printer>,
    /// Who waits until it is written.
    flushes: Vec<SyncSender<()>>,
    closed: bool,
    /// Whether the thread has to be woken.
    asleep: bool,
}

#[derive(Debug)]
struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.put(|waiting| waiting.closed = true);
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        put(&mut waiting);
        let asleep = take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.filled.notify_one();
        }
    }

    /// What has gathered, as soon as there is something.
    fn next(&self) -> Waiting {
        let mut waiting = self.lock();
        while waiting.is_empty() {
            waiting.asleep = true;
            let woken = self.filled.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut *waiting)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.above.is_none() && self.flushes.is_empty() && !self.closed
    }
}

impl Log {
    /// Starts the thread. Join it after every `Log` is dropped to see the last lines out.
    pub(crate) fn start() -> (Self, Writer) {
        let queue = Arc::new(Queue::default());
        let log = Self {
            queue: queue.clone(),
            _open: Arc::new(Open(queue.clone())),
        };
        let thread = thread::spawn(move || write_all(&queue));
        (log, Writer { thread })
    }

    pub(crate) fn write(&self, line: String) {
        self.queue.put(|waiting| match waiting.lines < LINES {
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
        let (done, flushed) = sync_channel(1);
        self.queue.put(|waiting| waiting.flushes.push(done));
        // Who does not read the log in a second is not waited for.
        let _ = flushed.recv_timeout(Duration::from_secs(1));
    }

    /// A person types where the log goes: their half-typed line shall survive it.
    pub(crate) fn above(&self, printer: Printer) {
        if io::stderr().is_terminal() {
            self.queue.put(|waiting| waiting.above = Some(printer));
        }
    }
}

/// The thread behind a [`Log`].
#[derive(Debug)]
pub(crate) struct Writer {
    thread: JoinHandle<()>,
}

impl Writer {
    /// Waits for the last lines, but not for ever: whoever should read them may have stopped.
    pub(crate) async fn finish(self) {
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        let _ = tokio::time::timeout(Duration::from_secs(1), joined).await;
    }
}

fn write_all(queue: &Queue) {
    let mut above = None;
    loop {
        let Waiting {
            mut text,
            left_out,
            above: printer,
            flushes,
            closed,
            ..
        } = queue.next();
        if left_out > 0 {
            text.push_str(&format!(
                "note: {left_out} lines were left out here: they came faster than they were read\n"
            ));
        }
        above = printer.or(above);
        let written = match &mut above {
            _ if text.is_empty() => Ok(()),
            Some(printer) => printer.print(text),
            None => io::stderr().write_all(text.as_bytes()),
        };
        for done in flushes {
            // Who waited for it may have stopped waiting.
            let _ = done.send(());
        }
        if written.is_err() || closed {
            return;
        }
        thread::sleep(PAUSE);
    }
}
