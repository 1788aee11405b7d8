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
        if state.bytes + datagram.len() + OVERHEAD > QUEUE {
            self.info.counters().add_lost();
            return;
        }
        state.bytes += datagram.len() + OVERHEAD;
        if state.inbox.capacity() == 0 {
            // Most peers have one datagram waiting at most, and there may be 100,000 of them.
            state.inbox.reserve_exact(1);
        }
        state.inbox.push_back(datagram);
    }

    /// A message to this peer was dropped, because it takes none.
    pub(in crate::port) fn lose(&self) {
        self.info.counters().add_lost();
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
        if state.datagrams > 1 || state.credit >= size + HEADERS {
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
            self.peer.lose();
            return Poll::Ready(Ok(()));
        }
        let error = self.peer.lock().error.take();
        if let Some(error) = error {
            // Whoever is told that it failed must not find it sent with the next one.
            self.pending = None;
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
        let mut state = peer.lock();
        state.credit = state.credit.saturating_sub(size + HEADERS);
        state.last = exchange.now();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, SinkExt, StreamExt};

    use super::*;
    use crate::session::{Endpoint, Identity, Side};

    const IDLE: Duration = Duration::from_secs(60);

    fn link(forgeable: bool) -> PeerLink<&'static str> {
        let identity = Identity::new(Side::Accepted, "udp", Endpoint::Memory, Endpoint::Memory);
        let info = Arc::new(Info::new(identity, Arc::default()));
        let peer = Peer::new("peer", info, forgeable, Instant::now());
        PeerLink::new(Arc::new(peer), Arc::new(Exchange::new()), 1000)
    }

    fn arrive(link: &PeerLink<&'static str>, data: &'static [u8], stride: usize) -> bool {
        link.peer
            .deliver(&Bytes::from_static(data), stride, Instant::now())
    }

    /// Whether a message of `size` bytes may be sent now.
    fn may_send(link: &mut PeerLink<&'static str>, size: usize) -> bool {
        let sent = link.send(Message::binary(vec![0; size].into()));
        match sent.now_or_never() {
            Some(sent) => sent.is_ok(),
            None => {
                link.pending = None;
                false
            }
        }
    }

    #[tokio::test]
    async fn a_source_that_may_be_forged_gets_three_times_what_it_cost() {
        let mut link = link(true);
        // 4 bytes and 28 of headers cost 32, so 96 may go back: 40 + 28, and then an empty one.
        arrive(&link, b"ping", 4);
        assert!(!may_send(&mut link, 69), "97 with its headers");
        assert!(may_send(&mut link, 40));
        assert!(!may_send(&mut link, 1));
        assert!(may_send(&mut link, 0));
        assert!(!may_send(&mut link, 0), "96 are used up");
        // The second datagram shows that somebody is there and hears us.
        arrive(&link, b"ping", 4);
        assert!(may_send(&mut link, 1000));
        assert!(may_send(&mut link, 1000));
    }

    #[tokio::test]
    async fn a_sender_that_is_held_goes_on_with_the_second_datagram() {
        let mut link = link(true);
        arrive(&link, b"", 0);
        let peer = link.peer.clone();
        let sending = link.send(Message::binary(vec![0; 500].into()));
        let arriving = async {
            tokio::task::yield_now().await;
            peer.deliver(&Bytes::new(), 0, Instant::now());
        };
        let both = async { tokio::join!(sending, arriving).0 };
        let sent = tokio::time::timeout(Duration::from_secs(5), both).await;
        sent.expect("it was never woken").unwrap();
    }

    #[tokio::test]
    async fn a_local_source_gets_as_much_as_it_likes() {
        let mut link = link(false);
        arrive(&link, b"", 0);
        assert!((0..10).all(|_| may_send(&mut link, 1000)));
    }

    #[tokio::test]
    async fn a_run_is_taken_apart_again() {
        let mut link = link(false);
        arrive(&link, b"aaabbbc", 3);
        arrive(&link, b"", 0);
        for expected in [&b"aaa"[..], b"bbb", b"c", b""] {
            assert_eq!(link.next().await.unwrap().unwrap().data, expected);
        }
        assert!(link.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn empty_datagrams_cannot_fill_the_memory_either() {
        let mut link = link(false);
        let sent = 2 * QUEUE / OVERHEAD;
        for _ in 0..sent {
            arrive(&link, b"", 0);
        }
        let lost = link.peer.info.counters().lost();
        assert_eq!(lost as usize, sent - QUEUE / OVERHEAD);
        // What is taken makes room again.
        link.next().await.unwrap().unwrap();
        arrive(&link, b"", 0);
        assert_eq!(link.peer.info.counters().lost(), lost);
    }

    #[tokio::test]
    async fn a_message_that_failed_is_not_sent_with_the_next_one() {
        let mut link = link(false);
        arrive(&link, b"x", 1);
        link.feed(Message::binary("first".into())).await.unwrap();
        link.peer.fail(io::ErrorKind::NetworkUnreachable.into());
        link.flush().await.unwrap_err();
        link.send(Message::binary("second".into())).await.unwrap();
        let mut outbox = super::super::exchange::Outbox::new();
        link.exchange.take(&mut outbox);
        let left: Vec<_> = outbox.iter().map(|message| &message.data[..]).collect();
        assert_eq!(left, [b"second"]);
    }

    #[tokio::test]
    async fn silence_ends_it_and_says_so() {
        let mut link = link(false);
        arrive(&link, b"last", 4);
        let now = Instant::now();
        assert!(!link.peer.expire(now, IDLE));
        assert!(link.peer.expire(now + IDLE, IDLE));
        assert!(!arrive(&link, b"late", 4), "a new session is needed");
        assert_eq!(link.next().await.unwrap().unwrap().data, "last");
        assert!(link.next().await.is_none());
        link.send(Message::binary("to nobody".into()))
            .await
            .unwrap();
        assert_eq!(link.peer.info.counters().lost(), 1);
    }

    #[tokio::test]
    async fn what_no_datagram_can_hold_is_refused() {
        let mut link = link(false);
        let error = link.send(Message::binary(vec![0; 1001].into())).await;
        assert!(matches!(
            error,
            Err(Error::TooLarge {
                size: 1001,
                limit: 1000,
                ..
            })
        ));
    }
}
