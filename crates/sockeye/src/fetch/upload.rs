//! The content of a request on its way out: read piece by piece, counted, and timed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::request::Body;

/// The largest piece.
const PIECE: usize = 64 * 1024;

/// What a reader gives, as a body.
pub(super) struct Reading<R> {
    source: Pin<Box<R>>,
    buffer: BytesMut,
    /// Bytes that are still to come, where their number is known.
    left: Option<u64>,
}

impl<R: AsyncRead> Reading<R> {
    pub(super) fn new(source: R, length: Option<u64>) -> Self {
        Self {
            source: Box::pin(source),
            buffer: BytesMut::new(),
            left: length,
        }
    }
}

impl<R: AsyncRead> http_body::Body for Reading<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == Some(0) {
            return Poll::Ready(None);
        }
        this.buffer.reserve(PIECE);
        let mut count = ready!(poll_read_buf(this.source.as_mut(), cx, &mut this.buffer))?;
        if let Some(left) = &mut this.left {
            if count == 0 {
                let words = format!("the file has become shorter: {left} bytes are missing");
                return Poll::Ready(Some(Err(io::Error::other(words))));
            }
            // A file that grows meanwhile is sent as long as it was.
            count = usize::try_from(*left).unwrap_or(count).min(count);
            *left -= count as u64;
        }
        let data = this.buffer.split_to(count).freeze();
        Poll::Ready((count > 0).then(|| Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// How much of a request's content is sent.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    ended: OnceLock<Instant>,
}

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When the last of it was taken.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }
}

/// A body that tells how far it has been taken.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) progress: Arc<Progress>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.progress.bytes.fetch_add(bytes as u64, Relaxed);
            }
            Some(Err(_)) => return Poll::Ready(frame),
            None => {}
        }
        // hyper does not ask again for what it knows to be at its end.
        if frame.is_none() || self.body.is_end_stream() || self.body.size_hint().exact() == Some(0)
        {
            self.progress.ended.get_or_init(Instant::now);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    async fn all(reading: Reading<Cursor<Vec<u8>>>) -> Result<Vec<u8>, String> {
        let mut body = Body::stream(reading);
        let mut all = Vec::new();
        while let Some(data) = body.data().await {
            all.extend_from_slice(&data.map_err(|error| error.to_string())?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_file_is_sent_as_long_as_it_was() {
        let data = vec![7; PIECE * 2 + 1];
        let whole = all(Reading::new(Cursor::new(data.clone()), None)).await;
        assert_eq!(whole.as_deref(), Ok(&data[..]));
        let grown = all(Reading::new(
            Cursor::new(data.clone()),
            Some(PIECE as u64 + 5),
        ))
        .await;
        assert_eq!(grown.as_deref(), Ok(&data[..PIECE + 5]));
        let shorter = all(Reading::new(Cursor::new(data[..10].to_vec()), Some(12))).await;
        assert_eq!(
            shorter,
            Err("the file has become shorter: 2 bytes are missing".to_owned())
        );
    }
}
