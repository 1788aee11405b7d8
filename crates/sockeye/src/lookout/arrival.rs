//! When bytes came: the kernel has noted it, and tells whoever reads them (SO_TIMESTAMPING).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, TimestampingFlag, Timestamps, recvmsg, setsockopt, sockopt,
};

/// Reads with it.
pub(super) struct Arrivals {
    /// Where the kernel puts what it says beside the bytes.
    said: Vec<u8>,
}

impl Arrivals {
    /// Asks for it from now on. Only of what *comes*: times of what was sent would come as errors of the socket, and
    /// the event loop takes an error for the end of the writing side.
    pub(super) fn begin(socket: BorrowedFd<'_>) -> Self {
        let incoming = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
        // A kernel that cannot do it tells nothing, and then the moment of reading is what is known.
        let _ = setsockopt(&socket, sockopt::Timestamping, &incoming);
        Self {
            said: nix::cmsg_space!(Timestamps),
        }
    }

    /// Reads as recv(2) does. With the bytes comes the moment at which the last of them came, if the kernel has noted
    /// it: it begins to do so when somebody wants it, and of an end it says nothing.
    pub(super) fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        room: &mut [u8],
        flags: MsgFlags,
    ) -> io::Result<(usize, Option<SystemTime>)> {
        let mut slices = [IoSliceMut::new(room)];
        let read = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut self.said), flags)?;
        let mut said = read.cmsgs()?;
        let came = said.find_map(|said| match said {
            ControlMessageOwned::ScmTimestampsns(times) => Some(times.system),
            _ => None,
        });
        let came = came.and_then(|time| {
            let seconds = u64::try_from(time.tv_sec()).ok()?;
            let nanoseconds = u64::try_from(time.tv_nsec()).ok()?;
            Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
        });
        // Zero: this segment came before the kernel began to note it.
        Ok((read.bytes, came.filter(|came| *came > UNIX_EPOCH)))
    }
}

/// When the first of the bytes came that wait to be read, as the kernel says; `None` where none do, or it says nothing.
/// They stay where they are.
#[must_use]
pub fn first_arrival(socket: BorrowedFd<'_>) -> Option<SystemTime> {
    let mut arrivals = Arrivals::begin(socket);
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let (bytes, came) = arrivals.read(socket, &mut [0], flags).ok()?;
    came.filter(|_| bytes > 0)
}
