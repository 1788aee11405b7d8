//! Packets that were not seen, made from what is known of them: the headers of a datagram, and Wireshark's tags in
//! front of the bytes of a stream.

use std::net::{IpAddr, SocketAddr};

use super::{finish_checksum, pdu};

const UDP: u8 = 17;
const HOPS: u8 = 64;

/// A datagram with headers of UDP and IP in front of it, as a sender makes them that knows no more. `None` if it is
/// longer than a datagram can be, or its ends are not of one family.
#[must_use]
pub fn datagram(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(8 + payload.len()).ok()?;
    let mut packet = Vec::with_capacity(48 + payload.len());
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = length.checked_add(20)?;
            packet.extend([0x45, 0]);
            packet.extend(total.to_be_bytes());
            packet.extend([0, 0, 0x40, 0, HOPS, UDP, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([UDP, HOPS]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => return None,
    }
    for number in [source.port(), destination.port(), length, 0] {
        packet.extend(number.to_be_bytes());
    }
    packet.extend(payload);
    finish_checksum(&mut packet);
    Some(packet)
}

/// Bytes of a stream of TCP, with tags that say whose they are: link type 252. `dissector` is the name that Wireshark
/// has for what they speak, such as `tls`.
#[must_use]
pub fn stream_bytes(
    source: SocketAddr,
    destination: SocketAddr,
    dissector: &str,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::with_capacity(72 + payload.len());
    pdu::write(&mut packet, source, destination, dissector);
    packet.extend(payload);
    packet
}
