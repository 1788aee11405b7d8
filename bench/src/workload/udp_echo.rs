//! UDP echo and upper: 64-byte datagrams, 1 and 64 of them in flight.

use anyhow::Result;

use super::Plan;
use super::turns::{Load, turns};
use crate::contender::{Server, Transport};
use crate::load::{Watched, Window, udp};
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
    let upper = service == "upper";
    let cases = WINDOWS.map(|size| (Flight { size, upper }, table(service, size)));
    Ok(turns(plan, &plan.programs.udp(service), cases))
}

struct Flight {
    size: usize,
    /// Whether answers are capitals.
    upper: bool,
}

impl Load for Flight {
    const TRANSPORT: Transport = Transport::Udp;
    type Open = ();

    fn open(&self, _: &Server) -> Result<()> {
        Ok(())
    }

    fn watch(&self, (): &(), server: &Server, window: Window) -> Result<Watched> {
        udp::closed_loop(server.address, self.size, self.upper, &server.group, window)
    }

    fn figures(watched: &Watched) -> Vec<f64> {
        vec![
            watched.rate(),
            watched.cost(),
            watched.lost(),
            watched.foreign(),
        ]
    }
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
