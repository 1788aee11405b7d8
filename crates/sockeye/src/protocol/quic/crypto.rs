//! TLS inside of QUIC (RFC 9001), for both versions of QUIC. quinn's own adapter knows version 1 alone, and keeps to
//! itself what was agreed on and why it was not.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use quinn::crypto::{self as quic, Keys};
use quinn::rustls::crypto::CryptoProvider;
use quinn::rustls::pki_types::{CertificateDer, ServerName};
use quinn::rustls::quic::{
    ClientConnection, Connection, ServerConnection, Suite, Version as KeysOf,
};
use quinn::rustls::server::ServerSessionMemoryCache;
use quinn::rustls::{self, CipherSuite, ClientConfig, ServerConfig};
use quinn::{ConnectError, ConnectionId};
use quinn_proto::crypto::UnsupportedVersion;
use quinn_proto::transport_parameters::TransportParameters;
use wire::quic::{VERSION_1, VERSION_2};

use crate::certificate::Certificate;
use crate::error::TlsError;
use crate::session::Tls as Facts;

mod keys;
mod session;

pub(super) use session::Agreed;
use session::Talk;

/// Has a step of a handshake done, and says in plain words why it failed, beside the words of who failed.
pub(crate) type Hearing =
    fn(&mut dyn FnMut() -> Result<(), rustls::Error>) -> Result<(), Box<(rustls::Error, TlsError)>>;

/// What TLS goes by, on either side.
#[derive(Clone)]
pub(crate) struct Tls<C> {
    pub(crate) config: Arc<C>,
    pub(crate) hearing: Hearing,
}

/// What is heard of one handshake while it goes on.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Why this end has given up.
    fault: OnceLock<TlsError>,
    /// The server has made sure first that we are where we say (Retry, RFC 9000, section 8.1.2).
    retried: AtomicBool,
}

impl Notes {
    pub(super) fn was_retried(&self) -> bool {
        self.retried.load(Relaxed)
    }

    /// Why this end has given up, if TLS is the reason.
    pub(super) fn fault(&self) -> Option<&TlsError> {
        self.fault.get()
    }
}

/// A version of QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuicVersion {
    /// RFC 9000.
    #[default]
    One,
    /// RFC 9369: the same in other numbers, so that nobody on the way comes to depend on those of version 1.
    Two,
}

impl QuicVersion {
    /// All of them, the one that is spoken without being asked for first.
    pub(super) const NUMBERS: [u32; 2] = [VERSION_1, VERSION_2];

    /// As packets have it.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::One => VERSION_1,
            Self::Two => VERSION_2,
        }
    }

    fn of(number: u32) -> Option<Self> {
        match number {
            VERSION_1 => Some(Self::One),
            VERSION_2 => Some(Self::Two),
            _ => None,
        }
    }

    fn keys(self) -> KeysOf {
        match self {
            Self::One => KeysOf::V1,
            Self::Two => KeysOf::V2,
        }
    }
}

/// The suite of the first packets (RFC 9001, section 5.2).
fn initial_suite(provider: &CryptoProvider) -> Option<Suite> {
    let suites = provider.cipher_suites.iter();
    suites
        .filter(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256)
        .find_map(|suite| suite.tls13()?.quic_suite())
}

/// What was agreed on over a connection.
pub(super) fn agreed(connection: &quinn::Connection) -> Agreed {
    let agreed = connection.handshake_data();
    let agreed = agreed.and_then(|agreed| agreed.downcast::<Agreed>().ok());
    agreed.map_or_else(Agreed::default, |agreed| *agreed)
}

/// The same for a person; `asked` is the name that a client has asked for.
pub(super) fn facts(connection: &quinn::Connection, asked: Option<&str>) -> Facts {
    type Shown = Vec<CertificateDer<'static>>;

    let agreed = agreed(connection);
    let shown = connection.peer_identity();
    let shown = shown.and_then(|shown| shown.downcast::<Shown>().ok());
    let shown = shown.into_iter().flat_map(|shown| *shown);
    let alpn = agreed.alpn;
    Facts {
        version: "TLSv1.3",
        cipher: agreed.cipher,
        key_exchange: agreed.key_exchange,
        alpn: alpn.map(|name| String::from_utf8_lossy(&name).into_owned()),
        server_name: asked.map(str::to_owned).or(agreed.server_name),
        peer_certificates: shown
            .map(|certificate| Certificate::from_der(certificate.to_vec()))
            .collect(),
        resumed: agreed.resumed,
        cut_off: Arc::default(),
        fault: Arc::default(),
    }
}

