//! Every reference capture: numbers as tshark has them, states and notes as they were read by eye.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use trace::{Capture, Event, Note, Side, StateAt, Sure, json};
use wire::packet::Flags;

fn data(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    [folder, name].iter().collect()
}

fn read(name: &str) -> Capture {
    Capture::read(fs::File::open(data(name)).unwrap())
}

/// Flags as tshark abbreviates them.
fn letters(event: &Event) -> String {
    let names: Vec<_> = event.tcp().unwrap().flags.names().collect();
    let order = ["URG", "ACK", "PSH", "RST", "SYN", "FIN"];
    order
        .iter()
        .filter(|name| names.contains(name))
        .map(|name| &name[..1])
        .collect()
}

/// `-71.046375000`
fn seconds(time: i64) -> String {
    let sign = if time < 0 { "-" } else { "" };
    let time = time.unsigned_abs();
    format!("{sign}{}.{:09}", time / 1_000_000_000, time % 1_000_000_000)
}

#[test]
fn all_numbers_are_those_of_tshark() {
    let table = fs::read_to_string(data("expected-tshark.tsv")).unwrap();
    let mut files: HashMap<&str, Vec<Vec<&str>>> = HashMap::new();
    for line in table.lines().skip(1) {
        let (file, row) = line.split_once('\t').unwrap();
        files
            .entry(file)
            .or_default()
            .push(row.split('\t').collect());
    }
    assert_eq!(files.len(), 37);
    for (file, rows) in files {
        let capture = read(file);
        let mut found = Vec::new();
        for (number, flow) in capture.flows.iter().enumerate() {
            for event in &flow.events {
                let tcp = event.tcp().unwrap();
                let row = [
                    event.frame.to_string(),
                    seconds(event.time),
                    number.to_string(),
                    letters(event),
                    tcp.seq.to_string(),
                    tcp.ack.to_string(),
                    tcp.len.to_string(),
                    tcp.window.to_string(),
                    tcp.seq_raw.to_string(),
                    tcp.ack_raw.to_string(),
                ];
                found.push((event.frame, row));
            }
        }
        found.sort_by_key(|(frame, _)| *frame);
        assert_eq!(found.len(), rows.len(), "{file}");
        for ((_, found), expected) in found.iter().zip(&rows) {
            assert_eq!(found, &expected[..10], "{file}");
        }
    }
}

#[test]
fn json_has_a_line_for_every_packet_with_the_same_numbers() {
    let table = fs::read_to_string(data("expected-tshark.tsv")).unwrap();
    let mut files: HashMap<&str, Vec<Vec<&str>>> = HashMap::new();
    for line in table.lines().skip(1) {
        let (file, row) = line.split_once('\t').unwrap();
        files
            .entry(file)
            .or_default()
            .push(row.split('\t').collect());
    }
    for (file, rows) in files {
        let mut lines: Vec<Value> = Vec::new();
        let written = json::<()>(&read(file), file, |text| {
            lines.extend(
                text.lines()
                    .map(|line| serde_json::from_str(line).expect(line)),
            );
            Ok(())
        });
        assert_eq!(written, Ok(()));
        assert_eq!(lines.last().unwrap()["event"], "end");
        assert_eq!(lines.last().unwrap()["frames"], rows.len());
        let packets: Vec<_> = lines
            .iter()
            .filter(|line| line["event"] == "packet")
            .collect();
        assert_eq!(packets.len(), rows.len(), "{file}");
        for (packet, row) in packets.iter().zip(&rows) {
            for (field, expected) in [
                ("frame", row[0]),
                ("flow", row[2]),
                ("seq", row[4]),
                ("ack", row[5]),
                ("len", row[6]),
                ("window", row[7]),
                ("seq_raw", row[8]),
                ("ack_raw", row[9]),
            ] {
                assert_eq!(
                    packet[field].to_string(),
                    expected,
                    "{file} {} {field}",
                    row[0]
                );
            }
            let time: f64 = row[1].parse().unwrap();
            assert!((packet["time"].as_f64().unwrap() - time).abs() < 1e-9);
            for side in ["A", "B"] {
                assert!(packet["states"][side]["state"].is_string(), "{packet}");
                assert!(
                    ["seen", "expected"]
                        .contains(&packet["states"][side]["sure"].as_str().unwrap())
                );
            }
        }
    }
}

