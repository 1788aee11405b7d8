//! Frames read back as they were written, and damage is found.

use super::*;

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

fn frames() -> Vec<Frame> {
    let text = || "why".to_owned();
    let entry = Entry {
        index: 7,
        path: path("a/文.txt"),
        is_folder: false,
        is_sparse: true,
        size: Some(1 << 40),
        modified: Some((-1, 999_999_999)),
        mode: Some(0o644),
        hash: None,
    };
    let known = Entry {
        hash: Some([4; 32]),
        ..entry.clone()
    };
    let folder = Entry {
        is_folder: true,
        is_sparse: false,
        size: None,
        modified: None,
        mode: None,
        ..entry.clone()
    };
    vec![
        Frame::Hello(Hello {
            version: crate::transfer::VERSION,
            role: Role::Push,
            id: [3; 16],
            path: b"/secret/a".to_vec(),
        }),
        Frame::Hello(Hello {
            version: 200,
            role: Role::Pull,
            id: [0; 16],
            path: Vec::new(),
        }),
        Frame::Welcome { version: 1 },
        Frame::Entry(entry),
        Frame::Entry(known),
        Frame::Entry(folder),
        Frame::Answer {
            index: 1,
            answer: Answer::Want {
                from: 9,
                proof: [8; 32],
            },
        },
        Frame::Answer {
            index: 1,
            answer: Answer::Here,
        },
        Frame::Answer {
            index: u32::MAX,
            answer: Answer::Refused {
                reason: Reason::Exists,
                text: text(),
            },
        },
        Frame::File {
            index: 2,
            from: u64::MAX,
        },
        Frame::Hole(1 << 33),
        Frame::Proof([5; 32]),
        Frame::End {
            size: 77,
            hash: [6; 32],
        },
        Frame::Gone {
            index: 3,
            text: text(),
        },
        Frame::Note {
            index: 3,
            text: text(),
        },
        Frame::Receipt {
            index: 4,
            outcome: Outcome::Landed(path("x (1).txt")),
        },
        Frame::Receipt {
            index: 4,
            outcome: Outcome::Failed {
                reason: Reason::NoRoom,
                text: text(),
            },
        },
        Frame::Done,
        Frame::Bye,
        Frame::Error {
            reason: Reason::Replaced,
            text: text(),
        },
        Frame::Lot {
            files: vec![(1, 0), (2, 4096), (u32::MAX, 1)],
            hash: [9; 32],
        },
    ]
}

#[test]
fn frames_read_back_as_they_were_written() {
    for frame in frames() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        let length = bytes.len();
        for cut in 0..length {
            assert_eq!(
                decode(&bytes[..cut]),
                Ok(Step::NeedMore),
                "{frame:?}, {cut}"
            );
        }
        bytes.extend_from_slice(b"what follows");
        assert_eq!(decode(&bytes), Ok(Step::Frame { frame, length }));
    }
}

#[test]
fn a_flipped_bit_is_never_another_frame() {
    for frame in frames() {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            match decode(&bytes) {
                Err(FrameFault::Damaged) => {}
                step => panic!("{frame:?} became {step:?} by bit {bit}"),
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn what_is_declared_is_bounded() {
    assert_eq!(decode(&encode_data(0)), Err(FrameFault::TooLong(0)));
    let data = encode_data(MAX_DATA);
    assert_eq!(
        decode(&data),
        Ok(Step::Data {
            skip: HEAD,
            length: MAX_DATA
        })
    );
    let too_long = encode_data(MAX_DATA + 1);
    assert_eq!(decode(&too_long), Err(FrameFault::TooLong(MAX_DATA + 1)));
    assert_eq!(
        decode(&head(1, 0xff_ffff)),
        Err(FrameFault::TooLong(0xff_ffff))
    );
    let mut long = Vec::new();
    let text = "é".repeat(MAX_TEXT);
    let reason = Reason::Other;
    encode(&Frame::Error { reason, text }, &mut long);
    let Ok(Step::Frame { frame, .. }) = decode(&long) else {
        panic!("{:?}", decode(&long));
    };
    assert!(matches!(frame, Frame::Error { text, .. } if text.len() == MAX_TEXT));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sealed = |kind: u8, said: &[u8]| {
        let mut bytes = head(kind, said.len()).to_vec();
        bytes.extend_from_slice(said);
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        decode(&bytes)
    };
    assert_eq!(sealed(99, b""), Err(FrameFault::Unknown(99)));
    assert_eq!(sealed(11, b"more"), Err(FrameFault::Nonsense(11)));
    assert_eq!(sealed(6, b"short"), Err(FrameFault::Nonsense(6)));
    let entry = b"\0\0\0\x01\0\0\x09../secret";
    assert_eq!(sealed(3, entry), Err(FrameFault::Nonsense(3)));
    let lot = |files: &[u8]| sealed(15, &[&[0; 32], files].concat());
    assert_eq!(lot(b""), Err(FrameFault::Nonsense(15)), "no file");
    assert_eq!(lot(b"\0\0\0\x01\0\0\0"), Err(FrameFault::Nonsense(15)));
    let long = b"\0\0\0\x01\0\0\xff\xff\0\0\0\x02\0\0\0\x02";
    assert_eq!(lot(long), Err(FrameFault::Nonsense(15)), "64 KiB and one");
    let many = [0; 8].repeat(LOT_FILES + 1);
    assert_eq!(lot(&many), Err(FrameFault::Nonsense(15)));
    assert!(matches!(lot(&many[8..]), Ok(Step::Frame { .. })));
    assert!(matches!(
        sealed(0x90, b"of a later version"),
        Ok(Step::Frame {
            frame: Frame::Later,
            ..
        })
    ));
}

/// The seed of the fuzzer that no fuzzer finds by itself: frames with checks that are right.
#[test]
fn the_seed_of_the_fuzzer_is_what_frames_are_now() {
    let mut bytes = Vec::new();
    frames().iter().for_each(|frame| encode(frame, &mut bytes));
    let seed = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/transfer/frames"
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(seed, &bytes).unwrap();
    }
    assert_eq!(std::fs::read(seed).unwrap(), bytes);
}
