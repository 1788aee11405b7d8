//! Where: `[scheme://]host:port[/path]`, `unix:PATH`, `exec:COMMAND` and `-`, read and written.
//!
//! ```
//! use wire::address::{Address, Scheme, Target};
//!
//! let address: Address = "ws://[fe80::1%25eth0]/chat".parse()?;
//! assert_eq!(address.scheme, Some(Scheme::Ws));
//! assert_eq!(address.to_string(), "ws://[fe80::1%eth0]:80/chat");
//!
//! let error = "tpc://localhost:3000".parse::<Address>().unwrap_err();
//! assert_eq!(error.caret(), "tpc://localhost:3000\n^~~");
//! # Ok::<(), wire::address::AddressError>(())
//! ```

use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

mod error;
mod host;
mod piece;
mod read;

pub use error::{AddressError, Problem};

/// Where to listen or to connect: what the user wrote, taken apart but not resolved.
///
/// [`Display`] writes the canonical spelling: every port is spelled out, schemes are lower case,
/// zones are unescaped. An address that was read from text reads back equal from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The scheme, or `None` where none was written: every protocol that the port can carry.
    /// Reading always fills it in for [`Target::Unix`], [`Target::Exec`] and [`Target::Stdio`].
    pub scheme: Option<Scheme>,
    /// What the scheme is spoken to.
    pub target: Target,
}

/// How to speak: the word before the first colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `tcp://`: a TCP stream and nothing on top.
    Tcp,
    /// `udp://`: UDP datagrams.
    Udp,
    /// `tls://`: a byte stream in TLS over TCP.
    Tls,
    /// `unix:`: a Unix stream socket.
    Unix,
    /// `unixgram:`: a Unix datagram socket.
    Unixgram,
    /// `ws://`: WebSocket (RFC 6455).
    Ws,
    /// `wss://`: WebSocket over TLS.
    Wss,
    /// `http://`: HTTP/1.1, or HTTP/2 with prior knowledge.
    Http,
    /// `https://`: HTTP over TLS, the version as ALPN says.
    Https,
    /// `h3://`: HTTP/3 and nothing older (RFC 9114).
    H3,
    /// `quic://`: QUIC streams and datagrams without HTTP (RFC 9000).
    Quic,
    /// `wt://`: WebTransport over HTTP/3.
    Wt,
    /// `exec:`: a child process.
    Exec,
    /// `-`: standard input and output.
    Stdio,
}

/// What an [`Address`] leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Ports of network hosts.
    Net {
        /// The places to try, in the order written. Never empty when read from text.
        hosts: Vec<HostPort>,
        /// Path and query as written: empty, or beginning with `/`. Empty where
        /// [`Scheme::has_path`] is false and where there is no scheme.
        path: String,
    },
    /// A Unix socket.
    Unix(UnixName),
    /// A command line, verbatim: nothing is split, trimmed or unquoted here.
    Exec(String),
    /// Standard input and output.
    Stdio,
}

/// One host and one port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host, not resolved.
    pub host: Host,
    /// The port; 0 asks the system for a free one.
    pub port: u16,
}

/// A host as the user named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Nothing was written, as in `3000` and `:3000`: the reader's own default.
    Unspecified,
    /// `*`: every interface, in both address families.
    Every,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6 {
        /// The address.
        ip: Ipv6Addr,
        /// The zone (RFC 4007, section 11), unescaped: an interface name, or its number.
        zone: Option<String>,
    },
    /// A host name. Unicode stays as it was written: turning it into A-labels (RFC 5890) is left
    /// to whoever resolves it.
    Name(String),
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A place in the file system.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, without the leading `@` (or NUL): see unix(7).
    Abstract(String),
}

