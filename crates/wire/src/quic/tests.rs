//! What must never be taken for QUIC, and what must always be.

use proptest::prelude::*;

use super::*;

/// An id that the server of these tests has given out.
const OURS: [u8; OWN_ID] = *b"\x01ours\xff\x00\x80";

fn known(datagram: &[u8]) -> bool {
    known_to(datagram, &mut Recent::default())
}

fn known_to(datagram: &[u8], recent: &mut Recent) -> bool {
    is_quic(datagram, |id| id == OURS, recent)
}

/// A packet with a long header, filled up to `size`: the fixed bit, a type, ids, and an empty token.
fn packet(kind: u8, version: u32, to: &[u8], size: usize) -> Vec<u8> {
    let mut packet = vec![0xc0 | kind << 4];
    packet.extend(version.to_be_bytes());
    for id in [to, b"client"] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    // No token, and a length in two bytes.
    packet.push(0);
    let rest = size.saturating_sub(packet.len() + 2).max(20) as u16;
    packet.extend((0x4000 | rest).to_be_bytes());
    packet.resize(packet.len() + usize::from(rest), 0x5a);
    packet
}

const INVENTED: &[u8] = b"invented";

#[test]
fn a_client_may_begin() {
    for (what, kind, version, to, size, expected) in [
        ("version 1", INITIAL, VERSION_1, INVENTED, 1200, true),
        ("a long id", INITIAL, VERSION_1, &[7; 20], 1200, true),
        ("too long an id", INITIAL, VERSION_1, &[7; 21], 1200, false),
        ("too short an id", INITIAL, VERSION_1, &[7; 7], 1200, false),
        ("too small", INITIAL, VERSION_1, INVENTED, 1199, false),
        ("version 2", 1, VERSION_2, INVENTED, 1200, true),
        ("0-RTT of version 2", 2, VERSION_2, INVENTED, 1200, false),
        ("Retry of version 2", 0, VERSION_2, &OURS, 1200, false),
        ("a greased version", 0, 0x1a2a_3a4a, INVENTED, 1200, true),
        ("it, and small", 0, 0x1a2a_3a4a, INVENTED, 1199, false),
        ("a draft", 0, 0xff00_001d, INVENTED, 1200, true),
        ("an unknown version", 0, 0x5051_3031, INVENTED, 1200, false),
        ("version negotiation", 0, 0, INVENTED, 1200, false),
        ("Handshake", HANDSHAKE, VERSION_1, INVENTED, 1200, false),
        ("0-RTT to nobody", ZERO_RTT, VERSION_1, b"", 1200, false),
        ("Retry", 3, VERSION_1, &OURS, 1200, false),
    ] {
        let packet = packet(kind, version, to, size);
        assert_eq!(packet.len(), size, "{what}");
        assert_eq!(known(&packet), expected, "{what}");
    }
    // The fixed bit tells it from what other protocols begin with.
    let mut unfixed = packet(INITIAL, VERSION_1, INVENTED, 1200);
    unfixed[0] &= !FIXED_BIT;
    assert!(!known(&unfixed));
}

#[test]
fn a_token_and_a_length_must_fit() {
    let begin = packet(INITIAL, VERSION_1, INVENTED, 1200);
    let token_at = 1 + 4 + 1 + INVENTED.len() + 1 + b"client".len();
    for (bytes, fits) in [
        (&[0x00, 0x10][..], true),
        (&[0x03, b't', b'o', b'k', 0x10], true),
        (&[0x7f, 0xff], false),
        (&[0xc0, 0, 0, 0, 0, 0, 0, 0, 0x10], true),
        (
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10],
            false,
        ),
        (&[0x00, 0xbf, 0xff, 0xff, 0xff], false),
    ] {
        let mut begin = begin.clone();
        begin[token_at..token_at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(known(&begin), fits, "{bytes:x?}");
    }
}

#[test]
fn what_bears_an_id_of_ours_is_quic() {
    for kind in [INITIAL, ZERO_RTT, HANDSHAKE] {
        assert!(known(&packet(kind, VERSION_1, &OURS, 100)), "{kind}");
        assert!(known(&packet(kind + 1, VERSION_2, &OURS, 100)), "{kind}");
    }
    let short = |size| {
        let mut packet = vec![0x41];
        packet.extend(OURS);
        packet.resize(size, 0);
        packet
    };
    assert!(known(&short(SHORTEST)));
    assert!(!known(&short(SHORTEST - 1)));
    let mut unfixed = short(100);
    unfixed[0] = 0x01;
    assert!(!known(&unfixed));
}

#[test]
fn early_data_is_known_by_the_id_of_the_first_packet() {
    let mut recent = Recent::default();
    let early = |id: u8| packet(ZERO_RTT, VERSION_1, &[id; 8], 400);
    let begin = |id: u8| packet(INITIAL, VERSION_1, &[id; 8], 1200);
    assert!(!known_to(&early(1), &mut recent));
    // Sent again, it takes no second place.
    for _ in 0..100 {
        assert!(known_to(&begin(1), &mut recent));
    }
    for id in 2..=64 {
        assert!(known_to(&begin(id), &mut recent));
    }
    assert!((1..=64).all(|id| known_to(&early(id), &mut recent)));
    known_to(&begin(65), &mut recent);
    assert!(!known_to(&early(1), &mut recent), "the oldest is forgotten");
    assert!(known_to(&early(65), &mut recent));
}

#[test]
fn text_and_other_protocols_are_not() {
    let chinese = encoding_rs::GB18030.encode("你好，世界。").0;
    for datagram in [
        &b""[..],
        b"\n",
        b"sally",
        "你好".as_bytes(),
        &chinese,
        &[0xff; 1500],
        &[0xc0; 1500],
        &[0x40; 1500],
        // DNS, STUN, RTP, DTLS, CoAP and NTP begin so.
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x40\x01\x00\x01",
        b"\xe3\x00\x06\xec",
    ] {
        assert!(!known(datagram), "{datagram:x?}");
    }
}

#[test]
fn numbers_are_read_as_the_rfc_shows() {
    // RFC 9000, appendix A.1.
    for (bytes, number) in [
        (
            &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
            151_288_809_941_952_652,
        ),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
    ] {
        assert_eq!(varint(bytes), Some((number, &[][..])));
        assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
    }
}

proptest! {
    /// Letters, Chinese characters and everything else that is text, in the encodings that gadgets use.
    #[test]
    fn no_text_is_quic(text in "\\PC{0,600}", chinese in "[一-龥，。！]{0,800}") {
        prop_assert!(!known(text.as_bytes()));
        prop_assert!(!known(chinese.as_bytes()));
        for text in [&text, &chinese] {
            prop_assert!(!known(&encoding_rs::GBK.encode(text).0));
            prop_assert!(!known(&encoding_rs::BIG5.encode(text).0));
        }
    }

    #[test]
    fn no_small_datagram_is_quic(bytes in proptest::collection::vec(any::<u8>(), 0..SMALLEST_FIRST)) {
        prop_assert!(!known(&bytes));
    }

    /// Nothing panics however a packet is cut off, and what is cut off below 1200 bytes does not begin anything.
    #[test]
    fn a_packet_that_is_cut_off_is_none(cut in 0..SMALLEST_FIRST) {
        let packet = packet(INITIAL, VERSION_1, INVENTED, SMALLEST_FIRST);
        prop_assert!(!known(&packet[..cut]));
    }
}
