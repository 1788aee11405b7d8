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
    let mut kind = FileType::from_raw_mode(fstat(source)?.st_mode);
    if kind == FileType::Fifo {
        // A larger pipe means fewer, larger steps. Unprivileged users may have used up their share.
        let _ = fcntl_setpipe_size(source, STEP);
    }
    let mut buffer = Vec::new();
    loop {
        let moved = match kind {
            FileType::RegularFile => sendfile(socket, source, None, STEP),
            // Not MORE: the kernel would keep the last bytes of each step for 200 ms, waiting for others.
            FileType::Fifo => splice(source, None, socket, None, STEP, SpliceFlags::MOVE),
            _ => copy(source, socket, &mut buffer),
        };
        match moved {
            Ok(0) => return Ok(()),
            Ok(n) => counters.add_bytes_out(n),
            Err(Errno::INTR) => {}
            // Files such as those of /proc can only be copied.
            Err(Errno::INVAL | Errno::NOSYS) if kind != FileType::Unknown => {
                kind = FileType::Unknown;
            }
            // Either end may be non-blocking: others who share standard input can make it so.
            Err(Errno::AGAIN) => {
                wait(source, PollFlags::IN)?;
                wait(socket, PollFlags::OUT)?;
            }
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
            Err(Errno::AGAIN) => wait(socket, PollFlags::OUT)?,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(n)
}

fn wait(fd: BorrowedFd<'_>, what: PollFlags) -> rustix::io::Result<()> {
    match poll(&mut [PollFd::from_borrowed_fd(fd, what)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
