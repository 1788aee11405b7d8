//! Names of Unix sockets, as the kernel, a person and this library write them.

use std::io;

use rustix::net::{SendFlags, SocketAddrUnix, sendto};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::net::unix::SocketAddr;
use wire::address::UnixName;

use crate::session::Endpoint;

/// What the kernel calls `name` (unix(7)).
pub(crate) fn address(name: &UnixName) -> io::Result<SocketAddrUnix> {
    Ok(match name {
        UnixName::Path(path) => SocketAddrUnix::new(path.as_path())?,
        UnixName::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
    })
}

pub(crate) fn endpoint(name: &UnixName) -> Endpoint {
    Endpoint::Unix(match name {
        UnixName::Path(path) => path.to_string_lossy().into(),
        UnixName::Abstract(name) => format!("@{name}").into(),
    })
}

/// What a peer calls itself; empty when it has bound no name.
pub(crate) fn peer(address: &SocketAddr) -> Endpoint {
    let name = match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => path.to_string_lossy().into_owned(),
        (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)),
        (None, None) => String::new(),
    };
    Endpoint::Unix(name.into())
}

/// Sends one datagram to a peer that was seen as `to`.
pub(crate) fn try_send_to(socket: &UnixDatagram, data: &[u8], to: &Endpoint) -> io::Result<()> {
    let to = match to {
        Endpoint::Unix(name) if name.is_empty() => {
            let why = "the peer has bound no name, so it cannot be answered";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
        }
        Endpoint::Unix(name) => match name.strip_prefix('@') {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
            None => SocketAddrUnix::new(&**name)?,
        },
        Endpoint::Net(_) | Endpoint::Named(_) | Endpoint::Memory => {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    };
    socket.try_io(Interest::WRITABLE, || {
        sendto(socket, data, SendFlags::NOSIGNAL | SendFlags::DONTWAIT, &to)?;
        Ok(())
    })
}
