//! QUIC beside other datagrams on one socket: which of them are its packets (RFC 9000, section 17).
//!
//! The first byte cannot decide. ASCII letters look like short headers, Chinese text looks like long ones. What
//! decides is what nobody sends by chance: a known version in a datagram as large as a first one must be, or a
//! connection id that we have given out ourselves.
//!
//! Nothing depends on where a datagram came from, so that a peer may change its address, and may send plain
//! datagrams from the very socket that it speaks QUIC with.

mod version_2;

#[cfg(test)]
mod tests;

use crate::quic_packet::number;

pub use crate::quic_packet::{VERSION_1, VERSION_2};
pub use version_2::{
    VersionFault, add_versions, check_versions, first_in_2, from_version_2, is_version_2,
    offered_versions, to_version_2, version_name,
};

/// The length of the connection ids that a server which shares its socket must give out.
pub const OWN_ID: usize = 8;

/// The smallest datagram that a client may begin with (RFC 9000, section 14.1).
pub const SMALLEST_FIRST: usize = 1200;

/// The shortest connection id that a client may invent for a server (RFC 9000, section 7.2).
const SHORTEST_FIRST_ID: usize = 8;

/// The longest connection id of the versions that are known (RFC 9000, section 17.2).
const LONGEST_ID: usize = 20;

/// A packet with a short header is never smaller: the first byte, our id, and what header protection takes its
/// sample from (RFC 9001, section 5.4.2).
const SHORTEST: usize = 1 + OWN_ID + 4 + 16;

const LONG_HEADER: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;

/// The ids that clients have invented for the server in their first packets, the last 64 of them: 0-RTT packets
/// carry them, too, and nothing else to be known by.
#[derive(Clone, Debug)]
pub struct Recent {
    ids: [Id; 64],
    next: usize,
}

/// A connection id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Id {
    bytes: [u8; LONGEST_ID],
    length: usize,
}

impl Id {
    fn new(id: &[u8]) -> Self {
        let mut bytes = [0; LONGEST_ID];
        let length = id.len().min(LONGEST_ID);
        bytes[..length].copy_from_slice(&id[..length]);
        Self { bytes, length }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            ids: [Id::default(); 64],
            next: 0,
        }
    }
}

impl Recent {
    fn has(&self, id: &[u8]) -> bool {
        // Places that are still free hold empty ones.
        !id.is_empty() && self.ids.contains(&Id::new(id))
    }

    fn remember(&mut self, id: &[u8]) {
        if !self.has(id) {
            self.ids[self.next] = Id::new(id);
            self.next = (self.next + 1) % self.ids.len();
        }
    }
}

/// Whether a datagram that came to a server is QUIC's. `is_ours` tells whether a connection id of [`OWN_ID`] bytes
/// is one of those that the server has given out.
///
/// The server must ask its clients to keep the fixed bit (not announce RFC 9287). One whole datagram is looked at:
/// a run of several that the kernel has joined must be taken apart before.
///
/// ```
/// use wire::quic::{Recent, is_quic};
///
/// let nobody = |_: &[u8]| false;
/// assert!(!is_quic(b"hello", nobody, &mut Recent::default()));
/// assert!(!is_quic("你好".as_bytes(), nobody, &mut Recent::default()));
/// ```
pub fn is_quic(datagram: &[u8], is_ours: impl Fn(&[u8]) -> bool, recent: &mut Recent) -> bool {
    match datagram.first() {
        None => false,
        Some(first) if first & LONG_HEADER == 0 => {
            first & FIXED_BIT != 0 && datagram.len() >= SHORTEST && is_ours(&datagram[1..=OWN_ID])
        }
        Some(first) => long(*first, datagram, is_ours, recent).unwrap_or(false),
    }
}

/// The types of long headers in version 1 (RFC 9000, section 17.2).
const INITIAL: u8 = 0;
const ZERO_RTT: u8 = 1;
const HANDSHAKE: u8 = 2;

/// `None`: the datagram ends too early to be one.
fn long(
    first: u8,
    datagram: &[u8],
    is_ours: impl Fn(&[u8]) -> bool,
    recent: &mut Recent,
) -> Option<bool> {
    let version = u32::from_be_bytes(*datagram.get(1..)?.first_chunk()?);
    let (to, rest) = id(&datagram[5..])?;
    let (from, rest) = id(rest)?;
    let large = datagram.len() >= SMALLEST_FIRST && to.len() >= SHORTEST_FIRST_ID;
    let is_known = matches!(version, VERSION_1 | VERSION_2);
    if !is_known {
        // It is told which versions there are.
        return Some(large && is_foreign(version));
    }
    if first & FIXED_BIT == 0 || to.len() > LONGEST_ID || from.len() > LONGEST_ID {
        return Some(false);
    }
    let kind = match version {
        // RFC 9369, section 3.2: one more.
        VERSION_2 => (first >> 4).wrapping_sub(1) & 3,
        _ => first >> 4 & 3,
    };
    let ours = || to.len() == OWN_ID && is_ours(to);
    Some(match kind {
        INITIAL if ours() => true,
        INITIAL => {
            let begins = large && begins(rest);
            if begins {
                recent.remember(to);
            }
            begins
        }
        ZERO_RTT => recent.has(to) || ours(),
        HANDSHAKE => ours(),
        // Only servers send Retry.
        _ => false,
    })
}

/// Versions that nobody speaks here and whose clients should be told so: those that are reserved to try that
/// (RFC 9000, section 15), and the drafts of version 1.
fn is_foreign(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a || version >> 8 == 0x00ff_0000
}

/// A connection id behind its length, and what comes after it.
fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Whether a token and a length fit that an Initial packet has next (RFC 9000, section 17.2.2).
fn begins(rest: &[u8]) -> bool {
    let fits = || {
        let (token, rest) = varint(rest)?;
        let (_, rest) = rest.split_at_checked(usize::try_from(token).ok()?)?;
        let (length, rest) = varint(rest)?;
        Some(length <= rest.len() as u64)
    };
    fits().unwrap_or(false)
}

/// A number of variable length, and what comes after it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, length) = number(bytes)?;
    Some((number, &bytes[length..]))
}
