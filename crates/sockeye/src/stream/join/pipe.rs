//! A pipe that carries bytes from one socket to another inside the kernel (splice(2)).

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};
use tokio::io::Interest;

use crate::stream::{Io, Source};

/// What a pipe should hold. The size is what counts: one of 64 KiB gains little over copying.
const SIZE: usize = 1024 * 1024;

/// Pipes that are kept for the next one who needs some, for each thread.
const KEPT: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    size: usize,
    /// Bytes in it.
    held: usize,
}

impl Pipe {
    /// An empty pipe; `None` when there are no descriptors left.
    pub(super) fn take() -> Option<Self> {
        FREE.with_borrow_mut(Vec::pop).or_else(|| Self::new().ok())
    }

    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user without privileges has 64 MiB for all pipes (pipe(7)); beyond that they stay small.
        let _ = fcntl_setpipe_size(&write, SIZE);
        let size = fcntl_getpipe_size(&write)?;
        Ok(Self {
            read,
            write,
            size,
            held: 0,
        })
    }

    /// Keeps an empty pipe for others.
    pub(super) fn give_back(self) {
        FREE.with_borrow_mut(|free| {
            if self.held == 0 && free.len() < KEPT {
                free.push(self);
            }
        });
    }

    pub(super) fn holds_any(&self) -> bool {
        self.held > 0
    }

    /// Takes what `from` has. The pipe is empty, so only `from` can make it wait.
    pub(super) fn poll_fill(&mut self, from: &Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_readable(cx))?;
            match from.try_splice(Interest::READABLE, |socket| {
                splice(socket, None, &self.write, None, self.size, FLAGS)
            }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    self.held += n;
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }

    /// Hands on what is in the pipe, as far as `to` takes it.
    pub(super) fn poll_empty(&mut self, to: &Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_writable(cx))?;
            match to.try_splice(Interest::WRITABLE, |socket| {
                splice(&self.read, None, socket, None, self.held, FLAGS)
            }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(n) => {
                    self.held -= n;
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }
}

/// Not MORE: the kernel would keep the last bytes of each step for 200 ms, waiting for others.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Whether the system cannot splice from such a socket, or forbids it.
pub(super) fn is_unable(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::PERM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Io {
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_write_ready(cx),
            Self::Unix(unix) => unix.poll_write_ready(cx),
            Self::Other(_) => Poll::Ready(Ok(())),
        }
    }

    /// Tries once; the runtime is told when the socket is not ready after all.
    fn try_splice(
        &self,
        interest: Interest,
        mut splice: impl FnMut(std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        let mut until_heard = |socket| loop {
            match splice(socket) {
                Err(Errno::INTR) => {}
                spliced => return spliced.map_err(io::Error::from),
            }
        };
        match self {
            Self::Tcp(tcp) => tcp.try_io(interest, || until_heard(tcp.as_fd())),
            Self::Unix(unix) => unix.try_io(interest, || until_heard(unix.as_fd())),
            Self::Other(_) => Err(Errno::INVAL.into()),
        }
    }
}

/// Pipes that this thread keeps.
#[cfg(test)]
pub(super) fn kept() -> usize {
    FREE.with_borrow(Vec::len)
}
