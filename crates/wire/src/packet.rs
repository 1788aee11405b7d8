//! Packets: what the bytes of a frame say, from the link layer up to TCP, UDP and the errors of ICMP.
//!
//! Frames of captures may be cut: what stands in the part that was kept is read, and lengths are those of the wire.
//!
//! ```
//! use wire::packet::{Body, Packet, RAW};
//!
//! let frame = [
//!     0x45, 0, 0, 30, 0, 1, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2, // IPv4
//!     0x9c, 0x40, 0x0b, 0xb8, 0, 10, 0, 0, b'h', b'i', // UDP
//! ];
//! let packet = Packet::read(RAW, &frame, 30)?;
//! assert_eq!(packet.destination.to_string(), "127.0.0.2");
//! let Body::Udp(datagram) = packet.body else { panic!() };
//! assert_eq!((datagram.source, datagram.destination, datagram.payload), (40000, 3000, &b"hi"[..]));
//! # Ok::<(), wire::packet::Unread>(())
//! ```

use std::net::{IpAddr, Ipv4Addr};

mod build;
mod checksum;
mod ip;
mod link;
mod pdu;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use build::{datagram, stream_bytes};
pub use checksum::finish_checksum;
pub use link::{ETHERNET, IPV4, IPV6, LINUX_COOKED, LINUX_COOKED_2, LOOP, NULL, RAW, UPPER_PDU};
pub use tcp::{Flags, Options, Segment};
pub use udp::{Datagram, IcmpError, Unreachable};

/// What one frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// How many routers it may still pass: IPv4's time to live, IPv6's hop limit.
    pub hops: u8,
    /// IPv4's identification, IPv6's only in fragments.
    pub id: Option<u32>,
    /// Which part of a packet this is, if it is not all of it.
    pub fragment: Option<Fragment>,
    /// What is inside.
    pub body: Body<'a>,
}

/// A part of a packet that was too long for a link (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where its payload belongs, in bytes.
    pub offset: u32,
    /// Whether other parts follow.
    pub more: bool,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A segment of TCP.
    Tcp(Segment<'a>),
    /// A datagram of UDP.
    Udp(Datagram<'a>),
    /// ICMP says that a packet could not be delivered.
    Icmp(IcmpError),
    /// Bytes of a stream whose packets the capture did not see: link type 252.
    Stream {
        /// The sender's port.
        source: u16,
        /// The receiver's port.
        destination: u16,
        /// The bytes.
        payload: &'a [u8],
    },
    /// A part of a packet: [`Body::read`] reads them when they are joined.
    Part {
        /// The protocol of the whole.
        protocol: u8,
        /// The bytes.
        payload: &'a [u8],
    },
    /// Another protocol, by its [number](https://www.iana.org/assignments/protocol-numbers).
    Other(u8),
}

/// Why nothing is known about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// A link type that is not known.
    #[error("link type {0} is not known")]
    Link(u16),
    /// It carries no IP: ARP, for one.
    #[error("no IP, but ethertype {0:#06x}")]
    NotIp(u16),
    /// So little was kept of it that a header is cut.
    #[error("cut in the {0} header")]
    Cut(&'static str),
    /// A header that cannot be.
    #[error("a broken {0} header")]
    Broken(&'static str),
}

impl<'a> Body<'a> {
    /// Reads what a protocol says in `length` bytes, of which `payload` was kept.
    ///
    /// # Errors
    /// When its header is cut or broken.
    pub fn read(protocol: u8, payload: &'a [u8], length: u32) -> Result<Self, Unread> {
        ip::body(protocol, payload, length)
    }
}

impl<'a> Packet<'a> {
    /// Reads a frame of a link type, of which `bytes` were kept out of `original`.
    ///
    /// # Errors
    /// When it carries no IP, or a header is cut or broken.
    pub fn read(link: u16, bytes: &'a [u8], original: u32) -> Result<Self, Unread> {
        if link == UPPER_PDU {
            return pdu::read(bytes);
        }
        let inside = link::open(link, bytes)?;
        let before = (bytes.len() - inside.len()) as u32;
        ip::read(inside, original.saturating_sub(before))
    }
}

/// For captures that leave an address out.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
