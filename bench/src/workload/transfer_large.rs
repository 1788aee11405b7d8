//! One file of 1 GiB, sent and verified, beside programs that check less: in the open and through TLS.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result};

use super::Plan;
use super::transfer::{Area, MEMORY, NC, Pair, RSYNC, SCP, nc, sockeye, sockeye_tls};
use crate::daemons;
use crate::report::Bound::{AtLeast, AtMost, Shown};
use crate::report::{Column, Goal, Table};

const BYTES: u64 = 1 << 30;

const COLUMNS: &[Column] = &[
    ("GB/s", 2),
    ("sender s/GiB", 3),
    ("receiver s/GiB", 3),
    ("sender MiB", 1),
    ("receiver MiB", 1),
];

pub(super) fn plain(plan: &Plan) -> Result<Vec<Table>> {
    let (area, what) = prepared()?;
    let (own, target) = (plan.programs.folder.path(), area.target());
    let mut pairs = vec![
        sockeye(&plan.programs, &what, &target),
        nc(&plan.programs, &what, &target),
    ];
    pairs.extend(daemons::rsync(own, &what, &target)?);
    pairs.extend(daemons::scp(own, &what, &target)?);
    let goals = [(NC, 0.95), (RSYNC, 1.0), (SCP, 2.0)];
    measure(plan, "transfer-1g: in the open", &area, &pairs, &goals)
}

pub(super) fn tls(plan: &Plan) -> Result<Vec<Table>> {
    let (area, what) = prepared()?;
    let (own, target) = (plan.programs.folder.path(), area.target());
    let mut pairs = vec![sockeye_tls(&plan.programs, &what, &target)];
    pairs.extend(daemons::scp(own, &what, &target)?);
    let goals = [(SCP, 1.5)];
    measure(plan, "transfer-tls: through TLS", &area, &pairs, &goals)
}

fn prepared() -> Result<(Area, String)> {
    let area = Area::new()?;
    let path = area.source().join("file");
    let mut file = File::create(&path).context("making a file in /dev/shm")?;
    let block: Vec<u8> = (0..1 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for _ in 0..BYTES >> 20 {
        file.write_all(&block)
            .context("filling the file in /dev/shm")?;
    }
    let what = path.display().to_string();
    Ok((area, what))
}

fn measure(
    plan: &Plan,
    title: &str,
    area: &Area,
    pairs: &[Pair],
    least: &[(&'static str, f64)],
) -> Result<Vec<Table>> {
    let mut goals = Vec::new();
    for (peer, least) in least {
        goals.push(Goal::ratio(0, peer, AtLeast(*least)));
        goals.push(Goal::ratio(1, peer, Shown));
        goals.push(Goal::ratio(2, peer, Shown));
    }
    goals.push(Goal::figure(3, AtMost(MEMORY)));
    goals.push(Goal::figure(4, AtMost(MEMORY)));
    let table = Table::new(format!("{title}, a file of 1 GiB"), COLUMNS, goals);
    Ok(area.fill(plan, pairs, table, (1, BYTES), BYTES as f64 / 1e9))
}
