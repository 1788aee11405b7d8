//! Capsules however they are cut, and codes both ways.

use proptest::prelude::*;

use super::*;

/// What comes of `bytes`, which is the same in one piece and byte by byte.
fn read(bytes: &[u8]) -> Result<Option<Close>, Fault> {
    let mut whole = Capsules::default();
    let at_once = whole
        .admit(bytes)
        .and_then(|close| whole.end().map(|()| close));
    let mut pieces = Capsules::default();
    let mut closed = None;
    let mut one_by_one = || {
        for byte in bytes {
            closed = pieces.admit(&[*byte])?.or_else(|| closed.take());
        }
        pieces.end().map(|()| closed.take())
    };
    assert_eq!(one_by_one(), at_once, "{bytes:02x?}");
    at_once
}

fn close(code: u32, reason: &str) -> Option<Close> {
    let reason = reason.to_owned();
    Some(Close { code, reason })
}

#[test]
fn a_close_is_found_among_other_capsules() {
    // 0x68 0x43 is 0x2843 in two bytes.
    assert_eq!(read(b"\x68\x43\x07\0\0\0\x07bye"), Ok(close(7, "bye")));
    assert_eq!(
        read(b"\x68\x43\x04\xff\xff\xff\xff"),
        Ok(close(u32::MAX, ""))
    );
    // A datagram of five bytes, an empty drain (0x78ae), one that nobody knows.
    let others = b"\0\x05hello\x80\0\x78\xae\0\x21\x40\x01.";
    assert_eq!(read(others), Ok(None));
    let both = [&others[..], b"\x68\x43\x04\0\0\0\0"].concat();
    assert_eq!(read(&both), Ok(close(0, "")));
    assert_eq!(read(b""), Ok(None));
}

#[test]
fn what_breaks_the_rules_is_told() {
    for (bytes, fault) in [
        (&b"\x68\x43\x03\0\0\0"[..], Fault::Length(3)),
        (b"\x68\x43\x44\x05", Fault::Length(1029)),
        (b"\x68\x43\xbf\xff\xff\xff", Fault::Length(0x3fff_ffff)),
        (b"\x68\x43\x05\0\0\0\0\xff", Fault::NotText),
        (b"\x68\x43\x04\0\0\0\0.", Fault::AfterClose),
        (b"\x68\x43\x04\0\0", Fault::CutShort),
        (b"\x68", Fault::CutShort),
        (b"\0", Fault::CutShort),
        (b"\0\x05abc", Fault::CutShort),
    ] {
        assert_eq!(read(bytes), Err(fault), "{bytes:02x?}");
    }
}

#[test]
fn a_reason_is_cut_where_a_character_ends() {
    let long = Close {
        code: 1,
        reason: "é".repeat(600),
    };
    let read = read(&long.written()).unwrap().unwrap();
    assert_eq!(read.reason, "é".repeat(512));
    let odd = Close {
        reason: format!("a{}", long.reason),
        ..long
    };
    let read = Capsules::default().admit(&odd.written());
    assert_eq!(read.unwrap().unwrap().reason.len(), 1023);
}

/// The two ends of the range, as section 4.4 gives them, and reserved codes in it.
#[test]
fn codes_of_an_application_have_a_place_among_those_of_http3() {
    assert_eq!(to_http3(0), 0x52e4_a40f_a8db);
    assert_eq!(to_http3(u32::MAX), 0x52e5_ac98_3162);
    assert_eq!(to_http3(0x1e), to_http3(0x1d) + 2);
    assert_eq!(from_http3(to_http3(0x1d) + 1), None);
    for other in [0, 0x100, 0x10c, FIRST - 1, LAST + 1, SESSION_GONE, u64::MAX] {
        assert_eq!(from_http3(other), None);
    }
}

#[test]
fn a_stream_says_whose_it_is() {
    use Beginning::{NeedMore, Other, Session};
    let of = |id, length| Session { id, length };
    for (bytes, begins) in [
        (&b""[..], NeedMore),
        (b"\x40", NeedMore),
        (b"\x40\x41", NeedMore),
        (b"\x40\x41\x40", NeedMore),
        (b"\x40\x41\x04", of(4, 3)),
        (b"\x40\x41\x40\x04hello", of(4, 4)),
        (b"\x80\0\0\x41\0", of(0, 5)),
        (b"\x01\x02..", Other),
        (b"\x40\x54\0", Other),
    ] {
        assert_eq!(begin(bytes, BOTH_WAYS), begins, "{bytes:02x?}");
    }
    assert_eq!(begin(b"\x40\x54\x08", ONE_WAY), of(8, 3));
    assert_eq!(beginning(BOTH_WAYS, 4), b"\x40\x41\x04");
    assert_eq!(beginning(ONE_WAY, 256), b"\x40\x54\x41\0");
    assert_eq!(label(256), b"\x40\x40");
}

proptest! {
    #[test]
    fn every_code_comes_back(code: u32) {
        prop_assert_eq!(from_http3(to_http3(code)), Some(code));
    }

    #[test]
    fn every_close_comes_back(code: u32, reason in ".{0,200}") {
        let sent = Close { code, reason };
        prop_assert_eq!(read(&sent.written()), Ok(Some(sent)));
    }

    #[test]
    fn whatever_comes_is_the_same_however_it_is_cut(bytes: Vec<u8>) {
        let _ = read(&bytes);
    }
}
