//! Headers and frames, whole, cut and broken.

use proptest::prelude::*;

use super::*;

#[test]
fn numbers_are_those_of_the_standard() {
    // RFC 9000, appendix A.1.
    for (bytes, value) in [
        (
            &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
            151_288_809_941_952_652,
        ),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ] {
        assert_eq!(number(bytes), Some((value, bytes.len())));
        assert_eq!(number(&bytes[..bytes.len() - 1]), None);
    }
}

#[test]
fn the_types_of_both_versions_differ() {
    let header = |first: u8, version: u32| {
        let mut bytes = vec![first];
        bytes.extend(version.to_be_bytes());
        bytes.extend([1, 9, 0, 0, 20, 5]);
        Header::read(&bytes, 0).map(|header| header.kind)
    };
    assert_eq!(header(0xc0, VERSION_1), Some(Kind::Initial));
    assert_eq!(header(0xd0, VERSION_1), Some(Kind::ZeroRtt));
    assert_eq!(header(0xe0, VERSION_1), Some(Kind::Handshake));
    assert_eq!(header(0xf0, VERSION_1), Some(Kind::Retry));
    assert_eq!(header(0xd0, VERSION_2), Some(Kind::Initial));
    assert_eq!(header(0xf0, VERSION_2), Some(Kind::Handshake));
    assert_eq!(header(0xc0, 0), Some(Kind::VersionNegotiation));
    assert_eq!(header(0xc0, 77), None);
    let short = Header::read(&[0x00, 1, 2, 3, 4], 3).unwrap();
    // The fixed bit may be cleared (RFC 9287).
    assert_eq!(
        (short.kind, short.destination, short.header),
        (Kind::OneRtt, &[1, 2, 3][..], 4)
    );
    assert_eq!(Header::read(&[0x40, 1], 3), None);
}

#[test]
fn frames_are_cut_where_they_end() {
    let frames = [
        (&[0, 0, 0][..], Frame::Padding),
        (&[1], Frame::Ping),
        (
            &[2, 9, 0, 1, 2, 3, 1],
            Frame::Ack {
                largest: 9,
                first: 2,
                ranges: 1,
            },
        ),
        (&[4, 8, 7, 1], Frame::ResetStream { stream: 8, code: 7 }),
        (
            &[6, 1, 2, 5, 6],
            Frame::Crypto {
                offset: 1,
                data: &[5, 6],
            },
        ),
        (
            &[0x0f, 4, 9, 1, 0xff],
            Frame::Stream {
                stream: 4,
                offset: 9,
                end: true,
                data: &[0xff],
            },
        ),
        (&[30], Frame::HandshakeDone),
        (&[25, 0], Frame::Named("RETIRE_CONNECTION_ID")),
        (&[31], Frame::Named("IMMEDIATE_ACK")),
        (
            &[29, 0x41, 0, 2, b'o', b'k'],
            Frame::ConnectionClose {
                code: 256,
                application: true,
                reason: b"ok",
            },
        ),
    ];
    for (bytes, frame) in frames {
        assert_eq!(Frame::read(bytes), Some((frame, bytes.len())));
        let more = [bytes, &[1]].concat();
        assert_eq!(Frame::read(&more).unwrap().1, bytes.len());
    }
    assert_eq!(Frame::read(&[2, 9, 0, 0xff, 0xff]), None);
    assert_eq!(Frame::read(&[0x3f]), None);
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..120), id in 0..21_usize) {
        if let Some(header) = Header::read(&bytes, id) {
            prop_assert!(header.header <= bytes.len());
        }
        let mut rest = &bytes[..];
        while let Some((_, length)) = Frame::read(rest) {
            prop_assert!(length > 0 && length <= rest.len());
            rest = &rest[length..];
        }
    }
}

/// The examples of RFC 9000, appendix A.1, both ways; and however their bytes come.
#[test]
fn numbers_are_written_as_they_are_read() {
    for (value, bytes) in [
        (
            151_288_809_941_952_652,
            &b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..],
        ),
        (494_878_333, b"\x9d\x7f\x3e\x7d"),
        (15_293, b"\x7b\xbd"),
        (37, b"\x25"),
    ] {
        let mut written = Vec::new();
        write_number(value, &mut written);
        assert_eq!(written, bytes);
        assert_eq!(number(bytes), Some((value, bytes.len())));
        let mut one_by_one = Number::default();
        let read: Vec<_> = bytes.iter().map(|byte| one_by_one.read(*byte)).collect();
        let (last, before) = read.split_last().unwrap();
        assert_eq!((*last, one_by_one.is_begun()), (Some(value), false));
        assert!(before.iter().all(Option::is_none));
    }
    // Two bytes where one would do are read, too.
    assert_eq!(number(b"\x40\x25"), Some((37, 2)));
}

proptest! {
    #[test]
    fn every_number_comes_back(value in 0..1_u64 << 62) {
        let mut written = Vec::new();
        write_number(value, &mut written);
        prop_assert_eq!(number(&written), Some((value, written.len())));
    }
}
