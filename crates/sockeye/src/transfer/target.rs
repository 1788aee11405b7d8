//! The end that gets the files.

use std::collections::{HashMap, VecDeque};

use tokio::io::ReadHalf;
use tokio::time::{Instant, timeout_at};
use wire::transfer::{Entry, Frame, Outcome, Reason, RelativePath};

use super::alike::Neighbours;
use super::incoming::{ALIVE, Heard, Incoming};
use super::landing::Arrived;
use super::root::Folder;
use super::source::reason_of;
use super::talk::Outgoing;
use super::{CHUNK, Clash, Digest, Failure, Fault, Landing, Root, Talk, Watch};
use crate::stream::ByteStream;

mod asking;
mod batch;
mod lot;
mod telling;

use batch::{AT_ONCE, Batch, Committing};
use lot::Lot;

/// Large files whose parts are held open ahead of the one that comes.
const AHEAD: usize = 4;

/// Entries that may wait for their content: whoever announces more wants our memory.
const MOST: usize = 1 << 20;

/// Where files go, and what becomes of those whose names are taken.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder.
    pub root: Root,
    /// The folder in it that all paths begin in, if it is not the root itself.
    pub under: Option<RelativePath>,
    /// What becomes of a file whose name is taken.
    pub clash: Clash,
    /// Names that begin with a dot are taken.
    pub hidden: bool,
    /// The largest file that is taken, in bytes.
    pub max_size: Option<u64>,
}

/// Takes what a source sends.
///
/// # Errors
/// When the connection broke or something was damaged on its way; what has landed until then has.
pub async fn receive(
    talk: &mut Talk,
    target: &Target,
    id: &[u8; 16],
    watch: &dyn Watch,
) -> Result<(), Failure> {
    let mut receiving = Receiving {
        out: &mut talk.out,
        target,
        id,
        watch,
        entries: HashMap::new(),
        queue: VecDeque::new(),
        open: HashMap::new(),
        current: Current::Nothing,
        batch: Batch::default(),
        spare: Vec::new(),
        committing: VecDeque::new(),
        alive_due: Instant::now() + ALIVE,
        near: None,
        neighbours: Neighbours::default(),
    };
    let received = receiving.all(&mut talk.incoming).await;
    // What is whole is whole, whatever became of the connection.
    let landed = receiving.land_all().await;
    let done = received.and(landed);
    match &done {
        Ok(()) => {
            receiving.out.say(&Frame::Bye).await?;
            receiving.out.flush().await?;
        }
        Err(Failure::Cut(_) | Failure::Refused { .. }) => {}
        Err(failure) => {
            receiving
                .out
                .complain(reason_of(failure), &failure.to_string())
                .await
        }
    }
    done
}

/// What the content that comes belongs to.
enum Current {
    Nothing,
    /// Nobody wants it any more.
    Skipped,
    /// It is here already, if it ends with this hash.
    Kept {
        index: u32,
        entry: Entry,
        digest: Box<Digest>,
    },
    /// Small ones, which wait in the batch until all of them are proved.
    Lot(Lot),
    File {
        index: u32,
        entry: Entry,
        landing: Box<Landing>,
        /// The chunk that was closed, whose proof has to come next.
        unproved: Option<[u8; 32]>,
        /// What is here under its name, which may be the same.
        same: Option<super::Hash>,
    },
}

impl Current {
    fn entry(self) -> Option<Entry> {
        match self {
            Self::Kept { entry, .. } | Self::File { entry, .. } => Some(entry),
            Self::Nothing | Self::Skipped | Self::Lot(_) => None,
        }
    }

    fn room(&self) -> usize {
        match self {
            Self::File { landing, .. } => landing.digest().room(),
            _ => CHUNK,
        }
    }
}

/// What an entry waits for.
enum Waiting {
    /// Its content, which comes by itself. Then it is looked for what is here.
    Whole,
    /// The same, which nobody wants.
    Nothing,
    /// Its content.
    Content,
    /// Its content, unless it is what is here.
    Same(Box<Digest>),
    /// Its content from where its part ends.
    Part,
}

