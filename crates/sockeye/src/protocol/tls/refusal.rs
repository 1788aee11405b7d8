//! What rustls says, in plain words.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ContentType, HandshakeType, InvalidMessage,
    PeerIncompatible,
};

use crate::certificate::Certificate;
use crate::error::{CertificateFault, TlsError};

tokio::task_local! {
    /// The certificate that the peer of this handshake has shown. rustls does not hand it out once it has
    /// refused it, and then it is what a person has to be told of.
    static SHOWN: RefCell<Option<Certificate>>;
}

/// Takes note of the peer's certificate, in the handshake that is running.
pub(super) fn shown(certificate: &CertificateDer<'_>) {
    // Outside of a handshake of ours nobody asks for it.
    let _ = SHOWN.try_with(|shown| {
        *shown.borrow_mut() = Some(Certificate::from_der(certificate.to_vec()));
    });
}

/// Runs a handshake. Why it failed is said in plain words.
pub(super) async fn explained<T>(
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, TlsError> {
    let handshake = async {
        handshake.await.map_err(|error| {
            let shown = SHOWN.with(RefCell::take);
            plain(error, shown.as_ref())
        })
    };
    SHOWN.scope(RefCell::default(), handshake).await
}

/// The same for one step of a handshake that somebody else goes on with.
pub(super) fn heard(
    step: &mut dyn FnMut() -> Result<(), rustls::Error>,
) -> Result<(), Box<(rustls::Error, TlsError)>> {
    SHOWN.sync_scope(RefCell::default(), || {
        step().map_err(|error| {
            let shown = SHOWN.with(RefCell::take);
            let plain = of_rustls(error.clone(), shown.as_ref());
            Box::new((error, plain))
        })
    })
}

/// What went wrong once the handshake was done, for those who read or write.
pub(super) fn later(error: io::Error) -> io::Error {
    match error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
    {
        true => plain(error, None).into_io(),
        false => error,
    }
}

fn plain(error: io::Error, shown: Option<&Certificate>) -> TlsError {
    let kind = error.kind();
    match error.downcast::<rustls::Error>() {
        Ok(error) => of_rustls(error, shown),
        // Both the peer's orderly end and its absence.
        Err(_) if kind == io::ErrorKind::UnexpectedEof => TlsError::Closed,
        // Its deframer's own words: more came than a message may have.
        Err(error) if kind == io::ErrorKind::InvalidData => TlsError::Misbehaved(error.to_string()),
        Err(error) => TlsError::Broken(error),
    }
}

fn of_rustls(error: rustls::Error, shown: Option<&Certificate>) -> TlsError {
    use rustls::Error as E;
    match error {
        E::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        )
        // Our own first words: something that echoes.
        | E::InappropriateHandshakeMessage {
            got_type: HandshakeType::ClientHello,
            ..
        } => TlsError::NotTls,
        E::AlertReceived(alert) => TlsError::Alert {
            name: alert_name(alert),
            meaning: alert_meaning(alert),
        },
        E::InvalidCertificate(error) => TlsError::Certificate {
            fault: certificate(error, shown),
            sha256: shown.map(Certificate::sha256),
        },
        E::NoCertificatesPresented => TlsError::NoCertificate,
        E::PeerIncompatible(what) => TlsError::Incompatible(incompatible(&what)),
        E::NoApplicationProtocol => TlsError::Incompatible(
            "it offers no application protocol that is spoken here".to_owned(),
        ),
        E::InappropriateMessage { got_type, .. } => {
            TlsError::Misbehaved(format!("{} came out of turn", record(got_type)))
        }
        E::InappropriateHandshakeMessage { got_type, .. } => {
            TlsError::Misbehaved(format!("{} came out of turn", words(&got_type)))
        }
        E::InvalidMessage(what) => TlsError::Misbehaved(words(&what)),
        E::PeerMisbehaved(how) => TlsError::Misbehaved(words(&how)),
        E::PeerSentOversizedRecord => TlsError::Misbehaved("a record is too long".to_owned()),
        E::DecryptError => TlsError::Misbehaved("a record cannot be decrypted".to_owned()),
        other => TlsError::Ours(sentence(&other)),
    }
}

/// The alert that fits, where the first message is refused (RFC 8446, section 6.2).
pub(super) fn alert(error: &io::Error) -> u8 {
    use rustls::Error::{InappropriateHandshakeMessage, InappropriateMessage};
    let error = error.get_ref().and_then(|inner| inner.downcast_ref());
    match error {
        Some(InappropriateMessage { .. } | InappropriateHandshakeMessage { .. }) => {
            AlertDescription::UnexpectedMessage
        }
        _ => AlertDescription::DecodeError,
    }
    .into()
}

/// Why a private key is of no use.
pub(super) fn key(error: &rustls::Error) -> String {
    match error {
        rustls::Error::General(_) | rustls::Error::Other(_) => {
            "its key is of no kind that is known here: RSA from 2048 bits on, ECDSA (P-256, P-384, P-521) or Ed25519"
                .to_owned()
        }
        other => sentence(other),
    }
}

