//! Dialing through a proxy: SOCKS5 or HTTP CONNECT.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::slice::from_ref;
use std::time::Duration;

use bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wire::address::{Host, HostPort};
use wire::upstream::{Heard, Proxy, Refusal};

use super::{DialOptions, Reached, happy};
use crate::error::{Error, Operation, Result};
use crate::session::Endpoint;
use crate::stream::{ByteStream, poll_fill};

/// How long a proxy that we are connected to may take to reach somebody.
const LONGEST: Duration = Duration::from_secs(60);

/// Reaches the first of `hosts` that the proxy can reach. The error is that of the first.
pub(super) async fn connect(
    proxy: &Proxy,
    hosts: &[HostPort],
    options: &DialOptions,
) -> Result<Reached> {
    let mut first_error = None;
    for host in hosts {
        match through(proxy, host, options).await {
            Ok(connected) => return Ok(connected),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(super::names_no_host))
}

/// A connection to the proxy itself.
pub(super) async fn reach(proxy: &Proxy, options: &DialOptions) -> Result<(TcpStream, SocketAddr)> {
    let candidates = super::candidates(from_ref(&proxy.at), options).await?;
    let attempts = candidates
        .iter()
        .map(async |(at, _)| Ok((happy::attempt(*at, options).await?, *at)));
    let reached = happy::first(attempts).await;
    reached.map_err(|error| match error {
        Error::Io {
            operation,
            address,
            source,
        } => Error::io(operation, format!("the proxy {address}"), source),
        other => other,
    })
}

async fn through(proxy: &Proxy, to: &HostPort, options: &DialOptions) -> Result<Reached> {
    let (tcp, at) = reach(proxy, options).await?;
    let mut reached = Reached::new(tcp, at, to, options)?;
    reached.peer = endpoint(to);
    let talking = talk(proxy, to, &mut reached.stream);
    match tokio::time::timeout(LONGEST, talking).await {
        Ok(talked) => talked.map(|()| reached),
        Err(_) => Err(Error::TimedOut {
            operation: Operation::Connect,
            address: format!("{to} through {proxy}"),
            after: LONGEST,
        }),
    }
}

/// What is known of the other end: its address only where it was written in numbers.
fn endpoint(to: &HostPort) -> Endpoint {
    match &to.host {
        Host::V4(ip) => SocketAddr::new((*ip).into(), to.port).into(),
        Host::V6 { ip, .. } => SocketAddr::new((*ip).into(), to.port).into(),
        Host::Name(_) | Host::Every | Host::Unspecified => Endpoint::Named(to.to_string().into()),
    }
}

async fn talk(proxy: &Proxy, to: &HostPort, stream: &mut ByteStream) -> Result<()> {
    let refused = |source| Error::Proxy {
        address: to.to_string(),
        proxy: proxy.to_string(),
        source,
    };
    let broken = |source| Error::io(Operation::Connect, format!("{to} through {proxy}"), source);
    let (mut talk, hello) = proxy.begin(to).map_err(refused)?;
    stream.write_all(&hello).await.map_err(broken)?;
    loop {
        match talk.hear(&stream.head).map_err(refused)? {
            Heard::NeedMore => {
                let ByteStream { io, head, .. } = stream;
                let read = poll_fn(|cx| poll_fill(io, head, cx)).await;
                if read.map_err(broken)? == 0 {
                    return Err(refused(Refusal::Closed));
                }
            }
            Heard::Answer { used, say } => {
                stream.head.advance(used);
                stream.write_all(&say).await.map_err(broken)?;
            }
            Heard::Done { used } => {
                stream.head.advance(used);
                return Ok(());
            }
        }
    }
}
