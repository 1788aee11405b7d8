//! TLS (RFC 8446, and RFC 5246 for those who know no other), both ends: a byte stream in, a byte stream out, and
//! what was agreed on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

mod client;
mod credentials;
mod key_log;
mod quic;
mod refusal;
mod self_signed;
mod server;
mod stream;
mod tickets;
mod trust;

#[cfg(test)]
mod tests;

pub use client::{TlsClient, TlsClientOptions};
pub use credentials::TlsFiles;
pub use key_log::KeyLog;
pub(crate) use quic::{QuicClient, alert, hear};
pub use server::{OwnCertificate, TlsIdentity, TlsServer, TlsServerOptions};

use crate::certificate::Certificate;
use crate::session::Tls;

/// What is spoken inside, as ALPN names it (RFC 7301).
pub(crate) const HTTP1: &str = "http/1.1";
/// HTTP/2 over TLS (RFC 9113, section 3.2).
pub(crate) const HTTP2: &str = "h2";

/// HTTP/3 (RFC 9114, section 3.1).
pub(crate) const HTTP3: &str = "h3";
/// Streams and datagrams as they are, over QUIC: a name of our own.
pub(crate) const SOCKEYE: &str = "sockeye";

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A version of TLS, as the oldest that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated encryption only.
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        match self {
            Self::V1_2 => rustls::ALL_VERSIONS,
            Self::V1_3 => &NEWEST,
        }
    }
}

fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // Where the processor was not asked at start-up what it can do, it is now.
        aws_lc_rs::init();
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    })
}

fn facts(connection: &CommonState, server_name: Option<&str>) -> Tls {
    let shown = |certificate: &CertificateDer<'_>| Certificate::from_der(certificate.to_vec());
    let certificates = connection.peer_certificates().unwrap_or_default();
    Tls {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLS",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str()),
        key_exchange: connection
            .negotiated_key_exchange_group()
            .and_then(|group| group.name().as_str()),
        alpn: connection
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        server_name: server_name.map(str::to_owned),
        peer_certificates: certificates.iter().map(shown).collect(),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        cut_off: Arc::default(),
        fault: Arc::default(),
    }
}
