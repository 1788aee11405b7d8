//! Files from one folder in memory to another one: how the way of each contender is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::UsageWho;
use tempfile::TempDir;

use super::{Plan, rounds};
use crate::contender::{Contender, Programs, Transport, present};
use crate::peak::{Peaks, children};
use crate::process::{Group, goes_with_us, used};
use crate::report::Table;

const LIMIT: Duration = Duration::from_secs(120);

/// What both ends may need of memory at their worst, in MiB.
pub(super) const MEMORY: f64 = 64.0;

pub(super) const NC: &str = "nc";
pub(super) const NC_SUMS: &str = "nc, sums checked";
pub(super) const SCP: &str = "scp";
pub(super) const RSYNC: &str = "rsync";

/// A contender's server and its client.
pub(super) type Pair = (Contender, Contender);

/// Two folders in `/dev/shm`: what is sent, and where it lands.
pub(super) struct Area {
    folder: TempDir,
}

/// What one transfer took.
pub(super) struct Sample {
    pub(super) wall: Duration,
    /// CPU time of the sender and of the receiver.
    pub(super) cpu: [Duration; 2],
    /// Peak resident memory of both, in MiB.
    pub(super) memory: [f64; 2],
}

impl Area {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("sockeye-bench-")
            .tempdir_in("/dev/shm")
            .context("making a folder in /dev/shm")?;
        goes_with_us(folder.path().to_owned());
        let area = Self { folder };
        fs::create_dir(area.source())?;
        fs::create_dir(area.target())?;
        Ok(area)
    }

    pub(super) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Each pair has its turn in each round. A row is how much of `amount` moves in a second, and what both ends take for it:
    /// CPU in seconds, memory in MiB.
    pub(super) fn fill(
        &self,
        plan: &Plan,
        pairs: &[Pair],
        mut table: Table,
        all: (usize, u64),
        amount: f64,
    ) -> Vec<Table> {
        let clients = present(pairs.iter().map(|(_, client)| client.clone()).collect());
        rounds(plan.rounds, &clients, LIMIT, |client, round| {
            let pair = pairs.iter().find(|(server, _)| server.name == client.name);
            let pair = pair.context("a client without a server")?;
            let sample = self.transfer(pair, all)?;
            let figures = vec![
                amount / sample.wall.as_secs_f64(),
                sample.cpu[0].as_secs_f64(),
                sample.cpu[1].as_secs_f64(),
                sample.memory[0],
                sample.memory[1],
            ];
            table.add(client.name, round, figures);
            Ok(())
        });
        vec![table]
    }

    /// One transfer of `bytes` in `files` files into the emptied target: from the start of the client until the
    /// server has everything.
    pub(super) fn transfer(
        &self,
        (server, client): &Pair,
        (files, bytes): (usize, u64),
    ) -> Result<Sample> {
        fs::remove_dir_all(self.target())?;
        fs::create_dir(self.target())?;
        let start = used(UsageWho::RUSAGE_CHILDREN)?;
        let mut receiver = server.start(Transport::Tcp)?;
        let began = Instant::now();
        let mut sender = Group::spawn(&mut client.command(receiver.address.port()))?;
        let peaks = Peaks::watch(vec![sender.leader(), receiver.group.leader()]);
        let status = sender.wait()?;
        let sent = used(UsageWho::RUSAGE_CHILDREN)?;
        let mut ends = vec![status];
        if matches!(server.name, NC | NC_SUMS) {
            ends.push(receiver.group.wait()?);
        }
        let wall = began.elapsed();
        let memory = peaks.end();
        for status in ends {
            ensure!(status.success(), "{} ended with {status}", client.name);
        }
        // What a daemon has not waited for yet would not be counted.
        while began.elapsed() < LIMIT && !children(receiver.group.leader()).is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        drop(receiver);
        let done = used(UsageWho::RUSAGE_CHILDREN)?;
        let landed = count(&self.target())?;
        ensure!(
            landed == (files, bytes),
            "{} files of {} bytes landed",
            landed.0,
            landed.1
        );
        Ok(Sample {
            wall,
            cpu: [sent - start, done - sent],
            memory: [memory[0], memory[1]],
        })
    }
}

/// sockeye in the open.
pub(super) fn sockeye(programs: &Programs, what: &str, target: &Path) -> Pair {
    let target = target.display();
    let server = format!("serve files {target} --write tcp://127.0.0.1:{{port}}");
    let client = format!("send -q {what} tcp://127.0.0.1:{{port}}");
    (programs.sockeye(&server), programs.sockeye(&client))
}

/// sockeye through TLS.
pub(super) fn sockeye_tls(programs: &Programs, what: &str, target: &Path) -> Pair {
    let own = programs.folder.path().display();
    let target = target.display();
    let server = format!(
        "serve files {target} --write tls://127.0.0.1:{{port}} --cert {own}/cert.pem --key {own}/key.pem"
    );
    let client = format!(
        "send -q {what} tls://127.0.0.1:{{port}} --ca {own}/cert.pem --servername localhost"
    );
    (programs.sockeye(&server), programs.sockeye(&client))
}

/// nc, for one file.
pub(super) fn nc(programs: &Programs, what: &str, target: &Path) -> Pair {
    through_nc(programs, (NC, ""), what, target)
}

/// nc with tar, for a tree.
pub(super) fn tar(programs: &Programs, what: &str, target: &Path) -> Pair {
    through_nc(programs, (NC, "-tree"), what, target)
}

/// The same, with a list of sums that is checked where the tree lands.
pub(super) fn tar_with_sums(programs: &Programs, what: &str, target: &Path) -> Pair {
    through_nc(programs, (NC_SUMS, "-sums"), what, target)
}

fn through_nc(
    programs: &Programs,
    (name, verb): (&'static str, &str),
    what: &str,
    target: &Path,
) -> Pair {
    let script = programs.folder.path().join("transfer_nc.sh");
    let (script, target) = (script.display(), target.display());
    let server = format!("{script} take{verb} {{port}} {target}");
    let client = format!("{script} give{verb} {{port}} {what}");
    (
        Contender::new(name, "sh", &server).needs("nc"),
        Contender::new(name, "sh", &client).needs("nc"),
    )
}

/// How many files are in a folder, and how many bytes in them.
fn count(folder: &Path) -> Result<(usize, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder).context("looking at what landed")? {
        let entry = entry?;
        let facts = entry.metadata()?;
        let (more, size) = match facts.is_dir() {
            true => count(&entry.path())?,
            false => (1, facts.len()),
        };
        files += more;
        bytes += size;
    }
    Ok((files, bytes))
}
