//! Wireshark's "exported PDU": bytes of a protocol with tags that say whose they are, and no headers.

use std::net::{IpAddr, SocketAddr};

use super::{Body, NOWHERE, Packet, Unread};

const END: u16 = 0;
const IPV4_SOURCE: u16 = 20;
const IPV4_DESTINATION: u16 = 21;
const IPV6_SOURCE: u16 = 22;
const IPV6_DESTINATION: u16 = 23;
const SOURCE_PORT: u16 = 25;
const DESTINATION_PORT: u16 = 26;

/// The name of a dissector.
const DISSECTOR: u16 = 12;
const PORT_TYPE: u16 = 24;
/// TCP, as Wireshark counts kinds of ports.
const TCP: u32 = 2;

/// Writes the tags of bytes between two ends of TCP.
pub(super) fn write(
    out: &mut Vec<u8>,
    source: SocketAddr,
    destination: SocketAddr,
    dissector: &str,
) {
    let mut tag = |code: u16, value: &[u8]| {
        let padded = value.len().next_multiple_of(4);
        out.extend(code.to_be_bytes());
        out.extend((padded as u16).to_be_bytes());
        out.extend(value);
        out.resize(out.len() + padded - value.len(), 0);
    };
    tag(DISSECTOR, dissector.as_bytes());
    let codes = [
        (source, IPV4_SOURCE, IPV6_SOURCE),
        (destination, IPV4_DESTINATION, IPV6_DESTINATION),
    ];
    for (end, version_4, version_6) in codes {
        match end.ip().to_canonical() {
            IpAddr::V4(ip) => tag(version_4, &ip.octets()),
            IpAddr::V6(ip) => tag(version_6, &ip.octets()),
        }
    }
    tag(PORT_TYPE, &TCP.to_be_bytes());
    tag(SOURCE_PORT, &u32::from(source.port()).to_be_bytes());
    tag(
        DESTINATION_PORT,
        &u32::from(destination.port()).to_be_bytes(),
    );
    tag(END, &[]);
}

/// Reads tags, each with a code and a length, up to the one that ends them, and takes the rest for payload.
pub(super) fn read(mut bytes: &[u8]) -> Result<Packet<'_>, Unread> {
    let cut = || Unread::Cut("exported PDU");
    let (mut source, mut destination) = (NOWHERE, NOWHERE);
    let (mut from, mut to) = (0, 0);
    loop {
        let [a, b, c, d] = *bytes.first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::from(u16::from_be_bytes([c, d]));
        let value = bytes.get(4..4 + length).ok_or_else(cut)?;
        bytes = &bytes[4 + length..];
        match u16::from_be_bytes([a, b]) {
            END => break,
            IPV4_SOURCE | IPV6_SOURCE => source = ip(value).unwrap_or(source),
            IPV4_DESTINATION | IPV6_DESTINATION => destination = ip(value).unwrap_or(destination),
            SOURCE_PORT => from = port(value).unwrap_or(from),
            DESTINATION_PORT => to = port(value).unwrap_or(to),
            _ => {}
        }
    }
    Ok(Packet {
        source,
        destination,
        hops: 0,
        id: None,
        fragment: None,
        body: Body::Stream {
            source: from,
            destination: to,
            payload: bytes,
        },
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|bytes| (*bytes).into()),
        16 => value.first_chunk::<16>().map(|bytes| (*bytes).into()),
        _ => None,
    }
}

/// Four bytes, of which a port needs two.
fn port(value: &[u8]) -> Option<u16> {
    let number = u32::from_be_bytes(*value.first_chunk()?);
    u16::try_from(number).ok()
}
