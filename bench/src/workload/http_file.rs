//! Static files over HTTP/1.1, against nginx with one worker: a small one often, a large one fast.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Plan, rounds};
use crate::contender::{Contender, Transport, present};
use crate::load::download::{Unit, fetch};
use crate::nginx;
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const SMALL: (&str, usize, usize) = ("small.bin", 1024, 64);
const LARGE: (&str, usize, usize) = ("large.bin", 100 << 20, 2);

const FILES: &[Column] = &[("files/s", 0), ("server µs/file", 2), ("others' CPUs", 2)];
const BYTES: &[Column] = &[("GB/s", 2), ("server s/GB", 3), ("others' CPUs", 2)];

/// sockeye with the congestion control that nginx runs under: on loopback it would choose reno.
const ALIKE: &str = "sockeye, system's CC";

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let own = plan.programs.folder.path();
    let served = own.join("served");
    fs::create_dir_all(&served).context("making a folder to serve")?;
    for (name, size, _) in [SMALL, LARGE] {
        let bytes: Vec<u8> = (0..size as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        fs::write(served.join(name), bytes).with_context(|| format!("writing {name}"))?;
    }
    let system = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    let system = system.as_deref().unwrap_or("cubic").trim().to_owned();
    let line = format!("serve site {} 127.0.0.1:{{port}}", served.display());
    let mut alike = plan
        .programs
        .sockeye(&format!("{line} --congestion {system}"));
    alike.name = ALIKE;
    let contenders = present(vec![
        plan.programs.sockeye(&line),
        alike,
        nginx::files(own, &served)?,
    ]);
    let mut tables = tables();
    let limit = (plan.window.warm + plan.window.length) * 2 + Duration::from_secs(30);
    rounds(plan.rounds, &contenders, limit, |contender, round| {
        sample(contender, round, plan, &mut tables)
    });
    Ok(tables.into())
}

fn sample(
    contender: &Contender,
    round: usize,
    plan: &Plan,
    [small, large]: &mut [Table; 2],
) -> Result<()> {
    let server = contender.start(Transport::Tcp)?;
    let fetched = |(name, _, connections): (&str, usize, usize), unit| {
        let path = format!("/{name}");
        let group = &server.group;
        fetch(server.address, &path, connections, unit, group, plan.window)
    };
    let watched = fetched(SMALL, Unit::Files)?;
    let figures = vec![watched.rate(), watched.cost(), watched.foreign()];
    small.add(contender.name, round, figures);
    let watched = fetched(LARGE, Unit::Kib)?;
    // From KiB to GB, from microseconds to seconds.
    let figures = vec![
        watched.rate() * 1024.0 / 1e9,
        watched.cost() / 1024.0 * 1e3,
        watched.foreign(),
    ];
    large.add(contender.name, round, figures);
    Ok(())
}

fn tables() -> [Table; 2] {
    let goals = |least| {
        vec![
            Goal::ratio(0, "nginx", least),
            Goal::ratio(1, "nginx", Shown),
            Goal::ratio(0, ALIKE, Shown),
        ]
    };
    let title = |size, connections| {
        format!("http-file: a file of {size}, keep-alive connections: {connections}")
    };
    [
        Table::new(title("1 KiB", SMALL.2), FILES, goals(AtLeast(0.9))),
        Table::new(title("100 MiB", LARGE.2), BYTES, goals(AtLeast(0.95))),
    ]
}
