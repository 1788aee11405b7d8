//! Bytes as people write and read them: hex in any of its spellings, and dumps.

use std::fmt::{self, Write as _};

use thiserror::Error;
use unicode_width::UnicodeWidthChar;

use crate::text::{Encoding, is_printable};

/// The bytes that `text` spells in hex.
///
/// Groups of digits in any case stand between separators: white space and any of `,:-_`. A group
/// may begin with `0x`, and every `\x` begins one, so `fc2a0001`, `FC:2A`, `0xfc, 0x2a` and
/// `\xfc\x2a` are all fine. No digits are no bytes.
///
/// # Errors
/// Names the column, in characters from 1, of whatever is not hex.
pub fn parse(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut column = 1;
    for word in text.split(is_separator) {
        parse_word(word, column, &mut bytes)?;
        column += word.chars().count() + 1;
    }
    Ok(bytes)
}

fn is_separator(character: char) -> bool {
    character.is_whitespace() || matches!(character, ',' | ':' | '-' | '_')
}

fn parse_word(word: &str, mut column: usize, bytes: &mut Vec<u8>) -> Result<(), HexError> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return parse_prefixed(digits, column, bytes);
    }
    let (first, rest) = word
        .split_once("\\x")
        .map_or((word, None), |(first, rest)| (first, Some(rest)));
    parse_digits(first, column, bytes)?;
    column += first.chars().count();
    for digits in rest.into_iter().flat_map(|rest| rest.split("\\x")) {
        parse_prefixed(digits, column, bytes)?;
        column += 2 + digits.chars().count();
    }
    Ok(())
}

/// `column` is that of the prefix, which has two characters.
fn parse_prefixed(digits: &str, column: usize, bytes: &mut Vec<u8>) -> Result<(), HexError> {
    if digits.is_empty() {
        Err(HexError::NoDigits { column })
    } else {
        parse_digits(digits, column + 2, bytes)
    }
}

fn parse_digits(digits: &str, column: usize, bytes: &mut Vec<u8>) -> Result<(), HexError> {
    if let Some((index, character)) = digits
        .chars()
        .enumerate()
        .find(|(_, digit)| !digit.is_ascii_hexdigit())
    {
        return Err(HexError::NotHex {
            column: column + index,
            character,
        });
    }
    let (pairs, odd) = digits.as_bytes().as_chunks();
    if !odd.is_empty() {
        let mut group = digits.get(..MAX_SHOWN).unwrap_or(digits).to_owned();
        if group.len() < digits.len() {
            group.push('…');
        }
        return Err(HexError::Odd { column, group });
    }
    bytes.extend(
        pairs
            .iter()
            .map(|[high, low]| value(*high) << 4 | value(*low)),
    );
    Ok(())
}

/// `digit` must be known to be a hex digit.
fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// How much of a long group an error repeats, in digits.
const MAX_SHOWN: usize = 16;

/// Text that is not hex. Columns are in characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HexError {
    /// A group whose last byte has only one digit.
    #[error("odd number of hex digits at column {column}: {group:?}")]
    Odd {
        /// Where its first digit is.
        column: usize,
        /// The digits, or the first ones and `…`.
        group: String,
    },
    /// A character that is neither a digit nor a separator.
    #[error("{character:?} at column {column} is not a hex digit")]
    NotHex {
        /// Where it is.
        column: usize,
        /// Which one it is.
        character: char,
    },
    /// `0x` or `\x` with nothing behind it.
    #[error("no hex digits after the prefix at column {column}")]
    NoDigits {
        /// Where the prefix is.
        column: usize,
    },
}

/// `bytes` as `fc 2a 00 01`.
#[must_use]
pub fn grouped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(3 * bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        push_byte(&mut out, *byte);
    }
    out
}

fn push_byte(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 0x0f)]);
}

/// The rows of [`dump_from`] from offset 0.
#[must_use]
pub fn dump(bytes: &[u8], encoding: Encoding) -> String {
    dump_from(0, bytes, encoding)
}

/// `bytes` as rows of sixteen, each ended by `\n`; the first byte has the given `offset`.
///
/// ```
/// use wire::{hex, text::Encoding};
///
/// assert_eq!(
///     hex::dump_from(0x40, "Hello, 世界!\n".as_bytes(), Encoding::UTF_8),
///     "00000040  48 65 6c 6c 6f 2c 20 e4  b8 96 e7 95 8c 21 0a     |Hello, 世.界.!.|\n",
/// );
/// ```
///
/// In the text on the right every byte owns one cell. A character begins in the cell of its first
/// byte, in the row of that byte; cells that it does not fill are dots, as are bytes that are no
/// printable text, and characters wider than their bytes. A wide character whose first byte is the
/// last of a row stands out of it by one cell. No bytes give no rows.
#[must_use]
pub fn dump_from(offset: u64, bytes: &[u8], encoding: Encoding) -> String {
    Dump {
        offset,
        bytes,
        encoding,
    }
    .to_string()
}

