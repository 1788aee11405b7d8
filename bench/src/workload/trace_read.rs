//! A capture of 200,000 packets, read and analysed: `sockeye trace --json`, and tshark with the same fields.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Plan, rounds};
use crate::contender::{Contender, present};
use crate::process::Group;
use crate::report::Bound::AtLeast;
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("kpackets/s", 0)];
const PACKETS: u32 = 200_000;
const LIMIT: Duration = Duration::from_secs(120);
/// What is kept of each packet: its headers, as most captures do.
const DATA: u16 = 1448;

const FIELDS: &str = "-T fields -e frame.number -e frame.time_relative -e tcp.stream -e tcp.flags.str -e tcp.seq \
    -e tcp.ack -e tcp.len -e tcp.window_size -e tcp.seq_raw -e tcp.ack_raw -e tcp.analysis.flags";

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let path = plan.programs.folder.path().join("trace.pcap");
    fs::write(&path, capture()).with_context(|| format!("writing {}", path.display()))?;
    let path = path.to_str().context("a path that is no text")?;
    let goals = vec![Goal::ratio(0, "tshark", AtLeast(5.0))];
    let title = "trace-read: 200,000 packets, all fields of each".to_owned();
    let mut table = Table::new(title, COLUMNS, goals);
    let readers = [
        plan.programs
            .sockeye(&format!("trace --json --read {path}")),
        Contender::new("tshark", "tshark", &format!("-n -r {path} {FIELDS}")),
    ];
    rounds(
        plan.rounds,
        &present(readers.into()),
        LIMIT,
        |reader, round| {
            let began = Instant::now();
            let status = Group::spawn(&mut reader.command(0))?.wait()?;
            let wall = began.elapsed();
            ensure!(status.success(), "{} ended with {status}", reader.name);
            let rate = f64::from(PACKETS) / wall.as_secs_f64() / 1e3;
            table.add(reader.name, round, vec![rate]);
            Ok(())
        },
    );
    Ok(vec![table])
}

/// A long transfer with an ACK for every second segment, of which each hundredth is sent again.
fn capture() -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 101];
    let mut file: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let (syn, ack) = (0x02, 0x10);
    segment(&mut file, 0, true, syn, (0, 0), 0);
    segment(&mut file, 1, false, syn | ack, (0, 1), 0);
    segment(&mut file, 2, true, ack, (1, 1), 0);
    let mut next = 1;
    for number in 3..PACKETS {
        match number % 3 {
            2 => segment(&mut file, number, false, ack, (1, next), 0),
            _ => {
                let again = number.is_multiple_of(99);
                let seq = if again { next - u32::from(DATA) } else { next };
                segment(&mut file, number, true, ack, (seq, 1), DATA);
                next = seq.wrapping_add(DATA.into());
            }
        }
    }
    file
}

fn segment(
    file: &mut Vec<u8>,
    number: u32,
    client: bool,
    flags: u8,
    (seq, ack): (u32, u32),
    len: u16,
) {
    let micros = number * 40;
    let words = [
        micros / 1_000_000,
        micros % 1_000_000,
        52,
        52 + u32::from(len),
    ];
    file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    file.extend([0x45, 0]);
    file.extend((52 + len).to_be_bytes());
    file.extend([(number >> 8) as u8, number as u8, 0, 0, 64, 6, 0, 0]);
    let mut ends = [([10, 0, 0, 1], 40_000_u16), ([10, 0, 0, 2], 80)];
    if !client {
        ends.reverse();
    }
    file.extend(ends.iter().flat_map(|(address, _)| *address));
    file.extend(ends.iter().flat_map(|(_, port)| port.to_be_bytes()));
    file.extend(seq.to_be_bytes());
    file.extend(ack.to_be_bytes());
    file.extend([0x80, flags, 0xff, 0xff, 0, 0, 0, 0]);
    // Clocks, padded: no option that would change the windows.
    file.extend([1, 1, 8, 10]);
    file.extend((number / 25).to_be_bytes());
    file.extend(0_u32.to_be_bytes());
}
