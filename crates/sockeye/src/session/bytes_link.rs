//! Messages over a byte stream: the work that a whole session and its split halves share.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use wire::framing::{Cutter, Framing};

use crate::error::{Error, Operation, Result};
use crate::session::Info;
use crate::stream::{Source, poll_fill};

/// Cuts the messages of one stream and knows whether the stream has ended.
#[derive(Debug)]
pub(super) struct Inbox {
    cutter: Cutter,
    max_message: usize,
    ended: bool,
}

/// What reading once brought.
enum Fill {
    More,
    End,
    /// No byte came for as long as the framing says that a message can pause.
    Gap,
}

impl Inbox {
    pub(super) fn new(framing: Framing, max_message: usize) -> Self {
        Self {
            cutter: Cutter::new(framing, max_message),
            max_message,
            ended: false,
        }
    }

    pub(super) fn reframe(&mut self, framing: Framing) {
        self.cutter = Cutter::new(framing, self.max_message);
    }

    pub(super) fn framing(&self) -> &Framing {
        self.cutter.framing()
    }

    pub(super) async fn receive<R: Source>(
        &mut self,
        io: &mut R,
        head: &mut BytesMut,
        info: &Info,
    ) -> Result<Option<Bytes>> {
        let misframed = |source| Error::Framing {
            operation: Operation::Receive,
            address: info.peer().to_string(),
            source,
        };
        loop {
            if let Some(message) = self.cutter.cut(head).map_err(misframed)? {
                return Ok(Some(message));
            }
            if self.ended {
                return self.cutter.finish(head).map_err(misframed);
            }
            match self.fill(io, head, info).await {
                Ok(Fill::More) => {}
                Ok(Fill::End) => self.ended = true,
                Ok(Fill::Gap) => return Ok(self.cutter.gap(head)),
                Err(source) => return Err(Error::io(Operation::Receive, info.peer(), source)),
            }
        }
    }

    async fn fill<R: Source>(
        &self,
        io: &mut R,
        head: &mut BytesMut,
        info: &Info,
    ) -> io::Result<Fill> {
        match self.framing() {
            Framing::Idle(gap) if !head.is_empty() => {
                // Boxed, so that only sessions with this framing pay for a timer.
                let mut pause = Box::pin(tokio::time::sleep(*gap));
                tokio::select! {
                    biased;
                    filled = fill_once(io, head, info) => filled,
                    () = &mut pause => Ok(Fill::Gap),
                }
            }
            _ => fill_once(io, head, info).await,
        }
    }
}

async fn fill_once<R: Source>(io: &mut R, head: &mut BytesMut, info: &Info) -> io::Result<Fill> {
    let before = head.len();
    poll_fn(|cx| match poll_fill(io, head, cx) {
        // Shutting down: what has arrived is read, more is not waited for.
        Poll::Pending if info.is_stopping() && !io.has_arrived() => Poll::Ready(Ok(Fill::End)),
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(0)) => Poll::Ready(Ok(Fill::End)),
        Poll::Ready(Ok(n)) => {
            info.counters().add_bytes_in(n);
            Poll::Ready(Ok(Fill::More))
        }
        Poll::Ready(Err(error)) => {
            debug_assert_eq!(before, head.len());
            Poll::Ready(Err(error))
        }
    })
    .await
}

/// Writes one message with what the framing puts around it.
pub(super) async fn transmit<W: AsyncWrite + Unpin>(
    io: &mut W,
    framing: &Framing,
    data: &[u8],
    info: &Info,
) -> Result<()> {
    let wrapper = framing.wrap(data).map_err(|source| Error::Framing {
        operation: Operation::Send,
        address: info.peer().to_string(),
        source,
    })?;
    let written = if wrapper.head().is_empty() && wrapper.tail().is_empty() {
        write_all(io, &mut [io::IoSlice::new(data)], info).await
    } else {
        let mut parts = [wrapper.head(), data, wrapper.tail()].map(io::IoSlice::new);
        write_all(io, &mut parts, info).await
    };
    written.map_err(|source| Error::io(Operation::Send, info.peer(), source))
}

async fn write_all<W: AsyncWrite + Unpin>(
    io: &mut W,
    mut parts: &mut [io::IoSlice<'_>],
    info: &Info,
) -> io::Result<()> {
    io::IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let n = io.write_vectored(parts).await?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        info.counters().add_bytes_out(n);
        io::IoSlice::advance_slices(&mut parts, n);
    }
    io.flush().await
}

/// Ends our direction. A peer that has already gone is no error: there is nobody left to tell.
pub(super) async fn finish<W: AsyncWrite + Unpin>(io: &mut W, info: &Info) -> Result<()> {
    match io.shutdown().await {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other.map_err(|source| Error::io(Operation::Send, info.peer(), source)),
    }
}

/// Throws away what the peer still sends, within bounds.
pub(super) async fn drain<R: Source>(io: &mut R, head: &mut BytesMut, inbox: &Inbox) {
    const MOST: usize = 64 * 1024;
    const LONGEST: Duration = Duration::from_secs(1);

    if inbox.ended {
        return;
    }
    let reading = async {
        let mut thrown = 0;
        while thrown < MOST {
            head.clear();
            match poll_fn(|cx| poll_fill(io, head, cx)).await {
                Ok(0) | Err(_) => return,
                Ok(n) => thrown += n,
            }
        }
    };
    // Whether the peer finished or the time ran out: either way the socket is closed now.
    let _ = tokio::time::timeout(LONGEST, reading).await;
}
