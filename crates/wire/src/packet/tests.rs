//! Packets made byte by byte, cut at every place, and bytes that are none.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

const CLIENT: [u8; 4] = [10, 77, 0, 1];
const SERVER: [u8; 4] = [10, 77, 0, 2];

/// What another implementation writes: IPv4 and TCP, with options.
fn syn() -> Vec<u8> {
    use etherparse::TcpOptionElement::*;
    let builder = PacketBuilder::ipv4(CLIENT, SERVER, 63)
        .tcp(40000, 7000, 0x0102_0304, 64240)
        .syn()
        .options(&[
            MaximumSegmentSize(1460),
            SelectiveAcknowledgementPermitted,
            Timestamp(17, 4),
            Noop,
            WindowScale(10),
        ])
        .unwrap();
    let mut frame = Vec::new();
    builder.write(&mut frame, b"early").unwrap();
    frame
}

fn framed(before: &[u8]) -> Vec<u8> {
    [before, &syn()].concat()
}

#[test]
fn a_segment_is_the_same_behind_every_link_header() {
    let mut ethernet = [0xaa; 14];
    ethernet[12..].copy_from_slice(&[8, 0]);
    let tags = [&[0xaa; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 8, 0]].concat();
    let pppoe = [
        &[0xaa; 12][..],
        &[0x88, 0x64, 0x11, 0, 0, 1, 0, 60, 0, 0x21],
    ]
    .concat();
    let mut cooked = [0; 16];
    cooked[14] = 8;
    let mut cooked_2 = [0; 20];
    cooked_2[0] = 8;
    let whole = syn();
    let expected = Packet::read(RAW, &whole, whole.len() as u32).unwrap();
    let Body::Tcp(segment) = &expected.body else {
        panic!("{expected:?}");
    };
    assert_eq!(
        (segment.seq, segment.window, segment.length),
        (0x0102_0304, 64240, 5)
    );
    assert_eq!(segment.flags, Flags::SYN);
    assert_eq!(segment.payload, b"early");
    let options = Options {
        mss: Some(1460),
        scale: Some(10),
        sack_permitted: true,
        timestamps: Some((17, 4)),
        ..Options::default()
    };
    assert_eq!(segment.options, options);
    assert_eq!((expected.hops, expected.source), (63, IpAddr::from(CLIENT)));
    for (link, before) in [
        (ETHERNET, &ethernet[..]),
        (ETHERNET, &tags),
        (ETHERNET, &pppoe),
        (LINUX_COOKED, &cooked),
        (LINUX_COOKED_2, &cooked_2),
        (NULL, &[2, 0, 0, 0]),
        (NULL, &[0, 0, 0, 2]),
        (LOOP, &[0, 0, 0, 2]),
        (IPV4, &[]),
        (12, &[]),
    ] {
        let frame = framed(before);
        let packet = Packet::read(link, &frame, frame.len() as u32);
        assert_eq!(packet.as_ref(), Ok(&expected), "{link}");
    }
    let odd = framed(&[0xaa; 14]);
    let unread = [
        (ETHERNET, "no IP, but ethertype 0xaaaa"),
        (127, "link type 127 is not known"),
        (RAW, "a broken IP header"),
    ];
    for (link, said) in unread {
        let error = Packet::read(link, &odd, 100).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
}

#[test]
fn a_cut_segment_keeps_its_length_and_padding_is_no_payload() {
    let frame = syn();
    let kept = &frame[..20 + 24];
    let packet = Packet::read(RAW, kept, frame.len() as u32).unwrap();
    let Body::Tcp(segment) = packet.body else {
        panic!()
    };
    assert_eq!((segment.length, segment.payload), (5, &b""[..]));
    assert_eq!(
        (segment.options.mss, segment.options.scale),
        (Some(1460), None)
    );
    let padded = [&frame[..], &[0; 6]].concat();
    let packet = Packet::read(RAW, &padded, padded.len() as u32).unwrap();
    let Body::Tcp(segment) = packet.body else {
        panic!()
    };
    assert_eq!(segment.payload, b"early");
    let error = Packet::read(RAW, &frame[..39], 90).unwrap_err();
    assert_eq!(error, Unread::Cut("TCP"));
}

#[test]
fn a_length_that_the_card_would_have_filled_in_is_that_of_the_frame() {
    let mut frame = syn();
    frame[2..4].fill(0);
    let packet = Packet::read(RAW, &frame[..60], 60_060).unwrap();
    let Body::Tcp(segment) = packet.body else {
        panic!()
    };
    assert_eq!(segment.length, 60_000);
}

#[test]
fn options_that_are_unknown_are_passed_over_and_broken_ones_end_them() {
    let sack = [5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
    let options = [
        &[253, 4, 1, 2, 34, 2, 30, 3, 0, 1][..],
        &sack,
        &[3, 1, 9],
        &[2, 4],
    ]
    .concat();
    let mut segment = [0; 20];
    segment[12] = (5 + (options.len() as u8).div_ceil(4)) << 4;
    segment[13] = 0x10;
    let segment = [&segment[..], &options, &[0; 3]].concat();
    let read = tcp::read(&segment, segment.len() as u32).unwrap();
    assert_eq!(read.options.sack, [Some((1, 2)), Some((3, 4)), None, None]);
    assert!(read.options.fast_open && read.options.multipath);
    assert_eq!((read.options.scale, read.options.mss), (None, None));
}

#[test]
fn flags_are_named_in_the_order_in_which_people_say_them() {
    let names = |flags: u16| Flags(flags).names().collect::<Vec<_>>().join(" ");
    assert_eq!(names(0x12), "SYN ACK");
    assert_eq!(names(0x19), "FIN PSH ACK");
    assert_eq!(names(0x1c2), "SYN ECE CWR AE");
}

#[test]
fn extension_headers_of_ipv6_are_passed_and_fragments_told() {
    let address = |last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
    let datagram = [0x9c, 0x40, 0x0b, 0xb8, 0, 12, 0, 0, b'f', b'o', b'u', b'r'];
    let packet = |extensions: &[u8], next: u8, inside: &[u8]| {
        let length = (extensions.len() + inside.len()) as u16;
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend([next, 64]);
        bytes.extend(address(1).octets());
        bytes.extend(address(2).octets());
        [&bytes, extensions, inside].concat()
    };
    let options = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    let bytes = packet(&options, 0, &datagram);
    let read = Packet::read(IPV6, &bytes, bytes.len() as u32).unwrap();
    let Body::Udp(found) = &read.body else {
        panic!("{read:?}")
    };
    assert_eq!((found.length, found.payload), (4, &b"four"[..]));
    assert_eq!(read.source, IpAddr::from(address(1)));
    for (word, fragment) in [
        (
            [0, 1],
            Fragment {
                offset: 0,
                more: true,
            },
        ),
        (
            [0, 8],
            Fragment {
                offset: 8,
                more: false,
            },
        ),
    ] {
        let header = [17, 0, word[0], word[1], 0, 0, 1, 2];
        let bytes = packet(&header, 44, &datagram);
        let read = Packet::read(RAW, &bytes, bytes.len() as u32).unwrap();
        assert_eq!((read.fragment, read.id), (Some(fragment), Some(0x102)));
        let Body::Part { protocol, payload } = read.body else {
            panic!("{read:?}");
        };
        assert_eq!((protocol, payload), (17, &datagram[..]));
    }
}

#[test]
fn errors_name_the_datagram_that_they_are_about() {
    let mut datagram = Vec::new();
    let builder = PacketBuilder::ipv4(CLIENT, SERVER, 64).udp(40000, 7000);
    builder.write(&mut datagram, b"anybody?").unwrap();
    let mut answer = Vec::new();
    let icmp = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &datagram].concat();
    let builder = PacketBuilder::ipv4(SERVER, CLIENT, 64);
    builder
        .write(&mut answer, etherparse::ip_number::ICMP, &icmp)
        .unwrap();
    let packet = Packet::read(RAW, &answer, answer.len() as u32).unwrap();
    let expected = IcmpError {
        why: Unreachable::Port,
        protocol: 17,
        source: (CLIENT, 40000).into(),
        destination: (SERVER, 7000).into(),
    };
    assert_eq!(packet.body, Body::Icmp(expected));
    answer[20] = 8;
    let packet = Packet::read(RAW, &answer, answer.len() as u32).unwrap();
    assert_eq!(packet.body, Body::Other(1), "an echo is no error");
}

#[test]
fn an_exported_pdu_says_whose_bytes_they_are() {
    let tags = [
        &[0, 12, 0, 3][..],
        b"tls",
        &[0, 20, 0, 4, 10, 0, 0, 1],
        &[0, 21, 0, 4, 10, 0, 0, 2],
        &[0, 25, 0, 4, 0, 0, 0x9c, 0x40],
        &[0, 26, 0, 4, 0, 0, 1, 0xbb],
        &[0, 0, 0, 0],
        b"bytes",
    ]
    .concat();
    let packet = Packet::read(UPPER_PDU, &tags, tags.len() as u32).unwrap();
    assert_eq!(packet.destination.to_string(), "10.0.0.2");
    let expected = Body::Stream {
        source: 40000,
        destination: 443,
        payload: b"bytes",
    };
    assert_eq!(packet.body, expected);
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(
        link in prop::sample::select(vec![0, 1, 101, 108, 113, 228, 229, 252, 276]),
        bytes in prop::collection::vec(any::<u8>(), 0..160),
        original: u32,
    ) {
        let _ = Packet::read(link, &bytes, original);
    }

    #[test]
    fn a_broken_byte_or_a_cut_does_no_harm(
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = syn();
        let at = at.index(frame.len());
        frame[at] = byte;
        let kept = &frame[..cut.index(frame.len() + 1)];
        if let Ok(packet) = Packet::read(RAW, kept, frame.len() as u32)
            && let Body::Tcp(segment) = packet.body
        {
            prop_assert!(segment.payload.len() <= segment.length as usize);
        }
    }
}

#[test]
fn headers_that_are_made_anew_say_whose_the_bytes_are() {
    let ends = [
        ("10.0.0.1:40000", "10.0.0.2:443"),
        ("[2001:db8::1]:40000", "[2001:db8::2]:443"),
        ("[::ffff:10.0.0.1]:40000", "10.0.0.2:443"),
    ];
    for (from, to) in ends {
        let [from, to]: [std::net::SocketAddr; 2] = [from, to].map(|end| end.parse().unwrap());
        let bytes = datagram(from, to, b"hello").unwrap();
        let packet = Packet::read(RAW, &bytes, bytes.len() as u32).unwrap();
        assert_eq!(packet.source, from.ip().to_canonical());
        assert_eq!(packet.destination, to.ip());
        let Body::Udp(read) = packet.body else {
            panic!("{:?}", packet.body)
        };
        assert_eq!(
            (read.source, read.destination, read.payload),
            (40000, 443, &b"hello"[..])
        );
        let mut again = bytes.clone();
        assert!(finish_checksum(&mut again));
        assert_eq!(again, bytes, "its checksum is finished");
        let bytes = stream_bytes(from, to, "tls", b"hello");
        let packet = Packet::read(UPPER_PDU, &bytes, bytes.len() as u32).unwrap();
        assert_eq!(packet.destination, to.ip());
        let stream = Body::Stream {
            source: 40000,
            destination: 443,
            payload: b"hello",
        };
        assert_eq!(packet.body, stream);
    }
    let [v4, v6]: [std::net::SocketAddr; 2] =
        ["10.0.0.1:1", "[::1]:1"].map(|end| end.parse().unwrap());
    assert_eq!(datagram(v4, v6, b""), None, "no packet has two families");
    assert_eq!(
        datagram(v4, v4, &[0; 65_508]),
        None,
        "longer than IP can say"
    );
}
