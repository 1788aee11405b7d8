//! Where sessions and the driver of their socket meet: what is to be sent, and who has ended.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use rustix::time::{ClockId, clock_gettime};

use super::link::Peer;
use crate::socket::slot::Slot;

/// Bytes that may wait to be sent before senders wait.
const ROOM: usize = 4 * 1024 * 1024;

pub(in crate::port) struct Exchange<A> {
    driver: AtomicWaker,
    state: Mutex<State<A>>,
    /// Something waits in `state` for the driver.
    news: AtomicBool,
    /// Bytes that the driver took and has not sent. Only the driver writes here.
    in_hand: AtomicUsize,
    start: u64,
    /// Milliseconds since `start`, as of the driver's last turn: a clock that costs sessions nothing.
    now: AtomicU64,
    sweep: AtomicBool,
    stop: AtomicBool,
    /// Bytes that wait in the queues of all peers.
    queued: AtomicUsize,
}

/// The system's clock as of its last tick. A tick is some milliseconds, and to read the very time takes several
/// times as long; each datagram that comes alone does it.
fn milliseconds() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // It counts from the start of the machine.
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// Milliseconds since the port began: all that silence is measured in, and small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

struct State<A> {
    outbox: Outbox<A>,
    waiting: Vec<Waker>,
    ended: Vec<Arc<Peer<A>>>,
}

/// Where a sender stands among those who wait for room.
///
/// It remembers, so that nobody looks for it: there may be as many senders as peers, and they all come back
/// whenever there is room for some of them.
#[derive(Debug, Default)]
pub(super) struct Place(u32);

impl Place {
    /// Waits there, unless it does already.
    fn wait(&mut self, waiting: &mut Vec<Waker>, waker: &Waker) {
        let here = waiting.get(self.0 as usize);
        if !here.is_some_and(|known| known.will_wake(waker)) {
            // No port has so many sessions.
            self.0 = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
            waiting.push(waker.clone());
        }
    }
}

/// Wakes the driver to stop. It then sees so at a glance, where polling the token would take its locks for every
/// datagram.
pub(super) struct Bell<A>(pub(super) Arc<Exchange<A>>);

impl<A: Send + Sync> Wake for Bell<A> {
    fn wake(self: Arc<Self>) {
        self.0.stop.store(true, Release);
        self.0.driver.wake();
    }
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

/// Bytes that may wait in the queues of all peers of a socket together.
const QUEUED: usize = 256 * 1024 * 1024;

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

    pub(in crate::port) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(in crate::port) fn iter(&self) -> impl Iterator<Item = &Outgoing<A>> {
        self.messages.iter()
    }

    pub(in crate::port) fn front(&self) -> Option<&Outgoing<A>> {
        self.messages.front()
    }

