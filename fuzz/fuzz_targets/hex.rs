//! Hex: every spelling of bytes reads back as these bytes, and a dump shows all of them.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::pick;
use wire::hex::{dump, dump_from, grouped, parse};
use wire::text::Encoding;

/// Nine bytes, then those to be shown; they are read as text, too.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    encoding: u8,
    offset: u64,
    bytes: &'a [u8],
}

const LABELS: &[&str] = &[
    "utf-8",
    "latin1",
    "ascii",
    "utf-16le",
    "utf-16be",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "iso-2022-jp",
    "koi8-r",
];

fuzz_target!(|input: Input<'_>| {
    let encoding: Encoding = pick(LABELS, input.encoding).parse().expect("a known label");
    is_read_back(input.bytes);
    is_dumped(input.offset, input.bytes, encoding);
    assert_eq!(
        dump(input.bytes, encoding),
        dump_from(0, input.bytes, encoding)
    );
    if let Ok(text) = str::from_utf8(input.bytes) {
        match parse(text) {
            Ok(bytes) => is_read_back(&bytes),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

fn is_read_back(bytes: &[u8]) {
    let spaced = grouped(bytes);
    assert_eq!(parse(&spaced).as_deref(), Ok(bytes));
    for separator in ["", ":", "-", ", ", "_", "\r\n"] {
        assert_eq!(parse(&spaced.replace(' ', separator)).as_deref(), Ok(bytes));
    }
    assert_eq!(parse(&spaced.to_uppercase()).as_deref(), Ok(bytes));
    if !bytes.is_empty() {
        let c_string = format!("\\x{}", spaced.replace(' ', "\\x"));
        let c_array = format!("0x{}", spaced.replace(' ', ", 0x"));
        assert_eq!(parse(&c_string).as_deref(), Ok(bytes));
        assert_eq!(parse(&c_array).as_deref(), Ok(bytes));
        assert!(parse(&spaced[1..]).is_err(), "one digit is missing");
    }
}

/// Offset, two spaces, 48 columns and the gap in the middle, two spaces, `|text|`.
fn is_dumped(offset: u64, bytes: &[u8], encoding: Encoding) {
    let dump = dump_from(offset, bytes, encoding);
    assert_eq!(dump.lines().count(), bytes.len().div_ceil(16));
    for (index, (line, row)) in dump.lines().zip(bytes.chunks(16)).enumerate() {
        let (at, rest) = line.split_once("  ").expect("an offset");
        let expected = offset.wrapping_add(16 * index as u64);
        assert_eq!(u64::from_str_radix(at, 16), Ok(expected), "{line}");
        let (hex, text) = rest.split_once('|').expect("a text column");
        assert_eq!((hex.len(), parse(hex).as_deref()), (50, Ok(row)), "{line}");
        assert!(text.ends_with('|'), "{line}");
    }
}
