//! The receiving side of a framing: cuts messages out of a read buffer without copying them.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memmem};

use super::{FrameError, Framing, Prefix};

/// Cuts messages out of the read buffer of one stream.
///
/// It remembers how far it has looked, so that a long message that arrives byte by byte costs O(n).
/// For this to be right the buffer may only grow at its end between two calls. Nothing is ever
/// allocated because a peer announced it. Errors are final: the buffer stays as it is, and asking
/// again gives the same error.
#[derive(Clone, Debug)]
pub struct Cutter {
    framing: Framing,
    limit: usize,
    seen: usize,
}

impl Cutter {
    /// Cuts by `framing`. `limit` is the largest message in bytes, without its marks; less than 1
    /// counts as 1.
    #[must_use]
    pub fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            limit: limit.max(1),
            seen: 0,
        }
    }

    /// The framing by which this cutter works.
    #[must_use]
    pub fn framing(&self) -> &Framing {
        &self.framing
    }

    /// The next whole message in `buffer`, or `None` when more bytes are needed.
    ///
    /// `raw` gives everything that is buffered, `idle` gives nothing before [`gap`](Self::gap) is
    /// called; both cut a message of `limit` bytes whenever there are so many, and never fail.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] as soon as it is certain that the message exceeds the limit,
    /// [`FrameError::BadPrefix`] when its length is unreadable.
    pub fn cut(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Self {
            framing,
            limit,
            seen,
        } = self;
        match framing {
            Framing::Idle(_) if buffer.len() < *limit => Ok(None),
            Framing::Raw | Framing::Idle(_) => Ok(cut_at_most(*limit, buffer)),
            Framing::Line => cut_line(buffer, *limit, seen),
            Framing::Until(delimiter) => cut_until(delimiter, buffer, *limit, seen),
            Framing::Fixed(size) => cut_sized(0, size.get(), buffer, *limit),
            Framing::Length(prefix) => match prefix.read(buffer)? {
                Some((head, body)) => cut_sized(head, widen(body), buffer, *limit),
                None => Ok(None),
            },
        }
    }

    /// What is left when the stream has ended; to be called until it gives `None`.
    ///
    /// Whole messages come first. Then the rest is a message for `raw`, `line`, `until` and `idle`.
    ///
    /// # Errors
    /// For `fixed` and `length` a rest is [`FrameError::CutShort`] or
    /// [`FrameError::PrefixCutShort`]; it stays in `buffer`. Otherwise the errors of
    /// [`cut`](Self::cut).
    pub fn finish(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        if let Some(message) = self.cut(buffer)? {
            return Ok(Some(message));
        }
        if buffer.is_empty() {
            return Ok(None);
        }
        match &self.framing {
            Framing::Fixed(size) => Err(FrameError::CutShort {
                expected: size.get(),
                got: buffer.len(),
            }),
            Framing::Length(prefix) => Err(cut_short(*prefix, buffer)?),
            Framing::Raw | Framing::Line | Framing::Until(_) | Framing::Idle(_) => {
                // A "\r" or the beginning of a delimiter may stand beyond the limit: only now it is
                // part of the message.
                check(buffer.len(), self.limit)?;
                self.seen = 0;
                Ok(Some(buffer.split().freeze()))
            }
        }
    }

    /// The gap of `idle` has passed: what is buffered is one message, `None` when there is nothing.
    ///
    /// At most `limit` bytes, which is everything if [`cut`](Self::cut) was called before. A gap
    /// means nothing to the other framings: `None`.
    pub fn gap(&mut self, buffer: &mut BytesMut) -> Option<Bytes> {
        match self.framing {
            Framing::Idle(_) => cut_at_most(self.limit, buffer),
            _ => None,
        }
    }
}

fn cut_at_most(limit: usize, buffer: &mut BytesMut) -> Option<Bytes> {
    (!buffer.is_empty()).then(|| take(buffer, buffer.len().min(limit)).freeze())
}

/// The first `n` bytes. All of them need no second owner of the same memory, which `split_to` would set up
/// with an allocation of its own.
fn take(buffer: &mut BytesMut, n: usize) -> BytesMut {
    if n == buffer.len() {
        std::mem::take(buffer)
    } else {
        buffer.split_to(n)
    }
}

