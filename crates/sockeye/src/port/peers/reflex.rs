//! Answers that the driver of a datagram socket gives by itself, so that no session has to be woken for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Datagrams;
use super::exchange::{Outbox, Outgoing};
use super::link::Peer;
use crate::service::Service;

/// Answers a datagram from a peer whose session waits for one. `false`: the session has to.
pub(super) type Reflex<'a, A> = dyn FnMut(&Arc<Peer<A>>, &[u8]) -> bool + 'a;

/// What `service` answers at once goes to `sending`.
pub(super) fn reflex<'a, D: Datagrams>(
    service: &'a impl Service,
    sending: &'a mut Outbox<D::Address>,
) -> impl FnMut(&Arc<Peer<D::Address>>, &[u8]) -> bool + 'a {
    move |peer, datagram| {
        // Sessions wait for room.
        if sending.is_full() {
            return false;
        }
        let info = peer.info();
        // A panic is for the session to have, which ends alone of it.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            service.reflex(datagram, info.identity())
        }));
        let Ok(Some(data)) = answer else {
            return false;
        };
        // It is told that this is too much.
        if data.len() > D::limit(&peer.address) {
            return false;
        }
        let counters = info.counters();
        counters.add_message_in();
        counters.add_bytes_in(datagram.len());
        counters.add_message_out();
        counters.add_bytes_out(data.len());
        let peer = peer.clone();
        sending.push(Outgoing { peer, data });
        true
    }
}
