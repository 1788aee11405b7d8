//! Packets one by one: the picture that grows says what the finished one does, keys may come late, and a long transfer
//! stays short.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use trace::{Capture, Growing, Live, Sight, Style, draw, json_of};
use wire::packet::{RAW, datagram};
use wire::pcapng::{Item, Reader};

/// What a capture file has: its packets, and its keys.
struct Read {
    packets: Vec<(u16, u64, Vec<u8>)>,
    keys: Vec<u8>,
    bytes: Vec<u8>,
}

fn read(name: &str) -> Read {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let bytes = fs::read(folder.join(name)).unwrap();
    let mut read = Read {
        packets: Vec::new(),
        keys: Vec::new(),
        bytes: bytes.clone(),
    };
    let (mut reader, mut rest) = (Reader::new(), &bytes[..]);
    while let Some((item, length)) = reader.read(rest).unwrap() {
        match item {
            Item::Packet(packet) => {
                let time = packet.time.unwrap();
                read.packets.push((packet.link, time, packet.data.to_vec()));
            }
            Item::Secrets(lines) => read.keys.extend(lines),
            _ => {}
        }
        rest = &rest[length..];
    }
    read
}

fn live() -> Live {
    Live::new(Sight::Packets, |_, _| true)
}

/// The finished picture, as if its packets had been seen by ourselves.
fn finished(bytes: &[u8]) -> Vec<String> {
    let mut capture = Capture::read(bytes);
    let flows = capture.flows.iter_mut();
    flows
        .map(|flow| {
            flow.sight = Sight::Packets;
            draw(flow, "", &Style::default())
        })
        .collect()
}

/// Both ends on the loopback, so that the vantage needs no guess: whole connections, at every level.
const LOOPBACK: [&str; 5] = [
    "lo-tls13.pcapng",
    "lo-h2.pcapng",
    "lo-h3.pcapng",
    "lo-quic.pcapng",
    "loopback-nano.pcap",
];

#[test]
fn the_picture_that_grows_is_the_finished_one() {
    for name in LOOPBACK {
        let file = read(name);
        let mut live = live();
        live.keys(&file.keys);
        let mut growing = Growing::new(Style::default(), "");
        let now = Instant::now();
        let mut text = String::new();
        for (link, time, data) in &file.packets {
            live.packet(*link, *time, data);
            // Nothing waits for long here: time stands still.
            let fresh = live.fresh();
            text.push_str(&growing.grow(live.flows(), &fresh, now));
        }
        assert!(text.lines().count() > 5, "{name} is drawn before its end");
        text.push_str(&growing.finish(live.flows()));
        assert_eq!(text, finished(&file.bytes).concat(), "{name}");
    }
}

#[test]
fn keys_that_come_after_the_packets_open_them() {
    for name in [
        "lo-tls13.pcapng",
        "lo-h2.pcapng",
        "lo-h3.pcapng",
        "lo-quic.pcapng",
    ] {
        let file = read(name);
        let mut live = live();
        live.expect_keys();
        for (link, time, data) in &file.packets {
            live.packet(*link, *time, data);
        }
        let waiting: usize = live.flows().iter().map(|flow| flow.events.len()).sum();
        assert!(
            waiting < file.packets.len(),
            "{name}: nothing waits for its key"
        );
        assert!(live.due().is_some());
        for line in file.keys.split_inclusive(|byte| *byte == b'\n') {
            live.keys(line);
        }
        let drawn: Vec<_> = live
            .flows()
            .iter()
            .map(|flow| draw(flow, "", &Style::default()))
            .collect();
        assert_eq!(drawn, finished(&file.bytes), "{name}");
    }
}

#[test]
fn keys_that_never_come_are_not_waited_for_at_the_end() {
    let file = read("lo-tls13.pcapng");
    let mut live = live();
    live.expect_keys();
    for (link, time, data) in &file.packets {
        live.packet(*link, *time, data);
    }
    let capture = live.done();
    let flow = &capture.flows[0];
    assert_eq!(flow.events.len(), file.packets.len());
    assert!(draw(flow, "", &Style::default()).contains("sealed from here on"));
}

/// A segment between two ends of the loopback, of which only the headers were kept.
fn segment(back: bool, flags: u8, seq: u32, ack: u32, len: u16) -> Vec<u8> {
    let ends: [SocketAddr; 2] =
        ["127.0.0.1:40000", "127.0.0.1:5000"].map(|end| end.parse().unwrap());
    let (from, to) = match back {
        true => (ends[1], ends[0]),
        false => (ends[0], ends[1]),
    };
    let mut packet = datagram(from, to, &[0; 12]).unwrap();
    packet[2..4].copy_from_slice(&(40 + len).to_be_bytes());
    packet[9] = 6;
    packet[24..28].copy_from_slice(&seq.to_be_bytes());
    packet[28..32].copy_from_slice(&ack.to_be_bytes());
    packet[32..36].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
    packet
}

