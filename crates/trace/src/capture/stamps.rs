//! The kernel notes when packets come while somebody wants to know it, and learns of that late.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::{nanoseconds, now};

/// As long the times of datagrams must be right, how long a datagram may take, and how long all of that.
const STEADY: Duration = Duration::from_millis(4);
const TRY: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(500);

/// While this is held the kernel notes when packets come, for every socket that asks for it (SO_TIMESTAMPING).
#[derive(Debug)]
pub struct Stamps {
    _wanting: UdpSocket,
}

impl Stamps {
    /// Begins it, and waits until the kernel does it, which takes some milliseconds.
    ///
    /// The time of packets is the moment at which they are *read* until the kernel has learned that somebody wants it.
    /// So datagrams are sent to ourselves until their times are those of their arrival, and stay so: the kernel may
    /// just be unlearning it, because somebody else wanted it before.
    ///
    /// # Errors
    /// As opening a socket of the loopback and talking over it.
    pub fn begin() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        socket.set_read_timeout(Some(TRY))?;
        let to = socket.local_addr()?;
        let mut control = nix::cmsg_space!(TimeSpec);
        let begin = Instant::now();
        let mut steady = begin;
        while begin.elapsed() < LONGEST {
            socket.send_to(&[0], to)?;
            let before = now();
            let mut byte = [0];
            let mut slices = [IoSliceMut::new(&mut byte)];
            let flags = MsgFlags::empty();
            let heard = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags);
            let Ok(heard) = heard else { continue };
            let mut stamps = heard.cmsgs()?.filter_map(|said| match said {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(nanoseconds(stamp)),
                _ => None,
            });
            if !stamps.any(|stamp| stamp < before) {
                steady = Instant::now();
            } else if steady.elapsed() >= STEADY {
                break;
            }
        }
        // If it took too long nothing can be done about it: the times are those of reading, a little late.
        Ok(Self { _wanting: socket })
    }
}
