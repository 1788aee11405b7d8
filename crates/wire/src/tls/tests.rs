//! Hellos as they were captured, and bytes that are none.

use proptest::prelude::*;

use super::*;

/// A ClientHello: two versions, one name, two protocols, one share, and a value that is reserved.
fn client_hello() -> Vec<u8> {
    let extension = |kind: u16, value: &[u8]| {
        let length = value.len() as u16;
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    };
    let extensions = [
        extension(0x0a0a, &[]),
        extension(0, b"\0\x08\0\0\x05a.box"),
        extension(16, b"\0\x0c\x02h2\x08http/1.1"),
        extension(43, &[4, 3, 4, 3, 3]),
        extension(51, &[0, 6, 0, 29, 0, 2, 9, 9]),
        extension(42, &[]),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0x13, 1, 0x13, 3, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    body
}

#[test]
fn a_client_hello_says_what_the_client_offers() {
    let hello = ClientHello::read(&client_hello()).unwrap();
    let expected = ClientHello {
        random: [7; 32],
        ciphers: vec![0x1301, 0x1303],
        server_name: Some("a.box".to_owned()),
        alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
        versions: vec![0x304, 0x303],
        shares: vec![29],
        resumes: false,
        early_data: true,
    };
    assert_eq!(hello, expected);
    let old = ClientHello::read(&client_hello()[..43]).unwrap();
    assert_eq!((old.versions, old.server_name), (vec![0x303], None));
}

#[test]
fn a_server_hello_says_what_was_chosen() {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([
        0, 0x13, 2, 0, 0, 14, 0, 43, 0, 2, 3, 4, 0, 51, 0, 4, 0, 29, 0, 0,
    ]);
    let hello = ServerHello::read(&body).unwrap();
    let expected = ServerHello {
        random: [9; 32],
        version: 0x304,
        cipher: 0x1302,
        group: Some(29),
        alpn: None,
        retry: false,
    };
    assert_eq!(hello, expected);
    assert_eq!(
        (version(hello.version), cipher(hello.cipher)),
        ("TLS 1.3".into(), "AES-256-GCM".into())
    );
}

#[test]
fn records_and_messages_are_cut_where_they_end() {
    assert_eq!(Record::read(b"GET /"), None);
    assert_eq!(Record::read(&[22, 3, 1, 0xff, 0xff]), None);
    assert_eq!(Record::read(&[22, 3, 1, 0]), None);
    assert_eq!(handshake(&[20, 0, 0, 2, 1]), None);
    assert_eq!(
        handshake(&[20, 0, 0, 2, 1, 2, 3]),
        Some((20, &[1, 2][..], 6))
    );
    assert_eq!(message(20), "Finished");
    assert_eq!(alert(200), "200");
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (ClientHello::read(&bytes), ServerHello::read(&bytes), Record::read(&bytes));
        let _ = (handshake(&bytes), alpn_of_extensions(&bytes));
    }

    #[test]
    fn a_hello_that_is_cut_or_broken_does_no_harm(at in 0..90_usize, byte: u8, cut in 0..120_usize) {
        let mut body = client_hello();
        if let Some(place) = body.get_mut(at) {
            *place = byte;
        }
        let _ = ClientHello::read(&body[..cut.min(body.len())]);
    }
}
