//! What stands before a payload: read, and written (RFC 6455, section 5.2).

use std::fmt;

use super::{MAX_CONTROL, Violation};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation,
    /// The beginning of a text message.
    Text,
    /// The beginning of a binary message.
    Binary,
    /// The end.
    Close,
    /// Are you there?
    Ping,
    /// I am here.
    Pong,
}

/// The header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it is the last fragment of its message.
    pub fin: bool,
    /// RSV1, with which permessage-deflate marks a compressed message (RFC 7692, section 6).
    pub compressed: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// With what its payload is masked, if it is.
    pub mask: Option<[u8; 4]>,
    /// Bytes of its payload; less than 2^63.
    pub length: u64,
}

impl Header {
    /// The longest header.
    pub const MAX: usize = 14;

    /// Reads the header at the beginning of `bytes`, and says how long it is. `None`: it goes on after them.
    ///
    /// # Errors
    /// When no frame begins so, as soon as the byte is there that tells it.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        for (bit, n) in [(0x20, 2), (0x10, 3)] {
            if first & bit != 0 {
                return Err(Violation::ReservedBit(n));
            }
        }
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let opcode = Opcode::read(first & 0x0f)?;
        if opcode.is_control() && !fin {
            return Err(Violation::FragmentedControl(opcode));
        }
        if opcode.is_control() && compressed {
            return Err(Violation::ReservedBit(1));
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let short = usize::from(second & 0x7f);
        if opcode.is_control() && short > MAX_CONTROL {
            return Err(Violation::LongControl(opcode));
        }
        let Some((length, end)) = read_length(short, bytes)? else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        let (mask, end) = match (masked, bytes.get(end..).and_then(<[u8]>::first_chunk)) {
            (false, _) => (None, end),
            (true, Some(key)) => (Some(*key), end + key.len()),
            (true, None) => return Ok(None),
        };
        let header = Self {
            fin,
            compressed,
            opcode,
            mask,
            length,
        };
        Ok(Some((header, end)))
    }

    /// Appends the header to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let first = bit(self.fin, 0x80) | bit(self.compressed, 0x40) | self.opcode.number();
        let masked = bit(self.mask.is_some(), 0x80);
        // One append of known room, and no branch for each part.
        let mut bytes = [0; Self::MAX];
        bytes[0] = first;
        let mut end = match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short @ ..126), _) => {
                bytes[1] = masked | short;
                2
            }
            (_, Ok(medium)) => {
                bytes[1] = masked | 126;
                bytes[2..4].copy_from_slice(&medium.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = masked | 127;
                bytes[2..10].copy_from_slice(&self.length.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            bytes[end..end + 4].copy_from_slice(&key);
            end += 4;
        }
        out.extend_from_slice(&bytes[..end]);
    }
}

/// The length that the seven bits announce, and where the header goes on.
fn read_length(short: usize, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let rest = &bytes[2..];
    let (length, shortest, end) = match short {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 126, 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 0x1_0000, 10),
            None => return Ok(None),
        },
        short => (short as u64, 0, 2),
    };
    if length < shortest || length >> 63 != 0 {
        return Err(Violation::BadLength);
    }
    Ok(Some((length, end)))
}

impl Opcode {
    fn read(number: u8) -> Result<Self, Violation> {
        Ok(match number {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return Err(Violation::ReservedOpcode(number)),
        })
    }

    fn number(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether it is about the connection and not part of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}
