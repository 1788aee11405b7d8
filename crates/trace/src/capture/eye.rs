//! Looks at what a lookout lets through, in one of two ways that see the same.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::GetSockOpt as _;
use nix::sys::socket::sockopt::GetStruct;

use socket2::Socket;

use super::filter;
use super::queue::Queue;
use super::ring::Ring;
use super::{Lookout, Seen};

#[derive(Clone, Copy, Debug)]
struct Statistics;

nix::getsockopt_impl!(
    Statistics,
    libc::SOL_PACKET,
    libc::PACKET_STATISTICS,
    libc::tpacket_stats,
    GetStruct<libc::tpacket_stats>
);

/// Reads the packets of a [`Lookout`], one by one.
#[derive(Debug)]
pub struct Eye {
    lookout: Lookout,
    /// Where the kernel has one; else everything stands in the queue.
    ring: Option<Ring>,
    /// Made when something stands there.
    queue: Option<Queue>,
    missed: u64,
}

impl Eye {
    pub(super) fn new(lookout: Lookout, ring: Option<Ring>) -> Self {
        Self {
            lookout,
            ring,
            queue: None,
            missed: 0,
        }
    }

    /// The next packet, if one is there.
    ///
    /// # Errors
    /// As reading a socket.
    pub fn look(&mut self) -> io::Result<Option<Seen<'_>>> {
        let socket = &self.lookout.0.socket;
        let Some(ring) = &mut self.ring else {
            let queue = self.queue.get_or_insert_with(Queue::new);
            return queue.look(socket, false);
        };
        let Some(frame) = ring.look() else {
            return Ok(None);
        };
        let mut data = frame.data;
        if frame.is_queued {
            // The kernel puts it there before it says that the frame is ready, and both are in one order.
            let queue = self.queue.get_or_insert_with(Queue::new);
            if let Some(whole) = queue.look(socket, true)? {
                // The kernel has not cut it.
                data = &whole.data[..filter::kept(whole.data, self.lookout.snap())];
            }
        }
        Ok(Some(Seen {
            time: frame.time,
            data,
            outbound: frame.outbound,
        }))
    }

    #[cfg(test)]
    pub(super) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Waits until a packet is there, or something on `also`, or for this long. Whether something is on `also`.
    ///
    /// # Errors
    /// As ppoll(2).
    pub fn wait(&self, also: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
        let socket = &self.lookout.0.socket;
        let mut sockets =
            [socket.as_fd(), also].map(|socket| PollFd::new(socket, PollFlags::POLLIN));
        match ppoll(&mut sockets, Some(limit.into()), None) {
            Ok(_) => {
                // An interface went down: the others are still there, and of a ring nobody else takes note of it.
                if self.ring.is_some() && has(&sockets[0], PollFlags::POLLERR) {
                    socket.take_error()?;
                }
                Ok(has(&sockets[1], PollFlags::POLLIN | PollFlags::POLLHUP))
            }
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How many packets were missed because they were not read soon enough.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn missed(&mut self) -> io::Result<u64> {
        self.missed += missed_since(&self.lookout.0.socket)?;
        Ok(self.missed)
    }
}

/// How many packets a socket has missed since this was asked last.
pub(super) fn missed_since(socket: &Socket) -> io::Result<u64> {
    Ok(Statistics.get(socket)?.tp_drops.into())
}

fn has(socket: &PollFd<'_>, one_of: PollFlags) -> bool {
    let events = socket.revents();
    events.is_some_and(|events| events.intersects(one_of))
}
