//! Headers as the specification shows them, and every way to get one wrong.

use super::*;

fn tcp(source: &str, destination: &str) -> Origin {
    Origin::tcp(source.parse().unwrap(), destination.parse().unwrap())
}

/// A version 2 header: command, family, and what follows the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut head = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A".to_vec();
    head.extend([command, family]);
    head.extend((rest.len() as u16).to_be_bytes());
    head.extend(rest);
    head
}

/// It is read only when all of it is there, however it comes, and nothing behind it is touched.
#[track_caller]
fn is_read(head: &[u8], expected: &Origin) {
    let followed = [head, b"PROXY and more\r\n"].concat();
    for end in 0..head.len() {
        assert_eq!(read(&followed[..end]), Ok(None), "{end} bytes");
    }
    for end in head.len()..=followed.len() {
        assert_eq!(
            read(&followed[..end]),
            Ok(Some((expected.clone(), head.len())))
        );
    }
}

#[test]
fn lines_of_the_specification() {
    for (line, source, destination) in [
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            "192.168.0.1:56324",
            "192.168.0.11:443",
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535",
            "255.255.255.255:65535",
        ),
        (
            "PROXY TCP6 ::1 2001:db8::11 1 0\r\n",
            "[::1]:1",
            "[2001:db8::11]:0",
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ),
    ] {
        let origin = tcp(source, destination);
        is_read(line.as_bytes(), &origin);
        assert_eq!(origin.write(Version::V1), line.as_bytes());
    }
}

#[test]
fn an_unknown_origin_in_its_short_and_its_longest_form() {
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), LINE_MAX);
    for line in [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN whatever it is\r\n",
        longest,
    ] {
        is_read(line.as_bytes(), &Origin::Unknown);
    }
    assert_eq!(Origin::Unknown.write(Version::V1), b"PROXY UNKNOWN\r\n");
}

#[test]
fn bytes_of_the_specification() {
    let v4 = [192, 168, 0, 1, 192, 168, 0, 11, 0xdc, 0x04, 0x01, 0xbb];
    let origin = tcp("192.168.0.1:56324", "192.168.0.11:443");
    is_read(&v2(0x21, 0x11, &v4), &origin);
    assert_eq!(origin.write(Version::V2), v2(0x21, 0x11, &v4));

    let mut v6 = [0; 36];
    (v6[15], v6[16], v6[17], v6[31], v6[33], v6[35]) = (1, 0x20, 0x01, 0x11, 7, 9);
    let origin = tcp("[::1]:7", "[2001::11]:9");
    is_read(&v2(0x21, 0x21, &v6), &origin);
    assert_eq!(origin.write(Version::V2), v2(0x21, 0x21, &v6));

    let udp = |family| v2(0x21, family, &v4);
    let Ok(Some((Origin::Net { datagrams, .. }, 28))) = read(&udp(0x12)) else {
        panic!("{:?}", read(&udp(0x12)));
    };
    assert!(datagrams);
    for family in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
        is_read(&udp(family), &Origin::Unknown);
    }
}

#[test]
fn unix_sockets() {
    let mut block = [0; 216];
    block[..8].copy_from_slice(b"/run/cli");
    block[108..116].copy_from_slice(b"\0backend");
    for (family, datagrams) in [(0x31, false), (0x32, true)] {
        let origin = Origin::Unix {
            source: b"/run/cli".to_vec(),
            destination: b"\0backend".to_vec(),
            datagrams,
        };
        is_read(&v2(0x21, family, &block), &origin);
        assert_eq!(origin.write(Version::V2), v2(0x21, family, &block));
        assert_eq!(origin.write(Version::V1), b"PROXY UNKNOWN\r\n");
    }
    let unnamed = Origin::Unix {
        source: Vec::new(),
        destination: vec![b'x'; 108],
        datagrams: false,
    };
    is_read(&unnamed.write(Version::V2), &unnamed);
    let too_long = Origin::Unix {
        source: vec![b'x'; 109],
        destination: Vec::new(),
        datagrams: false,
    };
    assert_eq!(too_long.write(Version::V2), v2(0x20, 0, b""));
}

#[test]
fn what_a_proxy_adds_is_passed_over() {
    let mut block = vec![10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2];
    // PP2_TYPE_AUTHORITY, PP2_TYPE_NOOP, and one that is not registered (section 2.2).
    block.extend(b"\x02\x00\x0bexample.org\x04\x00\x03\0\0\0\xe0\x00\x01x");
    is_read(&v2(0x21, 0x11, &block), &tcp("10.0.0.1:1", "10.0.0.2:2"));
    block.resize(HEAD_MAX - 16, 0);
    is_read(&v2(0x21, 0x11, &block), &tcp("10.0.0.1:1", "10.0.0.2:2"));
    block.push(0);
    assert_eq!(read(&v2(0x21, 0x11, &block)), Err(HeaderError::TooLong));
}

