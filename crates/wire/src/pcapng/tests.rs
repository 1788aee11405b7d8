//! Files of every variant, made byte by byte, and files that are broken.

use proptest::prelude::*;

use super::{FileError, Item, Reader, Record, Writer, Written};

/// Numbers in one byte order.
#[derive(Clone, Copy)]
struct Write {
    big: bool,
}

impl Write {
    fn half(self, number: u16) -> Vec<u8> {
        match self.big {
            true => number.to_be_bytes().into(),
            false => number.to_le_bytes().into(),
        }
    }

    fn words(self, numbers: &[u32]) -> Vec<u8> {
        let bytes = |number: &u32| match self.big {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        };
        numbers.iter().flat_map(bytes).collect()
    }

    fn classic(self, magic: u32, link: u32, packets: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = self.words(&[magic]);
        file.extend([self.half(2), self.half(4)].concat());
        file.extend(self.words(&[0, 0, 65535, link]));
        for (seconds, fraction, data) in packets {
            file.extend(self.words(&[*seconds, *fraction, data.len() as u32, 90]));
            if magic == 0xa1b2_cd34 {
                file.extend([0; 8]);
            }
            file.extend(*data);
        }
        file
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut padded = body.to_vec();
        padded.resize(body.len().next_multiple_of(4), 0);
        let length = padded.len() as u32 + 12;
        let head = self.words(&[kind, length]);
        [head, padded, self.words(&[length])].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.half(1), self.half(0)].concat();
        let body = [self.words(&[0x1a2b_3c4d]), version, vec![0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [self.half(link), self.half(0), self.words(&[0])].concat();
        body.extend(self.options(options));
        self.block(1, &body)
    }

    fn options(self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend([self.half(*code), self.half(value.len() as u16)].concat());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn packet(self, interface: u32, ticks: u64, data: &[u8], options: &[(u16, &[u8])]) -> Vec<u8> {
        let (high, low) = ((ticks >> 32) as u32, ticks as u32);
        let mut body = self.words(&[interface, high, low, data.len() as u32, 90]);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.options(options));
        self.block(6, &body)
    }
}

const ORDERS: [Write; 2] = [Write { big: false }, Write { big: true }];

/// All items, or the error that ends them, and how many bytes were left.
fn read(file: &[u8]) -> (Vec<Item<'_>>, Option<FileError>, usize) {
    let mut reader = Reader::new();
    let (mut items, mut rest) = (Vec::new(), file);
    loop {
        match reader.read(rest) {
            Ok(Some((item, length))) => {
                items.push(item);
                rest = &rest[length..];
                assert_eq!(reader.offset() as usize, file.len() - rest.len());
            }
            Ok(None) => return (items, None, rest.len()),
            Err(error) => return (items, Some(error), rest.len()),
        }
    }
}

fn packets(file: &[u8]) -> Vec<Record<'_>> {
    let (items, error, left) = read(file);
    assert_eq!((error, left), (None, 0));
    let packets = items.into_iter();
    packets
        .filter_map(|item| match item {
            Item::Packet(packet) => Some(packet),
            _ => None,
        })
        .collect()
}

#[test]
fn classic_files_of_both_orders_and_three_clocks_say_the_same() {
    for write in ORDERS {
        for (magic, fraction) in [
            (0xa1b2_c3d4, 5_000),
            (0xa1b2_3c4d, 5_000_000),
            (0xa1b2_cd34, 5_000),
        ] {
            let file = write.classic(magic, 1, &[(1, fraction, b"one"), (2, 0, b"")]);
            let expected =
                [(1_005_000_000, &b"one"[..]), (2_000_000_000, b"")].map(|(time, data)| Record {
                    link: 1,
                    time: Some(time),
                    original: 90,
                    data,
                    inbound: None,
                });
            assert_eq!(packets(&file), expected, "{magic:x} {}", write.big);
        }
    }
}

