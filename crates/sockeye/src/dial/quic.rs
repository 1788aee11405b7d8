//! Dialing QUIC, and HTTP/3 in it: a socket for each connection, the addresses of a name tried in turn, and one
//! session.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use wire::address::{HostPort, Scheme};

use super::websocket::{authority, headers};
use super::{DialOptions, happy, name_of};
use crate::error::{Error, Operation, Result, TlsError};
use crate::protocol::h3;
use crate::protocol::http::Resource;
use crate::protocol::quic::{self, Connected, Dialing, Failure, Move, Wanted};
use crate::protocol::tls::{self, HTTP3, SOCKEYE};
use crate::session::{EarlyData, Endpoint, Session, Tls};
use crate::socket::{DATAGRAM_BUFFER, Role, any_address};

pub(super) async fn dial(hosts: &[HostPort], options: &DialOptions) -> Result<Session> {
    let Reached {
        connected,
        peer,
        terms,
        ..
    } = connect(hosts, "quic", SOCKEYE, options).await?;
    connected
        .session(wanted(options), terms, moving(peer, options))
        .await
}

pub(super) fn wanted(options: &DialOptions) -> Wanted {
    match options.datagrams {
        true => Wanted::Datagrams,
        false => Wanted::Stream,
    }
}

/// A session whose messages are the bodies of one request and its answer, over HTTP/3.
pub(super) async fn http(hosts: &[HostPort], path: &str, options: &DialOptions) -> Result<Session> {
    let reached = connect(hosts, "h3", HTTP3, options).await?;
    let host = &reached.host;
    let address = format!("h3://{host}{path}");
    let resource = Resource {
        scheme: "https",
        authority: authority(host, Scheme::H3),
        path: path.to_owned(),
        headers: headers(options)
            .map_err(|reason| Error::unsupported(Operation::Connect, &address, reason))?,
    };
    let moving = moving(reached.peer, options);
    let (connected, terms) = (reached.connected, reached.terms);
    let dialed = h3::dial(connected, &resource, &options.http, terms, moving).await;
    dialed.map_err(|source| Error::io(Operation::Connect, address, source))
}

/// How the connection moves to another port of ours, or to another address.
pub(super) fn moving(peer: SocketAddr, options: &DialOptions) -> Move {
    let after = options.migrate_after;
    let options = DialOptions {
        source_port: None,
        ..options.clone()
    };
    Move {
        after,
        socket: Box::new(move || socket(peer, &options)),
    }
}

/// A connection to one of several hosts.
pub(super) struct Reached {
    pub(super) connected: Connected,
    pub(super) peer: SocketAddr,
    pub(super) host: HostPort,
    pub(super) terms: quic::Terms,
}

/// Reaches one of several hosts that speaks `alpn`, for sessions of `protocol`.
pub(super) async fn connect(
    hosts: &[HostPort],
    protocol: &'static str,
    alpn: &str,
    options: &DialOptions,
) -> Result<Reached> {
    if let Some(proxy) = &options.proxy {
        let reason = format!("{proxy} takes TCP only, and going past it would be no answer");
        let address = hosts.first().map(ToString::to_string).unwrap_or_default();
        return Err(Error::unsupported(Operation::Connect, address, reason));
    }
    let candidates = super::candidates(hosts, options).await?;
    let attempts = candidates
        .iter()
        .map(|(peer, host)| attempt(*peer, host, (protocol, alpn), false, options));
    happy::first(attempts).await
}

/// HTTP/3 over a connection to one of `addresses`, where `host` is, which proves that it is `host`.
///
/// # Errors
/// When nobody is there, or nothing can be agreed on.
pub(crate) async fn ask_host(
    host: &HostPort,
    addresses: &[SocketAddr],
    options: &DialOptions,
) -> Result<h3::Client> {
    let attempts = addresses
        .iter()
        .map(|peer| attempt(*peer, host, ("h3", HTTP3), false, options));
    let reached = happy::first(attempts).await?;
    let moving = moving(reached.peer, options);
    let opened = h3::Client::open(reached.connected, reached.terms, moving).await;
    opened.map_err(|source| Error::io(Operation::Connect, host, source))
}

