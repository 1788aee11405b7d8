//! From the hosts of an address to socket addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use wire::address::{Host, HostPort};

use crate::error::{Error, Result};
use crate::socket::interface_index;

/// Which addresses of a host are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// The family that `-4` and `-6` ask for.
    pub const fn wanted(v4: bool, v6: bool) -> Self {
        match (v4, v6) {
            (true, false) => Self::V4,
            (false, true) => Self::V6,
            _ => Self::Any,
        }
    }

    fn wants(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// What the addresses are for: it decides what a host that was not written means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Listen,
    Dial,
}

/// The socket addresses of `at`, in the order in which they should be tried. Never empty.
pub(crate) async fn resolve(
    at: &HostPort,
    family: Family,
    purpose: Purpose,
) -> Result<Vec<SocketAddr>> {
    let port = at.port;
    let all: Vec<SocketAddr> = match &at.host {
        Host::Unspecified if purpose == Purpose::Listen && family == Family::V6 => {
            vec![(Ipv6Addr::LOCALHOST, port).into()]
        }
        Host::Unspecified if purpose == Purpose::Listen => vec![(Ipv4Addr::LOCALHOST, port).into()],
        Host::Every if purpose == Purpose::Listen => every_interface(port, family),
        Host::Unspecified | Host::Every => vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ],
        Host::V4(ip) => vec![(*ip, port).into()],
        Host::V6 { ip, zone } => {
            vec![SocketAddrV6::new(*ip, port, 0, scope(at, zone.as_deref())?).into()]
        }
        // Both families, whatever the system's files say (RFC 6761, section 6.3).
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ],
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await;
            let mut found: Vec<_> = found
                .map_err(|source| Error::Resolve {
                    host: name.clone(),
                    source,
                })?
                .collect();
            found.dedup();
            found
        }
    };
    let written = at.host.to_string();
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|address| family.wants(address))
        .collect();
    if wanted.is_empty() {
        let family = if family == Family::V4 { "IPv4" } else { "IPv6" };
        let source = io::Error::new(
            io::ErrorKind::NotFound,
            format!("it has no {family} address"),
        );
        return Err(Error::Resolve {
            host: written,
            source,
        });
    }
    Ok(wanted)
}

/// One IPv6 socket hears both families; where there is no IPv6, binding falls back to the second.
fn every_interface(port: u16, family: Family) -> Vec<SocketAddr> {
    let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    match family {
        Family::V4 => vec![(v4, port).into()],
        Family::V6 | Family::Any => vec![(v6, port).into()],
    }
}

fn scope(at: &HostPort, zone: Option<&str>) -> Result<u32> {
    zone.map_or(Ok(0), |zone| {
        interface_index(zone).map_err(|_| Error::Resolve {
            host: at.host.to_string(),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no network interface `{zone}`"),
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(host: Host, family: Family, purpose: Purpose) -> String {
        let at = HostPort { host, port: 7 };
        let found = match resolve(&at, family, purpose).await {
            Ok(found) => found,
            Err(error) => return error.to_string(),
        };
        let all: Vec<_> = found.iter().map(ToString::to_string).collect();
        all.join(" ")
    }

    #[tokio::test]
    async fn a_host_means_what_it_is_for() {
        let localhost = || Host::Name("LocalHost".to_owned());
        let loopback = |zone: Option<&str>| Host::V6 {
            ip: Ipv6Addr::LOCALHOST,
            zone: zone.map(str::to_owned),
        };
        for (host, family, purpose, expected) in [
            (
                Host::Unspecified,
                Family::Any,
                Purpose::Listen,
                "127.0.0.1:7",
            ),
            (Host::Unspecified, Family::V6, Purpose::Listen, "[::1]:7"),
            (
                Host::Unspecified,
                Family::Any,
                Purpose::Dial,
                "127.0.0.1:7 [::1]:7",
            ),
            (Host::Every, Family::Any, Purpose::Listen, "[::]:7"),
            (Host::Every, Family::V4, Purpose::Listen, "0.0.0.0:7"),
            (Host::Every, Family::V4, Purpose::Dial, "127.0.0.1:7"),
            (
                localhost(),
                Family::Any,
                Purpose::Listen,
                "127.0.0.1:7 [::1]:7",
            ),
            (localhost(), Family::V6, Purpose::Dial, "[::1]:7"),
            (
                loopback(Some("lo")),
                Family::Any,
                Purpose::Dial,
                "[::1%1]:7",
            ),
            (
                loopback(Some("nonesuch0")),
                Family::Any,
                Purpose::Dial,
                "cannot resolve [::1%nonesuch0]: there is no network interface `nonesuch0`",
            ),
        ] {
            let case = format!("{host:?} {family:?} {purpose:?}");
            assert_eq!(found(host, family, purpose).await, expected, "{case}");
        }
    }
}
