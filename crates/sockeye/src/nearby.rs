//! Who serves what on this network: announced and found by multicast DNS (RFC 6762) and DNS-SD (RFC 6763).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use mdns_sd::ServiceDaemon;

use crate::error::{Error, Operation, Result};

mod announced;
mod facts;
mod found;

pub use announced::{Announced, Notice, Tidings, announce};
pub use facts::Facts;
pub use found::{Finder, Found, find};

/// The longest name of an announcement, in bytes of UTF-8 (RFC 6763, section 4.1.1).
pub const MAX_NAME: usize = 63;

/// What sockeye's servers are called (RFC 6763, section 7): where something listens for TCP, and where only for UDP.
const TCP: &str = "_sockeye._tcp.local.";
const UDP: &str = "_sockeye._udp.local.";

/// This machine's addresses that others on its networks can reach it by, the likeliest first.
///
/// # Errors
/// When the system does not list its interfaces.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let outward = outward();
    let mut all: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .filter(|interface| interface.is_oper_up() && !interface.is_loopback())
        .map(|interface| interface.ip())
        .collect();
    all.sort_by_key(|ip| (Some(*ip) != outward, awkwardness(ip)));
    all.dedup();
    Ok(all)
}

/// The address from which packets leave to other networks, where they do. None is sent to find out.
fn outward() -> Option<IpAddr> {
    // For documentation (RFC 5737), so that nobody is there.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// How hard an address is to type and to reach, from 0 on.
fn awkwardness(ip: &IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if !ip.is_link_local() => 0,
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    }
}

/// The easiest to reach first.
fn sort(addresses: &mut Vec<SocketAddr>) {
    addresses.sort_by_key(|at| (awkwardness(&at.ip()), *at));
    addresses.dedup();
}

fn daemon(operation: Operation, what: &str) -> Result<ServiceDaemon> {
    ServiceDaemon::new().map_err(|error| failed(operation, what, &error))
}

fn failed(operation: Operation, what: &str, error: &mdns_sd::Error) -> Error {
    Error::io(operation, what, io::Error::other(error.to_string()))
}
