//! Capture files: cut anywhere they give the same items, and no packet in them does any harm.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::packet::{Body, Packet};
use wire::pcapng::{Item, Reader};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, file) = input;
    let whole = items(file);
    let early = items(&file[..file.len() * usize::from(cut) / 255]);
    assert!(early.len() <= whole.len());
    assert_eq!(early[..], whole[..early.len()]);
    for item in whole {
        let Item::Packet(record) = item else {
            continue;
        };
        assert!(record.original as usize >= record.data.len());
        let Ok(packet) = Packet::read(record.link, record.data, record.original) else {
            continue;
        };
        match packet.body {
            Body::Tcp(segment) => assert!(segment.payload.len() <= segment.length as usize),
            Body::Udp(datagram) => assert!(datagram.payload.len() <= datagram.length as usize),
            _ => {}
        }
    }
});

fn items(mut file: &[u8]) -> Vec<Item<'_>> {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    while let Ok(Some((item, length))) = reader.read(file) {
        assert!(length > 0);
        items.push(item);
        file = &file[length..];
    }
    items
}
