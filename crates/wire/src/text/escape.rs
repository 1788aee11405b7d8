//! Escapes: bytes that a person types as text, and text made safe to look at.

use std::{borrow::Cow, fmt::Write as _};

use thiserror::Error;

use super::Encoding;

/// The bytes that a person means by `text` with escapes.
///
/// | escape | is |
/// |---|---|
/// | `\n` `\r` `\t` `\0` `\a` `\e` `\\` | line feed, return, tab, NUL, bell, escape, backslash |
/// | `\u{1F600}` | the character of this number, one to six hex digits |
/// | `\xNN` | this very byte, whatever the encoding |
///
/// Everything but `\xNN` is text and is encoded in `encoding`.
///
/// # Errors
/// Names the column, in characters from 1, of an unknown or unfinished escape or of a character
/// that `encoding` does not have.
pub fn unescape(text: &str, encoding: Encoding) -> Result<Vec<u8>, EscapeError> {
    let mut out = Vec::with_capacity(text.len());
    let mut column = 1;
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, after) = rest.split_at(rest.find('\\').unwrap_or(rest.len()));
        encode_into(&mut out, plain, column, encoding)?;
        column += plain.chars().count();
        rest = after;
        if let Some(escape) = after.strip_prefix('\\') {
            let (unit, after) = parse_escape(escape, column)?;
            match unit {
                Unit::Byte(byte) => out.push(byte),
                Unit::Character(character) => {
                    encode_into(
                        &mut out,
                        character.encode_utf8(&mut [0; 4]),
                        column,
                        encoding,
                    )?;
                }
            }
            // The backslash, and what stood after it: escapes are ASCII.
            column += 1 + escape.len() - after.len();
            rest = after;
        }
    }
    Ok(out)
}

fn encode_into(
    out: &mut Vec<u8>,
    text: &str,
    column: usize,
    encoding: Encoding,
) -> Result<(), EscapeError> {
    let bytes = encoding.encode(text).map_err(|error| EscapeError::Encode {
        column: column + error.at,
        character: error.character,
        encoding,
    })?;
    out.extend_from_slice(&bytes);
    Ok(())
}

enum Unit {
    Byte(u8),
    Character(char),
}

/// The escape at the beginning of `text`, which stood after a backslash at `column`, and the text
/// after it.
fn parse_escape(text: &str, column: usize) -> Result<(Unit, &str), EscapeError> {
    let mut rest = text.chars();
    let character = match rest.next() {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('0') => '\0',
        Some('a') => '\x07',
        Some('e') => '\x1b',
        Some('\\') => '\\',
        Some('x') => return parse_byte(rest.as_str()).ok_or(EscapeError::Byte { column }),
        Some('u') => {
            return parse_character(rest.as_str()).ok_or(EscapeError::Character { column });
        }
        Some(escape) => return Err(EscapeError::Unknown { column, escape }),
        None => return Err(EscapeError::Unfinished { column }),
    };
    Ok((Unit::Character(character), rest.as_str()))
}

fn parse_byte(text: &str) -> Option<(Unit, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    Some((Unit::Byte(u8::try_from(parse_hex(digits)?).ok()?), rest))
}

fn parse_character(text: &str) -> Option<(Unit, &str)> {
    let (digits, rest) = text.strip_prefix('{')?.split_once('}')?;
    Some((Unit::Character(char::from_u32(parse_hex(digits)?)?), rest))
}

fn parse_hex(digits: &str) -> Option<u32> {
    // from_str_radix alone would take a sign.
    let is_hex =
        matches!(digits.len(), 1..=6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex {
        u32::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// An escape that cannot be understood. Columns are in characters from 1 and name the backslash.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EscapeError {
    /// A backslash before a character that makes no escape.
    #[error(
        r"unknown escape \{} at column {column}: expected one of \n \r \t \0 \a \e \\ \xNN \u{{N}}",
        escape.escape_debug()
    )]
    Unknown {
        /// Where the backslash is.
        column: usize,
        /// What follows it.
        escape: char,
    },
    /// A backslash at the end.
    #[error(r"nothing after the backslash at column {column}: write \\ for a backslash")]
    Unfinished {
        /// Where the backslash is.
        column: usize,
    },
    /// `\x` without two hex digits.
    #[error(r"\x at column {column} needs two hex digits, as in \x1b")]
    Byte {
        /// Where the backslash is.
        column: usize,
    },
    /// `\u` without the number of a character.
    #[error(r"\u at column {column} needs the number of a character in braces, as in \u{{1F600}}")]
    Character {
        /// Where the backslash is.
        column: usize,
    },
    /// A character that the encoding does not have.
    #[error("{character:?} at column {column} does not exist in {encoding}")]
    Encode {
        /// Where the character, or its escape, is.
        column: usize,
        /// Which one it is.
        character: char,
        /// The encoding that does not have it.
        encoding: Encoding,
    },
}

/// `bytes` as UTF-8 text with escapes, on one line: [`unescape`] in UTF-8 gives the same bytes
/// again.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.push_str(r"\\"),
                _ if is_printable(character) => out.push(character),
                _ => push_escape(&mut out, character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Whether a character may go to a terminal as it is: it is no control character (C0, DEL, C1),
/// does not change the direction of the text around it and is not a line or paragraph separator.
#[must_use]
pub fn is_printable(character: char) -> bool {
    !matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{2028}' | '\u{2029}')
}

/// `text` on one line and without a hold on the terminal: what is not [printable](is_printable)
/// becomes an escape.
///
/// For eyes only: a backslash stays as it is, so this cannot be undone. [`escape`] can.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(|character| !is_printable(character)) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for character in text[first..].chars() {
        if is_printable(character) {
            out.push(character)
        } else {
            push_escape(&mut out, character)
        }
    }
    Cow::Owned(out)
}

