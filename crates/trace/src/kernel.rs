//! What the kernel says about connections without any privilege: about our own sockets by themselves (tcp(7)), about
//! all of this network by sock_diag(7).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::sys::socket::sockopt::{GetStruct, SetBool};
use nix::sys::socket::{GetSockOpt as _, SetSockOpt as _};

use crate::words::{duration, grouped};

mod diag;
mod syn;

pub(crate) use diag::{Info, Kernel, Socket};
pub use syn::saved_syn;

#[derive(Clone, Copy, Debug)]
struct Facts;

nix::getsockopt_impl!(
    Facts,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info,
    GetStruct<libc::tcp_info>
);

#[derive(Clone, Copy, Debug)]
struct SaveSyn;

nix::setsockopt_impl!(
    SaveSyn,
    libc::IPPROTO_TCP,
    libc::TCP_SAVE_SYN,
    bool,
    SetBool
);

/// Tells the kernel to keep the SYN of whoever connects to this listener: [`saved_syn`].
///
/// # Errors
/// As setting an option.
pub fn save_syn(listener: BorrowedFd<'_>) -> io::Result<()> {
    Ok(SaveSyn.set(&listener, &true)?)
}

/// The smoothed round trip, in nanoseconds; right after the handshake it is that of the handshake.
#[must_use]
pub fn round_trip(socket: BorrowedFd<'_>) -> Option<u64> {
    let info = Facts.get(&socket).ok()?;
    Some(u64::from(info.tcpi_rtt) * 1000)
}

/// How long the answer to our SYN took, in nanoseconds, right after the handshake; `None` where that SYN was sent again,
/// for nobody knows which one was answered.
#[must_use]
pub fn answered_after(socket: BorrowedFd<'_>) -> Option<u64> {
    let info = Facts.get(&socket).ok()?;
    (info.tcpi_total_retrans == 0).then_some(u64::from(info.tcpi_rtt) * 1000)
}

/// Round trip, congestion window, and what was sent again, as one line; `None` if the system does not tell.
#[must_use]
pub fn kernel_facts(socket: BorrowedFd<'_>) -> Option<String> {
    let info = Facts.get(&socket).ok()?;
    let nanoseconds = |microseconds: u32| u64::from(microseconds) * 1000;
    Some(facts(
        nanoseconds(info.tcpi_rtt),
        (info.tcpi_snd_mss.into(), info.tcpi_snd_cwnd.into()),
        nanoseconds(info.tcpi_rto),
        info.tcpi_total_retrans.into(),
    ))
}

/// How many SYNs of a connection that did not come about had no answer, as a line.
#[must_use]
pub fn unanswered(socket: BorrowedFd<'_>) -> String {
    /// Of the kernel's states (net/tcp_states.h) those in which nothing has answered.
    const SILENT: [u8; 2] = [2, 7];

    let Ok(info) = Facts.get(&socket) else {
        return "no answer".to_owned();
    };
    match u64::from(info.tcpi_total_retrans) + 1 {
        _ if !SILENT.contains(&info.tcpi_state) => {
            "it was answered, and nobody waited for it any longer".to_owned()
        }
        1 => "no answer to 1 SYN".to_owned(),
        count => format!("no answer to {} SYNs", grouped(count)),
    }
}

/// Of somebody else's connection.
pub(crate) fn facts_of(info: &Info) -> String {
    facts(
        info.round_trip,
        (info.segment, info.segments),
        info.timeout,
        info.again,
    )
}

/// Segments of so many bytes, and how many of them may be on the way.
fn facts(round_trip: u64, (segment, segments): (u64, u64), timeout: u64, again: u64) -> String {
    let mut parts = vec![
        format!("round trip {}", duration(round_trip)),
        format!("mss {segment}"),
        format!("cwnd {segments}"),
        format!("rto {}", duration(timeout)),
    ];
    if again > 0 {
        parts.push(format!("{} sent again", grouped(again)));
    }
    parts.join(", ")
}

/// How long an end stays in TIME-WAIT.
pub(crate) fn lingers(whom: &str, left: Duration) -> String {
    let left = duration(left.as_nanos() as u64);
    format!("TIME-WAIT at the {whom} for another {left}")
}
