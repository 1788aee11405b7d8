//! Numbers that nobody can foresee: keys of masks, and of opening handshakes.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// SipHash under a key from the system, and how often it was asked: a frame costs no system call.
    static SOURCE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

fn next() -> u64 {
    SOURCE.with(|(hash, count)| {
        count.set(count.get() + 1);
        hash.hash_one(count.get())
    })
}

/// The key of one frame's mask (RFC 6455, section 5.3).
pub(super) fn mask() -> [u8; 4] {
    (next() as u32).to_ne_bytes()
}

/// A nonce for `Sec-WebSocket-Key` (RFC 6455, section 4.1).
pub(super) fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&next().to_ne_bytes());
    nonce[8..].copy_from_slice(&next().to_ne_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_key_comes_again_soon() {
        let keys: HashSet<_> = (0..1000).map(|_| super::mask()).collect();
        assert!(keys.len() > 995, "{}", keys.len());
        assert_ne!(super::nonce(), super::nonce());
    }
}
