//! Which bytes of a file are asked for (RFC 9110, section 14).

use std::ops::Range;

use http::{HeaderMap, header};

/// More ranges than this are no honest wish (section 14.2): all of the file is sent instead.
const MOST: usize = 64;

/// Parts that are closer together are sent as one: the lines between two parts are longer.
const GAP: u64 = 80;

/// What is to be sent of a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::service) enum Wanted {
    /// All of it.
    All,
    /// These bytes, in this order; never none, and none of them empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that the file has.
    Nothing,
}

/// One range as it is written.
#[derive(Debug, PartialEq, Eq)]
enum Spec {
    /// `first-last`, or `first-` to the end.
    From(u64, Option<u64>),
    /// `-n`: the last bytes.
    Last(u64),
}

/// What `Range` asks for of a file of `len` bytes. What cannot be read is not there (section 14.2).
pub(in crate::service) fn wanted(headers: &HeaderMap, len: u64) -> Wanted {
    let mut lines = headers.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Wanted::All;
    };
    let specs = line.to_str().ok().and_then(read);
    // An empty file has no range of bytes that an answer could name.
    match specs {
        Some(specs) if len > 0 => resolve(&specs, len),
        _ => Wanted::All,
    }
}

fn read(text: &str) -> Option<Vec<Spec>> {
    let (unit, set) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for spec in set.split(',').map(|spec| spec.trim_matches([' ', '\t'])) {
        if spec.is_empty() {
            continue;
        }
        if specs.len() == MOST {
            return None;
        }
        let (first, last) = spec.split_once('-')?;
        specs.push(match (first, last) {
            ("", n) => Spec::Last(number(n)?),
            (first, "") => Spec::From(number(first)?, None),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Spec::From(first, Some(last))
            }
        });
    }
    (!specs.is_empty()).then_some(specs)
}

/// Digits; a number that is too large for us is too large for every file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn resolve(specs: &[Spec], len: u64) -> Wanted {
    let found: Vec<Range<u64>> = specs
        .iter()
        .filter_map(|spec| {
            let range = match *spec {
                Spec::From(first, None) => first..len,
                Spec::From(first, Some(last)) => first..last.saturating_add(1).min(len),
                Spec::Last(n) => len.saturating_sub(n)..len,
            };
            (range.start < range.end).then_some(range)
        })
        .collect();
    if found.is_empty() {
        return Wanted::Nothing;
    }
    let parts = joined(found);
    let sum: u64 = parts.iter().map(|part| part.end - part.start).sum();
    match sum == len && parts.len() == 1 && specs.len() > 1 {
        true => Wanted::All,
        false => Wanted::Parts(parts),
    }
}

