//! The PROXY protocol, versions 1 and 2: a proxy says in front of a connection who it came from.
//!
//! As <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt> describes it.
//!
//! ```
//! use wire::proxy_protocol::{Origin, Version, read};
//!
//! let head = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
//! let (origin, length) = read(head)?.expect("all of the header");
//! assert_eq!(origin.to_string(), "192.168.0.1:56324 to 192.168.0.11:443");
//! assert_eq!(&head[length..], b"GET / HTTP/1.1\r\n");
//! assert_eq!(origin.write(Version::V1), &head[..length]);
//! # Ok::<(), wire::proxy_protocol::HeaderError>(())
//! ```

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest line of version 1, with its `\r\n` (section 2.1).
pub const LINE_MAX: usize = 107;

/// The longest header of version 2 that is taken. Addresses need 232 bytes at most; the rest is for
/// what proxies add (section 2.2, TLV), which is passed over.
pub const HEAD_MAX: usize = 4096;

/// The first twelve bytes of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a Unix address takes in version 2.
const UNIX: usize = 108;

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text; TCP only.
    V1,
    /// Bytes.
    V2,
}

/// Who a connection came from, and where it went to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The proxy does not know, or speaks for itself, as in a health check: the addresses of the
    /// connection itself count.
    Unknown,
    /// A TCP connection, or UDP.
    Net {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
        /// UDP.
        datagrams: bool,
    },
    /// A Unix socket. Names are paths, or begin with NUL for abstract ones, and may be empty.
    Unix {
        /// The client.
        source: Vec<u8>,
        /// What the client connected to.
        destination: Vec<u8>,
        /// A datagram socket.
        datagrams: bool,
    },
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first bytes are those of neither version.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// No `\r\n` within [`LINE_MAX`], or a version 2 header beyond [`HEAD_MAX`].
    #[error("the PROXY header is too long")]
    TooLong,
    /// A line that is not as section 2.1 wants it.
    #[error("bad PROXY line: {0}")]
    Line(&'static str),
    /// A version other than 2 behind the signature.
    #[error("unknown version {0} of the PROXY protocol")]
    Version(u8),
    /// A command other than LOCAL and PROXY.
    #[error("unknown PROXY command {0}")]
    Command(u8),
    /// A family or transport that section 2.2 does not name.
    #[error("unknown PROXY address family {0:#04x}")]
    Family(u8),
    /// The header ends before its addresses do.
    #[error("the PROXY header has {0} bytes of addresses, too few for its family")]
    TooShort(usize),
}

/// Reads the header that `head` begins with, and its length. `None` when more of it is to come.
///
/// # Errors
/// When no header begins so. That does not change with more bytes.
pub fn read(head: &[u8]) -> Result<Option<(Origin, usize)>, HeaderError> {
    if begins(head, SIGNATURE) {
        read_v2(head)
    } else if begins(head, b"PROXY ") {
        read_v1(head)
    } else {
        Err(HeaderError::Missing)
    }
}

/// Whether `head` begins with `mark`, as far as it goes.
fn begins(head: &[u8], mark: &[u8]) -> bool {
    let n = head.len().min(mark.len());
    head[..n] == mark[..n]
}

fn read_v1(head: &[u8]) -> Result<Option<(Origin, usize)>, HeaderError> {
    let head = &head[..head.len().min(LINE_MAX)];
    let end = head.iter().position(|&byte| matches!(byte, b'\r' | b'\n'));
    let Some(end) = end else {
        return match head.len() {
            LINE_MAX => Err(HeaderError::TooLong),
            _ => Ok(None),
        };
    };
    match &head[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if head.len() < LINE_MAX => return Ok(None),
        _ => return Err(HeaderError::Line("it does not end in \\r\\n")),
    }
    let line = str::from_utf8(&head[..end]).map_err(|_| HeaderError::Line("it is not ASCII"))?;
    Ok(Some((line_of(line)?, end + 2)))
}

fn line_of(line: &str) -> Result<Origin, HeaderError> {
    let mut words = line.split(' ').skip(1);
    let protocol = words.next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    let (source, destination) = match (protocol, &words[..]) {
        ("UNKNOWN", _) => return Ok(Origin::Unknown),
        ("TCP4", [from, to, from_port, to_port]) => (
            endpoint::<Ipv4Addr>(from, from_port)?,
            endpoint::<Ipv4Addr>(to, to_port)?,
        ),
        ("TCP6", [from, to, from_port, to_port]) => (
            endpoint::<Ipv6Addr>(from, from_port)?,
            endpoint::<Ipv6Addr>(to, to_port)?,
        ),
        ("TCP4" | "TCP6", _) => {
            return Err(HeaderError::Line("it has not two addresses and two ports"));
        }
        _ => return Err(HeaderError::Line("neither TCP4, TCP6 nor UNKNOWN")),
    };
    Ok(Origin::Net {
        source,
        destination,
        datagrams: false,
    })
}

fn endpoint<Ip: FromStr + Into<IpAddr>>(ip: &str, port: &str) -> Result<SocketAddr, HeaderError> {
    let ip: Ip = ip.parse().map_err(|_| HeaderError::Line("bad address"))?;
    let plain = port.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (port == "0" || !port.starts_with('0'));
    let port = port.parse().ok().filter(|_| canonical);
    let port = port.ok_or(HeaderError::Line("bad port"))?;
    Ok(SocketAddr::new(ip.into(), port))
}

