//! How messages are marked in a byte stream: the seven framings, their names, and what each puts
//! around a message.
//!
//! [`Framing`] says which, [`Framing::wrap`] is the sending side and [`Cutter`] the receiving one.

mod cutter;

use std::{fmt, num::NonZeroUsize, str::FromStr, time::Duration};

use bytes::Bytes;
use thiserror::Error;

pub use self::cutter::Cutter;
use crate::text::{self, Encoding, EscapeError, nearest};

/// Where one message ends and the next begins in a byte stream.
///
/// Written and read as `raw`, `line`, `fixed:16`, `length:u16be`, `until:\r\n` or `idle:50ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Framing {
    /// No marks: a message is what one read gave.
    #[default]
    Raw,
    /// A message ends at `\n`; one `\r` before it belongs to the mark, not to the message.
    Line,
    /// Every message has exactly this many bytes.
    Fixed(NonZeroUsize),
    /// A number in front of each message says how many bytes follow it.
    Length(Prefix),
    /// A message ends where these bytes stand. An empty delimiter marks nothing: nothing is ever
    /// found.
    Until(Bytes),
    /// A message ends when nothing has come for this long, as on a serial line.
    Idle(Duration),
}

impl Framing {
    /// What goes before and after `message` on the wire. The message itself is neither copied nor
    /// changed.
    ///
    /// The inside of a message is not examined: one that contains `\n` (or the delimiter of
    /// `until`) is sent as it is, and arrives as several. Whoever must not let that happen sends
    /// with a length.
    ///
    /// # Errors
    /// [`FrameError::WrongSize`] when a `fixed` message has another size, [`FrameError::TooLong`]
    /// when the length prefix cannot express the size.
    pub fn wrap(&self, message: &[u8]) -> Result<Wrapper, FrameError> {
        match self {
            Self::Raw | Self::Idle(_) => Ok(Wrapper::default()),
            Self::Line => Ok(Wrapper::ending(Bytes::from_static(b"\n"))),
            Self::Until(delimiter) => Ok(Wrapper::ending(delimiter.clone())),
            Self::Fixed(size) if size.get() == message.len() => Ok(Wrapper::default()),
            Self::Fixed(size) => Err(FrameError::WrongSize {
                expected: size.get(),
                got: message.len(),
            }),
            Self::Length(prefix) => prefix.wrapper(message.len()),
        }
    }

    /// Whether messages are not marked at all, so that bytes may be passed on without looking at
    /// them.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }
}

/// How the length in front of a message is written. It counts the bytes that follow it, not itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// One byte.
    U8,
    /// Two bytes, the most significant first.
    U16be,
    /// Two bytes, the least significant first.
    U16le,
    /// Four bytes, the most significant first.
    U32be,
    /// Four bytes, the least significant first.
    U32le,
    /// LEB128 in one to five bytes, as Protocol Buffers delimit messages; at most 2³²−1.
    Varint,
}

const PREFIXES: [(&str, Prefix); 6] = [
    ("u8", Prefix::U8),
    ("u16be", Prefix::U16be),
    ("u16le", Prefix::U16le),
    ("u32be", Prefix::U32be),
    ("u32le", Prefix::U32le),
    ("varint", Prefix::Varint),
];

