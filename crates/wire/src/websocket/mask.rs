//! Masking: the XOR that a client's payloads go through (RFC 6455, section 5.3).

/// Masks `data`, or unmasks it. `offset` is where in the payload `data` begins.
pub fn mask(data: &mut [u8], key: [u8; 4], offset: usize) {
    /// Wide enough for the compiler to use vectors.
    const WIDE: usize = 32;
    let mut key = key;
    key.rotate_left(offset % 4);
    let mut wide = [0; WIDE];
    for (n, byte) in wide.iter_mut().enumerate() {
        *byte = key[n % 4];
    }
    let mut chunks = data.chunks_exact_mut(WIDE);
    for chunk in &mut chunks {
        for (byte, key) in chunk.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(wide) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::mask;

    proptest! {
        #[test]
        fn each_byte_meets_the_byte_of_the_key_at_its_place(
            data in prop::collection::vec(any::<u8>(), 0..200),
            key: [u8; 4],
            offset in 0usize..1000,
        ) {
            let mut masked = data.clone();
            mask(&mut masked, key, offset);
            for (n, byte) in masked.iter().enumerate() {
                prop_assert_eq!(*byte, data[n] ^ key[(offset + n) % 4]);
            }
        }
    }
}
