//! Which protocol speaks: a pure function from the first bytes of a connection to a verdict.
//!
//! Every matcher is a prefix automaton. It never waits for a number of bytes, only for the byte that
//! decides; and once it has said [`Match::Yes`] or [`Match::No`], no further byte changes its mind.
//! So it does not matter how the network cut the bytes:
//!
//! ```
//! use wire::sniff::{Protocol, TCP, Verdict, sniff};
//!
//! assert_eq!(sniff(b"G", TCP), Verdict::NeedMore);
//! assert_eq!(sniff(b"GET / HTTP/1.1\r\n", TCP), Verdict::Is(Protocol::Http1));
//! assert_eq!(sniff(b"GET well s", TCP), Verdict::Is(Protocol::Raw));
//! assert_eq!(sniff(b"hello", TCP), Verdict::Is(Protocol::Raw));
//! ```

/// The most bytes that are looked at. What is undecided by then is [`Protocol::Raw`].
///
/// Of the matchers in [`TCP`] only HTTP/1 can come so far: RFC 9112, section 3, asks for request
/// lines of 8000 bytes to be understood.
pub const HEAD_MAX: usize = 16 * 1024;

/// What a fresh TCP connection, or the inside of a TLS one, may speak, first come first served.
pub const TCP: &[Matcher] = &[
    Matcher {
        protocol: Protocol::Tls,
        matches: tls,
    },
    Matcher {
        protocol: Protocol::Http2,
        matches: http2,
    },
    Matcher {
        protocol: Protocol::Http1,
        matches: http1,
    },
];

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A TLS client hello.
    Tls,
    /// An HTTP/1 request line; WebSocket begins with one, too.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// None of the others: plain bytes.
    Raw,
}

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is this one, whatever follows.
    Is(Protocol),
    /// Two or more are still possible: read on, and ask again with all of the bytes.
    NeedMore,
}

/// What one matcher says about the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// It is mine, whatever follows.
    Yes,
    /// It is not mine, whatever follows.
    No,
    /// It may become mine.
    NeedMore,
}

/// One protocol and how to know it.
#[derive(Clone, Copy, Debug)]
pub struct Matcher {
    /// What a [`Match::Yes`] means.
    pub protocol: Protocol,
    /// Looks at the first bytes, none of which is cut off. [`Match::Yes`] and [`Match::No`] must
    /// stand for every longer head as well.
    pub matches: fn(head: &[u8]) -> Match,
}

/// Says what a connection speaks that begins with `head`.
///
/// The first `Yes` wins; a `NeedMore` holds back every `Yes` of lower priority; `No` from all is
/// [`Protocol::Raw`] at once. A verdict other than [`Verdict::NeedMore`] stands for every longer head.
pub fn sniff(head: &[u8], matchers: &[Matcher]) -> Verdict {
    let head = &head[..head.len().min(HEAD_MAX)];
    for matcher in matchers {
        match (matcher.matches)(head) {
            Match::Yes => return Verdict::Is(matcher.protocol),
            Match::NeedMore if head.len() < HEAD_MAX => return Verdict::NeedMore,
            Match::NeedMore => break,
            Match::No => {}
        }
    }
    Verdict::Is(Protocol::Raw)
}

/// A TLS record that holds the beginning of a client hello (RFC 8446, sections 5.1 and 4).
///
/// `16 03 minor length length 01`, where the length is that of a plaintext fragment: 1 to 2^14.
pub fn tls(head: &[u8]) -> Match {
    let fits = |(n, &byte): (usize, &u8)| match n {
        0 => byte == 0x16,
        1 => byte == 0x03,
        2 => byte <= 0x04,
        3 => byte <= 0x40,
        4 => matches!((head[3], byte), (0, 1..) | (1..0x40, _) | (0x40, 0)),
        _ => byte == 0x01,
    };
    match head.iter().enumerate().take(6).all(fits) {
        true if head.len() >= 6 => Match::Yes,
        true => Match::NeedMore,
        false => Match::No,
    }
}