impl Prefix {
    /// The largest message that this prefix can announce, in bytes.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::U8 => u8::MAX.into(),
            Self::U16be | Self::U16le => u16::MAX.into(),
            Self::U32be | Self::U32le | Self::Varint => u32::MAX,
        }
    }

    fn wrapper(self, length: usize) -> Result<Wrapper, FrameError> {
        let Some(length) = u32::try_from(length)
            .ok()
            .filter(|length| *length <= self.max())
        else {
            let limit = usize::try_from(self.max()).unwrap_or(usize::MAX);
            return Err(FrameError::TooLong {
                limit,
                announced: Some(length as u64),
            });
        };
        let [.., high, low] = length.to_be_bytes();
        Ok(match self {
            Self::U8 => Wrapper::starting(&[low]),
            Self::U16be => Wrapper::starting(&[high, low]),
            Self::U16le => Wrapper::starting(&[low, high]),
            Self::U32be => Wrapper::starting(&length.to_be_bytes()),
            Self::U32le => Wrapper::starting(&length.to_le_bytes()),
            Self::Varint => Wrapper::starting_with_varint(length),
        })
    }

    /// The size of the prefix and of the message that it announces, or `None` while it is
    /// incomplete.
    fn read(self, bytes: &[u8]) -> Result<Option<(usize, u32)>, FrameError> {
        Ok(match self {
            Self::U8 => bytes.first().map(|byte| (1, u32::from(*byte))),
            Self::U16be => bytes
                .first_chunk()
                .map(|two| (2, u16::from_be_bytes(*two).into())),
            Self::U16le => bytes
                .first_chunk()
                .map(|two| (2, u16::from_le_bytes(*two).into())),
            Self::U32be => bytes
                .first_chunk()
                .map(|four| (4, u32::from_be_bytes(*four))),
            Self::U32le => bytes
                .first_chunk()
                .map(|four| (4, u32::from_le_bytes(*four))),
            Self::Varint => return read_varint(bytes),
        })
    }

    fn described(self) -> &'static str {
        match self {
            Self::U8 => "1-byte",
            Self::U16be | Self::U16le => "2-byte",
            Self::U32be | Self::U32le => "4-byte",
            Self::Varint => "varint",
        }
    }
}

fn read_varint(bytes: &[u8]) -> Result<Option<(usize, u32)>, FrameError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(MAX_HEAD).enumerate() {
        // The fifth byte has room for the top four bits of a u32 and must be the last.
        if index == MAX_HEAD - 1 && *byte > 0x0f {
            return Err(FrameError::BadPrefix);
        }
        value |= u32::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Ok(Some((index + 1, value)));
        }
    }
    Ok(None)
}

/// The longest head: a varint of 32 bits.
const MAX_HEAD: usize = 5;

/// What stands around one message on the wire: write `head`, the message, `tail`. Never allocates.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wrapper {
    head: [u8; MAX_HEAD],
    head_len: usize,
    tail: Bytes,
}

impl Wrapper {
    /// The bytes before the message: empty, or a length of one to five bytes.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_len]
    }

    /// The bytes after the message: empty, `\n` or the delimiter.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    fn ending(tail: Bytes) -> Self {
        Self {
            tail,
            ..Self::default()
        }
    }

    fn starting(bytes: &[u8]) -> Self {
        let mut head = [0; MAX_HEAD];
        head[..bytes.len()].copy_from_slice(bytes);
        Self {
            head,
            head_len: bytes.len(),
            tail: Bytes::new(),
        }
    }

    fn starting_with_varint(mut value: u32) -> Self {
        let mut head = [0; MAX_HEAD];
        let mut last = 0;
        while value >= 0x80 {
            head[last] = (value & 0x7f) as u8 | 0x80;
            value >>= 7;
            last += 1;
        }
        head[last] = value as u8;
        Self::starting(&head[..=last])
    }
}

/// Bytes that do not follow the framing, or a message that the framing cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A message is longer than is allowed, known as early as it can be.
    #[error("message{} is longer than the limit of {}", announcement(*announced), count(*limit))]
    TooLong {
        /// The largest message, in bytes.
        limit: usize,
        /// How long the message is, in bytes, if that is known without having it all.
        announced: Option<u64>,
    },
    /// The stream ended inside a message of known size.
    #[error("expected {}, the peer closed after {got}", count(*expected))]
    CutShort {
        /// The size of the whole message, in bytes, without its prefix.
        expected: usize,
        /// How many of these bytes had come.
        got: usize,
    },
    /// The stream ended inside a length prefix.
    #[error("expected a {} length, the peer closed after {}", prefix.described(), count(*got))]
    PrefixCutShort {
        /// The prefix that was expected.
        prefix: Prefix,
        /// How many of its bytes had come.
        got: usize,
    },
    /// A message to be sent has not the one size that the framing allows.
    #[error("every message must have exactly {}, this one has {got}", count(*expected))]
    WrongSize {
        /// The size of every message, in bytes.
        expected: usize,
        /// The size of this one.
        got: usize,
    },
    /// A varint that is longer than five bytes or says more than 2³²−1.
    #[error("the length is not a varint of 32 bits")]
    BadPrefix,
}

