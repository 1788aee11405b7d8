//! One handshake of TLS inside of QUIC, and the keys that come of it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quinn::crypto::{ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session};
use quinn::rustls::pki_types::CertificateDer;
use quinn::rustls::quic::{Connection, KeyChange, Secrets, Suite};
use quinn::rustls::{HandshakeKind, Side as TlsSide};
use quinn::{ConnectionId, Side, TransportErrorCode};
use quinn_proto::TransportError;
use quinn_proto::coding::Codec;
use quinn_proto::transport_parameters::TransportParameters;
use wire::quic::{VersionFault, add_versions, check_versions};

use super::{Hearing, Notes, QuicVersion, keys};

/// The two are at odds about which version is spoken (RFC 9368, section 10.1).
const VERSION_NEGOTIATION_ERROR: u8 = 0x11;

/// What was agreed on, as far as that is known.
#[derive(Clone, Debug, Default)]
pub(in crate::protocol::quic) struct Agreed {
    pub(in crate::protocol::quic) alpn: Option<Vec<u8>>,
    pub(in crate::protocol::quic) server_name: Option<String>,
    pub(in crate::protocol::quic) cipher: Option<&'static str>,
    pub(in crate::protocol::quic) key_exchange: Option<&'static str>,
    /// The version of QUIC.
    pub(in crate::protocol::quic) version: u32,
    /// An earlier session was resumed.
    pub(in crate::protocol::quic) resumed: bool,
    /// What the client has sent before the handshake was over is taken (0-RTT).
    pub(in crate::protocol::quic) early: bool,
}

pub(super) struct Talk {
    connection: Connection,
    version: QuicVersion,
    initial: Suite,
    hearing: Hearing,
    notes: Arc<Notes>,
    /// What the keys are made of that come after those in use.
    next: Option<Secrets>,
    /// It was told that there is something to know.
    known: bool,
}

impl Talk {
    pub(super) fn new(
        connection: Connection,
        version: QuicVersion,
        initial: Suite,
        hearing: Hearing,
        notes: Arc<Notes>,
    ) -> Self {
        Self {
            connection,
            version,
            initial,
            hearing,
            notes,
            next: None,
            known: false,
        }
    }

    fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Client(_) => None,
            Connection::Server(server) => server.server_name(),
        }
    }

    fn is_known(&self) -> bool {
        self.connection.alpn_protocol().is_some()
            || self.server_name().is_some()
            || !self.connection.is_handshaking()
    }

    fn is_early(&self) -> bool {
        match &self.connection {
            Connection::Client(client) => client.is_early_data_accepted(),
            // It has the key only if it is to use it.
            Connection::Server(server) => server.zero_rtt_keys().is_some(),
        }
    }
}

/// Transport parameters as they are sent: with the versions.
pub(super) fn written(parameters: &TransportParameters, chosen: u32, available: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    parameters.write(&mut bytes);
    add_versions(&mut bytes, chosen, available);
    bytes
}

impl Session for Talk {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        let side = match side {
            Side::Client => TlsSide::Client,
            Side::Server => TlsSide::Server,
        };
        keys::initial(self.initial, self.version, id, side)
    }

    /// An [`Agreed`].
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        if !self.known {
            return None;
        }
        let connection = &self.connection;
        let suite = connection.negotiated_cipher_suite();
        let group = connection.negotiated_key_exchange_group();
        Some(Box::new(Agreed {
            version: self.version.number(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name: self.server_name().map(str::to_owned),
            cipher: suite.and_then(|suite| suite.suite().as_str()),
            key_exchange: group.and_then(|group| group.name().as_str()),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            early: self.is_early(),
        }))
    }

    /// A `Vec<CertificateDer<'static>>`.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let shown = self.connection.peer_certificates()?;
        let shown = shown
            .iter()
            .map(|certificate| certificate.clone().into_owned());
        Some(Box::new(shown.collect::<Vec<CertificateDer<'static>>>()))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        let keys = self.connection.zero_rtt_keys()?;
        Some(keys::one_way(keys, self.version))
    }

    fn early_data_accepted(&self) -> Option<bool> {
        match &self.connection {
            Connection::Client(client) => Some(client.is_early_data_accepted()),
            Connection::Server(_) => None,
        }
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let connection = &mut self.connection;
        (self.hearing)(&mut || connection.read_hs(buf)).map_err(|refusal| {
            let (error, fault) = *refusal;
            let code = match self.connection.alert() {
                Some(alert) => TransportErrorCode::crypto(alert.into()),
                None => TransportErrorCode::PROTOCOL_VIOLATION,
            };
            let _ = self.notes.fault.set(fault);
            refused(code, &error.to_string())
        })?;
        // rustls does not say when there is something to know.
        let news = !self.known && self.is_known();
        self.known |= news;
        Ok(news)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(mut bytes) = self.connection.quic_transport_parameters() else {
            return Ok(None);
        };
        check_versions(bytes, self.version.number()).map_err(|fault| match fault {
            VersionFault::Malformed => {
                let code = TransportErrorCode::TRANSPORT_PARAMETER_ERROR;
                refused(code, "the versions cannot be read")
            }
            VersionFault::Mismatch => {
                let code = TransportErrorCode::decode(&mut &[VERSION_NEGOTIATION_ERROR][..]);
                let code = code.unwrap_or(TransportErrorCode::PROTOCOL_VIOLATION);
                refused(code, "another version was chosen than is spoken")
            }
        })?;
        let side = match self.connection {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        };
        Ok(Some(TransportParameters::read(side, &mut bytes)?))
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        Some(match self.connection.write_hs(buf)? {
            KeyChange::Handshake { keys } => keys::of_long_headers(keys, self.version),
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                keys::of_short_headers(keys)
            }
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    fn is_valid_retry(&self, first_id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        let Some((token, tag)) = payload.split_last_chunk::<16>() else {
            return false;
        };
        let expected = keys::retry_tag(self.version, first_id, &[header, token]);
        let valid = expected.is_ok_and(|expected| expected == *tag);
        self.notes.retried.fetch_or(valid, Relaxed);
        valid
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let exported = self
            .connection
            .export_keying_material(output, label, Some(context));
        exported.map(drop).map_err(|_| ExportKeyingMaterialError)
    }
}

fn refused(code: TransportErrorCode, reason: &str) -> TransportError {
    TransportError {
        code,
        frame: None,
        reason: reason.to_owned(),
    }
}
