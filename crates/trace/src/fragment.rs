//! Parts of packets, joined again (RFC 791, section 3.2; RFC 8200, section 4.5).

use std::collections::VecDeque;
use std::net::IpAddr;

use wire::packet::{Body, Packet};

/// As many packets are waited for at once; the oldest gives way.
const WAITING: usize = 64;

/// The longest packet there is.
const LONGEST: usize = 64 * 1024;

/// Packets of which parts are missing.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    waiting: VecDeque<Unfinished>,
    /// Parts that nothing is waited for any more.
    lost: usize,
}

#[derive(Debug)]
struct Unfinished {
    key: (IpAddr, IpAddr, Option<u32>, u8),
    parts: Vec<(usize, Vec<u8>)>,
    /// Known from the last part.
    length: Option<usize>,
}

/// A packet whose parts are all there.
pub(crate) struct Whole {
    pub(crate) protocol: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Fragments {
    /// The whole packet, if this part was the last that was missing.
    pub(crate) fn add(&mut self, packet: &Packet<'_>) -> Option<Whole> {
        let (Body::Part { protocol, payload }, Some(fragment)) = (&packet.body, packet.fragment)
        else {
            return None;
        };
        let key = (packet.source, packet.destination, packet.id, *protocol);
        let index = self.waiting.iter().position(|waiting| waiting.key == key);
        let index = index.unwrap_or_else(|| {
            if self.waiting.len() == WAITING {
                let oldest = self.waiting.pop_front();
                self.lost += oldest.map_or(0, |oldest| oldest.parts.len());
            }
            self.waiting.push_back(Unfinished {
                key,
                parts: Vec::new(),
                length: None,
            });
            self.waiting.len() - 1
        });
        let unfinished = self.waiting.get_mut(index)?;
        let offset = fragment.offset as usize;
        let end = offset + payload.len();
        if !fragment.more {
            unfinished.length = Some(end);
        }
        let known = unfinished.parts.iter().any(|(at, _)| *at == offset);
        if end <= LONGEST && !known {
            unfinished.parts.push((offset, payload.to_vec()));
        }
        let bytes = unfinished.joined()?;
        self.waiting.remove(index);
        Some(Whole {
            protocol: *protocol,
            bytes,
        })
    }
}

impl Fragments {
    /// How many parts never became a packet.
    pub(crate) fn left(&self) -> usize {
        let waiting = self.waiting.iter().map(|unfinished| unfinished.parts.len());
        self.lost + waiting.sum::<usize>()
    }
}

impl Unfinished {
    fn joined(&mut self) -> Option<Vec<u8>> {
        let length = self.length?;
        self.parts.sort_by_key(|(at, _)| *at);
        let mut whole = Vec::with_capacity(length.min(LONGEST));
        for (at, bytes) in &self.parts {
            if *at != whole.len() {
                return None;
            }
            whole.extend_from_slice(bytes);
        }
        (whole.len() == length).then_some(whole)
    }
}