/// What [`dump_from`] gives, to be formatted where it is needed, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    /// The offset of the first byte.
    pub offset: u64,
    /// What to show.
    pub bytes: &'a [u8],
    /// How the text on the right is decoded.
    pub encoding: Encoding,
}

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Rows {
            sink: f,
            result: Ok(()),
            offset: self.offset,
            bytes: self.bytes,
            text: String::new(),
            cells: 0,
            line: String::new(),
        };
        self.encoding.measure(self.bytes, |character, length| {
            rows.place(character, length)
        });
        rows.finish()
    }
}

/// The bytes of one row.
const ROW: usize = 16;

struct Rows<'a, 'f> {
    sink: &'a mut fmt::Formatter<'f>,
    result: fmt::Result,
    /// Of the row that is being filled.
    offset: u64,
    /// From the beginning of that row.
    bytes: &'a [u8],
    text: String,
    /// How many cells of the row are taken.
    cells: usize,
    line: String,
}

impl Rows<'_, '_> {
    fn place(&mut self, character: Option<char>, length: usize) {
        let shown = character
            .filter(|character| is_printable(*character))
            .and_then(|character| {
                let width = character.width()?;
                (1..=length).contains(&width).then_some((character, width))
            });
        let mut dots = length;
        if let Some((character, width)) = shown {
            let taken = width.min(ROW - self.cells);
            self.text.push(character);
            self.take(taken);
            dots -= taken;
        }
        for _ in 0..dots {
            self.text.push('.');
            self.take(1);
        }
    }

    fn take(&mut self, cells: usize) {
        self.cells += cells;
        if self.cells == ROW {
            self.write_row();
        }
    }

