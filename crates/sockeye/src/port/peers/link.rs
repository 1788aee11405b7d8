//! One peer of a datagram socket: its queue, and the session's side of it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::task::AbortHandle;

use super::exchange::{Exchange, Moment, Place};
use super::inbox::Inbox;
use super::reflex::Reflex;
use crate::error::{Error, Operation, Result};
use crate::session::{Info, Message};
use crate::socket::slot::Slot;

/// Bytes that may wait for one session; what comes beyond is dropped and counted.
const QUEUE: u32 = 4 * 1024 * 1024;

/// A datagram in the queue counts for more than its payload, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

/// IPv4 and UDP headers, which an attacker pays for too: RFC 791 and RFC 768.
const HEADERS: usize = 28;

pub(in crate::port) struct Peer<A> {
    pub(in crate::port) address: A,
    info: Arc<Info>,
    /// When something last went either way: a [`Moment`].
    last: AtomicU64,
    state: Mutex<State>,
}

/// There may be 100,000 of these, so what few need stands in a box.
struct State {
    inbox: Inbox,
    /// What waits there, with what each datagram counts for.
    bytes: u32,
    waker: Option<Waker>,
    /// What a source that may be forged has yet to prove.
    proof: Option<Box<Proof>>,
    error: Option<io::Error>,
    task: Option<AbortHandle>,
    /// The session waits for a datagram, and has said nothing since it does.
    waits: bool,
    /// It waits, and all that it said is with the driver.
    idle: bool,
    /// The session has let go of it.
    gone: bool,
    /// The session's task has ended.
    over: bool,
}

/// A source that has sent only one datagram may be forged, and the answer then hits somebody else: until a
/// second one came it is sent no more than three times what it cost (as RFC 9000, section 8.1).
#[derive(Default)]
struct Proof {
    datagrams: u32,
    /// Wire bytes that may still be sent.
    credit: u32,
    /// A sender that waits for the second datagram.
    held: Option<Waker>,
}

/// What became of a run of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Answered, and nobody was woken.
    Answered,
    /// The session has to run.
    Queued,
    /// There is no session, or it has ended.
    ToNobody,
}

/// What a datagram in the queue counts for.
fn weight(datagram: &Bytes) -> u32 {
    u32::try_from(datagram.len() + OVERHEAD).unwrap_or(u32::MAX)
}

/// What a datagram of `size` bytes weighs on the wire.
fn cost(size: usize) -> u32 {
    u32::try_from(size + HEADERS).unwrap_or(u32::MAX / 3)
}

impl<A> Peer<A> {
    pub(super) fn new(address: A, info: Arc<Info>, forgeable: bool, now: Moment) -> Self {
        let state = State {
            inbox: Inbox::default(),
            bytes: 0,
            waker: None,
            proof: forgeable.then(Box::default),
            error: None,
            task: None,
            waits: false,
            idle: false,
            gone: false,
            over: false,
        };
        Self {
            address,
            info,
            last: AtomicU64::new(now.0),
            state: Mutex::new(state),
        }
    }

    pub(super) fn info(&self) -> &Info {
        &self.info
    }

    /// Has a run of datagrams answered by `reflex` while the session is idle, and queues what is left.
    pub(super) fn deliver(
        self: &Arc<Self>,
        run: &[u8],
        stride: usize,
        exchange: &Exchange<A>,
        now: Moment,
        reflex: &mut Reflex<'_, A>,
    ) -> Delivered {
        let mut state = self.lock();
        if state.gone {
            return Delivered::ToNobody;
        }
        self.last.store(now.0, Relaxed);
        let mut rest = run;
        // What the session said before is on its way, and leaves first.
        if state.is_idle() && !self.info.wants_messages() && !exchange.has_news() {
            loop {
                let (datagram, others) = rest.split_at(stride.min(rest.len()));
                if !reflex(self, datagram) {
                    break;
                }
                if others.is_empty() {
                    return Delivered::Answered;
                }
                rest = others;
            }
        }
        self.queue_run(&mut state, Bytes::copy_from_slice(rest), stride, exchange);
        wake(state);
        Delivered::Queued
    }

    /// What opens a session.
    pub(super) fn begin(&self, run: Bytes, stride: usize, exchange: &Exchange<A>) {
        self.queue_run(&mut self.lock(), run, stride, exchange);
    }

    fn queue_run(&self, state: &mut State, mut run: Bytes, stride: usize, exchange: &Exchange<A>) {
        while run.len() > stride {
            self.queue(state, run.split_to(stride), exchange);
        }
        self.queue(state, run, exchange);
    }

