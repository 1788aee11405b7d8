//! Captures that were made in such a lab, for systems that allow none.

use super::Scenario;

macro_rules! kept {
    ($($name:literal $file:literal,)*) => {
        const KEPT: &[(&str, &str, &[u8])] = &[$((
            $name,
            $file,
            include_bytes!(concat!("../../tests/data/", $file)),
        )),*];
    };
}

kept! {
    "exchange" "three-segment-close.pcap",
    "handshake" "three-segment-close.pcap",
    "close" "client-first-close.pcap",
    "half-close" "half-close.pcap",
    "simultaneous-close" "simultaneous-close.pcap",
    "syn-loss" "syn-loss.pcap",
    "syn-ack-loss" "synack-loss.pcap",
    "syn-blackhole" "syn-blackhole.pcap",
    "refused" "refused.pcap",
    "fast-retransmit" "data-loss.pcap",
    "timeout" "tail-loss.pcap",
    "reorder" "reorder.pcap",
    "duplicate" "duplicate.pcap",
    "fin-loss" "fin-loss.pcap",
    "time-wait" "timewait-retransmit.pcap",
    "zero-window" "zero-window.pcap",
    "keepalive" "keepalive.pcap",
    "reset" "rst-abort.pcap",
    "reset-unread" "rst-unread-data.pcap",
}

/// A capture of the same at the client: the name of its file, and what stands in it.
#[must_use]
pub fn reference(scenario: &Scenario) -> Option<(&'static str, &'static [u8])> {
    let kept = KEPT.iter().find(|(name, ..)| *name == scenario.name);
    kept.map(|(_, file, bytes)| (*file, *bytes))
}
