//! The end that has the files.

use std::fs::File;
use std::io;
use std::iter::Enumerate;
use std::os::unix::fs::FileExt;
use std::slice::Iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::ReadHalf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::transfer::{Answer, Frame, HEAD, Outcome, Reason};

use super::incoming::{Heard, Incoming};
use super::item::{Facts, Item, Origin, PIECE};
use super::talk::Outgoing;
use super::{CHUNK, Digest, Failure, Pace, Talk, Watch};
use crate::stream::ByteStream;

mod holes;
mod lot;

use holes::{next_data, next_hole};
use lot::Lot;

/// How long is listened for why a peer has left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Large files that are announced ahead of the one that is sent: the target answers while it gets others.
const AHEAD: usize = 1024;

const CHANGED_BEFORE: &str = "it changed since it was looked at";

/// What the target wants of an item: which one, from which chunk, and the proof of those before.
type Wish = (u32, u64, [u8; 32]);

/// Sends what is not settled yet of `items`, and fills in what became of each. What changed while it was sent stays
/// unsettled: look at it again, and send again.
///
/// # Errors
/// When the connection broke or the other end gave up; what was settled until then is.
pub async fn send(
    talk: &mut Talk,
    items: &Arc<[Item]>,
    pace: Option<&mut Pace>,
    watch: &dyn Watch,
) -> Result<(), Failure> {
    let (wishes, wished) = unbounded_channel();
    let mut telling = Telling {
        out: &mut talk.out,
        piece: vec![0; HEAD + PIECE],
        items,
        lot: Lot::default(),
        pace,
        watch,
    };
    let hearing = hear(&mut talk.incoming, items, wishes, watch);
    tokio::pin!(hearing);
    let told = tokio::select! {
        biased;
        heard = &mut hearing => return heard,
        told = telling.all(wished) => told,
    };
    match told {
        Ok(()) => hearing.await,
        // A peer that gave up has said why before the connection broke.
        Err(Failure::Cut(error)) => match tokio::time::timeout(LAST_WORDS, hearing).await {
            Ok(Err(failure @ Failure::Refused { .. })) => Err(failure),
            _ => Err(Failure::Cut(error)),
        },
        Err(failure) => {
            telling
                .out
                .complain(reason_of(&failure), &failure.to_string())
                .await;
            Err(failure)
        }
    }
}

async fn hear(
    incoming: &mut Incoming<ReadHalf<ByteStream>>,
    items: &[Item],
    wishes: UnboundedSender<Wish>,
    watch: &dyn Watch,
) -> Result<(), Failure> {
    let item = |index: u32| {
        let item = items.get(index as usize);
        item.ok_or_else(|| Failure::protocol("it speaks of a file that it was not told of"))
    };
    loop {
        match incoming.next(CHUNK).await? {
            Heard::Frame(Frame::Answer { index, answer }) => match answer {
                Answer::Want { from, proof } => {
                    if !item(index)?.entry(index).is_asked_for() {
                        return Err(Failure::protocol("it asks for what is not asked for"));
                    }
                    // Nobody hears it when all was said: then it is asked too late.
                    let _ = wishes.send((index, from, proof));
                }
                Answer::Refused { reason, text } => {
                    settle(item(index)?, Outcome::Failed { reason, text }, watch);
                    if item(index)?.entry(index).is_asked_for() {
                        let _ = wishes.send((index, u64::MAX, [0; 32]));
                    }
                }
            },
            Heard::Frame(Frame::Receipt { index, outcome }) => settle(item(index)?, outcome, watch),
            Heard::Frame(Frame::Note { index, text }) => {
                watch.noted(&item(index)?.path, &text);
            }
            Heard::Frame(Frame::Bye) => return Ok(()),
            Heard::Frame(Frame::Error { reason, text }) => {
                return Err(Failure::Refused { reason, text });
            }
            Heard::Frame(Frame::Later) => {}
            Heard::Frame(_) | Heard::Data => {
                return Err(Failure::protocol("it says what only a source says"));
            }
        }
    }
}

fn settle(item: &Item, outcome: Outcome, watch: &dyn Watch) {
    if !matches!(
        (&item.origin, &outcome),
        (Origin::Folder, Outcome::Landed(_))
    ) {
        watch.ended(&item.path, item.size(), &outcome);
    }
    // It is heard once: what was told before stays.
    let _ = item.outcome.set(outcome);
}

struct Telling<'a> {
    out: &'a mut Outgoing,
    /// Room for a head, and the piece after it: they leave together.
    piece: Vec<u8>,
    items: &'a Arc<[Item]>,
    lot: Lot,
    pace: Option<&'a mut Pace>,
    watch: &'a dyn Watch,
}