#[test]
fn the_length_of_checksums_is_no_part_of_the_link_type() {
    let file = ORDERS[0].classic(0xa1b2_c3d4, 0x2400_0001, &[(1, 0, b"x")]);
    assert_eq!(packets(&file)[0].link, 1);
}

#[test]
fn every_interface_has_its_own_link_and_clock() {
    for write in ORDERS {
        let seconds_before = match write.big {
            true => (-10_i64).to_be_bytes(),
            false => (-10_i64).to_le_bytes(),
        };
        let outbound = write.words(&[2]);
        let file = [
            write.section(),
            write.interface(1, &[(2, b"eth0")]),
            write.interface(113, &[(9, &[9])]),
            write.interface(101, &[(9, &[0x80 | 10]), (14, &seconds_before)]),
            write.block(0x0bad, b"of a kind that is not known"),
            write.packet(0, 1_000_001, b"a", &[]),
            write.packet(
                1,
                1_000_000_001,
                b"bb",
                &[(1, b"a comment"), (2, &outbound)],
            ),
            write.packet(2, 20 << 10 | 512, b"", &[]),
        ]
        .concat();
        let found: Vec<_> = packets(&file)
            .iter()
            .map(|packet| {
                (
                    packet.link,
                    packet.time.unwrap(),
                    packet.data,
                    packet.inbound,
                )
            })
            .collect();
        let expected: [(u16, u64, &[u8], _); 3] = [
            (1, 1_000_001_000, b"a", None),
            (113, 1_000_000_001, b"bb", Some(false)),
            (101, 10_500_000_000, b"", None),
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn a_new_section_may_have_another_byte_order_and_forgets_the_interfaces() {
    let [little, big] = ORDERS;
    let file = [
        little.section(),
        little.interface(1, &[]),
        little.packet(0, 1, b"a", &[]),
        big.section(),
        big.interface(101, &[]),
        big.packet(0, 2, b"b", &[]),
    ]
    .concat();
    let links: Vec<_> = packets(&file).iter().map(|packet| packet.link).collect();
    assert_eq!(links, [1, 101]);
    let orphan = [big.section(), big.packet(0, 2, b"b", &[])].concat();
    let (_, error, _) = read(&orphan);
    assert_eq!(
        error.unwrap().to_string(),
        "broken at offset 28: a packet of interface 0, of 0"
    );
}

#[test]
fn simple_and_obsolete_packets_keys_and_drops_are_read() {
    for write in ORDERS {
        let snap = [write.half(1), write.half(0), write.words(&[3])].concat();
        let obsolete = [
            [write.half(0), write.half(7)].concat(),
            write.words(&[0, 5, 2, 60]),
            b"ok".to_vec(),
        ]
        .concat();
        let mut count = [[0; 4], [0; 4]].concat();
        count[if write.big { 7 } else { 0 }] = 9;
        let statistics = [
            write.words(&[0, 0, 0]),
            write.options(&[(5, &count), (7, &count)]),
        ];
        let keys = [write.words(&[0x544c_534b, 4]), b"keys".to_vec()].concat();
        let file = [
            write.section(),
            write.block(1, &snap),
            write.block(3, &[write.words(&[100]), b"cut".to_vec()].concat()),
            write.block(2, &obsolete),
            write.block(10, &keys),
            write.block(5, &statistics.concat()),
        ]
        .concat();
        let (items, error, left) = read(&file);
        assert_eq!((error, left), (None, 0));
        let simple = Record {
            link: 1,
            time: None,
            original: 100,
            data: b"cut",
            inbound: None,
        };
        let old = Record {
            time: Some(5_000),
            original: 60,
            data: b"ok",
            ..simple
        };
        assert_eq!(
            items[2..],
            [
                Item::Packet(simple),
                Item::Packet(old),
                Item::Secrets(b"keys"),
                Item::Dropped(18)
            ]
        );
    }
}

#[test]
fn what_is_no_capture_or_a_broken_one_is_told_with_its_place() {
    let [little, big] = ORDERS;
    let mut unequal = [little.section(), little.interface(1, &[])].concat();
    *unequal.last_mut().unwrap() = 1;
    let long = {
        let mut file = big.classic(0xa1b2_c3d4, 1, &[]);
        file.extend(big.words(&[0, 0, 0x7fff_ffff, 0]));
        file
    };
    let mut old = little.classic(0xa1b2_c3d4, 1, &[]);
    old[4] = 1;
    let tiny = [little.section(), little.words(&[6, 8, 8])].concat();
    let short = [little.section(), little.block(6, &[0; 8])].concat();
    for (file, said) in [
        (
            b"GET / HTTP/1.1\r\n".to_vec(),
            "this is no capture: it begins with 47 45 54 20, and not as pcap or pcapng do",
        ),
        (
            vec![0x1f, 0x8b, 8, 0],
            "this is a gzip file, and maybe a capture inside",
        ),
        (
            unequal,
            "broken at offset 28: a block that ends with another length than it begins with",
        ),
        (long, "broken at offset 24: a packet of 2147483647 bytes"),
        (old, "pcap 1.4 at offset 0 is not known"),
        (tiny, "broken at offset 28: a block of 8 bytes"),
        (
            short,
            "broken at offset 28: a block that is too short for its fields",
        ),
    ] {
        assert_eq!(
            read(&file).1.map(|error| error.to_string()).as_deref(),
            Some(said)
        );
    }
}

proptest! {
    #[test]
    fn any_prefix_gives_the_items_that_are_whole(
        big: bool,
        data in prop::collection::vec(any::<u8>(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let write = Write { big };
        let classic = write.classic(0xa1b2_c3d4, 1, &[(1, 2, &data), (3, 4, &data)]);
        let blocks = [
            write.section(),
            write.interface(1, &[(9, &[9])]),
            write.packet(0, 3, &data, &[]),
        ]
        .concat();
        for file in [classic, blocks] {
            let (whole, _, _) = read(&file);
            let (items, error, _) = read(&file[..cut.index(file.len() + 1)]);
            prop_assert_eq!(error, None);
            prop_assert_eq!(&items[..], &whole[..items.len()]);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(mut file in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3) {
        let magic: [&[u8]; 3] = [b"", &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0], &ORDERS[0].section()];
        file.splice(0..0, magic[kind as usize].iter().copied());
        read(&file);
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut file = Vec::new();
    let mut writer = Writer::begin(&mut file, ("us", "a test", "any"), 2048);
    let packets = [
        (
            101_u16,
            1_700_000_000_123_456_789_u64,
            4_u32,
            &b"abcd"[..],
            Some(true),
        ),
        (252, 1_700_000_001_000_000_001, 900, b"cut", Some(false)),
        (101, 1_700_000_002_000_000_000, 1, b"x", None),
    ];
    writer.secrets(&mut file, b"CLIENT_RANDOM 00 11\n");
    for (link, time, original, data, outbound) in packets {
        let packet = Written {
            link,
            time,
            original,
            data,
            outbound,
            comment: "said of it",
        };
        writer.packet(&mut file, &packet);
    }
    writer.statistics(&mut file, 1_700_000_003_000_000_000, 3, 7);
    let (mut reader, mut rest) = (Reader::new(), &file[..]);
    let (mut found, mut keys, mut dropped) = (Vec::new(), Vec::new(), 0);
    while let Some((item, length)) = reader.read(rest).unwrap() {
        match item {
            Item::Packet(packet) => found.push((
                packet.link,
                packet.time.unwrap(),
                packet.original,
                packet.data,
                packet.inbound.map(|inbound| !inbound),
            )),
            Item::Secrets(lines) => keys.extend_from_slice(lines),
            Item::Dropped(count) => dropped = count,
            Item::Nothing => {}
        }
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    assert_eq!(found, packets);
    assert_eq!(keys, b"CLIENT_RANDOM 00 11\n");
    assert_eq!(dropped, 7);
}