/// The connection preface of HTTP/2 (RFC 9113, section 3.4), all 24 bytes of it.
pub fn http2(head: &[u8]) -> Match {
    begins_with(head, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
}

/// A request line of HTTP/1 (RFC 9112, section 3), up to and with its line end.
///
/// Narrower than the RFC in two places, so that a person who types is told apart soon:
/// - a method is upper-case letters and `-`, as all registered ones are, although any token would
///   be legal: `hello` is raw at its first byte;
/// - empty lines before the request line (RFC 9112, section 2.2) are raw: somebody pressed Enter.
///
/// Wider in two: a bare `\n` ends the line (section 2.2 allows it), and a target may hold bytes
/// above 7F, which curl sends as they are; refusing those with a status is for the HTTP parser.
pub fn http1(head: &[u8]) -> Match {
    const METHOD_MAX: usize = 32;
    let (method, rest) = split_while(head, |b| b.is_ascii_uppercase() || b == b'-');
    if method.len() > METHOD_MAX || method.starts_with(b"-") {
        return Match::No;
    }
    let Some((space, rest)) = rest.split_first() else {
        return Match::NeedMore;
    };
    if method.is_empty() || *space != b' ' || rest.first().is_some_and(|&b| !begins_target(b)) {
        return Match::No;
    }
    let (_target, rest) = split_while(rest, |b| b > b' ' && b != 0x7f);
    match rest.split_first() {
        None => Match::NeedMore,
        Some((b' ', version)) => http1_version(version),
        Some(_) => Match::No,
    }
}

/// `/path`, `*`, `scheme:…` or `host:port`, `[::1]:port` (RFC 9112, section 3.2).
fn begins_target(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/*[%-._~!$&'()+,;=".contains(&byte)
}

fn http1_version(line: &[u8]) -> Match {
    const NAME: &[u8] = b"HTTP/1.";
    match begins_with(line, NAME) {
        Match::Yes => {}
        other => return other,
    }
    match &line[NAME.len()..] {
        [minor, ..] if !minor.is_ascii_digit() => Match::No,
        [] | [_] | [_, b'\r'] => Match::NeedMore,
        [_, b'\n', ..] | [_, b'\r', b'\n', ..] => Match::Yes,
        _ => Match::No,
    }
}

fn begins_with(head: &[u8], pattern: &[u8]) -> Match {
    if head.starts_with(pattern) {
        Match::Yes
    } else if pattern.starts_with(head) {
        Match::NeedMore
    } else {
        Match::No
    }
}

fn split_while(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|&b| !belongs(b))
        .unwrap_or(bytes.len());
    bytes.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

    fn verdict(head: &[u8]) -> Verdict {
        sniff(head, TCP)
    }

    /// Every sample with the number of bytes at which it must be decided: not sooner, not later.
    const SAMPLES: &[(&[u8], usize, Protocol)] = &[
        (HELLO, 6, Protocol::Tls),
        (b"\x16\x03\x03\x40\x00\x01", 6, Protocol::Tls),
        (b"\x16\x03\x03\x00\x01\x01", 6, Protocol::Tls),
        (b"\x16\x03\x03\x40\x01\x01", 5, Protocol::Raw),
        (b"\x16\x03\x03\x00\x00\x01", 5, Protocol::Raw),
        (b"\x16\x03\x05\x00\x20\x01", 3, Protocol::Raw),
        (b"\x16\x03\x01\x00\x20\x02", 6, Protocol::Raw),
        (b"\x15\x03\x01\x00\x02\x01", 1, Protocol::Raw),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04",
            24,
            Protocol::Http2,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nXX", 19, Protocol::Raw),
        (b"PRI * HTTP/1.1\r\n", 16, Protocol::Http1),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 16, Protocol::Http1),
        (b"GET / HTTP/1.0\n", 15, Protocol::Http1),
        (b"OPTIONS * HTTP/1.1\r\n", 20, Protocol::Http1),
        (b"M-SEARCH * HTTP/1.1\r\n", 21, Protocol::Http1),
        (b"CONNECT [::1]:443 HTTP/1.1\r\n", 28, Protocol::Http1),
        (b"GET http://a/?q=1#x HTTP/1.1\r\n", 30, Protocol::Http1),
        (b"GET /\xe4\xbd\xa0 HTTP/1.1\r\n", 19, Protocol::Http1),
        (b"GET / HTTP/2.0\r\n", 12, Protocol::Raw),
        (b"GET / HTTP/1.x\r\n", 14, Protocol::Raw),
        (b"GET / HTTP/1.1 \r\n", 15, Protocol::Raw),
        (b"GET / HTTP/1.1\rX", 16, Protocol::Raw),
        (b"GET /\r\n", 6, Protocol::Raw),
        (b"GET  / HTTP/1.1\r\n", 5, Protocol::Raw),
        (b"GET well soon\n", 10, Protocol::Raw),
        (b"GET well\n", 9, Protocol::Raw),
        (b"OK \xe4\xbd\xa0\xe5\xa5\xbd\n", 4, Protocol::Raw),
        (b"Hello", 2, Protocol::Raw),
        (b"HELO mail\r\n", 10, Protocol::Raw),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33, Protocol::Raw),
        (b"hello world, ", 1, Protocol::Raw),
        (b"\r\nGET / HTTP/1.1\r\n", 1, Protocol::Raw),
        (b"\n", 1, Protocol::Raw),
        (b" ", 1, Protocol::Raw),
        (b"-", 1, Protocol::Raw),
        (b"\0", 1, Protocol::Raw),
        ("你好".as_bytes(), 1, Protocol::Raw),
        (b"\xc4\xe3\xba\xc3", 1, Protocol::Raw), // 你好 in GBK
    ];

    #[test]
    fn decides_at_the_first_byte_that_tells_and_never_again() {
        for &(sample, decided, protocol) in SAMPLES {
            for n in 0..=sample.len() {
                let expected = if n < decided {
                    Verdict::NeedMore
                } else {
                    Verdict::Is(protocol)
                };
                assert_eq!(
                    verdict(&sample[..n]),
                    expected,
                    "{n} bytes of {:?}",
                    sample.escape_ascii().to_string()
                );
            }
        }
    }

    #[test]
    fn longest_method_and_endless_target() {
        let method = [b'A'; 32];
        assert_eq!(
            verdict(&[&method[..], b" / HTTP/1.1\n"].concat()),
            Verdict::Is(Protocol::Http1)
        );

        let mut head = b"GET /".to_vec();
        head.resize(HEAD_MAX - 1, b'x');
        assert_eq!(verdict(&head), Verdict::NeedMore);
        head.push(b'x');
        assert_eq!(verdict(&head), Verdict::Is(Protocol::Raw));
        head.extend_from_slice(b" HTTP/1.1\r\n");
        assert_eq!(verdict(&head), Verdict::Is(Protocol::Raw));
    }

    #[test]
    fn need_more_holds_back_a_lower_yes() {
        let patient = Matcher {
            protocol: Protocol::Tls,
            matches: |_| Match::NeedMore,
        };
        let eager = Matcher {
            protocol: Protocol::Http1,
            matches: |_| Match::Yes,
        };
        assert_eq!(sniff(b"x", &[patient, eager]), Verdict::NeedMore);
        assert_eq!(sniff(b"x", &[eager, patient]), Verdict::Is(Protocol::Http1));
        assert_eq!(
            sniff(&[0; HEAD_MAX], &[patient, eager]),
            Verdict::Is(Protocol::Raw)
        );
        assert_eq!(sniff(b"", &[]), Verdict::Is(Protocol::Raw));
    }

    /// Near misses and hits: a sample, cut and spoiled somewhere, with anything after it.
    fn heads() -> impl Strategy<Value = Vec<u8>> {
        let sample = (
            0..SAMPLES.len(),
            any::<prop::sample::Index>(),
            any::<Option<u8>>(),
        );
        (sample, prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            |((which, at, spoil), tail)| {
                let sample = SAMPLES[which].0;
                let cut = at.index(sample.len() + 1);
                [
                    &sample[..cut],
                    &spoil.map_or_else(Vec::new, |b| vec![b]),
                    &sample[cut..],
                    &tail,
                ]
                .concat()
            },
        )
    }

    proptest! {
        #[test]
        fn a_verdict_stands_for_every_longer_head(head in heads()) {
            let whole = verdict(&head);
            for n in 0..head.len() {
                let early = verdict(&head[..n]);
                prop_assert!(early == whole || early == Verdict::NeedMore, "{n} bytes: {early:?}, all: {whole:?}");
            }
        }

        #[test]
        fn a_match_stands_for_every_longer_head(head in heads()) {
            for matcher in TCP {
                let whole = (matcher.matches)(&head);
                for n in 0..head.len() {
                    let early = (matcher.matches)(&head[..n]);
                    prop_assert!(early == whole || early == Match::NeedMore);
                }
            }
        }

        #[test]
        fn anything_goes(head in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = verdict(&head);
        }

        #[test]
        fn text_beyond_ascii_is_raw_at_its_first_byte(first in 0x80u8.., rest in prop::collection::vec(any::<u8>(), 0..8)) {
            prop_assert_eq!(verdict(&[&[first][..], &rest].concat()), Verdict::Is(Protocol::Raw));
        }
    }
}
