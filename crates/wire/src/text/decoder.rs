//! Streaming decoding: characters that are split between two reads, and bytes that are no
//! characters at all.

use std::fmt::{self, Write as _};

use encoding_rs::{DecoderResult, mem};

use super::{Charset, Encoding};

/// Decodes a stream. A character that is split over two pushes is one character; no byte is lost.
///
/// The concatenated pieces are the stream: [`Piece::Text`] is what its bytes decode to,
/// [`Piece::Bytes`] are the bytes themselves. How the stream was cut into pushes changes nothing
/// but where pieces end. One exception: the escape sequences of ISO-2022-JP, which switch its
/// character set, are text of no length, and inside malformed ones the order of pieces may differ
/// from that of the bytes.
pub struct Decoder {
    encoding: Encoding,
    state: State,
}

/// A part of a stream, as a [`Decoder`] gives it; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Decoded characters.
    Text(&'a str),
    /// Bytes that are not text in the encoding.
    Bytes(&'a [u8]),
}

enum State {
    Ascii,
    Latin1,
    Utf8(Utf8),
    Whatwg(Box<Whatwg>),
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        let state = match encoding.0 {
            Charset::Utf8 => State::Utf8(Utf8::default()),
            Charset::Ascii => State::Ascii,
            Charset::Latin1 => State::Latin1,
            Charset::Gb2312 => State::Whatwg(Box::new(Whatwg::new(encoding_rs::GBK))),
            Charset::Whatwg(codec) => State::Whatwg(Box::new(Whatwg::new(codec))),
        };
        Self { encoding, state }
    }

    /// The encoding of the stream.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Gives `each` piece of `bytes`, the next part of the stream. The beginning of a character at
    /// their end is held back.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        match &mut self.state {
            State::Utf8(utf8) => utf8.push(bytes, &mut each),
            State::Whatwg(whatwg) => whatwg.push(bytes, &mut each),
            State::Latin1 => give_text(&mem::decode_latin1(bytes), &mut each),
            State::Ascii => {
                for run in bytes.chunk_by(|a, b| a.is_ascii() == b.is_ascii()) {
                    match str::from_utf8(run) {
                        Ok(text) if text.is_ascii() => each(Piece::Text(text)),
                        _ => each(Piece::Bytes(run)),
                    }
                }
            }
        }
    }

    /// The stream (or message) has ended: what is held back comes out as [`Piece::Bytes`]. The
    /// decoder is then as new.
    pub fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        match &mut self.state {
            State::Utf8(utf8) => give_bytes(&std::mem::take(&mut utf8.held), &mut each),
            State::Whatwg(whatwg) => whatwg.finish(&mut each),
            State::Latin1 | State::Ascii => {}
        }
    }

    /// Like [`push`](Self::push), but appends the pieces to `out`, bytes that are no text as
    /// `\xNN`.
    pub fn push_shown(&mut self, bytes: &[u8], out: &mut String) {
        self.push(bytes, |piece| piece.show(out));
    }

    /// Like [`finish`](Self::finish), but appends what was held back to `out` as `\xNN`.
    pub fn finish_shown(&mut self, out: &mut String) {
        self.finish(|piece| piece.show(out));
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

impl Piece<'_> {
    fn show(self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Bytes(bytes) => {
                for byte in bytes {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
        }
    }
}

fn give_text(text: &str, each: &mut impl FnMut(Piece<'_>)) {
    if !text.is_empty() {
        each(Piece::Text(text));
    }
}

fn give_bytes(bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) {
    if !bytes.is_empty() {
        each(Piece::Bytes(bytes));
    }
}

#[derive(Default)]
struct Utf8 {
    /// The beginning of a character: one to three bytes that more bytes can still make valid.
    held: Vec<u8>,
}

impl Utf8 {
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        let bytes = self.complete(bytes, each);
        let (whole, begun) = bytes.split_at(bytes.len() - begun_length(bytes));
        self.held.extend_from_slice(begun);
        // Valid text, the usual case, goes through the faster of the two validators of std.
        if let Ok(text) = str::from_utf8(whole) {
            return give_text(text, each);
        }
        for chunk in whole.utf8_chunks() {
            give_text(chunk.valid(), each);
            give_bytes(chunk.invalid(), each);
        }
    }

    /// Ends the character that is held, if there is one; gives back the bytes after it.
    fn complete<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        if self.held.is_empty() {
            return bytes;
        }
        for (index, byte) in bytes.iter().enumerate() {
            self.held.push(*byte);
            match str::from_utf8(&self.held) {
                Err(error) if error.error_len().is_none() => {}
                Ok(character) => {
                    each(Piece::Text(character));
                    self.held.clear();
                    return &bytes[index + 1..];
                }
                Err(_) => {
                    self.held.pop();
                    each(Piece::Bytes(&self.held));
                    self.held.clear();
                    return &bytes[index..];
                }
            }
        }
        &[]
    }
}

