//! Who is in conversation over a datagram socket, found by their address.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::Datagrams;
use super::exchange::{Exchange, Moment};
use super::link::{Delivered, InTable, Peer, PeerLink};
use super::reflex::Reflex;
use crate::port::gate::Admission;
use crate::port::run::Context;
use crate::service::Service;
use crate::session::{Endpoint, Info, Session};

/// The peers of one socket.
pub(super) struct Table<A> {
    peers: HashSet<ByAddress<A>>,
    /// No longer among them, since then; their tasks may still be at work.
    leaving: Vec<(Moment, Arc<Peer<A>>)>,
    /// Datagrams from newcomers that may not come in, since this was last told.
    turned_away: u64,
    exchange: Arc<Exchange<A>>,
    context: Arc<Context>,
}

/// A run of datagrams from one peer.
pub(super) struct Run<A> {
    pub(super) address: A,
    pub(super) bytes: Bytes,
    /// The size of every datagram but the last, which may be shorter.
    pub(super) stride: usize,
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

impl<A> Table<A> {
    pub(super) fn new(exchange: Arc<Exchange<A>>, context: Arc<Context>) -> Self {
        Self {
            peers: HashSet::new(),
            leaving: Vec::new(),
            turned_away: 0,
            exchange,
            context,
        }
    }

    fn everyone(&self) -> impl Iterator<Item = &Arc<Peer<A>>> {
        let here = self.peers.iter().map(|peer| &peer.0);
        here.chain(self.leaving.iter().map(|(_, peer)| peer))
    }

    /// Every session answers what it has, and ends.
    pub(super) fn stop(&self) {
        self.everyone().for_each(|peer| peer.stop());
    }

    /// Every session has had its time.
    pub(super) fn cut_off(&self) {
        self.everyone().for_each(|peer| peer.cut_off());
    }

    /// Whether everyone has left, and nobody is still at work.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty() && !self.leaving.iter().any(|(_, peer)| peer.is_at_work())
    }
}

impl<A: Clone + Eq + Hash + Send + Sync + Unpin + 'static> Table<A> {
    /// Has `run` answered by `reflex`, or queues it for the session of who sent it.
    pub(super) fn deliver(
        &self,
        address: &A,
        run: &[u8],
        stride: usize,
        now: Moment,
        reflex: &mut Reflex<'_, A>,
    ) -> Delivered {
        let Some(ByAddress(peer)) = self.peers.get(address) else {
            return Delivered::ToNobody;
        };
        peer.deliver(run, stride, &self.exchange, now, reflex)
    }

    /// Opens a session for a peer that has none, unless it may not have one.
    pub(super) fn open<D: Datagrams<Address = A>>(
        &mut self,
        run: Run<A>,
        socket: &D,
        service: &Arc<impl Service>,
    ) {
        let context = &self.context;
        let (local, peer) = socket.endpoints(&run.address);
        // Who must know a token says it in the first datagram, which is no message then.
        let said = match &context.config.token {
            None => 0,
            Some(token) => {
                let first = run.stride.min(run.bytes.len());
                if !token.is_line(&run.bytes[..first]) {
                    self.turned_away += 1;
                    return;
                }
                first
            }
        };
        let Some(admission) = admit(context, &peer) else {
            self.turned_away += 1;
            return;
        };
        let info = Arc::new(Info::new(context.identity(D::PROTOCOL, local, peer)));
        let now = self.exchange.now();
        let peer = Arc::new(Peer::new(
            run.address.clone(),
            info.clone(),
            socket.may_be_forged(&run.address),
            now,
        ));
        let mut bytes = run.bytes;
        bytes.advance(said);
        if said == 0 || !bytes.is_empty() {
            // It is new, so it takes what comes.
            peer.begin(bytes, run.stride, &self.exchange);
        }
        let limit = D::limit(&peer.address);
        let link = PeerLink::new(peer.clone(), self.exchange.clone(), limit);
        let session = Session::of_packets(info, Box::new(link));
        let place = InTable {
            peer: peer.clone(),
            exchange: self.exchange.clone(),
        };
        peer.runs_on(context.start_told(service.clone(), session, admission, place));
        // A session that has let go of its peer may still be at work.
        if let Some(ended) = self.peers.replace(ByAddress(peer)) {
            self.leaving.push((now, ended.0));
        }
    }

    /// Takes peers out whose sessions have ended; a later datagram opens a new session.
    pub(super) fn forget(&mut self, ended: Vec<Arc<Peer<A>>>) {
        for ended in ended {
            let same = |known: &ByAddress<_>| Arc::ptr_eq(&known.0, &ended);
            if self.peers.get(&ended.address).is_some_and(same) {
                self.peers.remove(&ended.address);
            }
        }
    }

    /// Ends sessions that were silent for too long; one look at the whole table instead of a timer each.
    /// Gives how many datagrams were turned away since the last sweep.
    pub(super) fn sweep(&mut self, idle: Duration) -> u64 {
        let now = self.exchange.tick();
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
        std::mem::take(&mut self.turned_away)
    }
}

/// Room for one more session of `peer`, if the gate has it.
fn admit(context: &Context, peer: &Endpoint) -> Option<Admission> {
    let mut admission = context.gate.admit(peer).ok()?;
    context.gate.try_enter(&mut admission)?;
    if context.gate.count()? {
        context.enough.cancel();
    }
    Some(admission)
}
