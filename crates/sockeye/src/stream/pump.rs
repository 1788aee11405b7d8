//! Moving bytes from a file descriptor to a socket inside the kernel, without copying them through here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat, sendfile};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};

use super::Counters;

/// Bytes asked for at once.
const STEP: usize = 1024 * 1024;

/// Sends all of `source` to `socket`: by `sendfile` from a file, by `splice` from a pipe, by copying
/// from anything else. Blocks, so it belongs on a thread of its own; `counters` grow with every step.
///
/// # Errors
/// As `read` or `write` would; what was counted has been handed to the kernel.
pub fn pump(source: impl AsFd, socket: impl AsFd, counters: &Counters) -> io::Result<()> {
    let (source, socket) = (source.as_fd(), socket.as_fd());
    let kind = FileType::from_raw_mode(fstat(source)?.st_mode);
    if kind == FileType::Fifo {
        // A larger pipe means fewer, larger steps. Unprivileged users may have used up their share.
        let _ = fcntl_setpipe_size(source, STEP);
    }
    let mut buffer = Vec::new();
    loop {
        let moved = match kind {
            FileType::RegularFile => sendfile(socket, source, None, STEP),
            FileType::Fifo => splice(
                source,
                None,
                socket,
                None,
                STEP,
                SpliceFlags::MOVE | SpliceFlags::MORE,
            ),
            _ => copy(source, socket, &mut buffer),
        };
        match moved {
            Ok(0) => return Ok(()),
            Ok(n) => counters.add_bytes_out(n),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_writable(socket)?,
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn copy(
    source: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
) -> rustix::io::Result<usize> {
    buffer.resize(64 * 1024, 0);
    let n = rustix::io::read(source, &mut buffer[..])?;
    let mut rest = &buffer[..n];
    while !rest.is_empty() {
        match rustix::io::write(socket, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::AGAIN) => wait_writable(socket)?,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(n)
}

fn wait_writable(socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
    match poll(
        &mut [PollFd::from_borrowed_fd(socket, PollFlags::OUT)],
        None,
    ) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
