//! TCP echo of 64-byte messages over 1, 64 and 1000 connections.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;

use super::turns::{Load, turns};
use super::{Plan, rounds};
use crate::contender::{Server, Transport};
use crate::load::{Watched, Window, tcp};
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("msg/s", 0), ("server µs/msg", 2), ("others' CPUs", 2)];
const CONNECTIONS: [usize; 3] = [1, 64, 1000];

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    Ok(near(plan).into_iter().chain(far(plan)).collect())
}

/// Beside servers with a thread or a process for each connection. They are faster in the first moments, before they are
/// in their own way, so each is watched without a pause.
fn far(plan: &Plan) -> [Table; 2] {
    let mut tables = [
        (64, &["python", "ncat", "socat"][..], 2.5),
        (1000, &["python"], 5.0),
    ]
    .map(|(connections, peers, least)| {
        let title = format!("tcp-echo: a thread or a process each, connections: {connections}");
        let goals = peers
            .iter()
            .map(|peer| Goal::ratio(0, peer, AtLeast(least)));
        (connections, Table::new(title, COLUMNS, goals.collect()))
    });
    let limit = (plan.window.warm + plan.window.length) * 3 + Duration::from_secs(30);
    rounds(
        plan.rounds,
        &plan.programs.tcp_threads(),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Tcp)?;
            for (connections, table) in &mut tables {
                // Two processes a connection: what they do at 64 says enough.
                if *connections > 64 && matches!(contender.name, "ncat" | "socat") {
                    continue;
                }
                let streams = tcp::connect(server.address, *connections)?;
                let watched = tcp::many(&streams, &server.group, plan.window)?;
                table.add(contender.name, round, figures(&watched));
            }
            Ok(())
        },
    );
    tables.map(|(_, table)| table)
}

fn figures(watched: &Watched) -> Vec<f64> {
    vec![watched.rate(), watched.cost(), watched.foreign()]
}

/// Beside bare loops.
fn near(plan: &Plan) -> Vec<Table> {
    let cases = CONNECTIONS.map(|count| (Connections(count), table(count)));
    turns(plan, &plan.programs.tcp_echo(), cases)
}

struct Connections(usize);

impl Load for Connections {
    const TRANSPORT: Transport = Transport::Tcp;
    type Open = Vec<TcpStream>;

    fn open(&self, server: &Server) -> Result<Self::Open> {
        tcp::connect(server.address, self.0)
    }

    fn watch(&self, open: &Self::Open, server: &Server, window: Window) -> Result<Watched> {
        match open.as_slice() {
            [only] => tcp::ping_pong(only, &server.group, window),
            all => tcp::many(all, &server.group, window),
        }
    }

    fn figures(watched: &Watched) -> Vec<f64> {
        figures(watched)
    }
}

fn table(connections: usize) -> Table {
    let place = if connections == 1 {
        ", client and server on one CPU"
    } else {
        ""
    };
    let title = format!("tcp-echo: 64-byte messages, connections: {connections}{place}");
    let goals = vec![
        // What it costs that the port also speaks TLS and HTTP.
        Goal::ratio(0, "sockeye tcp://", AtLeast(0.97)),
        Goal::ratio(1, "sockeye tcp://", Shown),
        Goal::ratio(0, "tokio", AtLeast(0.95)),
        Goal::ratio(1, "tokio", Shown),
        Goal::ratio(0, "epoll", AtLeast(0.9)),
        Goal::ratio(1, "epoll", Shown),
    ];
    Table::new(title, COLUMNS, goals)
}
