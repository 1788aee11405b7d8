//! Streams that a peer opens, in the order in which it is known whose they are: those of WebTransport's sessions are told
//! from those of HTTP/3 by their first bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use quinn::ConnectionError;
use wire::webtransport::{BOTH_WAYS, Beginning, ONE_WAY, begin};

use super::streams::poll_chunk;
use crate::protocol::quic::Brought;
use crate::protocol::webtransport::Sessions;

/// The streams in both directions that a peer opens, or those in its own.
pub(super) struct Incoming {
    opened: Pin<Box<dyn Stream<Item = Result<Brought, ConnectionError>> + Send + Sync>>,
    /// Those of which it is not known yet whose they are: at most as many as the peer may have open.
    begun: Vec<Brought>,
    /// What one of WebTransport's begins with.
    signal: u64,
}

/// Why there is no next stream.
pub(super) enum Failure {
    Lost(ConnectionError),
    /// One names a session that cannot be one.
    Lawless,
}

impl Incoming {
    pub(super) fn both_ways(quic: quinn::Connection) -> Self {
        let next = async |quic: quinn::Connection| {
            let opened = quic.accept_bi().await;
            let opened = opened.map(|(sending, receiving)| Brought::new(Some(sending), receiving));
            Some((opened, quic))
        };
        Self::new(
            Box::pin(futures_util::stream::unfold(quic, next)),
            BOTH_WAYS,
        )
    }

    pub(super) fn one_way(quic: quinn::Connection) -> Self {
        let next = async |quic: quinn::Connection| {
            let opened = quic.accept_uni().await;
            let opened = opened.map(|receiving| Brought::new(None, receiving));
            Some((opened, quic))
        };
        Self::new(Box::pin(futures_util::stream::unfold(quic, next)), ONE_WAY)
    }

    fn new(
        opened: Pin<Box<dyn Stream<Item = Result<Brought, ConnectionError>> + Send + Sync>>,
        signal: u64,
    ) -> Self {
        Self {
            opened,
            begun: Vec::new(),
            signal,
        }
    }

    /// The next one that is HTTP/3's. Those of `sessions` are brought there; all are HTTP/3's without them.
    pub(super) fn poll_next(
        &mut self,
        sessions: Option<&Sessions>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Brought, Failure>> {
        loop {
            match self.opened.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(stream))) if sessions.is_none() => {
                    return Poll::Ready(Ok(stream));
                }
                Poll::Ready(Some(Ok(stream))) => self.begun.push(stream),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Failure::Lost(error))),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match sessions {
            Some(sessions) => self.poll_begun(sessions, cx),
            None => Poll::Pending,
        }
    }

    fn poll_begun(
        &mut self,
        sessions: &Sessions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Brought, Failure>> {
        let mut at = 0;
        while let Some(stream) = self.begun.get_mut(at) {
            let Poll::Ready(beginning) = look(stream, self.signal, cx) else {
                at += 1;
                continue;
            };
            let mut stream = self.begun.remove(at);
            match beginning {
                Some(Beginning::Session { id, length }) => {
                    stream.read = stream.read.slice(length..);
                    if !sessions.bring(id, stream) {
                        return Poll::Ready(Err(Failure::Lawless));
                    }
                }
                Some(_) => return Poll::Ready(Ok(stream)),
                // It was reset before it was anything.
                None => {}
            }
        }
        Poll::Pending
    }
}

/// What a stream begins with; `None` when it is gone.
fn look(stream: &mut Brought, signal: u64, cx: &mut Context<'_>) -> Poll<Option<Beginning>> {
    loop {
        match begin(&stream.read, signal) {
            Beginning::NeedMore => {}
            known => return Poll::Ready(Some(known)),
        }
        match ready!(poll_chunk(&mut stream.receiving, cx)) {
            Ok(Some(chunk)) if stream.read.is_empty() => stream.read = chunk,
            // A number that two packets have between them.
            Ok(Some(chunk)) => {
                let mut read = BytesMut::from(&stream.read[..]);
                read.extend_from_slice(&chunk);
                stream.read = Bytes::from(read);
            }
            // HTTP/3 knows what to say to that.
            Ok(None) => return Poll::Ready(Some(Beginning::Other)),
            Err(_) => return Poll::Ready(None),
        }
    }
}
