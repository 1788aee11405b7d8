//! Where sessions and the driver of their socket meet: what is to be sent, and who has ended.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::link::Peer;

/// Bytes that may wait to be sent before senders wait.
const ROOM: usize = 4 * 1024 * 1024;

pub(in crate::port) struct Exchange<A> {
    driver: AtomicWaker,
    state: Mutex<State<A>>,
    start: Instant,
    /// Milliseconds since `start`, as of the driver's last turn: a clock that costs sessions nothing.
    now: AtomicU64,
}

struct State<A> {
    outbox: Outbox<A>,
    /// Bytes the driver took and has not sent.
    in_hand: usize,
    waiting: Vec<Waker>,
    ended: Vec<Arc<Peer<A>>>,
}

/// Messages in the order in which they are to leave.
pub(in crate::port) struct Outbox<A> {
    messages: VecDeque<Outgoing<A>>,
    bytes: usize,
}

/// One message and whom it is for.
pub(in crate::port) struct Outgoing<A> {
    pub(in crate::port) peer: Arc<Peer<A>>,
    pub(in crate::port) data: Bytes,
}

/// A message counts for more than its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

impl<A> Outbox<A> {
    pub(super) const fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(in crate::port) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(in crate::port) fn iter(&self) -> impl Iterator<Item = &Outgoing<A>> {
        self.messages.iter()
    }

    pub(in crate::port) fn front(&self) -> Option<&Outgoing<A>> {
        self.messages.front()
    }

    fn push(&mut self, message: Outgoing<A>) {
        self.bytes += message.data.len() + OVERHEAD;
        self.messages.push_back(message);
    }

    pub(in crate::port) fn pop(&mut self) -> Option<Outgoing<A>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.data.len() + OVERHEAD;
        Some(message)
    }

    fn append(&mut self, other: &mut Self) {
        if self.messages.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.messages.append(&mut other.messages);
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }
}

impl<A> Exchange<A> {
    pub(super) fn new() -> Self {
        let state = State {
            outbox: Outbox::new(),
            in_hand: 0,
            waiting: Vec::new(),
            ended: Vec::new(),
        };
        Self {
            driver: AtomicWaker::new(),
            state: Mutex::new(state),
            start: Instant::now(),
            now: AtomicU64::new(0),
        }
    }

    pub(super) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    /// Hands `message` to the driver; `Pending` while too much is waiting.
    pub(super) fn poll_push(&self, message: &mut Option<Outgoing<A>>, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        if state.outbox.bytes + state.in_hand > ROOM {
            state.waiting.push(waker.clone());
            return Poll::Pending;
        }
        let Some(message) = message.take() else {
            return Poll::Ready(());
        };
        let first = state.outbox.is_empty();
        state.outbox.push(message);
        drop(state);
        if first {
            self.driver.wake();
        }
        Poll::Ready(())
    }

    /// Moves everything that waits to `sending`.
    pub(super) fn take(&self, sending: &mut Outbox<A>) {
        let mut state = self.lock();
        sending.append(&mut state.outbox);
        state.in_hand = sending.bytes;
    }

    /// The driver has sent all but `sending`: senders that waited may go on.
    pub(super) fn give_room(&self, sending: &Outbox<A>) {
        let mut state = self.lock();
        state.in_hand = sending.bytes;
        if state.outbox.bytes + state.in_hand <= ROOM / 2 {
            for waker in state.waiting.drain(..) {
                waker.wake();
            }
        }
    }

    pub(super) fn end(&self, peer: Arc<Peer<A>>) {
        self.lock().ended.push(peer);
        self.driver.wake();
    }

    pub(super) fn take_ended(&self) -> Vec<Arc<Peer<A>>> {
        std::mem::take(&mut self.lock().ended)
    }

    pub(super) fn set_now(&self, now: Instant) {
        let since = now.duration_since(self.start).as_millis();
        self.now
            .store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, State<A>> {
        // Nothing in here can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
