//! What the packets of a connection tell of the way between its ends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What the packets of a QUIC connection tell of the way between its ends (RFC 9002), as of the last look: when a
/// session begins and when it ends.
#[derive(Debug, Default)]
pub struct Path {
    rtt: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
}

impl Path {
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

    pub(crate) fn note(&self, rtt: Duration, sent: u64, lost: u64) {
        let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
        self.rtt.store(micros, Relaxed);
        self.sent.store(sent, Relaxed);
        self.lost.store(lost, Relaxed);
    }
}
