//! Who looks after a child: passes on what it complains about, and sees it and its whole group to their end.

use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::session::Observer;

/// All keepers of the process: they outlive the sessions that their children were for.
static KEEPERS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Cancelled when the program ends.
static THE_END: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// The longest line of standard error that is told as one.
const LINE: usize = 4096;

/// How long the last lines of a child that has ended are waited for, if somebody else holds its standard
/// error open.
const LAST_LINES: Duration = Duration::from_millis(100);

/// How often it is looked whether a group that was told to end is empty.
const LOOK: Duration = Duration::from_millis(5);

/// How often it is looked whether a group whose leader has ended is empty.
const WATCH: Duration = Duration::from_millis(500);

/// Ends every child that is left, and returns when all have gone. For the end of a program: children that
/// are started later end at once.
pub async fn end_children() {
    THE_END.cancel();
    KEEPERS.close();
    KEEPERS.wait().await;
}

/// One child.
pub(super) struct Keeper {
    pub(super) child: Child,
    pub(super) group: Group,
    pub(super) exit: watch::Sender<Option<ExitStatus>>,
    /// Cancelled when nobody talks to the child any more.
    pub(super) left: CancellationToken,
    pub(super) grace: Duration,
}

impl Keeper {
    /// Looks after the child on a task of its own; `held` is let go of when its group is gone.
    pub(super) fn start(
        self,
        stderr: Option<ChildStderr>,
        tag: String,
        observer: Option<Arc<dyn Observer>>,
        held: OwnedSemaphorePermit,
    ) {
        crate::task::spawn(&KEEPERS, async move {
            let mut complaints = pin!(async {
                if let Some(stderr) = stderr {
                    tell(stderr, |line| {
                        if let Some(observer) = &observer {
                            observer.note(&format!("{tag}: {line}"));
                        }
                    })
                    .await;
                }
            });
            self.keep(complaints.as_mut()).await;
            drop(held);
        });
    }

    async fn keep(mut self, mut complaints: Pin<&mut impl Future<Output = ()>>) {
        let mut told = false;
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status.ok(),
                () = over(&self.left) => break None,
                () = &mut complaints, if !told => told = true,
            }
        };
        if status.is_some() {
            // What it said last comes before its end.
            told = told || timeout(LAST_LINES, &mut complaints).await.is_ok();
            self.group.ended = self.group.is_empty();
            self.exit.send_replace(status);
            // Whoever it has started may still talk to the peer.
            tokio::select! {
                () = over(&self.left) => {}
                () = async { self.group.emptied().await; pending().await } => {}
                () = async { complaints.await; pending().await }, if !told => {}
            }
        }
        let Self {
            mut child,
            group,
            exit,
            grace,
            ..
        } = self;
        group.end(&mut child, grace).await;
        // Reaped long ago, or just now.
        exit.send_replace(child.wait().await.ok());
    }
}

async fn over(left: &CancellationToken) {
    tokio::select! {
        () = left.cancelled() => {}
        () = THE_END.cancelled() => {}
    }
}

/// A child's process group: the child, and whatever it has started and that has not left the group.
#[derive(Debug)]
pub(super) struct Group {
    id: Option<Pid>,
    /// Nobody is in it any more, and its number may be somebody else's.
    ended: bool,
}

impl Group {
    /// The child leads it, so it has the child's number.
    pub(super) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            id: id.and_then(Pid::from_raw),
            ended: false,
        }
    }

    fn is_empty(&self) -> bool {
        let Some(id) = self.id else { return true };
        self.ended || test_kill_process_group(id) == Err(Errno::SRCH)
    }

    /// Waits until nobody is in it, and forgets its number. As long as somebody is, the kernel gives it to no other
    /// process; who knows when it does after that.
    async fn emptied(&mut self) {
        while !self.is_empty() {
            sleep(WATCH).await;
        }
        self.ended = true;
    }

    fn signal(&self, signal: Signal) {
        if let (Some(id), false) = (self.id, self.ended) {
            // Who has gone meanwhile needs none.
            let _ = kill_process_group(id, signal);
        }
    }

    /// SIGTERM, and SIGKILL for those who are left after `grace`. The child is reaped.
    async fn end(mut self, child: &mut Child, grace: Duration) {
        let reaped = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        self.signal(Signal::TERM);
        let due = Instant::now() + grace;
        while !(reaped(child) && self.is_empty()) {
            if Instant::now() >= due {
                self.signal(Signal::KILL);
                break;
            }
            sleep(LOOK).await;
        }
        self.ended = true;
    }
}

/// Also when the runtime ends: nothing is left behind.
impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads lines and tells each. A line that is too long is told in parts, none of it is left out.
pub(super) async fn tell(mut source: impl AsyncRead + Unpin, mut each: impl FnMut(&str)) {
    let mut buffer = Vec::new();
    loop {
        let mut chunk = [0; 512];
        let n = match source.read(&mut chunk).await {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        buffer.extend_from_slice(&chunk[..n]);
        while let Some(end) = line_end(&buffer) {
            let rest = buffer.split_off(end);
            let line = String::from_utf8_lossy(&buffer);
            each(line.trim_end_matches(['\n', '\r']));
            buffer = rest;
        }
        if n == 0 {
            if !buffer.is_empty() {
                each(&String::from_utf8_lossy(&buffer));
            }
            return;
        }
    }
}

/// Where the first line ends, with its line end; where it is cut if it is too long.
fn line_end(buffer: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', buffer).map(|at| at + 1);
    let long = (buffer.len() >= LINE).then_some(LINE);
    match (end, long) {
        (Some(end), Some(long)) => Some(end.min(long)),
        (end, long) => end.or(long),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::process::Command;

    use super::*;

    /// A shell that has left somebody behind, who ends with the pipe.
    fn command() -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec 3<&0; cat <&3 >/dev/null &"])
            .stdin(Stdio::piped())
            .process_group(0);
        command
    }

    #[tokio::test]
    async fn a_group_is_forgotten_when_its_last_member_has_gone_and_not_before() {
        let mut child = command().spawn().unwrap();
        let pipe = child.stdin.take();
        let mut group = Group::of(&child);
        child.wait().await.unwrap();
        {
            let mut emptied = pin!(group.emptied());
            let early = timeout(Duration::from_millis(20), &mut emptied).await;
            assert!(early.is_err(), "somebody is left in it");
            drop(pipe);
            let limit = Duration::from_secs(10);
            timeout(limit, emptied).await.expect("nobody is left in it");
        }
        assert!(group.ended);
        // Its number may be anyone's now: here it is another group's, which hears nothing of us.
        let mut other = Command::new("cat");
        let mut other = other
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        group.id = other.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        group.signal(Signal::KILL);
        drop(group);
        drop(other.stdin.take());
        let status = other.wait().await.unwrap();
        assert!(status.code().is_some(), "{status}");
    }
}
