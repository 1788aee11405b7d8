//! Taking QUIC's packets out of what comes to a UDP socket.

use std::sync::Arc;

use bytes::Bytes;
use quinn_proto::{ConnectionId, ConnectionIdGenerator as _, HashedConnectionIdGenerator};
use quinn_udp::RecvMeta;
use wire::quic::{Recent, is_quic};

use super::door::Door;

/// What makes the connection ids of a server, and knows them again.
#[derive(Clone, Copy)]
pub(in crate::port) struct IdKey(u64);

impl IdKey {
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut key = [0; 8];
        aws_lc_rs::rand::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(Self(u64::from_ne_bytes(key)))
    }

    pub(in crate::port) fn generator(self) -> HashedConnectionIdGenerator {
        HashedConnectionIdGenerator::from_key(self.0)
    }
}

/// Sends QUIC's packets through the door, and lets everything else go on.
pub(super) struct Sieve {
    pub(super) door: Arc<Door>,
    ids: HashedConnectionIdGenerator,
    recent: Recent,
    /// Nothing but QUIC is spoken here.
    only: bool,
    /// Something has gone through the door.
    passed: bool,
}

impl Sieve {
    pub(super) fn new(door: Arc<Door>, key: IdKey, only: bool) -> Self {
        Self {
            door,
            ids: key.generator(),
            recent: Recent::default(),
            only,
            passed: false,
        }
    }

    /// Takes a run of datagrams apart, if it must be: `plain` gets what is not QUIC's.
    pub(super) fn sort(
        &mut self,
        meta: &RecvMeta,
        run: &[u8],
        plain: &mut dyn FnMut(&[u8], usize),
    ) {
        if self.only {
            return self.pass(meta, run);
        }
        // What comes alone is the rule where datagrams are plain.
        if run.len() <= meta.stride {
            return match self.is_quic(run) {
                true => self.pass(meta, run),
                false => plain(run, meta.stride),
            };
        }
        let mut rest = run;
        while !rest.is_empty() {
            let quic = self.is_quic(&rest[..meta.stride.min(rest.len())]);
            let mut same = meta.stride.min(rest.len());
            while same < rest.len() {
                let next = &rest[same..(same + meta.stride).min(rest.len())];
                if self.is_quic(next) != quic {
                    break;
                }
                same += next.len();
            }
            let (alike, others) = rest.split_at(same);
            match quic {
                true => self.pass(meta, alike),
                false => plain(alike, meta.stride),
            }
            rest = others;
        }
    }

    /// Tells the other side of the door if something has gone through; `true`: it has.
    pub(super) fn ring(&mut self) -> bool {
        let passed = std::mem::take(&mut self.passed);
        if passed {
            self.door.ring();
        }
        passed
    }

    fn pass(&mut self, meta: &RecvMeta, run: &[u8]) {
        if !run.is_empty() {
            self.passed = true;
            self.door.push(*meta, Bytes::copy_from_slice(run));
        }
    }

    fn is_quic(&mut self, datagram: &[u8]) -> bool {
        let ids = &self.ids;
        let is_ours = |id: &[u8]| ids.validate(&ConnectionId::new(id)).is_ok();
        is_quic(datagram, is_ours, &mut self.recent)
    }
}
