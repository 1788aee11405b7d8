//! The codec, byte by byte, and against another one.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::deflate::{Direction, Parameters};
use super::*;

const LIMIT: usize = 1000;

fn key() -> [u8; 4] {
    [0x37, 0xfa, 0x21, 0x3d]
}

fn hex(text: &str) -> Vec<u8> {
    crate::hex::parse(text).unwrap()
}

fn text(data: &'static str) -> Event {
    Event::Message {
        kind: Kind::Text,
        data: data.into(),
    }
}

fn binary(data: impl Into<Bytes>) -> Event {
    Event::Message {
        kind: Kind::Binary,
        data: data.into(),
    }
}

/// All events of a stream that comes in `pieces`, and how it broke.
fn decode_all<'a>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Violation>) {
    let mut head = BytesMut::new();
    let mut events = Vec::new();
    for piece in pieces {
        head.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut head) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(
                        decoder.decode(&mut head),
                        Ok(None),
                        "an error is the last word"
                    );
                    return (events, Some(violation));
                }
            }
        }
        assert!(
            !head.is_empty() || head.capacity() == 0,
            "an idle decoder holds no buffer"
        );
    }
    (events, None)
}

fn server() -> Decoder {
    Decoder::new(Role::Server, LIMIT, None)
}

fn client() -> Decoder {
    Decoder::new(Role::Client, LIMIT, None)
}

fn deflating() -> Decoder {
    Decoder::new(Role::Client, LIMIT, Some(&Parameters::FULL))
}

#[test]
fn examples_of_rfc_6455_section_5_7() {
    for (bytes, decoder, events) in [
        ("81 05 48 65 6c 6c 6f", client(), vec![text("Hello")]),
        (
            "81 85 37 fa 21 3d 7f 9f 4d 51 58",
            server(),
            vec![text("Hello")],
        ),
        ("01 03 48 65 6c 80 02 6c 6f", client(), vec![text("Hello")]),
        (
            "89 05 48 65 6c 6c 6f 8a 85 37 fa 21 3d 7f 9f 4d 51 58",
            client(),
            vec![Event::Ping("Hello".into())],
        ),
        (
            "8a 85 37 fa 21 3d 7f 9f 4d 51 58",
            server(),
            vec![Event::Pong("Hello".into())],
        ),
    ] {
        assert_eq!(decode_all(decoder, [&hex(bytes)[..]]).0, events, "{bytes}");
    }
    let long = [hex("82 7e 01 00"), vec![7; 256]].concat();
    assert_eq!(
        decode_all(client(), [&long[..]]),
        (vec![binary(vec![7; 256])], None)
    );
    let longer = [hex("82 7f 00 00 00 00 00 01 00 00"), vec![7; 65536]].concat();
    let decoder = Decoder::new(Role::Client, 65536, None);
    assert_eq!(
        decode_all(decoder, [&longer[..]]),
        (vec![binary(vec![7; 65536])], None)
    );
}

#[test]
fn examples_of_rfc_7692_section_7_2_3() {
    for (name, bytes, hellos) in [
        ("one frame", "c1 07 f2 48 cd c9 c9 07 00", 1),
        ("fragments", "41 03 f2 48 cd 80 04 c9 c9 07 00", 1),
        (
            "takeover",
            "c1 07 f2 48 cd c9 c9 07 00 c1 05 f2 00 11 00 00",
            2,
        ),
        (
            "no compression",
            "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00",
            1,
        ),
        ("a final block", "c1 08 f3 48 cd c9 c9 07 00 00", 1),
        (
            "a final block, then another message",
            "c1 08 f3 48 cd c9 c9 07 00 00 c1 07 f2 48 cd c9 c9 07 00",
            2,
        ),
        (
            "two blocks",
            "c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00",
            1,
        ),
    ] {
        let events = vec![text("Hello"); hellos];
        assert_eq!(
            decode_all(deflating(), [&hex(bytes)[..]]),
            (events, None),
            "{name}"
        );
    }
    let empty = decode_all(deflating(), [&hex("c1 01 00 c1 01 00 81 00")[..]]);
    assert_eq!(empty, (vec![text(""); 3], None));
}

