//! TLS (RFC 8446), both ends: a byte stream in, a byte stream out, and what was agreed on.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, CommonState, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use crate::session::Tls;
use crate::stream::ByteStream;

/// What is spoken inside, as ALPN names it (RFC 7301).
pub(crate) const HTTP1: &str = "http/1.1";
/// HTTP/2 over TLS (RFC 9113, section 3.2).
pub(crate) const HTTP2: &str = "h2";

/// How a port proves who it is. `Default`: by a self-signed certificate that is made at first use and
/// forgotten at the end.
#[derive(Clone, Default)]
pub struct TlsServer {
    configs: Arc<OnceLock<Result<Configs, String>>>,
}

/// One configuration for each thing that a client can ask for.
struct Configs {
    /// For clients that offer HTTP by name.
    http: Arc<ServerConfig>,
    /// For all others: nothing is agreed on by name.
    plain: Arc<ServerConfig>,
}

impl TlsServer {
    fn configs(&self) -> io::Result<&Configs> {
        let made = self.configs.get_or_init(|| {
            self_signed()
                .and_then(|(chain, key)| Configs::new(chain, key))
                .map_err(|error| error.to_string())
        });
        made.as_ref()
            .map_err(|error| io::Error::other(error.clone()))
    }

    /// The server's part of the handshake.
    ///
    /// # Errors
    /// When the client's part is not TLS, or nothing can be agreed on; the client has been told by an alert.
    pub(crate) async fn accept(&self, stream: ByteStream) -> io::Result<(ByteStream, Tls)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let configs = self.configs()?;
        let offers_http = start.client_hello().alpn().is_some_and(|mut names| {
            names.any(|name| name == HTTP1.as_bytes() || name == HTTP2.as_bytes())
        });
        let config = match offers_http {
            true => configs.http.clone(),
            false => configs.plain.clone(),
        };
        let tls = start.into_stream(config).await?;
        let connection = tls.get_ref().1;
        let facts = facts(connection, connection.server_name());
        Ok((ByteStream::new(tls), facts))
    }
}

impl Configs {
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let plain = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let mut http = plain.clone();
        http.alpn_protocols = [HTTP2, HTTP1].map(|name| name.as_bytes().to_vec()).into();
        Ok(Self {
            http: Arc::new(http),
            plain: Arc::new(plain),
        })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn self_signed() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rustls::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}

/// Whom a client trusts. `Default`: whom the system trusts.
#[derive(Clone, Debug, Default)]
pub struct TlsClient {
    /// The name to ask for and to verify, when it is not the host's.
    pub server_name: Option<String>,
}

impl TlsClient {
    /// The client's part of the handshake with `host`.
    ///
    /// # Errors
    /// When the server does not prove that it is `host`, or nothing can be agreed on.
    pub(crate) async fn connect(
        &self,
        stream: ByteStream,
        host: &str,
        alpn: &[&str],
    ) -> io::Result<(ByteStream, Tls)> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(server, stream).await?;
        let facts = facts(tls.get_ref().1, Some(name));
        Ok((ByteStream::new(tls), facts))
    }
}

fn facts(connection: &CommonState, server_name: Option<&str>) -> Tls {
    let sha256 = |certificate: &CertificateDer<'_>| {
        let digest = aws_lc_rs_digest(certificate);
        let mut sum = [0; 32];
        sum.copy_from_slice(digest.as_ref());
        sum
    };
    Tls {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLS",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown"),
        alpn: connection
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        server_name: server_name.map(str::to_owned),
        peer_certificates: connection
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(sha256)
            .collect(),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}

fn aws_lc_rs_digest(data: &[u8]) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data)
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsServer")
    }
}