impl Address {
    /// Reads an address; the same as [`FromStr`].
    ///
    /// # Errors
    /// [`AddressError`], which says where in `text` the trouble is and what to write instead.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        read::address(text).map_err(|fault| fault.within(text))
    }

    /// Reads a host and a port that were given as two words, as in `connect ::1 3000`.
    ///
    /// The host is one host, not a list. An IPv6 address needs no brackets here and may have a zone.
    ///
    /// # Errors
    /// [`AddressError`], whose text is `HOST PORT` with one space between.
    pub fn from_host_port(host: &str, port: &str) -> Result<Self, AddressError> {
        read::host_and_port(host, port).map_err(|fault| fault.within(&format!("{host} {port}")))
    }

    /// The hosts of a network address; none elsewhere.
    pub fn hosts(&self) -> &[HostPort] {
        match &self.target {
            Target::Net { hosts, .. } => hosts,
            Target::Unix(_) | Target::Exec(_) | Target::Stdio => &[],
        }
    }

    /// The same target with another scheme.
    ///
    /// Nothing is checked, so that the caller can word the complaint: ask [`Scheme::fits`] first
    /// where the user chose both.
    #[must_use]
    pub fn with_scheme(self, scheme: Scheme) -> Self {
        Self {
            scheme: Some(scheme),
            ..self
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl Scheme {
    /// Every scheme, in the order in which they are shown to people.
    pub const ALL: &'static [Self] = &[
        Self::Tcp,
        Self::Udp,
        Self::Tls,
        Self::Unix,
        Self::Unixgram,
        Self::Ws,
        Self::Wss,
        Self::Http,
        Self::Https,
        Self::H3,
        Self::Quic,
        Self::Wt,
        Self::Exec,
        Self::Stdio,
    ];

    /// The scheme of this name, in any case (RFC 3986, section 3.1).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }

    /// The word that is written before the colon, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Unixgram => "unixgram",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Http => "http",
            Self::Https => "https",
            Self::H3 => "h3",
            Self::Quic => "quic",
            Self::Wt => "wt",
            Self::Exec => "exec",
            Self::Stdio => "stdio",
        }
    }

    /// The port that is meant when none is written (RFC 9110, section 4.2; RFC 6455, section 3).
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Ws | Self::Http => Some(80),
            Self::Wss | Self::Https | Self::H3 | Self::Wt => Some(443),
            _ => None,
        }
    }

    /// Whether an address of this scheme is a URL: it may have a path and a query.
    pub fn has_path(self) -> bool {
        matches!(
            self,
            Self::Ws | Self::Wss | Self::Http | Self::Https | Self::H3 | Self::Quic | Self::Wt
        )
    }

    /// Whether this scheme can be spoken to that target: `udp` not to a Unix path, `tcp` not to a
    /// URL path.
    pub fn fits(self, target: &Target) -> bool {
        match target {
            Target::Net { path, .. } => self.is_net() && (self.has_path() || path.is_empty()),
            Target::Unix(_) => matches!(self, Self::Unix | Self::Unixgram),
            Target::Exec(_) => self == Self::Exec,
            Target::Stdio => self == Self::Stdio,
        }
    }

    fn is_net(self) -> bool {
        !matches!(self, Self::Unix | Self::Unixgram | Self::Exec | Self::Stdio)
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Net { hosts, path } => {
                if let Some(scheme) = self.scheme {
                    write!(f, "{scheme}://")?;
                }
                for (n, host) in hosts.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{host}")?;
                }
                f.write_str(path)
            }
            Target::Unix(name) => write!(f, "{}:{name}", self.scheme.unwrap_or(Scheme::Unix)),
            Target::Exec(command) => write!(f, "exec:{command}"),
            Target::Stdio => f.write_str("-"),
        }
    }
}

impl Display for Scheme {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Display for HostPort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// As in an address: IPv6 in brackets, [`Host::Unspecified`] as nothing.
impl Display for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unspecified => Ok(()),
            Self::Every => f.write_str("*"),
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6 { ip, zone: None } => write!(f, "[{ip}]"),
            // `%25x` would read back as the zone `x`.
            Self::V6 {
                ip,
                zone: Some(zone),
            } if host::is_escaped_zone(zone) => write!(f, "[{ip}%25{zone}]"),
            Self::V6 {
                ip,
                zone: Some(zone),
            } => write!(f, "[{ip}%{zone}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Display for UnixName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Path(path) => {
                let path = path.display().to_string();
                // Reading drops one `//`, as in `unix:///tmp/s`; give it one to drop.
                let slashes = if path.starts_with("//") { "//" } else { "" };
                write!(f, "{slashes}{path}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
