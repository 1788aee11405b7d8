//! The load generators, the same for every contender, and the window in which they are watched.

pub(crate) mod burst;
pub(crate) mod download;
pub(crate) mod h3;
pub(crate) mod room;
pub(crate) mod tcp;
pub(crate) mod udp;
pub(crate) mod ws;

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::UsageWho;
use nix::unistd::Pid;

use crate::process::{self, Group};

/// How long a load runs: first unwatched, then watched.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) warm: Duration,
    pub(crate) length: Duration,
}

/// What load threads tell the watcher, and the word to stop.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) lost: AtomicU64,
    stop: AtomicBool,
}

impl Counters {
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What happened within a window, or in several.
#[derive(Default)]
pub(crate) struct Watched {
    sent: u64,
    done: u64,
    lost: u64,
    wall: Duration,
    server: Duration,
    others: Duration,
}

impl AddAssign for Watched {
    fn add_assign(&mut self, more: Self) {
        self.sent += more.sent;
        self.done += more.done;
        self.lost += more.lost;
        self.wall += more.wall;
        self.server += more.server;
        self.others += more.others;
    }
}

impl Watched {
    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.wall.as_secs_f64()
    }

    /// Requests per second.
    pub(crate) fn offered(&self) -> f64 {
        self.sent as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds of server CPU per answer.
    pub(crate) fn cost(&self) -> f64 {
        self.server.as_secs_f64() * 1e6 / self.done.max(1) as f64
    }

    /// Requests that nothing came back for.
    pub(crate) fn lost(&self) -> f64 {
        self.lost as f64
    }

    /// CPUs that neither the server nor the bench used: the noise of the sample.
    pub(crate) fn foreign(&self) -> f64 {
        self.others.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Lets the load warm up, then takes the difference over the window. Counters and CPU are read in the
/// same order at both ends, so that what the reading itself takes is left out of neither.
pub(crate) fn watch(counters: &Counters, server: &Group, window: Window) -> Result<Watched> {
    thread::sleep(window.warm);
    let before = Snapshot::take(counters, server)?;
    thread::sleep(window.length);
    let after = Snapshot::take(counters, server)?;
    let wall = after.at - before.at;
    let used = |pick: fn(&Snapshot) -> Duration| pick(&after).saturating_sub(pick(&before));
    let server = used(|shot| shot.server);
    let others = used(|shot| shot.machine).saturating_sub(server + used(|shot| shot.own));
    Ok(Watched {
        sent: after.sent - before.sent,
        done: after.done - before.done,
        lost: after.lost - before.lost,
        wall,
        server,
        others,
    })
}

struct Snapshot {
    at: Instant,
    sent: u64,
    done: u64,
    lost: u64,
    server: Duration,
    machine: Duration,
    own: Duration,
}

impl Snapshot {
    fn take(counters: &Counters, server: &Group) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            sent: counters.sent.load(Ordering::Relaxed),
            done: counters.done.load(Ordering::Relaxed),
            lost: counters.lost.load(Ordering::Relaxed),
            server: server.cpu(),
            machine: process::machine()?,
            own: process::used(UsageWho::RUSAGE_SELF)?,
        })
    }
}

/// The CPUs this process may use.
pub(crate) fn cpus() -> Result<CpuSet> {
    sched_getaffinity(Pid::from_raw(0)).context("asking for the CPUs")
}

/// The first of them alone. A closed loop of one message never has client and server running at once;
/// on two cores such a loop measures how fast an idle core wakes up, which says nothing of the server.
pub(crate) fn one_cpu() -> Result<CpuSet> {
    let all = cpus()?;
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap_or(false));
    one.set(first.context("no CPU to run on")?)
        .context("naming a CPU")?;
    Ok(one)
}

/// Confines the calling thread.
pub(crate) fn pin(set: &CpuSet) -> Result<()> {
    sched_setaffinity(Pid::from_raw(0), set).context("confining a load thread")
}
