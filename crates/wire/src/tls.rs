//! TLS as it stands on the wire: records, and what both hellos say in the clear (RFC 8446, RFC 5246).
//!
//! Nothing is decrypted here and nothing is checked: this reads what somebody else has sent.
//!
//! ```
//! use wire::tls::{Content, Record};
//!
//! let alert = [21, 3, 3, 0, 2, 1, 0];
//! let (record, length) = Record::read(&alert).expect("a whole header");
//! assert_eq!((record.content, record.length, length), (Content::Alert, 2, 5));
//! ```

mod hello;
mod names;
#[cfg(test)]
mod tests;

use crate::fields::Fields;

pub use hello::{ClientHello, ServerHello, alpn_of_extensions};
pub use names::{alert, cipher, group, message, version};

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// From now on the sender encrypts (TLS 1.2); in TLS 1.3 it means nothing.
    ChangeCipherSpec,
    /// An alert: a level and a number.
    Alert,
    /// Messages of the handshake.
    Handshake,
    /// Data, or in TLS 1.3 anything that is encrypted.
    Data,
    /// Heartbeat (RFC 6520).
    Heartbeat,
}

impl Content {
    /// By its number.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        Some(match number {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::Data,
            24 => Self::Heartbeat,
            _ => return None,
        })
    }
}

/// The header of a record (RFC 8446, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it carries.
    pub content: Content,
    /// How many bytes follow.
    pub length: usize,
}

impl Record {
    /// The length of the header in bytes.
    pub const HEADER: usize = 5;

    /// The header at the beginning of `bytes`, and its length. `None` if that is no header, or not all of one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let [content, 3, _, high, low] = *bytes.first_chunk::<5>()? else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // 2^14, and what TLS 1.2 adds at most.
        (length <= (1 << 14) + 2048).then_some(())?;
        let content = Content::of(content)?;
        Some((Self { content, length }, Self::HEADER))
    }
}

/// A message of the handshake, as it stands at the beginning of `bytes`: its type, its body, and how long it is in all.
/// `None` if it is not all there.
#[must_use]
pub fn handshake(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [kind, a, b, c] = *bytes.first_chunk::<4>()?;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let body = bytes.get(4..4 + length)?;
    Some((kind, body, 4 + length))
}

impl<'a> Fields<'a> {
    fn half(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes behind their length, of one byte.
    fn short(&mut self) -> Option<Self> {
        let length = self.byte()?;
        self.bytes(length.into()).map(Fields)
    }

    /// Bytes behind their length, of two bytes.
    fn long(&mut self) -> Option<Self> {
        let length = self.half()?;
        self.bytes(length.into()).map(Fields)
    }

    fn halves(mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.half()).collect()
    }
}
