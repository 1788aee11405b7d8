//! Characters and bytes: the encodings people still meet, streaming decoding, and text made safe to
//! look at.
//!
//! Nothing here substitutes silently: what cannot be encoded or decoded is an error, or is shown as
//! `\xNN`.

mod decoder;
mod escape;
pub mod nearest;

use std::{borrow::Cow, fmt, ops::Range, str::FromStr};

use encoding_rs::{DecoderResult, mem};
use thiserror::Error;

pub use self::{
    decoder::{Decoder, Piece},
    escape::{EscapeError, escape, is_printable, printable, printable_block, unescape},
};
use crate::hex;

/// A character encoding: one of the [WHATWG Encoding Standard](https://encoding.spec.whatwg.org/),
/// or what its labels `iso-8859-1` and `us-ascii` really say.
///
/// Parsed from any WHATWG label (`gbk`, `shift_jis`, `windows-1251`, …) in any case. Unlike
/// a browser, `latin1` is ISO 8859-1, in which every byte is the character of the same number, and
/// `ascii` is 7-bit. `gb2312` keeps its name but works as GBK, which contains it. The compatibility
/// mappings of the standard are kept: `¥` is the byte `5c` in Shift_JIS and EUC-JP.
///
/// A byte order mark is data: it is decoded to U+FEFF and decides nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Encoding(Charset);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Charset {
    #[default]
    Utf8,
    Ascii,
    Latin1,
    Gb2312,
    Whatwg(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// UTF-8, the default.
    pub const UTF_8: Self = Self(Charset::Utf8);
    /// US-ASCII: bytes above `7f` are no text.
    pub const ASCII: Self = Self(Charset::Ascii);
    /// ISO-8859-1: every byte is the character of the same number.
    pub const LATIN_1: Self = Self(Charset::Latin1);

    /// The canonical name, fit for a `charset=` parameter: `UTF-8`, `GBK`, `GB2312`, `ISO-8859-1`,
    /// ….
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Charset::Utf8 => "UTF-8",
            Charset::Ascii => "US-ASCII",
            Charset::Latin1 => "ISO-8859-1",
            Charset::Gb2312 => "GB2312",
            Charset::Whatwg(codec) => codec.name(),
        }
    }

    /// The bytes of `text`; borrowed where they are the same as in UTF-8.
    ///
    /// # Errors
    /// The first character that does not exist in this encoding. Nothing is put in its place.
    pub fn encode(self, text: &str) -> Result<Cow<'_, [u8]>, EncodeError> {
        match self.0 {
            Charset::Utf8 => Ok(text.as_bytes().into()),
            Charset::Ascii if text.is_ascii() => Ok(text.as_bytes().into()),
            Charset::Ascii => Err(self.refuse(text, char::is_ascii)),
            Charset::Latin1 if mem::is_str_latin1(text) => Ok(mem::encode_latin1_lossy(text)),
            Charset::Latin1 => Err(self.refuse(text, |character| u8::try_from(*character).is_ok())),
            Charset::Gb2312 => self.encode_whatwg(encoding_rs::GBK, text),
            Charset::Whatwg(codec) => self.encode_whatwg(codec, text),
        }
    }

    fn encode_whatwg<'a>(
        self,
        codec: &'static encoding_rs::Encoding,
        text: &'a str,
    ) -> Result<Cow<'a, [u8]>, EncodeError> {
        // The standard has no UTF-16 encoders: what encoding_rs would give here is UTF-8.
        if codec == encoding_rs::UTF_16LE {
            return Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
        if codec == encoding_rs::UTF_16BE {
            return Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        }
        match codec.encode(text) {
            (bytes, _, false) => Ok(bytes),
            _ => Err(self.refuse(text, |character| {
                !codec.encode(character.encode_utf8(&mut [0; 4])).2
            })),
        }
    }

    fn refuse(self, text: &str, exists: impl Fn(&char) -> bool) -> EncodeError {
        let culprit = text
            .chars()
            .enumerate()
            .find(|(_, character)| !exists(character));
        let (at, character) = culprit.unwrap_or((0, char::REPLACEMENT_CHARACTER));
        EncodeError {
            character,
            at,
            encoding: self,
        }
    }

    /// The text that `bytes`, a whole message, are; borrowed where that is possible.
    ///
    /// # Errors
    /// The first bytes that are not text in this encoding.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
        match self.0 {
            Charset::Utf8 => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
                let rest = bytes.len() - error.valid_up_to();
                self.reject(
                    bytes,
                    error.valid_up_to(),
                    error.error_len().unwrap_or(rest),
                )
            }),
            Charset::Ascii => match bytes.iter().position(|byte| !byte.is_ascii()) {
                Some(at) => Err(self.reject(bytes, at, 1)),
                None => Ok(mem::decode_latin1(bytes)),
            },
            Charset::Latin1 => Ok(mem::decode_latin1(bytes)),
            Charset::Gb2312 => self.decode_whatwg(encoding_rs::GBK, bytes),
            Charset::Whatwg(codec) => self.decode_whatwg(codec, bytes),
        }
    }

    fn decode_whatwg<'a>(
        self,
        codec: &'static encoding_rs::Encoding,
        bytes: &'a [u8],
    ) -> Result<Cow<'a, str>, DecodeError> {
        codec
            .decode_without_bom_handling_and_without_replacement(bytes)
            .ok_or_else(|| {
                let culprit = first_malformed(codec, bytes);
                self.reject(bytes, culprit.start, culprit.len())
            })
    }

    fn reject(self, bytes: &[u8], at: usize, length: usize) -> DecodeError {
        DecodeError {
            at,
            bytes: bytes[at..at + length].to_vec(),
            encoding: self,
        }
    }

    /// `bytes` for the eye: decoded, with `\xNN` for each byte that is not text. Characters stay as
    /// they are, also control characters; see [`printable`] before it goes to a terminal.
    #[must_use]
    pub fn show(self, bytes: &[u8]) -> String {
        let mut out = String::with_capacity(bytes.len());
        let mut decoder = self.decoder();
        decoder.push_shown(bytes, &mut out);
        decoder.finish_shown(&mut out);
        out
    }

    /// A decoder for a stream in this encoding.
    #[must_use]
    pub fn decoder(self) -> Decoder {
        Decoder::new(self)
    }
}

