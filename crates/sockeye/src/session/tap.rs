//! A stream that shows what goes through it, for services that leave the message view.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Direction, Info, Message};
use crate::stream::{ByteStream, Io};

/// `stream`, watched if the session is. A watched stream is no plain socket any more, so nothing can
/// move its bytes past the watcher.
pub(super) fn tapped(stream: ByteStream, info: &Arc<Info>) -> ByteStream {
    if !info.is_watched() {
        return stream;
    }
    let ByteStream { head, io, tally } = stream;
    if !head.is_empty() {
        // Read ahead, and not shown as a message yet.
        info.show(Direction::In, &Message::binary(head.clone().freeze()));
    }
    let io = Io::Other(Box::new(Tapped {
        io,
        info: info.clone(),
    }));
    ByteStream { head, io, tally }
}

struct Tapped {
    io: Io,
    info: Arc<Info>,
}

impl Tapped {
    fn show(&self, direction: Direction, data: &[u8]) {
        if !data.is_empty() {
            self.info
                .show(direction, &Message::binary(Bytes::copy_from_slice(data)));
        }
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        self.show(Direction::In, &out.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.io).poll_write(cx, data))?;
        self.show(Direction::Out, &data[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
