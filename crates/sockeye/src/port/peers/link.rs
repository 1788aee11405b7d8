//! One peer of a datagram socket: its queue, and the session's side of it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::time::Instant;

use super::exchange::{Exchange, Outgoing};
use crate::error::{Error, Operation, Result};
use crate::session::{Info, Message};

/// Bytes that may wait for one session; what comes beyond is dropped and counted.
const QUEUE: usize = 4 * 1024 * 1024;

/// A datagram in the queue counts for more than its payload, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

/// IPv4 and UDP headers, which an attacker pays for too: RFC 791 and RFC 768.
const HEADERS: usize = 28;

pub(in crate::port) struct Peer<A> {
    pub(in crate::port) address: A,
    info: Arc<Info>,
    forgeable: bool,
    state: Mutex<State>,
}

struct State {
    inbox: VecDeque<Bytes>,
    bytes: usize,
    waker: Option<Waker>,
    /// A sender that may not send more before the peer has shown that it is there.
    held: Option<Waker>,
    last: Instant,
    datagrams: u32,
    /// Wire bytes received minus a third of those sent, while that matters.
    credit: usize,
    error: Option<io::Error>,
    gone: bool,
}

impl<A> Peer<A> {
    pub(super) fn new(address: A, info: Arc<Info>, forgeable: bool, now: Instant) -> Self {
        let state = State {
            inbox: VecDeque::new(),
            bytes: 0,
            waker: None,
            held: None,
            last: now,
            datagrams: 0,
            credit: 0,
            error: None,
            gone: false,
        };
        Self {
            address,
            info,
            forgeable,
            state: Mutex::new(state),
        }
    }

    /// Queues a run of datagrams. `false` when the session has ended, so that it needs a new one.
    pub(super) fn deliver(&self, run: &Bytes, stride: usize, now: Instant) -> bool {
        let mut state = self.lock();
        if state.gone {
            return false;
        }
        state.last = now;
        if run.len() <= stride {
            self.queue(&mut state, run.clone());
        } else {
            let mut at = 0;
            while at < run.len() {
                let end = (at + stride).min(run.len());
                self.queue(&mut state, run.slice(at..end));
                at = end;
            }
        }
        let wakers = [state.waker.take(), state.held.take()];
        drop(state);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
        true
    }

    fn queue(&self, state: &mut State, datagram: Bytes) {
        state.datagrams = state.datagrams.saturating_add(1);
        state.credit = state.credit.saturating_add(3 * (datagram.len() + HEADERS));
        self.info.counters().add_bytes_in(datagram.len());
        if state.bytes + datagram.len() + OVERHEAD > QUEUE {
            self.info.counters().add_lost();
            return;
        }
        state.bytes += datagram.len() + OVERHEAD;
        state.inbox.push_back(datagram);
    }

    /// A message to this peer could not be sent.
    pub(super) fn fail(&self, error: io::Error) {
        let mut state = self.lock();
        state.error = Some(error);
        let wakers = [state.waker.take(), state.held.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Ends the session if nothing went either way for `idle`.
    pub(super) fn expire(&self, now: Instant, idle: Duration) -> bool {
        let mut state = self.lock();
        if now.duration_since(state.last) < idle {
            return false;
        }
        self.info.expire();
        state.gone = true;
        let wakers = [state.waker.take(), state.held.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's side.
pub(super) struct PeerLink<A> {
    peer: Arc<Peer<A>>,
    exchange: Arc<Exchange<A>>,
    limit: usize,
    pending: Option<Outgoing<A>>,
}

impl<A> PeerLink<A> {
    pub(super) fn new(peer: Arc<Peer<A>>, exchange: Arc<Exchange<A>>, limit: usize) -> Self {
        Self {
            peer,
            exchange,
            limit,
            pending: None,
        }
    }

    /// A source that has sent only one datagram may be forged, and the answer then hits somebody else: until a
    /// second one came it is sent no more than three times what it cost (as RFC 9000, section 8.1).
    fn poll_credit(&self, size: usize, waker: &Waker) -> Poll<()> {
        if !self.peer.forgeable {
            return Poll::Ready(());
        }
        let mut state = self.peer.lock();
        let cost = size + HEADERS;
        if state.datagrams > 1 || state.credit >= cost {
            state.credit = state.credit.saturating_sub(cost);
            return Poll::Ready(());
        }
        state.held = Some(waker.clone());
        Poll::Pending
    }
}

impl<A> Drop for PeerLink<A> {
    fn drop(&mut self) {
        self.peer.lock().gone = true;
        self.exchange.end(self.peer.clone());
    }
}

impl<A: Unpin> Stream for PeerLink<A> {
    type Item = Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let info = &self.peer.info;
        let mut state = self.peer.lock();
        if let Some(data) = state.inbox.pop_front() {
            state.bytes -= data.len() + OVERHEAD;
            return Poll::Ready(Some(Ok(Message::binary(data))));
        }
        if let Some(error) = state.error.take() {
            return Poll::Ready(Some(Err(Error::io(Operation::Send, info.peer(), error))));
        }
        if info.is_stopping() || info.has_expired() {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<A: Unpin> Sink<Message> for PeerLink<A> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        if message.data.len() > self.limit {
            let address = self.peer.info.peer().to_string();
            return Err(Error::TooLarge {
                address,
                size: message.data.len(),
                limit: self.limit,
            });
        }
        self.pending = Some(Outgoing {
            peer: self.peer.clone(),
            data: message.data,
        });
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(size) = self.pending.as_ref().map(|message| message.data.len()) else {
            return Poll::Ready(Ok(()));
        };
        if self.peer.info.has_expired() {
            self.pending = None;
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.peer.lock().error.take() {
            return Poll::Ready(Err(Error::io(
                Operation::Send,
                self.peer.info.peer(),
                error,
            )));
        }
        ready!(self.poll_credit(size, cx.waker()));
        let Self {
            exchange,
            pending,
            peer,
            ..
        } = &mut *self;
        ready!(exchange.poll_push(pending, cx.waker()));
        peer.info.counters().add_bytes_out(size);
        peer.lock().last = exchange.now();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}