/// `bytes` must be known to contain malformed ones.
fn first_malformed(codec: &'static encoding_rs::Encoding, bytes: &[u8]) -> Range<usize> {
    let mut decoder = codec.new_decoder_without_bom_handling();
    let mut scratch = String::with_capacity(1024);
    let mut read = 0;
    loop {
        scratch.clear();
        let (result, more) =
            decoder.decode_to_string_without_replacement(&bytes[read..], &mut scratch, true);
        read += more;
        match result {
            DecoderResult::OutputFull => {}
            DecoderResult::InputEmpty => return read..read,
            DecoderResult::Malformed(length, after) => {
                let end = read.saturating_sub(after.into());
                return end.saturating_sub(length.into())..end;
            }
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The labels of ISO 8859-1, which the WHATWG standard reads as windows-1252.
const LATIN_1_LABELS: [&str; 11] = [
    "latin1",
    "l1",
    "iso-8859-1",
    "iso8859-1",
    "iso88591",
    "iso_8859-1",
    "iso_8859-1:1987",
    "iso-ir-100",
    "csisolatin1",
    "cp819",
    "ibm819",
];

/// The labels of US-ASCII, which the WHATWG standard reads as windows-1252 too.
const ASCII_LABELS: [&str; 3] = ["ascii", "us-ascii", "ansi_x3.4-1968"];

/// What a mistyped label is compared with.
const COMMON_LABELS: [&str; 31] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "ascii",
    "latin1",
    "gbk",
    "gb2312",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "euc-kr",
    "koi8-r",
    "koi8-u",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-15",
    "windows-874",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "macintosh",
];

impl FromStr for Encoding {
    type Err = ParseEncodingError;

    fn from_str(label: &str) -> Result<Self, Self::Err> {
        let name = label.trim().to_ascii_lowercase();
        if LATIN_1_LABELS.contains(&name.as_str()) {
            return Ok(Self::LATIN_1);
        }
        if ASCII_LABELS.contains(&name.as_str()) {
            return Ok(Self::ASCII);
        }
        if name == "gb2312" {
            return Ok(Self(Charset::Gb2312));
        }
        match encoding_rs::Encoding::for_label(name.as_bytes()) {
            None => Err(ParseEncodingError::Unknown {
                nearest: nearest::nearest(&name, COMMON_LABELS),
                name,
            }),
            Some(codec)
                if codec == encoding_rs::REPLACEMENT || codec == encoding_rs::X_USER_DEFINED =>
            {
                Err(ParseEncodingError::Refused { name })
            }
            Some(codec) if codec == encoding_rs::UTF_8 => Ok(Self::UTF_8),
            Some(codec) => Ok(Self(Charset::Whatwg(codec))),
        }
    }
}

/// A label that names no encoding to work with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseEncodingError {
    /// No encoding has this label.
    #[error(
        "unknown encoding {name:?}: common ones are utf-8, utf-16le, ascii, latin1, gbk, gb18030, \
         big5, shift_jis, euc-jp, euc-kr, koi8-r, windows-1251 and windows-1252{}",
        nearest::did_you_mean(*nearest)
    )]
    Unknown {
        /// What was asked for, in lower case.
        name: String,
        /// The label that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// The standard knows the label only to keep browsers from decoding it.
    #[error("the encoding {name:?} is not supported: no standard says how to read it as text")]
    Refused {
        /// What was asked for, in lower case.
        name: String,
    },
}

