//! The frames of a packet that was opened (RFC 9000, section 19; RFC 9221; draft-ietf-quic-ack-frequency).

use crate::fields::Fields;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Nothing, any number of times.
    Padding,
    /// Asks for an acknowledgment.
    Ping,
    /// Acknowledges packets.
    Ack {
        /// The highest.
        largest: u64,
        /// How many before it are acknowledged in one piece with it.
        first: u64,
        /// How many more pieces there are.
        ranges: u64,
    },
    /// A stream is broken off by its sender.
    ResetStream {
        /// Its number.
        stream: u64,
        /// Why, as the application says.
        code: u64,
    },
    /// A stream is not wanted any more by its receiver.
    StopSending {
        /// Its number.
        stream: u64,
        /// Why, as the application says.
        code: u64,
    },
    /// Messages of TLS.
    Crypto {
        /// Where they belong.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// For the next connection.
    NewToken,
    /// Bytes of a stream.
    Stream {
        /// Its number.
        stream: u64,
        /// Where they belong.
        offset: u64,
        /// It ends with them.
        end: bool,
        /// The bytes.
        data: &'a [u8],
    },
    /// Another id for the connection.
    NewConnectionId,
    /// The connection ends.
    ConnectionClose {
        /// Why.
        code: u64,
        /// It is the application that ends it.
        application: bool,
        /// Why, in words.
        reason: &'a [u8],
    },
    /// The server confirms the handshake.
    HandshakeDone,
    /// A message that may get lost (RFC 9221).
    Datagram(&'a [u8]),
    /// One of those whose name says it all.
    Named(&'static str),
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of `bytes`, and its length in bytes. `None` if it is broken or unknown.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut fields = Fields(bytes);
        let frame = match fields.number()? {
            0 => {
                let more = fields.0.iter().take_while(|byte| **byte == 0).count();
                fields.bytes(more)?;
                Self::Padding
            }
            1 => Self::Ping,
            kind @ (2 | 3) => Self::ack(&mut fields, kind == 3)?,
            4 => Self::ResetStream {
                stream: fields.number()?,
                code: first_of(&mut fields, 2)?,
            },
            5 => Self::StopSending {
                stream: fields.number()?,
                code: fields.number()?,
            },
            6 => Self::Crypto {
                offset: fields.number()?,
                data: fields.counted()?,
            },
            7 => fields.counted().map(|_| Self::NewToken)?,
            kind @ 8..=15 => Self::stream(&mut fields, kind)?,
            24 => {
                first_of(&mut fields, 2)?;
                let id = usize::from(fields.byte()?);
                fields.bytes(id + 16)?;
                Self::NewConnectionId
            }
            kind @ (28 | 29) => {
                let code = first_of(&mut fields, if kind == 28 { 2 } else { 1 })?;
                Self::ConnectionClose {
                    code,
                    application: kind == 29,
                    reason: fields.counted()?,
                }
            }
            30 => Self::HandshakeDone,
            48 => Self::Datagram(std::mem::take(&mut fields.0)),
            49 => Self::Datagram(fields.counted()?),
            kind => Self::named(&mut fields, kind)?,
        };
        Some((frame, bytes.len() - fields.0.len()))
    }

    fn ack(fields: &mut Fields<'a>, congestion: bool) -> Option<Self> {
        let largest = first_of(fields, 2)?;
        let ranges = fields.number()?;
        let first = fields.number()?;
        // Each takes two bytes at least, so a wrong count ends soon.
        for _ in 0..ranges {
            first_of(fields, 2)?;
        }
        if congestion {
            first_of(fields, 3)?;
        }
        Some(Self::Ack {
            largest,
            first,
            ranges,
        })
    }

    fn stream(fields: &mut Fields<'a>, kind: u64) -> Option<Self> {
        let stream = fields.number()?;
        let offset = match kind & 4 {
            0 => 0,
            _ => fields.number()?,
        };
        let data = match kind & 2 {
            0 => std::mem::take(&mut fields.0),
            _ => fields.counted()?,
        };
        Some(Self::Stream {
            stream,
            offset,
            end: kind & 1 != 0,
            data,
        })
    }

    /// Frames of nothing but numbers, or of eight bytes.
    fn named(fields: &mut Fields<'a>, kind: u64) -> Option<Self> {
        let (name, numbers) = match kind {
            16 => ("MAX_DATA", 1),
            17 => ("MAX_STREAM_DATA", 2),
            18 | 19 => ("MAX_STREAMS", 1),
            20 => ("DATA_BLOCKED", 1),
            21 => ("STREAM_DATA_BLOCKED", 2),
            22 | 23 => ("STREAMS_BLOCKED", 1),
            25 => ("RETIRE_CONNECTION_ID", 1),
            26 | 27 => {
                fields.bytes(8)?;
                let answers = kind == 27;
                let name = if answers {
                    "PATH_RESPONSE"
                } else {
                    "PATH_CHALLENGE"
                };
                return Some(Self::Named(name));
            }
            31 => ("IMMEDIATE_ACK", 0),
            0xaf => ("ACK_FREQUENCY", 4),
            _ => return None,
        };
        if numbers > 0 {
            first_of(fields, numbers)?;
        }
        Some(Self::Named(name))
    }
}

/// The first of `count` numbers.
fn first_of(fields: &mut Fields<'_>, count: usize) -> Option<u64> {
    let first = fields.number()?;
    for _ in 1..count {
        fields.number()?;
    }
    Some(first)
}
