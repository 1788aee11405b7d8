//! Piped input to one byte stream: unchanged, and moved by the kernel where it can.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use tokio::sync::oneshot;

use super::Console;
use super::roster::{Member, Order};
use crate::args::Eof;

/// Standard input on its way to a socket, on a thread of its own.
pub(crate) struct Pipe {
    done: oneshot::Receiver<io::Result<()>>,
}

/// What is told when input is left.
pub(super) const UNREAD: &str =
    "the peer has finished, so standard input was not read to its end (--eof keep would)";

/// How often it is looked whether a pipe still brings something after the peer has finished.
pub(super) const LOOK: Duration = Duration::from_millis(20);

impl Pipe {
    pub(crate) fn start(socket: OwnedFd, member: &Member) -> Self {
        let (tell, done) = oneshot::channel();
        let info = member.info.clone();
        std::thread::spawn(move || {
            // Nobody may be left to hear it.
            let _ = tell.send(sockeye::pump(io::stdin(), socket, info.counters()));
        });
        Self { done }
    }

    /// Waits until the input has ended, or the peer has finished and nothing stands ready to be sent.
    pub(crate) async fn follow(mut self, member: Member, console: &Console) -> io::Result<()> {
        let keeps = matches!(console.at_end.eof, Eof::Keep(_));
        loop {
            tokio::select! {
                biased;
                pumped = &mut self.done => {
                    // The session may be over already.
                    let _ = member.orders.send(Order::End).await;
                    return pumped.unwrap_or(Ok(()));
                }
                () = console.over.cancelled() => return Ok(()),
                () = look(&member), if !keeps => {
                    if !stands_ready()? {
                        console.screen.tell(UNREAD).await;
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// The next moment to look whether the input still brings something, once the peer has finished.
async fn look(member: &Member) {
    member.finished.cancelled().await;
    tokio::time::sleep(LOOK).await;
}

/// Whether reading standard input would not block.
pub(super) fn stands_ready() -> io::Result<bool> {
    let stdin = rustix::stdio::stdin();
    if FileType::from_raw_mode(fstat(stdin)?.st_mode) == FileType::RegularFile {
        return Ok(true);
    }
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Ok(poll(
        &mut [PollFd::from_borrowed_fd(stdin, PollFlags::IN)],
        Some(&now),
    )? > 0)
}
