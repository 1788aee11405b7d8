//! The client's end of TLS: whom it trusts, and how it proves who it is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsConnector;

use super::credentials::{TlsFiles, authorities};
use super::tickets::{Place, QuicTickets, Tickets};
use super::trust::Trust;
use super::{HANDSHAKE, KeyLog, QuicClient, TlsVersion, facts, provider, refusal, stream::Secured};
use crate::certificate::Fingerprint;
use crate::error::{Result, TlsError};
use crate::session::Tls;
use crate::stream::ByteStream;

/// What is asked of a server, and who asks. `Default`: a certificate for the host that was dialed, signed by an
/// authority that the system trusts.
#[derive(Clone, Debug, Default)]
pub struct TlsClientOptions {
    /// The authorities to trust instead of the system's (PEM files).
    pub authorities: Vec<PathBuf>,
    /// The certificates that are accepted, when there are any. Then nothing else is looked at: not who has
    /// signed it, nor its names and dates.
    pub pins: Vec<Fingerprint>,
    /// Accept any certificate. Whoever is in between can read and change everything.
    pub insecure: bool,
    /// The name to ask for and to verify, when it is not the host's.
    pub server_name: Option<String>,
    /// What to speak inside, by the names of ALPN (RFC 7301), instead of what the scheme would offer.
    pub alpn: Vec<String>,
    /// Who we are, for servers that ask for it.
    pub identity: Option<TlsFiles>,
    /// The oldest version that is spoken.
    pub oldest: TlsVersion,
    /// Where the secrets go.
    pub key_log: Option<KeyLog>,
}

/// A client of TLS. Sessions that are dialed with clones of one value can be resumed.
#[derive(Clone, Debug, Default)]
pub struct TlsClient(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    options: TlsClientOptions,
    identity: Option<Arc<SingleCertAndKey>>,
    trust: Trust,
    /// Tickets that came over TCP.
    tickets: Arc<AtomicU64>,
    /// Those that came over QUIC.
    of_quic: Arc<QuicTickets>,
    /// Made at first use: reading what the system trusts takes milliseconds.
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl TlsClient {
    /// Reads the files that the options name.
    ///
    /// # Errors
    /// When one of them is of no use.
    pub fn new(options: TlsClientOptions) -> Result<Self> {
        let mut trusted = Vec::new();
        for path in &options.authorities {
            trusted.extend(authorities(path)?);
        }
        let identity = match &options.identity {
            Some(files) => Some(Arc::new(SingleCertAndKey::from(files.read()?))),
            None => None,
        };
        let trust = match (&*options.pins, options.insecure, trusted.is_empty()) {
            ([_, ..], ..) => Trust::Pinned(options.pins.clone()),
            ([], true, _) => Trust::Anyone,
            ([], false, false) => Trust::Authorities(trusted),
            ([], false, true) => Trust::System,
        };
        Ok(Self(Arc::new(Inner {
            options,
            identity,
            trust,
            of_quic: Arc::default(),
            tickets: Arc::default(),
            config: OnceLock::new(),
        })))
    }

    /// How many tickets servers have sent so far, with which a later connection to them can be resumed.
    pub fn tickets(&self) -> u64 {
        self.0.tickets.load(Relaxed) + self.0.of_quic.came()
    }

    /// The client's part of the handshake with `host`.
    ///
    /// # Errors
    /// When the server does not prove that it is `host`, or nothing can be agreed on.
    pub(crate) async fn connect(
        &self,
        stream: ByteStream,
        host: &str,
        alpn: &[&str],
    ) -> Result<(ByteStream, Tls), TlsError> {
        let name = self.name_for(host);
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            TlsError::Ours(format!("`{name}` is no name that a certificate can have"))
        })?;
        let asked = matches!(server, ServerName::DnsName(_)).then_some(name);
        let connector = TlsConnector::from(self.config()?);
        let shaking = connector.with_alpn(self.alpn(alpn)).connect(server, stream);
        let shaking = refusal::explained(Box::pin(shaking));
        let tls = match tokio::time::timeout(HANDSHAKE, shaking).await {
            Ok(shaken) => shaken?,
            Err(_) => return Err(TlsError::TimedOut(HANDSHAKE)),
        };
        let facts = facts(tls.get_ref().1, asked);
        let stream = Secured::new(tls, facts.cut_off.clone()).telling(facts.fault.clone());
        Ok((ByteStream::new(stream), facts))
    }

    /// What a handshake in QUIC with `host` goes by, which is at `peer` and speaks `version` of QUIC. `early`: something
    /// may be sent with the first packets.
    ///
    /// # Errors
    /// When nobody would be trusted.
    pub(crate) fn quic(
        &self,
        host: &str,
        alpn: &[&str],
        (peer, version): (SocketAddr, u32),
        early: bool,
    ) -> Result<QuicClient, TlsError> {
        let name = self.name_for(host);
        let mut config = (*self.config()?).clone();
        let alpn = self.alpn(alpn);
        let place = Place {
            peer,
            version,
            alpn: alpn.clone(),
        };
        let tickets = self.0.of_quic.at(place);
        let server = ServerName::try_from(name);
        let can_be_early = early && server.is_ok_and(|server| tickets.allow_early_data(&server));
        // The verifier stays the same one: a session is resumed by nobody else.
        config.resumption = Resumption::store(Arc::new(tickets));
        config.enable_early_data = early;
        Ok(QuicClient {
            config: Arc::new(config),
            server_name: name.to_owned(),
            alpn,
            can_be_early,
        })
    }

    /// The name that is asked for and verified when `host` is dialed.
    pub(crate) fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.0.options.server_name.as_deref().unwrap_or(host)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let make = || self.0.make().map_err(|error| error.to_string());
        let made = self.0.config.get_or_init(make);
        made.clone().map_err(TlsError::Ours)
    }

    /// What is offered inside: what was chosen, or else what fits the scheme.
    fn alpn(&self, fitting: &[&str]) -> Vec<Vec<u8>> {
        let names = |name: &str| name.as_bytes().to_vec();
        match &*self.0.options.alpn {
            [] => fitting.iter().copied().map(names).collect(),
            chosen => chosen.iter().map(String::as_str).map(names).collect(),
        }
    }
}

impl Inner {
    fn make(&self) -> io::Result<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(self.options.oldest.and_newer())
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(self.trust.verifier()?);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(identity.clone()),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::store(Arc::new(Tickets::new(self.tickets.clone())));
        if let Some(key_log) = &self.options.key_log {
            config.key_log = Arc::new(key_log.clone());
        }
        Ok(Arc::new(config))
    }
}
