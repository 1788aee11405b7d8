//! The body of a request, as it comes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h3::error::StreamError;
use bytes::{Buf, Bytes};
use http_body::Frame;

use super::Receiving;
use crate::protocol::http::{Arriving, Pace, Shared};
use crate::protocol::quic::Gauge;

/// The body of a request.
pub(super) struct Inbound {
    /// `None`: there is none.
    receiving: Option<Receiving>,
    pace: Arc<Pace>,
    gauge: Gauge,
    /// What was read to see whether there is a body at all.
    first: Option<io::Result<Bytes>>,
    ended: bool,
}

impl Inbound {
    pub(super) fn new(receiving: Receiving, shared: &Shared, gauge: Gauge) -> Self {
        Self {
            receiving: Some(receiving),
            ..Self::none(shared, gauge)
        }
    }

    pub(super) fn none(shared: &Shared, gauge: Gauge) -> Self {
        Self {
            receiving: None,
            pace: shared.pace.clone(),
            gauge,
            first: None,
            ended: false,
        }
    }

    /// Finds out whether there is a body, if that can be known by now: most requests have none.
    pub(super) async fn look_ahead(&mut self) {
        poll_fn(|cx| {
            match self.poll_data(cx) {
                Poll::Ready(Some(first)) => self.first = Some(first),
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => {}
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(receiving) = &mut self.receiving else {
            self.ended = true;
            return Poll::Ready(None);
        };
        let received = match ready!(receiving.poll_recv_data(cx)) {
            Ok(None) => None,
            Ok(Some(mut data)) => Some(Ok(data.copy_to_bytes(data.remaining()))),
            Err(error) => Some(Err(broken_stream(&error))),
        };
        self.pace.received();
        self.gauge.notice_move_soon();
        Poll::Ready(received)
    }
}

impl http_body::Body for Inbound {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first.map(Frame::data)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let received = ready!(self.poll_data(cx));
        self.ended = !matches!(received, Some(Ok(_)));
        Poll::Ready(received.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.first.is_none()
    }
}

impl Arriving for Inbound {
    fn broken(error: io::Error) -> io::Error {
        error
    }
}

fn broken_stream(error: &StreamError) -> io::Error {
    let kind = match error {
        StreamError::RemoteTerminate { .. } => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error.to_string())
}
