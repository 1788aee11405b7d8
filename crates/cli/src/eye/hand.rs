//! What our own sockets tell of themselves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{MutexGuard, PoisonError};

use trace::Stage;
use wire::packet::{RAW, UPPER_PDU, datagram, stream_bytes};

use super::wanted::canonical;
use super::{Hand, Told, watch};

impl Hand {
    fn begun(&self) -> MutexGuard<'_, HashMap<(u16, SocketAddr), u64>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn infer(
        &self,
        time: u64,
        ends: (SocketAddr, SocketAddr),
        what: &'static str,
        facts: Option<String>,
    ) {
        self.tell(Told::Inferred {
            time,
            ends,
            what,
            facts,
        });
    }

    fn packet(&self, link: u16, outbound: bool, data: Vec<u8>) {
        self.tell(Told::Packet {
            time: watch::now(),
            link,
            data,
            outbound,
        });
    }
}

/// The sender and the receiver.
fn directed(local: SocketAddr, peer: SocketAddr, outbound: bool) -> (SocketAddr, SocketAddr) {
    let (local, peer) = (canonical(local), canonical(peer));
    match outbound {
        true => (local, peer),
        false => (peer, local),
    }
}

impl sockeye::Lookout for Hand {
    fn dialing(&self, local: SocketAddr, peer: SocketAddr) {
        let pair = (local.port(), canonical(peer));
        self.begun().insert(pair, watch::now());
        if let Some(lookout) = &self.lookout {
            self.wanted().pairs.insert(pair);
            // Without it the connection is made all the same, and not seen.
            let _ = lookout.admit(SocketAddr::new(peer.ip(), local.port()));
        }
    }

    fn connected(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool {
        let begun = self.begun().remove(&(local.port(), canonical(peer)));
        if !self.is_blind() {
            return false;
        }
        let now = watch::now();
        let (here, there) = directed(local, peer, true);
        self.infer(begun.unwrap_or(now), (here, there), "SYN", None);
        self.infer(now, (there, here), "SYN ACK", None);
        self.infer(now, (here, there), "ACK", trace::kernel_facts(socket));
        self.tell(Told::Follow {
            ends: (here, there),
            stage: Stage::Stands,
        });
        true
    }

    fn listening(&self, socket: BorrowedFd<'_>) {
        // A kernel that cannot keep SYNs serves all the same, and the SYN is one that must have been there.
        let _ = trace::save_syn(socket);
    }

    fn accepted(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool {
        if !self.is_blind() {
            return false;
        }
        let now = watch::now();
        // The SYN-ACK was on its way and its ACK back since then, or for longer if nobody was there to accept.
        let began = now.saturating_sub(trace::round_trip(socket).unwrap_or(0));
        self.tell(Told::Came {
            times: [began, now],
            ends: directed(local, peer, false),
            syn: trace::saved_syn(socket),
            facts: trace::kernel_facts(socket),
        });
        true
    }

    fn parted(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) {
        let facts = trace::kernel_facts(socket);
        let ends = directed(local, peer, true);
        self.infer(watch::now(), ends, "close", facts);
        let stage = Stage::Parted;
        self.tell(Told::Follow { ends, stage });
    }

    fn bytes(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]) {
        let ends = directed(local, peer, outbound);
        if bytes.is_empty() {
            self.infer(watch::now(), ends, "FIN", None);
            return self.tell(Told::Follow {
                ends: directed(local, peer, true),
                stage: Stage::Closes,
            });
        }
        let data = stream_bytes(ends.0, ends.1, "tls", bytes);
        self.packet(UPPER_PDU, outbound, data);
    }

    fn datagram(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]) {
        let (from, to) = directed(local, peer, outbound);
        if let Some(data) = datagram(from, to, bytes) {
            if !self.is_blind() {
                let pair = (local.port(), canonical(peer));
                self.wanted().pairs.insert(pair);
            }
            self.packet(RAW, outbound, data);
        }
    }
}