    fn write_row(&mut self) {
        let (row, rest) = self.bytes.split_at(self.cells.min(self.bytes.len()));
        self.line.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.line, "{:08x} ", self.offset);
        for index in 0..ROW {
            self.line
                .push_str(if index == ROW / 2 { "  " } else { " " });
            match row.get(index) {
                Some(byte) => push_byte(&mut self.line, *byte),
                None => self.line.push_str("  "),
            }
        }
        self.line.push_str("  |");
        self.line.push_str(&self.text);
        self.line.push_str("|\n");
        if self.result.is_ok() {
            self.result = self.sink.write_str(&self.line);
        }
        self.offset = self.offset.wrapping_add(ROW as u64);
        self.bytes = rest;
        self.text.clear();
        self.cells = 0;
    }

    fn finish(mut self) -> fmt::Result {
        if self.cells > 0 {
            self.write_row();
        }
        self.result
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    fn complaint(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn hex_is_read_in_all_its_spellings() {
        for text in [
            "fc2a0001",
            "FC2A0001",
            "fc 2a 00 01",
            "Fc:2A:00:01",
            "fc-2a-00-01",
            "fc2a_0001",
            "0xfc,0x2a, 0x00,\n0X01",
            "0xfc2a0001",
            r"\xfc\x2a\x00\x01",
            r"fc\x2a 00,\x01",
            "\tfc2a\r\n0001 ,",
        ] {
            assert_eq!(parse(text), Ok(vec![0xfc, 0x2a, 0x00, 0x01]), "{text}");
        }
        for text in ["", " ", " \n,"] {
            assert_eq!(parse(text), Ok(vec![]));
        }
    }

    #[test]
    fn what_is_not_hex_is_named_with_its_place() {
        assert_eq!(
            complaint("fc 2a 0"),
            "odd number of hex digits at column 7: \"0\""
        );
        assert_eq!(
            complaint("0xfc, 0x2a0"),
            "odd number of hex digits at column 9: \"2a0\""
        );
        assert_eq!(
            complaint(r"\xfc\x2"),
            "odd number of hex digits at column 7: \"2\""
        );
        assert_eq!(
            complaint(&"0".repeat(99)),
            "odd number of hex digits at column 1: \"0000000000000000…\""
        );
        assert_eq!(complaint("fc 2g"), "'g' at column 5 is not a hex digit");
        assert_eq!(complaint("ä"), "'ä' at column 1 is not a hex digit");
        assert_eq!(
            complaint("fc\u{3000}\u{1b}"),
            "'\\u{1b}' at column 4 is not a hex digit"
        );
        assert_eq!(
            complaint(r"fc\x2a\x2é"),
            "'é' at column 10 is not a hex digit"
        );
        assert_eq!(complaint("fc.2a"), "'.' at column 3 is not a hex digit");
        assert_eq!(
            complaint("00 0x"),
            "no hex digits after the prefix at column 4"
        );
        assert_eq!(
            complaint(r"\x\x00"),
            "no hex digits after the prefix at column 1"
        );
    }

    #[test]
    fn a_dump_has_the_classic_columns() {
        assert_eq!(
            dump(b"Hello, wire!\r\n\0\x7fagain", Encoding::UTF_8),
            "00000000  48 65 6c 6c 6f 2c 20 77  69 72 65 21 0d 0a 00 7f  |Hello, wire!....|\n\
             00000010  61 67 61 69 6e                                    |again|\n"
        );
        assert_eq!(
            dump_from(0xffff_fff0, &[b'.'; 17], Encoding::ASCII)
                .lines()
                .last(),
            Some("100000000  2e                                                |.|")
        );
        assert_eq!(dump(b"", Encoding::UTF_8), "");
    }

    fn text_column(bytes: &[u8], label: &str) -> Vec<String> {
        let dump = dump(bytes, label.parse().unwrap());
        dump.lines()
            .map(|line| {
                line.split_once('|')
                    .unwrap()
                    .1
                    .trim_end_matches('|')
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn every_byte_owns_a_cell() {
        assert_eq!(text_column("a中b".as_bytes(), "utf-8"), ["a中.b"]);
        assert_eq!(text_column("Пé€".as_bytes(), "utf-8"), ["П.é.€.."]);
        assert_eq!(text_column("😀!".as_bytes(), "utf-8"), ["😀..!"]);
        assert_eq!(text_column(b"\xd6\xd0\xce\xc4!\xff", "gbk"), ["中文!."]);
        assert_eq!(text_column(b"\x93\xfa\xb1", "shift_jis"), ["日ｱ"]);
        assert_eq!(
            text_column(b"a\0-N\x3d\xd8\x00\xde", "utf-16le"),
            ["a.中😀.."]
        );
        assert_eq!(text_column(b"\x88\x62!", "big5"), ["Ê.!"]);
        assert_eq!(text_column(b"\x81\x30\xff!", "gb18030"), [".0.!"]);
        assert_eq!(text_column(b"\x1b$BF|\x1b(B", "iso-2022-jp"), [".$BF|.(B"]);
        assert_eq!(
            text_column("e\u{301}\u{202e}".as_bytes(), "utf-8"),
            ["e....."]
        );
    }

    #[test]
    fn a_character_over_two_rows_stands_in_the_first() {
        assert_eq!(
            text_column("0123456789abcde中!".as_bytes(), "utf-8"),
            ["0123456789abcde中", "..!"]
        );
        assert_eq!(
            text_column("0123456789abcd中!".as_bytes(), "utf-8"),
            ["0123456789abcd中", ".!"]
        );
        assert_eq!(
            text_column(b"0123456789abcde\xd6\xd0!", "gbk"),
            ["0123456789abcde中", ".!"]
        );
    }

    proptest! {
        #[test]
        fn what_is_grouped_is_parsed_again(bytes: Vec<u8>) {
            prop_assert_eq!(parse(&grouped(&bytes)), Ok(bytes.clone()));
            prop_assert_eq!(parse(&grouped(&bytes).replace(' ', "")), Ok(bytes));
        }

        #[test]
        fn nothing_typed_panics(text in r"([0-9a-fxX\\ ,]|\PC){0,20}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_row_has_its_bytes_and_cells(
            text in r"([a-zé中😀ｱ]|\PC){0,30}",
            tail in prop::collection::vec(any::<u8>(), 0..20),
            label in prop::sample::select(vec![
                "utf-8", "latin1", "gb18030", "utf-16le", "big5", "euc-jp", "shift_jis",
            ]),
        ) {
            let encoding: Encoding = label.parse().unwrap();
            let encoded = encoding.encode(&text).ok();
            let mut bytes = encoded.map_or_else(|| text.as_bytes().to_vec(), Cow::into_owned);
            bytes.extend(tail);
            let dump = dump(&bytes, encoding);
            prop_assert_eq!(dump.lines().count(), bytes.len().div_ceil(16));
            for (line, row) in dump.lines().zip(bytes.chunks(16)) {
                let hex: String = line.chars().skip(10).take(49).collect();
                prop_assert_eq!(parse(&hex).unwrap(), row);
                let text = &line[61..line.len() - 1];
                let cells: usize = text.chars().filter_map(UnicodeWidthChar::width).sum();
                prop_assert!(cells == row.len() || row.len() == 16 && cells == 17, "{}", line);
            }
        }
    }
}