    fn queue(&self, state: &mut State, datagram: Bytes, exchange: &Exchange<A>) {
        if let Some(proof) = &mut state.proof {
            proof.datagrams += 1;
            proof.credit = proof.credit.saturating_add(3 * cost(datagram.len()));
        }
        let size = weight(&datagram);
        if state.bytes.saturating_add(size) > QUEUE || !exchange.enqueue(size as usize) {
            self.info.counters().add_lost();
            return;
        }
        state.bytes += size;
        state.inbox.push(datagram);
    }

    /// A message to this peer was dropped, because it takes none.
    pub(in crate::port) fn lose(&self) {
        self.info.counters().add_lost();
    }

    /// A message to this peer could not be sent.
    pub(super) fn fail(&self, error: io::Error) {
        let mut state = self.lock();
        if state.gone {
            self.info.counters().add_lost();
        }
        state.error = Some(error);
        wake(state);
    }

    /// The session answers what it has, and ends.
    pub(super) fn stop(&self) {
        self.info.stop();
        wake(self.lock());
    }

    /// The session runs on this task.
    pub(super) fn runs_on(&self, task: AbortHandle) {
        self.lock().task = Some(task);
    }

    /// Whether the session's task has not ended.
    pub(super) fn is_at_work(&self) -> bool {
        !self.lock().over
    }

    /// The session has had its time.
    pub(super) fn cut_off(&self) {
        if let Some(task) = self.lock().task.take() {
            task.abort();
        }
    }

    /// Ends the session if nothing went either way for `idle`. Gives back memory that only a burst needed.
    pub(super) fn expire(&self, now: Moment, idle: Duration) -> bool {
        let mut state = self.lock();
        state.inbox.shrink();
        if now.since(Moment(self.last.load(Relaxed))) < idle {
            return false;
        }
        self.info.expire();
        state.gone = true;
        wake(state);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether what comes may be answered without the session.
    fn is_idle(&self) -> bool {
        self.idle && self.proof.is_none()
    }

    /// The session was woken, or says something.
    fn at_work(&mut self) {
        (self.waits, self.idle) = (false, false);
    }
}

/// Wakes whoever waits to receive or to send.
fn wake(mut state: MutexGuard<'_, State>) {
    state.at_work();
    let held = match &mut state.proof {
        Some(proof) => proof.held.take(),
        None => None,
    };
    let receiving = state.waker.take();
    drop(state);
    receiving.into_iter().chain(held).for_each(Waker::wake);
}

/// The session's side. Small, because there may be 100,000 of these too.
pub(super) struct PeerLink<A> {
    peer: Arc<Peer<A>>,
    exchange: Arc<Exchange<A>>,
    limit: u32,
    place: Place,
    outgoing: Slot,
}

impl<A> PeerLink<A> {
    pub(super) fn new(peer: Arc<Peer<A>>, exchange: Arc<Exchange<A>>, limit: usize) -> Self {
        Self {
            peer,
            exchange,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            place: Place::default(),
            outgoing: Slot::default(),
        }
    }

