//! Those who come: an endpoint on a socket that somebody else reads, and the handshakes with its visitors.

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use quinn::{
    AsyncUdpSocket, Connecting, Connection, ConnectionError, Endpoint, EndpointConfig, Incoming,
    ServerConfig, TokioRuntime, rustls,
};
use quinn_proto::HashedConnectionIdGenerator;

use super::crypto::{self, Agreed, Notes, QuicVersion};
use super::{Failure, Gauge, HANDSHAKE, Settings, Terms, closing};
use crate::error::Operation;
use crate::session::{EarlyData, Endpoint as End, Path, Tls};

/// Handshakes with clients whose address may be forged that may be under way at once. Whoever comes then has to
/// prove first that it is there (Retry, RFC 9000, section 8.1.2).
const UNPROVEN: usize = 64;

type ServerTls = crypto::Tls<rustls::ServerConfig>;

/// What the handshakes of an endpoint go by.
pub(crate) struct Listener {
    endpoint: Endpoint,
    settings: Settings,
    /// With TLS as it was the last time.
    config: Mutex<(Arc<crypto::Server>, ServerConfig)>,
    unproven: Arc<AtomicUsize>,
}

impl Listener {
    /// An endpoint on `socket`, whose connection ids `ids` makes.
    ///
    /// # Errors
    /// When TLS cannot be used in QUIC.
    pub(crate) fn new(
        socket: Arc<dyn AsyncUdpSocket>,
        ids: impl Fn() -> HashedConnectionIdGenerator + Send + Sync + 'static,
        tls: ServerTls,
        settings: Settings,
    ) -> io::Result<Self> {
        let crypto = crypto::Server::new(tls).ok_or(io::ErrorKind::Unsupported)?;
        let crypto = Arc::new(crypto);
        let config = ServerConfig::with_crypto(crypto.clone());
        let mut endpoint = EndpointConfig::default();
        endpoint
            .cid_generator(move || Box::new(ids()))
            // Packets are told from other datagrams by that bit.
            .grease_quic_bit(false)
            .supported_versions(QuicVersion::NUMBERS.to_vec());
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint,
            Some(config.clone()),
            socket,
            Arc::new(TokioRuntime),
        )?;
        Ok(Self {
            endpoint,
            settings,
            config: Mutex::new((crypto, config)),
            unproven: Arc::default(),
        })
    }

    /// The next who wants to come in; `None` when the socket is gone.
    pub(crate) async fn next(&self) -> Option<Visitor> {
        let incoming = self.endpoint.accept().await?;
        Some(Visitor { incoming })
    }

    /// Lets a visitor in, or has it prove first that it is where it says.
    ///
    /// # Errors
    /// When what it began with is none of QUIC's.
    pub(crate) fn admit(
        &self,
        visitor: Visitor,
        tls: ServerTls,
    ) -> Result<Option<Handshake>, Failure> {
        let peer = End::from(visitor.peer()).to_string();
        let incoming = visitor.incoming;
        let proven = incoming.remote_address_validated();
        let under_way = self.unproven.load(Relaxed);
        if !proven && incoming.may_retry() && under_way >= UNPROVEN {
            // It may always: that was asked.
            let _ = incoming.retry();
            return Ok(None);
        }
        let title = incoming.orig_dst_cid().to_string();
        let local = incoming.local_ip();
        let notes = Arc::<Notes>::default();
        let accepted = incoming.accept_with(Arc::new(self.config(tls, &title, notes.clone())));
        let failed = |error| closing::handshake(Operation::Secure, &peer, error, &notes);
        let connecting = accepted.map_err(failed)?;
        let unproven = (!proven).then(|| Unproven::one_more(&self.unproven));
        Ok(Some(Handshake {
            connecting,
            notes,
            local,
            _unproven: unproven,
        }))
    }

    /// What a handshake goes by that begins now, of which `notes` hear.
    fn config(&self, tls: ServerTls, title: &str, notes: Arc<Notes>) -> ServerConfig {
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.0.goes_by(&tls)
            && let Some(crypto) = crypto::Server::new(tls)
        {
            known.0 = Arc::new(crypto);
            known.1.crypto = known.0.clone();
        }
        let mut config = known.1.clone();
        config.crypto = Arc::new(known.0.telling(notes));
        drop(known);
        config.transport_config(self.settings.transport(title));
        config
    }

    /// Waits until the last packets of all connections have left and nothing is expected any more.
    pub(crate) async fn wind_down(self, longest: Duration) {
        // Those who are still in a handshake are told, too.
        self.endpoint.close(super::DONE, b"");
        let _ = tokio::time::timeout(longest, self.endpoint.wait_idle()).await;
    }
}