struct Receiving<'a> {
    out: &'a mut Outgoing,
    target: &'a Target,
    id: &'a [u8; 16],
    watch: &'a dyn Watch,
    /// Answered, and not come yet.
    entries: HashMap<u32, (Entry, Waiting)>,
    /// Large ones that are not answered yet.
    queue: VecDeque<Entry>,
    open: HashMap<u32, Box<Landing>>,
    current: Current,
    batch: Batch,
    /// Room for the content of the next ones.
    spare: Vec<Vec<u8>>,
    /// The batches before, which are made durable while the next one comes.
    committing: VecDeque<Committing>,
    /// When the source has to hear that we are there.
    alive_due: Instant,
    /// The folder that the last file went to, until a batch ends: files come folder by folder.
    near: Option<(Option<RelativePath>, Folder)>,
    /// What folders have had in them before.
    neighbours: Neighbours,
}

impl Receiving<'_> {
    async fn all(&mut self, incoming: &mut Incoming<ReadHalf<ByteStream>>) -> Result<(), Failure> {
        loop {
            match self.hear(incoming).await? {
                None => {}
                Some(Heard::Data) => self.data(incoming.data()).await?,
                Some(Heard::Frame(Frame::Done)) => return Ok(()),
                Some(Heard::Frame(frame)) => self.frame(frame).await?,
            }
        }
    }

    /// What comes next; `None` when there was something else to do.
    async fn hear(
        &mut self,
        incoming: &mut Incoming<ReadHalf<ByteStream>>,
    ) -> Result<Option<Heard>, Failure> {
        if let Some(first) = self.committing.front()
            && first.work.is_finished()
        {
            self.landed().await?;
        }
        let now = Instant::now();
        if now >= self.alive_due {
            // A source that hears nothing for long takes us for gone, however much it sends.
            self.out.alive().await?;
            self.alive_due = now + ALIVE;
        }
        if self.out.has_gathered() && !incoming.is_ready() {
            self.out.flush().await?;
        }
        // What is whole waits for the batches before.
        let batch_due = match self.committing.len() {
            AT_ONCE => None,
            _ => self.batch.due(),
        };
        let due = batch_due.map_or(self.alive_due, |due| due.min(self.alive_due));
        let coming = timeout_at(due, incoming.next(self.current.room()));
        let heard = match self.committing.front_mut() {
            None => coming.await,
            Some(Committing { work, .. }) => tokio::select! {
                biased;
                heard = coming => heard,
                landed = work => return self.tell_all(landed).await.map(|()| None),
            },
        };
        match heard {
            Ok(heard) => heard.map(Some),
            Err(_) if batch_due.is_none_or(|due| Instant::now() < due) => Ok(None),
            Err(_) => self.land().await.map(|()| None),
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame {
            Frame::Entry(entry) => self.entry(entry).await,
            Frame::File { index, from } => self.begin(index, from).await,
            Frame::Lot { files, hash } => self.lot(files, hash.into()).await,
            Frame::Hole(length) => self.hole(length).await,
            Frame::Proof(proof) => self.proof(proof),
            Frame::End { size, hash } => self.end(size, hash.into()).await,
            Frame::Gone { index, text } => {
                let waiting = self.entries.remove(&index).map(|(entry, _)| entry);
                self.open.remove(&index);
                let current = std::mem::replace(&mut self.current, Current::Nothing);
                self.batch.forget(&current);
                if let Some(entry) = waiting.or_else(|| current.entry()) {
                    let reason = Reason::Other;
                    let outcome = Outcome::Failed { reason, text };
                    let size = entry.size.unwrap_or_default();
                    self.watch.ended(&entry.path, size, &outcome);
                }
                self.ask().await
            }
            Frame::Error { reason, text } => Err(Failure::Refused { reason, text }),
            Frame::Later => Ok(()),
            _ => Err(Failure::protocol("it says what only a target says")),
        }
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.current {
            Current::Skipped | Current::Kept { .. } => return Ok(()),
            Current::Lot(lot) => {
                self.watch.moved(bytes.len() as u64);
                self.batch.content.extend_from_slice(bytes);
                return match lot.lacks(&self.batch.content) {
                    0 => self.proved().await,
                    _ => Ok(()),
                };
            }
            Current::File {
                landing,
                unproved: unproved @ None,
                ..
            } => match landing.len() + bytes.len() as u64 {
                came if came > self.target.max_size.unwrap_or(u64::MAX) => Err(Fault::Size {
                    name: landing.shown().to_owned(),
                    declared: self.target.max_size.unwrap_or_default(),
                    came,
                }),
                _ => landing.write_within(bytes).map(|closed| *unproved = closed),
            },
            Current::File { .. } => return Err(Failure::protocol("a chunk has no proof")),
            Current::Nothing => return Err(Failure::protocol("content belongs to no file")),
        };
        self.watch.moved(bytes.len() as u64);
        self.wrote(written).await
    }

    async fn hole(&mut self, length: u64) -> Result<(), Failure> {
        let skipped = match &mut self.current {
            Current::Skipped | Current::Kept { .. } => return Ok(()),
            Current::File {
                landing,
                unproved: unproved @ None,
                ..
            } if length <= landing.digest().room() as u64 => landing
                .skip_within(length as usize)
                .map(|closed| *unproved = closed),
            _ => return Err(Failure::protocol("a hole is where none can be")),
        };
        self.watch.moved(length);
        self.wrote(skipped).await
    }

    async fn wrote(&mut self, written: Result<(), Fault>) -> Result<(), Failure> {
        let Err(fault) = written else {
            return Ok(());
        };
        let current = std::mem::replace(&mut self.current, Current::Skipped);
        self.batch.forget(&current);
        match current {
            Current::File { index, entry, .. } => self.give_up(index, &entry, &fault).await,
            _ => Ok(()),
        }
    }

    fn proof(&mut self, proof: [u8; 32]) -> Result<(), Failure> {
        let ours = match &mut self.current {
            Current::Skipped | Current::Kept { .. } => return Ok(()),
            Current::File {
                landing, unproved, ..
            } => unproved.take().unwrap_or_else(|| landing.digest().open()),
            Current::Nothing | Current::Lot(_) => {
                return Err(Failure::protocol("a proof belongs to no chunk"));
            }
        };
        if ours == proof {
            return Ok(());
        }
        if let Current::File { landing, .. } =
            std::mem::replace(&mut self.current, Current::Nothing)
            && let Err(fault) = landing.retract()
        {
            return Err(Failure::Protocol(fault.to_string()));
        }
        Err(Failure::Damaged)
    }

    async fn end(&mut self, size: u64, hash: super::Hash) -> Result<(), Failure> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Skipped => Ok(()),
            Current::Nothing | Current::Lot(_) => {
                Err(Failure::protocol("the end of a file belongs to none"))
            }
            Current::Kept {
                index,
                entry,
                digest,
            } => {
                if digest.hash() != hash || digest.len() != size {
                    return Err(Failure::Damaged);
                }
                let outcome = Outcome::Landed(entry.path.clone());
                self.tell(index, &entry, outcome).await
            }
            Current::File {
                landing, unproved, ..
            } if unproved.is_some() || landing.len() != size => Err(Failure::Damaged),
            Current::File {
                index,
                entry,
                landing,
                same,
                ..
            } => {
                self.whole(index, entry, landing, same, hash).await?;
                self.ask().await
            }
        }
    }

    /// All of a file has come. What is here already stays as it is.
    async fn whole(
        &mut self,
        index: u32,
        entry: Entry,
        mut landing: Box<Landing>,
        same: Option<super::Hash>,
        hash: super::Hash,
    ) -> Result<(), Failure> {
        if same == Some(hash) && landing.digest().hash() == hash {
            let outcome = Outcome::Landed(entry.path.clone());
            return self.tell(index, &entry, outcome).await;
        }
        if same.is_some() && self.target.clash == Clash::Refuse {
            let name = landing.shown().to_owned();
            return self.refused(index, &entry, &Fault::Exists { name }).await;
        }
        landing.clashing(self.target.clash);
        match landing.settle(Some(hash)) {
            Ok(settled) => self.arrived(index, entry, Arrived::Settled(settled)).await,
            Err(Fault::Damaged { .. }) => Err(Failure::Damaged),
            Err(fault) => self.refused(index, &entry, &fault).await,
        }
    }
}
