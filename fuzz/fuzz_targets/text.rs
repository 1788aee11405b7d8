//! Encodings and escapes: no byte is lost, however the stream is cut.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{pick, pieces};
use wire::text::{
    Decoder, Encoding, Piece, escape, is_printable, printable, printable_block, unescape,
};

/// Five bytes, then the stream.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    encoding: u8,
    sizes: [u8; 4],
    stream: &'a [u8],
}

/// In the first six every character has one spelling, so that the bytes can be had back.
const LABELS: &[&str] = &[
    "utf-8",
    "latin1",
    "ascii",
    "utf-16le",
    "utf-16be",
    "koi8-r",
    "gb2312",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "windows-1252",
    "windows-874",
    "macintosh",
];
const REVERSIBLE: &[&str] = LABELS.split_at(6).0;

fuzz_target!(|input: Input<'_>| {
    let label = pick(LABELS, input.encoding);
    let encoding: Encoding = label.parse().expect("a known label");

    let parts = decoded(encoding, pieces(input.stream, input.sizes));
    assert_eq!(
        parts,
        decoded(encoding, [input.stream]),
        "how it is cut does not matter"
    );
    agrees_with_strict(encoding, input.stream, &parts);
    if REVERSIBLE.contains(&label) {
        assert_eq!(encoded(encoding, &parts), input.stream, "no byte is lost");
    }

    is_escaped(input.stream);
    if let Ok(text) = str::from_utf8(input.stream) {
        is_harmless(text);
        is_understood_or_refused(text, encoding);
    }
});

#[derive(Debug, PartialEq)]
enum Owned {
    Text(String),
    Bytes(Vec<u8>),
}

/// The pieces of a stream, neighbours of one kind joined.
fn decoded<'a>(encoding: Encoding, stream: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
    let mut all = Vec::new();
    let mut add = |piece: Piece<'_>| match (all.last_mut(), piece) {
        (_, Piece::Text("") | Piece::Bytes([])) => panic!("an empty piece"),
        (Some(Owned::Text(text)), Piece::Text(more)) => text.push_str(more),
        (Some(Owned::Bytes(bytes)), Piece::Bytes(more)) => bytes.extend_from_slice(more),
        (_, Piece::Text(text)) => all.push(Owned::Text(text.to_owned())),
        (_, Piece::Bytes(bytes)) => all.push(Owned::Bytes(bytes.to_owned())),
    };
    let mut decoder: Decoder = encoding.decoder();
    for part in stream {
        decoder.push(part, &mut add);
    }
    decoder.finish(&mut add);
    decoder.finish(|piece| panic!("{piece:?} after the end"));
    all
}

fn encoded(encoding: Encoding, pieces: &[Owned]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Owned::Text(text) => bytes.extend_from_slice(&encoding.encode(text).expect("its own")),
            Owned::Bytes(raw) => bytes.extend_from_slice(raw),
        }
    }
    bytes
}

fn agrees_with_strict(encoding: Encoding, stream: &[u8], pieces: &[Owned]) {
    match (encoding.decode(stream), pieces) {
        (Ok(text), []) => assert_eq!(text, ""),
        (Ok(text), [Owned::Text(only)]) => assert_eq!(&text, only),
        (Ok(text), _) => panic!("{text:?} came as {pieces:?}"),
        (Err(error), _) => {
            assert!(stream[error.at..].starts_with(&error.bytes));
            let is_bad =
                |piece: &Owned| matches!(piece, Owned::Bytes(bad) if bad.starts_with(&error.bytes));
            assert!(pieces.iter().take(2).any(is_bad), "{error} in {pieces:?}");
        }
    }
}

fn is_escaped(bytes: &[u8]) {
    let escaped = escape(bytes);
    assert!(escaped.chars().all(is_printable), "{escaped:?}");
    assert_eq!(unescape(&escaped, Encoding::UTF_8).as_deref(), Ok(bytes));
}

fn is_harmless(text: &str) {
    assert!(printable(text).chars().all(is_printable));
    let stays = |character| is_printable(character) || matches!(character, '\n' | '\t');
    assert!(printable_block(text).chars().all(stays));
}

fn is_understood_or_refused(text: &str, encoding: Encoding) {
    match (unescape(text, encoding), encoding.encode(text)) {
        (Ok(bytes), Ok(plain)) if !text.contains('\\') => assert_eq!(bytes, *plain),
        (Ok(_), _) => {}
        (Err(error), _) => assert!(!error.to_string().is_empty()),
    }
}