    /// Whether a message of `size` bytes may leave now; `true` when it takes from the credit of an unproven source.
    ///
    /// # Errors
    /// With why the last one could not leave.
    fn poll_leave(&self, size: usize, waker: &Waker) -> Poll<io::Result<bool>> {
        let mut state = self.peer.lock();
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        let Some(proof) = &mut state.proof else {
            return Poll::Ready(Ok(false));
        };
        if proof.datagrams > 1 {
            state.proof = None;
            return Poll::Ready(Ok(false));
        }
        if proof.credit >= cost(size) {
            return Poll::Ready(Ok(true));
        }
        let first = proof.held.replace(waker.clone()).is_none();
        drop(state);
        if first {
            let peer = self.peer.info.peer();
            self.peer.info.note(&format!(
                "an answer to {peer} is held until it sends again: it is over three times what it sent, and \
                 its address may be forged"
            ));
        }
        Poll::Pending
    }
}

impl<A> Drop for PeerLink<A> {
    fn drop(&mut self) {
        if self.outgoing.take().is_some() {
            self.peer.lose();
        }
        let mut state = self.peer.lock();
        state.gone = true;
        state.inbox = Inbox::default();
        self.exchange
            .dequeue(std::mem::take(&mut state.bytes) as usize);
    }
}

/// Keeps a peer in the table until its session's task has ended, and not only its conversation.
pub(super) struct InTable<A> {
    pub(super) peer: Arc<Peer<A>>,
    pub(super) exchange: Arc<Exchange<A>>,
}

impl<A> Drop for InTable<A> {
    fn drop(&mut self) {
        self.peer.lock().over = true;
        self.exchange.end(self.peer.clone());
    }
}

impl<A: Unpin> Stream for PeerLink<A> {
    type Item = Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let info = &self.peer.info;
        let mut state = self.peer.lock();
        if let Some(data) = state.inbox.pop() {
            let size = weight(&data);
            state.bytes -= size;
            self.exchange.dequeue(size as usize);
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
        state.waits = true;
        state.idle = self.outgoing.message().is_none();
        Poll::Pending
    }
}

impl<A: Unpin> Sink<Message> for PeerLink<A> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let limit = self.limit as usize;
        if message.data.len() > limit {
            return Err(Error::TooLarge {
                address: self.peer.info.peer().to_string(),
                size: message.data.len(),
                limit,
            });
        }
        self.peer.lock().at_work();
        let put = self.outgoing.put(message.data);
        put.map_err(|source| Error::io(Operation::Send, self.peer.info.peer(), source))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(size) = self.outgoing.message().map(Bytes::len) else {
            return Poll::Ready(Ok(()));
        };
        let on_credit = match self.poll_leave(size, cx.waker()) {
            Poll::Ready(Ok(on_credit)) => on_credit,
            Poll::Ready(Err(error)) => {
                // Whoever is told that it failed must not find it sent with the next one.
                self.outgoing.take();
                let peer = self.peer.info.peer();
                return Poll::Ready(Err(Error::io(Operation::Send, peer, error)));
            }
            Poll::Pending if self.peer.info.is_stopping() || self.peer.info.has_expired() => {
                // The proof will not come any more.
                self.outgoing.take();
                self.peer.lose();
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => return Poll::Pending,
        };
        let Self {
            exchange,
            outgoing,
            place,
            peer,
            ..
        } = &mut *self;
        ready!(exchange.poll_push(peer, outgoing, place, cx.waker()));
        let mut state = peer.lock();
        if on_credit && let Some(proof) = &mut state.proof {
            proof.credit = proof.credit.saturating_sub(cost(size));
        }
        // What was fed leaves as the session goes to wait.
        state.idle = state.waits;
        drop(state);
        peer.last.store(exchange.now().0, Relaxed);
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
        let info = Arc::new(Info::new(identity));
        let peer = Peer::new("peer", info, forgeable, Moment(0));
        PeerLink::new(Arc::new(peer), Arc::new(Exchange::new()), 1000)
    }

    fn arrive(link: &PeerLink<&'static str>, data: &'static [u8], stride: usize) -> bool {
        let (peer, exchange) = (&link.peer, &link.exchange);
        let delivered = peer.deliver(data, stride, exchange, Moment(0), &mut |_, _| false);
        delivered == Delivered::Queued
    }

    /// Whether a message of `size` bytes may be sent now.
    fn may_send(link: &mut PeerLink<&'static str>, size: usize) -> bool {
        let sent = link.send(Message::binary(vec![0; size].into()));
        match sent.now_or_never() {
            Some(sent) => sent.is_ok(),
            None => {
                link.outgoing.take();
                false
            }
        }
    }

    /// What was handed to the driver since this was last asked.
    fn left(link: &PeerLink<&'static str>) -> Vec<Bytes> {
        let mut outbox = super::super::exchange::Outbox::new();
        link.exchange.take(&mut outbox);
        outbox.iter().map(|message| message.data.clone()).collect()
    }

    /// Whether a datagram is answered without the session.
    fn has_reflex(link: &PeerLink<&'static str>) -> bool {
        let (peer, exchange) = (&link.peer, &link.exchange);
        let delivered = peer.deliver(b"ping", 4, exchange, Moment(0), &mut |_, _| true);
        delivered == Delivered::Answered
    }

    /// The session waits; `true`: it got something.
    fn waits(link: &mut PeerLink<&'static str>) -> bool {
        link.next().now_or_never().is_some()
    }

    #[tokio::test]
    async fn only_for_a_session_that_waits_is_there_a_reflex() {
        let mut link = link(false);
        assert!(!has_reflex(&link), "it has not asked for anything yet");
        assert!(waits(&mut link) && !has_reflex(&link), "it is at work");
        assert!(waits(&mut link) && !waits(&mut link));
        assert!(has_reflex(&link) && has_reflex(&link));
        // Woken, it may say something before it looks for what came.
        assert!(arrive(&link, b"to be thought of", 16));
        assert!(!has_reflex(&link));
        assert!(waits(&mut link) && waits(&mut link) && !waits(&mut link));
        assert!(has_reflex(&link));
        link.peer.info.stop();
        assert!(!has_reflex(&link), "it is to see its end");
    }

    #[tokio::test]
    async fn a_session_that_speaks_up_is_not_one_that_waits() {
        let mut link = link(false);
        assert!(!waits(&mut link));
        link.send(Message::binary("news".into())).await.unwrap();
        assert_eq!(left(&link), ["news"]);
        assert!(!has_reflex(&link), "it may have more to say");
        assert!(waits(&mut link) && !waits(&mut link));
        assert!(has_reflex(&link));
    }

