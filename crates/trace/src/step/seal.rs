//! Records of TLS 1.3, opened with a secret of the key log (RFC 8446, sections 5.2 and 7.3).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, HKDF_SHA384, KeyType, Prk};

/// What opens the records of one direction.
pub(super) struct Opener {
    suite: &'static Suite,
    secret: Vec<u8>,
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

/// The keys stay out of every log.
impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({})", self.number)
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
fn expand(suite: &Suite, secret: &[u8], label: &str, length: usize) -> Option<Vec<u8>> {
    let label = format!("tls13 {label}");
    let head = [(length >> 8) as u8, length as u8, label.len() as u8];
    let info = [&head[..], label.as_bytes(), &[0]];
    let mut out = vec![0; length];
    let secret = Prk::new_less_safe(suite.hkdf, secret);
    let expanded = secret.expand(&info, Length(length)).ok()?;
    expanded.fill(&mut out).ok()?;
    Some(out)
}

impl Opener {
    /// `None` for a cipher suite that is not known, or a secret of another length.
    pub(super) fn new(cipher: u16, secret: &[u8]) -> Option<Self> {
        let (_, suite) = SUITES.iter().find(|(number, _)| *number == cipher)?;
        if secret.len() != suite.hash {
            return None;
        }
        let key = expand(suite, secret, "key", suite.aead.key_len())?;
        let iv = expand(suite, secret, "iv", 12)?;
        Some(Self {
            suite,
            secret: secret.to_vec(),
            key: LessSafeKey::new(UnboundKey::new(suite.aead, &key).ok()?),
            iv: iv.try_into().ok()?,
            number: 0,
        })
    }

    /// What is inside a record, given its header, and its content type.
    pub(super) fn open(&mut self, header: &[u8], sealed: &[u8]) -> Option<(u8, Vec<u8>)> {
        let mut nonce = self.iv;
        for (byte, counted) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= counted;
        }
        let mut inside = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(header), &mut inside)
            .ok()?;
        let length = opened.len();
        self.number += 1;
        inside.truncate(length);
        // Zeros may stand behind the type.
        let end = inside.iter().rposition(|byte| *byte != 0)?;
        let kind = inside[end];
        inside.truncate(end);
        Some((kind, inside))
    }

    /// The next key, after a KeyUpdate (section 7.2).
    pub(super) fn update(&mut self, cipher: u16) {
        let secret = expand(self.suite, &self.secret, "traffic upd", self.suite.hash);
        if let Some(next) = secret.and_then(|secret| Self::new(cipher, &secret)) {
            *self = next;
        }
    }
}
