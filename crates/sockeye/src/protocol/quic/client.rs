//! The client's end of a connection: the handshake, one session, and a goodbye that arrives.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    ClientConfig, ConnectError, Connection, ConnectionError, Endpoint, EndpointConfig,
    TokioRuntime, VarInt, ZeroRttAccepted, rustls,
};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::quic::version_name;

use super::crypto::{self, Notes, QuicVersion};
use super::datagrams::{Datagrams, NO_DATAGRAMS};
use super::direct::Direct;
use super::ends::Ends;
use super::keeper::{self, Keeper, Move};
use super::stream::Stream;
use super::{DONE, Failure, HANDSHAKE, Settings, Terms, closing};
use crate::error::{Error, Operation, Result};
use crate::lookout::Lookout;
use crate::session::{EarlyData, Endpoint as End, Identity, Info, Link, Path, Session, Tls};
use crate::stream::ByteStream;

/// Somebody to be reached.
pub(crate) struct Dialing<'a> {
    /// Connected to the peer, so that it hears when nobody is there.
    pub(crate) socket: UdpSocket,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: crypto::Tls<rustls::ClientConfig>,
    /// What is offered inside.
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) server_name: &'a str,
    /// Do not wait for the handshake, if an earlier one allows that (0-RTT).
    pub(crate) early: bool,
    pub(crate) settings: &'a Settings,
    /// How long it may take.
    pub(crate) patience: Option<Duration>,
    /// Who watches its packets.
    pub(crate) lookout: Option<Arc<dyn Lookout>>,
}

/// What is wanted of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One stream in both directions.
    Stream,
    /// Datagrams.
    Datagrams,
}

/// A connection without a session.
pub(crate) struct Connected {
    endpoint: Endpoint,
    version: QuicVersion,
    connection: Connection,
    socket: Arc<Direct>,
    pub(crate) local: End,
    path: Arc<Path>,
    /// Where the handshake is still under way.
    early: Option<Early>,
}