    /// Whether as much waits as may.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > ROOM
    }

    pub(super) fn push(&mut self, message: Outgoing<A>) {
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
            waiting: Vec::new(),
            ended: Vec::new(),
        };
        Self {
            driver: AtomicWaker::new(),
            state: Mutex::new(state),
            news: AtomicBool::new(false),
            in_hand: AtomicUsize::new(0),
            start: milliseconds(),
            now: AtomicU64::new(0),
            sweep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
        }
    }

    pub(super) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    /// Hands what is in `slot` to the driver; `Pending` while too much is waiting.
    pub(super) fn poll_push(
        &self,
        peer: &Arc<Peer<A>>,
        slot: &mut Slot,
        place: &mut Place,
        waker: &Waker,
    ) -> Poll<()> {
        let mut state = self.lock();
        if state.outbox.bytes + self.in_hand.load(Relaxed) > ROOM {
            place.wait(&mut state.waiting, waker);
            return Poll::Pending;
        }
        let Some(data) = slot.take() else {
            return Poll::Ready(());
        };
        let first = state.outbox.is_empty();
        let peer = peer.clone();
        state.outbox.push(Outgoing { peer, data });
        self.news.store(true, Release);
        drop(state);
        if first {
            self.driver.wake();
        }
        Poll::Ready(())
    }

    /// Whether something waits for the driver.
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Acquire)
    }

    /// Moves everything that waits to `sending`, and gives the peers whose sessions have ended.
    pub(super) fn take(&self, sending: &mut Outbox<A>) -> Vec<Arc<Peer<A>>> {
        if !self.has_news() {
            return Vec::new();
        }
        let mut state = self.lock();
        self.news.store(false, Relaxed);
        sending.append(&mut state.outbox);
        self.in_hand.store(sending.bytes, Relaxed);
        std::mem::take(&mut state.ended)
    }

    /// The driver has sent all but `sending`: senders that waited may go on.
    pub(super) fn give_room(&self, sending: &Outbox<A>) {
        if self.in_hand.load(Relaxed) == sending.bytes {
            return;
        }
        // Before the lock: whoever has waited by then is woken, and whoever comes later sees this.
        self.in_hand.store(sending.bytes, Relaxed);
        let mut state = self.lock();
        if state.outbox.bytes + sending.bytes <= ROOM / 2 {
            for waker in state.waiting.drain(..) {
                waker.wake();
            }
        }
    }

    pub(super) fn end(&self, peer: Arc<Peer<A>>) {
        let mut state = self.lock();
        state.ended.push(peer);
        self.news.store(true, Release);
        drop(state);
        self.driver.wake();
    }

    /// Takes room in the queues, if there is some.
    pub(super) fn enqueue(&self, size: usize) -> bool {
        // Only the driver adds, so that looking first is enough.
        let free = self.queued.load(Relaxed) + size <= QUEUED;
        if free {
            self.queued.fetch_add(size, Relaxed);
        }
        free
    }

    pub(super) fn dequeue(&self, size: usize) {
        self.queued.fetch_sub(size, Relaxed);
    }

    pub(super) fn ask_for_sweep(&self) {
        self.sweep.store(true, Relaxed);
        self.driver.wake();
    }

    pub(super) fn wants_sweep(&self) -> bool {
        self.sweep.load(Relaxed) && self.sweep.swap(false, Relaxed)
    }

    pub(super) fn wants_stop(&self) -> bool {
        self.stop.load(Acquire)
    }

    /// Reads the clock, for everyone.
    pub(super) fn tick(&self) -> Moment {
        let now = milliseconds().saturating_sub(self.start);
        self.now.store(now, Relaxed);
        Moment(now)
    }

    /// The time of the last tick.
    pub(super) fn now(&self) -> Moment {
        Moment(self.now.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, State<A>> {
        // Nothing in here can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::session::{Endpoint, Identity, Info, Side};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn message(size: usize) -> Outgoing<u8> {
        let data = vec![0; size].into();
        Outgoing { peer: peer(), data }
    }

    fn peer() -> Arc<Peer<u8>> {
        let identity = Identity::new(Side::Accepted, "udp", Endpoint::Memory, Endpoint::Memory);
        let info = Arc::new(Info::new(identity));
        Arc::new(Peer::new(0, info, false, Moment(0)))
    }

    fn slot(size: usize) -> Slot {
        let mut slot = Slot::default();
        slot.put(vec![0; size].into()).unwrap();
        slot
    }

    #[test]
    fn senders_wait_while_the_driver_has_too_much_in_hand() {
        const SIZE: usize = 64 * 1024;
        let (driver, sender) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let exchange = Exchange::new();
        exchange.register(&driver.clone().into());
        let waker = Waker::from(sender.clone());
        let mut place = Place::default();
        let mut push = |size| exchange.poll_push(&peer(), &mut slot(size), &mut place, &waker);
        let mut taken = 0;
        while push(SIZE).is_ready() {
            taken += 1;
            assert!(taken * SIZE <= ROOM + SIZE, "more than there is room for");
        }
        assert!(taken * SIZE >= ROOM - ROOM / 100);
        assert_eq!(
            driver.0.load(Ordering::SeqCst),
            1,
            "woken by the first only"
        );

        // In the driver's hand it still counts; when half has left, senders go on.
        let mut sending = Outbox::new();
        exchange.take(&mut sending);
        exchange.give_room(&sending);
        assert!(push(1).is_pending());
        assert_eq!(sender.0.load(Ordering::SeqCst), 0);
        while sending.bytes > ROOM / 2 {
            sending.pop();
        }
        exchange.give_room(&sending);
        assert!(sender.0.load(Ordering::SeqCst) > 0);
        assert!(push(1).is_ready());
    }

    #[test]
    fn a_sender_waits_in_one_place_however_often_it_looks() {
        let wakers = [0, 1].map(|_| Waker::from(Arc::new(Woken::default())));
        let mut places = [Place::default(), Place::default()];
        let mut waiting = Vec::new();
        for _ in 0..2 {
            for _ in 0..3 {
                for (place, waker) in places.iter_mut().zip(&wakers) {
                    place.wait(&mut waiting, waker);
                }
            }
            assert_eq!(waiting.len(), 2);
            // All are woken, and come back in another order.
            waiting.clear();
            places.reverse();
            let [a, b] = &mut places;
            a.wait(&mut waiting, &wakers[0]);
            b.wait(&mut waiting, &wakers[1]);
            assert_eq!(waiting.len(), 2);
            waiting.clear();
        }
    }

    #[test]
    fn as_many_senders_as_peers_may_wait() {
        const SENDERS: usize = 50_000;
        let exchange = Exchange::new();
        let waker = Waker::noop();
        let mut full = slot(1);
        while exchange
            .poll_push(&peer(), &mut full, &mut Place::default(), waker)
            .is_ready()
        {
            full = slot(1_000_000);
        }
        let began = std::time::Instant::now();
        let mut senders: Vec<_> = (0..SENDERS)
            .map(|_| (Place::default(), Waker::from(Arc::new(Woken::default()))))
            .collect();
        let peer = peer();
        for _ in 0..2 {
            for (place, waker) in &mut senders {
                let pushed = exchange.poll_push(&peer, &mut full, place, waker);
                assert!(pushed.is_pending());
            }
        }
        assert_eq!(exchange.lock().waiting.len(), SENDERS + 1);
        // Looking for each of them among the others takes a time that grows with their square.
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[test]
    fn an_outbox_counts_what_is_in_it() {
        let (mut a, mut b) = (Outbox::new(), Outbox::new());
        a.push(message(10));
        b.push(message(0));
        b.push(message(5));
        a.append(&mut b);
        assert_eq!((a.bytes, b.bytes), (15 + 3 * OVERHEAD, 0));
        while a.pop().is_some() {}
        assert_eq!(a.bytes, 0);
    }
}