/// A row of readings.txt: `  8     44.522    *FIN-WAIT-1 > *CLOSE-WAIT?   FIN ACK  seq … Arrived [Note { … }]`.
struct Reading<'a> {
    number: usize,
    states: [&'a str; 2],
    notes: Vec<String>,
}

fn reading(line: &str) -> Reading<'_> {
    let (numbers, notes) = line.split_once('[').unwrap_or((line, "]"));
    let words: Vec<_> = numbers.split_whitespace().collect();
    let notes = notes.trim_end_matches(']').split("}, ").flat_map(|note| {
        let simple = !note.contains('{');
        let parts: Vec<_> = match simple {
            true => note.split(", ").collect(),
            false => vec![note],
        };
        parts
            .into_iter()
            .map(|part| part.trim_end_matches([' ', '}']).to_owned())
            .collect::<Vec<_>>()
    });
    Reading {
        number: words[0].parse().unwrap(),
        states: [words[2], words[4]],
        notes: notes.filter(|note| !note.is_empty()).collect(),
    }
}

/// A state as readings.txt has it: `*` where it has changed, `?` where it is only expected.
fn shown(at: StateAt, before: StateAt) -> String {
    let star = if at == before { "" } else { "*" };
    let mark = if at.sure == Sure::Expected { "?" } else { "" };
    format!("{star}{}{mark}", at.state.name())
}

/// A note as readings.txt has it, with packets by their number in the flow.
fn note(note: &Note, of_flow: impl Fn(u64) -> u64) -> String {
    match note {
        Note::Retransmission { of, after, how } => format!(
            "Retransmission {{ of: {}, after_ns: {after}, how: {:?}",
            of.map_or(0, of_flow),
            how.name()
        ),
        Note::Duplicate { of } => format!("Duplicate {{ of: {}", of_flow(*of)),
        Note::Gap { bytes } => format!("Gap {{ bytes: {bytes}"),
        Note::DuplicateAck { count, of } => {
            format!("DupAck {{ n: {count}, of: {}", of_flow(*of))
        }
        Note::DuplicateSack => "Dsack".to_owned(),
        Note::Refused => "RefusedByPeer".to_owned(),
        Note::Connected { rtt } => format!("HandshakeDone {{ rtt_ns: {rtt}"),
        Note::Rtt { time, of } => format!("Rtt {{ ns: {time}, of: {}", of_flow(*of)),
        simple => format!("{simple:?}"),
    }
}

#[test]
fn states_and_notes_are_as_they_were_read_by_eye() {
    let text = fs::read_to_string(data("readings.txt")).unwrap();
    let mut faults = Vec::new();
    let mut checked = HashMap::<&str, usize>::new();
    let (mut file, mut flow, mut capture) = ("", 0, Capture::default());
    for line in text.lines() {
        if let Some((name, _)) = line.split_once(": vantage") {
            flow = if name == file { flow + 1 } else { 0 };
            file = name;
            capture = read(file);
            continue;
        }
        if !line.contains(" seq ") {
            continue;
        }
        let expected = reading(line);
        let flow = &capture.flows[flow];
        let event = &flow.events[expected.number - 1];
        let syn = event.tcp().unwrap().flags.has(Flags::SYN);
        let first = if syn { Sure::Seen } else { Sure::Expected };
        let before = match expected.number {
            1 => flow.first.map(|state| StateAt { state, sure: first }),
            number => flow.events[number - 2].states.unwrap(),
        };
        let states = event.states.unwrap();
        let found = Side::BOTH.map(|side| shown(states[side.index()], before[side.index()]));
        if found != expected.states {
            faults.push(format!(
                "{file} {}: {found:?}, not {:?}",
                expected.number, expected.states
            ));
        }
        let start = flow.events[0].frame;
        let mut notes: Vec<_> = event
            .notes
            .iter()
            .map(|n| note(n, |frame| frame - start + 1))
            .collect();
        let mut wanted = expected.notes;
        notes.sort_unstable();
        wanted.sort_unstable();
        if notes != wanted {
            faults.push(format!(
                "{file} {}: {notes:?}, not {wanted:?}",
                expected.number
            ));
        }
        *checked.entry(file).or_default() += 1;
    }
    assert!(checked.len() > 25, "only {} files", checked.len());
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}
