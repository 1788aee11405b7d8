//! Processes that the bench started: each in a group of its own, accounted, pinned and ended as a group.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;

/// The groups now alive, for whoever has to end them all: Ctrl-C and a passed deadline.
static LIVE: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Folders that go with the bench, because nothing is dropped when it is ended.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// `/proc` counts in USER_HZ, which is 100 on every Linux ABI that Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// A child and everything it forks; all of it ends when this is dropped.
pub(crate) struct Group {
    leader: Child,
    id: Pid,
    reaped: bool,
}

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        // Held over the spawn, so that a Ctrl-C in between does not miss the new group.
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let leader = command.process_group(0).spawn();
        let leader = leader.with_context(|| format!("cannot start {command:?}"))?;
        let id = i32::try_from(leader.id()).context("a process id above 2^31")?;
        live.insert(id);
        Ok(Self {
            leader,
            id: Pid::from_raw(id),
            reaped: false,
        })
    }

    /// Runs a command to its end; gives its status and what it wrote.
    pub(crate) fn output(command: &mut Command, input: &[u8]) -> Result<(ExitStatus, Vec<u8>)> {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut group = Self::spawn(command)?;
        let mut stdin = group.leader.stdin.take().context("no stdin")?;
        // A command that does not read its stdin may have closed it already.
        let _ = stdin.write_all(input);
        drop(stdin);
        let mut text = Vec::new();
        group
            .stdout()?
            .read_to_end(&mut text)
            .context("reading a command's output")?;
        Ok((group.wait()?, text))
    }

    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        self.leader
            .stdout
            .take()
            .context("stdout is not a pipe or is taken")
    }

    pub(crate) fn stderr(&mut self) -> Result<ChildStderr> {
        self.leader
            .stderr
            .take()
            .context("stderr is not a pipe or is taken")
    }

    /// The number of its first process.
    pub(crate) fn leader(&self) -> i32 {
        self.id.as_raw()
    }

    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.leader.wait().context("waiting for a child")?;
        self.reaped = true;
        Ok(status)
    }

    /// The status if the leader has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self
            .leader
            .try_wait()
            .context("asking for a child's status")?;
        self.reaped = status.is_some();
        Ok(status)
    }

    /// CPU time of the group: every live thread to the nanosecond, and the children already reaped.
    /// Threads that have ended are not seen, so it is read while the connections are open.
    pub(crate) fn cpu(&self) -> Duration {
        let mut sum = Duration::ZERO;
        for member in self.members() {
            sum += member.reaped_children;
            for task in tasks(member.pid) {
                let path = format!("/proc/{}/task/{task}/schedstat", member.pid);
                // A thread may end between the listing and the reading.
                let line = fs::read_to_string(path).unwrap_or_default();
                let nanos = line.split(' ').next().and_then(|ran| ran.parse().ok());
                sum += Duration::from_nanos(nanos.unwrap_or(0));
            }
        }
        sum
    }

    /// Memory in KiB, pages shared with other processes counted by their share (PSS).
    pub(crate) fn memory(&self) -> u64 {
        let pss = |pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        self.members()
            .into_iter()
            .filter_map(|member| pss(member.pid))
            .sum()
    }

    /// Confines every thread of the group to `cpus`; threads started later inherit it.
    pub(crate) fn pin(&self, cpus: &CpuSet) {
        for task in self
            .members()
            .into_iter()
            .flat_map(|member| tasks(member.pid))
        {
            // Only a thread that has just ended refuses, and it does not matter any more.
            let _ = sched_setaffinity(Pid::from_raw(task), cpus);
        }
    }

    fn members(&self) -> Vec<Member> {
        let all = numbers("/proc").into_iter().filter_map(Member::read);
        all.filter(|member| member.group == self.id.as_raw())
            .collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            // The leader is not reaped yet, so its number cannot belong to anybody else.
            let _ = killpg(self.id, Signal::SIGKILL);
        }
        LIVE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id.as_raw());
        let _ = self.leader.wait();
    }
}

/// What `/proc/PID/stat` says about one process of a group.
struct Member {
    pid: i32,
    group: i32,
    reaped_children: Duration,
}

impl Member {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold blanks: count fields from behind it (proc(5): 3 is the state).
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
        Some(Self {
            pid,
            group: fields.get(2)?.parse().ok()?,
            reaped_children: TICK * (ticks(16)? + ticks(17)?),
        })
    }
}

fn tasks(pid: i32) -> Vec<i32> {
    numbers(&format!("/proc/{pid}/task"))
}

fn numbers(folder: &str) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// CPU time of this process, or of all children it has waited for.
pub(crate) fn used(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who).context("getrusage")?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}

/// Busy CPU time of the whole machine since it started.
pub(crate) fn machine() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    // user nice system (idle iowait) irq softirq steal
    let busy = fields
        .iter()
        .enumerate()
        .filter(|(i, _)| !matches!(i, 3 | 4) && *i < 8);
    Ok(Duration::from_millis(
        busy.map(|(_, ticks)| ticks * 10).sum(),
    ))
}

/// Ends every group when it is not dropped in time: a hung peer then shows as a failed sample.
pub(crate) struct Deadline(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let (done, over) = mpsc::channel::<()>();
        let watch = move || {
            if over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("not done after {limit:?}: ending what was started");
                end(&LIVE.lock().unwrap_or_else(PoisonError::into_inner));
            }
        };
        Self(Some((done, thread::spawn(watch))))
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some((done, watch)) = self.0.take() {
            drop(done);
            let _ = watch.join();
        }
    }
}

/// On Ctrl-C or SIGTERM this folder is removed.
pub(crate) fn goes_with_us(folder: PathBuf) {
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    folders.push(folder);
}

/// On Ctrl-C or SIGTERM ends the groups, which Ctrl-C does not reach by itself, and then the bench.
pub(crate) fn end_with_us() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let runtime = runtime.context("starting the signal watch")?;
    thread::spawn(move || {
        runtime.block_on(async {
            let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            let Ok(mut term) = term else { return };
            tokio::select! { _ = tokio::signal::ctrl_c() => {} _ = term.recv() => {} }
            // Held to the end, so that nothing new is started meanwhile.
            let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
            end(&live);
            for folder in &*FOLDERS.lock().unwrap_or_else(PoisonError::into_inner) {
                let _ = fs::remove_dir_all(folder);
            }
            std::process::exit(130);
        });
    });
    Ok(())
}

fn end(groups: &BTreeSet<i32>) {
    for group in groups {
        let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
}