/// Who decodes a row of a table.
type Who = fn() -> Decoder;

/// What is wrong, how many of its bytes are enough to tell, and the code to answer with.
#[test]
fn what_is_wrong_is_told_at_the_byte_that_is() {
    use Violation::*;
    let not_utf8 = |offset, bytes: &str| NotUtf8 {
        place: Place::Message,
        offset,
        bytes: hex(bytes),
    };
    let not_a_reason = NotUtf8 {
        place: Place::CloseReason,
        offset: 1,
        bytes: vec![0xff],
    };
    let too_long = TooLong { limit: LIMIT };
    let table: [(&str, Who, usize, Violation, u16); 34] = [
        ("a1 00", client, 1, ReservedBit(2), 1002),
        ("91 00", client, 1, ReservedBit(3), 1002),
        ("c1 00", client, 2, ReservedBit(1), 1002),
        ("c9 00", deflating, 1, ReservedBit(1), 1002),
        ("41 00 c0 00", deflating, 4, ReservedBit(1), 1002),
        ("83 00", client, 1, ReservedOpcode(3), 1002),
        ("8b 00", client, 1, ReservedOpcode(11), 1002),
        ("09 00", client, 1, FragmentedControl(Opcode::Ping), 1002),
        ("8a 7e 00 7e", client, 2, LongControl(Opcode::Pong), 1002),
        ("88 ff", server, 2, LongControl(Opcode::Close), 1002),
        ("82 7e 00 7d 00", client, 4, BadLength, 1002),
        (
            "82 7f 00 00 00 00 00 00 ff ff 00",
            client,
            10,
            BadLength,
            1002,
        ),
        (
            "82 7f 80 00 00 00 00 01 00 00 00",
            client,
            10,
            BadLength,
            1002,
        ),
        ("81 00", server, 2, NotMasked, 1002),
        ("81 80 00 00 00 00 00", client, 6, Masked, 1002),
        ("80 00", client, 2, NothingToContinue, 1002),
        ("01 00 89 00 82 00", client, 6, NotContinued, 1002),
        ("88 01 03", client, 3, HalfCloseCode, 1002),
        ("88 02 03 ed", client, 4, BadCloseCode(1005), 1002),
        ("88 04 03 e8 41 ff", client, 6, not_a_reason, 1007),
        ("81 05 61 62 ff 63 64", client, 5, not_utf8(2, "ff"), 1007),
        // Overlong, a surrogate, and beyond U+10FFFF: told at their second byte.
        ("81 02 c0 af", client, 3, not_utf8(0, "c0"), 1007),
        ("81 03 e0 9f bf", client, 4, not_utf8(0, "e0"), 1007),
        ("81 04 61 ed a0 80", client, 5, not_utf8(1, "ed"), 1007),
        ("81 04 f4 90 80 80", client, 4, not_utf8(0, "f4"), 1007),
        ("81 04 e2 82 28 61", client, 5, not_utf8(0, "e2 82"), 1007),
        ("81 02 61 e2", client, 4, not_utf8(1, "e2"), 1007),
        (
            "01 02 61 e2 00 00 80 01 28",
            client,
            9,
            not_utf8(1, "e2"),
            1007,
        ),
        (
            "81 82 00 00 00 00 c3 28",
            server,
            8,
            not_utf8(0, "c3"),
            1007,
        ),
        (
            "c1 08 00 02 00 fd ff ff 41 00",
            deflating,
            8,
            not_utf8(0, "ff"),
            1007,
        ),
        ("c1 03 07 00 00", deflating, 3, Damaged, 1007),
        ("82 7e 03 e9 00", client, 4, too_long.clone(), 1009),
        (
            "82 7f 7f ff ff ff ff ff ff ff 00",
            client,
            10,
            too_long.clone(),
            1009,
        ),
        (
            "c2 7f 7f ff ff ff ff ff ff ff 00",
            deflating,
            10,
            too_long,
            1009,
        ),
    ];
    for (bytes, decoder, enough, violation, code) in table {
        assert_eq!(violation.code(), code, "{bytes}");
        let bytes = hex(bytes);
        for end in 0..=bytes.len() {
            let expected = (end >= enough).then_some(&violation);
            let (_, found) = decode_all(decoder(), [&bytes[..end]]);
            assert_eq!(found.as_ref(), expected, "{end} bytes of {bytes:02x?}");
            let (_, found) = decode_all(decoder(), bytes[..end].chunks(1));
            assert_eq!(
                found.as_ref(),
                expected,
                "{end} bytes of {bytes:02x?}, one by one"
            );
        }
    }
}

