//! One file that is passed on as it comes: each chunk when it is proved, so that nothing wrong goes any further.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use tokio::io::ReadHalf;
use wire::transfer::{Answer, Entry, Frame, Outcome, Reason};

use super::incoming::{Heard, Incoming};
use super::source::reason_of;
use super::talk::Outgoing;
use super::{Digest, Failure, Hash, Talk, Watch};
use crate::stream::ByteStream;

/// Where one file goes that is kept nowhere, and how much of it has gone there. It outlives connections: the next one
/// goes on where the last one was cut.
#[derive(Debug)]
pub struct Pipe {
    to: Arc<File>,
    /// What has been passed on, which ends with a chunk until it is whole.
    passed: Digest,
    is_whole: bool,
}

impl Pipe {
    /// Nothing has been passed on yet.
    pub fn new(to: File) -> Self {
        Self {
            to: Arc::new(to),
            passed: Digest::default(),
            is_whole: false,
        }
    }

    /// Takes the one file that a source sends, and passes it on. Of a file that is whole nothing is asked any more.
    ///
    /// # Errors
    /// When the connection broke, something was damaged on its way, there is not one file but a folder or several, it
    /// is not the file any more that was begun with, or it cannot be passed on.
    pub async fn receive(&mut self, talk: &mut Talk, watch: &dyn Watch) -> Result<(), Failure> {
        if self.is_whole {
            return Ok(());
        }
        let mut passing = Passing {
            out: &mut talk.out,
            digest: self.passed.clone(),
            pipe: self,
            watch,
            file: None,
            lot: None,
            has_begun: false,
            chunk: Vec::new(),
            unproved: None,
        };
        match passing.all(&mut talk.incoming).await {
            Ok(()) => {
                passing.out.say(&Frame::Bye).await?;
                Ok(passing.out.flush().await?)
            }
            // It is whole, whatever became of the connection.
            Err(Failure::Cut(_)) if passing.pipe.is_whole => Ok(()),
            Err(failure @ (Failure::Cut(_) | Failure::Refused { .. })) => Err(failure),
            Err(failure) => {
                let (reason, text) = (reason_of(&failure), failure.to_string());
                passing.out.complain(reason, &text).await;
                Err(failure)
            }
        }
    }
}

struct Passing<'a> {
    out: &'a mut Outgoing,
    pipe: &'a mut Pipe,
    watch: &'a dyn Watch,
    file: Option<Entry>,
    /// It comes in one piece: its size and hash.
    lot: Option<(u64, Hash)>,
    /// Its content comes: all that the source has is known.
    has_begun: bool,
    /// What was passed on, and what waits in `chunk` for its proof.
    digest: Digest,
    chunk: Vec<u8>,
    /// The chunk that was closed, whose proof has to come next.
    unproved: Option<[u8; 32]>,
}