impl Telling<'_> {
    async fn all(&mut self, mut wished: UnboundedReceiver<Wish>) -> Result<(), Failure> {
        let items = self.items.clone();
        let mut items = items.iter().enumerate();
        let mut open = 0;
        loop {
            let goes_on = self.announce(&mut items, &mut open).await?;
            let wish = match wished.try_recv() {
                Ok(wish) => Some(wish),
                Err(_) if goes_on => continue,
                Err(_) if open == 0 => break,
                Err(_) => {
                    self.out.flush().await?;
                    wished.recv().await
                }
            };
            let Some((index, from, proof)) = wish else {
                // Nobody hears any more: the other half knows why.
                return Err(Failure::ended());
            };
            open -= 1;
            if from != u64::MAX {
                self.file(index, from, proof).await?;
            }
        }
        self.out.say(&Frame::Done).await?;
        Ok(self.out.flush().await?)
    }

    /// Says what comes, and the small ones with it, until a lot of those has left or enough is `open`: announced, and
    /// neither sent nor refused. Whether it would go on.
    async fn announce(
        &mut self,
        items: &mut Enumerate<Iter<'_, Item>>,
        open: &mut usize,
    ) -> Result<bool, Failure> {
        while *open < AHEAD
            && let Some((index, item)) = items.next()
        {
            if item.outcome.get().is_some() {
                continue;
            }
            let index = u32::try_from(index)
                .map_err(|_| Failure::protocol("there are more files than numbers for them"))?;
            let entry = item.entry(index);
            let (is_of_a_lot, is_asked_for) = (entry.is_of_a_lot(), entry.is_asked_for());
            self.out.say(&Frame::Entry(entry)).await?;
            if !is_of_a_lot {
                *open += usize::from(is_asked_for);
                continue;
            }
            let size = item.size() as usize;
            let is_full = !self.lot.has_room(size, self.pace.as_deref());
            if is_full {
                self.leave().await?;
            }
            if let Some(text) = self.small(index, item, size) {
                self.out.say(&Frame::Gone { index, text }).await?;
            }
            if is_full {
                return Ok(true);
            }
        }
        self.leave().await?;
        Ok(false)
    }

    /// A small file goes to the lot; why not, if it does not.
    fn small(&mut self, index: u32, item: &Item, size: usize) -> Option<String> {
        match self.lot.take(index, item, size) {
            Ok(true) => {
                self.watch.began(&item.path, 0, item.facts.size);
                None
            }
            Ok(false) => Some(CHANGED_BEFORE.to_owned()),
            Err(error) => Some(self.unreadable(item, &error)),
        }
    }

    /// The lot leaves, if there is something in it.
    async fn leave(&mut self) -> Result<(), Failure> {
        let mut lot = std::mem::take(&mut self.lot);
        if let Some((frame, content)) = lot.closed() {
            self.out.say(&frame).await?;
            let size = content.len() - HEAD;
            match &self.pace {
                Some(pace) => {
                    let most = pace.piece().min(PIECE);
                    for part in content[HEAD..].chunks(most) {
                        self.piece[HEAD..HEAD + part.len()].copy_from_slice(part);
                        self.data(part.len()).await?;
                    }
                }
                None if size > 0 => self.out.data(content).await?,
                None => {}
            }
            self.watch.moved(size as u64);
            lot.clear();
        }
        self.lot = lot;
        Ok(())
    }

    /// One file, from the chunk that is wanted if the target has what we have until there.
    async fn file(&mut self, index: u32, from: u64, proof: [u8; 32]) -> Result<(), Failure> {
        let items = self.items.clone();
        let item = &items[index as usize];
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

    /// What is told of an item that cannot be read.
    fn unreadable(&self, item: &Item, error: &io::Error) -> String {
        let text = format!("cannot read it: {}", crate::error::cause(error));
        // Another look would see no more.
        if error.kind() == io::ErrorKind::PermissionDenied {
            let (reason, text) = (Reason::Forbidden, text.clone());
            settle(item, Outcome::Failed { reason, text }, self.watch);
        }
        text
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

    /// What stands in the piece leaves.
    async fn data(&mut self, n: usize) -> io::Result<()> {
        let waited = match &mut self.pace {
            Some(pace) => pace.wait(n).await,
            None => false,
        };
        self.out.data(&mut self.piece[..HEAD + n]).await?;
        match waited {
            // What is slow does not gather.
            true => self.out.flush().await,
            false => Ok(()),
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

/// What a peer is told of a failure of its own kind.
pub(super) fn reason_of(failure: &Failure) -> Reason {
    match failure {
        Failure::Damaged => Reason::Damaged,
        Failure::Refused { reason, .. } => *reason,
        Failure::Protocol(_) | Failure::Foreign(_) | Failure::Silent(_) => Reason::Protocol,
        Failure::Cut(_)
        | Failure::Source { .. }
        | Failure::NotOne(_)
        | Failure::Changed { .. }
        | Failure::Sink(_) => Reason::Other,
    }
}