/// A character that an encoding does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{character:?} (character {}) does not exist in {encoding}", at + 1)]
#[non_exhaustive]
pub struct EncodeError {
    /// The first such character.
    pub character: char,
    /// How many characters stand before it.
    pub at: usize,
    /// The encoding that does not have it.
    pub encoding: Encoding,
}

/// Bytes that are not text in an encoding.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not {encoding}: {} at byte {at}", hex::grouped(bytes))]
#[non_exhaustive]
pub struct DecodeError {
    /// How many bytes stand before the offending ones.
    pub at: usize,
    /// The first offending bytes, one to four.
    pub bytes: Vec<u8>,
    /// The encoding that they are not text in.
    pub encoding: Encoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(label: &str) -> Encoding {
        label.parse().unwrap()
    }

    #[test]
    fn labels_are_read_in_any_case() {
        for (label, name) in [
            ("utf-8", "UTF-8"),
            (" UTF8 ", "UTF-8"),
            ("Latin1", "ISO-8859-1"),
            ("ISO-8859-1", "ISO-8859-1"),
            ("windows-1252", "windows-1252"),
            ("US-ASCII", "US-ASCII"),
            ("gb2312", "GB2312"),
            ("gbk", "GBK"),
            ("GB18030", "gb18030"),
            ("sjis", "Shift_JIS"),
            ("utf-16", "UTF-16LE"),
            ("koi8-r", "KOI8-R"),
        ] {
            assert_eq!(encoding(label).to_string(), name);
            assert_eq!(encoding(name), encoding(label));
            assert_eq!(format!("{:?}", encoding(label)), name);
        }
        assert_eq!(Encoding::default(), Encoding::UTF_8);
        assert!(
            COMMON_LABELS
                .iter()
                .all(|label| label.parse::<Encoding>().is_ok())
        );
    }

    #[test]
    fn unknown_labels_are_told_with_the_nearest_one() {
        let unknown = "gbkk".parse::<Encoding>().unwrap_err().to_string();
        assert!(
            unknown.starts_with("unknown encoding \"gbkk\": common ones are utf-8, "),
            "{unknown}"
        );
        assert!(unknown.ends_with("; did you mean \"gbk\"?"), "{unknown}");
        for label in ["replacement", "x-user-defined", "hz-gb-2312", "iso-2022-kr"] {
            let refused = ParseEncodingError::Refused {
                name: label.to_owned(),
            };
            assert_eq!(label.parse::<Encoding>(), Err(refused));
        }
    }

