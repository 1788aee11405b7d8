//! UDP echo on a number on which QUIC is spoken, too, against the same on `udp://` alone.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Plan, rounds};
use crate::contender::{Contender, SOCKEYE, Transport};
use crate::load::udp;
use crate::quic;
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[
    ("datagrams/s", 0),
    ("server µs/dgram", 2),
    ("lost", 0),
    ("others' CPUs", 2),
];
const WINDOWS: [usize; 2] = [1, 64];
const ALONE: &str = "sockeye udp://";

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let programs = &plan.programs;
    let own = programs.folder.path();
    let mut alone = programs.sockeye("serve echo udp://127.0.0.1:{port}");
    alone.name = ALONE;
    let files = format!("--cert {0}/cert.pem --key {0}/key.pem", own.display());
    let shared = programs.sockeye(&format!("serve echo 127.0.0.1:{{port}} {files}"));
    let mut tables = WINDOWS.map(table);
    let limit = (plan.window.warm + plan.window.length) * 2 + Duration::from_secs(20);
    // Somebody speaks QUIC all the while, if little: what it costs begins with the first packet.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.context("starting a tokio runtime")?;
    rounds(
        plan.rounds,
        &[shared, alone],
        limit,
        |contender: &Contender, round| {
            let server = contender.start(Transport::Udp)?;
            let guest = match contender.name {
                SOCKEYE => {
                    Some(runtime.block_on(quic::connect(server.address, quic::STREAMS, own))?)
                }
                _ => None,
            };
            for (window, table) in WINDOWS.into_iter().zip(&mut tables) {
                let group = &server.group;
                let watched = udp::closed_loop(server.address, window, false, group, plan.window)?;
                let figures = vec![
                    watched.rate(),
                    watched.cost(),
                    watched.lost(),
                    watched.foreign(),
                ];
                table.add(contender.name, round, figures);
            }
            drop(guest);
            Ok(())
        },
    );
    Ok(tables.into())
}

fn table(window: usize) -> Table {
    let title = format!("udp-shared: 64-byte datagrams where QUIC is spoken, in flight: {window}");
    let goals = vec![
        Goal::ratio(0, ALONE, AtLeast(0.9)),
        Goal::ratio(1, ALONE, Shown),
    ];
    Table::new(title, COLUMNS, goals)
}
