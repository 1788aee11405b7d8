//! TCP echo of 64-byte messages over 1, 64 and 1000 connections.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;

use super::{Plan, rounds};
use crate::contender::{Contender, Server, Transport};
use crate::load::{Watched, Window, tcp};
use crate::process::Deadline;
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

/// What slows a virtual machine down comes and goes within a second. So those that may be nearly as fast as each other
/// take turns within a round.
const TURN: Window = Window {
    warm: Duration::from_millis(10),
    length: Duration::from_millis(50),
};

/// Beside bare loops.
fn near(plan: &Plan) -> Vec<Table> {
    let mut tables = CONNECTIONS.map(table);
    let contenders = plan.programs.tcp_echo();
    let mut failures = vec![0; contenders.len()];
    for round in 0..plan.rounds {
        let able = contenders.iter().zip(&mut failures);
        let able = able.filter(|(_, failures)| **failures < 2);
        let mut entrants: Vec<_> = able
            .map(|(contender, failures)| Entrant::new(contender, round, failures))
            .collect();
        let _deadline = Deadline::after(plan.window.length * 20 + Duration::from_secs(60));
        for entrant in &mut entrants {
            entrant.attempt(Entrant::start);
        }
        for (connections, table) in CONNECTIONS.into_iter().zip(&mut tables) {
            compare(&mut entrants, connections, plan.window);
            for entrant in &entrants {
                if let Some(watched) = &entrant.watched {
                    table.add(entrant.contender.name, round, figures(watched));
                }
            }
        }
    }
    tables.into()
}

/// Each is watched for `window`, turn by turn.
fn compare(entrants: &mut [Entrant<'_>], connections: usize, window: Window) {
    for entrant in &mut *entrants {
        entrant.attempt(|entrant| entrant.connect(connections, window.warm));
    }
    let turns = window.length.div_duration_f64(TURN.length).ceil() as usize;
    for turn in 0..turns {
        let (later, first) = entrants.split_at_mut(turn % entrants.len().max(1));
        for entrant in first.iter_mut().chain(later) {
            entrant.attempt(|entrant| entrant.turn(TURN));
        }
    }
}

/// A contender within a round.
struct Entrant<'a> {
    contender: &'a Contender,
    round: usize,
    failures: &'a mut usize,
    server: Option<Server>,
    streams: Vec<TcpStream>,
    watched: Option<Watched>,
}

impl<'a> Entrant<'a> {
    fn new(contender: &'a Contender, round: usize, failures: &'a mut usize) -> Self {
        Self {
            contender,
            round,
            failures,
            server: None,
            streams: Vec::new(),
            watched: None,
        }
    }

    /// A failure is told, and ends the round for it.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = work(self) {
            eprintln!("{}, round {}: {error:#}", self.contender.name, self.round);
            *self.failures += 1;
            self.server = None;
            self.streams.clear();
            self.watched = None;
        }
    }

    fn start(&mut self) -> Result<()> {
        self.server = Some(self.contender.start(Transport::Tcp)?);
        Ok(())
    }

    fn connect(&mut self, connections: usize, warm: Duration) -> Result<()> {
        self.streams.clear();
        self.watched = None;
        if let Some(server) = &self.server {
            self.streams = tcp::connect(server.address, connections)?;
            self.turn(Window { warm, ..TURN })?;
            self.watched = Some(Watched::default());
        }
        Ok(())
    }

    fn turn(&mut self, window: Window) -> Result<()> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let watched = match self.streams.as_slice() {
            [] => return Ok(()),
            [only] => tcp::ping_pong(only, &server.group, window)?,
            all => tcp::many(all, &server.group, window)?,
        };
        if let Some(sum) = &mut self.watched {
            *sum += watched;
        }
        Ok(())
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
