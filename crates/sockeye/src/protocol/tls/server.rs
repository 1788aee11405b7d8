//! The server's end of TLS: who it is, whom it lets in.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::server::{Acceptor, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;

use super::credentials::{Stamp, TlsFiles, authorities};
use super::self_signed::{self, Shelf};
use super::stream::Secured;
use super::{
    HANDSHAKE, HTTP1, HTTP2, HTTP3, KeyLog, SOCKEYE, TlsVersion, facts, provider, refusal, trust,
};
use crate::certificate::Certificate;
use crate::error::{CredentialFault, Error, Result, TlsError};
use crate::session::{Identity, Tls};
use crate::stream::{ByteStream, Counters};

/// How a port proves who it is, and whom it lets in. `Default`: by a self-signed certificate that is forgotten at
/// the end, and everyone.
#[derive(Clone, Debug, Default)]
pub struct TlsServerOptions {
    /// Who it is.
    pub identity: TlsIdentity,
    /// Let in only those who show a certificate that one of these authorities has signed (PEM files).
    pub client_authorities: Vec<PathBuf>,
    /// The oldest version that is spoken; in QUIC it is always TLS 1.3.
    pub oldest: TlsVersion,
    /// What is spoken inside of QUIC beside our own `sockeye`, by the names of ALPN (RFC 7301): streams and
    /// datagrams as they are.
    pub alpn: Vec<String>,
    /// Where the secrets go.
    pub key_log: Option<KeyLog>,
}

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsIdentity {
    /// It says so itself: a certificate for this machine that is made at first use and renewed in time, kept in
    /// this folder (made if it must be) or forgotten at the end.
    SelfSigned(Option<PathBuf>),
    /// Files, which are read again when they have changed.
    Files(TlsFiles),
}

impl Default for TlsIdentity {
    fn default() -> Self {
        Self::SelfSigned(None)
    }
}

/// A server's own certificate.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// Whether it was made here.
    pub self_signed: bool,
    /// Why it is not kept and will be another the next time, although there is a place for it.
    pub unkept: Option<String>,
}

/// A server of TLS. Clones are the same server.
#[derive(Clone, Debug, Default)]
pub struct TlsServer(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    options: TlsServerOptions,
    /// `None` until somebody needs it.
    current: Mutex<Option<Current>>,
}

/// Sessions over QUIC that can be resumed: the newest.
const RESUMABLE: usize = 4096;

/// How often it is looked whether another certificate is to be used.
const LOOK: Duration = Duration::from_secs(1);

/// What is used now.
#[derive(Debug)]
struct Current {
    configs: Arc<Configs>,
    own: OwnCertificate,
    looked: Instant,
    /// The files as they were when they were read last.
    stamps: Vec<Option<Stamp>>,
    /// When a self-signed one is to be renewed.
    renewal: Option<SystemTime>,
}

/// One configuration for each thing that a client can ask for.
#[derive(Debug)]
struct Configs {
    /// For clients that offer HTTP by name.
    http: Arc<ServerConfig>,
    /// For all others: nothing is agreed on by name.
    plain: Arc<ServerConfig>,
    /// In QUIC, where HTTP is spoken too.
    quic: Arc<ServerConfig>,
    /// In QUIC, where it is not.
    streams: Arc<ServerConfig>,
}

