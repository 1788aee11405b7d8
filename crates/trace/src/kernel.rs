//! What the kernel says about a connection of ours (TCP_INFO, tcp(7)), which takes no privilege.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::sys::socket::{GetSockOpt as _, sockopt::GetStruct};

use crate::words::duration;

#[derive(Clone, Copy, Debug)]
struct Info;

nix::getsockopt_impl!(
    Info,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info,
    GetStruct<libc::tcp_info>
);

/// Round trip, congestion window, and what was sent again, as one line; `None` if the system does not tell.
#[must_use]
pub fn kernel_facts(socket: BorrowedFd<'_>) -> Option<String> {
    let info = Info.get(&socket).ok()?;
    let time = |microseconds: u32| {
        let time = Duration::from_micros(microseconds.into());
        duration(time.as_nanos() as u64)
    };
    let mut parts = vec![
        format!("round trip {}", time(info.tcpi_rtt)),
        format!("mss {}", info.tcpi_snd_mss),
        format!("cwnd {}", info.tcpi_snd_cwnd),
        format!("rto {}", time(info.tcpi_rto)),
    ];
    if info.tcpi_total_retrans > 0 {
        parts.push(format!("{} sent again", info.tcpi_total_retrans));
    }
    Some(parts.join(", "))
}