#[test]
fn a_proxy_that_speaks_for_itself() {
    is_read(&v2(0x20, 0x00, b""), &Origin::Unknown);
    // The family of LOCAL is ignored, and the length is not.
    is_read(&v2(0x20, 0xff, b"anything"), &Origin::Unknown);
    assert_eq!(Origin::Unknown.write(Version::V2), v2(0x20, 0, b""));
}

#[test]
fn what_is_no_header_is_refused_at_the_first_byte_that_shows_it() {
    use HeaderError::{Command, Family, Line, Missing, TooLong, TooShort, Version};
    let signature = v2(0x21, 0x11, b"");
    for (head, error) in [
        (&b"G"[..], Missing),
        (b"PROXZ", Missing),
        (b"proxy ", Missing),
        (b"\r\n\r\nX", Missing),
        (&[&signature[..12], &[0x11]].concat(), Version(1)),
        (&[&signature[..12], &[0x31]].concat(), Version(3)),
        (&[&signature[..12], &[0x22]].concat(), Command(2)),
        (&v2(0x21, 0x41, &[0; 300])[..16], Family(0x41)),
        (&v2(0x21, 0x13, &[0; 300])[..16], Family(0x13)),
        (&v2(0x21, 0x11, &[0; 11])[..16], TooShort(11)),
        (&v2(0x21, 0x21, &[0; 35])[..16], TooShort(35)),
        (&v2(0x21, 0x31, &[0; 215])[..16], TooShort(215)),
        (&v2(0x21, 0x11, &[0; 0xffff])[..16], TooLong),
        (b"PROXY UNKNOWN\n", Line("it does not end in \\r\\n")),
        (b"PROXY UNKNOWN\rx", Line("it does not end in \\r\\n")),
        (b"PROXY \r\n", Line("neither TCP4, TCP6 nor UNKNOWN")),
        (
            b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
            Line("neither TCP4, TCP6 nor UNKNOWN"),
        ),
        (
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            Line("neither TCP4, TCP6 nor UNKNOWN"),
        ),
        (b"PROXY \xff\r\n", Line("it is not ASCII")),
    ] {
        assert_eq!(read(head), Err(error), "{}", head.escape_ascii());
    }
    assert_eq!(read(&[b'x'; 200]), Err(Missing));
    let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    assert_eq!(read(&endless[..106]), Ok(None));
    assert_eq!(read(&endless[..107]), Err(TooLong));
    assert_eq!(read(&endless), Err(TooLong));
    // The last byte that could be `\n` is not.
    let cut = [&endless[..106], b"\r"].concat();
    assert_eq!(read(&cut), Err(Line("it does not end in \\r\\n")));
}

#[test]
fn a_line_must_be_exactly_as_it_is_specified() {
    for (rest, what) in [
        ("TCP4", "it has not two addresses and two ports"),
        (
            "TCP4 1.2.3.4 5.6.7.8 1",
            "it has not two addresses and two ports",
        ),
        (
            "TCP4 1.2.3.4 5.6.7.8 1 2 3",
            "it has not two addresses and two ports",
        ),
        (
            "TCP4  1.2.3.4 5.6.7.8 1 2",
            "it has not two addresses and two ports",
        ),
        (
            "TCP4 1.2.3.4 5.6.7.8 1 2 ",
            "it has not two addresses and two ports",
        ),
        ("TCP4 1.2.3.04 5.6.7.8 1 2", "bad address"),
        ("TCP4 1.2.3 5.6.7.8 1 2", "bad address"),
        ("TCP4 ::1 ::1 1 2", "bad address"),
        ("TCP6 1.2.3.4 5.6.7.8 1 2", "bad address"),
        ("TCP6 ::1%lo ::1 1 2", "bad address"),
        ("TCP4 1.2.3.4 5.6.7.8 01 2", "bad port"),
        ("TCP4 1.2.3.4 5.6.7.8 +1 2", "bad port"),
        ("TCP4 1.2.3.4 5.6.7.8 1 65536", "bad port"),
        ("TCP4 1.2.3.4 5.6.7.8  2", "bad port"),
    ] {
        let line = format!("PROXY {rest}\r\n");
        assert_eq!(
            read(line.as_bytes()),
            Err(HeaderError::Line(what)),
            "{rest}"
        );
    }
}

#[test]
fn both_addresses_are_of_one_family() {
    for (source, destination, line) in [
        (
            "[::ffff:10.0.0.1]:1",
            "10.0.0.2:2",
            "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        ),
        (
            "[2001:db8::1]:1",
            "10.0.0.2:2",
            "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.2 1 2\r\n",
        ),
    ] {
        let origin = tcp(source, destination);
        assert_eq!(origin.write(Version::V1), line.as_bytes());
        let again = [Version::V1, Version::V2]
            .map(|version| read(&origin.write(version)).unwrap().unwrap().0);
        assert_eq!(again[0], again[1]);
    }
}
