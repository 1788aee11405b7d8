//! Hellos and records of TLS: no bytes do any harm, and what is read stands inside of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::tls::{ClientHello, Record, ServerHello, alpn_of_extensions, handshake};

fuzz_target!(|bytes: &[u8]| {
    if let Some((record, header)) = Record::read(bytes) {
        assert!(header == Record::HEADER && record.length <= (1 << 14) + 2048);
    }
    if let Some((_, body, length)) = handshake(bytes) {
        assert!(body.len() + 4 == length && length <= bytes.len());
    }
    if let Some(hello) = ClientHello::read(bytes) {
        assert!(!hello.versions.is_empty());
        assert!(hello.ciphers.len() * 2 + hello.shares.len() * 4 <= bytes.len());
    }
    let _ = (ServerHello::read(bytes), alpn_of_extensions(bytes));
});
