//! QUIC beside other datagrams: what is no packet by the RFC's own rules is never taken for one. And version 2: there
//! is a way back to what came, whatever came.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::quic::{
    OWN_ID, Recent, SMALLEST_FIRST, VERSION_1, VERSION_2, check_versions, from_version_2, is_quic,
    is_version_2, offered_versions, to_version_2,
};

/// Ids with this first byte are the server's own.
const OURS: u8 = 0xa5;

fuzz_target!(|datagram: &[u8]| {
    let mut recent = Recent::default();
    let is_ours = |id: &[u8]| {
        assert_eq!(id.len(), OWN_ID);
        id[0] == OURS
    };
    let quic = is_quic(datagram, is_ours, &mut recent);
    if quic {
        is_justified(datagram);
    }
    // A verdict does not hang on what a server has given out, but where it says "ours".
    let stranger = is_quic(datagram, |_| false, &mut Recent::default());
    assert!(quic || !stranger);
    // Asked again, it says the same.
    assert_eq!(quic, is_quic(datagram, is_ours, &mut recent));
    is_renumbered(datagram);
    let _ = check_versions(datagram, VERSION_1);
    let _ = offered_versions(datagram);
});

fn is_renumbered(datagram: &[u8]) {
    let mut other = datagram.to_vec();
    to_version_2(&mut other);
    assert_eq!(is_version_2(datagram), is_version_2(&other));
    assert!(is_version_2(datagram) || other == datagram);
    from_version_2(&mut other);
    assert_eq!(other, datagram);
}

fn is_justified(datagram: &[u8]) {
    let first = datagram[0];
    if first & 0x80 == 0 {
        assert!(first & 0x40 != 0 && datagram.len() >= 29 && datagram[1] == OURS);
        return;
    }
    let version = u32::from_be_bytes([datagram[1], datagram[2], datagram[3], datagram[4]]);
    assert!(version != 0, "a server is not told of versions");
    let ours = datagram[5] == OWN_ID as u8 && datagram[6] == OURS;
    let first = datagram.len() >= SMALLEST_FIRST && datagram[5] >= 8;
    assert!(first || (ours && matches!(version, VERSION_1 | VERSION_2)));
}