fn count(bytes: usize) -> String {
    format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" })
}

fn announcement(announced: Option<u64>) -> String {
    announced.map_or_else(String::new, |bytes| format!(" of {bytes} bytes"))
}

const NAMES: [&str; 6] = ["raw", "line", "fixed", "length", "until", "idle"];

impl FromStr for Framing {
    type Err = ParseFramingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), argument) {
            ("raw", None) => Ok(Self::Raw),
            ("line", None) => Ok(Self::Line),
            ("raw" | "line", Some(_)) => Err(ParseFramingError::Argument { name }),
            ("fixed", size) => parse_size(size.unwrap_or_default()).map(Self::Fixed),
            ("length", prefix) => prefix.unwrap_or_default().parse().map(Self::Length),
            ("until", delimiter) => parse_delimiter(delimiter.unwrap_or_default()).map(Self::Until),
            ("idle", gap) => parse_gap(gap.unwrap_or_default()).map(Self::Idle),
            _ => Err(ParseFramingError::Unknown {
                nearest: nearest::nearest(&name, NAMES),
                name,
            }),
        }
    }
}

fn parse_size(text: &str) -> Result<NonZeroUsize, ParseFramingError> {
    text.parse().map_err(|_| ParseFramingError::Size {
        text: text.to_owned(),
    })
}

fn parse_delimiter(text: &str) -> Result<Bytes, ParseFramingError> {
    let delimiter = text::unescape(text, Encoding::UTF_8)
        .map_err(|error| ParseFramingError::Delimiter { error })?;
    if delimiter.is_empty() {
        Err(ParseFramingError::NoDelimiter)
    } else {
        Ok(delimiter.into())
    }
}

/// The units of `idle`, the ones that end in another one first, each with how many of it make a
/// second.
const UNITS: [(&str, u64); 4] = [
    ("ms", 1_000),
    ("us", 1_000_000),
    ("ns", 1_000_000_000),
    ("s", 1),
];

fn parse_gap(text: &str) -> Result<Duration, ParseFramingError> {
    let (number, per_second) = UNITS
        .into_iter()
        .find_map(|(unit, per_second)| Some((text.strip_suffix(unit)?, per_second)))
        .unwrap_or((text, 1_000));
    let gap = number.parse().map(|number: u64| match per_second {
        1 => Duration::from_secs(number),
        1_000 => Duration::from_millis(number),
        1_000_000 => Duration::from_micros(number),
        _ => Duration::from_nanos(number),
    });
    gap.ok()
        .filter(|gap| !gap.is_zero())
        .ok_or_else(|| ParseFramingError::Gap {
            text: text.to_owned(),
        })
}

