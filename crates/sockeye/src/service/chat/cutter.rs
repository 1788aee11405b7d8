//! Lines from what a session receives, without holding more of one than a line may have.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line of a request: a line of text in JSON, with all of it escaped.
pub(super) const LONGEST: usize = 64 * 1024;

/// Cuts lines.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Not yet looked at.
    rest: Bytes,
    /// The beginning of a line whose end has not come.
    begun: BytesMut,
    /// How many bytes of a line that is too long have been thrown away.
    thrown: usize,
}

/// A line, or how long it was if that is too much.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Line(Bytes),
    TooLong(usize),
}

impl Cutter {
    /// Takes what came. Everything that came before must have been cut.
    pub(super) fn push(&mut self, data: Bytes) {
        self.rest = data;
    }

    /// The next line, without its end.
    pub(super) fn next(&mut self) -> Option<Cut> {
        let Some(end) = memchr::memchr(b'\n', &self.rest) else {
            let rest = std::mem::take(&mut self.rest);
            self.gather(&rest);
            return None;
        };
        let line = self.rest.split_to(end);
        self.rest.advance(1);
        Some(self.end(line))
    }

    /// What is left is a line too: nothing more comes, or a message has ended.
    pub(super) fn finish(&mut self) -> Option<Cut> {
        let is_some = !self.begun.is_empty() || self.thrown > 0;
        is_some.then(|| self.end(Bytes::new()))
    }

    fn end(&mut self, line: Bytes) -> Cut {
        if self.begun.is_empty() && self.thrown == 0 && line.len() <= LONGEST {
            return Cut::Line(without_return(line));
        }
        self.gather(&line);
        match std::mem::take(&mut self.thrown) {
            0 => Cut::Line(without_return(std::mem::take(&mut self.begun).freeze())),
            length => Cut::TooLong(length),
        }
    }

    fn gather(&mut self, more: &[u8]) {
        if self.thrown == 0 && self.begun.len() + more.len() <= LONGEST {
            self.begun.extend_from_slice(more);
            return;
        }
        self.thrown += std::mem::take(&mut self.begun).len() + more.len();
    }
}

fn without_return(line: Bytes) -> Bytes {
    match line.strip_suffix(b"\r") {
        Some(without) => line.slice(..without.len()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Cut> {
        let mut cutter = Cutter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            cutter.push(Bytes::copy_from_slice(piece));
            lines.extend(std::iter::from_fn(|| cutter.next()));
        }
        lines.extend(cutter.finish());
        lines
    }

    fn line(text: &str) -> Cut {
        Cut::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn cuts_lines_wherever_they_are_split() {
        assert_eq!(
            cut(&[b"one\r\ntw", b"o\n\nthr", b"ee"]),
            [line("one"), line("two"), line(""), line("three")]
        );
        assert_eq!(cut(&[b"one\r", b"\n"]), [line("one")]);
        assert_eq!(cut(&[b""]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_not_held() {
        let mut cutter = Cutter::default();
        for _ in 0..1000 {
            cutter.push(Bytes::from(vec![b'x'; 10_000]));
            assert_eq!(cutter.next(), None);
            assert!(cutter.begun.capacity() <= 2 * LONGEST);
        }
        cutter.push(Bytes::from_static(b"y\nok\n"));
        assert_eq!(cutter.next(), Some(Cut::TooLong(10_000_001)));
        assert_eq!(cutter.next(), Some(line("ok")));
        assert_eq!(cut(&[&[b'x'; LONGEST]]).len(), 1);
        let at_once = [&[b'x'; LONGEST + 1][..], b"\n"].concat();
        assert_eq!(cut(&[&at_once]), [Cut::TooLong(LONGEST + 1)]);
    }

    proptest! {
        #[test]
        fn how_it_is_split_makes_no_difference(text in "[a\r\n]{0,60}", at in 0_usize..60) {
            let bytes = text.as_bytes();
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(cut(&[a, b]), cut(&[bytes]));
        }
    }
}
