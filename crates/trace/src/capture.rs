//! Packets as the kernel sees them pass, on every interface at once (packet(7)).

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

mod eye;
mod filter;
mod stamps;

pub use eye::Eye;
pub use stamps::Stamps;

/// Every kind of packet (ETH_P_ALL), in the byte order of the network.
const EVERYTHING: i32 = 0x0003_u16.to_be() as i32;

/// Bytes of each packet that are enough for a picture: all headers, and short data. Of a segment of TCP that is longer
/// the headers alone are kept: data that is cut is not read.
pub const SNAP: u32 = 2048;

/// All of a packet: the longest of the loopback, with room.
pub const WHOLE: u32 = 256 * 1024;

/// What the kernel may keep until it is read, in bytes. It counts all of a packet, also where it keeps the headers only:
/// on the loopback this is eight thousand packets (it takes twice what it is told).
const BUFFER: usize = 256 * 1024 * 1024;

/// A packet that was seen, from its IP header on.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Nanoseconds since 1970, taken by the kernel.
    pub time: u64,
    /// What was kept of it.
    pub data: &'a [u8],
    /// Whether it left this machine; on the loopback every packet comes in.
    pub outbound: bool,
}

/// Sees packets of TCP and UDP to and from the ports that it was told, and the errors that answer them. It sees
/// nothing before that.
///
/// Later fragments of IPv4 and packets of IPv6 with extension headers are not seen: they have no port where the
/// kernel's filter looks for it.
#[derive(Clone, Debug)]
pub struct Lookout(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: Socket,
    wanted: Mutex<filter::Wanted>,
}

impl Lookout {
    /// Opens it. `snap` says how many bytes of each packet are kept.
    ///
    /// # Errors
    /// With [`io::ErrorKind::PermissionDenied`] without the right to see packets (CAP_NET_RAW), and as opening a socket.
    pub fn open(snap: u32) -> io::Result<Self> {
        // It takes part from here on, so the first filter lets nothing through, and what came before it is read away.
        let socket = Socket::new_raw(
            Domain::PACKET,
            Type::DGRAM,
            Some(Protocol::from(EVERYTHING)),
        )?;
        let wanted = filter::Wanted::nothing(snap);
        socket.attach_filter(&wanted.program())?;
        socket.set_nonblocking(true)?;
        // More than the system allows others is allowed to root only.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            socket.set_recv_buffer_size(BUFFER)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let lookout = Self(Arc::new(Inner {
            socket,
            wanted: Mutex::new(wanted),
        }));
        let mut eye = lookout.eye();
        while eye.look()?.is_some() {}
        // From here on the socket itself wants them.
        Stamps::begin()?;
        Ok(lookout)
    }

    /// Sees packets of this port from now on.
    ///
    /// # Errors
    /// When the kernel refuses the filter.
    pub fn admit(&self, port: u16) -> io::Result<()> {
        self.change(|wanted| wanted.admit(port))
    }

    /// Sees packets of all ports from now on.
    ///
    /// # Errors
    /// When the kernel refuses the filter.
    pub fn admit_all(&self) -> io::Result<()> {
        self.change(filter::Wanted::admit_all)
    }

    /// How many bytes of each packet are kept from now on.
    ///
    /// # Errors
    /// When the kernel refuses the filter.
    pub fn keep(&self, snap: u32) -> io::Result<()> {
        self.change(|wanted| wanted.keep(snap))
    }

    fn change(&self, change: impl FnOnce(&mut filter::Wanted) -> bool) -> io::Result<()> {
        let mut wanted = self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        match change(&mut wanted) {
            true => self.0.socket.attach_filter(&wanted.program()),
            false => Ok(()),
        }
    }

    /// Looks at what passes. Each packet is seen by one eye.
    #[must_use]
    pub fn eye(&self) -> Eye {
        Eye::new(self.clone())
    }
}

/// Waits until something is there on `socket`, or for this long.
///
/// # Errors
/// As ppoll(2).
pub fn wait(socket: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    let mut sockets = [PollFd::new(socket, PollFlags::POLLIN)];
    match ppoll(&mut sockets, Some(limit.into()), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn nanoseconds(stamp: TimeSpec) -> u64 {
    stamp.tv_sec().cast_unsigned() * 1_000_000_000 + stamp.tv_nsec().cast_unsigned()
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