#[test]
fn a_violation_is_one_line_that_shows_offset_and_bytes() {
    let (_, found) = decode_all(client(), [&hex("81 06 61 62 63 e2 82 28")[..]]);
    assert_eq!(
        found.unwrap().to_string(),
        "a text message is not UTF-8: byte 3 is e2 82"
    );
    let (_, found) = decode_all(client(), [&hex("88 01 00")[..]]);
    assert_eq!(
        found.unwrap().to_string(),
        "a close frame has one byte, a code has two"
    );
}

#[test]
fn the_limit_counts_the_whole_message() {
    let part = |first: &str, length: usize| [hex(first), vec![1; length]].concat();
    let fits = [part("02 7e 01 f4", 500), part("80 7e 01 f4", 500)].concat();
    assert_eq!(
        decode_all(client(), [&fits[..]]),
        (vec![binary(vec![1; 1000])], None)
    );
    let exceeds = [part("02 7e 01 f4", 500), hex("00 00 80 7e 01 f5")].concat();
    let (_, found) = decode_all(client(), [&exceeds[..]]);
    assert_eq!(found, Some(Violation::TooLong { limit: LIMIT }));

    for (length, is_taken) in [(LIMIT, true), (LIMIT + 1, false)] {
        let mut out = Vec::new();
        let data = vec![b'x'; length];
        Encoder::server(Some(&Parameters::FULL)).message(Kind::Text, &data, &mut out);
        assert!(out.len() < 100, "{}", out.len());
        let (events, found) = decode_all(deflating(), out.chunks(3));
        assert_eq!(
            (events.len(), found.is_none()),
            if is_taken { (1, true) } else { (0, false) }
        );
    }
}

/// What is announced costs nothing, and a bomb no more than the limit.
#[test]
fn memory_grows_with_what_has_come() {
    let mut decoder = Decoder::new(Role::Client, 1 << 30, Some(&Parameters::FULL));
    let mut head = BytesMut::from(&hex("02 7f 00 00 00 00 30 00 00 00 01")[..]);
    assert_eq!(decoder.decode(&mut head), Ok(None));
    assert_eq!(
        (head.capacity(), decoder.gathered_capacity().unwrap() < 100),
        (0, true)
    );

    let limit = 1 << 20;
    let mut bomb = Vec::new();
    Encoder::server(Some(&Parameters::FULL)).message(Kind::Binary, &vec![0; 64 << 20], &mut bomb);
    let mut decoder = Decoder::new(Role::Client, limit, Some(&Parameters::FULL));
    let mut head = BytesMut::new();
    let mut most = 0;
    let exploded = bomb.chunks(1000).find_map(|piece| {
        head.extend_from_slice(piece);
        let decoded = decoder.decode(&mut head);
        most = most.max(decoder.gathered_capacity().unwrap_or(0));
        decoded.err()
    });
    assert_eq!(exploded, Some(Violation::TooLong { limit }));
    assert!(most <= limit + 1, "{most}");
}

#[test]
fn an_idle_connection_holds_little() {
    let state = size_of::<Decoder>() + size_of::<Encoder>();
    assert!(state <= 120, "{state} bytes");
}

#[test]
fn the_last_message_in_the_buffer_is_not_copied() {
    let mut head = BytesMut::from(&hex("82 81 00 00 00 00 07 82 82 00 00 00 00 08 09")[..]);
    let place = head.as_ptr() as usize;
    let mut decoder = server();
    for (offset, length) in [(6, 1), (13, 2)] {
        let Ok(Some(Event::Message { data, .. })) = decoder.decode(&mut head) else {
            panic!("a message");
        };
        assert_eq!(
            (data.as_ptr() as usize - place, data.len()),
            (offset, length)
        );
    }
}

