//! Records of TLS 1.3, opened with a secret of the key log (RFC 8446, sections 5.2 and 7.3).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, HKDF_SHA384, KeyType, Prk};

/// What opens the records of one direction.
#[derive(Debug)]
pub(super) struct Opener {
    cipher: u16,
    secret: Vec<u8>,
    sealed: Sealed,
    number: u64,
}

/// A key and what nonces are made from.
pub(super) struct Sealed {
    suite: &'static Suite,
    key: LessSafeKey,
    iv: [u8; 12],
}

/// The keys stay out of every log.
impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}

struct Suite {
    aead: &'static Algorithm,
    hkdf: hkdf::Algorithm,
    hash: usize,
}

static SUITES: [(u16, Suite); 3] = [
    (
        0x1301,
        Suite {
            aead: &AES_128_GCM,
            hkdf: HKDF_SHA256,
            hash: 32,
        },
    ),
    (
        0x1302,
        Suite {
            aead: &AES_256_GCM,
            hkdf: HKDF_SHA384,
            hash: 48,
        },
    ),
    (
        0x1303,
        Suite {
            aead: &CHACHA20_POLY1305,
            hkdf: HKDF_SHA256,
            hash: 32,
        },
    ),
];

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label (section 7.1), without a context.
pub(super) fn derive(secret: &Prk, label: &str, length: usize) -> Option<Vec<u8>> {
    let label = format!("tls13 {label}");
    let head = [(length >> 8) as u8, length as u8, label.len() as u8];
    let info = [&head[..], label.as_bytes(), &[0]];
    let mut out = vec![0; length];
    let expanded = secret.expand(&info, Length(length)).ok()?;
    expanded.fill(&mut out).ok()?;
    Some(out)
}

impl Sealed {
    /// `None` for a cipher suite that is not known, or a secret of another length.
    pub(super) fn new(cipher: u16, secret: &[u8], key: &str, iv: &str) -> Option<Self> {
        let (_, suite) = SUITES.iter().find(|(number, _)| *number == cipher)?;
        if secret.len() != suite.hash {
            return None;
        }
        let from = Prk::new_less_safe(suite.hkdf, secret);
        let key = derive(&from, key, suite.aead.key_len())?;
        let iv = derive(&from, iv, 12)?;
        Some(Self {
            suite,
            key: LessSafeKey::new(UnboundKey::new(suite.aead, &key).ok()?),
            iv: iv.try_into().ok()?,
        })
    }

    /// Another secret of the same suite.
    pub(super) fn expand(&self, secret: &[u8], label: &str, length: usize) -> Option<Vec<u8>> {
        derive(&Prk::new_less_safe(self.suite.hkdf, secret), label, length)
    }

    /// What is inside, given its number and the bytes before it.
    pub(super) fn open(&self, number: u64, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = self.iv;
        for (byte, counted) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= counted;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut inside = body.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(head), &mut inside);
        let length = opened.ok()?.len();
        inside.truncate(length);
        Some(inside)
    }
}

impl Opener {
    /// `None` for a cipher suite that is not known, or a secret of another length.
    pub(super) fn new(cipher: u16, secret: &[u8]) -> Option<Self> {
        Some(Self {
            cipher,
            secret: secret.to_vec(),
            sealed: Sealed::new(cipher, secret, "key", "iv")?,
            number: 0,
        })
    }

    /// What is inside a record, given its header, and its content type.
    pub(super) fn open(&mut self, header: &[u8], body: &[u8]) -> Option<(u8, Vec<u8>)> {
        let mut inside = self.sealed.open(self.number, header, body)?;
        self.number += 1;
        // Zeros may stand behind the type.
        let end = inside.iter().rposition(|byte| *byte != 0)?;
        let kind = inside[end];
        inside.truncate(end);
        Some((kind, inside))
    }

    /// The next key, after a KeyUpdate (section 7.2).
    pub(super) fn update(&mut self) {
        let secret = self
            .sealed
            .expand(&self.secret, "traffic upd", self.secret.len());
        if let Some(next) = secret.and_then(|secret| Self::new(self.cipher, &secret)) {
            *self = next;
        }
    }
}
