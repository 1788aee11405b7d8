//! Sniffing: a verdict stands for every longer head, and well-formed first bytes are known.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::sniff::{HEAD_MAX, Match, Protocol, TCP, Verdict, sniff};

/// The preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Heads of up to this many bytes are looked at after every byte, longer ones at some places.
const SHORT: usize = 256;

fuzz_target!(|head: &[u8]| {
    stands(head);
    is_justified(head, sniff(head, TCP));
    is_known(head);
});

/// No extension changes a verdict, and at most [`HEAD_MAX`] bytes are looked at.
fn stands(head: &[u8]) {
    let whole = sniff(head, TCP);
    let step = 1 + head.len() / SHORT;
    for early in (0..head.len()).step_by(step).map(|end| &head[..end]) {
        let verdict = sniff(early, TCP);
        assert!(
            verdict == whole || verdict == Verdict::NeedMore,
            "{verdict:?}, then {whole:?}"
        );
        for matcher in TCP {
            let (early, whole) = ((matcher.matches)(early), (matcher.matches)(head));
            assert!(
                early == whole || early == Match::NeedMore,
                "{:?}",
                matcher.protocol
            );
        }
    }
    if head.len() >= HEAD_MAX {
        assert_ne!(whole, Verdict::NeedMore);
    }
}

/// What the bytes must look like for a verdict to be right, from the protocols' own rules.
fn is_justified(head: &[u8], verdict: Verdict) {
    match verdict {
        Verdict::Is(Protocol::Tls) => {
            assert!(matches!(head, [0x16, 0x03, 0..=4, _, _, 0x01, ..]));
        }
        Verdict::Is(Protocol::Http2) => assert!(head.starts_with(PREFACE)),
        Verdict::Is(Protocol::Http1) => {
            let line = head.split(|&b| b == b'\n').next().unwrap_or(head);
            let words: Vec<&[u8]> = line.trim_ascii_end().split(|&b| b == b' ').collect();
            assert_eq!(words.len(), 3, "{}", line.escape_ascii());
            assert!(
                words[0]
                    .iter()
                    .all(|&b| b.is_ascii_uppercase() || b == b'-')
            );
            assert!(words[2].starts_with(b"HTTP/1.") && words[2].len() == 8);
        }
        Verdict::Is(Protocol::Raw) => {
            assert!(!head.starts_with(PREFACE) && !head.is_empty());
        }
        Verdict::NeedMore => {
            assert!(!head.starts_with(PREFACE));
            assert!(matches!(head.first(), None | Some(0x16 | b'A'..=b'Z')));
        }
    }
}

/// The input as a part of something well-formed: the whole must be known for what it is.
fn is_known(part: &[u8]) {
    let target: Vec<u8> = part
        .iter()
        .copied()
        .filter(u8::is_ascii_graphic)
        .take(HEAD_MAX / 2)
        .collect();
    let request = [b"GET /", &target[..], b" HTTP/1.1\r\n", part].concat();
    assert_eq!(sniff(&request, TCP), Verdict::Is(Protocol::Http1));

    let length = 4 + (part.len() % 0x3ff0) as u16;
    let record = [
        &[0x16, 0x03, 0x01],
        &length.to_be_bytes()[..],
        &[0x01],
        part,
    ]
    .concat();
    assert_eq!(sniff(&record, TCP), Verdict::Is(Protocol::Tls));

    assert_eq!(
        sniff(&[PREFACE, part].concat(), TCP),
        Verdict::Is(Protocol::Http2)
    );
}