impl Passing<'_> {
    async fn all(&mut self, incoming: &mut Incoming<ReadHalf<ByteStream>>) -> Result<(), Failure> {
        loop {
            if !incoming.is_ready() && self.out.has_gathered() {
                self.out.flush().await?;
            }
            match incoming.next(self.digest.room()).await? {
                Heard::Data => {
                    self.content(incoming.data().len())?;
                    self.chunk.extend_from_slice(incoming.data());
                    self.unproved = self.digest.update(incoming.data());
                    if let Some((size, hash)) = self.lot
                        && self.digest.len() >= size
                    {
                        self.whole(size, hash).await?;
                    }
                }
                Heard::Frame(Frame::Done) if self.file.is_some() => return Ok(()),
                Heard::Frame(Frame::Done) => return Err(Failure::NotOne("nothing is there")),
                Heard::Frame(frame) => self.frame(frame).await?,
            }
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame {
            Frame::Entry(entry) => self.entry(entry).await,
            Frame::File { index, from } => self.begin(index, from),
            Frame::Hole(length) => {
                let room = self.digest.room();
                let length = usize::try_from(length).ok().filter(|hole| *hole <= room);
                let wrong = || Failure::protocol("a hole is where none can be");
                let length = length.ok_or_else(wrong)?;
                self.content(length)?;
                self.chunk.resize(self.chunk.len() + length, 0);
                self.unproved = self.digest.update_zeros(length);
                Ok(())
            }
            Frame::Proof(proof) => match self.unproved.take() {
                Some(ours) if ours == proof => self.pass().await,
                // The rest of a file: it is passed on when the whole is proved, too.
                None if self.digest.open() == proof => Ok(()),
                _ => Err(Failure::Damaged),
            },
            Frame::End { size, hash } => self.whole(size, hash.into()).await,
            Frame::Lot { files, hash } => match files[..] {
                [(index, size)] => {
                    self.begin(index, 0)?;
                    let (size, hash) = (size.into(), hash.into());
                    self.lot = Some((size, hash));
                    match size {
                        0 => self.whole(size, hash).await,
                        _ => Ok(()),
                    }
                }
                _ => Err(Failure::NotOne("there are several files")),
            },
            Frame::Gone { text, .. } => {
                let outcome = Outcome::Failed {
                    reason: Reason::Other,
                    text,
                };
                if let Some(entry) = &self.file {
                    let size = entry.size.unwrap_or_default();
                    self.watch.ended(&entry.path, size, &outcome);
                }
                Ok(())
            }
            Frame::Error { reason, text } => Err(Failure::Refused { reason, text }),
            Frame::Later => Ok(()),
            _ => Err(Failure::protocol("it says what only a target says")),
        }
    }

    /// A source says all that it has before it sends any of it.
    async fn entry(&mut self, entry: Entry) -> Result<(), Failure> {
        if entry.is_folder {
            return Err(Failure::NotOne("it is a folder"));
        }
        // One alone is not announced with its hash.
        if self.file.is_some() || entry.hash.is_some() {
            return Err(Failure::NotOne("there are several files"));
        }
        let (index, from) = (entry.index, self.pipe.passed.chunks());
        let comes = entry.is_of_a_lot();
        self.file = Some(entry);
        if comes {
            return Ok(());
        }
        let proof = match from {
            0 => [0; 32],
            _ => *self.pipe.passed.closed().as_bytes(),
        };
        let answer = Answer::Want { from, proof };
        Ok(self.out.say(&Frame::Answer { index, answer }).await?)
    }

    fn begin(&mut self, index: u32, from: u64) -> Result<(), Failure> {
        let file = self.file.as_ref().filter(|file| file.index == index);
        let Some(file) = file.filter(|_| !self.has_begun) else {
            return Err(Failure::protocol("it sends a file that was not asked for"));
        };
        if from != self.digest.chunks() {
            let passed = self.digest.len();
            return Err(Failure::Changed { passed });
        }
        self.has_begun = true;
        self.watch.began(&file.path, self.digest.len(), file.size);
        Ok(())
    }

    /// All of it has come.
    async fn whole(&mut self, size: u64, hash: Hash) -> Result<(), Failure> {
        let is_right = self.digest.hash() == hash && self.digest.len() == size;
        if !self.has_begun || !is_right || self.unproved.is_some() {
            return Err(Failure::Damaged);
        }
        self.pass().await?;
        self.pipe.is_whole = true;
        self.told(size).await
    }

    /// Whether content may come now.
    fn content(&self, length: usize) -> Result<(), Failure> {
        if self.unproved.is_some() {
            return Err(Failure::protocol("a chunk has no proof"));
        }
        if !self.has_begun || self.pipe.is_whole {
            return Err(Failure::protocol("content belongs to no file"));
        }
        self.watch.moved(length as u64);
        Ok(())
    }

    /// What is proved goes on.
    async fn pass(&mut self) -> Result<(), Failure> {
        let (to, chunk) = (self.pipe.to.clone(), std::mem::take(&mut self.chunk));
        // Whoever reads it may take its time.
        let passing = move || (&*to).write_all(&chunk).map(|()| chunk);
        self.chunk = self.out.apart(passing).await?.map_err(Failure::Sink)?;
        self.chunk.clear();
        self.pipe.passed = self.digest.clone();
        Ok(())
    }

    async fn told(&mut self, size: u64) -> Result<(), Failure> {
        let Some(entry) = &self.file else {
            return Ok(());
        };
        let (index, outcome) = (entry.index, Outcome::Landed(entry.path.clone()));
        self.watch.ended(&entry.path, size, &outcome);
        Ok(self.out.say(&Frame::Receipt { index, outcome }).await?)
    }
}