/// Like [`printable`] for text of several lines: `\n` and tabs stay, `\r\n` becomes `\n`.
#[must_use]
pub fn printable_block(text: &str) -> Cow<'_, str> {
    let stays = |character| is_printable(character) || matches!(character, '\n' | '\t');
    let Some(first) = text.find(|character| !stays(character)) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    let mut rest = text[first..].chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\r' if rest.peek() == Some(&'\n') => {}
            _ if stays(character) => out.push(character),
            _ => push_escape(&mut out, character),
        }
    }
    Cow::Owned(out)
}

fn push_escape(out: &mut String, character: char) {
    // Writing to a String cannot fail.
    let _ = match character {
        '\n' => out.write_str(r"\n"),
        '\r' => out.write_str(r"\r"),
        '\t' => out.write_str(r"\t"),
        '\0' => out.write_str(r"\0"),
        '\x1b' => out.write_str(r"\e"),
        '\x01'..='\x7f' => write!(out, "\\x{:02x}", u32::from(character)),
        _ => write!(out, "\\u{{{:x}}}", u32::from(character)),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf8(text: &str) -> Vec<u8> {
        unescape(text, Encoding::UTF_8).unwrap()
    }

    fn complaint(text: &str, encoding: &str) -> String {
        unescape(text, encoding.parse().unwrap())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn escapes_are_what_they_say() {
        assert_eq!(utf8(r"a\n\r\t\0\a\e\\b"), b"a\n\r\t\0\x07\x1b\\b");
        assert_eq!(utf8(r"\xff\x00\xFFé"), b"\xff\x00\xff\xc3\xa9");
        assert_eq!(utf8(r"\u{1F600}\u{0041}"), "😀A".as_bytes());
        assert_eq!(utf8(""), b"");
    }

    #[test]
    fn text_is_encoded_and_bytes_are_not() {
        let in_encoding = |text, label: &str| unescape(text, label.parse().unwrap()).unwrap();
        assert_eq!(in_encoding(r"中\n\xff", "gbk"), b"\xd6\xd0\n\xff");
        assert_eq!(
            in_encoding(r"a\n\xff\u{e9}", "utf-16le"),
            b"a\0\n\0\xff\xe9\0"
        );
    }

    #[test]
    fn errors_name_the_column() {
        assert_eq!(
            complaint(r"äb\q", "utf-8"),
            r"unknown escape \q at column 3: expected one of \n \r \t \0 \a \e \\ \xNN \u{N}"
        );
        assert_eq!(
            complaint(r"a\", "utf-8"),
            r"nothing after the backslash at column 2: write \\ for a backslash"
        );
        for text in [r"\n\x", r"\n\x1", r"\n\xg1", r"\n\x+1", r"\n\x1é", r"\n\xé"] {
            assert_eq!(
                complaint(text, "utf-8"),
                r"\x at column 3 needs two hex digits, as in \x1b"
            );
        }
        for text in [
            r"\u",
            r"\u{",
            r"\u{}",
            r"\u{d800}",
            r"\u{110000}",
            r"\u{+41}",
            r"\u0041",
        ] {
            assert!(
                complaint(text, "utf-8").starts_with(r"\u at column 1 needs the number"),
                "{text}"
            );
        }
        assert_eq!(
            complaint(r"\n\x20a中", "latin1"),
            "'中' at column 8 does not exist in ISO-8859-1"
        );
        assert_eq!(
            complaint(r"a\u{4e2d}", "latin1"),
            "'中' at column 2 does not exist in ISO-8859-1"
        );
    }

    #[test]
    fn printable_text_has_no_hold_on_a_terminal() {
        assert_eq!(
            printable("\x1b[31mred\r\n\t\0\x07\x7f"),
            r"\e[31mred\r\n\t\0\x07\x7f"
        );
        assert_eq!(printable("\u{9b}31m"), r"\u{9b}31m");
        assert_eq!(
            printable("a\u{202e}b\u{2066}c\u{200f}"),
            r"a\u{202e}b\u{2066}c\u{200f}"
        );
        assert_eq!(
            printable("\u{61c}\u{2028}\u{2029}"),
            r"\u{61c}\u{2028}\u{2029}"
        );
        assert!(matches!(printable(r"grüße \n 世界 😀"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_printable_block_keeps_its_lines() {
        assert_eq!(
            printable_block("a\r\nb\rc\td\x1b\n\r"),
            "a\nb\\rc\td\\e\n\\r"
        );
        assert!(matches!(printable_block("a\n\tb"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn escaping_can_be_undone(bytes: Vec<u8>) {
            prop_assert_eq!(utf8(&escape(&bytes)), bytes);
        }

        #[test]
        fn escaping_text_can_be_undone(text: String) {
            let escaped = escape(text.as_bytes());
            prop_assert!(escaped.chars().all(is_printable));
            prop_assert_eq!(utf8(&escaped), text.as_bytes());
        }

        #[test]
        fn no_text_gets_through(text in r"(\PC|\pC|\r|\n){0,20}") {
            prop_assert!(printable(&text).chars().all(is_printable));
            let stays = |character| is_printable(character) || matches!(character, '\n' | '\t');
            prop_assert!(printable_block(&text).chars().all(stays));
        }

        #[test]
        fn nothing_typed_panics(
            text: String,
            label in prop::sample::select(vec!["utf-8", "gbk", "utf-16be", "latin1"]),
        ) {
            let _ = unescape(&text, label.parse().unwrap());
        }
    }
}
