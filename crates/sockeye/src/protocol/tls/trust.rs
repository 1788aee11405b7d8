//! Whether a certificate proves who a peer is: verifiers of both ends.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use rustls_native_certs::ErrorKind;

use super::{provider, refusal};
use crate::certificate::{Certificate, Fingerprint};

/// Whom a client trusts.
#[derive(Clone, Debug, Default)]
pub(super) enum Trust {
    /// Those whom the system trusts.
    #[default]
    System,
    /// These authorities, and a server whose certificate is one of them itself.
    Authorities(Vec<CertificateDer<'static>>),
    /// Servers with one of these certificates.
    Pinned(Vec<Fingerprint>),
    /// Everyone.
    Anyone,
}

impl Trust {
    /// # Errors
    /// When nobody would be trusted.
    pub(super) fn verifier(&self) -> io::Result<Arc<dyn ServerCertVerifier>> {
        let (named, roots) = match self {
            Self::Pinned(pins) => return Ok(Arc::new(Pinned(pins.clone()))),
            Self::Anyone => return Ok(Arc::new(Anyone)),
            Self::System => (Vec::new(), system()?),
            Self::Authorities(named) => (named.clone(), store(named)),
        };
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider().clone())
            .build()
            .map_err(io::Error::other)?;
        Ok(Arc::new(Chain { named, chain }))
    }
}

fn store(authorities: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    Arc::new(roots)
}

/// What the system trusts, read once for the process. `SSL_CERT_FILE` and `SSL_CERT_DIR` name other places.
fn system() -> io::Result<Arc<RootCertStore>> {
    static SYSTEM: OnceLock<Result<Arc<RootCertStore>, String>> = OnceLock::new();
    let roots = SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let roots = store(&found.certs);
        if !roots.is_empty() {
            return Ok(roots);
        }
        let why = match found.errors.into_iter().next().map(|error| error.kind) {
            Some(ErrorKind::Io { inner, path }) => crate::error::Error::File {
                action: "read",
                path: path.display().to_string(),
                source: inner,
            }
            .to_string(),
            _ => "the system has none (package ca-certificates)".to_owned(),
        };
        Err(format!("no authority is trusted: {why}"))
    });
    roots.clone().map_err(io::Error::other)
}

/// A chain of signatures from an authority, the name, and the dates.
#[derive(Debug)]
struct Chain {
    /// Authorities that were named one by one. A server may be its own.
    named: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        refusal::shown(end_entity);
        if self.named.contains(end_entity) {
            // webpki takes no authority for a server, and `openssl req -x509` makes nothing else.
            return itself(end_entity, server_name, now);
        }
        let chain = &self.chain;
        chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// What is left to verify of a certificate that was named itself: its name and its dates.
fn itself(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let unix = |moment: SystemTime| {
        UnixTime::since_unix_epoch(moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
    };
    let (from, until) = Certificate::from_der(certificate.to_vec())
        .validity()
        .ok_or(CertificateError::BadEncoding)?;
    let (not_before, not_after) = (unix(from), unix(until));
    if now > not_after {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }
        .into());
    }
    if now < not_before {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }
        .into());
    }
    Ok(ServerCertVerified::assertion())
}

fn algorithms() -> &'static WebPkiSupportedAlgorithms {
    &provider().signature_verification_algorithms
}

/// One of these certificates, and a proof that the peer has its key.
#[derive(Debug)]
struct Pinned(Vec<Fingerprint>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        refusal::shown(end_entity);
        let sum = Certificate::from_der(end_entity.to_vec()).sha256();
        match self.0.contains(&sum) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Any certificate at all. A signature by a key that nobody vouches for would prove nothing either, so that
/// none is verified: then what is too old for anyone else can still be reached.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Clients must show a certificate that one of these authorities has signed.
///
/// # Errors
/// When no authority can be used.
pub(super) fn clients(
    authorities: &[CertificateDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let roots = store(authorities);
    let chain = WebPkiClientVerifier::builder_with_provider(roots, provider().clone())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    Ok(Arc::new(Clients(chain)))
}

/// Verifies as rustls does, and takes note of what was shown.
#[derive(Debug)]
struct Clients(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        refusal::shown(end_entity);
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
