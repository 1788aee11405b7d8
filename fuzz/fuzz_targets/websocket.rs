//! WebSocket: the cut of the bytes changes nothing, another codec reads the same, and what is encoded is
//! decoded.

#![no_main]

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::pieces;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::{Message, WebSocket, WebSocketConfig};
use wire::websocket::deflate::{Direction, Parameters};
use wire::websocket::{Close, Decoder, Encoder, Event, Kind, Role, Violation};

/// Seven bytes, then the stream.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_server: bool,
    server: u8,
    client: u8,
    sizes: [u8; 4],
    stream: &'a [u8],
}

const LIMIT: usize = 1000;

fuzz_target!(|input: Input<'_>| {
    let role = if input.is_server {
        Role::Server
    } else {
        Role::Client
    };
    arrives_anyhow(role, None, &input);
    arrives_anyhow(role, Some(&deflate(&input)), &input);
    is_read_alike(role, input.stream);
    is_decoded_as_encoded(&input);
    if let Ok(text) = str::from_utf8(input.stream) {
        is_negotiated(text, &deflate(&input));
    }
});

fn deflate(input: &Input<'_>) -> Parameters {
    let direction = |choice: u8| Direction {
        takeover: choice & 1 != 0,
        window_bits: 8 + (choice >> 1) % 8,
    };
    Parameters {
        server: direction(input.server),
        client: direction(input.client),
    }
}

/// All events of a stream that comes in pieces, and how it broke.
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
                    assert!(!violation.to_string().contains('\n'));
                    return (events, Some(violation));
                }
            }
        }
    }
    (events, None)
}

fn arrives_anyhow(role: Role, deflate: Option<&Parameters>, input: &Input<'_>) {
    let decoder = || Decoder::new(role, LIMIT, deflate);
    let whole = decode_all(decoder(), [input.stream]);
    let parts = decode_all(decoder(), pieces(input.stream, input.sizes));
    assert_eq!(parts, whole);
    for event in &whole.0 {
        if let Event::Message { kind, data } = event {
            assert!(data.len() <= LIMIT);
            assert!(*kind == Kind::Binary || str::from_utf8(data).is_ok());
        }
    }
}

fn is_read_alike(role: Role, stream: &[u8]) {
    let (ours, violation) = decode_all(Decoder::new(role, LIMIT, None), [stream]);
    let (theirs, refused) = of_tungstenite(role, stream);
    match violation {
        // It does not ask for the shortest form, and not for a code that may be sent.
        Some(Violation::BadLength | Violation::LongControl(_) | Violation::BadCloseCode(_)) => {
            assert!(theirs.starts_with(&ours), "{theirs:?} begins as {ours:?}");
        }
        // It waits for a whole frame, where we tell at the first byte that is wrong.
        violation => {
            assert_eq!(ours, theirs);
            assert!(violation.is_some() || !refused);
        }
    }
}

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

fn of_tungstenite(role: Role, stream: &[u8]) -> (Vec<Event>, bool) {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT));
    let mut socket = WebSocket::from_raw_socket(Recording(stream), role, Some(config));
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Message {
                kind: Kind::Text,
                data: Bytes::copy_from_slice(text.as_bytes()),
            },
            Ok(Message::Binary(data)) => Event::Message {
                kind: Kind::Binary,
                data,
            },
            Ok(Message::Ping(payload)) => Event::Ping(payload),
            Ok(Message::Pong(payload)) => Event::Pong(payload),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| Close::new(close.code.into(), close.reason.as_str()));
                events.push(Event::Close(close));
                return (events, false);
            }
            Ok(Message::Frame(_)) => unreachable!("only written"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (events, false);
            }
            Err(_) => return (events, true),
        });
    }
}

fn is_decoded_as_encoded(input: &Input<'_>) {
    let agreed = deflate(input);
    for deflate in [None, Some(&agreed)] {
        let key = || [0x37, 0xfa, 0x21, 0x3d];
        let (mut encoder, receiver) = if input.is_server {
            (Encoder::client(deflate, key), Role::Server)
        } else {
            (Encoder::server(deflate), Role::Client)
        };
        let messages: Vec<Event> = pieces(input.stream, input.sizes)
            .map(|data| Event::Message {
                kind: match str::from_utf8(data) {
                    Ok(_) => Kind::Text,
                    Err(_) => Kind::Binary,
                },
                data: Bytes::copy_from_slice(data),
            })
            .collect();
        let mut stream = Vec::new();
        for message in &messages {
            if let Event::Message { kind, data } = message {
                encoder.message(*kind, data, &mut stream);
            }
        }
        let decoder = Decoder::new(receiver, LIMIT, deflate);
        let decoded = decode_all(decoder, pieces(&stream, input.sizes));
        assert_eq!(decoded, (messages, None));
    }
}

/// What a server answers to any offer its client accepts, if it was the client's offer.
fn is_negotiated(header: &str, wish: &Parameters) {
    let _ = wish.accept(header);
    if let Some((agreed, answer)) = wish.answer(header) {
        assert!(answer.starts_with("permessage-deflate"));
        assert!(agreed.server.window_bits <= wish.server.window_bits);
    }
    let (agreed, answer) = Parameters::FULL
        .answer(&wish.offer())
        .expect("an offer that is well formed");
    assert_eq!(wish.accept(&answer), Ok(Some(agreed)));
}
