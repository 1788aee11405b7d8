//! BLAKE3 of a file, chunk by chunk: each byte is hashed once, and gives both the proof of its chunk and its part of
//! the proof of the whole.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

pub use blake3::Hash;

/// How much is proved at once, and what is sent again at most after a cut: 1 MiB. A power of two, so that chunks are
/// subtrees of BLAKE3's tree (the BLAKE3 paper, section 2.1).
pub const CHUNK: usize = 1024 * 1024;

/// What goes through in order, hashed: the chunk it is in, and the subtrees of the chunks before.
#[derive(Clone, Debug)]
pub struct Digest {
    /// Subtrees from the left, each of fewer chunks than the one before, as the bits of `chunks` say.
    subtrees: Vec<[u8; 32]>,
    chunks: u64,
    current: Hasher,
    filled: usize,
    /// The hash of the first chunk as a whole file, which it is when no second one comes.
    alone: Option<Hash>,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            subtrees: Vec::new(),
            chunks: 0,
            current: Hasher::new(),
            filled: 0,
            alone: None,
        }
    }
}

impl Digest {
    /// How many bytes went through.
    pub fn len(&self) -> u64 {
        self.chunks * CHUNK as u64 + self.filled as u64
    }

    /// Whether nothing went through.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many chunks are closed.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// How many bytes the current chunk still takes: at least one.
    pub fn room(&self) -> usize {
        CHUNK - self.filled
    }

    /// Takes bytes of the current chunk, [`room`](Self::room) at the most; gives its proof when they fill it.
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn update(&mut self, bytes: &[u8]) -> Option<[u8; 32]> {
        assert!(bytes.len() <= self.room(), "a chunk ends where it ends");
        self.current.update(bytes);
        self.filled += bytes.len();
        (self.filled == CHUNK).then(|| self.close())
    }

    /// The same with so many zeros.
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn update_zeros(&mut self, length: usize) -> Option<[u8; 32]> {
        const ZEROS: &[u8] = &[0; 64 * 1024];
        let mut left = length;
        while left > ZEROS.len() {
            self.update(ZEROS);
            left -= ZEROS.len();
        }
        self.update(&ZEROS[..left])
    }

    /// The proof of what came of the current chunk so far.
    pub fn open(&self) -> [u8; 32] {
        self.current.finalize_non_root()
    }

    /// Takes bytes across the ends of chunks.
    pub fn update_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.room()));
            self.update(now);
            bytes = later;
        }
    }

    /// Forgets what came of the current chunk.
    pub fn reopen(&mut self) {
        self.current = self.hasher();
        self.filled = 0;
    }

    /// The proof of what is closed: of it, and of nothing else.
    pub fn closed(&self) -> Hash {
        let mut hasher = Hasher::new();
        hasher.update(&self.chunks.to_le_bytes());
        self.subtrees.iter().for_each(|subtree| {
            hasher.update(subtree);
        });
        hasher.finalize()
    }

    /// BLAKE3 of all that went through.
    pub fn hash(&self) -> Hash {
        let mut subtrees = self.subtrees.clone();
        match (self.chunks, self.filled) {
            (0, _) => return self.current.finalize(),
            (1, 0) => return self.alone.unwrap_or_else(|| self.current.finalize()),
            (_, 0) => {}
            _ => {
                merge(&mut subtrees, self.chunks);
                subtrees.push(self.current.finalize_non_root());
            }
        }
        let mut right = subtrees.pop().unwrap_or_default();
        while let Some(left) = subtrees.pop() {
            if subtrees.is_empty() {
                return merge_subtrees_root(&left, &right, Mode::Hash);
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        Hash::from_bytes(right)
    }

    fn close(&mut self) -> [u8; 32] {
        if self.chunks == 0 {
            self.alone = Some(self.current.finalize());
        }
        let proof = self.current.finalize_non_root();
        merge(&mut self.subtrees, self.chunks);
        self.subtrees.push(proof);
        self.chunks += 1;
        self.reopen();
        proof
    }

    /// A hasher that knows where in the file it is.
    fn hasher(&self) -> Hasher {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(self.chunks * CHUNK as u64);
        hasher
    }
}

/// Merges what is whole among the subtrees of the first `chunks`. Not before the next chunk comes: the last two may be
/// the children of the root, which is hashed otherwise.
fn merge(subtrees: &mut Vec<[u8; 32]>, chunks: u64) {
    while subtrees.len() > chunks.count_ones() as usize {
        if let (Some(right), Some(left)) = (subtrees.pop(), subtrees.pop()) {
            subtrees.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    #[test]
    fn it_is_the_hash_that_everybody_else_computes() {
        for length in [
            0,
            1,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            2 * CHUNK,
            2 * CHUNK + 1,
            3 * CHUNK,
            4 * CHUNK,
            5 * CHUNK + 77,
            7 * CHUNK,
        ] {
            let bytes = bytes(length);
            let mut digest = Digest::default();
            for piece in bytes.chunks(300_001) {
                digest.update_all(piece);
            }
            assert_eq!(digest.hash(), blake3::hash(&bytes), "{length}");
            assert_eq!(digest.len(), length as u64);
        }
    }

    #[test]
    fn a_proof_is_of_one_chunk_in_one_place() {
        let mut digest = Digest::default();
        let zeros = vec![0; CHUNK];
        let first = digest.update(&zeros).unwrap();
        let second = digest.update(&zeros).unwrap();
        assert_ne!(first, second);
        assert_eq!(digest.update(&zeros[1..]), None);
    }

    #[test]
    fn what_is_closed_is_proved_alike_however_it_came() {
        let bytes = bytes(3 * CHUNK + 5);
        let mut whole = Digest::default();
        whole.update_all(&bytes);
        let mut started_over = Digest::default();
        started_over.update_all(&bytes[..2 * CHUNK + 9]);
        started_over.reopen();
        started_over.update_all(&bytes[2 * CHUNK..]);
        assert_eq!(whole.closed(), started_over.closed());
        assert_eq!(whole.hash(), started_over.hash());
        let mut other = bytes;
        other[7] ^= 1;
        let mut changed = Digest::default();
        changed.update_all(&other);
        assert_ne!(whole.closed(), changed.closed());
    }
}
