//! Datagrams of UDP (RFC 768), and the errors of ICMP that answer them.

use std::net::{IpAddr, SocketAddr};

use super::{Unread, ip};

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// How many bytes it carries, on the wire.
    pub length: u32,
    /// Those bytes, as far as they were kept.
    pub payload: &'a [u8],
}

/// An error of ICMP (RFC 792) or ICMPv6 (RFC 4443) about a packet that somebody sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Why it was not delivered.
    pub why: Unreachable,
    /// The protocol of the packet: 6 is TCP, 17 UDP.
    pub protocol: u8,
    /// Who had sent it.
    pub source: SocketAddr,
    /// Whom it was for.
    pub destination: SocketAddr,
}

/// Why a packet was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unreachable {
    /// There is no way to the network.
    Network,
    /// The machine does not answer.
    Host,
    /// Nobody has that port.
    Port,
    /// A rule forbids it.
    Forbidden,
    /// It is too long for a link, and must not be cut.
    TooBig,
    /// It passed too many routers.
    TimeExceeded,
    /// Another reason.
    Other,
}

impl Unreachable {
    /// `port unreachable`, as people call it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Network => "network unreachable",
            Self::Host => "host unreachable",
            Self::Port => "port unreachable",
            Self::Forbidden => "forbidden by a firewall",
            Self::TooBig => "packet too big",
            Self::TimeExceeded => "time exceeded",
            Self::Other => "unreachable",
        }
    }
}

/// Reads a datagram, of which `bytes` were kept.
pub(super) fn read(bytes: &[u8]) -> Result<Datagram<'_>, Unread> {
    let Some(header) = bytes.first_chunk::<8>() else {
        return Err(Unread::Cut("UDP"));
    };
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let length = match half(4) {
        // Longer than 64 KiB, which only a link inside a machine has (RFC 2675).
        0 => bytes.len() as u32 - 8,
        length @ 8.. => u32::from(length) - 8,
        _ => return Err(Unread::Broken("UDP")),
    };
    let kept = &bytes[8..];
    Ok(Datagram {
        source: half(0),
        destination: half(2),
        length,
        payload: &kept[..kept.len().min(length as usize)],
    })
}

pub(super) fn error(bytes: &[u8]) -> Option<IcmpError> {
    let why = match bytes.first_chunk::<2>()? {
        [3, 0 | 6 | 11] => Unreachable::Network,
        [3, 1 | 7 | 8 | 12] => Unreachable::Host,
        [3, 3] => Unreachable::Port,
        [3, 4] => Unreachable::TooBig,
        [3, 9 | 10 | 13] => Unreachable::Forbidden,
        [11, _] => Unreachable::TimeExceeded,
        [3, _] => Unreachable::Other,
        _ => return None,
    };
    about(why, bytes)
}

pub(super) fn error_6(bytes: &[u8]) -> Option<IcmpError> {
    let why = match bytes.first_chunk::<2>()? {
        [1, 0] => Unreachable::Network,
        [1, 3] => Unreachable::Host,
        [1, 4] => Unreachable::Port,
        [1, 1 | 5 | 6] => Unreachable::Forbidden,
        [1, _] => Unreachable::Other,
        [2, _] => Unreachable::TooBig,
        [3, _] => Unreachable::TimeExceeded,
        _ => return None,
    };
    about(why, bytes)
}

/// The packet that it is about stands behind eight bytes, with at least eight of its own: the ports are there.
fn about(why: Unreachable, bytes: &[u8]) -> Option<IcmpError> {
    let (protocol, source, destination, inside) = ip::quoted(bytes.get(8..)?)?;
    let [a, b, c, d] = *inside.first_chunk::<4>()?;
    let end = |ip: IpAddr, port: [u8; 2]| SocketAddr::new(ip, u16::from_be_bytes(port));
    matches!(protocol, 6 | 17).then(|| IcmpError {
        why,
        protocol,
        source: end(source, [a, b]),
        destination: end(destination, [c, d]),
    })
}