#[test]
fn what_follows_a_close_is_thrown_away() {
    let bytes = hex("82 01 07 88 05 03 e8 62 79 65 82 01 08 83");
    let close = Close::new(1000, "bye");
    let (events, found) = decode_all(client(), bytes.chunks(1));
    assert_eq!(events, [binary(vec![7]), Event::Close(Some(close))]);
    assert_eq!(found, None);
    assert_eq!(
        decode_all(client(), [&hex("88 00")[..]]).0,
        [Event::Close(None)]
    );
}

#[test]
fn an_end_inside_a_message_is_known() {
    for (bytes, inside) in [
        ("", false),
        ("82 01 07", false),
        ("82", true),
        ("82 01", true),
        ("02 00", true),
        ("02 00 89 00", true),
        ("02 00 80 00", false),
        ("88 00", false),
    ] {
        let mut head = BytesMut::from(&hex(bytes)[..]);
        let mut decoder = client();
        while let Ok(Some(_)) = decoder.decode(&mut head) {}
        assert_eq!(decoder.is_inside_message(&head), inside, "{bytes}");
    }
}

fn parameters() -> impl Strategy<Value = Option<Parameters>> {
    let direction = || {
        (any::<bool>(), 8u8..=15).prop_map(|(takeover, window_bits)| Direction {
            takeover,
            window_bits,
        })
    };
    let parameters =
        (direction(), direction()).prop_map(|(server, client)| Parameters { server, client });
    prop::option::of(parameters)
}

fn messages() -> impl Strategy<Value = Vec<Event>> {
    let text = "\\PC{0,300}|(ab){100,400}".prop_map(|text| Event::Message {
        kind: Kind::Text,
        data: text.into(),
    });
    let data = prop::collection::vec(any::<u8>(), 0..1000).prop_map(binary);
    let control = prop::collection::vec(any::<u8>(), 0..=MAX_CONTROL);
    let event = prop_oneof![
        4 => text,
        4 => data,
        1 => control.clone().prop_map(|payload| Event::Ping(payload.into())),
        1 => control.prop_map(|payload| Event::Pong(payload.into())),
    ];
    prop::collection::vec(event, 0..12)
}

fn encode_all(encoder: &mut Encoder, events: &[Event]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        match event {
            Event::Message { kind, data } => encoder.message(*kind, data, &mut out),
            Event::Ping(payload) => encoder.ping(payload, &mut out),
            Event::Pong(payload) => encoder.pong(payload, &mut out),
            Event::Close(close) => encoder.close(close.as_ref(), &mut out),
        }
    }
    out
}

/// Who receives, and frames that are mostly right.
fn traffic() -> impl Strategy<Value = (Role, Vec<u8>)> {
    any::<bool>().prop_flat_map(|to_server| {
        let role = if to_server {
            Role::Server
        } else {
            Role::Client
        };
        prop::collection::vec(frame(to_server), 0..8)
            .prop_map(move |frames| (role, frames.concat()))
    })
}

/// Masked as it should be, but for one in twenty.
fn frame(to_server: bool) -> impl Strategy<Value = Vec<u8>> {
    let opcodes = prop::sample::select(vec![0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x89, 0x8a, 0x88]);
    let first = prop_oneof![12 => opcodes, 1 => any::<u8>()];
    let payload = prop_oneof![
        6 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..140),
        1 => Just(b"\x03\xe8bye".to_vec()),
    ];
    (first, payload, 0u8..20).prop_map(move |(first, payload, spoil)| {
        let masked = to_server != (spoil == 0);
        let mut frame = Vec::new();
        let header = Header {
            fin: true,
            compressed: false,
            opcode: Opcode::Text,
            mask: masked.then(key),
            length: payload.len() as u64,
        };
        header.write(&mut frame);
        frame[0] = first;
        frame[1] ^= u8::from(spoil == 1);
        let begin = frame.len();
        frame.extend_from_slice(&payload);
        if masked {
            mask(&mut frame[begin..], key(), 0);
        }
        frame
    })
}

