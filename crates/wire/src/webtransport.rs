//! WebTransport in HTTP/3 (draft-ietf-webtrans-http3): how its streams begin, how codes of an application stand among
//! those of HTTP/3, and the capsules (RFC 9297, section 3.2) by which a session ends.
//!
//! ```
//! use wire::webtransport::{Capsules, Close};
//!
//! let close = Close { code: 7, reason: "bye".to_owned() };
//! let mut capsules = Capsules::default();
//! assert_eq!(capsules.admit(&close.written()), Ok(Some(close)));
//! ```

use crate::quic_packet::{Number, number, write_number};

/// What a stream in both directions begins with, before the id of its session (section 4.3).
pub const BOTH_WAYS: u64 = 0x41;

/// What a stream in one direction begins with, before the id of its session (section 4.2).
pub const ONE_WAY: u64 = 0x54;

/// What a stream is reset with whose session is over (WT_SESSION_GONE).
pub const SESSION_GONE: u64 = 0x170d_7b68;

/// What a stream is reset with that has come before its session, when too many have (WT_BUFFERED_STREAM_REJECTED).
pub const BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;

/// SETTINGS_WT_MAX_SESSIONS in drafts 7 to 12.
const MAX_SESSIONS_7: u64 = 0xc671_706a;
/// The same in drafts 13 and 14, which Safari looks for.
const MAX_SESSIONS_13: u64 = 0x14e9_cd29;
/// SETTINGS_ENABLE_WEBTRANSPORT in drafts up to 6, which Chromium looks for.
const ENABLE_2: u64 = 0x2b60_3742;

/// What a server says beside what HTTP/3 has for itself: one session at a time is taken. Not what draft 15 has instead
/// (0x2c7cf000), because who hears that asks by another name, `webtransport-h3`.
pub const SERVER_SETTINGS: [(u64, u64); 2] = [(MAX_SESSIONS_7, 1), (MAX_SESSIONS_13, 1)];

/// What a client says: that it knows WebTransport.
pub const CLIENT_SETTINGS: [(u64, u64); 3] =
    [(ENABLE_2, 1), (MAX_SESSIONS_7, 1), (MAX_SESSIONS_13, 1)];

/// The code of HTTP/3 that the application's code 0 is.
const FIRST: u64 = 0x52e4_a40f_a8db;

/// The code of HTTP/3 that the application's highest code is.
const LAST: u64 = 0x52e5_ac98_3162;

/// The code by which HTTP/3 knows an application's (section 4.4).
#[must_use]
pub fn to_http3(code: u32) -> u64 {
    let code = u64::from(code);
    FIRST + code + code / 0x1e
}

/// The application's code, if this is one.
#[must_use]
pub fn from_http3(code: u64) -> Option<u32> {
    // Every 0x1f-th is reserved (RFC 9114, section 8.1).
    let reserved = code.checked_sub(0x21)?.is_multiple_of(0x1f);
    if !(FIRST..=LAST).contains(&code) || reserved {
        return None;
    }
    let shifted = code - FIRST;
    u32::try_from(shifted - shifted / 0x1f).ok()
}

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// More bytes are needed.
    NeedMore,
    /// It is HTTP/3's own.
    Other,
    /// It belongs to a session.
    Session {
        /// The id of the session.
        id: u64,
        /// Bytes before those of the stream.
        length: usize,
    },
}

/// Looks at the first bytes of a stream; `signal` is what such a stream of WebTransport begins with.
#[must_use]
pub fn begin(bytes: &[u8], signal: u64) -> Beginning {
    let Some((first, at)) = number(bytes) else {
        return Beginning::NeedMore;
    };
    if first != signal {
        return Beginning::Other;
    }
    match number(&bytes[at..]) {
        None => Beginning::NeedMore,
        Some((id, length)) => Beginning::Session {
            id,
            length: at + length,
        },
    }
}

/// The first bytes of a stream of session `id`.
#[must_use]
pub fn beginning(signal: u64, id: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    write_number(signal, &mut bytes);
    write_number(id, &mut bytes);
    bytes
}

/// What each datagram of session `id` begins with (RFC 9297, section 2.1).
#[must_use]
pub fn label(id: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8);
    write_number(id / 4, &mut bytes);
    bytes
}

