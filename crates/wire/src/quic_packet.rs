//! Packets of QUIC (RFC 9000, RFC 9369): the part of their headers that is in the clear, and the frames of those that
//! somebody has opened.
//!
//! ```
//! use wire::quic_packet::{Frame, Header, Kind};
//!
//! let datagram = [0xc0, 0, 0, 0, 1, 2, 7, 7, 0, 0, 0x40, 0x14, 0, 0, 0, 0];
//! let header = Header::read(&datagram, 0).expect("a long header");
//! assert_eq!((header.kind, header.destination, header.length), (Kind::Initial, &[7, 7][..], Some(20)));
//! assert_eq!(Frame::read(&[1]), Some((Frame::Ping, 1)));
//! ```

mod frame;
#[cfg(test)]
mod tests;

use crate::fields::Fields;

pub use frame::Frame;

/// The version of RFC 9000.
pub const VERSION_1: u32 = 1;
/// The version of RFC 9369.
pub const VERSION_2: u32 = 0x6b33_43cf;

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of each end.
    Initial,
    /// Data before the handshake is over.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// The server asks for proof that the client's address is real.
    Retry,
    /// The server tells which versions it knows.
    VersionNegotiation,
    /// Everything else.
    OneRtt,
}

/// The part of a packet's header that is in the clear (RFC 9000, section 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What it is for.
    pub kind: Kind,
    /// The version; 0 in short headers and in version negotiation.
    pub version: u32,
    /// The id that its receiver has chosen.
    pub destination: &'a [u8],
    /// The id that its sender has chosen; empty in short headers.
    pub source: &'a [u8],
    /// How many bytes follow the header, its own number included; all that are left where that is not said.
    pub length: Option<u64>,
    /// How long the header is up to the packet's number, in bytes.
    pub header: usize,
}

impl<'a> Header<'a> {
    /// Reads the header at the beginning of `bytes`. Short ones do not tell how long the id is, so the caller does.
    /// `None` if it is cut, or of a version that is unknown.
    #[must_use]
    pub fn read(bytes: &'a [u8], id: usize) -> Option<Self> {
        let mut fields = Fields(bytes);
        let first = fields.byte()?;
        if first & 0x80 == 0 {
            return Some(Self {
                kind: Kind::OneRtt,
                version: 0,
                destination: fields.bytes(id)?,
                source: &[],
                length: None,
                header: 1 + id,
            });
        }
        let version = fields.bytes(4)?.first_chunk()?;
        let version = u32::from_be_bytes(*version);
        let length = usize::from(fields.byte()?);
        let destination = fields.bytes(length)?;
        let length = usize::from(fields.byte()?);
        let source = fields.bytes(length)?;
        let kind = match (version, first >> 4 & 3) {
            (0, _) => Kind::VersionNegotiation,
            (VERSION_1, 0) | (VERSION_2, 1) => Kind::Initial,
            (VERSION_1, 1) | (VERSION_2, 2) => Kind::ZeroRtt,
            (VERSION_1, 2) | (VERSION_2, 3) => Kind::Handshake,
            (VERSION_1, 3) | (VERSION_2, 0) => Kind::Retry,
            _ => return None,
        };
        if kind == Kind::Initial {
            let token = fields.number()?;
            fields.bytes(usize::try_from(token).ok()?)?;
        }
        let length = match kind {
            Kind::Retry | Kind::VersionNegotiation => None,
            _ => Some(fields.number()?),
        };
        Some(Self {
            kind,
            version,
            destination,
            source,
            length,
            header: bytes.len() - fields.0.len(),
        })
    }
}

/// Reads a number of variable length (RFC 9000, section 16): the number, and its length in bytes.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let bytes = bytes.get(..length)?;
    let start = u64::from(first & 0x3f);
    let value = bytes[1..]
        .iter()
        .fold(start, |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

/// Writes a number of variable length in as few bytes as it takes.
///
/// Numbers have 62 bits (RFC 9000, section 16); of one that has more the rest is left out.
pub fn write_number(number: u64, to: &mut Vec<u8>) {
    let power = match number {
        0..0x40 => 0,
        0x40..0x4000 => 1,
        0x4000..0x4000_0000 => 2,
        _ => 3,
    };
    let length = 1 << power;
    let bytes = (number & (u64::MAX >> 2)).to_be_bytes();
    let start = to.len();
    to.extend_from_slice(&bytes[bytes.len() - length..]);
    to[start] |= power << 6;
}

/// A number of variable length whose bytes come one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number {
    value: u64,
    missing: Option<u8>,
}

impl Number {
    /// Goes on by one byte; the number, once it is whole. Then the next one begins.
    pub fn read(&mut self, byte: u8) -> Option<u64> {
        let (value, missing) = match self.missing {
            None => (u64::from(byte & 0x3f), (1 << (byte >> 6)) - 1),
            Some(missing) => (self.value << 8 | u64::from(byte), missing - 1),
        };
        (self.value, self.missing) = (value, (missing > 0).then_some(missing));
        (missing == 0).then_some(value)
    }

    /// Whether one has begun and not ended.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.missing.is_some()
    }
}

impl<'a> Fields<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (value, length) = number(self.0)?;
        self.bytes(length).map(|_| value)
    }

    /// Bytes behind their length.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).ok()?)
    }
}