    #[test]
    fn texts_have_the_bytes_that_others_expect() {
        for (label, text, bytes) in [
            ("utf-8", "é", &b"\xc3\xa9"[..]),
            ("latin1", "é\u{80}", b"\xe9\x80"),
            ("windows-1252", "€", b"\x80"),
            ("ascii", "e", b"e"),
            ("gbk", "中文", b"\xd6\xd0\xce\xc4"),
            ("gb2312", "中文", b"\xd6\xd0\xce\xc4"),
            ("gb18030", "😀", b"\x94\x39\xfc\x36"),
            ("big5", "中文", b"\xa4\xa4\xa4\xe5"),
            ("shift_jis", "日本ｱ", b"\x93\xfa\x96\x7b\xb1"),
            ("euc-jp", "日本", b"\xc6\xfc\xcb\xdc"),
            ("iso-2022-jp", "日", b"\x1b$BF|\x1b(B"),
            ("euc-kr", "한", b"\xc7\xd1"),
            ("koi8-r", "Я", b"\xf1"),
            ("utf-16le", "a😀", b"a\0\x3d\xd8\x00\xde"),
            ("utf-16be", "a😀", b"\0a\xd8\x3d\xde\x00"),
        ] {
            assert_eq!(
                encoding(label).encode(text).as_deref(),
                Ok(bytes),
                "{label}"
            );
            assert_eq!(
                encoding(label).decode(bytes).as_deref(),
                Ok(text),
                "{label}"
            );
            assert_eq!(encoding(label).show(bytes), text, "{label}");
        }
    }

    #[test]
    fn what_cannot_be_encoded_is_named() {
        for label in ["ascii", "latin1", "gbk", "windows-1251", "iso-2022-jp"] {
            let error = encoding(label).encode("ab😀c").unwrap_err();
            assert_eq!(
                (error.character, error.at, error.encoding),
                ('😀', 2, encoding(label))
            );
        }
        assert_eq!(
            Encoding::LATIN_1.encode("a中").unwrap_err().to_string(),
            "'中' (character 2) does not exist in ISO-8859-1"
        );
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        for (label, bytes, at, bad) in [
            ("utf-8", &b"ab\xff"[..], 2, &b"\xff"[..]),
            ("utf-8", b"ab\xe4\xb8", 2, b"\xe4\xb8"),
            ("ascii", b"ab\xe9", 2, b"\xe9"),
            ("gbk", b"ab\xd6\xd0\xff!", 4, b"\xff"),
            ("gbk", b"ab\xd6", 2, b"\xd6"),
            ("gb18030", b"\x81\x30\xff", 0, b"\x81"),
            ("utf-16le", b"a\0\x00\xd8b\0", 2, b"\x00\xd8"),
            ("utf-16le", b"a\0b", 2, b"b"),
        ] {
            let error = encoding(label).decode(bytes).unwrap_err();
            assert_eq!(
                (error.at, &error.bytes[..]),
                (at, bad),
                "{label} {bytes:x?}"
            );
        }
        assert_eq!(
            encoding("gbk")
                .decode(b"ab\xff\xff")
                .unwrap_err()
                .to_string(),
            "not GBK: ff at byte 2"
        );
    }

    #[test]
    fn a_byte_order_mark_is_data() {
        assert_eq!(
            Encoding::UTF_8.decode(b"\xef\xbb\xbfa").as_deref(),
            Ok("\u{feff}a")
        );
        assert_eq!(
            encoding("utf-16le").decode(b"\xfe\xff").as_deref(),
            Ok("\u{fffe}")
        );
        assert_eq!(encoding("gbk").show(b"\xef\xbb\xbf!"), "锘\\xbf!");
    }

    #[test]
    fn ascii_costs_no_copy() {
        for label in ["utf-8", "ascii", "latin1", "gbk", "shift_jis"] {
            assert!(
                matches!(encoding(label).encode("plain"), Ok(Cow::Borrowed(_))),
                "{label}"
            );
            assert!(
                matches!(encoding(label).decode(b"plain"), Ok(Cow::Borrowed(_))),
                "{label}"
            );
        }
    }
}
