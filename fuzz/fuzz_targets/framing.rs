//! Framings: it does not matter how a stream arrives, and what is wrapped is cut again.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::{pick, pieces};
use wire::framing::{Cutter, FrameError, Framing};

/// Nine bytes, then the stream.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    framing: u8,
    limit: u8,
    sizes: [u8; 4],
    delimiter: [u8; 3],
    stream: &'a [u8],
}

/// `until` stands for one whose delimiter is in the input.
const FRAMINGS: &[&str] = &[
    "raw",
    "line",
    "fixed:1",
    "fixed:5",
    "length:u8",
    "length:u16be",
    "length:u16le",
    "length:u32be",
    "length:u32le",
    "length:varint",
    "idle:50ms",
    "until:1",
    "until:2",
    "until:3",
];

fuzz_target!(|input: Input<'_>| {
    let framing = match pick(FRAMINGS, input.framing) {
        "until:1" => Framing::Until(Bytes::copy_from_slice(&input.delimiter[..1])),
        "until:2" => Framing::Until(Bytes::copy_from_slice(&input.delimiter[..2])),
        "until:3" => Framing::Until(Bytes::copy_from_slice(&input.delimiter)),
        name => name.parse().expect("a known framing"),
    };
    assert_eq!(framing.to_string().parse(), Ok(framing.clone()));

    arrives_anyhow(&framing, &input);
    is_cut_as_wrapped(&framing, &input);
    if let Ok(text) = str::from_utf8(input.stream) {
        is_read_or_refused(text);
    }
});

/// Every message of a stream that arrives in pieces, then what ended it.
fn cut_all<'a>(
    framing: &Framing,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Bytes>, Option<FrameError>) {
    let mut cutter = Cutter::new(framing.clone(), limit);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    let error = 'stream: {
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match cutter.cut(&mut buffer) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => break 'stream error,
                }
            }
        }
        loop {
            match cutter.finish(&mut buffer) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => {
                    assert!(buffer.is_empty(), "{} bytes are lost", buffer.len());
                    return (messages, None);
                }
                Err(error) => break 'stream error,
            }
        }
    };
    let left = buffer.clone();
    assert_eq!(
        cutter.finish(&mut buffer),
        Err(error.clone()),
        "an error is final"
    );
    assert_eq!(buffer, left, "an error leaves the buffer as it is");
    (messages, Some(error))
}

fn arrives_anyhow(framing: &Framing, input: &Input<'_>) {
    let limit = usize::from(input.limit).max(1);
    let (whole, end) = cut_all(framing, limit, [input.stream]);
    let (parts, end_of_parts) = cut_all(framing, limit, pieces(input.stream, input.sizes));
    assert!(
        whole
            .iter()
            .chain(&parts)
            .all(|message| message.len() <= limit)
    );
    if matches!(framing, Framing::Raw | Framing::Idle(_)) {
        assert_eq!((whole.concat(), end), (input.stream.to_vec(), None));
        assert_eq!(
            (parts.concat(), end_of_parts),
            (input.stream.to_vec(), None)
        );
    } else {
        assert_eq!((parts, end_of_parts), (whole, end));
    }
}

fn is_cut_as_wrapped(framing: &Framing, input: &Input<'_>) {
    let mut stream = Vec::new();
    let mut messages = Vec::new();
    for message in pieces(input.stream, input.sizes) {
        let Ok(wrapper) = framing.wrap(message) else {
            assert!(
                !can_carry(framing, message),
                "{framing} refused {message:?}"
            );
            continue;
        };
        if can_carry(framing, message) {
            stream.extend_from_slice(wrapper.head());
            stream.extend_from_slice(message);
            stream.extend_from_slice(wrapper.tail());
            messages.push(message);
        }
    }
    let limit = messages
        .iter()
        .map(|message| message.len())
        .max()
        .unwrap_or(u8::MAX.into());
    let (cut, error) = cut_all(framing, limit, pieces(&stream, input.sizes));
    assert_eq!(error, None);
    if matches!(framing, Framing::Raw | Framing::Idle(_)) {
        assert_eq!(cut.concat(), messages.concat());
    } else {
        assert_eq!(cut, messages);
    }
}

/// Whether a message of at most 255 bytes arrives as it was sent: marks inside it are not escaped.
fn can_carry(framing: &Framing, message: &[u8]) -> bool {
    match framing {
        Framing::Line => !message.contains(&b'\n') && !message.ends_with(b"\r"),
        Framing::Fixed(size) => message.len() == size.get(),
        Framing::Until(delimiter) => {
            let marked = [message, delimiter].concat();
            let first = marked
                .windows(delimiter.len())
                .position(|part| part == delimiter);
            first == Some(message.len())
        }
        _ => true,
    }
}

fn is_read_or_refused(text: &str) {
    match text.parse::<Framing>() {
        Ok(framing) => assert_eq!(framing.to_string().parse(), Ok(framing)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
