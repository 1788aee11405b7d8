//! Reads what a lookout lets through, many packets with one system call.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::sockopt::GetStruct;
use nix::sys::socket::{
    ControlMessageOwned, GetSockOpt as _, LinkAddr, MsgFlags, MultiHeaders, RecvMsg, recvmmsg,
};
use nix::sys::time::TimeSpec;

use super::{Lookout, Seen, WHOLE, nanoseconds, now};

/// As many packets are read at once.
const BATCH: usize = 64;

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
    headers: MultiHeaders<LinkAddr>,
    /// Room for a batch; what was never needed takes no memory.
    room: Vec<u8>,
    batch: Vec<Kept>,
    next: usize,
    missed: u64,
}

/// What stands in one part of the room.
#[derive(Clone, Copy, Debug)]
struct Kept {
    time: u64,
    length: usize,
    outbound: bool,
}

impl Kept {
    fn of(message: &RecvMsg<'_, '_, LinkAddr>) -> Self {
        let mut said = message.cmsgs().into_iter().flatten();
        let time = said.find_map(|said| match said {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(nanoseconds(stamp)),
            _ => None,
        });
        let outgoing = i32::from(libc::PACKET_OUTGOING);
        Self {
            time: time.unwrap_or_else(now),
            length: message.bytes,
            outbound: message
                .address
                .is_some_and(|from| i32::from(from.pkttype()) == outgoing),
        }
    }
}

impl Eye {
    pub(super) fn new(lookout: Lookout) -> Self {
        // Times alone are said beside packets, so that what a batch was told does not limit what the next one is.
        let said = nix::cmsg_space!(TimeSpec);
        Self {
            lookout,
            headers: MultiHeaders::preallocate(BATCH, Some(said)),
            room: vec![0; BATCH * WHOLE as usize],
            batch: Vec::with_capacity(BATCH),
            next: 0,
            missed: 0,
        }
    }

    /// The next packet, if one is there.
    ///
    /// # Errors
    /// As reading a socket.
    pub fn look(&mut self) -> io::Result<Option<Seen<'_>>> {
        if self.next == self.batch.len() {
            // Where less came than there is room for, nothing is left.
            let drained = !self.batch.is_empty() && self.batch.len() < BATCH;
            self.batch.clear();
            self.next = 0;
            if drained || !self.read()? {
                return Ok(None);
            }
        }
        let kept = self.batch[self.next];
        let start = self.next * WHOLE as usize;
        self.next += 1;
        Ok(Some(Seen {
            time: kept.time,
            data: &self.room[start..start + kept.length],
            outbound: kept.outbound,
        }))
    }

    /// Reads a batch, if something is there.
    fn read(&mut self) -> io::Result<bool> {
        let socket = self.lookout.0.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        loop {
            let parts = self.room.chunks_exact_mut(WHOLE as usize);
            let mut slices: Vec<_> = parts.map(|part| [IoSliceMut::new(part)]).collect();
            match recvmmsg(socket, &mut self.headers, &mut slices, flags, None) {
                Ok(messages) => {
                    self.batch
                        .extend(messages.map(|message| Kept::of(&message)));
                    return Ok(!self.batch.is_empty());
                }
                Err(Errno::EAGAIN) => return Ok(false),
                // An interface went down: the others are still there.
                Err(Errno::EINTR | Errno::ENETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until a packet is there, or something on `also`, or for this long.
    ///
    /// # Errors
    /// As ppoll(2).
    pub fn wait(&self, also: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
        let socket = self.lookout.0.socket.as_fd();
        let mut sockets = [socket, also].map(|socket| PollFd::new(socket, PollFlags::POLLIN));
        match ppoll(&mut sockets, Some(limit.into()), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many packets were missed because they were not read soon enough.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn missed(&mut self) -> io::Result<u64> {
        // The kernel counts from the last time that it was asked.
        let since = Statistics.get(&self.lookout.0.socket)?;
        self.missed += u64::from(since.tp_drops);
        Ok(self.missed)
    }
}