/// A gibibyte in pieces of 32 KiB, some of them sent `again`, drawn while it passes; what is drawn is let go, or not.
/// The picture, and how many packets were kept at most.
fn gibibyte(again: bool, lets_go: bool) -> (String, usize) {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const FIN: u8 = 1;
    const PIECE: u32 = 32_768;
    let mut live = live();
    let mut growing = Growing::new(Style::default(), "");
    let (start, clock) = (Instant::now(), 1_000_000_000);
    let mut since = 0_u64;
    let mut most = 0;
    let mut drawn = String::new();
    let mut pass = |back, flags, seq, ack, len| {
        // 32 KiB and its ACK in 200 µs: 160 MB/s.
        since += 100_000;
        live.packet(RAW, clock + since, &segment(back, flags, seq, ack, len));
        let now = start + Duration::from_nanos(since);
        let fresh = live.fresh();
        let text = growing.grow(live.flows(), &fresh, now);
        if lets_go {
            live.let_go(0, growing.needs(0));
        }
        most = most.max(live.flows().get(0).unwrap().events.len());
        drawn.push_str(&text);
        text
    };
    assert!(pass(false, SYN, 0, 0, 0).contains("SYN"), "drawn at once");
    pass(true, SYN | ACK, 0, 1, 0);
    pass(false, ACK, 1, 1, 0);
    let mut seq = 1_u32;
    for piece in 0..(1 << 30) / PIECE {
        pass(false, ACK, seq, 1, PIECE as u16);
        if again && piece % 1000 == 999 {
            // It is sent again, and its first one is long gone.
            pass(false, ACK, seq - 900 * PIECE, 1, PIECE as u16);
        }
        seq = seq.wrapping_add(PIECE);
        pass(true, ACK, 1, seq, 0);
    }
    let last = pass(false, FIN | ACK, seq, 1, 0);
    assert!(
        last.contains("FIN"),
        "what ends it waits for nothing: {last}"
    );
    drawn.push_str(&growing.finish(live.flows()));
    (drawn, most)
}

#[test]
fn a_transfer_of_a_gibibyte_stays_under_200_lines_and_its_end_is_seen_at_once() {
    let (drawn, _) = gibibyte(false, false);
    let lines = drawn.lines().count();
    assert!((60..200).contains(&lines), "{lines} lines:\n{drawn}");
    assert!(drawn.contains("1 073 741 824 bytes →"), "{drawn}");
}

#[test]
fn rows_that_come_at_once_are_folded_as_if_they_had_come_one_by_one() {
    let mut live = live();
    let mut growing = Growing::new(Style::default(), "");
    let mut clock = 1_000_000_000;
    let mut seq = 1;
    for _ in 0..150 {
        for (back, seq, ack, len) in [(false, seq, 1, 1000), (true, 1, seq + 1000, 0)] {
            clock += 10_000;
            live.packet(RAW, clock, &segment(back, 16, seq, ack, len));
        }
        seq += 1000;
    }
    let fresh = live.fresh();
    let mut drawn = growing.grow(live.flows(), &fresh, Instant::now());
    drawn.push_str(&growing.finish(live.flows()));
    let lines = drawn.lines().count();
    assert!((60..90).contains(&lines), "{lines} lines:\n{drawn}");
}

#[test]
fn of_a_long_transfer_little_is_kept_and_its_picture_is_the_same() {
    let (whole, all) = gibibyte(true, false);
    let (drawn, most) = gibibyte(true, true);
    assert!(all > 65_000, "{all}");
    assert!(most < 1_000, "{most} packets are kept");
    assert!(whole.contains("retransmitted: 32 by the client"), "{whole}");
    assert_eq!(drawn, whole);
}

#[test]
fn lines_of_json_are_the_same_when_what_was_written_is_let_go() {
    let mut texts = Vec::new();
    for lets_go in [false, true] {
        let mut live = live();
        let (mut text, mut row) = (String::new(), 0);
        for number in 0..2_000_u32 {
            let packet = segment(false, 16, 1 + number * 100, 1, 100);
            live.packet(RAW, 1_000_000_000 + u64::from(number), &packet);
            let flow = live.flows().get(0).unwrap();
            text.push_str(&json_of(flow, 0, row, live.started()));
            row = flow.rows();
            if lets_go {
                live.let_go(0, row - 1);
                assert!(live.flows().get(0).unwrap().events.len() < 300);
            }
        }
        texts.push(text);
    }
    assert_eq!(texts[0].lines().count(), 2_001);
    assert!(texts[0] == texts[1]);
}

#[test]
fn rows_that_stand_alone_do_not_wait_and_those_that_may_be_one_wait_half_a_millisecond() {
    let file = read("loopback-nano.pcap");
    let mut live = live();
    let mut growing = Growing::new(Style::default(), "");
    let start = Instant::now();
    let (link, time, data) = &file.packets[0];
    live.packet(*link, *time, data);
    let fresh = live.fresh();
    assert!(growing.grow(live.flows(), &fresh, start).contains("SYN"));
    assert_eq!(growing.due(), None);
    for (link, time, data) in &file.packets[1..5] {
        live.packet(*link, *time, data);
    }
    let fresh = live.fresh();
    growing.grow(live.flows(), &fresh, start);
    if let Some(due) = growing.due() {
        assert!(due - start < Duration::from_millis(1));
        growing.grow(live.flows(), &[], due);
        assert_eq!(growing.due(), None, "it is drawn when it is due");
    }
}

#[test]
fn flows_that_take_turns_are_told_apart() {
    let file = read("two-flows.pcap");
    let mut live = live();
    let mut growing = Growing::new(Style::default(), "");
    for (link, time, data) in &file.packets {
        live.packet(*link, *time, data);
    }
    let fresh = live.fresh();
    let mut text = growing.grow(live.flows(), &fresh, Instant::now());
    text.push_str(&growing.finish(live.flows()));
    assert_eq!(live.flows().count(), 2);
    assert!(text.contains("\nflow 1: "), "{text}");
    assert_eq!(text.matches("sight: packets").count(), 2);
}
