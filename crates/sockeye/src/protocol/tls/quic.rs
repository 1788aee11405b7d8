//! TLS inside of QUIC (RFC 9001): the same proofs, carried by somebody else.

use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig};

use super::refusal;
use crate::error::TlsError;

/// The client's end of one handshake in QUIC.
#[derive(Debug)]
pub(crate) struct QuicClient {
    /// What the handshake goes by.
    pub(crate) config: Arc<ClientConfig>,
    /// The name that is asked for and verified.
    pub(crate) server_name: String,
    /// What is offered inside.
    pub(crate) alpn: Vec<Vec<u8>>,
    /// Whether something could be sent with the first packets.
    pub(crate) can_be_early: bool,
}

/// Has a step of a handshake done. Why it failed is said in plain words, beside those of rustls.
///
/// # Errors
/// When the step fails.
pub(crate) fn hear(
    step: &mut dyn FnMut() -> Result<(), rustls::Error>,
) -> Result<(), Box<(rustls::Error, TlsError)>> {
    refusal::heard(step)
}

/// What an alert of the peer means: QUIC carries its number (RFC 9001, section 4.8).
pub(crate) fn alert(number: u8) -> TlsError {
    let alert = AlertDescription::from(number);
    TlsError::Alert {
        name: refusal::alert_name(alert),
        meaning: refusal::alert_meaning(alert),
    }
}
