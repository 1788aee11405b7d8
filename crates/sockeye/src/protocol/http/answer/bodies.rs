//! The two bodies of a request on the accepting side: its own as it comes, and that of its answer as it goes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use ::http::{StatusCode, Version};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::super::{Shared, broken, unread};
use super::Asked;
use crate::request::{Body, Request};

/// The body of a request as the stack below brings it.
pub(in crate::protocol) trait Arriving:
    http_body::Body<Data = Bytes> + Send + Unpin + 'static
{
    /// What broke it off.
    fn broken(error: Self::Error) -> io::Error;
}

impl Arriving for Incoming {
    fn broken(error: hyper::Error) -> io::Error {
        broken(error)
    }
}

/// A body as ours, and a word with which it waits for its client as long as it takes.
pub(super) fn inbound<B: Arriving>(
    request: ::http::Request<B>,
    shared: &Arc<Shared>,
) -> (Request, Option<Arc<AtomicBool>>) {
    let version = request.version();
    let (parts, body) = request.into_parts();
    if http_body::Body::is_end_stream(&body) {
        return (Request::from_parts(parts, Body::empty()), None);
    }
    let patient = Arc::new(AtomicBool::new(false));
    let body = Body::stream(Inbound {
        body: Some(body),
        version,
        shared: shared.clone(),
        patient: patient.clone(),
        owed: false,
    });
    (Request::from_parts(parts, body), Some(patient))
}

struct Inbound<B: Arriving> {
    /// Gone when this is dropped.
    body: Option<B>,
    version: Version,
    shared: Arc<Shared>,
    patient: Arc<AtomicBool>,
    owed: bool,
}

impl<B: Arriving> http_body::Body for Inbound<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self {
            body,
            shared,
            patient,
            owed,
            ..
        } = &mut *self;
        let Some(body) = body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        shared
            .pace
            .owe(owed, polled.is_pending() && !patient.load(Relaxed));
        polled.map_err(B::broken)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Arriving> Drop for Inbound<B> {
    fn drop(&mut self) {
        let Self { shared, owed, .. } = self;
        shared.pace.owe(owed, false);
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            shared.pace.leave_unread();
            unread::leave(shared, self.version, body);
        }
    }
}

/// The body of an answer as hyper sends it.
pub(in crate::protocol) struct Sent {
    pub(super) body: Body,
    pub(super) asked: Asked,
    pub(super) status: StatusCode,
    pub(super) bytes: u64,
    /// Whether it is for the client to take what there is.
    pub(super) owed: bool,
    pub(super) ended: bool,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.ended = self.body.is_end_stream();
            }
            Poll::Ready(Some(Err(_))) if self.asked.version < Version::HTTP_11 => {
                self.asked.shared.pace.break_off();
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        let Self { asked, owed, .. } = &mut *self;
        asked.shared.pace.owe(owed, polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Self { asked, owed, .. } = self;
        asked.shared.pace.owe(owed, false);
        self.asked.tell(self.status, self.bytes, self.ended);
    }
}
