//! HTTP/3, against caddy: GET of a few bytes, and the download of a large file.

use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Plan, rounds};
use crate::caddy;
use crate::contender::{Contender, Transport, present};
use crate::load::Watched;
use crate::load::download::Unit;
use crate::load::h3::{Demand, fetch};
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const GETS: &[Column] = &[("GET/s", 0), ("server µs/GET", 2), ("others' CPUs", 2)];
const BYTES: &[Column] = &[("MB/s", 1), ("server s/GB", 3), ("others' CPUs", 2)];

const HELLO: Demand<'static> = Demand {
    path: "/",
    size: "hello\n".len(),
    connections: 4,
    requests: 16,
    unit: Unit::Files,
};

const LARGE: Demand<'static> = Demand {
    path: "/large.bin",
    size: 1 << 30,
    connections: 1,
    requests: 1,
    unit: Unit::Kib,
};

pub(super) fn get(plan: &Plan) -> Result<Vec<Table>> {
    let title = format!(
        "h3-get: 6 bytes, connections: {}, in flight on each: {}",
        HELLO.connections, HELLO.requests
    );
    let contenders = vec![
        ours(plan, "reply hello\\n"),
        caddy::hello(plan.programs.folder.path())?,
    ];
    Ok(measure(
        plan,
        contenders,
        HELLO,
        table(title, GETS),
        |watched| vec![watched.rate(), watched.cost(), watched.foreign()],
    ))
}

pub(super) fn file(plan: &Plan) -> Result<Vec<Table>> {
    let own = plan.programs.folder.path();
    let served = own.join("served-h3");
    fs::create_dir_all(&served).context("making a folder to serve")?;
    // Without holes it would take the bench's time and the machine's disk; both read the same.
    let large = File::create(served.join("large.bin")).context("writing large.bin")?;
    large
        .set_len(LARGE.size as u64)
        .context("writing large.bin")?;
    let contenders = vec![
        ours(plan, &format!("site {}", served.display())),
        caddy::files(own, &served)?,
    ];
    let title = "h3-file: a file of 1 GiB, over and over on one connection".to_owned();
    Ok(measure(
        plan,
        contenders,
        LARGE,
        table(title, BYTES),
        |watched| {
            // From KiB to MB, from microseconds to seconds.
            vec![
                watched.rate() * 1024.0 / 1e6,
                watched.cost() / 1024.0 * 1e3,
                watched.foreign(),
            ]
        },
    ))
}

fn ours(plan: &Plan, service: &str) -> Contender {
    let own = plan.programs.folder.path().display();
    plan.programs.sockeye(&format!(
        "serve {service} 127.0.0.1:{{port}} --cert {own}/cert.pem --key {own}/key.pem"
    ))
}

fn table(title: String, columns: &'static [Column]) -> Table {
    let goals = vec![
        Goal::ratio(0, "caddy", AtLeast(1.0)),
        Goal::ratio(1, "caddy", Shown),
    ];
    Table::new(title, columns, goals)
}

fn measure(
    plan: &Plan,
    contenders: Vec<Contender>,
    demand: Demand<'_>,
    mut table: Table,
    figures: impl Fn(&Watched) -> Vec<f64>,
) -> Vec<Table> {
    let own = plan.programs.folder.path();
    let limit = (plan.window.warm + plan.window.length) * 2 + Duration::from_secs(30);
    rounds(
        plan.rounds,
        &present(contenders),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Udp)?;
            let watched = fetch(server.address, demand, own, &server.group, plan.window)?;
            table.add(contender.name, round, figures(&watched));
            Ok(())
        },
    );
    vec![table]
}
