//! A file on one QUIC stream into a sink, against bare quinn with the same settings, and against Python's aioquic.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::UsageWho;

use super::bulk::source;
use super::{Plan, rounds};
use crate::contender::{Contender, Transport, present};
use crate::process::{Group, used};
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("MB/s", 1), ("CPU s/GB, both", 3)];
const LIMIT: Duration = Duration::from_secs(240);
const AIOQUIC: &str = "aioquic";

/// All that aioquic is given: more would take minutes.
const LITTLE: u64 = 8 << 20;

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let source = source(plan.gib)?;
    let little = tempfile::tempfile_in("/dev/shm").context("making a file in /dev/shm")?;
    little.set_len(LITTLE)?;
    let (sinks, clients) = pairs(plan);
    let goals = vec![
        Goal::ratio(0, "quinn", AtLeast(0.9)),
        Goal::ratio(1, "quinn", Shown),
        Goal::ratio(0, AIOQUIC, AtLeast(20.0)),
    ];
    let title = format!("quic-bulk: {} GiB on one stream, CLIENT < FILE", plan.gib);
    let mut table = Table::new(title, COLUMNS, goals);
    rounds(plan.rounds, &clients, LIMIT, |client, round| {
        let sink = sinks.iter().find(|sink| sink.name == client.name);
        let sink = sink.context("a client without a sink")?;
        let (file, bytes) = match client.name {
            AIOQUIC => (&little, LITTLE),
            _ => (&source, plan.gib << 30),
        };
        let (wall, cpu) = transfer(sink, client, file)?;
        let bytes = bytes as f64;
        let figures = vec![
            bytes / 1e6 / wall.as_secs_f64(),
            cpu.as_secs_f64() / (bytes / 1e9),
        ];
        table.add(client.name, round, figures);
        Ok(())
    });
    Ok(vec![table])
}

fn pairs(plan: &Plan) -> (Vec<Contender>, Vec<Contender>) {
    let programs = &plan.programs;
    let own = programs.folder.path().display();
    let python = programs.python();
    let script = programs.folder.path().join("aioquic_bulk.py");
    let script = script.display();
    let quinn = |verb: &str| {
        let line = format!("peer {verb} --port {{port}} --folder {own}");
        Contender::new("quinn", &programs.bench, &line)
    };
    let aioquic = |verb: &str| {
        let line = format!("{script} {verb} {{port}} {own}");
        Contender::new(AIOQUIC, &python, &line)
    };
    let sinks = vec![
        programs.sockeye(&format!(
            "serve sink quic://127.0.0.1:{{port}} --cert {own}/cert.pem --key {own}/key.pem"
        )),
        quinn("quinn-sink"),
        aioquic("sink"),
    ];
    let clients = vec![
        programs.sockeye(&format!(
            "connect quic://127.0.0.1:{{port}} --ca {own}/cert.pem --servername localhost"
        )),
        quinn("quinn-send"),
        aioquic("send"),
    ];
    (sinks, present(clients))
}

/// From the start of the client until it has ended, which it does when the sink has everything. The CPU is that of
/// both.
fn transfer(sink: &Contender, client: &Contender, source: &File) -> Result<(Duration, Duration)> {
    let before = used(UsageWho::RUSAGE_CHILDREN)?;
    let sink = sink.start(Transport::Udp)?;
    // A description of its own each time, so that every reader begins at the start.
    let file = File::open(format!("/proc/self/fd/{}", source.as_raw_fd()))
        .context("reopening the file")?;
    let began = Instant::now();
    let status = Group::spawn(client.command(sink.address.port()).stdin(file))?.wait()?;
    ensure!(status.success(), "{} ended with {status}", client.name);
    let wall = began.elapsed();
    drop(sink);
    Ok((wall, used(UsageWho::RUSAGE_CHILDREN)? - before))
}