/// Somebody who wants to come in.
pub(crate) struct Visitor {
    incoming: Incoming,
}

impl Visitor {
    pub(crate) fn peer(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Tells it that it is not taken (CONNECTION_REFUSED).
    pub(crate) fn refuse(self) {
        self.incoming.refuse();
    }
}

/// A handshake under way.
pub(crate) struct Handshake {
    connecting: Connecting,
    notes: Arc<Notes>,
    local: Option<IpAddr>,
    _unproven: Option<Unproven>,
}

struct Unproven(Arc<AtomicUsize>);

impl Unproven {
    fn one_more(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Relaxed);
        Self(all.clone())
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A connection after its handshake; or before its end, with a client that has known us before and may be answered.
pub(crate) struct Shaken {
    pub(in crate::protocol) connection: Connection,
    /// Where the handshake is still under way.
    pub(in crate::protocol) confirmed: Confirmed,
    pub(in crate::protocol) path: Arc<Path>,
    /// Our address that it came to, where we have several.
    local: Option<IpAddr>,
}

/// Comes when the handshake is over, whatever became of it.
pub(in crate::protocol) type Confirmed = Shared<Pin<Box<dyn Future<Output = ()> + Send>>>;

impl Handshake {
    /// `early`: what is spoken inside (ALPN) where a client may be heard whose handshake is not over (0-RTT). What it
    /// says may have been said before, and somebody else may say it again (RFC 8446, section 8).
    ///
    /// # Errors
    /// When nothing can be agreed on, or not in time.
    pub(crate) async fn shake(self, peer: &End, early: &str) -> Result<Shaken, Failure> {
        let shaking = tokio::time::timeout(HANDSHAKE, shaken(self.connecting, early));
        let shaken = shaking.await.unwrap_or(Err(ConnectionError::TimedOut));
        let notes = &self.notes;
        let failed = |error| closing::handshake(Operation::Secure, &peer.to_string(), error, notes);
        let (connection, confirmed) = shaken.map_err(failed)?;
        let agreed = crypto::agreed(&connection);
        let path = Path::of(agreed.version);
        if agreed.early {
            path.note_early(EarlyData::Accepted);
        }
        Ok(Shaken {
            connection,
            confirmed,
            path: Arc::new(path),
            local: self.local,
        })
    }
}

async fn shaken(
    mut connecting: Connecting,
    early: &str,
) -> Result<(Connection, Confirmed), ConnectionError> {
    let agreed = connecting.handshake_data().await?.downcast::<Agreed>();
    let may =
        |agreed: Box<Agreed>| agreed.early && agreed.alpn.as_deref() == Some(early.as_bytes());
    let connecting = match agreed.is_ok_and(may) {
        true => connecting.into_0rtt(),
        false => Err(connecting),
    };
    Ok(match connecting {
        Ok((connection, accepted)) => {
            let confirmed = async move {
                let _ = accepted.await;
            };
            let confirmed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(confirmed);
            (connection, confirmed.shared())
        }
        Err(connecting) => {
            let confirmed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(ready(()));
            (connecting.await?, confirmed.shared())
        }
    })
}

impl Shaken {
    /// Our end, on a socket that is bound to `bound`.
    pub(crate) fn at(&self, bound: &End) -> End {
        match (self.local, bound.socket_addr()) {
            (Some(ip), Some(bound)) => SocketAddr::new(ip, bound.port()).into(),
            _ => bound.clone(),
        }
    }

    /// What the packets tell of the way, for a protocol that runs over it.
    pub(in crate::protocol) fn gauge(&self, terms: Terms) -> Gauge {
        Gauge::of(self.connection.clone(), terms, self.path.clone())
    }

    /// What was agreed on.
    pub(crate) fn tls(&self) -> Tls {
        crypto::facts(&self.connection, None)
    }
}
