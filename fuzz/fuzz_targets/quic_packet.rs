//! Packets of QUIC: headers end inside the datagram, and frames are cut where they end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::quic_packet::{Frame, Header, Kind};

fuzz_target!(|input: (u8, &[u8])| {
    let (id, bytes) = input;
    if let Some(header) = Header::read(bytes, usize::from(id) % 21) {
        assert!(header.header <= bytes.len());
        assert_eq!(header.kind == Kind::OneRtt, bytes[0] & 0x80 == 0);
        assert!(header.destination.len() + header.source.len() < header.header);
    }
    let mut rest = bytes;
    while let Some((frame, length)) = Frame::read(rest) {
        assert!(length > 0 && length <= rest.len());
        if let Frame::Stream { data, .. } | Frame::Crypto { data, .. } | Frame::Datagram(data) =
            frame
        {
            assert!(data.len() < length);
        }
        rest = &rest[length..];
    }
});
