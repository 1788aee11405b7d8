//! WebSocket echo over 64 connections: small messages, larger ones, and small ones in batches.

use std::time::Duration;

use anyhow::Result;

use super::{Plan, rounds};
use crate::contender::Transport;
use crate::load::{tcp, ws};
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("msg/s", 0), ("server µs/msg", 2), ("others' CPUs", 2)];
const CONNECTIONS: usize = 64;

/// How large a message is, how many are sent at once, and what is to be reached: times uWebSockets.js.
const LOADS: [(usize, usize, f64); 3] = [(64, 1, 0.9), (16 * 1024, 1, 1.3), (64, 16, 1.0)];

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let mut tables = LOADS.map(table);
    let limit = (plan.window.warm + plan.window.length) * 3 + Duration::from_secs(30);
    rounds(
        plan.rounds,
        &plan.programs.ws_echo(),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Tcp)?;
            for ((size, depth, _), table) in LOADS.into_iter().zip(&mut tables) {
                let opened = (0..CONNECTIONS).map(|_| ws::open(server.address));
                let streams = opened.collect::<Result<Vec<_>>>()?;
                let talk = ws::talk(size, depth);
                let watched = tcp::talk(&streams, &talk, &server.group, plan.window)?;
                // Answers are counted by the batch.
                let depth = depth as f64;
                table.add(
                    contender.name,
                    round,
                    vec![
                        watched.rate() * depth,
                        watched.cost() / depth,
                        watched.foreign(),
                    ],
                );
            }
            Ok(())
        },
    );
    Ok(tables.into())
}

fn table((size, depth, goal): (usize, usize, f64)) -> Table {
    let batch = match depth {
        1 => String::new(),
        _ => format!(", {depth} at once"),
    };
    let title =
        format!("ws-echo: binary messages of {size} bytes{batch}, connections: {CONNECTIONS}");
    let goals = vec![
        Goal::ratio(0, "uWebSockets.js", AtLeast(goal)),
        Goal::ratio(1, "uWebSockets.js", Shown),
        Goal::ratio(0, "tungstenite", AtLeast(1.0)),
        Goal::ratio(1, "tungstenite", Shown),
        Goal::ratio(0, "node ws", AtLeast(2.5)),
    ];
    Table::new(title, COLUMNS, goals)
}