    #[tokio::test]
    async fn what_a_session_fed_leaves_before_there_is_a_reflex() {
        let mut link = link(false);
        link.feed(Message::binary("fed".into())).await.unwrap();
        assert!(!waits(&mut link) && !has_reflex(&link), "it is still here");
        assert!(waits(&mut link) && !waits(&mut link));
        link.flush().await.unwrap();
        assert!(!has_reflex(&link), "the driver has not taken it");
        assert_eq!(left(&link), ["fed"]);
        assert!(waits(&mut link) && !waits(&mut link));
        assert!(has_reflex(&link));
    }

    #[tokio::test]
    async fn a_source_that_may_be_forged_has_no_reflex_until_it_has_proven_itself() {
        let mut link = link(true);
        assert!(!waits(&mut link) && !has_reflex(&link));
        assert!(waits(&mut link) && !waits(&mut link) && !has_reflex(&link));
        assert!(may_send(&mut link, 1000), "two have come");
        left(&link);
        assert!(waits(&mut link) && !waits(&mut link));
        assert!(has_reflex(&link));
    }

    #[tokio::test]
    async fn of_a_run_the_session_gets_what_has_no_reflex_and_what_follows() {
        let mut link = link(false);
        assert!(!waits(&mut link));
        let mut answered = Vec::new();
        let delivered = link.peer.deliver(
            b"aabbccd",
            2,
            &link.exchange,
            Moment(0),
            &mut |_, datagram| {
                let quick = datagram != b"bb";
                answered.extend(quick.then(|| datagram.to_vec()));
                quick
            },
        );
        assert_eq!(delivered, Delivered::Queued);
        assert_eq!(answered, [b"aa"]);
        for expected in [&b"bb"[..], b"cc", b"d"] {
            assert_eq!(link.next().await.unwrap().unwrap().data, expected);
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
        let exchange = link.exchange.clone();
        let sending = link.send(Message::binary(vec![0; 500].into()));
        let arriving = async {
            tokio::task::yield_now().await;
            peer.deliver(&[], 0, &exchange, Moment(0), &mut |_, _| false);
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
        let most = QUEUE as usize / OVERHEAD;
        let sent = 2 * most;
        for _ in 0..sent {
            arrive(&link, b"", 0);
        }
        let lost = link.peer.info.counters().lost();
        assert_eq!(lost as usize, sent - most);
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
        assert_eq!(left(&link), ["second"]);
    }

    #[tokio::test]
    async fn a_message_whose_send_was_dropped_keeps_its_place() {
        let mut link = link(true);
        arrive(&link, b"", 0);
        let held = link.send(Message::binary(vec![0; 500].into()));
        assert!(held.now_or_never().is_none(), "it is over three times 28");
        // Nothing takes its place unseen.
        let mut sink = Pin::new(&mut link);
        let refused = sink.as_mut().start_send(Message::binary("x".into()));
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        assert!(
            sink.send(Message::binary("x".into()))
                .now_or_never()
                .is_none()
        );
        // The second datagram lets it go, and then the next.
        arrive(&link, b"", 0);
        link.send(Message::binary("next".into())).await.unwrap();
        assert_eq!(left(&link), [&[0; 500][..], b"next"]);
        assert_eq!(link.peer.info.counters().lost(), 0);
    }

    #[tokio::test]
    async fn a_message_that_never_left_is_counted() {
        let mut link = link(true);
        arrive(&link, b"", 0);
        let held = link.send(Message::binary(vec![0; 500].into()));
        assert!(held.now_or_never().is_none(), "it is over three times 28");
        let peer = link.peer.clone();
        drop(link);
        assert_eq!(peer.info.counters().lost(), 1);
    }

    #[tokio::test]
    async fn silence_ends_it_and_says_so() {
        let mut link = link(false);
        arrive(&link, b"last", 4);
        assert!(!link.peer.expire(Moment(59_999), IDLE));
        assert!(link.peer.expire(Moment(60_000), IDLE));
        assert!(!arrive(&link, b"late", 4), "a new session is needed");
        assert_eq!(link.next().await.unwrap().unwrap().data, "last");
        assert!(link.next().await.is_none());
        link.send(Message::binary("goodbye".into())).await.unwrap();
        assert_eq!(left(&link), [&b"goodbye"[..]]);
        assert_eq!(link.peer.info.counters().lost(), 0);
    }

    #[tokio::test]
    async fn who_has_proven_nothing_when_silence_ends_it_is_told_no_more() {
        let mut link = link(true);
        arrive(&link, b"", 0);
        assert!(link.peer.expire(Moment(60_000), IDLE));
        link.send(Message::binary(vec![0; 500].into()))
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
