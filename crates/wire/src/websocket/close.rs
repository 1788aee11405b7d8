//! The close frame: why the conversation is over (RFC 6455, sections 5.5.1 and 7.4).

use super::violation::check_utf8;
use super::{MAX_CONTROL, Place, Violation};

/// Why a peer closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// What kind of reason it is: 1000 is none in particular, see [`close_name`](name).
    pub code: u16,
    /// What a person should know; often empty.
    pub reason: String,
}

impl Close {
    /// The longest reason in bytes: the code stands before it.
    pub const MAX_REASON: usize = MAX_CONTROL - 2;

    /// `reason` is cut after [`MAX_REASON`](Self::MAX_REASON) bytes, between two characters.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(Self::MAX_REASON));
        Self { code, reason }
    }

    /// Reads the payload of a close frame.
    ///
    /// # Errors
    /// When the code is cut off or must not be sent, and when the reason is not UTF-8.
    pub fn read(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(Violation::HalfCloseCode),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !Self::may_say(code) {
            return Err(Violation::BadCloseCode(code));
        }
        check_utf8(reason, &mut 0, true, Place::CloseReason)?;
        let reason = String::from_utf8_lossy(reason).into_owned();
        Ok(Some(Self { code, reason }))
    }

    /// Whether a close frame may have this code: section 7.4, and what the registry has added since. 1004,
    /// 1005, 1006 and 1015 are reserved for what no frame says.
    #[must_use]
    pub fn may_say(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The payload of a close frame.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        [&self.code.to_be_bytes()[..], self.reason.as_bytes()].concat()
    }
}

/// What a close code means, in a few words (the WebSocket Close Code Number Registry of IANA).
#[must_use]
pub fn name(code: u16) -> &'static str {
    match code {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "no code",
        1006 => "no close frame",
        1007 => "invalid data",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "missing extension",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        1015 => "TLS handshake failed",
        3000 => "unauthorized",
        3003 => "forbidden",
        3008 => "timeout",
        4000..=4999 => "an application's code",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_two_characters() {
        let close = Close::new(1000, "é".repeat(100));
        assert_eq!(close.reason, "é".repeat(61));
        assert_eq!(close.payload().len(), 124);
        assert_eq!(Close::read(&close.payload()), Ok(Some(close)));
        assert_eq!(Close::new(1000, "x".repeat(200)).payload().len(), 125);
    }

    #[test]
    fn codes_that_may_be_sent() {
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            let read = Close::read(&Close::new(code, "").payload());
            assert_eq!(read, Ok(Some(Close::new(code, ""))));
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535,
        ] {
            let read = Close::read(&Close::new(code, "").payload());
            assert_eq!(read, Err(Violation::BadCloseCode(code)));
        }
        assert_eq!(Close::read(b""), Ok(None));
        assert_eq!(Close::read(b"\x03"), Err(Violation::HalfCloseCode));
    }
}
