//! What a server tells about its sessions, on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sockeye::{
    Answered, Direction, Ending, Error, Info, Listening, Message, Observer, OwnCertificate,
};

use crate::console::Printer;

pub(crate) mod announce;
pub(crate) mod json;
pub(crate) mod text;

/// How messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Hex,
    Json,
}

/// Hears of sessions and writes lines.
#[derive(Debug)]
pub(crate) struct Reporter {
    log: Log,
    form: Form,
    messages: bool,
}

impl Reporter {
    pub(crate) fn new(log: Log, form: Form, messages: bool) -> Arc<Self> {
        Arc::new(Self {
            log,
            form,
            messages,
        })
    }

    pub(crate) fn listening(&self, listening: &Listening) {
        self.log.write(match self.form {
            Form::Json => json::listening(listening),
            Form::Text | Form::Hex => {
                format!("listening {} {}\n", listening.protocol, listening.at)
            }
        });
    }

    /// Who a server is, for those who want to be sure.
    pub(crate) fn certificate(&self, own: &OwnCertificate) {
        self.log.write(match self.form {
            Form::Json => json::own_certificate(own),
            Form::Text | Form::Hex => format!("{}\n", text::own_certificate(own)),
        });
    }

    /// A line for a person; with `--json` there is no person.
    pub(crate) fn hint(&self, text: &str) {
        if self.form != Form::Json {
            self.log.write(format!("{text}\n"));
        }
    }
}

impl Observer for Reporter {
    fn opened(&self, info: &Arc<Info>) {
        self.log.write(match self.form {
            Form::Json => json::opened(info),
            Form::Text | Form::Hex if self.messages => {
                text::opened(info) + &text::secured(info, &format!(" #{}", info.id()))
            }
            Form::Text | Form::Hex => text::opened(info),
        });
    }

    fn message(&self, info: &Info, direction: Direction, message: &Message) {
        self.log.write(match self.form {
            Form::Json => json::message(info, direction, message),
            Form::Hex => text::dump(info, direction, message),
            Form::Text => text::message(info, direction, message),
        });
    }

    fn wants_messages(&self) -> bool {
        self.messages
    }

    fn closed(&self, info: &Info, ending: &Ending) {
        self.log.write(match self.form {
            Form::Json => json::closed(info, ending),
            Form::Text | Form::Hex => text::closed(info, ending),
        });
    }

    fn answered(&self, answered: &Answered<'_>) {
        self.log.write(match self.form {
            Form::Json => json::answered(answered),
            Form::Text | Form::Hex => text::answered(answered),
        });
    }

    fn trouble(&self, error: &Error) {
        self.note(&error.to_string());
    }

    fn note(&self, what: &str) {
        self.log.write(match self.form {
            Form::Json => json::note(what),
            Form::Text | Form::Hex => format!("note: {}\n", wire::text::printable(what)),
        });
    }
}

/// Lines on their way to standard error.
///
/// A thread writes them, so that a reader of the log who has stopped reading does not stop the server. When too
/// many wait, lines are left out, and how many is told in their place.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: SyncSender<Entry>,
    left_out: Arc<AtomicU64>,
}

/// What goes to the thread.
#[derive(Debug)]
enum Entry {
    Line(String),
    /// From here on above the line that is being typed.
    Above(Printer),
    /// What stood before is written.
    Flush(SyncSender<()>),
}

/// Lines that may wait.
const QUEUE: usize = 4096;

impl Log {
    /// Starts the thread. Join it after every `Log` is dropped to see the last lines out.
    pub(crate) fn start() -> (Self, Writer) {
        let (lines, queue) = sync_channel(QUEUE);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = left_out.clone();
        let thread = std::thread::spawn(move || write_all(&queue, &counted));
        (Self { lines, left_out }, Writer { thread })
    }

    pub(crate) fn write(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Entry::Line(line)) {
            self.left_out.fetch_add(1, Relaxed);
        }
    }

    /// Waits until every line so far is written, but not for ever.
    pub(crate) fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        if self.lines.send(Entry::Flush(done)).is_ok() {
            // Who does not read the log in a second is not waited for.
            let _ = flushed.recv_timeout(Duration::from_secs(1));
        }
    }

    /// A person types where the log goes: their half-typed line shall survive it.
    pub(crate) fn above(&self, printer: Printer) {
        if io::stderr().is_terminal() {
            // Without the thread there is no log.
            let _ = self.lines.send(Entry::Above(printer));
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

fn write_all(queue: &Receiver<Entry>, left_out: &AtomicU64) {
    let mut above = None;
    let mut next = queue.recv().ok();
    while let Some(entry) = next {
        let mut text = match entry {
            Entry::Line(line) => line,
            Entry::Above(printer) => {
                above = Some(printer);
                String::new()
            }
            Entry::Flush(done) => {
                // Who waited for it may have stopped waiting.
                let _ = done.send(());
                String::new()
            }
        };
        next = gather(queue, &mut text);
        match left_out.swap(0, Relaxed) {
            0 => {}
            n => text.push_str(&format!(
                "note: {n} lines were left out here: they came faster than they were read\n"
            )),
        }
        let written = match &mut above {
            _ if text.is_empty() => Ok(()),
            Some(printer) => printer.print(text),
            None => io::stderr().write_all(text.as_bytes()),
        };
        if written.is_err() {
            return;
        }
        next = next.or_else(|| queue.recv().ok());
    }
}

/// Adds the lines that have gathered meanwhile, so that they leave with one call. Gives what is no line.
fn gather(queue: &Receiver<Entry>, text: &mut String) -> Option<Entry> {
    while text.len() < 64 * 1024 {
        match queue.try_recv().ok()? {
            Entry::Line(line) => text.push_str(&line),
            other => return Some(other),
        }
    }
    None
}