/// Without overlaps; each part at the place of the first wish that it fulfils (section 15.3.7.2).
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<(usize, Range<u64>)> = ranges.into_iter().enumerate().collect();
    sorted.sort_by_key(|(_, range)| range.start);
    let mut parts: Vec<(usize, Range<u64>)> = Vec::with_capacity(sorted.len());
    for (place, range) in sorted {
        match parts.last_mut() {
            Some((first, last)) if range.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(range.end);
                *first = place.min(*first);
            }
            _ => parts.push((place, range)),
        }
    }
    parts.sort_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn of(text: &str, len: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(text).unwrap());
        wanted(&headers, len)
    }

    fn parts<const N: usize>(parts: [Range<u64>; N]) -> Wanted {
        Wanted::Parts(parts.into())
    }

    fn one(part: Range<u64>) -> Wanted {
        Wanted::Parts(std::iter::once(part).collect())
    }

    #[test]
    fn one_range() {
        for (text, range) in [
            ("bytes=0-499", 0..500),
            ("bytes=500-999", 500..1000),
            ("bytes=-500", 9500..10_000),
            ("bytes=9500-", 9500..10_000),
            ("bytes=0-0", 0..1),
            ("bytes=-1", 9999..10_000),
            ("bytes=0-", 0..10_000),
            ("bytes=0-9999", 0..10_000),
            ("bytes=9999-99999", 9999..10_000),
            ("bytes=-99999", 0..10_000),
            ("bytes=0-18446744073709551616", 0..10_000),
            ("bytes=-18446744073709551616", 0..10_000),
            ("BYTES= 1-2 ", 1..3),
            ("bytes=,1-2,,", 1..3),
        ] {
            assert_eq!(of(text, 10_000), one(range), "{text}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_and_never_overlap() {
        assert_eq!(of("bytes=0-0,-1", 10_000), parts([0..1, 9999..10_000]));
        assert_eq!(of("bytes=500-600,0-9", 10_000), parts([500..601, 0..10]));
        assert_eq!(of("bytes=500-700,601-999", 10_000), one(500..1000));
        assert_eq!(of("bytes=0-9,20-29", 10_000), one(0..30), "a small gap");
        assert_eq!(of("bytes=0-9,99999-", 10_000), one(0..10));
        assert_eq!(
            of("bytes=9000-,0-9,500-9500", 10_000),
            parts([500..10_000, 0..10])
        );
        assert_eq!(of("bytes=5000-,0-5000", 10_000), Wanted::All);
        let many = |n| format!("bytes={}", vec!["0-1"; n].join(","));
        assert_eq!(of(&many(MOST), 10_000), one(0..2));
        assert_eq!(of(&many(MOST + 1), 10_000), Wanted::All);
    }

    #[test]
    fn what_the_file_does_not_have() {
        for text in [
            "bytes=10000-",
            "bytes=10000-10001",
            "bytes=-0",
            "bytes=99999-,-0",
        ] {
            assert_eq!(of(text, 10_000), Wanted::Nothing, "{text}");
        }
        assert_eq!(of("bytes=18446744073709551615-", u64::MAX), Wanted::Nothing);
        assert_eq!(of("bytes=-1", 0), Wanted::All, "an empty file");
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-0",
            "bytes=0-1,5-2",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=1--2",
            "bytes=--1",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes 0-1",
            "bytes =0-1",
            "lines=0-1",
        ] {
            assert_eq!(of(text, 10_000), Wanted::All, "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(wanted(&headers, 9), Wanted::All);
        for line in ["bytes=0-1", "bytes=2-3"] {
            headers.append(header::RANGE, HeaderValue::from_static(line));
        }
        assert_eq!(wanted(&headers, 9), Wanted::All, "two lines");
    }

    fn spec() -> impl Strategy<Value = Spec> {
        let n = prop_oneof![0..300_u64, any::<u64>()];
        prop_oneof![
            n.clone().prop_map(Spec::Last),
            (n.clone(), proptest::option::of(n)).prop_map(|(a, b)| match b {
                Some(b) => Spec::From(a.min(b), Some(a.max(b))),
                None => Spec::From(a, None),
            }),
        ]
    }

    proptest! {
        /// Against the plain meaning: byte by byte.
        #[test]
        fn parts_cover_what_was_asked(specs in proptest::collection::vec(spec(), 1..6), len in 1..300_u64) {
            let asked = |at: u64| specs.iter().any(|spec| match *spec {
                Spec::From(first, last) => at >= first && last.is_none_or(|last| at <= last),
                Spec::Last(n) => u128::from(at) + u128::from(n) >= u128::from(len),
            });
            let any_asked = (0..len).any(asked);
            let parts = match resolve(&specs, len) {
                Wanted::Nothing => Vec::new(),
                Wanted::All => std::iter::once(0..len).collect(),
                Wanted::Parts(parts) => parts,
            };
            prop_assert_eq!(parts.is_empty(), !any_asked);
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= len));
            let within = |at: u64| parts.iter().filter(|part| part.contains(&at)).count();
            for at in 0..len {
                prop_assert!(within(at) <= 1, "byte {} twice", at);
                prop_assert!(within(at) == 1 || !asked(at), "byte {} left out", at);
            }
        }

        #[test]
        fn nothing_that_comes_is_too_much(text in "(bytes=)?[-,0-9a ]{0,40}", len in any::<u64>()) {
            if let Wanted::Parts(parts) = of(&text, len) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= len));
            }
        }
    }
}
