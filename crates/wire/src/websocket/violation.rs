//! What a peer can do wrong, and the close code that tells it so.

use std::fmt;

use super::Opcode;

/// How a peer broke the protocol. [`Display`](fmt::Display) is one line without the peer's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit that no extension has given a meaning here (RFC 6455, section 5.2).
    #[error("a frame has the reserved bit RSV{0} set")]
    ReservedBit(u8),
    /// An opcode without a meaning (section 5.2).
    #[error("a frame has the reserved opcode {0:#x}")]
    ReservedOpcode(u8),
    /// A control frame in pieces (section 5.5).
    #[error("a {0} frame is fragmented")]
    FragmentedControl(Opcode),
    /// A control frame with more than [`MAX_CONTROL`](super::MAX_CONTROL) bytes (section 5.5).
    #[error("a {0} frame has more than 125 bytes")]
    LongControl(Opcode),
    /// A length that fits in fewer bytes, or does not fit in 63 bits (section 5.2).
    #[error("a frame's length is not in its shortest form")]
    BadLength,
    /// A client must mask (section 5.1).
    #[error("a client's frame is not masked")]
    NotMasked,
    /// A server must not mask (section 5.1).
    #[error("a server's frame is masked")]
    Masked,
    /// A continuation, and nothing has begun (section 5.4).
    #[error("a fragment continues no message")]
    NothingToContinue,
    /// A new message before the last fragment of the one before (section 5.4).
    #[error("a message begins before the one before it has ended")]
    NotContinued,
    /// A close frame whose code is cut off (section 5.5.1).
    #[error("a close frame has one byte, a code has two")]
    HalfCloseCode,
    /// A close code that must not be sent (section 7.4).
    #[error("the close code {0} must not be sent")]
    BadCloseCode(u16),
    /// Text that is none (section 8.1).
    #[error("{place} is not UTF-8: byte {offset} is {}", Hex(bytes))]
    NotUtf8 {
        /// Where it stands.
        place: Place,
        /// The first byte that is wrong, counted from 0 in the whole message.
        offset: usize,
        /// What stands there: one to three bytes.
        bytes: Vec<u8>,
    },
    /// Compressed data that cannot be decompressed (RFC 7692, section 7.2.2).
    #[error("a compressed message cannot be decompressed")]
    Damaged,
    /// A message, decompressed, that is longer than we take (RFC 6455, section 7.4.1).
    #[error("a message has more than {limit} bytes")]
    TooLong {
        /// The most that is taken.
        limit: usize,
    },
}

/// Where text can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a text message.
    Message,
    /// In the reason of a close frame.
    CloseReason,
}

impl Violation {
    /// The close code to send (RFC 6455, section 7.4.1).
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::NotUtf8 { .. } | Self::Damaged => 1007,
            Self::TooLong { .. } => 1009,
            _ => 1002,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "a text message",
            Self::CloseReason => "a close reason",
        })
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { " " };
            write!(f, "{gap}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Goes on where `valid` bytes are known to be right. What is held back at the end may still become a
/// character, unless it is the `end`.
pub(super) fn check_utf8(
    text: &[u8],
    valid: &mut usize,
    end: bool,
    place: Place,
) -> Result<(), Violation> {
    let Err(error) = str::from_utf8(&text[*valid..]) else {
        *valid = text.len();
        return Ok(());
    };
    *valid += error.valid_up_to();
    let wrong = match error.error_len() {
        Some(length) => &text[*valid..*valid + length],
        None if end => &text[*valid..],
        None => return Ok(()),
    };
    Err(Violation::NotUtf8 {
        place,
        offset: *valid,
        bytes: wrong.to_vec(),
    })
}
