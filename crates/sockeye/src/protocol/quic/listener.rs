//! Those who come: an endpoint on a socket that somebody else reads, and the handshakes with its visitors.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{
    AsyncUdpSocket, Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ServerConfig,
    TokioRuntime, rustls,
};
use quinn_proto::HashedConnectionIdGenerator;
use wire::quic::VERSION_1;

use super::{Failure, HANDSHAKE, Settings, closing};
use crate::error::Operation;
use crate::session::Endpoint as End;

/// Handshakes with clients whose address may be forged that may be under way at once. Whoever comes then has to
/// prove first that it is there (Retry, RFC 9000, section 8.1.2).
const UNPROVEN: usize = 64;

/// What the handshakes of an endpoint go by.
pub(crate) struct Listener {
    endpoint: Endpoint,
    settings: Settings,
    /// With TLS as it was the last time.
    config: Mutex<(Arc<rustls::ServerConfig>, ServerConfig)>,
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
        tls: Arc<rustls::ServerConfig>,
        settings: Settings,
    ) -> io::Result<Self> {
        let crypto = QuicServerConfig::try_from(tls.clone()).map_err(io::Error::other)?;
        let config = ServerConfig::with_crypto(Arc::new(crypto));
        let mut endpoint = EndpointConfig::default();
        endpoint
            .cid_generator(move || Box::new(ids()))
            // Packets are told from other datagrams by that bit.
            .grease_quic_bit(false)
            .supported_versions(vec![VERSION_1]);
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint,
            Some(config.clone()),
            socket,
            Arc::new(TokioRuntime),
        )?;
        Ok(Self {
            endpoint,
            settings,
            config: Mutex::new((tls, config)),
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
        tls: Arc<rustls::ServerConfig>,
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
        let accepted = incoming.accept_with(Arc::new(self.config(tls, &title)));
        let failed = |error| closing::handshake(Operation::Secure, &peer, error);
        let connecting = accepted.map_err(failed)?;
        let unproven = (!proven).then(|| Unproven::one_more(&self.unproven));
        Ok(Some(Handshake {
            connecting,
            local,
            _unproven: unproven,
        }))
    }

    fn config(&self, tls: Arc<rustls::ServerConfig>, title: &str) -> ServerConfig {
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.0, &tls)
            && let Ok(crypto) = QuicServerConfig::try_from(tls.clone())
        {
            known.0 = tls;
            known.1.crypto = Arc::new(crypto);
        }
        let mut config = known.1.clone();
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
    connecting: quinn::Connecting,
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

/// A connection after its handshake.
pub(crate) struct Shaken {
    pub(in crate::protocol) connection: Connection,
    /// Our address that it came to, where we have several.
    local: Option<IpAddr>,
    /// What is spoken inside (ALPN).
    pub(crate) alpn: Option<Vec<u8>>,
    /// The name that the client asked for.
    pub(crate) server_name: Option<String>,
}

impl Handshake {
    /// # Errors
    /// When nothing can be agreed on, or not in time.
    pub(crate) async fn shake(self, peer: &End) -> Result<Shaken, Failure> {
        let shaking = tokio::time::timeout(HANDSHAKE, self.connecting);
        let shaken = shaking.await.unwrap_or(Err(ConnectionError::TimedOut));
        let failed = |error| closing::handshake(Operation::Secure, &peer.to_string(), error);
        let connection = shaken.map_err(failed)?;
        let data = connection.handshake_data();
        let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
        let (alpn, server_name) = match data {
            Some(data) => (data.protocol, data.server_name),
            None => (None, None),
        };
        Ok(Shaken {
            connection,
            local: self.local,
            alpn,
            server_name,
        })
    }
}

impl Shaken {
    /// Our end, on a socket that is bound to `bound`.
    pub(crate) fn at(&self, bound: &End) -> End {
        match (self.local, bound.socket_addr()) {
            (Some(ip), Some(bound)) => SocketAddr::new(ip, bound.port()).into(),
            _ => bound.clone(),
        }
    }

    /// The certificates that the client showed, its own first.
    pub(crate) fn certificates(&self) -> Option<Box<dyn std::any::Any>> {
        self.connection.peer_identity()
    }
}
