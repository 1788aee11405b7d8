//! UDP from a sender that sends in bursts: as much as goes, and a steady rate of which nothing may be lost.

use std::time::Duration;

use anyhow::Result;

use super::{Plan, rounds};
use crate::contender::Transport;
use crate::load::burst::{self, BURST, Bursts};
use crate::report::Bound::{AtLeast, AtMost, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[
    ("echoed/s", 0),
    ("sent/s", 0),
    ("loss %", 2),
    ("server µs/dgram", 2),
    ("others' CPUs", 2),
];
/// 32 datagrams every 160 µs are 200,000 a second.
const PACE: Duration = Duration::from_micros(160);

pub(super) fn flood(plan: &Plan) -> Result<Vec<Table>> {
    let title = format!("udp-flood: 1200-byte datagrams, {BURST} per GSO send, without a pause");
    let goals = vec![
        Goal::ratio(0, "tokio", AtLeast(5.0)),
        Goal::ratio(3, "tokio", Shown),
        Goal::ratio(0, "python", Shown),
    ];
    let table = Table::new(title, COLUMNS, goals);
    Ok(vec![run(
        plan,
        Bursts {
            size: 1200,
            pace: None,
        },
        table,
    )])
}

pub(super) fn paced(plan: &Plan) -> Result<Vec<Table>> {
    let title = format!("udp-paced: 64-byte datagrams, {BURST} every {PACE:?}");
    let goals = vec![Goal::figure(2, AtMost(0.0)), Goal::ratio(3, "tokio", Shown)];
    let table = Table::new(title, COLUMNS, goals);
    Ok(vec![run(
        plan,
        Bursts {
            size: 64,
            pace: Some(PACE),
        },
        table,
    )])
}

fn run(plan: &Plan, bursts: Bursts, mut table: Table) -> Table {
    let limit = plan.window.warm + plan.window.length + Duration::from_secs(20);
    rounds(
        plan.rounds,
        &plan.programs.udp("echo"),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Udp)?;
            let outcome = burst::run(server.address, bursts, &server.group, plan.window)?;
            let watched = outcome.watched;
            let (rate, offered, loss) = (watched.rate(), watched.offered(), outcome.loss * 100.0);
            let figures = vec![rate, offered, loss, watched.cost(), watched.foreign()];
            table.add(contender.name, round, figures);
            Ok(())
        },
    );
    table
}
