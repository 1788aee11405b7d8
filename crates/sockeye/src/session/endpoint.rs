//! One end of a session, as it is shown.

use std::fmt;
use std::net::SocketAddr;

/// One end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and port.
    Net(SocketAddr),
    /// A Unix socket's name: a path, `@abstract`, or empty for a client that has none.
    Unix(Box<str>),
    /// Something else that has a name: a host that a proxy resolves, a command, standard input and output.
    Named(Box<str>),
    /// A pipe inside this process.
    Memory,
}

impl Endpoint {
    /// The socket address, where there is one.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Net(address) => Some(*address),
            Self::Unix(_) | Self::Named(_) | Self::Memory => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    /// An IPv4 peer of a dual-stack socket is shown as IPv4.
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => Self::Net(SocketAddr::new(v4.into(), v6.port())),
                None => Self::Net(address),
            },
            SocketAddr::V4(_) => Self::Net(address),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(address) => address.fmt(f),
            Self::Unix(name) if name.is_empty() => f.write_str("(unnamed)"),
            Self::Unix(name) | Self::Named(name) => f.write_str(name),
            Self::Memory => f.write_str("(memory)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_socket_is_shown_as_ipv4() {
        for (address, shown) in [
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(Endpoint::from(address).to_string(), shown);
        }
        assert_eq!(Endpoint::Unix("".into()).to_string(), "(unnamed)");
        assert_eq!(Endpoint::Unix("@bus".into()).to_string(), "@bus");
    }
}