impl FromStr for Prefix {
    type Err = ParseFramingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = PREFIXES
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        known
            .map(|(_, prefix)| prefix)
            .ok_or_else(|| ParseFramingError::Prefix {
                name: text.to_owned(),
                nearest: nearest::nearest(text, PREFIXES.map(|(name, _)| name)),
            })
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("raw"),
            Self::Line => f.write_str("line"),
            Self::Fixed(size) => write!(f, "fixed:{size}"),
            Self::Length(prefix) => write!(f, "length:{prefix}"),
            Self::Until(delimiter) => write!(f, "until:{}", text::escape(delimiter)),
            Self::Idle(gap) => match gap.subsec_nanos() {
                0 => write!(f, "idle:{}s", gap.as_secs()),
                nanos if nanos % 1_000_000 == 0 => write!(f, "idle:{}ms", gap.as_millis()),
                nanos if nanos % 1_000 == 0 => write!(f, "idle:{}us", gap.as_micros()),
                _ => write!(f, "idle:{}ns", gap.as_nanos()),
            },
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = PREFIXES.into_iter().find(|(_, prefix)| prefix == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

/// Text that names no framing; says what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseFramingError {
    /// No framing has this name.
    #[error(
        "unknown framing {name:?}: expected raw, line, fixed:N, length:PREFIX, until:TEXT or \
         idle:MS{}",
        nearest::did_you_mean(*nearest)
    )]
    Unknown {
        /// What stood before the colon, in lower case.
        name: String,
        /// The name that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// An argument where none belongs, as in `line:5`.
    #[error("framing {name} takes no argument: write just {name:?}")]
    Argument {
        /// The framing.
        name: String,
    },
    /// `fixed` without a size that can be.
    #[error("{text:?} is no message size: expected a number of bytes from 1, as in fixed:16")]
    Size {
        /// What stood after `fixed:`.
        text: String,
    },
    /// `length` without a known prefix.
    #[error(
        "unknown length prefix {name:?}: expected length:u8, u16be, u16le, u32be, u32le or \
         varint{}",
        nearest::did_you_mean(*nearest)
    )]
    Prefix {
        /// What stood after `length:`.
        name: String,
        /// The prefix that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// `until` without a delimiter.
    #[error(r"until needs the bytes that end a message, as in until:\r\n or until:\x00")]
    NoDelimiter,
    /// `until` with an escape that does not exist.
    #[error("in the delimiter of until: {error}")]
    Delimiter {
        /// Which one; its column is counted from the beginning of the delimiter.
        error: EscapeError,
    },
    /// `idle` without a time that can be.
    #[error(
        "{text:?} is no gap: expected milliseconds from 1, as in idle:50, or a unit, as in idle:2s"
    )]
    Gap {
        /// What stood after `idle:`.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Framing {
        text.parse().unwrap()
    }

    fn complaint(text: &str) -> String {
        text.parse::<Framing>().unwrap_err().to_string()
    }

    #[test]
    fn names_are_read() {
        assert_eq!(parse("raw"), Framing::Raw);
        assert_eq!(parse("Line"), Framing::Line);
        assert_eq!(
            parse("fixed:16"),
            Framing::Fixed(NonZeroUsize::new(16).unwrap())
        );
        assert_eq!(parse("length:U16BE"), Framing::Length(Prefix::U16be));
        assert_eq!(
            parse(r"until:\r\n"),
            Framing::Until(Bytes::from_static(b"\r\n"))
        );
        assert_eq!(
            parse(r"until:\x00"),
            Framing::Until(Bytes::from_static(b"\0"))
        );
        assert_eq!(parse("until::"), Framing::Until(Bytes::from_static(b":")));
        assert_eq!(parse("idle:50"), Framing::Idle(Duration::from_millis(50)));
        assert_eq!(parse("idle:50ms"), Framing::Idle(Duration::from_millis(50)));
        assert_eq!(parse("idle:2s"), Framing::Idle(Duration::from_secs(2)));
    }

    #[test]
    fn names_are_written_as_they_are_read() {
        for name in [
            "raw",
            "line",
            "fixed:16",
            r"until:\r\n",
            r"until:\xff\\END",
            "idle:50ms",
            "idle:1500us",
            "idle:7ns",
            "idle:2461578753814430577s",
        ] {
            assert_eq!(parse(name).to_string(), name);
        }
        for (name, prefix) in PREFIXES {
            assert_eq!(
                Framing::Length(prefix).to_string(),
                format!("length:{name}")
            );
            assert_eq!(name.parse(), Ok(prefix));
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_would_be_right() {
        assert_eq!(
            complaint("lines"),
            "unknown framing \"lines\": expected raw, line, fixed:N, length:PREFIX, until:TEXT or \
             idle:MS; did you mean \"line\"?"
        );
        assert_eq!(
            complaint("length:u16"),
            "unknown length prefix \"u16\": expected length:u8, u16be, u16le, u32be, u32le or \
             varint; did you mean \"u16be\"?"
        );
        assert_eq!(
            complaint("line:5"),
            "framing line takes no argument: write just \"line\""
        );
        assert!(complaint("fixed").contains("as in fixed:16"));
        assert!(complaint("fixed:0").starts_with("\"0\" is no message size"));
        assert!(complaint("length").contains("varint"));
        assert!(complaint("until:").contains(r"until:\r\n"));
        assert!(complaint("until").contains(r"until:\r\n"));
        assert!(complaint(r"until:a\q").contains("column 2"));
        assert!(complaint("idle:0").contains("idle:50"));
        assert!(complaint("idle:soon").contains("idle:50"));
        assert!(!complaint("\u{1b}[31m").contains('\u{1b}'));
    }

    #[test]
    fn wrapping_puts_the_marks_around() {
        let around = |framing: &str, message: &[u8]| {
            let wrapper = parse(framing).wrap(message).unwrap();
            (wrapper.head().to_vec(), wrapper.tail().to_vec())
        };
        assert_eq!(around("raw", b"hi"), (vec![], vec![]));
        assert_eq!(around("idle:5", b"hi"), (vec![], vec![]));
        assert_eq!(around("line", b"a\nb"), (vec![], b"\n".to_vec()));
        assert_eq!(around(r"until:\r\n", b"hi"), (vec![], b"\r\n".to_vec()));
        assert_eq!(around("fixed:2", b"hi"), (vec![], vec![]));
        assert_eq!(around("length:u8", b"hi"), (vec![2], vec![]));
        assert_eq!(around("length:u16be", b"hi"), (vec![0, 2], vec![]));
        assert_eq!(around("length:u16le", b"hi"), (vec![2, 0], vec![]));
        assert_eq!(around("length:u32be", b"hi"), (vec![0, 0, 0, 2], vec![]));
        assert_eq!(around("length:u32le", b"hi"), (vec![2, 0, 0, 0], vec![]));
        assert_eq!(
            around("length:varint", &[0; 300]),
            (vec![0xac, 0x02], vec![])
        );
    }

    #[test]
    fn wrapping_refuses_what_the_framing_cannot_carry() {
        for message in [&b"hell"[..], b"hello!"] {
            let error = parse("fixed:5").wrap(message).unwrap_err();
            assert_eq!(
                error,
                FrameError::WrongSize {
                    expected: 5,
                    got: message.len()
                }
            );
        }
        assert_eq!(
            parse("length:u8").wrap(&[0; 256]).unwrap_err().to_string(),
            "message of 256 bytes is longer than the limit of 255 bytes"
        );
        assert!(parse("length:u16le").wrap(&[0; 65_536]).is_err());
        assert!(parse("length:u16le").wrap(&[0; 65_535]).is_ok());
    }

    #[test]
    fn varints_end_where_they_must() {
        assert_eq!(
            read_varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            Ok(Some((5, u32::MAX)))
        );
        assert_eq!(
            read_varint(&[0xff, 0xff, 0xff, 0xff, 0x10]),
            Err(FrameError::BadPrefix)
        );
        assert_eq!(
            read_varint(&[0xff, 0xff, 0xff, 0xff, 0x80]),
            Err(FrameError::BadPrefix)
        );
        assert_eq!(read_varint(&[0x80; 4]), Ok(None));
    }

    proptest! {
        #[test]
        fn any_delimiter_survives_its_name(delimiter in prop::collection::vec(any::<u8>(), 1..20)) {
            let framing = Framing::Until(delimiter.into());
            prop_assert_eq!(framing.to_string().parse(), Ok(framing));
        }

        #[test]
        fn any_gap_survives_its_name(nanos in 1..u64::MAX) {
            let framing = Framing::Idle(Duration::from_nanos(nanos));
            prop_assert_eq!(framing.to_string().parse(), Ok(framing));
        }

        #[test]
        fn every_varint_is_read_as_it_was_written(value: u32) {
            let wrapper = Wrapper::starting_with_varint(value);
            prop_assert_eq!(read_varint(wrapper.head()), Ok(Some((wrapper.head().len(), value))));
        }
    }
}
