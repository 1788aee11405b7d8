//! TCP echo of 64-byte messages over 1, 64 and 1000 connections.

use std::time::Duration;

use anyhow::Result;

use super::{Plan, rounds};
use crate::contender::Transport;
use crate::load::tcp;
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("msg/s", 0), ("server µs/msg", 2), ("others' CPUs", 2)];
const CONNECTIONS: [usize; 3] = [1, 64, 1000];

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let mut tables = CONNECTIONS.map(table);
    let limit = (plan.window.warm + plan.window.length) * 3 + Duration::from_secs(30);
    rounds(
        plan.rounds,
        &plan.programs.tcp_echo(),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Tcp)?;
            for (connections, table) in CONNECTIONS.into_iter().zip(&mut tables) {
                // Two processes a connection: what they do at 64 says enough.
                if connections > 64 && matches!(contender.name, "ncat" | "socat") {
                    continue;
                }
                let streams = tcp::connect(server.address, connections)?;
                let watched = match streams.as_slice() {
                    [only] => tcp::ping_pong(only, &server.group, plan.window)?,
                    all => tcp::many(all, &server.group, plan.window)?,
                };
                table.add(
                    contender.name,
                    round,
                    vec![watched.rate(), watched.cost(), watched.foreign()],
                );
            }
            Ok(())
        },
    );
    Ok(tables.into())
}

fn table(connections: usize) -> Table {
    let place = if connections == 1 {
        ", client and server on one CPU"
    } else {
        ""
    };
    let title = format!("tcp-echo: 64-byte messages, connections: {connections}{place}");
    let mut goals = vec![
        // What it costs that the port also speaks TLS and HTTP.
        Goal::ratio(0, "sockeye tcp://", AtLeast(0.97)),
        Goal::ratio(1, "sockeye tcp://", Shown),
        Goal::ratio(0, "tokio", AtLeast(0.95)),
        Goal::ratio(1, "tokio", Shown),
        Goal::ratio(0, "epoll", AtLeast(0.9)),
        Goal::ratio(1, "epoll", Shown),
    ];
    match connections {
        64 => {
            goals.extend(["python", "ncat", "socat"].map(|peer| Goal::ratio(0, peer, AtLeast(2.5))))
        }
        1000 => goals.push(Goal::ratio(0, "python", AtLeast(5.0))),
        _ => goals.extend(["python", "ncat", "socat"].map(|peer| Goal::ratio(0, peer, Shown))),
    }
    Table::new(title, COLUMNS, goals)
}