/// The same before the handshake is over (0-RTT), at one of `addresses` that has given us a ticket for that; `None` if
/// there is none.
///
/// # Errors
/// As [`ask_host`]; and what the server does not like it has not said yet.
pub(crate) async fn ask_host_early(
    host: &HostPort,
    addresses: &[SocketAddr],
    options: &DialOptions,
) -> Result<Option<(h3::Client, Early)>> {
    let name = name_of(&host.host);
    let version = options.quic.version.number();
    let known = addresses.iter().find(|peer| {
        let tls = options.tls.quic(&name, &[HTTP3], (**peer, version), true);
        tls.is_ok_and(|tls| tls.can_be_early)
    });
    let Some(peer) = known else {
        return Ok(None);
    };
    let mut reached = attempt(*peer, host, ("h3", HTTP3), true, options).await?;
    let Some(handshake) = reached.connected.take_early() else {
        return Ok(None);
    };
    let moving = moving(*peer, options);
    let opened = h3::Client::open(reached.connected, reached.terms, moving).await;
    let client = opened.map_err(|source| Error::io(Operation::Connect, host, source))?;
    let early = Early {
        handshake,
        host: host.clone(),
        server_name: options.tls.name_for(&name).to_owned(),
    };
    Ok(Some((client, early)))
}

/// A handshake that is not over, while something is asked for already.
pub(crate) struct Early {
    handshake: quic::Early,
    host: HostPort,
    server_name: String,
}

impl Early {
    /// Waits until it is over: what became of what was asked, and what was agreed on.
    ///
    /// # Errors
    /// When it comes to nothing.
    pub(crate) async fn settle(self) -> Result<(EarlyData, Tls)> {
        let settled = self.handshake.settle(&self.server_name).await;
        settled.map_err(|failure| refused(&self.host, failure))
    }
}

/// Why a handshake with `host` came to nothing.
fn refused(host: &HostPort, failure: Failure) -> Error {
    let source = match failure {
        Failure::Alert(number) => tls::alert(number),
        Failure::Refused(fault) => fault,
        Failure::Other(error) => return error,
    };
    not_secure(host, source)
}

fn not_secure(host: &HostPort, source: TlsError) -> Error {
    Error::Tls {
        operation: Operation::Connect,
        address: host.to_string(),
        source: Box::new(source),
    }
}

async fn attempt(
    peer: SocketAddr,
    host: &HostPort,
    (protocol, alpn): (&'static str, &str),
    early: bool,
    options: &DialOptions,
) -> Result<Reached> {
    let place = (peer, options.quic.version.number());
    let tls = options
        .tls
        .quic(&name_of(&host.host), &[alpn], place, early);
    let tls = tls.map_err(|source| not_secure(host, source))?;
    let socket = socket(peer, options)?;
    if let Ok(local) = socket.local_addr() {
        options.tell_patron(local, peer);
    }
    let dialing = Dialing {
        socket,
        peer,
        tls: quic::Tls {
            config: tls.config,
            hearing: tls::hear,
        },
        alpn: tls.alpn,
        server_name: &tls.server_name,
        early,
        settings: &options.quic,
        patience: options.timeout,
        lookout: options.lookout.clone(),
    };
    let dialed = Box::pin(quic::dial(dialing)).await;
    let connected = dialed.map_err(|failure| refused(host, failure))?;
    let facts = connected.tls(&tls.server_name);
    let identity = options.identity(protocol, connected.local.clone(), peer.into());
    Ok(Reached {
        terms: quic::Terms {
            identity: identity.in_tls(Arc::new(facts)),
            framing: options.framing.clone(),
            max_message: options.max_message,
        },
        connected,
        peer,
        host: host.clone(),
    })
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
