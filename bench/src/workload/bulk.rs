//! Bulk: a file on tmpfs through a client's stdin into a sink, until both ends are done with it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::UsageWho;

use super::{Plan, rounds};
use crate::contender::{Contender, SOCKEYE, Transport, present};
use crate::process::{Group, used};
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("GB/s", 2), ("CPU s/GB, both", 3)];
const LIMIT: Duration = Duration::from_secs(120);

/// How the file gets to the client's stdin.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Feed {
    Pipe,
    File,
}

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let source = source(plan.gib)?;
    let (sinks, clients) = pairs(plan);
    [
        (Feed::Pipe, "cat FILE | CLIENT"),
        (Feed::File, "CLIENT < FILE"),
    ]
    .into_iter()
    .map(|(feed, title)| {
        let title = format!("bulk: {} GiB, {title}", plan.gib);
        let mut table = Table::new(title, COLUMNS, goals());
        rounds(plan.rounds, &clients, LIMIT, |client, round| {
            let sink = sinks.iter().find(|sink| sink.name == client.name);
            let sink = sink.context("a client without a sink")?;
            let (wall, cpu) = transfer(sink, client, feed, &source)?;
            let gigabytes = plan.gib as f64 * 1.073_741_824;
            let figures = vec![
                gigabytes / wall.as_secs_f64(),
                cpu.as_secs_f64() / gigabytes,
            ];
            table.add(client.name, round, figures);
            Ok(())
        });
        Ok(table)
    })
    .collect()
}

/// sockeye with the congestion control that the others run under: on loopback it would choose reno.
pub(super) const ALIKE: &str = "sockeye, system's CC";

/// The flag that makes it so.
pub(super) fn system_congestion() -> String {
    let system = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    format!(
        "--congestion {}",
        system.as_deref().unwrap_or("cubic").trim()
    )
}

fn pairs(plan: &Plan) -> (Vec<Contender>, Vec<Contender>) {
    let congestion = system_congestion();
    let alike = |arguments: &str| {
        let mut contender = plan.programs.sockeye(&format!("{arguments} {congestion}"));
        contender.name = ALIKE;
        contender
    };
    let sinks = vec![
        plan.programs.sockeye("serve sink tcp://127.0.0.1:{port}"),
        alike("serve sink tcp://127.0.0.1:{port}"),
        Contender::new("nc", "nc", "-l 127.0.0.1 {port}"),
        Contender::new("ncat", "ncat", "-l 127.0.0.1 {port} --recv-only"),
        Contender::new(
            "socat",
            "socat",
            "-u TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr /dev/null",
        ),
    ];
    let clients = vec![
        plan.programs.sockeye("connect 127.0.0.1:{port}"),
        alike("connect 127.0.0.1:{port}"),
        Contender::new("nc", "nc", "-N 127.0.0.1 {port}"),
        Contender::new("ncat", "ncat", "--send-only 127.0.0.1 {port}"),
        Contender::new("socat", "socat", "-u - TCP:127.0.0.1:{port}"),
    ];
    (sinks, present(clients))
}

fn goals() -> Vec<Goal> {
    let mut goals = vec![Goal::ratio(0, ALIKE, Shown)];
    for (peer, least) in [("nc", 1.5), ("ncat", 2.5), ("socat", 2.5)] {
        goals.push(Goal::ratio(0, peer, AtLeast(least)));
        goals.push(Goal::ratio(1, peer, Shown));
    }
    goals
}

/// One transfer: from the start of the client until client and sink have ended; a sink that serves on
/// has closed its end when the client ends. The CPU is that of both, without `cat`.
pub(super) fn transfer(
    sink: &Contender,
    client: &Contender,
    feed: Feed,
    source: &File,
) -> Result<(Duration, Duration)> {
    let serves_on = [SOCKEYE, ALIKE].contains(&sink.name);
    let before = used(UsageWho::RUSAGE_CHILDREN)?;
    let mut sink = sink.start(Transport::Tcp)?;
    let file = reopened(source)?;
    let began = Instant::now();
    let mut command = client.command(sink.address.port());
    let mut cat = None;
    if feed == Feed::Pipe {
        let mut group = Group::spawn(Command::new("cat").stdin(file).stdout(Stdio::piped()))?;
        command.stdin(group.stdout()?);
        cat = Some(group);
    } else {
        command.stdin(file);
    }
    let mut group = Group::spawn(&mut command)?;
    // Its copy of the pipe's end would keep `cat` from noticing that the client has gone.
    drop(command);
    let status = group.wait()?;
    ensure!(status.success(), "{} ended with {status}", client.name);
    if !serves_on {
        sink.group.wait()?;
    }
    let wall = began.elapsed();
    drop(sink);
    let cpu = used(UsageWho::RUSAGE_CHILDREN)? - before;
    if let Some(mut cat) = cat {
        ensure!(
            cat.wait()?.success(),
            "{} did not take all of the file",
            client.name
        );
    }
    Ok((wall, cpu))
}

/// A description of its own of the same file, so that every reader begins at the start.
pub(super) fn reopened(source: &File) -> Result<File> {
    File::open(format!("/proc/self/fd/{}", source.as_raw_fd())).context("reopening the file")
}

/// A file without a name, which goes with the process however that ends.
pub(super) fn source(gib: u64) -> Result<File> {
    let mut file = tempfile::tempfile_in("/dev/shm").context("making a file in /dev/shm")?;
    let block: Vec<u8> = (0..1 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for _ in 0..gib * 1024 {
        file.write_all(&block)
            .context("filling the file in /dev/shm")?;
    }
    Ok(file)
}
