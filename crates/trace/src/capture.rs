//! Packets as the kernel sees them pass, on every interface at once (packet(7)).

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::sockopt::SetStruct;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

mod eye;
mod filter;
mod queue;
mod ring;
mod stamps;

pub use eye::Eye;
use queue::Queue;
use ring::Ring;
pub use stamps::Stamps;

/// Every kind of packet (ETH_P_ALL), in the byte order of the network.
const EVERYTHING: i32 = 0x0003_u16.to_be() as i32;

/// Bytes of each packet that are enough for a picture: all headers, and short data. Of a segment of TCP that is longer
/// the headers alone are kept: data that is cut is not read.
pub const SNAP: u32 = 2048;

/// All of a packet: the longest of the loopback, with room.
pub const WHOLE: u32 = 256 * 1024;

/// What the kernel may keep in the socket's queue until it is read, in bytes: everything where it has no ring for us, and
/// else what is longer than the frames of the ring. It counts all of a packet, also where it keeps the headers only: on
/// the loopback this is eight thousand packets (it takes twice what it is told).
const BUFFER: usize = 256 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
struct IgnoreOutgoing;

nix::setsockopt_impl!(
    IgnoreOutgoing,
    libc::SOL_PACKET,
    libc::PACKET_IGNORE_OUTGOING,
    libc::c_int,
    SetStruct<'_, libc::c_int>
);

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
    /// Until somebody looks.
    way: Mutex<Option<Way>>,
}

/// How packets come.
#[derive(Debug)]
enum Way {
    Ring(Ring),
    Queue,
}

impl Lookout {
    /// Opens it. `snap` says how many bytes of each packet are kept.
    ///
    /// # Errors
    /// With [`io::ErrorKind::PermissionDenied`] without the right to see packets (CAP_NET_RAW), and as opening a socket.
    pub fn open(snap: u32) -> io::Result<Self> {
        let (socket, wanted) = deaf(snap)?;
        // A kernel without rings, or without the memory for one, still has a queue.
        let Ok(ring) = Ring::of(&socket) else {
            return Self::queued(snap);
        };
        Self::new(socket, wanted, Way::Ring(ring))
    }

    /// The same without a ring.
    fn queued(snap: u32) -> io::Result<Self> {
        let (socket, wanted) = deaf(snap)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        // What came before the filter was there is read away.
        let mut queue = Queue::new();
        while queue.look(&socket, false)?.is_some() {}
        // From here on the socket itself wants them.
        Stamps::begin()?;
        Self::new(socket, wanted, Way::Queue)
    }

    fn new(socket: Socket, wanted: filter::Wanted, way: Way) -> io::Result<Self> {
        // What passed before the filter was there, and found no room, is nothing that was missed.
        eye::missed_since(&socket)?;
        Ok(Self(Arc::new(Inner {
            socket,
            wanted: Mutex::new(wanted),
            way: Mutex::new(Some(way)),
        })))
    }

    /// Sees packets of this port from now on. If it is that of a loopback address, those on the loopback are enough.
    ///
    /// # Errors
    /// When the kernel refuses the filter.
    pub fn admit(&self, end: SocketAddr) -> io::Result<()> {
        self.change(|wanted| wanted.admit(end))
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

    fn wanted(&self) -> MutexGuard<'_, filter::Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snap(&self) -> u32 {
        self.wanted().snap()
    }

    fn change(&self, change: impl FnOnce(&mut filter::Wanted) -> bool) -> io::Result<()> {
        let mut wanted = self.wanted();
        if !change(&mut wanted) {
            return Ok(());
        }
        if wanted.is_far() {
            see_outgoing(&self.0.socket, true)?;
        }
        self.0.socket.attach_filter(&wanted.program())
    }

    /// Looks at what passes. There is one eye: who asks for another one gets none.
    #[must_use]
    pub fn eye(&self) -> Option<Eye> {
        let mut way = self.0.way.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = match way.take()? {
            Way::Ring(ring) => Some(ring),
            Way::Queue => None,
        };
        Some(Eye::new(self.clone(), ring))
    }
}

/// A packet socket that lets nothing through yet: it takes part from the moment on at which it is there.
fn deaf(snap: u32) -> io::Result<(Socket, filter::Wanted)> {
    let socket = Socket::new_raw(
        Domain::PACKET,
        Type::DGRAM,
        Some(Protocol::from(EVERYTHING)),
    )?;
    let wanted = filter::Wanted::nothing(snap);
    socket.attach_filter(&wanted.program())?;
    see_outgoing(&socket, false)?;
    socket.set_nonblocking(true)?;
    // More than the system allows others is allowed to root only.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER)?;
    }
    Ok((socket, wanted))
}

/// Whether packets are seen on their way out. On the loopback they come in again, and to have each of them copied so that
/// the filter throws it away costs the sender something.
fn see_outgoing(socket: &Socket, yes: bool) -> io::Result<()> {
    match setsockopt(socket, IgnoreOutgoing, &libc::c_int::from(!yes)) {
        // Linux before 4.20 shows them all.
        Ok(()) | Err(Errno::ENOPROTOOPT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until something is there on `socket`, or for this long. Whether something is.
///
/// # Errors
/// As ppoll(2).
pub fn wait(socket: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let mut sockets = [PollFd::new(socket, PollFlags::POLLIN)];
    match ppoll(&mut sockets, Some(limit.into()), None) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
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

#[cfg(test)]
mod tests;
