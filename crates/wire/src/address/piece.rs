//! A part of an address that knows where it stands, and the errors that point there.

use super::Problem;
use super::error::Fault;

pub(super) type Read<T> = Result<T, Fault>;

/// A part of the text that knows where it stands.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn fault(self, problem: Problem) -> Fault {
        Fault {
            at: self.at,
            len: self.text.len(),
            problem,
            hint: None,
        }
    }

    pub(super) fn slice(self, from: usize, len: usize) -> Self {
        Self {
            text: &self.text[from..from + len],
            at: self.at + from,
        }
    }

    pub(super) fn cut(self, at: usize) -> (Self, Self) {
        (self.slice(0, at), self.slice(at, self.text.len() - at))
    }

    pub(super) fn start(self) -> Self {
        self.slice(0, 0)
    }

    pub(super) fn end(self) -> Self {
        self.slice(self.text.len(), 0)
    }

    pub(super) fn strip_prefix(self, prefix: &str) -> Option<Self> {
        self.text
            .starts_with(prefix)
            .then(|| self.cut(prefix.len()).1)
    }

    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.slice(0, at), self.cut(at + separator.len_utf8()).1))
    }

    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let piece = Self { text, at };
            at += text.len() + separator.len_utf8();
            piece
        })
    }

    pub(super) fn is_number(self) -> bool {
        !self.text.is_empty() && self.text.bytes().all(|b| b.is_ascii_digit())
    }

    /// An empty port means the default one (RFC 3986, section 3.2.3).
    pub(super) fn optional_port(self) -> Read<Option<u16>> {
        if self.text.is_empty() {
            Ok(None)
        } else {
            self.port().map(Some)
        }
    }

    pub(super) fn port(self) -> Read<u16> {
        // u16's own reading lets `+80` pass.
        let number = if self.is_number() {
            self.text.parse().ok()
        } else {
            None
        };
        number.ok_or_else(|| {
            self.fault(Problem::Port)
                .hint("a port is a number from 0 to 65535")
        })
    }
}
