//! Standard input and output as one end of a relay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sockeye::{ByteStream, Endpoint, Identity, Link, Session, Side};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};
use tokio_util::sync::CancellationToken;
use wire::framing::Framing;

/// A session with whoever writes our standard input and reads our standard output. `gone` is cancelled
/// when nobody reads the output any more.
pub(crate) fn session(framing: Framing, max_message: usize, gone: CancellationToken) -> Session {
    let stdio = Stdio {
        input: tokio::io::stdin(),
        output: tokio::io::stdout(),
        gone,
    };
    let ours = Endpoint::Named("-".into());
    let identity = Identity::new(Side::Dialed, "stdio", ours.clone(), ours);
    Session::new(
        Link::Bytes(ByteStream::new(stdio), framing),
        identity,
        max_message,
    )
}

struct Stdio {
    input: Stdin,
    output: Stdout,
    gone: CancellationToken,
}

impl Stdio {
    fn note(&self, result: &io::Result<impl Sized>) {
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        {
            self.gone.cancel();
        }
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_read(cx, out)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.output).poll_write(cx, data));
        self.note(&written);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.output).poll_flush(cx));
        self.note(&flushed);
        Poll::Ready(flushed)
    }

    /// Whoever reads our output gets its end, even while we still read our input.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(nowhere)?;
        Poll::Ready(Ok(()))
    }
}
