//! Sessions over one datagram socket: each peer is a session with a queue of its own.
//!
//! One driver task owns the socket. It receives a batch, puts each datagram into its peer's queue, lets
//! the sessions run, and then sends what they answered, so that a busy socket costs a system call per
//! batch and not per datagram. A slow session never holds up the others: its queue is bounded, the
//! newest datagram is dropped and counted.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Cx, Poll, ready};
use std::time::Duration;

use super::run::Context;
use crate::error::{Error, Operation, Result};
use crate::service::Service;
use crate::session::{Info, Session};
use bytes::Bytes;
use tokio::time::Sleep;

mod exchange;
mod link;
mod sweeper;

pub(super) use exchange::Outbox;
use exchange::{Exchange, Moment};
use link::{InTable, Peer, PeerLink};
use sweeper::Sweeper;

/// A UDP session ends after this much silence unless told otherwise.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// A datagram socket that many peers talk to.
pub(super) trait Datagrams: Send + 'static {
    const PROTOCOL: &'static str;

    /// Who a datagram came from, and to which of our addresses.
    type Address: Clone + Eq + Hash + Send + Sync + Unpin + 'static;

    /// Receives one batch. Each call of `each` is a run of datagrams from one peer: their bytes, and
    /// the size of every one but the last, which may be shorter (0 when there is only an empty one).
    fn poll_receive(
        &mut self,
        cx: &mut Cx<'_>,
        each: &mut dyn FnMut(Self::Address, Bytes, usize),
    ) -> Poll<io::Result<()>>;

    /// Sends messages from the front of `outbox`; `Pending` when the socket is full.
    ///
    /// # Errors
    /// With how many messages could not be sent; they stay at the front.
    fn poll_send(
        &mut self,
        cx: &mut Cx<'_>,
        outbox: &mut Outbox<Self::Address>,
    ) -> Poll<Result<(), Unsent>>;

    /// Our end and the peer's.
    fn endpoints(
        &self,
        address: &Self::Address,
    ) -> (crate::session::Endpoint, crate::session::Endpoint);

    /// The largest datagram, in bytes.
    fn limit(&self, address: &Self::Address) -> usize;

    /// Whether the sender's address may be forged, so that it must not be sent much more than it sent.
    fn may_be_forged(&self, address: &Self::Address) -> bool;
}

/// A peer in the table, found by its address, which so stands in memory once.
struct ByAddress<A>(Arc<Peer<A>>);

impl<A> Borrow<A> for ByAddress<A> {
    fn borrow(&self) -> &A {
        &self.0.address
    }
}

impl<A: Hash> Hash for ByAddress<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.address.hash(state);
    }
}

impl<A: Eq> PartialEq for ByAddress<A> {
    fn eq(&self, other: &Self) -> bool {
        self.0.address == other.0.address
    }
}

impl<A: Eq> Eq for ByAddress<A> {}

/// The first message of the outbox could not be sent.
#[derive(Debug)]
pub(super) struct Unsent(pub(super) io::Error);

pub(super) async fn serve<D: Datagrams>(
    socket: D,
    service: Arc<impl Service>,
    context: Arc<Context>,
) -> Result<()> {
    let idle = context.config.idle_timeout.unwrap_or(IDLE);
    let mut driver = Driver {
        socket,
        service,
        peers: HashSet::new(),
        exchange: Arc::new(Exchange::new()),
        sending: Outbox::new(),
        leaving: Vec::new(),
        idle,
        turned_away: 0,
        pause: None,
        context,
    };
    let stop = driver.context.stop.clone();
    let period = (idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
    let _sweeper = Sweeper::start(&driver.exchange, period);
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = poll_fn(|cx| {
            driver.poll(cx, true);
            Poll::Pending
        }) => {}
    }
    driver.wind_down().await;
    Ok(())
}

struct Driver<D: Datagrams, S> {
    socket: D,
    service: Arc<S>,
    peers: HashSet<ByAddress<D::Address>>,
    exchange: Arc<Exchange<D::Address>>,
    /// Taken out of the exchange, not sent yet.
    sending: Outbox<D::Address>,
    /// No longer in the table, since then; their tasks may still be at work.
    leaving: Vec<(Moment, Arc<Peer<D::Address>>)>,
    idle: Duration,
    turned_away: u64,
    /// Receiving failed, and is tried again after this.
    pause: Option<Pin<Box<Sleep>>>,
    context: Arc<Context>,
}

