//! What is proved of a part: a small file beside it, to which each whole chunk adds its proof.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::Folder;
use super::part::PLAIN;

/// The first bytes of the file, and its version.
const MAGIC: &[u8] = b"sockeye part 1\n";

/// Where the proofs begin: after the magic and the hash of what the part is of.
const HEAD: usize = MAGIC.len() + 32;

/// The proofs of a part that is being written.
#[derive(Debug)]
pub(super) struct State {
    file: File,
    at: u64,
}

impl State {
    /// Begins one; nothing is proved yet.
    pub(super) fn create(
        folder: &Folder,
        part: &[u8],
        id: &str,
        size: Option<u64>,
    ) -> io::Result<Self> {
        let file = open(folder, part, OFlags::RDWR | OFlags::CREATE)?;
        file.set_len(0)?;
        file.write_all_at(&head(id, size), 0)?;
        let at = HEAD as u64;
        Ok(Self { file, at })
    }

    /// Whether there is one, and it is of this content.
    pub(super) fn is_of(folder: &Folder, part: &[u8], id: &str, size: Option<u64>) -> bool {
        let mut found = [0; HEAD];
        let read = open(folder, part, OFlags::RDONLY)
            .is_ok_and(|file| file.read_exact_at(&mut found, 0).is_ok());
        read && found == head(id, size)
    }

    /// The proofs that an earlier attempt at the same content has left.
    pub(super) fn take_up(
        folder: &Folder,
        part: &[u8],
        id: &str,
        size: Option<u64>,
    ) -> io::Result<Option<(Self, Vec<[u8; 32]>)>> {
        let file = match open(folder, part, OFlags::RDWR) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let Some(proofs) = bytes.strip_prefix(&head(id, size)[..]) else {
            return Ok(None);
        };
        let (proofs, _) = proofs.as_chunks::<32>();
        let at = HEAD as u64;
        Ok(Some((Self { file, at }, proofs.to_vec())))
    }

    /// Only the first `chunks` are proved.
    pub(super) fn cut_to(&mut self, chunks: u64) -> io::Result<()> {
        self.at = HEAD as u64 + chunks * 32;
        self.file.set_len(self.at)
    }

    pub(super) fn append(&mut self, proof: &[u8; 32]) -> io::Result<()> {
        self.file.write_all_at(proof, self.at)?;
        self.at += 32;
        Ok(())
    }
}

fn head(id: &str, size: Option<u64>) -> [u8; HEAD] {
    let mut whose = blake3::Hasher::new();
    whose.update(&size.map_or([0xff; 8], u64::to_le_bytes));
    whose.update(id.as_bytes());
    let mut head = [0; HEAD];
    let (magic, hash) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    hash.copy_from_slice(whose.finalize().as_bytes());
    head
}

pub(super) fn name_of(part: &[u8]) -> Vec<u8> {
    [part, b".state"].concat()
}

fn open(folder: &Folder, part: &[u8], flags: OFlags) -> Result<File, Errno> {
    openat(
        folder,
        name_of(part),
        flags | PLAIN,
        Mode::from_raw_mode(0o600),
    )
    .map(File::from)
}