/// What the other codec makes of the same bytes, up to what it does not like.
fn of_tungstenite(role: Role, bytes: &[u8]) -> (Vec<Event>, bool) {
    use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
    use tungstenite::{Error, Message};
    struct Recording<'a>(&'a [u8]);
    impl Read for Recording<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }
    impl Write for Recording<'_> {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let role = match role {
        Role::Server => TheirRole::Server,
        Role::Client => TheirRole::Client,
    };
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT));
    let mut socket = WebSocket::from_raw_socket(Recording(bytes), role, Some(config));
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Message {
                kind: Kind::Text,
                data: Bytes::copy_from_slice(text.as_bytes()),
            },
            Ok(Message::Binary(data)) => binary(data),
            Ok(Message::Ping(payload)) => Event::Ping(payload),
            Ok(Message::Pong(payload)) => Event::Pong(payload),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| Close::new(close.code.into(), close.reason.as_str()));
                events.push(Event::Close(close));
                return (events, false);
            }
            Ok(Message::Frame(_)) => unreachable!("only written"),
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => {
                return (events, false);
            }
            Err(_) => return (events, true),
        });
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        events in messages(),
        deflate in parameters(),
        is_client: bool,
        size in 1usize..400,
    ) {
        let (mut encoder, role) = if is_client {
            (Encoder::client(deflate.as_ref(), key), Role::Server)
        } else {
            (Encoder::server(deflate.as_ref()), Role::Client)
        };
        let out = encode_all(&mut encoder, &events);
        let decoder = Decoder::new(role, 10_000, deflate.as_ref());
        let (decoded, violation) = decode_all(decoder, out.chunks(size));
        prop_assert_eq!(violation, None);
        prop_assert_eq!(decoded, events);
    }

    #[test]
    fn it_makes_no_difference_how_the_bytes_arrive(
        (role, bytes) in traffic(),
        deflate in parameters(),
        size in 1usize..50,
    ) {
        let decoder = || Decoder::new(role, LIMIT, deflate.as_ref());
        let whole = decode_all(decoder(), [&bytes[..]]);
        prop_assert_eq!(decode_all(decoder(), bytes.chunks(size)), whole);
    }

    #[test]
    fn another_codec_reads_the_same((role, bytes) in traffic()) {
        let (ours, violation) = decode_all(Decoder::new(role, LIMIT, None), [&bytes[..]]);
        let (theirs, refused) = of_tungstenite(role, &bytes);
        match violation {
            // It does not ask for the shortest form, and not for a code that may be sent.
            Some(
            Violation::BadLength | Violation::LongControl(_) | Violation::BadCloseCode(_),
        ) => {
                prop_assert!(theirs.starts_with(&ours));
            }
            // It waits for a whole frame, where we tell at the first byte that is wrong.
            violation => {
                prop_assert_eq!(&ours, &theirs);
                prop_assert!(violation.is_some() || !refused);
            }
        }
    }

    #[test]
    fn another_codec_reads_what_is_encoded(events in messages(), is_client: bool) {
        let (mut encoder, role) = if is_client {
            (Encoder::client(None, key), Role::Server)
        } else {
            (Encoder::server(None), Role::Client)
        };
        let out = encode_all(&mut encoder, &events);
        prop_assert_eq!(of_tungstenite(role, &out), (events, false));
    }

    #[test]
    fn a_header_is_read_as_it_was_written(
        fin: bool,
        compressed: bool,
        masked in prop::option::of(any::<[u8; 4]>()),
        length in prop_oneof![0u64..300, 65_000u64..66_000, 0..(1u64 << 63)],
    ) {
        let header = Header { fin, compressed, opcode: Opcode::Binary, mask: masked, length };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        prop_assert_eq!(Header::read(&bytes), Ok(Some((header, bytes.len()))));
        for end in 0..bytes.len() {
            prop_assert_eq!(Header::read(&bytes[..end]), Ok(None));
        }
    }
}