fn read_v2(head: &[u8]) -> Result<Option<(Origin, usize)>, HeaderError> {
    let [command, family, high, low] = match head[..].get(SIGNATURE.len()..) {
        None | Some([]) => return Ok(None),
        Some([command, rest @ ..]) => {
            check_command(*command)?;
            match rest {
                [family, high, low, ..] => [*command & 0x0f, *family, *high, *low],
                _ => return Ok(None),
            }
        }
    };
    let size = usize::from(u16::from_be_bytes([high, low]));
    let length = SIGNATURE.len() + 4 + size;
    let block = match (command, family >> 4, family & 0x0f) {
        // LOCAL: the family is ignored, too.
        (0, _, _) | (_, 0..=3, 0) | (_, 0, 1 | 2) => 0,
        (_, 1, 1 | 2) => 12,
        (_, 2, 1 | 2) => 36,
        (_, 3, 1 | 2) => 2 * UNIX,
        _ => return Err(HeaderError::Family(family)),
    };
    if size < block {
        return Err(HeaderError::TooShort(size));
    }
    if length > HEAD_MAX {
        return Err(HeaderError::TooLong);
    }
    let Some(addresses) = head.get(SIGNATURE.len() + 4..length) else {
        return Ok(None);
    };
    let datagrams = family & 0x0f == 2;
    let origin = match block {
        12 => net::<4>(addresses, datagrams),
        36 => net::<16>(addresses, datagrams),
        0 => Origin::Unknown,
        _ => Origin::Unix {
            source: name(&addresses[..UNIX]),
            destination: name(&addresses[UNIX..2 * UNIX]),
            datagrams,
        },
    };
    Ok(Some((origin, length)))
}

fn check_command(byte: u8) -> Result<(), HeaderError> {
    match (byte >> 4, byte & 0x0f) {
        (2, 0 | 1) => Ok(()),
        (2, command) => Err(HeaderError::Command(command)),
        (version, _) => Err(HeaderError::Version(version)),
    }
}

/// Two addresses of `N` bytes, then two ports.
fn net<const N: usize>(block: &[u8], datagrams: bool) -> Origin
where
    IpAddr: From<[u8; N]>,
{
    let ip = |at: usize| {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&block[at..at + N]);
        IpAddr::from(bytes)
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Origin::Net {
        source: SocketAddr::new(ip(0), port(2 * N)),
        destination: SocketAddr::new(ip(N), port(2 * N + 2)),
        datagrams,
    }
}

/// A name without the zeros that fill its place.
fn name(place: &[u8]) -> Vec<u8> {
    let end = place.iter().rposition(|&byte| byte != 0);
    place[..end.map_or(0, |end| end + 1)].to_vec()
}

impl Origin {
    /// A TCP connection.
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::Net {
            source,
            destination,
            datagrams: false,
        }
    }

    /// The header. What a version has no words for is unknown in it: datagrams and Unix sockets in
    /// version 1, names of more than 108 bytes.
    pub fn write(&self, version: Version) -> Vec<u8> {
        match version {
            Version::V1 => self.write_v1().into_bytes(),
            Version::V2 => self.write_v2(),
        }
    }

    fn write_v1(&self) -> String {
        let Self::Net {
            source,
            destination,
            datagrams: false,
        } = self
        else {
            return "PROXY UNKNOWN\r\n".to_owned();
        };
        let (from, to) = one_family(source.ip(), destination.ip());
        let family = if from.is_ipv4() { 4 } else { 6 };
        format!(
            "PROXY TCP{family} {from} {to} {} {}\r\n",
            source.port(),
            destination.port()
        )
    }

    fn write_v2(&self) -> Vec<u8> {
        let transport = |datagrams: bool| if datagrams { 2 } else { 1 };
        let mut block = Vec::new();
        let (command, family) = match self {
            Self::Net {
                source,
                destination,
                datagrams,
            } => {
                let ips = one_family(source.ip(), destination.ip());
                for ip in [ips.0, ips.1] {
                    match ip {
                        IpAddr::V4(v4) => block.extend(v4.octets()),
                        IpAddr::V6(v6) => block.extend(v6.octets()),
                    }
                }
                block.extend(source.port().to_be_bytes());
                block.extend(destination.port().to_be_bytes());
                let family = if ips.0.is_ipv4() { 0x10 } else { 0x20 };
                (1, family | transport(*datagrams))
            }
            Self::Unix {
                source,
                destination,
                datagrams,
            } if source.len().max(destination.len()) <= UNIX => {
                block.extend(source);
                block.resize(UNIX, 0);
                block.extend(destination);
                block.resize(2 * UNIX, 0);
                (1, 0x30 | transport(*datagrams))
            }
            // LOCAL, which every receiver must accept.
            Self::Unix { .. } | Self::Unknown => (0, 0),
        };
        let mut head = SIGNATURE.to_vec();
        head.extend([0x20 | command, family]);
        // At most 216 bytes.
        head.extend((block.len() as u16).to_be_bytes());
        head.extend(block);
        head
    }
}

/// Both as IPv4 where both are, otherwise both as IPv6.
fn one_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    match (source.to_canonical(), destination.to_canonical()) {
        (from @ IpAddr::V4(_), to @ IpAddr::V4(_)) => (from, to),
        (from, to) => (as_v6(from).into(), as_v6(to).into()),
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// `192.168.0.1:56324 to 192.168.0.11:443`
impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Net {
                source,
                destination,
                ..
            } => write!(f, "{source} to {destination}"),
            Self::Unix {
                source,
                destination,
                ..
            } => write!(
                f,
                "{} to {}",
                source.escape_ascii(),
                destination.escape_ascii()
            ),
        }
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "v1" | "1" => Ok(Self::V1),
            "v2" | "2" => Ok(Self::V2),
            _ => Err("write v1 or v2".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
