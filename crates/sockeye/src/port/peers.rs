//! Sessions over one datagram socket: each peer is a session with a queue of its own.
//!
//! One driver task owns the socket. It receives a batch, puts each datagram into its peer's queue, lets
//! the sessions run, and then sends what they answered, so that a busy socket costs a system call per
//! batch and not per datagram. A slow session never holds up the others: its queue is bounded, the
//! newest datagram is dropped and counted.

use std::future::poll_fn;
use std::hash::Hash;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Cx, Poll, Waker, ready};
use std::time::Duration;

use super::run::Context;
use crate::error::{Error, Operation, Result};
use crate::service::Service;
use bytes::Bytes;
use tokio::time::Sleep;

mod exchange;
mod inbox;
mod link;
mod reflex;
mod sweeper;
mod table;

pub(super) use exchange::Outbox;
use exchange::{Bell, Exchange};
use link::Delivered;
use reflex::reflex;
use sweeper::Sweeper;
use table::{Run, Table};

/// A UDP session ends after this much silence unless told otherwise.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// A datagram socket that many peers talk to.
pub(super) trait Datagrams: Send + 'static {
    const PROTOCOL: &'static str;

    /// Who a datagram came from, and to which of our addresses.
    type Address: Clone + Eq + Hash + Send + Sync + Unpin + 'static;

    /// Receives one batch. `true`: something came that is not for peers, and somebody else has to run.
    fn poll_receive(
        &mut self,
        cx: &mut Cx<'_>,
        each: &mut Each<'_, Self::Address>,
    ) -> Poll<io::Result<bool>>;

    /// Sends messages from the front of `outbox`; `Pending` when the socket is full.
    ///
    /// # Errors
    /// With how many messages could not be sent; they stay at the front.
    fn poll_send(
        &mut self,
        cx: &mut Cx<'_>,
        outbox: &mut Outbox<Self::Address>,
    ) -> Poll<Result<(), Unsent>>;

    /// Goes on with what else the socket carries while the sessions of its peers end, and after that. Ready when
    /// that is nothing any more.
    fn poll_beside(&mut self, _cx: &mut Cx<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Our end and the peer's.
    fn endpoints(
        &self,
        address: &Self::Address,
    ) -> (crate::session::Endpoint, crate::session::Endpoint);

    /// The largest datagram, in bytes.
    fn limit(address: &Self::Address) -> usize;

    /// Whether the sender's address may be forged, so that it must not be sent much more than it sent.
    fn may_be_forged(&self, address: &Self::Address) -> bool;
}

/// Takes a run of datagrams from one peer: their bytes, and the size of every one but the last, which may be shorter
/// (0 when there is only an empty one).
pub(super) type Each<'a, A> = dyn FnMut(A, &[u8], usize) + 'a;

/// The first message of the outbox could not be sent.
#[derive(Debug)]
pub(super) struct Unsent(pub(super) io::Error);

