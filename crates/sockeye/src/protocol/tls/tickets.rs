//! The tickets of servers (RFC 8446, section 4.6.1), kept for the next connection of this process, and counted.
//!
//! rustls lets nobody write one down, so none outlives the process.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Servers whose tickets are kept.
const SERVERS: usize = 256;

/// Where tickets are kept.
pub(super) struct Tickets {
    kept: ClientSessionMemoryCache,
    came: Arc<AtomicU64>,
}

impl Tickets {
    /// `came` counts every ticket.
    pub(super) fn new(came: Arc<AtomicU64>) -> Self {
        Self {
            kept: ClientSessionMemoryCache::new(SERVERS),
            came,
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.came.fetch_add(1, Relaxed);
        self.kept.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.came.fetch_add(1, Relaxed);
        self.kept.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} came)", self.came.load(Relaxed))
    }
}

/// Where a ticket that came over QUIC can be used: nowhere else, because what is sent early must be what that server
/// speaks there, in that version (RFC 9001, section 4.6.1; RFC 9369, section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) peer: SocketAddr,
    pub(super) version: u32,
    pub(super) alpn: Vec<Vec<u8>>,
}

/// Tickets of one server that are kept.
const TICKETS: usize = 8;

/// The tickets that came over QUIC.
#[derive(Debug, Default)]
pub(super) struct QuicTickets {
    came: AtomicU64,
    /// The newest place is the last.
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    place: Place,
    server: ServerName<'static>,
    group: Option<NamedGroup>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl QuicTickets {
    /// How many have come so far.
    pub(super) fn came(&self) -> u64 {
        self.came.load(Relaxed)
    }

    /// Those of one place.
    pub(super) fn at(self: &Arc<Self>, place: Place) -> QuicTicketsAt {
        QuicTicketsAt {
            all: self.clone(),
            place,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tickets of one place, as rustls asks for them.
#[derive(Debug)]
pub(super) struct QuicTicketsAt {
    all: Arc<QuicTickets>,
    place: Place,
}

impl QuicTicketsAt {
    /// Whether something can be sent to `server` with the first packets.
    pub(super) fn allow_early_data(&self, server: &ServerName<'_>) -> bool {
        let look = |kept: &mut Kept| {
            let newest = kept.tickets.back();
            newest.is_some_and(|ticket| ticket.max_early_data_size() > 0)
        };
        self.look(server, look).unwrap_or(false)
    }

    fn look<T>(&self, server: &ServerName<'_>, look: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let mut all = self.all.lock();
        let mut all = all.iter_mut();
        let kept = all.find(|kept| kept.place == self.place && kept.server == *server)?;
        Some(look(kept))
    }

    /// The same, making room for a server that is new.
    fn keep(&self, server: ServerName<'static>, keep: impl FnOnce(&mut Kept)) {
        let mut all = self.all.lock();
        let known = |kept: &Kept| kept.place == self.place && kept.server == server;
        let mut kept = match all.iter().position(known) {
            Some(at) => all.remove(at),
            None => Kept {
                place: self.place.clone(),
                server,
                group: None,
                tickets: VecDeque::new(),
            },
        };
        keep(&mut kept);
        if all.len() >= SERVERS {
            all.remove(0);
        }
        all.push(kept);
    }
}

impl ClientSessionStore for QuicTicketsAt {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.keep(server, |kept| kept.group = Some(group));
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.look(server, |kept| kept.group)?
    }

    // QUIC has no TLS 1.2 (RFC 9001, section 4.2).
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.all.came.fetch_add(1, Relaxed);
        self.keep(server, |kept| {
            if kept.tickets.len() >= TICKETS {
                kept.tickets.pop_front();
            }
            kept.tickets.push_back(ticket);
        });
    }

    /// Each is used once: whoever sees one twice knows that it is the same client (RFC 8446, appendix C.4).
    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.look(server, |kept| kept.tickets.pop_back())?
    }
}
