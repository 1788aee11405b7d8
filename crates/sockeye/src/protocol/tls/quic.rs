//! TLS inside of QUIC (RFC 9001): the same proofs, carried by somebody else.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::refusal;
use crate::certificate::Certificate;
use crate::error::TlsError;
use crate::session::Tls;

/// The client's end of one handshake in QUIC.
#[derive(Debug)]
pub(crate) struct QuicClient {
    /// What the handshake goes by.
    pub(crate) config: ClientConfig,
    /// The name that is asked for and verified.
    pub(crate) server_name: String,
    witness: Arc<Witness>,
}

impl QuicClient {
    pub(super) fn new(
        mut config: ClientConfig,
        verifier: Arc<dyn ServerCertVerifier>,
        server_name: &str,
        alpn: Vec<Vec<u8>>,
    ) -> Self {
        let refused = Mutex::default();
        let witness = Arc::new(Witness { verifier, refused });
        config.dangerous().set_certificate_verifier(witness.clone());
        config.alpn_protocols = alpn;
        Self {
            config,
            server_name: server_name.to_owned(),
            witness,
        }
    }

    /// Why a handshake failed that this end has given up; `reason` is what is said of it below.
    pub(crate) fn fault(&self, reason: &str) -> TlsError {
        let refused = self.witness.refused.lock();
        match refused.unwrap_or_else(PoisonError::into_inner).take() {
            Some((error, shown)) => refusal::of_rustls(error, Some(&shown)),
            None => TlsError::Misbehaved(reason.to_owned()),
        }
    }
}

/// What an alert of the peer means: QUIC carries its number (RFC 9001, section 4.8).
pub(crate) fn alert(number: u8) -> TlsError {
    let alert = AlertDescription::from(number);
    TlsError::Alert {
        name: refusal::alert_name(alert),
        meaning: refusal::alert_meaning(alert),
    }
}

/// What was agreed on. `peer` is the chain of certificates that the peer showed, if it did.
pub(crate) fn quic_facts(
    alpn: Option<Vec<u8>>,
    server_name: Option<String>,
    peer: Option<Box<dyn Any>>,
) -> Tls {
    let shown = peer.and_then(|peer| peer.downcast::<Vec<CertificateDer<'static>>>().ok());
    let shown = shown.into_iter().flat_map(|shown| *shown);
    Tls {
        version: "TLSv1.3",
        cipher: None,
        key_exchange: None,
        alpn: alpn.map(|name| String::from_utf8_lossy(&name).into_owned()),
        server_name,
        peer_certificates: shown
            .map(|certificate| Certificate::from_der(certificate.to_vec()))
            .collect(),
        resumed: false,
        cut_off: Arc::default(),
        fault: Arc::default(),
    }
}

/// Verifies as somebody else does, and keeps what was wrong: QUIC's library says it in words only.
#[derive(Debug)]
struct Witness {
    verifier: Arc<dyn ServerCertVerifier>,
    refused: Mutex<Option<(Error, Certificate)>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = &self.verifier;
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        verified.inspect_err(|error| {
            let shown = Certificate::from_der(end_entity.to_vec());
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = Some((error.clone(), shown));
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
