//! What numbers of TLS are called, as far as people meet them: the others are written as numbers.

use std::borrow::Cow;

/// A message of the handshake: `ClientHello`.
#[must_use]
pub fn message(number: u8) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        0 => "HelloRequest",
        1 => "ClientHello",
        2 => "ServerHello",
        4 => "NewSessionTicket",
        5 => "EndOfEarlyData",
        8 => "EncryptedExtensions",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        22 => "CertificateStatus",
        24 => "KeyUpdate",
        25 => "CompressedCertificate",
        other => return format!("message {other}").into(),
    })
}

/// An alert: `close_notify` (RFC 8446, section 6).
#[must_use]
pub fn alert(number: u8) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        other => return format!("{other}").into(),
    })
}

/// A version: `TLS 1.3`.
#[must_use]
pub fn version(number: u16) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        other => return format!("version {other:#06x}").into(),
    })
}

/// A cipher suite, by the cipher: `AES-256-GCM`.
#[must_use]
pub fn cipher(number: u16) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        0x1301 | 0xc02b | 0xc02f | 0x009c | 0x009e => "AES-128-GCM",
        0x1302 | 0xc02c | 0xc030 | 0x009d | 0x009f => "AES-256-GCM",
        0x1303 | 0xcca8 | 0xcca9 | 0xccaa => "ChaCha20-Poly1305",
        0x1304 => "AES-128-CCM",
        0x1305 => "AES-128-CCM-8",
        0xc009 | 0xc013 | 0x002f | 0xc023 | 0xc027 | 0x003c => "AES-128-CBC",
        0xc00a | 0xc014 | 0x0035 | 0xc024 | 0xc028 | 0x003d => "AES-256-CBC",
        other => return format!("cipher suite {other:#06x}").into(),
    })
}

/// A group: `X25519`.
#[must_use]
pub fn group(number: u16) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        23 => "P-256",
        24 => "P-384",
        25 => "P-521",
        29 => "X25519",
        30 => "X448",
        0x11eb => "P-256+ML-KEM-768",
        0x11ec => "X25519+ML-KEM-768",
        other => return format!("group {other:#06x}").into(),
    })
}