pub(super) async fn serve<D: Datagrams>(
    socket: D,
    service: Arc<impl Service>,
    context: Arc<Context>,
) -> Result<()> {
    let idle = context.config.idle_timeout.unwrap_or(IDLE);
    let exchange = Arc::new(Exchange::new());
    let mut driver = Driver {
        socket,
        service,
        table: Table::new(exchange.clone(), context.clone()),
        exchange,
        sending: Outbox::new(),
        newcomers: Vec::new(),
        idle,
        pause: None,
        context,
    };
    let period = (idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
    let _sweeper = Sweeper::start(&driver.exchange, period);
    let stop = driver.context.stop.clone();
    let mut stopped = pin!(stop.cancelled());
    let bell = Waker::from(Arc::new(Bell(driver.exchange.clone())));
    if stopped
        .as_mut()
        .poll(&mut Cx::from_waker(&bell))
        .is_pending()
    {
        poll_fn(|cx| driver.poll(cx)).await;
    }
    driver.wind_down().await;
    Ok(())
}

struct Driver<D: Datagrams, S> {
    socket: D,
    service: Arc<S>,
    table: Table<D::Address>,
    exchange: Arc<Exchange<D::Address>>,
    /// Taken out of the exchange, not sent yet.
    sending: Outbox<D::Address>,
    /// Received from those who have no session yet; empty between turns.
    newcomers: Vec<Run<D::Address>>,
    idle: Duration,
    /// Receiving failed, and is tried again after this.
    pause: Option<Pin<Box<Sleep>>>,
    context: Arc<Context>,
}

/// Batches that are still read when the port stops.
const BACKLOG: usize = 64;

/// Batches that are answered in one turn without a session before other tasks run.
const TURN: usize = 16;

/// How long receiving pauses after it failed: the system may be out of memory, or a network down.
const PAUSE: Duration = Duration::from_secs(1);

impl<D: Datagrams, S: Service> Driver<D, S> {
    /// One turn: send what the sessions said, receive a batch, or several while nobody has to be woken for them, then
    /// let the sessions run. Ready when the port stops.
    fn poll(&mut self, cx: &mut Cx<'_>) -> Poll<()> {
        self.poll_out(cx);
        if self.exchange.wants_stop() {
            return Poll::Ready(());
        }
        ready!(self.poll_pause(cx));
        for _ in 0..TURN {
            let received = self.receive(cx);
            self.flush(cx);
            match received {
                Poll::Ready(Ok(true)) => break,
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => {
                    if let Some(observer) = &self.context.config.observer {
                        observer.trouble(&Error::io(Operation::Receive, D::PROTOCOL, error));
                    }
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                    break;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        // Others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what the sessions said.
    fn poll_out(&mut self, cx: &mut Cx<'_>) {
        self.exchange.register(cx.waker());
        if self.exchange.wants_sweep() {
            self.sweep();
        }
        self.send(cx);
    }

    fn poll_pause(&mut self, cx: &mut Cx<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// One batch. `true`: somebody was woken, and has to run.
    fn receive(&mut self, cx: &mut Cx<'_>) -> Poll<io::Result<bool>> {
        let Self {
            socket,
            service,
            table,
            exchange,
            newcomers,
            sending,
            ..
        } = self;
        let mut woken = false;
        let mut clock = None;
        let mut reflex = reflex::<D>(&**service, sending);
        let received = socket.poll_receive(cx, &mut |address, run, stride| {
            // Read once for a batch, and not at all when nothing came.
            let now = *clock.get_or_insert_with(|| exchange.tick());
            match table.deliver(&address, run, stride, now, &mut reflex) {
                Delivered::Answered => return,
                Delivered::Queued => {}
                Delivered::ToNobody => newcomers.push(Run {
                    address,
                    bytes: Bytes::copy_from_slice(run),
                    stride,
                }),
            }
            woken = true;
        });
        for run in newcomers.drain(..) {
            let now = exchange.now();
            // An earlier datagram of the same batch may have opened the session.
            let Run {
                address,
                bytes,
                stride,
            } = &run;
            let delivered = table.deliver(address, bytes, *stride, now, &mut reflex);
            if delivered == Delivered::ToNobody {
                table.open(run, socket, service);
            }
        }
        received.map_ok(|others| others || woken)
    }

    fn send(&mut self, cx: &mut Cx<'_>) {
        let ended = self.exchange.take(&mut self.sending);
        if !ended.is_empty() {
            self.table.forget(ended);
        }
        self.flush(cx);
    }

    fn flush(&mut self, cx: &mut Cx<'_>) {
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

    fn sweep(&mut self) {
        let refused = self.table.sweep(self.idle);
        if refused > 0 {
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
                Poll::Ready(Ok(_)) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            });
            Poll::Ready(())
        })
        .await;
        // The service may still say something, and it leaves.
        let context = self.context.clone();
        let mut goodbye = pin!(context.goodbye.cancelled());
        poll_fn(|cx| {
            self.poll_out(cx);
            let _ = self.socket.poll_beside(cx);
            goodbye.as_mut().poll(cx)
        })
        .await;
        self.table.stop();
        let done = poll_fn(|cx| {
            self.poll_out(cx);
            let beside = self.socket.poll_beside(cx);
            if self.table.is_empty() && self.sending.is_empty() {
                beside
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
        self.table.cut_off();
        while let Some(message) = self.sending.pop() {
            message.peer.lose();
        }
    }
}
