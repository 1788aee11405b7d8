//! Binding: TCP and UDP on one number, for every address of a host.

use std::io;
use std::net::SocketAddr;

use wire::address::{Host, HostPort};

use super::route::Spoken;
use super::udp::Carries;
use super::{End, PortConfig, tcp, udp};
use crate::error::{Error, Result};
use crate::resolve::{Family, Purpose, resolve};
use crate::socket::SocketOptions;

/// How often a free number is looked for when the system's choice for the first socket is taken for another.
const TRIES: usize = 32;

/// Binds `host` for TCP (and what may be spoken there), UDP or both, all on one number.
pub(super) async fn both(
    host: &HostPort,
    tcp: Option<Spoken>,
    udp: Option<Carries>,
    config: &PortConfig,
) -> Result<Vec<End>> {
    let mut addresses = resolve(host, config.family, Purpose::Listen).await?;
    let mut options = config.options.clone();
    if config.family == Family::V6 {
        // Who asks for IPv6 alone does not want what a dual-stack socket brings.
        options.only_v6 = Some(true);
    } else if host.host == Host::Every
        && options.only_v6 == Some(true)
        && config.family == Family::Any
    {
        addresses.push(SocketAddr::new(
            std::net::Ipv4Addr::UNSPECIFIED.into(),
            host.port,
        ));
    }
    let mut tried = 0;
    loop {
        tried += 1;
        match all(&addresses, (tcp, udp), &options, config) {
            Err(Error::Io { source, .. })
                if host.port == 0 && tried < TRIES && source.kind() == io::ErrorKind::AddrInUse => {
            }
            Err(Error::Io { source, .. }) if no_ipv6(&source) && has_fallback(&addresses) => {
                // A machine without IPv6: what it has is served.
                fall_back_to_v4(&mut addresses);
            }
            bound => return bound,
        }
    }
}

fn all(
    addresses: &[SocketAddr],
    (tcp, udp): (Option<Spoken>, Option<Carries>),
    options: &SocketOptions,
    config: &PortConfig,
) -> Result<Vec<End>> {
    let lookout = || config.lookout.clone();
    let mut ends = Vec::new();
    let mut number = None;
    for address in addresses {
        let mut address = *address;
        if let Some(number) = number {
            address.set_port(number);
        }
        if let Some(spoken) = tcp {
            let listener = tcp::Listener::bind(address, spoken, options, lookout())?;
            address.set_port(listener.port());
            ends.push(End::Tcp(listener));
        }
        if let Some(carries) = udp {
            let socket = udp::Socket::bind(address, carries, options, lookout())?;
            address.set_port(socket.port());
            ends.push(End::Udp(socket));
        }
        number = Some(address.port());
    }
    Ok(ends)
}

fn no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether something is left to bind without IPv6: an address that somebody wrote has no substitute.
fn has_fallback(addresses: &[SocketAddr]) -> bool {
    let unspecified = |address: &SocketAddr| address.ip().is_unspecified();
    addresses.iter().any(SocketAddr::is_ipv6)
        && addresses.iter().any(|at| at.is_ipv4() || unspecified(at))
}

fn fall_back_to_v4(addresses: &mut Vec<SocketAddr>) {
    let every = addresses
        .iter()
        .find(|address| address.is_ipv6() && address.ip().is_unspecified())
        .copied();
    addresses.retain(SocketAddr::is_ipv4);
    if let (Some(every), true) = (every, addresses.is_empty()) {
        addresses.push(SocketAddr::new(
            std::net::Ipv4Addr::UNSPECIFIED.into(),
            every.port(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_the_rest_is_bound_but_never_nothing() {
        let list = |all: &[&str]| -> Vec<SocketAddr> {
            all.iter().map(|at| at.parse().unwrap()).collect()
        };
        for (all, left) in [
            (&["[::]:5"][..], Some(&["0.0.0.0:5"][..])),
            (&["127.0.0.1:5", "[::1]:5"], Some(&["127.0.0.1:5"])),
            (&["[::]:5", "0.0.0.0:5"], Some(&["0.0.0.0:5"])),
            (&["[2001:db8::1]:5"], None),
            (&["127.0.0.1:5"], None),
        ] {
            let mut addresses = list(all);
            assert_eq!(has_fallback(&addresses), left.is_some(), "{all:?}");
            if let Some(left) = left {
                fall_back_to_v4(&mut addresses);
                assert_eq!(addresses, list(left), "{all:?}");
            }
        }
    }
}