/// Why a certificate is not accepted; `shown` is the one.
pub(super) fn certificate(
    error: CertificateError,
    shown: Option<&Certificate>,
) -> CertificateFault {
    use CertificateError as C;
    use CertificateFault as F;
    let facts = || shown.and_then(Certificate::facts);
    let other = |what: &str| F::Other(what.to_owned());
    match error {
        C::UnknownIssuer => match facts() {
            Some(facts) if facts.self_signed => F::SelfSigned,
            facts => F::UnknownIssuer {
                issuer: facts.map(|facts| facts.issuer),
            },
        },
        C::ExpiredContext { not_after, .. } => F::Expired {
            since: moment(not_after),
        },
        C::NotValidYetContext { not_before, .. } => F::NotYetValid {
            from: moment(not_before),
        },
        C::NotValidForNameContext { expected, .. } => F::WrongName {
            wanted: host(&expected),
            // As they stand in it: rustls writes addresses in its own way.
            names: facts().map(|facts| facts.names).unwrap_or_default(),
        },
        C::InvalidPurposeContext { required, .. } => F::WrongUse {
            wanted: required.to_string(),
        },
        C::ApplicationVerificationFailure => F::NotPinned,
        C::BadEncoding => other("cannot be read"),
        C::Revoked => other("is revoked"),
        C::UnhandledCriticalExtension => {
            other("has an extension that must be understood and is not known here")
        }
        C::BadSignature => {
            other("is not signed by the key of its issuer, or not used with its own")
        }
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            other("is signed in a way that is not trusted any more")
        }
        C::Other(why) => F::Other(match &*words(&why.0) {
            "unsupported cert version" => {
                "has no extensions (X.509 version 1), which version 3 brought".to_owned()
            }
            why => format!("is not acceptable: {why}"),
        }),
        why => F::Other(format!("is not acceptable: {}", words(&why))),
    }
}

fn host(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

fn moment(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + std::time::Duration::from_secs(time.as_secs())
}

fn incompatible(what: &PeerIncompatible) -> String {
    use PeerIncompatible as P;
    match what {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => "no version of TLS is common to both ends".to_owned(),
        // rustls asks for it before it looks at the version.
        P::SignatureAlgorithmsExtensionRequired => {
            "it speaks TLS 1.1 or older, which is not spoken here".to_owned()
        }
        P::NoCipherSuitesInCommon => "no cipher suite is common to both ends".to_owned(),
        P::NoKxGroupsInCommon | P::NamedGroupsExtensionRequired | P::KeyShareExtensionRequired => {
            "no key exchange is common to both ends".to_owned()
        }
        P::NoSignatureSchemesInCommon | P::NoCertificateRequestSignatureSchemesInCommon => {
            "no way to sign is common to both ends".to_owned()
        }
        other => format!("nothing can be agreed on: {}", words(other)),
    }
}

fn record(kind: ContentType) -> &'static str {
    match kind {
        ContentType::Handshake => "a handshake message",
        ContentType::ApplicationData => "application data",
        ContentType::ChangeCipherSpec => "a change of the cipher",
        ContentType::Alert => "an alert",
        _ => "a record",
    }
}

/// As RFC 8446, section 6, writes it: `UnknownCA` is `unknown_ca`.
pub(super) fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(code) => code.to_string(),
        AlertDescription::EncryptedClientHelloRequired => "ech_required".to_owned(),
        known => words(&known).replace(' ', "_"),
    }
}

pub(super) fn alert_meaning(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired | A::NoCertificate => "it asks for a certificate of ours",
        A::UnknownCA => "it does not trust whoever signed our certificate",
        A::CertificateExpired => "our certificate is out of date for it",
        A::CertificateRevoked => "our certificate is revoked for it",
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate => {
            "it does not accept our certificate"
        }
        A::AccessDenied => "it denies us access",
        A::ProtocolVersion => "it shares no version of TLS with us",
        A::HandshakeFailure | A::InsufficientSecurity => "it can agree on nothing that we offer",
        A::NoApplicationProtocol => "it speaks no application protocol that we offer",
        A::UnrecognisedName => "it has no host of the name that was asked for",
        A::UserCanceled => "it has changed its mind",
        A::InternalError => "it failed",
        A::CloseNotify => "it closed",
        _ => "it ended TLS",
    }
}

/// The name of a variant as words: `TooManyKeyUpdateRequests` is `too many key update requests`.
fn words(variant: &dyn std::fmt::Debug) -> String {
    let name = format!("{variant:?}");
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::with_capacity(name.len() + 8);
    for (at, &letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && letters[at - 1].is_ascii_lowercase();
        let before_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let after_upper = at > 0 && letters[at - 1].is_ascii_uppercase();
        if letter.is_ascii_uppercase() && (after_lower || after_upper && before_lower) {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    // What stands in brackets: `MissingData("ProtocolVersion")`.
    text.replace("(\"", " (").replace("\")", ")")
}

/// rustls's own words, without the addresses of its documentation.
fn sentence(error: &rustls::Error) -> String {
    let text = error.to_string();
    text.split(": https://").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        use AlertDescription as A;
        for (alert, name) in [
            (A::UnknownCA, "unknown_ca"),
            (A::HandshakeFailure, "handshake_failure"),
            (A::UnknownPSKIdentity, "unknown_psk_identity"),
            (A::NoApplicationProtocol, "no_application_protocol"),
            (A::CertificateRequired, "certificate_required"),
            (A::Unknown(200), "200"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn nothing_shows_the_address_of_a_documentation() {
        let error = rustls::Error::General("what: https://docs.rs/rustls".to_owned());
        assert!(!sentence(&error).contains("docs.rs"));
    }
}
