//! A transfer that is drawn while it happens: how much slower that makes it, and whether every header was seen.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::UsageWho;

use super::bulk::{Feed, reopened, source, transfer};
use super::{Plan, rounds};
use crate::contender::{Contender, free_port};
use crate::process::{Group, used};
use crate::report::Bound::{AtLeast, AtMost, Shown};
use crate::report::{Column, Goal, Table};

const LIMIT: Duration = Duration::from_secs(120);
const UNTRACED: &str = "untraced";

/// The throughput of a connection that is traced beside that of one that is not: from when it is accepted until its end
/// is read. What a program does before and after that it does once.
pub(super) fn overhead(plan: &Plan) -> Result<Vec<Table>> {
    const COLUMNS: &[Column] = &[
        ("GB/s", 2),
        ("CPU s/GB, both", 3),
        ("ms before and after", 0),
    ];
    let goals = vec![
        Goal::ratio(0, UNTRACED, AtLeast(0.9)),
        Goal::ratio(1, UNTRACED, Shown),
    ];
    let title = format!("trace-overhead: {} GiB, CLIENT < FILE", plan.gib);
    let mut table = Table::new(title, COLUMNS, goals);
    let picture = plan.programs.folder.path().join("picture.txt");
    let clients = [
        traced(plan, &picture)?,
        Contender::new(UNTRACED, &plan.programs.sockeye, "connect 127.0.0.1:{port}"),
    ];
    let source = source(plan.gib)?;
    let sink = "serve sink --json --once tcp://127.0.0.1:{port}";
    let sink = plan.programs.sockeye(sink);
    rounds(plan.rounds, &clients, LIMIT, |client, round| {
        let before = used(UsageWho::RUSAGE_CHILDREN)?;
        let (connection, wall) = connection(&sink, client, &source)?;
        let cpu = used(UsageWho::RUSAGE_CHILDREN)? - before;
        let gigabytes = plan.gib as f64 * 1.073_741_824;
        let figures = vec![
            gigabytes / connection,
            cpu.as_secs_f64() / gigabytes,
            (wall.as_secs_f64() - connection) * 1e3,
        ];
        table.add(client.name, round, figures);
        Ok(())
    });
    Ok(vec![table])
}

/// How many seconds the connection was there, as the sink tells it, and how long the client was.
fn connection(sink: &Contender, client: &Contender, source: &File) -> Result<(f64, Duration)> {
    let port = free_port()?;
    let mut sink = Group::spawn(sink.command(port).stderr(Stdio::piped()))?;
    let mut told = BufReader::new(sink.stderr()?).lines();
    let mut hear = |event: &str| {
        let event = format!("\"event\":\"{event}\"");
        let found = told.by_ref().map_while(Result::ok);
        let mut found = found.filter(|line| line.contains(&event));
        found
            .next()
            .with_context(|| format!("the sink does not tell {event}"))
    };
    hear("listening")?;
    let source = reopened(source)?;
    let began = Instant::now();
    let status = Group::spawn(client.command(port).stdin(source))?.wait()?;
    let wall = began.elapsed();
    ensure!(status.success(), "{} ended with {status}", client.name);
    let close = hear("close")?;
    let seconds = close
        .rsplit_once("\"seconds\":")
        .map(|(_, rest)| rest.trim_end_matches('}'));
    let seconds = seconds.context("a close without its seconds")?.parse()?;
    ensure!(sink.wait()?.success(), "the sink failed");
    Ok((seconds, wall))
}

/// What was missed of it, and how long its picture is.
pub(super) fn capture(plan: &Plan) -> Result<Vec<Table>> {
    const COLUMNS: &[Column] = &[("GB/s", 2), ("missed packets", 0), ("lines", 0)];
    let goals = vec![
        Goal::figure(0, Shown),
        Goal::figure(1, AtMost(0.0)),
        Goal::figure(2, AtMost(200.0)),
    ];
    let title = format!("trace-capture: {} GiB, seen and drawn", plan.gib);
    let mut table = Table::new(title, COLUMNS, goals);
    let picture = plan.programs.folder.path().join("picture.txt");
    let clients = [traced(plan, &picture)?];
    let source = source(plan.gib)?;
    let sink = plan.programs.sockeye("serve sink tcp://127.0.0.1:{port}");
    rounds(plan.rounds, &clients, LIMIT, |client, round| {
        let (wall, _) = transfer(&sink, client, Feed::File, &source)?;
        let drawn = fs::read_to_string(&picture).context("reading the picture")?;
        let missed = drawn.lines().find_map(|line| {
            let count = line
                .trim()
                .strip_suffix(" packets came too fast and were not seen")?;
            count.parse::<f64>().ok()
        });
        let figures = vec![
            plan.gib as f64 * 1.073_741_824 / wall.as_secs_f64(),
            missed.unwrap_or(0.0),
            drawn.lines().count() as f64,
        ];
        table.add(client.name, round, figures);
        Ok(())
    });
    Ok(vec![table])
}

fn traced(plan: &Plan, picture: &Path) -> Result<Contender> {
    let picture = picture.to_str().context("a path that is no text")?;
    let words = format!("connect --trace={picture} 127.0.0.1:{{port}}");
    Ok(plan.programs.sockeye(&words))
}
