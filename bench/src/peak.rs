//! The most memory that a process has had, and those that it started: asked again and again, until it ends.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is asked: the kernel keeps the peak, so that only the last moment is missed.
const EVERY: Duration = Duration::from_millis(10);

/// The watch over some processes.
pub(crate) struct Peaks {
    over: Arc<AtomicBool>,
    watch: Option<JoinHandle<Vec<u64>>>,
}

impl Peaks {
    /// Of the processes with these numbers.
    pub(crate) fn watch(leaders: Vec<i32>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let watch = thread::spawn(move || {
            let mut peaks = vec![0; leaders.len()];
            while !ends.load(Ordering::Relaxed) {
                for (peak, leader) in peaks.iter_mut().zip(&leaders) {
                    *peak = resident(*leader).max(*peak);
                }
                thread::sleep(EVERY);
            }
            peaks
        });
        Self {
            over,
            watch: Some(watch),
        }
    }

    /// The peaks in MiB of resident memory, in the order of the processes; those of a family are added up.
    pub(crate) fn end(mut self) -> Vec<f64> {
        self.over.store(true, Ordering::Relaxed);
        let peaks = self.watch.take().map(JoinHandle::join);
        let peaks = peaks.and_then(Result::ok).unwrap_or_default();
        peaks.iter().map(|kib| *kib as f64 / 1024.0).collect()
    }
}

impl Drop for Peaks {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The processes that a process has started and not waited for, which for those that leave its group is the only sign.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// In KiB, as `VmHWM` of proc(5) has it.
fn resident(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let own = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    own.unwrap_or(0) + children(pid).into_iter().map(resident).sum::<u64>()
}
