//! Packets that wait in the queue of a socket, read many with one system call.

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, MultiHeaders, RecvMsg, recvmmsg};
use nix::sys::time::TimeSpec;
use socket2::Socket;

use super::{Seen, WHOLE, nanoseconds, now};

/// As many packets are read at once.
const BATCH: usize = 64;

/// Reads them one by one.
#[derive(Debug)]
pub(super) struct Queue {
    headers: MultiHeaders<LinkAddr>,
    /// Room for a batch; what was never needed takes no memory.
    room: Vec<u8>,
    batch: Vec<Kept>,
    next: usize,
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

impl Queue {
    pub(super) fn new() -> Self {
        // Times alone are said beside packets, so that what a batch was told does not limit what the next one is.
        let said = nix::cmsg_space!(TimeSpec);
        Self {
            headers: MultiHeaders::preallocate(BATCH, Some(said)),
            room: vec![0; BATCH * WHOLE as usize],
            batch: Vec::with_capacity(BATCH),
            next: 0,
        }
    }

    /// The next packet, if one is there; `surely` if that is known.
    pub(super) fn look(&mut self, socket: &Socket, surely: bool) -> io::Result<Option<Seen<'_>>> {
        if self.next == self.batch.len() {
            // Where less came than there is room for, nothing is left.
            let drained = !self.batch.is_empty() && self.batch.len() < BATCH;
            self.batch.clear();
            self.next = 0;
            if (drained && !surely) || !self.read(socket)? {
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
    fn read(&mut self, socket: &Socket) -> io::Result<bool> {
        let flags = MsgFlags::MSG_DONTWAIT;
        loop {
            let parts = self.room.chunks_exact_mut(WHOLE as usize);
            let mut slices: Vec<_> = parts.map(|part| [IoSliceMut::new(part)]).collect();
            match recvmmsg(
                socket.as_raw_fd(),
                &mut self.headers,
                &mut slices,
                flags,
                None,
            ) {
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
}
