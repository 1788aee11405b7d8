//! IPv4 and IPv6 with their extension headers and fragments.

use std::net::IpAddr;

use etherparse::{IpFragOffset, Ipv6ExtensionSlice, LaxIpSlice, LaxIpv6Slice};

use super::{Body, Fragment, Packet, Unread, tcp, udp};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_6: u8 = 58;

/// Reads an IP packet that was `original` bytes long on the link.
pub(super) fn read(bytes: &[u8], original: u32) -> Result<Packet<'_>, Unread> {
    let version = bytes.first().ok_or(Unread::Cut("IP"))? >> 4;
    let (name, least) = match version {
        4 => ("IPv4", 20),
        6 => ("IPv6", 40),
        _ => return Err(Unread::Broken("IP")),
    };
    if bytes.len() < least {
        return Err(Unread::Cut(name));
    }
    let (ip, stopped) = LaxIpSlice::from_slice(bytes).map_err(|_| Unread::Broken(name))?;
    if stopped.is_some() {
        return Err(Unread::Cut(name));
    }
    let inside = ip.payload();
    let before = (inside.payload.as_ptr() as usize - bytes.as_ptr() as usize) as u32;
    let (total, hops, id, fragment) = match &ip {
        LaxIpSlice::Ipv4(ip) => {
            let header = ip.header();
            let fragment = part(header.fragments_offset(), header.more_fragments());
            let id = u32::from(header.identification());
            (header.total_len().into(), header.ttl(), Some(id), fragment)
        }
        LaxIpSlice::Ipv6(ip) => {
            let (id, fragment) = part_of_6(ip);
            let total = match ip.header().payload_length() {
                0 => 0,
                length => 40 + u32::from(length),
            };
            (total, ip.header().hop_limit(), id, fragment)
        }
    };
    // The kernel leaves the length of what the card will cut into segments open when it exceeds 64 KiB.
    let length = match total {
        0 => original,
        total => total,
    };
    let protocol = inside.ip_number.0;
    let length = length.saturating_sub(before);
    Ok(Packet {
        source: ip.source_addr(),
        destination: ip.destination_addr(),
        hops,
        id,
        fragment,
        body: match fragment {
            Some(_) => Body::Part {
                protocol,
                payload: inside.payload,
            },
            None => body(protocol, inside.payload, length)?,
        },
    })
}

/// What a protocol says in `length` bytes, of which `payload` was kept.
pub(super) fn body(protocol: u8, payload: &[u8], length: u32) -> Result<Body<'_>, Unread> {
    Ok(match protocol {
        TCP => Body::Tcp(tcp::read(payload, length)?),
        UDP => Body::Udp(udp::read(payload)?),
        ICMP => udp::error(payload).map_or(Body::Other(protocol), Body::Icmp),
        ICMP_6 => udp::error_6(payload).map_or(Body::Other(protocol), Body::Icmp),
        other => Body::Other(other),
    })
}

/// Protocol, addresses and first bytes of a packet that an error quotes: more than that need not be there.
pub(super) fn quoted(bytes: &[u8]) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
    let (ip, _) = LaxIpSlice::from_slice(bytes).ok()?;
    let inside = ip.payload();
    let protocol = inside.ip_number.0;
    Some((
        protocol,
        ip.source_addr(),
        ip.destination_addr(),
        inside.payload,
    ))
}

fn part(offset: IpFragOffset, more: bool) -> Option<Fragment> {
    let offset = u32::from(offset.value()) * 8;
    (offset > 0 || more).then_some(Fragment { offset, more })
}

fn part_of_6(ip: &LaxIpv6Slice<'_>) -> (Option<u32>, Option<Fragment>) {
    let header = ip
        .extensions()
        .clone()
        .into_iter()
        .find_map(|extension| match extension {
            Ipv6ExtensionSlice::Fragment(header) => Some(header),
            _ => None,
        });
    match header {
        Some(header) => (
            Some(header.identification()),
            part(header.fragment_offset(), header.more_fragments()),
        ),
        None => (None, None),
    }
}
