//! Rounds in which all contenders are there at once and take turns.
//!
//! What slows a virtual machine down comes and goes within a second. Those that may be nearly as fast as each other are
//! compared more sharply when their turns are short, and one right after the other.

use std::time::Duration;

use anyhow::Result;

use super::Plan;
use crate::contender::{Contender, Server, Transport};
use crate::load::{Watched, Window};
use crate::process::Deadline;
use crate::report::Table;

const TURN: Window = Window {
    warm: Duration::from_millis(10),
    length: Duration::from_millis(50),
};

/// What is asked of a server.
pub(super) trait Load {
    const TRANSPORT: Transport;
    /// What stays open from turn to turn.
    type Open;

    fn open(&self, server: &Server) -> Result<Self::Open>;
    fn watch(&self, open: &Self::Open, server: &Server, window: Window) -> Result<Watched>;
    fn figures(watched: &Watched) -> Vec<f64>;
}

/// Has each contender watched under each of the loads for the plan's window, turn by turn. A failure is told and ends the
/// round for who failed; a contender that has failed twice is left out.
pub(super) fn turns<L: Load, const N: usize>(
    plan: &Plan,
    contenders: &[Contender],
    mut cases: [(L, Table); N],
) -> Vec<Table> {
    let mut failures = vec![0; contenders.len()];
    for round in 0..plan.rounds {
        let able = contenders.iter().zip(&mut failures);
        let able = able.filter(|(_, failures)| **failures < 2);
        let mut entrants: Vec<_> = able
            .map(|(contender, failures)| Entrant::new(contender, round, failures))
            .collect();
        let each = (plan.window.warm + plan.window.length * 2) * 3 + Duration::from_secs(20);
        let _deadline = Deadline::after(each * contenders.len() as u32);
        for entrant in &mut entrants {
            entrant.start(L::TRANSPORT);
        }
        for (load, table) in &mut cases {
            compare(&mut entrants, load, plan.window);
            for entrant in &entrants {
                if let Some(watched) = &entrant.watched {
                    table.add(entrant.contender.name, round, L::figures(watched));
                }
            }
        }
    }
    cases.into_iter().map(|(_, table)| table).collect()
}

fn compare<L: Load>(entrants: &mut [Entrant<'_>], load: &L, window: Window) {
    let first = Window {
        warm: window.warm,
        ..TURN
    };
    let open: Vec<_> = entrants
        .iter_mut()
        .map(|entrant| {
            let open = entrant.attempt(|server| load.open(server));
            entrant.turn(load, open.as_ref(), first);
            entrant.watched = None;
            open
        })
        .collect();
    let turns = window.length.div_duration_f64(TURN.length).ceil() as usize;
    for turn in 0..turns {
        // Another one begins, so that nobody always runs in the shadow of the same neighbour.
        let begins = turn % open.len().max(1);
        for index in (begins..open.len()).chain(0..begins) {
            entrants[index].turn(load, open[index].as_ref(), TURN);
        }
    }
}

/// A contender within a round.
struct Entrant<'a> {
    contender: &'a Contender,
    round: usize,
    failures: &'a mut usize,
    server: Option<Server>,
    watched: Option<Watched>,
}

impl<'a> Entrant<'a> {
    fn new(contender: &'a Contender, round: usize, failures: &'a mut usize) -> Self {
        Self {
            contender,
            round,
            failures,
            server: None,
            watched: None,
        }
    }

    fn start(&mut self, transport: Transport) {
        let started = self.contender.start(transport);
        self.server = self.heard(started);
    }

    fn turn<L: Load>(&mut self, load: &L, open: Option<&L::Open>, window: Window) {
        let Some(open) = open else { return };
        if let Some(watched) = self.attempt(|server| load.watch(open, server, window)) {
            *self.watched.get_or_insert_default() += watched;
        }
    }

    fn attempt<T>(&mut self, work: impl FnOnce(&Server) -> Result<T>) -> Option<T> {
        let done = work(self.server.as_ref()?);
        self.heard(done)
    }

    fn heard<T>(&mut self, done: Result<T>) -> Option<T> {
        done.inspect_err(|error| {
            eprintln!("{}, round {}: {error:#}", self.contender.name, self.round);
            *self.failures += 1;
            (self.server, self.watched) = (None, None);
        })
        .ok()
    }
}
