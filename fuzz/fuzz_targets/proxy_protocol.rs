//! PROXY headers: a verdict stands for every longer head, and what is read is written and read back equal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::proxy_protocol::{HEAD_MAX, LINE_MAX, Origin, Version, read};

fuzz_target!(|head: &[u8]| {
    let whole = read(head);
    stands(head, &whole);
    if let Ok(Some((origin, length))) = whole {
        assert!(length <= head.len().min(HEAD_MAX));
        if head.starts_with(b"PROXY ") {
            assert!(length <= LINE_MAX && head[..length].ends_with(b"\r\n"));
        }
        is_written(&origin);
    }
});

/// No verdict before the last byte of a header, and none that later bytes change.
fn stands(head: &[u8], whole: &Result<Option<(Origin, usize)>, wire::proxy_protocol::HeaderError>) {
    for end in 0..head.len() {
        let early = read(&head[..end]);
        match (&early, whole) {
            (Ok(None), _) => {}
            (Ok(Some((_, length))), _) => {
                assert!(*length <= end);
                assert_eq!(&early, whole);
            }
            (Err(_), _) => assert_eq!(&early, whole),
        }
    }
    if head.len() >= HEAD_MAX {
        assert_ne!(whole, &Ok(None));
    }
}

fn is_written(origin: &Origin) {
    assert!(!origin.to_string().contains(char::is_control));
    for version in [Version::V1, Version::V2] {
        let head = origin.write(version);
        assert!(head.len() <= 232);
        let (again, length) = read(&head).expect("our own").expect("all of it");
        assert_eq!(length, head.len());
        match (origin, version) {
            (
                Origin::Net {
                    datagrams: false, ..
                },
                _,
            )
            | (_, Version::V2) => assert_eq!(
                again.to_string(),
                canonical(origin).to_string(),
                "{version:?}"
            ),
            _ => assert_eq!(again, Origin::Unknown),
        }
    }
}

/// As it is written: one family for both addresses, IPv4 where both are.
fn canonical(origin: &Origin) -> Origin {
    let Origin::Net {
        source,
        destination,
        datagrams,
    } = origin
    else {
        return origin.clone();
    };
    let (mut source, mut destination) = (*source, *destination);
    if source.ip().to_canonical().is_ipv4() && destination.ip().to_canonical().is_ipv4() {
        source.set_ip(source.ip().to_canonical());
        destination.set_ip(destination.ip().to_canonical());
    }
    Origin::Net {
        source,
        destination,
        datagrams: *datagrams,
    }
}