/// A client's handshake.
pub(super) struct Client {
    tls: Tls<ClientConfig>,
    alpn: Vec<Vec<u8>>,
    initial: Suite,
    notes: Arc<Notes>,
}

impl Client {
    /// `alpn` is what is offered inside. `None`: TLS cannot be spoken in QUIC.
    pub(super) fn new(
        tls: Tls<ClientConfig>,
        alpn: Vec<Vec<u8>>,
        notes: Arc<Notes>,
    ) -> Option<Self> {
        let initial = initial_suite(tls.config.crypto_provider())?;
        Some(Self {
            tls,
            alpn,
            initial,
            notes,
        })
    }
}

impl quic::ClientConfig for Client {
    fn start_session(
        self: Arc<Self>,
        number: u32,
        server_name: &str,
        parameters: &TransportParameters,
    ) -> Result<Box<dyn quic::Session>, ConnectError> {
        let version = QuicVersion::of(number).ok_or(ConnectError::UnsupportedVersion)?;
        let unnamed = || ConnectError::InvalidServerName(server_name.to_owned());
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| unnamed())?;
        // No other version: the server must not choose one in the middle of the handshake (RFC 9368, section 2.3).
        let parameters = session::written(parameters, number, &[number]);
        let connection = ClientConnection::new_with_alpn(
            self.tls.config.clone(),
            version.keys(),
            name,
            parameters,
            self.alpn.clone(),
        );
        let connection = Connection::Client(connection.map_err(|_| unnamed())?);
        let (hearing, notes) = (self.tls.hearing, self.notes.clone());
        let talk = Talk::new(connection, version, self.initial, hearing, notes);
        Ok(Box::new(talk))
    }
}

/// A server's handshakes.
#[derive(Clone)]
pub(super) struct Server {
    tls: Tls<ServerConfig>,
    /// The same with sessions of its own: what one version has begun the other must not resume (RFC 9369, section 5).
    version_2: Arc<ServerConfig>,
    initial: Suite,
    notes: Arc<Notes>,
}

/// Sessions of version 2 that can be resumed.
const RESUMABLE: usize = 1024;

impl Server {
    /// `None`: TLS cannot be spoken in QUIC.
    pub(super) fn new(tls: Tls<ServerConfig>) -> Option<Self> {
        let initial = initial_suite(tls.config.crypto_provider())?;
        let mut version_2 = (*tls.config).clone();
        version_2.session_storage = ServerSessionMemoryCache::new(RESUMABLE);
        // What it goes by cannot be refused later.
        ServerConnection::new(tls.config.clone(), KeysOf::V1, Vec::new()).ok()?;
        Some(Self {
            tls,
            version_2: Arc::new(version_2),
            initial,
            notes: Arc::default(),
        })
    }

    /// The same for one handshake, of which `notes` hear.
    pub(super) fn telling(&self, notes: Arc<Notes>) -> Self {
        Self {
            notes,
            ..self.clone()
        }
    }

    pub(super) fn goes_by(&self, tls: &Tls<ServerConfig>) -> bool {
        Arc::ptr_eq(&self.tls.config, &tls.config)
    }
}

impl quic::ServerConfig for Server {
    fn initial_keys(&self, number: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        let version = QuicVersion::of(number).ok_or(UnsupportedVersion)?;
        let side = rustls::Side::Server;
        Ok(keys::initial(self.initial, version, id, side))
    }

    fn retry_tag(&self, number: u32, first_id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        let version = QuicVersion::of(number).unwrap_or_default();
        // It is not said to fail; a tag that is none is thrown away by the client.
        keys::retry_tag(version, first_id, &[packet]).unwrap_or_default()
    }

    fn start_session(
        self: Arc<Self>,
        number: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn quic::Session> {
        let version = QuicVersion::of(number).unwrap_or_default();
        let config = match version {
            QuicVersion::One => self.tls.config.clone(),
            QuicVersion::Two => self.version_2.clone(),
        };
        let parameters = session::written(parameters, number, &QuicVersion::NUMBERS);
        match ServerConnection::new(config, version.keys(), parameters) {
            Ok(connection) => {
                let connection = Connection::Server(connection);
                let (hearing, notes) = (self.tls.hearing, self.notes.clone());
                Box::new(Talk::new(connection, version, self.initial, hearing, notes))
            }
            Err(_) => unreachable!("it was tried when this was made"),
        }
    }
}
