//! Dialing QUIC: a socket for each connection, the addresses of a name tried in turn, and one session.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use wire::address::HostPort;

use super::{DialOptions, happy, name_of};
use crate::error::{Error, Operation, Result};
use crate::protocol::quic::{self, Connected, Dialing, Failure, Move, Wanted};
use crate::protocol::tls::{self, SOCKEYE};
use crate::session::{Endpoint, Session};
use crate::socket::{DATAGRAM_BUFFER, Role, any_address};

pub(super) async fn dial(hosts: &[HostPort], options: &DialOptions) -> Result<Session> {
    let (connected, peer, server_name) = connect(hosts, &[SOCKEYE], options).await?;
    let facts = tls::quic_facts(
        connected.alpn.clone(),
        Some(server_name),
        connected.certificates(),
    );
    let identity = options.identity("quic", connected.local.clone(), peer.into());
    let terms = quic::Terms {
        identity: identity.in_tls(Arc::new(facts)),
        framing: options.framing.clone(),
        max_message: options.max_message,
    };
    let wanted = match options.datagrams {
        true => Wanted::Datagrams,
        false => Wanted::Stream,
    };
    let moving = options.migrate_after.map(|after| {
        let options = DialOptions {
            source_port: None,
            ..options.clone()
        };
        Move {
            after,
            socket: Box::new(move || socket(peer, &options)),
        }
    });
    connected.session(wanted, terms, moving).await
}

/// A connection to one of several hosts, in which one of `alpn` is spoken; where, and the name that it has proven.
async fn connect(
    hosts: &[HostPort],
    alpn: &[&str],
    options: &DialOptions,
) -> Result<(Connected, SocketAddr, String)> {
    if let Some(proxy) = &options.proxy {
        let reason = format!("{proxy} takes TCP only, and going past it would be no answer");
        let address = hosts.first().map(ToString::to_string).unwrap_or_default();
        return Err(Error::unsupported(Operation::Connect, address, reason));
    }
    let candidates = super::candidates(hosts, options).await?;
    let attempts = candidates
        .iter()
        .map(|(peer, host)| attempt(*peer, host, alpn, options));
    happy::first(attempts).await
}

async fn attempt(
    peer: SocketAddr,
    host: &HostPort,
    alpn: &[&str],
    options: &DialOptions,
) -> Result<(Connected, SocketAddr, String)> {
    let failed = |source| Error::Tls {
        operation: Operation::Connect,
        address: host.to_string(),
        source: Box::new(source),
    };
    let tls = options.tls.quic(&name_of(&host.host), alpn);
    let tls = tls.map_err(failed)?;
    let dialing = Dialing {
        socket: socket(peer, options)?,
        peer,
        tls: tls.config.clone(),
        server_name: &tls.server_name,
        settings: &options.quic,
        patience: options.timeout,
    };
    let dialed = Box::pin(quic::dial(dialing)).await;
    let connected = dialed.map_err(|failure| match failure {
        Failure::Alert(number) => failed(tls::alert(number)),
        Failure::Refused(reason) => failed(tls.fault(&reason)),
        Failure::Other(error) => error,
    })?;
    Ok((connected, peer, tls.server_name.clone()))
}

/// A socket that hears its peer, and whether nobody is there.
fn socket(peer: SocketAddr, options: &DialOptions) -> Result<UdpSocket> {
    let socket = options.options.udp(peer, Role::Dial)?;
    if options.options.receive_buffer.is_none() {
        // The system clamps this to its own maximum; any size works.
        let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER);
    }
    if options.options.send_buffer.is_none() {
        let _ = socket.set_send_buffer_size(DATAGRAM_BUFFER);
    }
    let source = options.source(peer).unwrap_or_else(|| any_address(peer));
    let bound = socket.bind(&source.into());
    bound.map_err(|error| Error::io(Operation::Connect, format!("{peer} from {source}"), error))?;
    let connected = socket.connect(&peer.into());
    connected.map_err(|source| Error::io(Operation::Connect, Endpoint::from(peer), source))?;
    Ok(socket.into())
}
