//! What can be wrong with an address, where in the text, and what to write instead.

use std::fmt::Display;
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

/// A text that is not an address.
///
/// Its `Display` is one line, whatever the text holds: characters that cannot be seen are escaped.
///
/// ```
/// let error = wire::address::Address::parse("tcp://host").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "cannot read the address `tcp://host`: no port at column 11 (write `tcp://host:PORT`)"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the address `{}`: {}", printable(.text), self.complaint())]
pub struct AddressError {
    text: String,
    fault: Fault,
}

/// What is wrong, without the where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is empty.
    #[error("nothing is written")]
    Empty,
    /// Something other than a known scheme stands before `://`.
    #[error("unknown scheme")]
    Scheme,
    /// A network scheme is followed by `:` without `//`.
    #[error("no `//` after the scheme")]
    NoSlashes,
    /// There is no host where one must be.
    #[error("no host")]
    NoHost,
    /// There is no port, and the scheme has no default.
    #[error("no port")]
    NoPort,
    /// The port is not a number from 0 to 65535.
    #[error("bad port")]
    Port,
    /// All parts are numbers, but not four from 0 to 255 without leading zeros. Such a text is no
    /// host name either: resolvers read `010.1` as 8.0.0.1.
    #[error("this looks like an IPv4 address but is not one:")]
    Ipv4,
    /// The brackets hold something other than an IPv6 address.
    #[error("bad IPv6 address")]
    Ipv6,
    /// An IPv6 address stands without brackets, so that its last group and a port look alike.
    #[error("IPv6 address without brackets")]
    BareIpv6,
    /// The zone of an IPv6 address is empty or cannot be an interface name.
    #[error("bad zone")]
    Zone,
    /// `[` has no `]`.
    #[error("no closing bracket")]
    Bracket,
    /// Two dots stand side by side in a host name, or one stands first.
    #[error("empty label in the host name")]
    Label,
    /// A character, or more of them, that cannot stand there.
    #[error("unexpected")]
    Character,
    /// White space inside the address.
    #[error("unexpected white space")]
    Space,
    /// `user@` or `user:password@` stands before the host.
    #[error("unexpected user information")]
    UserInfo,
    /// Without a scheme, a host cannot be called `unix` or `exec`: `unix:3000` is a socket path.
    #[error("host called like a scheme:")]
    Reserved,
    /// The scheme has no paths, or there is no scheme.
    #[error("unexpected path")]
    Path,
    /// `#fragment`, which no protocol sends (RFC 3986, section 3.5; RFC 6455, section 3).
    #[error("unexpected fragment")]
    Fragment,
    /// `unix:` without a path or a name.
    #[error("no socket path")]
    NoName,
    /// `exec:` without a command.
    #[error("no command")]
    NoCommand,
}

impl AddressError {
    /// The text that was read; for `HOST PORT`, both with a space between.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the trouble begins, in bytes from the start of [`text`](Self::text).
    pub fn at(&self) -> usize {
        self.fault.at
    }

    /// The bytes of [`text`](Self::text) that are in trouble; empty where something is missing.
    pub fn span(&self) -> Range<usize> {
        self.fault.at..self.fault.at + self.fault.len
    }

    /// What is wrong.
    pub fn problem(&self) -> Problem {
        self.fault.problem
    }

    /// What to do about it, as a phrase: ``write `[::1]:3000` ``.
    pub fn hint(&self) -> Option<&str> {
        self.fault.hint.as_deref()
    }

    /// A picture in two lines: the text, and a `^~~` below the place. Columns are those of a
    /// terminal, so wide characters count twice.
    pub fn caret(&self) -> String {
        let indent = " ".repeat(printable(&self.text[..self.at()]).width());
        let tail = "~".repeat(printable(&self.text[self.span()]).width().saturating_sub(1));
        format!("{}\n{indent}^{tail}", printable(&self.text))
    }

    fn complaint(&self) -> String {
        let Fault {
            at, problem, hint, ..
        } = &self.fault;
        let part = match printable(&self.text[self.span()]) {
            part if part.is_empty() => part,
            part => format!(" `{part}`"),
        };
        let column = self.text[..*at].chars().count() + 1;
        let hint = hint
            .as_ref()
            .map(|hint| format!(" ({})", printable(hint)))
            .unwrap_or_default();
        format!("{problem}{part} at column {column}{hint}")
    }
}

/// An error that does not know the whole text yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) problem: Problem,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn hint(self, hint: impl Display) -> Self {
        Self {
            hint: Some(hint.to_string()),
            ..self
        }
    }

    pub(super) fn within(self, text: &str) -> AddressError {
        AddressError {
            text: text.to_owned(),
            fault: self,
        }
    }
}

/// Marks that take no room or turn the writing direction: they come with copied text, and two
/// addresses that differ only in them look the same. The joiners U+200C and U+200D are not among
/// them: some scripts need them in names (RFC 5892, appendix A).
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c != ' ' && (c.is_whitespace() || c.is_control() || is_invisible(c)) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
