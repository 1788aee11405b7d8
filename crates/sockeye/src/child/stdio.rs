//! A child's standard input and output as one stream: two pipes, or a terminal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pty_process::{Pty, Size};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A stream that says when it is dropped.
pub(super) struct Held<T> {
    stream: T,
    _left: DropGuard,
}

/// Pipes. The end of our direction closes the child's standard input.
pub(super) struct Pipes {
    input: Option<ChildStdin>,
    output: ChildStdout,
}

/// A terminal. It has no end of input but a character that says so.
pub(super) struct Terminal {
    pty: Pty,
    /// What was written last ended no line.
    midline: bool,
    /// Marks of the end that are still to be written.
    marks: Option<&'static [u8]>,
}

impl Pipes {
    pub(super) fn start(mut command: Command) -> io::Result<(Child, Self)> {
        let mut child = command.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (input, Some(output)) => Ok((child, Self { input, output })),
            (_, None) => Err(io::Error::other("no pipe")),
        }
    }

    pub(super) fn until_dropped(self, left: CancellationToken) -> Held<Self> {
        Held {
            stream: self,
            _left: left.drop_guard(),
        }
    }
}

impl AsyncRead for Held<Pipes> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream.output).poll_read(cx, out)
    }
}

impl AsyncWrite for Held<Pipes> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream.input {
            Some(input) => Pin::new(input).poll_write(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// A pipe keeps nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.input = None;
        Poll::Ready(Ok(()))
    }
}

/// Control-D: the end of input at the beginning of a line, in a terminal's ordinary mode (termios(3), VEOF).
const EOF: &[u8] = b"\x04";
/// In the middle of a line the first one only hands the line over.
const EOF_MIDLINE: &[u8] = b"\x04\x04";

impl Terminal {
    pub(super) fn start(command: Command) -> io::Result<(Child, Self)> {
        let start = || {
            let (pty, pts) = pty_process::open()?;
            pty.resize(Size::new(24, 80))?;
            let child = pty_process::Command::from(command).spawn(pts)?;
            Ok((child, pty))
        };
        let (child, pty) = start().map_err(plain)?;
        let terminal = Self {
            pty,
            midline: false,
            marks: None,
        };
        Ok((child, terminal))
    }

    pub(super) fn until_dropped(self, left: CancellationToken) -> Held<Self> {
        Held {
            stream: self,
            _left: left.drop_guard(),
        }
    }
}

fn plain(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        pty_process::Error::Rustix(errno) => errno.into(),
        other => io::Error::other(other),
    }
}

impl AsyncRead for Held<Terminal> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream.pty).poll_read(cx, out)) {
            // So says Linux when nobody has the terminal open any more.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}

impl AsyncWrite for Held<Terminal> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let terminal = &mut self.stream;
        let written = match ready!(Pin::new(&mut terminal.pty).poll_write(cx, data)) {
            // As a pipe says it.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            written => written?,
        };
        if let Some(last) = data[..written].last() {
            terminal.midline = *last != b'\n' && *last != b'\r';
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let terminal = &mut self.stream;
        let first = if terminal.midline { EOF_MIDLINE } else { EOF };
        let marks = terminal.marks.get_or_insert(first);
        while !marks.is_empty() {
            match ready!(Pin::new(&mut terminal.pty).poll_write(cx, marks)) {
                Ok(n) => *marks = &marks[n..],
                // Nobody is left who would read it.
                Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
