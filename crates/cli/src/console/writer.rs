//! Who writes: to standard output and standard error, or above the line that is being typed.

use std::io::{self, IoSlice, IsTerminal, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::input::Printer;

/// Writes in the order in which it is told to, so that a slow reader of our output holds up only the peers.
///
/// That takes a thread. One who types has it from the beginning; for the others it begins with the first print that is
/// not taken at once: a short conversation does without, which makes a tenth of the time that it takes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    prints: mpsc::Sender<Print>,
    /// What the thread will read, until there is one.
    idle: Arc<Mutex<Option<mpsc::Receiver<Print>>>>,
    fate: Fate,
}

/// What became of the output.
#[derive(Clone, Debug, Default)]
struct Fate {
    broken: Arc<OnceLock<io::Error>>,
    gone: CancellationToken,
}

#[derive(Debug)]
pub(super) enum Print {
    /// From a peer: standard output.
    Peer(Vec<u8>),
    /// From us: standard error.
    Own(Vec<u8>),
    Flush(oneshot::Sender<()>),
}

/// Prints that may wait; then whoever prints waits, and with them the peer.
const PRINTS: usize = 16;

/// Bytes that a pipe takes as a whole or not at all (`PIPE_BUF`). A larger print is one of many, and then reading and
/// writing are faster side by side.
const SMALL: usize = 4096;

impl Writer {
    /// With a printer it is written above the line that is being typed.
    pub(super) fn new(printer: Option<Printer>) -> Self {
        let (prints, queue) = mpsc::channel(PRINTS);
        let fate = Fate::default();
        let idle = match printer {
            Some(printer) => {
                start(queue, fate.clone(), |queue| write_above(queue, printer));
                None
            }
            None => Some(queue),
        };
        Self {
            prints,
            idle: Arc::new(Mutex::new(idle)),
            fate,
        }
    }

    /// Cancelled when nobody takes the output any more.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.fate.gone
    }

    /// Waits for room. `false` when nobody looks any more.
    pub(super) async fn put(&self, print: Print) -> bool {
        match self.at_once(print) {
            None => true,
            Some(print) => self.prints.send(print).await.is_ok(),
        }
    }

    /// # Errors
    /// Gives the print back when it would have to wait, or nobody is there to see it.
    pub(super) fn try_put(&self, print: Print) -> Result<(), Print> {
        match self.at_once(print) {
            None => Ok(()),
            Some(print) => self
                .prints
                .try_send(print)
                .map_err(mpsc::error::TrySendError::into_inner),
        }
    }

    /// Waits until everything is written. A reader that has had enough (`| head`) is no failure.
    pub(super) async fn finish(&self) -> io::Result<()> {
        let (done, flushed) = oneshot::channel();
        if self.put(Print::Flush(done)).await && flushed.await.is_ok() {
            return Ok(());
        }
        match self.fate.broken.get() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(io::Error::new(error.kind(), error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Gives the print back when the thread is there to write it.
    fn at_once(&self, print: Print) -> Option<Print> {
        let mut idle = self.idle();
        if idle.is_none() {
            return Some(print);
        }
        let rest = match print {
            Print::Peer(bytes) => rest(rustix::stdio::stdout(), bytes).map(Print::Peer),
            Print::Own(bytes) => rest(rustix::stdio::stderr(), bytes).map(Print::Own),
            Print::Flush(done) => {
                // Who asked may have left.
                let _ = done.send(());
                None
            }
        }?;
        if let Some(queue) = idle.take() {
            start(queue, self.fate.clone(), write_out);
        }
        // It is the first in the queue, so there is room; what others put comes after.
        self.prints
            .try_send(rest)
            .err()
            .map(|unsent| unsent.into_inner())
    }

    fn idle(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Print>>> {
        // Nothing in here can be left half done by a panic.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of `bytes` when `output` has taken what it takes without anyone waiting.
fn rest(output: BorrowedFd<'_>, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    /// Where the output is.
    const HERE: u64 = u64::MAX;

    if bytes.len() <= SMALL {
        // Why it takes nothing, if it is no pipe or socket or has been closed, is found by the thread.
        let slices = [IoSlice::new(&bytes)];
        let written = rustix::io::pwritev2(output, &slices, HERE, ReadWriteFlags::NOWAIT);
        bytes.drain(..written.unwrap_or(0));
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn start(
    mut queue: mpsc::Receiver<Print>,
    fate: Fate,
    write: impl FnOnce(&mut mpsc::Receiver<Print>) -> io::Result<()> + Send + 'static,
) {
    std::thread::spawn(move || {
        // Told before the queue is gone: whoever finds it gone asks why.
        if let Err(error) = write(&mut queue) {
            // Set once: this thread is the only one that does.
            let _ = fate.broken.set(error);
            fate.gone.cancel();
        }
    });
}

fn write_out(queue: &mut mpsc::Receiver<Print>) -> io::Result<()> {
    let stdout = rustix::stdio::stdout();
    while let Some(print) = queue.blocking_recv() {
        match print {
            Print::Peer(bytes) => write_all(stdout, &bytes)?,
            // A standard error that is gone takes nothing from the conversation.
            Print::Own(bytes) => drop(io::stderr().write_all(&bytes)),
            Print::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
    Ok(())
}

/// Past the standard library's line buffer: what has come is seen at once.
fn write_all(stdout: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stdout, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
                rustix::event::poll(&mut fds, None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn write_above(queue: &mut mpsc::Receiver<Print>, mut printer: Printer) -> io::Result<()> {
    let own_is_elsewhere = !io::stderr().is_terminal();
    while let Some(print) = queue.blocking_recv() {
        match print {
            Print::Own(bytes) if own_is_elsewhere => drop(io::stderr().write_all(&bytes)),
            Print::Peer(bytes) | Print::Own(bytes) => {
                printer.print(String::from_utf8_lossy(&bytes).into_owned())?;
            }
            Print::Flush(done) => {
                printer.flush()?;
                let _ = done.send(());
            }
        }
    }
    Ok(())
}
