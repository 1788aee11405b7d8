//! HTTP/2 from hand-made frames (RFC 9113, section 4): floods that cost the server more than the client are cut off,
//! and who goes on after its answer is not.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Kinds of frames and flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const NONE: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const ENHANCE_YOUR_CALM: u32 = 0xb;
const NO_ERROR: u32 = 0;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// GET or POST / at localhost, by HPACK's static table (RFC 7541, appendix A).
fn head(method: &str) -> Vec<u8> {
    let method = if method == "GET" { 0x82 } else { 0x83 };
    let mut block = vec![method, 0x86, 0x84, 0x41, 9];
    block.extend_from_slice(b"localhost");
    block
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET"))
}

/// What came: kind, stream and payload of each frame.
type Frames = Vec<(u8, u32, Vec<u8>)>;

fn frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push((header[3], stream, payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// The error code of the last GOAWAY.
fn goaway(frames: &Frames) -> Option<u32> {
    let mut said = frames.iter().rev().filter(|(kind, ..)| *kind == GOAWAY);
    let (_, _, payload) = said.next()?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}

/// Sends the preface and then parts for as long as the server takes them; gives how many, and what it said.
async fn flood(
    client: Client,
    settings: &[u8],
    parts: impl Iterator<Item = Vec<u8>>,
    reads: bool,
) -> (usize, Frames) {
    let (mut read, mut write) = tokio::io::split(client.wire);
    let settings = frame(SETTINGS, NONE, 0, settings);
    let writing = async {
        write.write_all(PREFACE).await.unwrap();
        write.write_all(&settings).await.unwrap();
        let mut taken = 0;
        for part in parts {
            let writing = timeout(Duration::from_secs(100), write.write_all(&part));
            if !matches!(writing.await, Ok(Ok(()))) {
                break;
            }
            taken += 1;
        }
        taken
    };
    let reading = async {
        let mut all = Vec::new();
        if reads {
            let _ = timeout(Duration::from_secs(200), read.read_to_end(&mut all)).await;
        }
        all
    };
    let (taken, said) = tokio::join!(writing, reading);
    (taken, frames(&said))
}

fn two(service: impl Service) -> Client {
    Client::with(service, Version::Two, Framing::Raw)
}

fn streams() -> impl Iterator<Item = u32> {
    (0..).map(|n| 2 * n + 1)
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_taken_back_at_once_are_cut_off() {
    let reset = |stream| {
        let cancel = frame(RST_STREAM, NONE, stream, &8_u32.to_be_bytes());
        [get(stream), cancel].concat()
    };
    let parts = streams().take(20_000).map(reset);
    let (taken, said) = flood(two(reply("hi")), b"", parts, true).await;
    assert!(taken < 2_000, "{taken} were taken");
    assert_eq!(goaway(&said), Some(ENHANCE_YOUR_CALM));
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_cut_off() {
    let first = frame(HEADERS, END_STREAM, 1, &head("GET"));
    // A literal field without indexing, over and over.
    let field = [&b"\x00\x01x\x7f\x81\x07"[..], &[b'y'; 1024]].concat();
    let more = std::iter::repeat_with(|| frame(CONTINUATION, NONE, 1, &field)).take(5_000);
    let (taken, _) = flood(
        two(reply("hi")),
        b"",
        std::iter::once(first).chain(more),
        true,
    )
    .await;
    assert!(taken < 200, "{taken} KiB were taken");
}

#[tokio::test(start_paused = true)]
async fn pings_and_settings_of_one_who_does_not_read_are_not_gathered() {
    for kind in [PING, SETTINGS] {
        let payload: &[u8] = if kind == PING {
            b"12345678"
        } else {
            b"\0\x04\0\0\xff\xff"
        };
        let parts = std::iter::repeat_with(|| frame(kind, NONE, 0, payload)).take(100_000);
        let (taken, _) = flood(two(reply("hi")), b"", parts, false).await;
        assert!(taken < 20_000, "{taken} frames of kind {kind} were taken");
    }
}

#[tokio::test(start_paused = true)]
async fn data_frames_without_data_are_cut_off() {
    let first = frame(HEADERS, END_HEADERS, 1, &head("POST"));
    let empty = std::iter::repeat_with(|| frame(DATA, NONE, 1, b"")).take(200_000);
    let (taken, said) = flood(
        two(reply("hi")),
        b"",
        std::iter::once(first).chain(empty),
        true,
    )
    .await;
    assert!(taken < 100_000, "{taken} were taken; {:?}", goaway(&said));
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_lets_through_are_left_after_thirty_seconds() {
    // SETTINGS_INITIAL_WINDOW_SIZE 0, and never an update.
    let client = two(reply("hi"));
    let start = Instant::now();
    let parts = streams().take(50).map(get);
    let (taken, said) = flood(client, b"\0\x04\0\0\0\0", parts, true).await;
    assert_eq!(taken, 50);
    assert_eq!(start.elapsed().as_secs(), 30);
    assert!(
        said.iter()
            .all(|(kind, _, payload)| *kind != DATA || payload.is_empty())
    );
}

#[tokio::test(start_paused = true)]
async fn more_requests_at_once_than_are_taken_are_refused() {
    let deaf = service_fn(async |_: Session| -> Result<()> { std::future::pending().await });
    let parts = streams().take(101).map(get);
    let (taken, said) = flood(two(deaf), b"", parts, true).await;
    assert_eq!(taken, 101);
    let refused: Vec<_> = said
        .iter()
        .filter(|(kind, ..)| *kind == RST_STREAM)
        .map(|(_, stream, reason)| (*stream, reason.clone()))
        .collect();
    // REFUSED_STREAM: it may be asked again.
    assert_eq!(refused, [(201, 7_u32.to_be_bytes().to_vec())]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_to_go_after_a_minute() {
    let start = Instant::now();
    let parts = std::iter::once(get(1));
    let (_, said) = flood(two(reply("hi")), b"", parts, true).await;
    assert_eq!(goaway(&said), Some(NO_ERROR), "{said:?}");
    let after = start.elapsed().as_secs();
    assert!((60..=65).contains(&after), "{after} s");
    let body: Vec<u8> = said
        .iter()
        .filter(|(kind, ..)| *kind == DATA)
        .flat_map(|(_, _, data)| data.clone())
        .collect();
    assert_eq!(body, b"hi");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_goaway_and_lets_streams_finish() {
    let client = two(Echo);
    let goodbye = client.stage.goodbye.clone();
    let parts = [
        frame(HEADERS, END_HEADERS, 1, &head("POST")),
        frame(DATA, NONE, 1, b"ab"),
        frame(DATA, END_STREAM, 1, b"cd"),
    ];
    let mut sent = 0;
    let parts = parts.into_iter().inspect(move |_| {
        sent += 1;
        if sent == 3 {
            goodbye.cancel();
        }
    });
    let start = Instant::now();
    let (taken, said) = flood(client, b"", parts, true).await;
    assert_eq!(taken, 3);
    assert_eq!(goaway(&said), Some(NO_ERROR));
    let data: Vec<_> = said.iter().filter(|(kind, ..)| *kind == DATA).collect();
    let body: Vec<u8> = data.iter().flat_map(|(_, _, data)| data.clone()).collect();
    assert_eq!(body, b"abcd", "{said:?}");
    assert!(start.elapsed().as_secs() <= 5, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn malformed_requests_are_stream_errors() {
    // Literal fields without indexing (RFC 7541, section 6.2.2).
    let field = |name: &str, value: &str| {
        let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(u8::try_from(value.len()).unwrap());
        bytes.extend_from_slice(value.as_bytes());
        bytes
    };
    let nobody = vec![0x82, 0x86, 0x84];
    for (what, block) in [
        ("no authority", nobody),
        (
            "another Host",
            [head("GET"), field("host", "other")].concat(),
        ),
        (
            "two Hosts",
            [
                head("GET"),
                field("host", "localhost"),
                field("host", "localhost"),
            ]
            .concat(),
        ),
        ("a space in front", [head("GET"), field("x", " y")].concat()),
        (
            "a tab at the end",
            [head("GET"), field("x", "y\t")].concat(),
        ),
        ("capitals", [head("GET"), field("X", "y")].concat()),
        (
            "connection",
            [head("GET"), field("connection", "close")].concat(),
        ),
        (
            "a pseudo-header after others",
            [field("x", "y"), head("GET")].concat(),
        ),
    ] {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
        let (_, said) = flood(two(reply("hi")), b"", [request].into_iter(), true).await;
        let is_reset = |frame: &&(u8, u32, Vec<u8>)| (frame.0, frame.1) == (RST_STREAM, 1);
        let reset = said.iter().find(is_reset);
        let reason = reset.map(|(.., why)| u32::from_be_bytes(why[..].try_into().unwrap()));
        // PROTOCOL_ERROR of the stream, or of the connection where h2 has lost its trust in all of it.
        assert_eq!(
            reason.or_else(|| goaway(&said)),
            Some(1),
            "{what}: {said:?}"
        );
        assert!(
            said.iter().all(|(kind, ..)| *kind != HEADERS),
            "{what}: {said:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn windows_that_grow_beyond_2_31_are_an_error() {
    let parts = [
        frame(WINDOW_UPDATE, NONE, 0, &0x7fff_ffff_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, NONE, 0, &0x7fff_ffff_u32.to_be_bytes()),
    ];
    let (_, said) = flood(two(reply("hi")), b"", parts.into_iter(), true).await;
    // FLOW_CONTROL_ERROR (section 6.9.1).
    assert_eq!(goaway(&said), Some(3));
}

/// What comes until it ends in `end`.
async fn bytes_until(client: &mut Client, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        let byte = timeout(HOUR, client.wire.read_u8()).await;
        all.push(byte.expect("in time").expect("an open connection"));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_may_end_after_its_answer() {
    // Literal fields without indexing: a page of another site asks.
    let origin = b"\x00\x06origin\x0dhttp://a.test";
    let asked = [&head("POST")[..], origin].concat();
    for (parts, ends) in [(1, true), (20, false)] {
        let mut client = two(Echo);
        client.say(PREFACE).await;
        client.say(frame(SETTINGS, NONE, 0, b"")).await;
        client.say(frame(HEADERS, END_HEADERS, 1, &asked)).await;
        bytes_until(&mut client, b"may not use this server\n").await;
        for n in 1..=parts {
            let flags = if ends && n == parts { END_STREAM } else { NONE };
            client.say(frame(DATA, flags, 1, &[b'x'; 4096])).await;
        }
        for (pause, is_reset) in [(Duration::ZERO, false), (2 * super::super::LINGER, !ends)] {
            sleep(pause).await;
            client.say(frame(PING, NONE, 0, b"and then")).await;
            let said = frames(&bytes_until(&mut client, b"and then").await);
            let reset = said.iter().any(|(kind, ..)| *kind == RST_STREAM);
            assert_eq!(reset, is_reset, "{said:?}");
        }
    }
}
