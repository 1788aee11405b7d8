//! What our own sockets tell of themselves.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{MutexGuard, PoisonError};

use sockeye::Moment;
use trace::Stage;
use wire::packet::{RAW, UPPER_PDU, datagram, stream_bytes};

use super::wanted::canonical;
use super::{Begun, Hand, Told, watch};

impl Hand {
    fn begun(&self) -> MutexGuard<'_, HashMap<(u16, SocketAddr), Begun>> {
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

    /// At `time`, or, if the kernel has said that, read at a later one.
    fn packet(&self, link: u16, outbound: bool, (time, read): (u64, Option<u64>), data: Vec<u8>) {
        self.tell(Told::Packet {
            time,
            read,
            link,
            data,
            outbound,
        });
    }

    fn follow(&self, ends: (SocketAddr, SocketAddr), stage: Stage) {
        self.tell(Told::Follow { ends, stage });
    }

    /// That a connection is not about to be made any more, and how it began.
    fn end_of_dial(&self, local: SocketAddr, peer: SocketAddr) -> Begun {
        let begun = self.begun().remove(&(local.port(), canonical(peer)));
        begun.unwrap_or_else(Begun::now)
    }
}

impl Begun {
    fn now() -> Self {
        Self {
            at: watch::now(),
            told: false,
        }
    }
}

/// When a connection had come to stand, at the latest: data that waits on it came after that.
fn stood(socket: BorrowedFd<'_>, now: u64) -> u64 {
    let came = sockeye::first_arrival(socket).map(watch::nanoseconds);
    came.map_or(now, |came| came.min(now))
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
    fn on_behalf(&self, local: SocketAddr, peer: SocketAddr, client: SocketAddr) {
        let (peer, client) = (canonical(peer), canonical(client));
        self.tell(Told::Behalf(local.port(), peer, client));
    }

    fn dialing(&self, local: SocketAddr, peer: SocketAddr) {
        let pair = (local.port(), canonical(peer));
        self.begun().insert(pair, Begun::now());
        if let Some(lookout) = &self.lookout {
            self.wanted().pairs.insert(pair);
            // Without it the connection is made all the same, and not seen.
            let _ = lookout.admit(SocketAddr::new(peer.ip(), local.port()));
        }
    }

    fn waiting(&self, local: SocketAddr, peer: SocketAddr) {
        if !self.is_blind() {
            return;
        }
        let pair = (local.port(), canonical(peer));
        let begun = *self.begun().entry(pair).or_insert_with(Begun::now);
        self.begun().insert(
            pair,
            Begun {
                told: true,
                ..begun
            },
        );
        let ends = directed(local, peer, true);
        self.infer(begun.at, ends, "SYN", None);
        self.follow(ends, Stage::Dials);
    }

    fn failed(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        socket: BorrowedFd<'_>,
        why: Option<&io::Error>,
    ) {
        if !self.end_of_dial(local, peer).told {
            return;
        }
        let time = watch::now();
        let ends = directed(local, peer, true);
        let unanswered = trace::unanswered(socket);
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let facts = match why {
            Some(error) if refused(error) => {
                "ECONNREFUSED: a RST has said so, or an error of ICMP".to_owned()
            }
            Some(error) => format!("{unanswered}: {error}"),
            None => unanswered,
        };
        let refused = why.is_some_and(refused);
        self.tell(Told::Failed(time, ends, refused, facts));
        self.follow(ends, Stage::Parted);
    }

    fn connected(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool {
        let begun = self.end_of_dial(local, peer);
        if !self.is_blind() {
            return false;
        }
        let (here, there) = directed(local, peer, true);
        if !begun.told {
            self.infer(begun.at, (here, there), "SYN", None);
        }
        let noticed = stood(socket, watch::now());
        // The kernel has measured it, however late we have noticed.
        let answered = trace::answered_after(socket).map(|after| begun.at + after);
        let stood = answered.map_or(noticed, |answered| answered.min(noticed));
        self.infer(stood, (there, here), "SYN ACK", None);
        self.infer(stood, (here, there), "ACK", trace::kernel_facts(socket));
        self.follow((here, there), Stage::Stands);
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
        let stood = stood(socket, watch::now());
        // The SYN-ACK was on its way and its ACK back since then, or for longer if nobody was there to accept.
        let began = stood.saturating_sub(trace::round_trip(socket).unwrap_or(0));
        self.tell(Told::Came {
            times: [began, stood],
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
        self.follow(ends, Stage::Parted);
    }

    fn bytes(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        outbound: bool,
        bytes: &[u8],
        when: Moment,
    ) {
        let ends = directed(local, peer, outbound);
        let ours = watch::nanoseconds(when.ours);
        if bytes.is_empty() {
            self.infer(ours, ends, "FIN", None);
            return self.follow(directed(local, peer, true), Stage::Closes);
        }
        let data = stream_bytes(ends.0, ends.1, "tls", bytes);
        let times = match when.kernel.map(watch::nanoseconds) {
            Some(came) => (came, Some(ours)),
            None => (ours, None),
        };
        self.packet(UPPER_PDU, outbound, times, data);
    }

    fn datagram(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]) {
        let (from, to) = directed(local, peer, outbound);
        if let Some(data) = datagram(from, to, bytes) {
            if !self.is_blind() {
                let pair = (local.port(), canonical(peer));
                self.wanted().pairs.insert(pair);
            }
            self.packet(RAW, outbound, (watch::now(), None), data);
        }
    }
}