impl TlsServer {
    /// Reads the files that the options name. A self-signed certificate waits until somebody needs it.
    ///
    /// # Errors
    /// When a file is of no use.
    pub fn new(options: TlsServerOptions) -> Result<Self> {
        let inner = Inner {
            current: Mutex::default(),
            options,
        };
        for path in &inner.options.client_authorities {
            authorities(path)?;
        }
        if let TlsIdentity::Files(_) = inner.options.identity {
            let current = inner.load(SystemTime::now())?;
            *inner.lock() = Some(current);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Its own certificate as it is now, made if there is none yet.
    ///
    /// # Errors
    /// When none can be made.
    pub fn certificate(&self) -> Result<OwnCertificate> {
        let mut current = self.0.lock();
        let current = match &mut *current {
            Some(current) => current,
            none => none.insert(self.0.load(SystemTime::now())?),
        };
        Ok(current.own.clone())
    }

    /// The same for a client that comes now: another one, if the time has come for it.
    ///
    /// # Errors
    /// As [`certificate`](Self::certificate).
    pub(crate) fn own(&self, tell: impl Fn(&str)) -> Result<OwnCertificate> {
        self.0.now(tell)?;
        self.certificate()
    }

    /// Looks at once whether another certificate is to be used at `now`.
    #[cfg(test)]
    pub(super) fn look_again(&self, now: SystemTime) -> Option<String> {
        let mut current = self.0.lock();
        self.0.refresh(current.as_mut()?, now)
    }

    /// What a handshake in QUIC goes by that begins now; HTTP may be agreed on where it is spoken (`http`). The same
    /// as long as nothing has changed.
    ///
    /// # Errors
    /// When there is no certificate, and none can be made.
    pub(crate) fn quic(&self, http: bool, tell: impl Fn(&str)) -> Result<Arc<ServerConfig>> {
        let configs = self.0.now(tell)?;
        Ok(match http {
            true => configs.quic.clone(),
            false => configs.streams.clone(),
        })
    }

    /// The server's part of the handshake. HTTP is agreed on by name only where it is `spoken`.
    ///
    /// # Errors
    /// When the client's part is not TLS, or nothing can be agreed on; the client has been told by an alert.
    pub(crate) async fn accept(
        &self,
        stream: ByteStream,
        http: bool,
        identity: &Identity,
    ) -> Result<(ByteStream, Tls), TlsError> {
        // Boxed: large, and needed for a moment only.
        let shaking = refusal::explained(Box::pin(self.shake(stream, http, identity)));
        match tokio::time::timeout(HANDSHAKE, shaking).await {
            Ok(shaken) => shaken,
            Err(_) => Err(TlsError::TimedOut(HANDSHAKE)),
        }
    }

    async fn shake(
        &self,
        stream: ByteStream,
        http: bool,
        identity: &Identity,
    ) -> io::Result<(ByteStream, Tls)> {
        let mut start = pin!(LazyConfigAcceptor::new(Acceptor::default(), stream));
        let start = match start.as_mut().await {
            Ok(start) => start,
            Err(error) => return Err(parted(error, start.take_io()).await),
        };
        let offers_http = start.client_hello().alpn().is_some_and(|mut names| {
            names.any(|name| name == HTTP1.as_bytes() || name == HTTP2.as_bytes())
        });
        let configs = self
            .0
            .now(|note| identity.note(note))
            .map_err(io::Error::other)?;
        let config = match http && offers_http {
            true => configs.http.clone(),
            false => configs.plain.clone(),
        };
        let tls = match start.into_stream(config).into_fallible().await {
            Ok(tls) => tls,
            Err((error, stream)) => return Err(parted(error, Some(stream)).await),
        };
        let connection = tls.get_ref().1;
        let facts = facts(connection, connection.server_name());
        let stream = Secured::new(tls, facts.cut_off.clone());
        Ok((ByteStream::new(stream), facts))
    }
}

/// Parts from a client so that the alert it was sent arrives: closing with unread input would destroy it.
async fn parted(error: io::Error, stream: Option<ByteStream>) -> io::Error {
    if let (io::ErrorKind::InvalidData, Some(mut stream)) = (error.kind(), stream) {
        // There are messages that rustls refuses without a word.
        let said = stream.counters().map(Counters::bytes_out);
        if said == Some(0) {
            let alert = [21, 3, 3, 0, 2, 2, refusal::alert(&error)];
            // Who has left already needs none.
            let _ = stream.write_all(&alert).await;
        }
        stream.part().await;
    }
    error
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is used for a client that comes now. Others wait meanwhile: it is a matter of microseconds, and of a
    /// millisecond when there is something new.
    fn now(&self, tell: impl Fn(&str)) -> Result<Arc<Configs>> {
        let mut current = self.lock();
        let current = match &mut *current {
            Some(current) => current,
            none => none.insert(self.load(SystemTime::now())?),
        };
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            if let Some(note) = self.refresh(current, SystemTime::now()) {
                tell(&note);
            }
        }
        Ok(current.configs.clone())
    }

    /// Takes another certificate if there is one, or if the time has come for it. What is to be told of it.
    fn refresh(&self, current: &mut Current, now: SystemTime) -> Option<String> {
        let mut stamps = self.stamps();
        if let (TlsIdentity::SelfSigned(_), [kept @ None, ..]) =
            (&self.options.identity, &mut *stamps)
        {
            // Who removes it does not mean this server.
            *kept = current.stamps[0];
        }
        let renewal = current.renewal.is_some_and(|renewal| renewal <= now);
        if !renewal && stamps == current.stamps {
            return None;
        }
        match self.load(now) {
            Ok(new) => {
                let same = new.own.certificate == current.own.certificate;
                *current = new;
                let sha256 = current.own.certificate.sha256();
                (!same).then(|| {
                    format!("another TLS certificate is used from now on: sha256 {sha256}")
                })
            }
            Err(error) => {
                // Told once for each change.
                current.stamps = stamps;
                Some(format!("the TLS certificate stays the old one: {error}"))
            }
        }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let mut stamps = match &self.options.identity {
            TlsIdentity::SelfSigned(folder) => {
                let folder = folder.as_deref();
                vec![folder.and_then(|folder| Shelf::new(folder).stamp())]
            }
            TlsIdentity::Files(files) => files.stamp().to_vec(),
        };
        stamps.extend(self.options.client_authorities.iter().map(Stamp::of));
        stamps
    }

    fn load(&self, now: SystemTime) -> Result<Current> {
        // Before the files are read: what is written meanwhile is found the next time.
        let mut stamps = self.stamps();
        let (key, self_signed, renewal, unkept) = match &self.options.identity {
            TlsIdentity::Files(files) => (files.read()?, false, None, None),
            TlsIdentity::SelfSigned(folder) => {
                let shelf = folder.as_deref().map(Shelf::new);
                let found = self_signed::obtain(shelf.as_ref(), now)
                    .map_err(|error| unusable("a self-signed certificate", &error))?;
                stamps = self.stamps();
                (found.key, true, Some(found.renewal), found.unkept)
            }
        };
        let leaf = key.cert.first().map(|leaf| leaf.to_vec());
        let own = OwnCertificate {
            certificate: Certificate::from_der(leaf.unwrap_or_default()),
            self_signed,
            unkept,
        };
        Ok(Current {
            configs: Arc::new(self.configs(key)?),
            own,
            looked: Instant::now(),
            stamps,
            renewal,
        })
    }

    fn configs(&self, key: CertifiedKey) -> Result<Configs> {
        let mut trusted = Vec::new();
        for path in &self.options.client_authorities {
            trusted.extend(authorities(path)?);
        }
        let failed = |error: rustls::Error| unusable("TLS", &error);
        let key = Arc::new(SingleCertAndKey::from(key));
        let build = |oldest: TlsVersion| -> Result<ServerConfig> {
            let builder = ServerConfig::builder_with_provider(provider().clone())
                .with_protocol_versions(oldest.and_newer())
                .map_err(failed)?;
            let builder = match &*trusted {
                [] => builder.with_no_client_auth(),
                trusted => {
                    builder.with_client_cert_verifier(trust::clients(trusted).map_err(failed)?)
                }
            };
            let mut config = builder.with_cert_resolver(key.clone());
            if let Some(key_log) = &self.options.key_log {
                config.key_log = Arc::new(key_log.clone());
            }
            Ok(config)
        };
        let mut streams = build(TlsVersion::V1_3)?;
        let names = std::iter::once(SOCKEYE).chain(self.options.alpn.iter().map(String::as_str));
        streams.alpn_protocols = names.map(|name| name.as_bytes().to_vec()).collect();
        streams.session_storage = ServerSessionMemoryCache::new(RESUMABLE);
        let mut quic = streams.clone();
        quic.alpn_protocols.push(HTTP3.as_bytes().to_vec());
        if trusted.is_empty() {
            // All or nothing (RFC 9001, section 4.6.1). Who has to show a certificate has shown none by then. Sessions are
            // kept here, and each can be resumed once: what somebody else sends again is not heard (RFC 8446, section 8).
            quic.max_early_data_size = u32::MAX;
        }
        let mut plain = build(self.options.oldest)?;
        // A ticket holds all that a session is resumed from, so that nothing is kept here for it.
        plain.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(failed)?;
        let mut http = plain.clone();
        http.alpn_protocols = [HTTP2, HTTP1].map(|name| name.as_bytes().to_vec()).into();
        Ok(Configs {
            http: Arc::new(http),
            plain: Arc::new(plain),
            quic: Arc::new(quic),
            streams: Arc::new(streams),
        })
    }
}

/// What no file is to blame for.
fn unusable(what: &str, why: &impl ToString) -> Error {
    Error::Credentials {
        path: what.to_owned(),
        fault: CredentialFault::Malformed(why.to_string()),
    }
}
