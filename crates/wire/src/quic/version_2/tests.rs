//! Packets of version 2, by the numbers of RFC 9369.

use proptest::prelude::*;

use super::*;
use crate::quic_packet::Kind;

/// A packet with a long header and `payload` bytes, whose type is `kind`.
fn packet(kind: u8, version: u32, is_initial: bool, payload: u8) -> Vec<u8> {
    let mut packet = vec![0xc0 | kind << 4];
    packet.extend(version.to_be_bytes());
    packet.extend(b"\x04to..\x00");
    if is_initial {
        packet.extend(b"\x05token");
    }
    packet.push(payload);
    packet.resize(packet.len() + usize::from(payload), 0xee);
    packet
}

fn kinds(mut datagram: &[u8]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    while let Some(header) = Header::read(datagram, 0) {
        kinds.push(header.kind);
        let Some(length) = header.length else { break };
        datagram = &datagram[header.header + length as usize..];
    }
    kinds
}

/// RFC 9369, section 3.2: Initial 1, 0-RTT 2, Handshake 3, Retry 0.
#[test]
fn every_packet_of_a_datagram_is_renumbered() {
    let written = |version| {
        [
            packet(0, version, true, 40),
            packet(1, version, false, 50),
            packet(2, version, false, 60),
            packet(3, version, false, 0),
        ]
        .concat()
    };
    let mut datagram = written(VERSION_2);
    to_version_2(&mut datagram);
    let expected = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry];
    assert_eq!(kinds(&datagram), expected);
    from_version_2(&mut datagram);
    assert_eq!(datagram, written(VERSION_2));
    // Version 1 is nobody's business here.
    let mut other = written(VERSION_1);
    to_version_2(&mut other);
    from_version_2(&mut other);
    assert_eq!(other, written(VERSION_1));
}

#[test]
fn what_follows_may_have_a_short_header() {
    let mut datagram = packet(2, VERSION_2, false, 30);
    let length = datagram.len();
    datagram.extend(b"\x41short\x6b\x33\x43\xcf");
    let before = datagram.clone();
    to_version_2(&mut datagram);
    assert_eq!(datagram[0], 0xf0);
    assert_eq!(datagram[length..], before[length..]);
}

#[test]
fn versions_are_agreed_on_by_both_ends() {
    use VersionFault::{Malformed, Mismatch};

    // max_idle_timeout of two bytes stands before it.
    let mut parameters = vec![0x01, 0x02, 0x67, 0x10];
    assert_eq!(check_versions(&parameters, VERSION_1), Ok(()));
    add_versions(&mut parameters, VERSION_2, &[VERSION_1, VERSION_2]);
    let expected = b"\x01\x02\x67\x10\x11\x0c\x6b\x33\x43\xcf\0\0\0\x01\x6b\x33\x43\xcf";
    assert_eq!(parameters, expected);
    assert_eq!(check_versions(&parameters, VERSION_2), Ok(()));
    assert_eq!(check_versions(&parameters, VERSION_1), Err(Mismatch));
    for malformed in [
        &b"\x11\x00"[..],
        b"\x11\x03\0\0\x01",
        b"\x11\x05\0\0\0\x01\x01",
        b"\x11\x08\0\0\0\x01\0\0\0\0",
    ] {
        assert_eq!(check_versions(malformed, VERSION_1), Err(Malformed));
    }
    // Cut off: not for us to say.
    assert_eq!(check_versions(b"\x11\x08\0\0", VERSION_1), Ok(()));
}

#[test]
fn offered_versions_are_read() {
    let packet = b"\xca\0\0\0\0\x02to\x04from\x1a\x2a\x3a\x4a\0\0\0\x01\x6b\x33\x43\xcf";
    assert_eq!(offered_versions(packet), Some(vec![VERSION_1, VERSION_2]));
    assert_eq!(offered_versions(&packet[..10]), None);
    assert_eq!(offered_versions(b"\xc0\0\0\0\x01\x00\x00"), None);
    assert_eq!(offered_versions(b"\x4a\0\0\0\0"), None);
    assert_eq!(version_name(VERSION_2), "2");
    assert_eq!(version_name(0xff00_001d), "0xff00001d");
}

proptest! {
    /// Nothing but types of long headers of version 2 changes, and there is a way back.
    #[test]
    fn there_is_a_way_back(
        packets in proptest::collection::vec((0..4_u8, any::<bool>(), 0..63_u8), 0..5),
        rest in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let version = |second: bool| if second { VERSION_2 } else { VERSION_1 };
        let mut datagram = Vec::new();
        for (kind, second, payload) in packets {
            datagram.extend(packet(kind, version(second), kind == 0, payload));
        }
        datagram.extend(rest);
        let before = datagram.clone();
        to_version_2(&mut datagram);
        for (new, old) in datagram.iter().zip(&before) {
            prop_assert!(new == old || old & LONG_HEADER != 0 && (new ^ old) & !TYPE == 0);
        }
        from_version_2(&mut datagram);
        prop_assert_eq!(datagram, before);
    }
}
