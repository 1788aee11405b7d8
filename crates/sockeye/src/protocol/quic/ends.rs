//! The two ends of a connection, which may move, and what its packets tell of the way between them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::Connection;

use super::Terms;
use super::within::{End, Within};
use crate::session::{Endpoint, Identity, Path};

/// Milliseconds between two looks at where the peer is, while it sends.
const LOOK: u64 = 1;

/// One connection, as its sessions share it.
pub(in crate::protocol) struct Ends {
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
    /// Where they are those of a session, and not of the connection.
    pub(super) within: Option<Within>,
}

impl Ends {
    pub(super) fn new(connection: Connection, terms: Terms, path: Arc<Path>) -> Arc<Self> {
        Self::with(connection, terms, path, None)
    }

    /// Those of the session inside of `connection` that request `id` began.
    pub(in crate::protocol) fn within(connection: Connection, terms: Terms, id: u64) -> Arc<Self> {
        Self::with(connection, terms, Arc::default(), Some(Within::new(id)))
    }

    fn with(
        connection: Connection,
        mut terms: Terms,
        path: Arc<Path>,
        within: Option<Within>,
    ) -> Arc<Self> {
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
            within,
        };
        ends.look();
        Arc::new(ends)
    }

    /// The identity of a session that begins now: it is where the peer is now.
    pub(in crate::protocol) fn identity(&self) -> Identity {
        let peer = self.connection.remote_address();
        self.terms.identity.clone().moved_to(peer.into())
    }

    /// The peer, as errors name it.
    pub(in crate::protocol) fn address(&self) -> String {
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

    pub(in crate::protocol) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(in crate::protocol) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Whether the peer takes datagrams.
    pub(in crate::protocol) fn takes_datagrams(&self) -> bool {
        self.connection.max_datagram_size().is_some()
    }

    /// The session inside of the connection has ended.
    pub(in crate::protocol) fn end(&self, end: End) {
        if let Some(within) = &self.within {
            within.end(end);
        }
    }

    /// Waits for that; for ever, where there is none.
    pub(in crate::protocol) async fn over(&self) {
        match &self.within {
            Some(within) => within.over().await,
            None => std::future::pending().await,
        }
    }

    /// What a datagram of the session says; `None` for one that is not the session's.
    pub(super) fn unlabelled(&self, datagram: Bytes) -> Option<Bytes> {
        match &self.within {
            Some(within) => within.unlabelled(&datagram),
            None => Some(datagram),
        }
    }

    /// The longest datagram, as far as is known now.
    pub(super) fn longest_datagram(&self) -> Option<usize> {
        let overhead = self.within.as_ref().map_or(0, Within::overhead);
        let longest = self.connection.max_datagram_size()?;
        longest.checked_sub(overhead)
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
