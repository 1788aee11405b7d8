//! One file that the target has asked for: from which chunk, its content with proofs, and its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use wire::transfer::{Frame, HEAD};

use super::holes::{next_data, next_hole};
use super::{CHANGED_BEFORE, Telling};
use crate::transfer::item::{Facts, Item, PIECE};
use crate::transfer::{CHUNK, Digest, Failure};

impl Telling<'_> {
    /// One file, from the chunk that is wanted if the target has what we have until there.
    pub(super) async fn file(
        &mut self,
        index: u32,
        item: &Item,
        from: u64,
        proof: [u8; 32],
    ) -> Result<(), Failure> {
        let opened = item.open().and_then(|file| {
            let now = Facts::from(&file.metadata()?);
            Ok((file, now))
        });
        let changed = match opened {
            Err(error) => Some(self.unreadable(item, &error)),
            Ok((file, now)) if item.facts.size.is_none() || item.facts.still_holds(&now) => {
                let (file, digest) = self.begin(file, index, from, proof).await?;
                self.watch.began(&item.path, digest.len(), item.facts.size);
                self.content(item, &file, digest).await?
            }
            Ok(_) => Some(CHANGED_BEFORE.to_owned()),
        };
        if let Some(text) = changed {
            self.out.say(&Frame::Gone { index, text }).await?;
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        file: File,
        index: u32,
        from: u64,
        proof: [u8; 32],
    ) -> Result<(File, Digest), Failure> {
        let (file, digest) = match from {
            0 => (file, Digest::default()),
            from => {
                let reading = move || {
                    let digest = hash(&file, from * CHUNK as u64);
                    (file, digest)
                };
                let (file, digest) = self.out.apart(reading).await?;
                let same = digest.ok().filter(|digest| digest.closed() == proof);
                (file, same.unwrap_or_default())
            }
        };
        let from = digest.chunks();
        self.out.say(&Frame::File { index, from }).await?;
        Ok((file, digest))
    }

    /// Everything from where `digest` ends; why it cannot go on, if it cannot.
    async fn content(
        &mut self,
        item: &Item,
        file: &File,
        mut digest: Digest,
    ) -> Result<Option<String>, Failure> {
        let size = item.facts.size.unwrap_or(u64::MAX);
        let piece = self
            .pace
            .as_ref()
            .map_or(PIECE, |pace| pace.piece())
            .min(PIECE) as u64;
        let mut data_ends = if item.facts.is_sparse { 0 } else { u64::MAX };
        while digest.len() < size {
            if item.outcome.get().is_some() {
                return Ok(Some("the target does not want it any more".to_owned()));
            }
            let at = digest.len();
            let most = (digest.room() as u64).min(size - at).min(piece) as usize;
            if at >= data_ends {
                let hole = (next_data(file, at).min(size) - at).min(digest.room() as u64);
                data_ends = if hole == 0 { next_hole(file, at) } else { at };
                if hole > 0 {
                    self.out.say(&Frame::Hole(hole)).await?;
                    let proof = digest.update_zeros(hole as usize);
                    self.prove(proof).await?;
                    self.watch.moved(hole);
                    continue;
                }
            }
            let most = most.min(usize::try_from(data_ends - at).unwrap_or(most));
            let read = match item.facts.size {
                Some(_) => file.read_at(&mut self.piece[HEAD..HEAD + most], at),
                None => self.await_bytes(file, most).await?,
            };
            let n = match read {
                Ok(n) => n,
                Err(error) => return Ok(Some(crate::error::cause(&error))),
            };
            if n == 0 {
                break;
            }
            self.data(n).await?;
            let proof = digest.update(&self.piece[HEAD..HEAD + n]);
            self.prove(proof).await?;
            self.watch.moved(n as u64);
        }
        self.end(item, file, &digest).await
    }

    /// What comes from a pipe is waited for on a thread that may wait.
    async fn await_bytes(
        &mut self,
        file: &File,
        most: usize,
    ) -> Result<io::Result<usize>, Failure> {
        let file = file.try_clone()?;
        let reading = move || {
            let mut bytes = vec![0; most];
            let n = io::Read::read(&mut &file, &mut bytes)?;
            bytes.truncate(n);
            Ok(bytes)
        };
        // What was read before leaves, for nobody knows when more comes.
        self.out.flush().await?;
        let read: io::Result<Vec<u8>> = self.out.apart(reading).await?;
        Ok(read.map(|bytes| {
            self.piece[HEAD..HEAD + bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }))
    }

    async fn end(
        &mut self,
        item: &Item,
        file: &File,
        digest: &Digest,
    ) -> Result<Option<String>, Failure> {
        if item.facts.size.is_some_and(|size| digest.len() < size) {
            return Ok(Some("it shrank while it was sent".to_owned()));
        }
        let now = file.metadata().map(|facts| Facts::from(&facts));
        let is_same =
            item.facts.size.is_none() || now.is_ok_and(|now| item.facts.still_holds(&now));
        if !is_same {
            return Ok(Some("it changed while it was sent".to_owned()));
        }
        if digest.chunks() > 0 && digest.room() < CHUNK {
            self.out.say(&Frame::Proof(digest.open())).await?;
        }
        let end = Frame::End {
            size: digest.len(),
            hash: *digest.hash().as_bytes(),
        };
        self.out.say(&end).await?;
        Ok(None)
    }

    async fn prove(&mut self, proof: Option<[u8; 32]>) -> io::Result<()> {
        match proof {
            Some(proof) => self.out.say(&Frame::Proof(proof)).await,
            None => Ok(()),
        }
    }
}

/// The digest of the first `length` bytes.
fn hash(file: &File, length: u64) -> io::Result<Digest> {
    let mut digest = Digest::default();
    let mut buffer = vec![0; 2 * PIECE];
    while digest.len() < length {
        let most = (length - digest.len()).min(buffer.len() as u64) as usize;
        match file.read_at(&mut buffer[..most], digest.len())? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => digest.update_all(&buffer[..n]),
        }
    }
    Ok(digest)
}
