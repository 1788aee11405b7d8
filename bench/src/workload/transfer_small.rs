//! A folder of many small files, sent and verified, beside `scp -r` and what tar makes of them through nc.

use std::fs;

use anyhow::{Context, Result};

use super::Plan;
use super::transfer::{Area, MEMORY, NC, NC_SUMS, SCP, sockeye, tar, tar_with_sums};
use crate::daemons;
use crate::report::Bound::{AtLeast, AtMost, Shown};
use crate::report::{Column, Goal, Table};

const FILES: usize = 10_000;
const SIZE: usize = 4096;

/// In one folder of the tree.
const TOGETHER: usize = 100;

const COLUMNS: &[Column] = &[
    ("files/s", 0),
    ("sender CPU s", 3),
    ("receiver CPU s", 3),
    ("sender MiB", 1),
    ("receiver MiB", 1),
];

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let area = prepared()?;
    let (own, target) = (plan.programs.folder.path(), area.target());
    let what = area.source().display().to_string();
    let mut pairs = vec![
        sockeye(&plan.programs, &what, &target),
        tar(&plan.programs, &what, &target),
        tar_with_sums(&plan.programs, &what, &target),
    ];
    pairs.extend(daemons::rsync(own, &what, &target)?);
    pairs.extend(daemons::scp(own, &format!("-r {what}"), &target)?);
    let goals = vec![
        Goal::ratio(0, SCP, AtLeast(3.0)),
        Goal::ratio(0, NC, AtLeast(1.0)),
        Goal::ratio(0, NC_SUMS, AtLeast(1.0)),
        Goal::ratio(0, "rsync", Shown),
        Goal::figure(3, AtMost(MEMORY)),
        Goal::figure(4, AtMost(MEMORY)),
    ];
    let title = format!("transfer-small: {FILES} files of {SIZE} bytes, nc with tar");
    let table = Table::new(title, COLUMNS, goals);
    let all = (FILES, (FILES * SIZE) as u64);
    Ok(area.fill(plan, &pairs, table, all, FILES as f64))
}

fn prepared() -> Result<Area> {
    let area = Area::new()?;
    for folder in 0..FILES / TOGETHER {
        let folder = area.source().join(folder.to_string());
        fs::create_dir(&folder).context("making a folder in /dev/shm")?;
        for file in 0..TOGETHER {
            let content = [file as u8; SIZE];
            fs::write(folder.join(file.to_string()), content).context("filling /dev/shm")?;
        }
    }
    Ok(area)
}
