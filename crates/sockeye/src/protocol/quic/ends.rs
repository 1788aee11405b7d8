//! The two ends of a connection, which may move, and what its packets tell of the way between them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quinn::Connection;

use super::Terms;
use crate::session::{Endpoint, Identity, Path};

/// Milliseconds between two looks at where the peer is, while it sends.
const LOOK: u64 = 1;

/// One connection, as its sessions share it.
pub(super) struct Ends {
    pub(super) connection: Connection,
    pub(super) terms: Terms,
    /// Where the peer was when this was last looked at.
    peer: Mutex<SocketAddr>,
    began: Instant,
    /// Milliseconds from then to the last look.
    looked: AtomicU64,
    path: Arc<Path>,
    /// Datagrams that sessions have read, and those that never will be.
    datagrams: AtomicU64,
}

impl Ends {
    pub(super) fn new(connection: Connection, mut terms: Terms, path: Arc<Path>) -> Arc<Self> {
        terms.identity = terms.identity.along(path.clone());
        let peer = Mutex::new(connection.remote_address());
        let ends = Self {
            connection,
            terms,
            peer,
            began: Instant::now(),
            looked: AtomicU64::new(0),
            path,
            datagrams: AtomicU64::new(0),
        };
        ends.look();
        Arc::new(ends)
    }

    /// The identity of a session that begins now: it is where the peer is now.
    pub(super) fn identity(&self) -> Identity {
        let peer = self.connection.remote_address();
        self.terms.identity.clone().moved_to(peer.into())
    }

    /// The peer, as errors name it.
    pub(super) fn address(&self) -> String {
        self.terms.identity.peer().to_string()
    }

    /// Takes note of what the packets tell. Where the peer has moved, that is told.
    pub(super) fn look(&self) {
        let stats = self.connection.stats().path;
        self.path
            .note(stats.rtt, stats.sent_packets, stats.lost_packets);
        self.notice_move();
    }

    /// We have moved ourselves.
    pub(super) fn count_move(&self) {
        self.path.note_move();
    }

    /// A session has read a datagram.
    pub(super) fn count_datagram(&self) {
        self.datagrams.fetch_add(1, Relaxed);
    }

    /// How many have come that nobody has read, since this was last asked.
    pub(super) fn unread_datagrams(&self) -> u64 {
        let come = self.connection.stats().frame_rx.datagram;
        come.saturating_sub(self.datagrams.swap(come, Relaxed))
    }

    /// Something has come: tells if the peer has moved. Looks only now and then, because a look takes the lock that the
    /// connection's packets need.
    pub(super) fn notice_move_soon(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.looked.load(Relaxed)) >= LOOK {
            self.looked.store(now, Relaxed);
            self.notice_move();
        }
    }

    /// Tells if the peer has moved. It has proven that it is the same one (RFC 9000, section 9).
    fn notice_move(&self) {
        let now = self.connection.remote_address();
        let mut known = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, now);
        drop(known);
        if before != now {
            self.path.note_move();
            let (before, now) = (Endpoint::from(before), Endpoint::from(now));
            self.terms
                .identity
                .note(&format!("{before} has moved to {now}"));
        }
    }
}