/// Batches that are still read when the port stops.
const BACKLOG: usize = 64;

/// How long receiving pauses after it failed: the system may be out of memory, or a network down.
const PAUSE: Duration = Duration::from_secs(1);

impl<D: Datagrams, S: Service> Driver<D, S> {
    /// One turn: send what the sessions said, receive one batch, then let the sessions run.
    fn poll(&mut self, cx: &mut Cx<'_>, receiving: bool) {
        self.exchange.register(cx.waker());
        if self.exchange.wants_sweep() {
            self.sweep();
        }
        self.send(cx);
        if !receiving || self.poll_pause(cx).is_pending() {
            return;
        }
        match self.receive(cx) {
            Poll::Ready(Ok(())) => cx.waker().wake_by_ref(),
            Poll::Ready(Err(error)) => {
                if let Some(observer) = &self.context.config.observer {
                    observer.trouble(&Error::io(Operation::Receive, D::PROTOCOL, error));
                }
                self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                cx.waker().wake_by_ref();
            }
            Poll::Pending => {}
        }
    }

    fn poll_pause(&mut self, cx: &mut Cx<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn receive(&mut self, cx: &mut Cx<'_>) -> Poll<io::Result<()>> {
        let Self {
            socket,
            service,
            peers,
            exchange,
            context,
            leaving,
            turned_away,
            ..
        } = self;
        let mut clock = None;
        let mut newcomers = Vec::new();
        let received = socket.poll_receive(cx, &mut |address, bytes, stride| {
            // Read once for a batch, and not at all when nothing came.
            let now = *clock.get_or_insert_with(|| exchange.tick());
            if let Some(peer) = peers.get(&address)
                && peer.0.deliver(&bytes, stride, exchange, now)
            {
                return;
            }
            newcomers.push((address, bytes, stride));
        });
        let now = exchange.now();
        for (address, bytes, stride) in newcomers {
            // An earlier datagram of the same batch may have opened the session.
            if let Some(peer) = peers.get(&address)
                && peer.0.deliver(&bytes, stride, exchange, now)
            {
                continue;
            }
            if !open(
                socket, service, peers, exchange, context, leaving, address, &bytes, stride,
            ) {
                *turned_away += 1;
            }
        }
        received
    }

    fn send(&mut self, cx: &mut Cx<'_>) {
        let ended = self.exchange.take(&mut self.sending);
        self.forget(ended);
        if self.sending.is_empty() {
            return;
        }
        while !self.sending.is_empty() {
            match self.socket.poll_send(cx, &mut self.sending) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Unsent(error))) => {
                    if let Some(message) = self.sending.pop() {
                        message.peer.fail(error);
                    }
                }
                Poll::Pending => break,
            }
        }
        self.exchange.give_room(&self.sending);
    }

    /// Takes peers whose sessions have ended out of the table; a later datagram opens a new session.
    fn forget(&mut self, ended: Vec<Arc<Peer<D::Address>>>) {
        for ended in ended {
            let same = |known: &ByAddress<_>| Arc::ptr_eq(&known.0, &ended);
            if self.peers.get(&ended.address).is_some_and(same) {
                self.peers.remove(&ended.address);
            }
        }
    }

    /// Ends sessions that were silent for too long; one look at the whole table instead of a timer each.
    fn sweep(&mut self) {
        let now = self.exchange.tick();
        let idle = self.idle;
        let grace = self.context.config.grace;
        self.leaving.retain(|(since, peer)| {
            let over = now.since(*since) > grace;
            if over {
                peer.cut_off();
            }
            !over && peer.is_at_work()
        });
        let leaving = &mut self.leaving;
        self.peers.retain(|peer| {
            let expired = peer.0.expire(now, idle);
            if expired {
                leaving.push((now, peer.0.clone()));
            }
            !expired
        });
        if self.peers.is_empty() {
            self.peers.shrink_to_fit();
        }
        if self.turned_away > 0 {
            let refused = std::mem::take(&mut self.turned_away);
            self.context.note(&format!(
                "turned away {refused} datagrams from new {} peers: not allowed, or as many sessions are open as may be",
                D::PROTOCOL
            ));
        }
    }

    /// What has arrived is still served; then sessions answer what they have, and the answers leave.
    async fn wind_down(mut self) {
        let deadline = self.context.config.grace;
        poll_fn(|cx| {
            // Bounded, because a flood does not end.
            let _ = (0..BACKLOG).try_for_each(|_| match self.receive(cx) {
                Poll::Ready(Ok(())) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            });
            Poll::Ready(())
        })
        .await;
        // The service may still say something, and it leaves.
        let context = self.context.clone();
        let mut goodbye = pin!(context.goodbye.cancelled());
        poll_fn(|cx| {
            self.poll(cx, false);
            goodbye.as_mut().poll(cx)
        })
        .await;
        self.peers.iter().for_each(|peer| peer.0.stop());
        self.leaving.iter().for_each(|(_, peer)| peer.stop());
        let done = poll_fn(|cx| {
            self.poll(cx, false);
            let at_work = self.leaving.iter().any(|(_, peer)| peer.is_at_work());
            if self.peers.is_empty() && self.sending.is_empty() && !at_work {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        // Out of time: what a full socket has not taken for so long is given up too.
        let _ = tokio::time::timeout(deadline, done).await;
    }
}

impl<D: Datagrams, S> Drop for Driver<D, S> {
    /// Nobody else can end these sessions: not after a broken socket, nor when the port was dropped.
    fn drop(&mut self) {
        let here = self.peers.iter().map(|peer| &peer.0);
        let gone = self.leaving.iter().map(|(_, peer)| peer);
        here.chain(gone).for_each(|peer| peer.cut_off());
        while let Some(message) = self.sending.pop() {
            message.peer.lose();
        }
    }
}

/// Opens a session for a peer that has none. `false` when it may not have one.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a driver that is borrowed in parts"
)]
#[expect(clippy::mutable_key_type, reason = "a peer's address never changes")]
fn open<D: Datagrams, S: Service>(
    socket: &D,
    service: &Arc<S>,
    peers: &mut HashSet<ByAddress<D::Address>>,
    exchange: &Arc<Exchange<D::Address>>,
    context: &Arc<Context>,
    leaving: &mut Vec<(Moment, Arc<Peer<D::Address>>)>,
    address: D::Address,
    bytes: &Bytes,
    stride: usize,
) -> bool {
    let (local, peer) = socket.endpoints(&address);
    let Ok(mut admission) = context.gate.admit(&peer) else {
        return false;
    };
    // Who must know a token says it in the first datagram, which is no message then.
    let said = match &context.config.token {
        None => 0,
        Some(token) if token.is_line(&bytes[..stride.min(bytes.len())]) => stride.min(bytes.len()),
        Some(_) => return false,
    };
    let Some(()) = context.gate.try_enter(&mut admission) else {
        return false;
    };
    match context.gate.count() {
        None => return false,
        Some(true) => context.enough.cancel(),
        Some(false) => {}
    }
    let info = Arc::new(Info::new(context.identity(D::PROTOCOL, local, peer)));
    let forgeable = socket.may_be_forged(&address);
    let peer = Arc::new(Peer::new(
        address.clone(),
        info.clone(),
        forgeable,
        exchange.now(),
    ));
    if said == 0 || said < bytes.len() {
        peer.deliver(&bytes.slice(said..), stride, exchange, exchange.now());
    }
    let link = PeerLink::new(peer.clone(), exchange.clone(), socket.limit(&address));
    let session = Session::of_packets(info, Box::new(link));
    let place = InTable {
        peer: peer.clone(),
        exchange: exchange.clone(),
    };
    peer.runs_on(context.start_told(service.clone(), session, admission, place));
    // A session that has let go of its peer may still be at work.
    if let Some(ended) = peers.replace(ByAddress(peer)) {
        leaving.push((exchange.now(), ended.0));
    }
    true
}