/// # Errors
/// When nobody is there, or nothing can be agreed on, or not in time.
pub(crate) async fn dial(dialing: Dialing<'_>) -> Result<Connected, Failure> {
    let address = dialing.peer.to_string();
    let failed = |source| Failure::Other(Error::io(Operation::Connect, &address, source));
    let version = dialing.settings.version;
    let (local, socket) = bound(dialing.socket, version, dialing.lookout).map_err(failed)?;
    let mut config = EndpointConfig::default();
    config.supported_versions(vec![version.number()]);
    let endpoint =
        Endpoint::new_with_abstract_socket(config, None, socket.clone(), Arc::new(TokioRuntime));
    let endpoint = endpoint.map_err(failed)?;
    let notes = Arc::<Notes>::default();
    let crypto = crypto::Client::new(dialing.tls, dialing.alpn, notes.clone());
    let crypto = crypto.ok_or_else(|| failed(std::io::ErrorKind::Unsupported.into()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let title = format!("client-{}-{}", std::process::id(), local.port());
    config
        .transport_config(dialing.settings.transport(&title))
        .version(version.number());
    let connecting = endpoint
        .connect_with(config, dialing.peer, dialing.server_name)
        .map_err(|error| unwilling(&address, &error))?;
    let begun = Begun {
        address,
        patience: dialing.patience.unwrap_or(HANDSHAKE),
        version,
        socket: socket.clone(),
        notes: notes.clone(),
    };
    let path = Arc::new(Path::of(version.number()));
    let connecting = match dialing.early {
        true => connecting.into_0rtt(),
        false => Err(connecting),
    };
    let (connection, early) = match connecting {
        Ok((connection, accepted)) => {
            let early = Early {
                accepted,
                begun,
                connection: connection.clone(),
                path: path.clone(),
            };
            (connection, Some(early))
        }
        Err(connecting) => {
            let connection = begun.end(connecting).await?;
            path.note_retry(notes.was_retried());
            (connection, None)
        }
    };
    Ok(Connected {
        endpoint,
        version,
        connection,
        socket,
        local: local.into(),
        path,
        early,
    })
}

pub(super) fn bound(
    socket: UdpSocket,
    version: QuicVersion,
    lookout: Option<Arc<dyn Lookout>>,
) -> std::io::Result<(SocketAddr, Arc<Direct>)> {
    let local = socket.local_addr()?;
    Ok((local, Arc::new(Direct::new(socket, version, lookout)?)))
}

/// A handshake that has begun.
struct Begun {
    address: String,
    patience: Duration,
    version: QuicVersion,
    socket: Arc<Direct>,
    notes: Arc<Notes>,
}

impl Begun {
    /// Waits for its end.
    async fn end<T>(
        &self,
        shaking: impl Future<Output = Result<T, ConnectionError>>,
    ) -> Result<T, Failure> {
        let address = &self.address;
        let shaken = tokio::select! {
            shaken = timeout(self.patience, shaking) => shaken,
            refused = self.socket.refused() => {
                return Err(Failure::Other(Error::io(Operation::Connect, address, refused)));
            }
        };
        match shaken {
            Ok(Ok(shaken)) => Ok(shaken),
            Ok(Err(ConnectionError::VersionMismatch)) => Err(Failure::Other(self.mismatch())),
            Ok(Err(error)) => {
                let notes = &self.notes;
                Err(closing::handshake(
                    Operation::Connect,
                    address,
                    error,
                    notes,
                ))
            }
            Err(_) => Err(Failure::Other(Error::TimedOut {
                operation: Operation::Connect,
                address: address.clone(),
                after: self.patience,
            })),
        }
    }

    fn mismatch(&self) -> Error {
        let names = self.socket.offered().iter().copied().map(version_name);
        let offered = match &*names.collect::<Vec<_>>() {
            [] => "none that is known".to_owned(),
            [one] => format!("version {one}"),
            several => format!("versions {}", several.join(", ")),
        };
        let spoken = version_name(self.version.number());
        Error::Protocol {
            operation: Operation::Connect,
            address: self.address.clone(),
            reason: format!(
                "it does not speak version {spoken} of QUIC, but {offered} (version negotiation)"
            ),
        }
    }
}

/// A handshake that is still under way, while the server may be asked already.
pub(crate) struct Early {
    accepted: ZeroRttAccepted,
    begun: Begun,
    connection: Connection,
    path: Arc<Path>,
}

impl Early {
    /// Waits until the handshake is over, and says what became of what was sent before.
    ///
    /// # Errors
    /// When it comes to nothing.
    pub(crate) async fn settle(self, server_name: &str) -> Result<(EarlyData, Tls), Failure> {
        let connection = &self.connection;
        let accepted = self.begun.end(async {
            match (self.accepted.await, connection.close_reason()) {
                (false, Some(error)) => Err(error),
                (accepted, _) => Ok(accepted),
            }
        });
        let early = match accepted.await? {
            true => EarlyData::Accepted,
            false => EarlyData::Rejected,
        };
        self.path.note_early(early);
        self.path.note_retry(self.begun.notes.was_retried());
        Ok((early, crypto::facts(connection, Some(server_name))))
    }
}

fn unwilling(address: &str, error: &ConnectError) -> Failure {
    let reason = error.to_string();
    Failure::Other(Error::unsupported(Operation::Connect, address, reason))
}

impl Connected {
    /// Has the connection seen to its end, which comes when what is given back is dropped; it is closed with `code`.
    fn keep(self, code: VarInt, terms: Terms, moving: Move) -> (Arc<Ends>, DropGuard) {
        let room = self.connection.datagram_send_buffer_space();
        let ends = Ends::new(self.connection, terms, self.path);
        let left = CancellationToken::new();
        let held = left.clone().drop_guard();
        let keeper = Keeper {
            endpoint: self.endpoint,
            socket: self.socket,
            version: self.version,
            local: self.local,
            ends: ends.clone(),
            room,
            left,
            code,
        };
        keeper.start(moving);
        (ends, held)
    }

    /// The connection itself, for a protocol that runs over it and ends by closing it with `code`.
    pub(in crate::protocol) fn lend(self, code: VarInt, terms: Terms, moving: Move) -> Lent {
        let (ends, held) = self.keep(code, terms, moving);
        Lent { ends, _held: held }
    }

    /// What was agreed on, once the handshake is over.
    pub(crate) fn tls(&self, server_name: &str) -> Tls {
        crypto::facts(&self.connection, Some(server_name))
    }

    /// The handshake, where it is still under way.
    pub(crate) fn take_early(&mut self) -> Option<Early> {
        self.early.take()
    }

    /// The one session that the connection is for. When it is dropped the connection is closed.
    ///
    /// # Errors
    /// When the connection broke, or the server does not take what is wanted.
    pub(crate) async fn session(
        self,
        wanted: Wanted,
        terms: Terms,
        moving: Move,
    ) -> Result<Session> {
        let (ends, held) = self.keep(DONE, terms, moving);
        let held = Some(held);
        let (identity, address) = (ends.identity(), ends.address());
        match wanted {
            Wanted::Stream => {
                let opened = ends.connection.open_bi().await;
                let (sending, receiving) =
                    opened.map_err(|error| closing::lost(Operation::Connect, &address, &error))?;
                let stream = Stream::new(ends.clone(), Some(sending), receiving, held);
                let framing = ends.terms.framing.clone();
                let link = Link::Bytes(ByteStream::new(stream), framing);
                Ok(Session::new(link, identity, ends.terms.max_message))
            }
            Wanted::Datagrams if ends.connection.max_datagram_size().is_none() => Err(
                Error::unsupported(Operation::Connect, address, NO_DATAGRAMS),
            ),
            Wanted::Datagrams => {
                let info = Arc::new(Info::new(identity));
                let packets = Datagrams::new(ends, info.clone(), None, held);
                Ok(Session::of_packets(info, Box::new(packets)))
            }
        }
    }
}

/// A connection that another protocol runs over. It is closed when this is dropped.
pub(in crate::protocol) struct Lent {
    ends: Arc<Ends>,
    _held: DropGuard,
}

impl Lent {
    pub(in crate::protocol) fn connection(&self) -> Connection {
        self.ends.connection.clone()
    }

    pub(in crate::protocol) fn identity(&self) -> Identity {
        self.ends.identity()
    }

    /// What its packets tell of the way, for who outlives the loan.
    pub(in crate::protocol) fn gauge(&self) -> Gauge {
        Gauge(self.ends.clone())
    }

    /// Runs work that ends with the connection.
    pub(in crate::protocol) fn run(work: impl Future<Output = ()> + Send + 'static) {
        drop(crate::task::spawn(keeper::all(), work));
    }
}

/// Looks at what the packets of a connection tell. It keeps no connection open.
#[derive(Clone)]
pub(in crate::protocol) struct Gauge(Arc<Ends>);

impl Gauge {
    pub(super) fn of(connection: Connection, terms: Terms, path: Arc<Path>) -> Self {
        Self(Ends::new(connection, terms, path))
    }

    /// The two ends, as they are now.
    pub(in crate::protocol) fn identity(&self) -> Identity {
        self.0.identity()
    }

    /// Something has come: tells if the peer has moved.
    pub(in crate::protocol) fn notice_move_soon(&self) {
        self.0.notice_move_soon();
    }

    pub(in crate::protocol) fn look(&self) {
        self.0.look();
    }

    /// How the connection ended, if it has.
    pub(in crate::protocol) fn close_reason(&self) -> Option<ConnectionError> {
        self.0.connection.close_reason()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.ends.look();
    }
}
