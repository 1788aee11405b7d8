//! What is known of a QUIC connection and of the way between its ends.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is known of a QUIC connection (RFC 9000, RFC 9369), and what its packets tell of the way between its ends (RFC
/// 9002), as of the last look: when a session begins and when it ends.
#[derive(Debug, Default)]
pub struct Path {
    version: AtomicU32,
    early: AtomicU8,
    retried: AtomicBool,
    moves: AtomicU32,
    rtt: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
}

/// What became of data that a client sends before the handshake is over (0-RTT, RFC 9001, section 4.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyData {
    /// There was none.
    #[default]
    None,
    /// The server took it.
    Accepted,
    /// The server did not look at it, and it was sent again.
    Rejected,
}

impl Path {
    /// The version's number: 1 (RFC 9000), or 0x6b3343cf, which is version 2 (RFC 9369).
    pub fn version(&self) -> u32 {
        self.version.load(Relaxed)
    }

    /// What became of 0-RTT.
    pub fn early_data(&self) -> EarlyData {
        const ALL: [EarlyData; 3] = [EarlyData::None, EarlyData::Accepted, EarlyData::Rejected];
        let number = usize::from(self.early.load(Relaxed));
        ALL.get(number).copied().unwrap_or_default()
    }

    /// Whether the server has made sure that we are where we say before it answered (Retry, RFC 9000, section 8.1.2).
    /// Servers do not tell it of their clients.
    pub fn was_retried(&self) -> bool {
        self.retried.load(Relaxed)
    }

    /// How often one of the ends was found at another address (RFC 9000, section 9).
    pub fn moves(&self) -> u32 {
        self.moves.load(Relaxed)
    }

    /// How long a packet and its acknowledgement take, smoothed.
    pub fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt.load(Relaxed))
    }

    /// Packets that we have sent.
    pub fn packets_sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Those of them that did not arrive. What was in them was sent again, but for datagrams.
    pub fn packets_lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(crate) fn of(version: u32) -> Self {
        Self {
            version: version.into(),
            ..Self::default()
        }
    }

    pub(crate) fn note_early(&self, early: EarlyData) {
        self.early.store(early as u8, Relaxed);
    }

    pub(crate) fn note_retry(&self, retried: bool) {
        self.retried.store(retried, Relaxed);
    }

    pub(crate) fn note_move(&self) {
        self.moves.fetch_add(1, Relaxed);
    }

    pub(crate) fn note(&self, rtt: Duration, sent: u64, lost: u64) {
        let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        self.rtt.store(micros, Relaxed);
        self.sent.store(sent, Relaxed);
        self.lost.store(lost, Relaxed);
    }
}
