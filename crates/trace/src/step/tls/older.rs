//! Records of TLS 1.2, opened with the master secret of the key log (RFC 5246, RFC 5288, RFC 7905).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384};

use crate::event::Side;

/// What opens the records of one direction.
pub(super) struct Opener {
    key: LessSafeKey,
    iv: [u8; 12],
    /// As many bytes of the nonce stand in the record.
    explicit: usize,
    number: u64,
}

/// The keys stay out of every log.
impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({})", self.number)
    }
}

/// The pseudorandom function (RFC 5246, section 5).
fn expand(
    hash: hmac::Algorithm,
    secret: &[u8],
    label: &[u8],
    seed: &[u8],
    length: usize,
) -> Vec<u8> {
    let key = hmac::Key::new(hash, secret);
    let seed = [label, seed].concat();
    let mut out = Vec::new();
    let mut step = hmac::sign(&key, &seed);
    while out.len() < length {
        let block = hmac::sign(&key, &[step.as_ref(), &seed].concat());
        out.extend_from_slice(block.as_ref());
        step = hmac::sign(&key, step.as_ref());
    }
    out.truncate(length);
    out
}

impl Opener {
    /// What opens the records of `side`. `None` for suites that are not authenticated encryption.
    pub(super) fn new(
        cipher: u16,
        master: &[u8],
        [client, server]: [&[u8; 32]; 2],
        side: Side,
    ) -> Option<Self> {
        let (aead, hash, explicit): (&'static Algorithm, _, _) = match cipher {
            0xc02b | 0xc02f | 0x009c | 0x009e => (&AES_128_GCM, HMAC_SHA256, 8),
            0xc02c | 0xc030 | 0x009d | 0x009f => (&AES_256_GCM, HMAC_SHA384, 8),
            0xcca8..=0xccaa => (&CHACHA20_POLY1305, HMAC_SHA256, 0),
            _ => return None,
        };
        let (key, iv) = (aead.key_len(), 12 - explicit);
        let seed = [&server[..], client].concat();
        let block = expand(hash, master, b"key expansion", &seed, 2 * (key + iv));
        let keys = block.get(key * side.index()..)?.get(..key)?;
        let ivs = block.get(2 * key + iv * side.index()..)?.get(..iv)?;
        let mut whole = [0; 12];
        whole[..iv].copy_from_slice(ivs);
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(aead, keys).ok()?),
            iv: whole,
            explicit,
            number: 0,
        })
    }

    /// What is inside a record, given its header.
    pub(super) fn open(&mut self, header: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        let (said, sealed) = body.split_at_checked(self.explicit)?;
        let number = self.number.to_be_bytes();
        let mut nonce = self.iv;
        match self.explicit {
            0 => nonce[4..]
                .iter_mut()
                .zip(number)
                .for_each(|(byte, counted)| *byte ^= counted),
            _ => nonce[4..].copy_from_slice(said),
        }
        let length = sealed.len().checked_sub(self.key.algorithm().tag_len())? as u16;
        let about = [&number[..], header.get(..3)?, &length.to_be_bytes()].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut inside = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(about), &mut inside);
        let length = opened.ok()?.len();
        inside.truncate(length);
        self.number += 1;
        Some(inside)
    }
}