fn cut_line(
    buffer: &mut BytesMut,
    limit: usize,
    seen: &mut usize,
) -> Result<Option<Bytes>, FrameError> {
    let from = buffer.len().min(*seen);
    let Some(found) = memchr(b'\n', &buffer[from..]) else {
        check(without_return(buffer).len(), limit)?;
        *seen = buffer.len();
        return Ok(None);
    };
    let end = from + found;
    let length = without_return(&buffer[..end]).len();
    check(length, limit)?;
    *seen = 0;
    let mut line = take(buffer, end + 1);
    line.truncate(length);
    Ok(Some(line.freeze()))
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn cut_until(
    delimiter: &[u8],
    buffer: &mut BytesMut,
    limit: usize,
    seen: &mut usize,
) -> Result<Option<Bytes>, FrameError> {
    let from = buffer.len().min(*seen);
    let found = if delimiter.is_empty() {
        None
    } else {
        memmem::find(&buffer[from..], delimiter)
    };
    let Some(found) = found else {
        // No delimiter begins before this place; one may begin here whose end has not come yet.
        let clear = (buffer.len() + 1).saturating_sub(delimiter.len().max(1));
        check(clear, limit)?;
        *seen = clear;
        return Ok(None);
    };
    let length = from + found;
    check(length, limit)?;
    *seen = 0;
    let message = buffer.split_to(length).freeze();
    buffer.advance(delimiter.len());
    Ok(Some(message))
}

fn cut_sized(
    head: usize,
    body: usize,
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Option<Bytes>, FrameError> {
    if body > limit {
        return Err(FrameError::TooLong {
            limit,
            announced: Some(body as u64),
        });
    }
    if buffer.len() - head < body {
        return Ok(None);
    }
    buffer.advance(head);
    Ok(Some(take(buffer, body).freeze()))
}

fn cut_short(prefix: Prefix, buffer: &[u8]) -> Result<FrameError, FrameError> {
    Ok(match prefix.read(buffer)? {
        Some((head, body)) => FrameError::CutShort {
            expected: widen(body),
            got: buffer.len() - head,
        },
        None => FrameError::PrefixCutShort {
            prefix,
            got: buffer.len(),
        },
    })
}

/// A length that does not fit `usize` is beyond any limit anyway.
fn widen(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn check(length: usize, limit: usize) -> Result<(), FrameError> {
    if length > limit {
        Err(FrameError::TooLong {
            limit,
            announced: None,
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing(name: &str) -> Framing {
        name.parse().unwrap()
    }

    /// Every message of a stream that arrives in these pieces, then what ended it.
    fn cut_all(
        framing: &Framing,
        limit: usize,
        pieces: &[&[u8]],
    ) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut cutter = Cutter::new(framing.clone(), limit);
        let mut buffer = BytesMut::new();
        let mut messages = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match cutter.cut(&mut buffer) {
                    Ok(Some(message)) => messages.push(message.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
        loop {
            match cutter.finish(&mut buffer) {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => return (messages, None),
                Err(error) => return (messages, Some(error)),
            }
        }
    }

    fn texts(name: &str, stream: &[u8]) -> Vec<String> {
        let (messages, error) = cut_all(&framing(name), 100, &[stream]);
        assert_eq!(error, None);
        messages
            .into_iter()
            .map(|message| String::from_utf8(message).unwrap())
            .collect()
    }

    fn failure(name: &str, limit: usize, stream: &[u8]) -> String {
        cut_all(&framing(name), limit, &[stream])
            .1
            .unwrap()
            .to_string()
    }

    #[test]
    fn lines_lose_their_end_and_empty_ones_count() {
        assert_eq!(
            texts("line", b"a\r\n\n\r\nb\r\r\nrest"),
            ["a", "", "", "b\r", "rest"]
        );
        assert_eq!(texts("line", b"a\n"), ["a"]);
        assert_eq!(texts("line", b"a\r"), ["a\r"]);
        assert!(texts("line", b"").is_empty());
    }

    #[test]
    fn other_marks_cut_too() {
        assert_eq!(texts("raw", b"as it came"), ["as it came"]);
        assert_eq!(texts("until:--", b"a--b---c-"), ["a", "b", "-c-"]);
        assert_eq!(texts("fixed:2", b"abcd"), ["ab", "cd"]);
        assert_eq!(texts("length:u8", b"\x02hi\x00\x01!"), ["hi", "", "!"]);
        assert_eq!(texts("length:varint", b"\x82\x00hi"), ["hi"]);
        assert_eq!(texts("idle:5", b"all"), ["all"]);
    }

    #[test]
    fn raw_and_idle_split_at_the_limit_and_never_fail() {
        for name in ["raw", "idle:5"] {
            let (messages, error) = cut_all(&framing(name), 4, &[b"abcdefghij"]);
            assert_eq!(
                (messages, error),
                (
                    vec![b"abcd".to_vec(), b"efgh".to_vec(), b"ij".to_vec()],
                    None
                )
            );
        }
    }

    #[test]
    fn a_gap_ends_a_message_only_when_gaps_count() {
        let mut buffer = BytesMut::from("abc");
        assert_eq!(Cutter::new(Framing::Line, 10).gap(&mut buffer), None);
        let mut cutter = Cutter::new(framing("idle:5"), 10);
        assert_eq!(cutter.cut(&mut buffer), Ok(None));
        assert_eq!(cutter.gap(&mut buffer), Some(Bytes::from_static(b"abc")));
        assert_eq!(cutter.gap(&mut buffer), None);
    }

    #[test]
    fn a_limit_counts_the_message_without_its_marks() {
        assert_eq!(cut_all(&Framing::Line, 3, &[b"abc\r", b"\nabc\n"]).1, None);
        assert_eq!(cut_all(&framing("until:END"), 3, &[b"abcEN", b"D"]).1, None);
        for stream in [&b"abcd\n"[..], b"abcd", b"abc\r\r\n", b"abc\r"] {
            assert_eq!(
                failure("line", 3, stream),
                "message is longer than the limit of 3 bytes"
            );
        }
        assert_eq!(
            failure("until:END", 3, b"abcEN"),
            "message is longer than the limit of 3 bytes"
        );
    }

    #[test]
    fn too_long_is_known_early() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        let before = buffer.capacity();
        let error = Cutter::new(framing("length:u32be"), 1 << 20)
            .cut(&mut buffer)
            .unwrap_err();
        assert_eq!(
            error,
            FrameError::TooLong {
                limit: 1 << 20,
                announced: Some(0xffff_ffff)
            }
        );
        assert_eq!(buffer.capacity(), before);
        assert!(
            Cutter::new(Framing::Line, 3)
                .cut(&mut BytesMut::from("abcd"))
                .is_err()
        );
        assert!(
            Cutter::new(framing("until:END"), 3)
                .cut(&mut BytesMut::from("abcdEN"))
                .is_err()
        );
        assert!(
            Cutter::new(framing("until:END"), 3)
                .cut(&mut BytesMut::from("abcEN"))
                .is_ok()
        );
    }

    #[test]
    fn a_cut_short_message_is_told_with_numbers() {
        assert_eq!(
            failure("fixed:16", 99, b"12345"),
            "expected 16 bytes, the peer closed after 5"
        );
        assert_eq!(
            failure("length:u8", 99, b"\x10abc"),
            "expected 16 bytes, the peer closed after 3"
        );
        assert_eq!(
            failure("length:u8", 99, b"\x01"),
            "expected 1 byte, the peer closed after 0"
        );
        assert_eq!(
            failure("length:u32be", 99, b"\0\0"),
            "expected a 4-byte length, the peer closed after 2 bytes"
        );
        assert_eq!(
            failure("length:varint", 99, b"\x80"),
            "expected a varint length, the peer closed after 1 byte"
        );
        assert_eq!(
            failure("length:varint", 99, &[0xff; 5]),
            "the length is not a varint of 32 bits"
        );
    }

    #[test]
    fn messages_share_the_memory_of_the_buffer() {
        let mut buffer = BytesMut::from("hello\r\nworld\n");
        let place = buffer.as_ptr();
        let message = Cutter::new(Framing::Line, 100)
            .cut(&mut buffer)
            .unwrap()
            .unwrap();
        assert_eq!((message.as_ptr(), &message[..]), (place, &b"hello"[..]));
    }

    #[test]
    fn an_empty_delimiter_finds_nothing() {
        let (messages, error) = cut_all(&Framing::Until(Bytes::new()), 5, &[b"ab", b"cd"]);
        assert_eq!((messages, error), (vec![b"abcd".to_vec()], None));
    }

    fn marked() -> impl Strategy<Value = Framing> {
        prop::sample::select(vec![
            "line",
            "until:ab",
            "until:aab",
            r"until:\n",
            "fixed:3",
            "length:u8",
            "length:u16be",
            "length:u16le",
            "length:u32be",
            "length:u32le",
            "length:varint",
        ])
        .prop_map(framing)
    }

    /// Bytes that often are marks, whole or in part, and small lengths.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(b"\0\x01\x02\x03\x80\xffab\r\n".to_vec());
        prop::collection::vec(byte, 0..60)
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_cut_again(
            framing in marked(),
            messages in prop::collection::vec(prop::collection::vec(b'0'..=b'9', 3), 0..20),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                let wrapper = framing.wrap(message).unwrap();
                stream.extend_from_slice(wrapper.head());
                stream.extend_from_slice(message);
                stream.extend_from_slice(wrapper.tail());
            }
            let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(cut_all(&framing, 3, &bytewise), (messages, None));
        }

        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(
            framing in marked(),
            stream in stream(),
            size in 1_usize..8,
            limit in 1_usize..12,
        ) {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let at_once = cut_all(&framing, limit, &[&stream]);
            prop_assert_eq!(cut_all(&framing, limit, &pieces), at_once);
        }
    }
}
