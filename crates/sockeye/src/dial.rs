//! Dialing: the other end of any port, as a session.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use wire::address::{Address, HostPort, Scheme, Target, UnixName};
use wire::framing::Framing;
use wire::text::Encoding;

use crate::error::{Error, Operation, Result};
use crate::resolve::{Family, Purpose, resolve};
use crate::session::{Endpoint, Identity, Link, MAX_MESSAGE, Observer, Session, Side};
use crate::socket::{self, SocketOptions};
use crate::stream::ByteStream;

mod happy;
mod udp;
mod unixgram;

/// How a peer is reached. `Default` is what most want.
#[derive(Clone)]
pub struct DialOptions {
    /// How messages are cut from byte streams.
    pub framing: Framing,
    /// The encoding of text.
    pub encoding: Encoding,
    /// The largest message that is taken, in bytes.
    pub max_message: usize,
    /// How long connecting may take; as long as the system tries when `None`.
    pub timeout: Option<Duration>,
    /// Which families a host name stands for.
    pub family: Family,
    /// Our own address; the system chooses when `None`.
    pub source_address: Option<std::net::IpAddr>,
    /// Our own port; the system chooses when `None`.
    pub source_port: Option<u16>,
    /// Over UDP, hear everyone and not only the peer that was dialed. A group or a broadcast address is
    /// always answered by others, so there everyone is heard anyway.
    pub from_anyone: bool,
    /// Socket options.
    pub options: SocketOptions,
    /// Who hears of it.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            framing: Framing::Raw,
            encoding: Encoding::UTF_8,
            max_message: MAX_MESSAGE,
            timeout: None,
            family: Family::Any,
            source_address: None,
            source_port: None,
            from_anyone: false,
            options: SocketOptions::default(),
            observer: None,
        }
    }
}

/// Reaches `to` and opens a session with it. Without a scheme that is TCP.
///
/// A name with several addresses is tried as RFC 8305 says ("happy eyeballs"), and so are several hosts.
///
/// # Errors
/// When it cannot be resolved or reached, or not in time.
pub async fn dial(to: &Address, options: &DialOptions) -> Result<Session> {
    let dialing = reach(to, options);
    let Some(limit) = options.timeout else {
        return dialing.await;
    };
    tokio::time::timeout(limit, dialing)
        .await
        .unwrap_or_else(|_| {
            Err(Error::TimedOut {
                operation: Operation::Connect,
                address: to.to_string(),
                after: limit,
            })
        })
}

async fn reach(to: &Address, options: &DialOptions) -> Result<Session> {
    match (&to.target, to.scheme) {
        (Target::Net { hosts, .. }, None | Some(Scheme::Tcp)) => tcp(hosts, options).await,
        (Target::Net { hosts, .. }, Some(Scheme::Udp)) => udp::dial(hosts, options).await,
        (Target::Unix(name), Some(Scheme::Unixgram)) => unixgram(name, options),
        (Target::Unix(name), _) => unix(name, options).await,
        _ => Err(Error::unsupported(
            Operation::Connect,
            to,
            "only tcp, udp, unix and unixgram addresses can be dialed",
        )),
    }
}

async fn tcp(hosts: &[HostPort], options: &DialOptions) -> Result<Session> {
    let candidates = candidates(hosts, options).await?;
    let (tcp, peer) = happy::connect(&candidates, options).await?;
    let local = tcp
        .local_addr()
        .map_err(|source| Error::io(Operation::Connect, peer, source))?;
    Ok(options.bytes("tcp", tcp.into(), local.into(), peer.into()))
}

async fn unix(name: &UnixName, options: &DialOptions) -> Result<Session> {
    let peer = socket::unix::endpoint(name);
    let failed = |source| Error::io(Operation::Connect, &peer, source);
    let address = match name {
        UnixName::Path(path) => std::os::unix::net::SocketAddr::from_pathname(path),
        UnixName::Abstract(name) => {
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
        }
    };
    let address = address.map_err(failed)?;
    let unix = UnixStream::connect_addr(&address.into())
        .await
        .map_err(failed)?;
    let local = unix.local_addr().map_err(failed)?;
    Ok(options.bytes("unix", unix.into(), socket::unix::peer(&local), peer))
}

fn unixgram(name: &UnixName, options: &DialOptions) -> Result<Session> {
    let peer = socket::unix::endpoint(name);
    let (packets, local) =
        unixgram::connect(name).map_err(|source| Error::io(Operation::Connect, &peer, source))?;
    let identity = options.identity("unixgram", local, peer);
    Ok(Session::new(
        Link::Packets(Box::new(packets)),
        identity,
        options.max_message,
    ))
}

/// Every socket address of every host, the hosts in their order and each host's families taking turns.
async fn candidates(
    hosts: &[HostPort],
    options: &DialOptions,
) -> Result<Vec<std::net::SocketAddr>> {
    let mut all = Vec::new();
    let mut failed = None;
    for host in hosts {
        match resolve(host, options.family, Purpose::Dial).await {
            Ok(addresses) => all.extend(happy::interleave(addresses)),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

fn names_no_host() -> Error {
    Error::unsupported(Operation::Connect, "nowhere", "the address names no host")
}

impl DialOptions {
    fn identity(&self, protocol: &'static str, local: Endpoint, peer: Endpoint) -> Identity {
        Identity::new(Side::Dialed, protocol, local, peer)
            .encoding(self.encoding)
            .observer(self.observer.clone())
    }

    fn bytes(
        &self,
        protocol: &'static str,
        stream: ByteStream,
        local: Endpoint,
        peer: Endpoint,
    ) -> Session {
        let link = Link::Bytes(stream, self.framing.clone());
        Session::new(link, self.identity(protocol, local, peer), self.max_message)
    }

    /// Our own end, where it was chosen.
    fn source(&self, peer: std::net::SocketAddr) -> Option<std::net::SocketAddr> {
        if self.source_address.is_none() && self.source_port.is_none() {
            return None;
        }
        let mut source = socket::any_address(peer);
        if let Some(ip) = self.source_address {
            source.set_ip(ip);
        }
        source.set_port(self.source_port.unwrap_or(0));
        Some(source)
    }
}

impl std::fmt::Debug for DialOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DialOptions")
            .field("framing", &self.framing)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
