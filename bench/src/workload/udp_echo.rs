//! UDP echo and upper: 64-byte datagrams, 1 and 64 of them in flight.

use std::time::Duration;

use anyhow::Result;

use super::{Plan, rounds};
use crate::contender::Transport;
use crate::load::udp;
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[
    ("datagrams/s", 0),
    ("server µs/dgram", 2),
    ("lost", 0),
    ("others' CPUs", 2),
];
const WINDOWS: [usize; 2] = [1, 64];

pub(super) fn echo(plan: &Plan) -> Result<Vec<Table>> {
    run(plan, "echo")
}

pub(super) fn upper(plan: &Plan) -> Result<Vec<Table>> {
    run(plan, "upper")
}

fn run(plan: &Plan, service: &str) -> Result<Vec<Table>> {
    let mut tables = WINDOWS.map(|window| table(service, window));
    let limit = (plan.window.warm + plan.window.length) * 2 + Duration::from_secs(20);
    rounds(
        plan.rounds,
        &plan.programs.udp(service),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Udp)?;
            for (window, table) in WINDOWS.into_iter().zip(&mut tables) {
                let upper = service == "upper";
                let watched =
                    udp::closed_loop(server.address, window, upper, &server.group, plan.window)?;
                let figures = vec![
                    watched.rate(),
                    watched.cost(),
                    watched.lost(),
                    watched.foreign(),
                ];
                table.add(contender.name, round, figures);
            }
            Ok(())
        },
    );
    Ok(tables.into())
}

fn table(service: &str, window: usize) -> Table {
    let place = if window == 1 {
        ", client and server on one CPU"
    } else {
        ""
    };
    let title = format!("udp-{service}: 64-byte datagrams, in flight: {window}{place}");
    let goals = vec![
        Goal::ratio(0, "tokio", AtLeast(0.9)),
        Goal::ratio(1, "tokio", Shown),
        Goal::ratio(0, "python", if window == 64 { AtLeast(2.0) } else { Shown }),
    ];
    Table::new(title, COLUMNS, goals)
}