/// The capsule CLOSE_WEBTRANSPORT_SESSION (section 5).
const CLOSE: u64 = 0x2843;

/// Bytes of a reason, at most (section 5).
pub const LONGEST_REASON: usize = 1024;

const CODE: usize = size_of::<u32>();

/// How a session is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// The application's code.
    pub code: u32,
    /// The application's words, often none.
    pub reason: String,
}

impl Close {
    /// As a capsule. Of a reason that is too long the end is left out.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        let reason = &self.reason[..self.reason.floor_char_boundary(LONGEST_REASON)];
        let mut bytes = Vec::with_capacity(CODE + reason.len() + 8);
        write_number(CLOSE, &mut bytes);
        write_number((CODE + reason.len()) as u64, &mut bytes);
        bytes.extend(self.code.to_be_bytes());
        bytes.extend(reason.as_bytes());
        bytes
    }
}

/// What is wrong with the capsules of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A close that is shorter than a code or longer than the longest reason.
    Length(u64),
    /// A reason that is no UTF-8.
    NotText,
    /// Something comes after the close.
    AfterClose,
    /// The stream ends within a capsule.
    CutShort,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a capsule that closes it has {length} bytes"),
            Self::NotText => f.write_str("the reason of its close is no UTF-8"),
            Self::AfterClose => f.write_str("something follows its close"),
            Self::CutShort => f.write_str("its stream ends within a capsule"),
        }
    }
}

impl std::error::Error for Fault {}

/// Reads the capsules of a session as they come. What it keeps is no longer than a close can be; of the others none is
/// kept.
#[derive(Debug, Default)]
pub struct Capsules {
    place: Place,
    number: Number,
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Type,
    Length {
        kind: u64,
    },
    /// So many bytes of a close are still to come.
    Close(usize),
    /// So many bytes of another one.
    Other(u64),
    Closed,
}

impl Capsules {
    /// Goes on by what has come; gives the close when it is whole.
    ///
    /// # Errors
    /// [`Fault`]; then nothing more can be read.
    pub fn admit(&mut self, mut data: &[u8]) -> Result<Option<Close>, Fault> {
        let mut close = None;
        while let Some((&byte, rest)) = data.split_first() {
            let here = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
            match self.place {
                Place::Closed => return Err(Fault::AfterClose),
                Place::Other(left) => {
                    let here = here(left);
                    data = &data[here..];
                    self.place = after(left - here as u64);
                    continue;
                }
                Place::Close(left) => {
                    let here = left.min(data.len());
                    self.kept.extend_from_slice(&data[..here]);
                    data = &data[here..];
                    self.place = Place::Close(left - here);
                    if left == here {
                        close = Some(self.close()?);
                    }
                    continue;
                }
                Place::Type | Place::Length { .. } => data = rest,
            }
            let Some(number) = self.number.read(byte) else {
                continue;
            };
            self.place = match self.place {
                Place::Length { kind: CLOSE } => Place::Close(of_close(number)?),
                Place::Length { .. } => after(number),
                _ => Place::Length { kind: number },
            };
        }
        Ok(close)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`Fault::CutShort`] when it has ended within a capsule.
    pub fn end(&self) -> Result<(), Fault> {
        match self.place {
            Place::Closed => Ok(()),
            Place::Type if !self.number.is_begun() => Ok(()),
            _ => Err(Fault::CutShort),
        }
    }

    fn close(&mut self) -> Result<Close, Fault> {
        self.place = Place::Closed;
        let kept = std::mem::take(&mut self.kept);
        let (code, reason) = kept
            .split_first_chunk::<CODE>()
            .ok_or(Fault::Length(kept.len() as u64))?;
        let reason = std::str::from_utf8(reason).map_err(|_| Fault::NotText)?;
        Ok(Close {
            code: u32::from_be_bytes(*code),
            reason: reason.to_owned(),
        })
    }
}

fn after(left: u64) -> Place {
    match left {
        0 => Place::Type,
        left => Place::Other(left),
    }
}

fn of_close(length: u64) -> Result<usize, Fault> {
    let known = usize::try_from(length).ok();
    known
        .filter(|length| (CODE..=CODE + LONGEST_REASON).contains(length))
        .ok_or(Fault::Length(length))
}

#[cfg(test)]
mod tests;