/// How many bytes at the end of `bytes` are the beginning of a UTF-8 character that goes on after
/// them.
fn begun_length(bytes: &[u8]) -> usize {
    let is_lead = |back: &usize| bytes[bytes.len() - back] & 0xc0 != 0x80;
    (1..=bytes.len().min(3))
        .find(is_lead)
        .filter(|back| {
            let begun = str::from_utf8(&bytes[bytes.len() - back..]);
            begun.is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(0)
}

struct Whatwg {
    codec: &'static encoding_rs::Encoding,
    decoder: encoding_rs::Decoder,
    /// The last bytes of earlier pushes: an error that is noticed now may be about them.
    recent: Vec<u8>,
    text: String,
}

impl Whatwg {
    /// The most bytes that encoding_rs names in an error and has read after it.
    const MEMORY: usize = 6;

    fn new(codec: &'static encoding_rs::Encoding) -> Self {
        Self {
            codec,
            decoder: codec.new_decoder_without_bom_handling(),
            recent: Vec::new(),
            text: String::new(),
        }
    }

    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        self.decode(bytes, false, each);
        let kept = bytes.len().min(Self::MEMORY);
        let surplus = (self.recent.len() + kept).saturating_sub(Self::MEMORY);
        self.recent.drain(..surplus);
        self.recent.extend_from_slice(&bytes[bytes.len() - kept..]);
    }

    fn finish(&mut self, each: &mut impl FnMut(Piece<'_>)) {
        self.decode(&[], true, each);
        self.decoder = self.codec.new_decoder_without_bom_handling();
        self.recent.clear();
    }

    fn decode(&mut self, bytes: &[u8], last: bool, each: &mut impl FnMut(Piece<'_>)) {
        self.text.reserve(bytes.len().clamp(64, 4096));
        let mut read = 0;
        loop {
            let (result, more) = self.decoder.decode_to_string_without_replacement(
                &bytes[read..],
                &mut self.text,
                last,
            );
            read += more;
            give_text(&self.text, each);
            self.text.clear();
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(length, after) => {
                    let end = (self.recent.len() + read).saturating_sub(after.into());
                    let start = end.saturating_sub(length.into());
                    match start.checked_sub(self.recent.len()) {
                        Some(start) => give_bytes(&bytes[start..start + usize::from(length)], each),
                        None => {
                            let stream = self.recent.iter().chain(bytes).copied();
                            give_bytes(
                                &stream.skip(start).take(end - start).collect::<Vec<_>>(),
                                each,
                            );
                        }
                    }
                }
            }
        }
    }
}

impl Encoding {
    /// Gives `each` character of `bytes` with the number of bytes that it takes there, `None` for
    /// bytes that are no text. The numbers add up to the length of `bytes`. ISO-2022-JP is taken
    /// for ASCII, as its bytes are.
    pub(crate) fn measure(self, bytes: &[u8], mut each: impl FnMut(Option<char>, usize)) {
        match self.0 {
            Charset::Latin1 => bytes
                .iter()
                .for_each(|byte| each(Some(char::from(*byte)), 1)),
            Charset::Whatwg(codec) if codec == encoding_rs::ISO_2022_JP => {
                Self::ASCII.measure(bytes, each)
            }
            Charset::Ascii => bytes
                .iter()
                .for_each(|byte| each(byte.is_ascii().then(|| char::from(*byte)), 1)),
            Charset::Utf8 => {
                for chunk in bytes.utf8_chunks() {
                    chunk
                        .valid()
                        .chars()
                        .for_each(|character| each(Some(character), character.len_utf8()));
                    if !chunk.invalid().is_empty() {
                        each(None, chunk.invalid().len());
                    }
                }
            }
            Charset::Gb2312 | Charset::Whatwg(_) => self.measure_bytewise(bytes, each),
        }
    }

    /// Text comes without its bytes, so they are fed one by one: a character owns those since the
    /// one before it.
    fn measure_bytewise(self, bytes: &[u8], mut each: impl FnMut(Option<char>, usize)) {
        let is_wide = matches!(self.0, Charset::Whatwg(codec) if !codec.is_ascii_compatible());
        let mut open = 0;
        let mut settle = |piece: Piece<'_>, open: &mut usize| match piece {
            Piece::Bytes(bad) => {
                *open -= bad.len().min(*open);
                each(None, bad.len());
            }
            Piece::Text(text) => {
                for character in text.chars() {
                    let length = match character {
                        _ if is_wide => 2 * character.len_utf16(),
                        // After an error gb18030 reads bytes again: an ASCII character need not be
                        // the last byte.
                        '\0'..='\x7f' => 1,
                        _ => *open,
                    };
                    *open -= length.min(*open);
                    each(Some(character), length);
                }
            }
        };
        let mut decoder = self.decoder();
        for byte in bytes.chunks(1) {
            open += 1;
            decoder.push(byte, |piece| settle(piece, &mut open));
        }
        decoder.finish(|piece| settle(piece, &mut open));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LABELS: [&str; 15] = [
        "utf-8",
        "ascii",
        "latin1",
        "gbk",
        "gb2312",
        "gb18030",
        "big5",
        "shift_jis",
        "euc-jp",
        "euc-kr",
        "utf-16le",
        "utf-16be",
        "windows-1251",
        "windows-874",
        "koi8-r",
    ];

    #[derive(Debug, PartialEq)]
    enum Owned {
        Text(String),
        Bytes(Vec<u8>),
    }

    /// The pieces of a stream, neighbours of one kind joined.
    fn pieces<'a>(encoding: Encoding, pushes: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let mut all = Vec::new();
        let mut add = |piece: Piece<'_>| match (all.last_mut(), piece) {
            (Some(Owned::Text(text)), Piece::Text(more)) => text.push_str(more),
            (Some(Owned::Bytes(bytes)), Piece::Bytes(more)) => bytes.extend_from_slice(more),
            (_, Piece::Text(text)) => all.push(Owned::Text(text.to_owned())),
            (_, Piece::Bytes(bytes)) => all.push(Owned::Bytes(bytes.to_owned())),
        };
        let mut decoder = encoding.decoder();
        for push in pushes {
            decoder.push(push, &mut add);
        }
        decoder.finish(&mut add);
        all
    }

    fn shown(label: &str, pushes: &[&[u8]]) -> String {
        let mut decoder = label.parse::<Encoding>().unwrap().decoder();
        let mut out = String::new();
        pushes
            .iter()
            .for_each(|push| decoder.push_shown(push, &mut out));
        decoder.finish_shown(&mut out);
        out
    }

    #[test]
    fn a_split_character_is_one_character() {
        assert_eq!(
            shown("utf-8", &[b"\xe4", b"\xb8", b"\xad\xe6", b"\x96\x87"]),
            "中文"
        );
        assert_eq!(shown("gbk", &[b"\xd6", b"\xd0\xce", b"\xc4"]), "中文");
        assert_eq!(
            shown("gb18030", &[b"\x94", b"\x39", b"\xfc", b"\x36"]),
            "😀"
        );
        assert_eq!(shown("utf-16le", &[b"\x3d", b"\xd8\x00", b"\xde"]), "😀");
        assert_eq!(
            shown("iso-2022-jp", &[b"\x1b", b"$BF", b"|\x1b(", b"Ba"]),
            "日a"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(
            shown("utf-8", &[b"a\xff\xe4", b"b\xe4\xb8"]),
            r"a\xff\xe4b\xe4\xb8"
        );
        assert_eq!(
            shown("utf-8", &[b"\xf0\x9f", b"\xf0\x9f\x98\x80"]),
            r"\xf0\x9f😀"
        );
        assert_eq!(shown("ascii", &[b"a\xe9\xe9b"]), r"a\xe9\xe9b");
        assert_eq!(shown("gbk", &[b"\xd6", b"\n\xff"]), "\\xd6\n\\xff");
        assert_eq!(
            shown("gb18030", &[b"\x81\x30", b"\x81", b"x"]),
            format!(r"\x810{}", gbk(b"\x81x"))
        );
        assert_eq!(shown("gb18030", &[b"\x81\x30", b"\x81"]), r"\x81\x30\x81");
        assert_eq!(shown("utf-16be", &[b"\xd8", b"\x00\x00a"]), r"\xd8\x00a");
    }

    fn gbk(bytes: &[u8]) -> String {
        "gbk"
            .parse::<Encoding>()
            .unwrap()
            .decode(bytes)
            .unwrap()
            .into_owned()
    }

    #[test]
    fn finish_makes_it_as_new() {
        for label in LABELS {
            let mut decoder = label.parse::<Encoding>().unwrap().decoder();
            let mut out = String::new();
            decoder.push_shown(b"\xd8", &mut out);
            decoder.finish_shown(&mut out);
            decoder.finish(|piece| panic!("{label}: {piece:?}"));
        }
    }

    #[test]
    fn valid_utf8_is_given_in_one_piece_where_it_lies() {
        let bytes = "grüße, 世界\n".as_bytes();
        let mut count = 0;
        Encoding::UTF_8.decoder().push(bytes, |piece| {
            let Piece::Text(text) = piece else {
                panic!("{piece:?}")
            };
            assert_eq!((text.as_ptr(), text.len()), (bytes.as_ptr(), bytes.len()));
            count += 1;
        });
        assert_eq!(count, 1);
    }

    fn any_of(labels: &[&str]) -> impl Strategy<Value = Encoding> + use<> {
        let encodings: Vec<Encoding> = labels.iter().map(|label| label.parse().unwrap()).collect();
        prop::sample::select(encodings)
    }

    /// Bytes that often begin, continue and break multi-byte characters.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            any::<u8>(),
            prop::sample::select(b"\x81\x30\x39\xfe\x8e\x8f\xa1\xc7\xd6\xd8\xdc".to_vec()),
            prop::sample::select(b"\xe4\xb8\xad\xf0\x9f\x98\x80aZ".to_vec()),
        ];
        prop::collection::vec(byte, 0..40)
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_where_encoding_is_injective(
            encoding in any_of(&["utf-8", "ascii", "latin1", "utf-16le", "utf-16be", "koi8-r"]),
            stream in stream(),
            size in 1_usize..6,
        ) {
            let again: Vec<u8> = pieces(encoding, stream.chunks(size))
                .into_iter()
                .flat_map(|piece| match piece {
                    Owned::Text(text) => encoding.encode(&text).unwrap().into_owned(),
                    Owned::Bytes(bytes) => bytes,
                })
                .collect();
            prop_assert_eq!(again, stream);
        }

        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(
            encoding in any_of(&LABELS),
            stream in stream(),
            size in 1_usize..6,
        ) {
            let at_once = pieces(encoding, [&stream[..]]);
            prop_assert_eq!(pieces(encoding, stream.chunks(size)), at_once);
        }

        #[test]
        fn strict_decoding_agrees(encoding in any_of(&LABELS), stream in stream()) {
            let pieces = pieces(encoding, [&stream[..]]);
            match encoding.decode(&stream) {
                Ok(text) if text.is_empty() => prop_assert!(pieces.is_empty()),
                Ok(text) => prop_assert_eq!(pieces, [Owned::Text(text.into_owned())]),
                Err(error) => {
                    let first = pieces.iter().find_map(|piece| match piece {
                        Owned::Bytes(bytes) => Some(bytes),
                        Owned::Text(_) => None,
                    });
                    prop_assert!(first.unwrap().starts_with(&error.bytes));
                    prop_assert!(stream[error.at..].starts_with(&error.bytes));
                }
            }
        }

        #[test]
        fn text_survives_being_split_anywhere(
            (encoding, text) in any_of(&LABELS)
                .prop_flat_map(|encoding| (Just(encoding), text_in(encoding))),
        ) {
            let bytes = encoding.encode(&text).unwrap();
            for at in 0..=bytes.len() {
                let (first, second) = bytes.split_at(at);
                let mut decoder = encoding.decoder();
                let mut out = String::new();
                decoder.push_shown(first, &mut out);
                decoder.push_shown(second, &mut out);
                decoder.finish_shown(&mut out);
                prop_assert_eq!(&out, &text);
            }
        }

        #[test]
        fn measures_add_up(encoding in any_of(&LABELS), stream in stream()) {
            let mut total = 0;
            encoding.measure(&stream, |_, length| total += length);
            prop_assert_eq!(total, stream.len());
        }
    }

    /// Text of characters that the encoding has and gives back as they were.
    fn text_in(encoding: Encoding) -> impl Strategy<Value = String> {
        let candidates = "aZ~\n éäПЯфαω中文字國語日本カナｱ한글€😀ก";
        let has = |character: &char| {
            let text = character.to_string();
            encoding
                .encode(&text)
                .is_ok_and(|bytes| encoding.decode(&bytes).as_deref() == Ok(&text))
        };
        let own: Vec<char> = candidates.chars().filter(has).collect();
        prop::collection::vec(prop::sample::select(own), 0..12)
            .prop_map(|characters| characters.into_iter().collect())
    }
}
