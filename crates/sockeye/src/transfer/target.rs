//! The end that gets the files.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout_at};
use wire::transfer::{Answer, Entry, Frame, Outcome, Reason, RelativePath};

use super::incoming::Heard;
use super::source::reason_of;
use super::talk::Outgoing;
use super::{
    CHUNK, Clash, Declared, Digest, Failure, Fault, Landing, Root, Settled, Talk, Watch, commit,
    kept,
};

/// Small files that are made durable at once, at most, and how long the first of them waits for others.
const BATCH: usize = 128;
const BATCH_WAITS: Duration = Duration::from_millis(200);

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
        batch: Vec::new(),
        batch_due: Instant::now(),
    };
    let mut received = Ok(());
    loop {
        let room = receiving.current.room();
        if !talk.incoming.is_ready() && receiving.out.has_gathered() {
            received = receiving.out.flush().await.map_err(Failure::from);
        }
        let heard = match (received, receiving.batch.is_empty()) {
            (Err(failure), _) => Err(failure),
            (Ok(()), true) => talk.incoming.next(room).await,
            (Ok(()), false) => {
                match timeout_at(receiving.batch_due, talk.incoming.next(room)).await {
                    Ok(heard) => heard,
                    Err(_) => {
                        received = receiving.land().await;
                        continue;
                    }
                }
            }
        };
        let is_over = matches!(heard, Ok(Heard::Frame(Frame::Done)));
        received = match heard {
            Ok(Heard::Data) => receiving.data(talk.incoming.data()).await,
            Ok(Heard::Frame(frame)) => receiving.frame(frame).await,
            Err(failure) => Err(failure),
        };
        match &received {
            Ok(()) if is_over => break,
            Ok(()) => {}
            Err(_) => break,
        }
    }
    // What is whole is whole, whatever became of the connection.
    let landed = receiving.land().await;
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
            Self::Nothing | Self::Skipped => None,
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
    batch: Vec<(u32, Entry, Settled)>,
    batch_due: Instant,
}

impl Receiving<'_> {
    async fn frame(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame {
            Frame::Entry(entry) => self.entry(entry).await,
            Frame::File { index, from } => self.begin(index, from).await,
            Frame::Hole(length) => self.hole(length).await,
            Frame::Proof(proof) => self.proof(proof),
            Frame::End { size, hash } => self.end(size, hash.into()).await,
            Frame::Gone { index, text } => {
                let waiting = self.entries.remove(&index).map(|(entry, _)| entry);
                self.open.remove(&index);
                let current = std::mem::replace(&mut self.current, Current::Nothing);
                if let Some(entry) = waiting.or_else(|| current.entry()) {
                    let reason = Reason::Other;
                    let outcome = Outcome::Failed { reason, text };
                    let size = entry.size.unwrap_or_default();
                    self.watch.ended(&entry.path.to_string(), size, &outcome);
                }
                self.ask().await
            }
            Frame::Error { reason, text } => Err(Failure::Refused { reason, text }),
            Frame::Done | Frame::Later => Ok(()),
            _ => Err(Failure::protocol("it says what only a target says")),
        }
    }

    async fn entry(&mut self, mut entry: Entry) -> Result<(), Failure> {
        if self.entries.len() + self.queue.len() >= MOST {
            return Err(Failure::protocol(
                "it announces more files at once than can be remembered",
            ));
        }
        let index = entry.index;
        if let Err((reason, text)) = self.place(&mut entry) {
            let answer = Answer::Refused { reason, text };
            return Ok(self.out.say(&Frame::Answer { index, answer }).await?);
        }
        if entry.is_folder {
            let made = self.target.root.make_folder(&entry.path);
            let outcome = match made {
                Ok(()) => Outcome::Landed(entry.path),
                Err(error) => failed(&Fault::File {
                    action: "make the folder",
                    name: entry.path.to_string(),
                    source: error,
                }),
            };
            return Ok(self.out.say(&Frame::Receipt { index, outcome }).await?);
        }
        if entry.size.is_some_and(|size| size <= CHUNK as u64) {
            let same = kept(&self.target.root, &entry.path, &declared(&entry))
                .ok()
                .flatten();
            let waiting = same.map_or(Waiting::Content, |same| Waiting::Same(Box::new(same)));
            self.entries.insert(index, (entry, waiting));
            return self.want(index, 0, [0; 32]).await;
        }
        self.queue.push_back(entry);
        self.ask().await
    }

    /// Where an entry belongs here.
    fn place(&self, entry: &mut Entry) -> Result<(), (Reason, String)> {
        if !self.target.hidden && entry.path.names().any(|name| name.starts_with(b".")) {
            let why = "names that begin with a dot are not taken here";
            return Err((Reason::Forbidden, why.to_owned()));
        }
        let most = self.target.max_size.unwrap_or(u64::MAX);
        // What nobody knows the size of is measured as it comes.
        if let Some(size) = entry.size.filter(|size| *size > most) {
            let why = format!("files of {most} bytes are the largest here, and it has {size}");
            return Err((Reason::Forbidden, why));
        }
        if let Some(under) = &self.target.under {
            let path = [under.as_bytes(), b"/", entry.path.as_bytes()].concat();
            let path = RelativePath::new(path);
            entry.path = path.map_err(|fault| (Reason::BadName, fault.to_string()))?;
        }
        Ok(())
    }

    async fn want(&mut self, index: u32, from: u64, proof: [u8; 32]) -> Result<(), Failure> {
        let answer = Answer::Want { from, proof };
        Ok(self.out.say(&Frame::Answer { index, answer }).await?)
    }

    /// Asks for large files, a few ahead of the one that comes.
    async fn ask(&mut self) -> Result<(), Failure> {
        while self.open.len() < AHEAD
            && let Some(entry) = self.queue.pop_front()
        {
            let index = entry.index;
            let (root, path) = (self.target.root.clone(), entry.path.clone());
            let (declared, id, clash) =
                (declared(&entry), self.content_id(&entry), self.target.clash);
            let looking = move || match kept(&root, &path, &declared) {
                Ok(Some(digest)) => Ok(Err(digest)),
                _ => Landing::begin(&root, &path, declared, clash, &id).map(Ok),
            };
            match self.out.apart(looking).await? {
                Ok(Ok(landing)) => {
                    let from = landing.offset() / CHUNK as u64;
                    let proof = match from {
                        0 => [0; 32],
                        _ => *landing.digest().closed().as_bytes(),
                    };
                    self.open.insert(index, Box::new(landing));
                    self.entries.insert(index, (entry, Waiting::Part));
                    self.want(index, from, proof).await?;
                }
                Ok(Err(digest)) => {
                    let (from, proof) = (digest.chunks(), *digest.closed().as_bytes());
                    self.entries
                        .insert(index, (entry, Waiting::Same(Box::new(digest))));
                    self.want(index, from, proof).await?;
                }
                Err(fault) => {
                    let (reason, text) = (reason_for(&fault), fault.to_string());
                    let answer = Answer::Refused { reason, text };
                    self.out.say(&Frame::Answer { index, answer }).await?;
                }
            }
        }
        Ok(())
    }

    async fn begin(&mut self, index: u32, from: u64) -> Result<(), Failure> {
        let Some((entry, waiting)) = self.entries.remove(&index) else {
            return Err(Failure::protocol("it sends a file that was not asked for"));
        };
        let same = match &waiting {
            Waiting::Same(digest) => Some(digest.hash()),
            Waiting::Content | Waiting::Part => None,
        };
        let begun = match waiting {
            Waiting::Same(digest) if from > 0 && from == digest.chunks() => {
                self.watch
                    .began(&entry.path.to_string(), digest.len(), entry.size);
                self.current = Current::Kept {
                    index,
                    entry,
                    digest,
                };
                return Ok(());
            }
            // Whether it is to be refused is known when it has come.
            Waiting::Same(_) => self.land_anew(&entry, Clash::Rename).await,
            Waiting::Content => self.land_anew(&entry, self.target.clash).await,
            Waiting::Part => match self.open.remove(&index) {
                Some(mut landing) if from == 0 && landing.offset() > 0 => {
                    landing.restart().map(|()| landing)
                }
                Some(landing) => Ok(landing),
                None => return Err(Failure::protocol("it sends a file that was not asked for")),
            },
        };
        match begun {
            Ok(landing) if landing.offset() == from * CHUNK as u64 => {
                self.watch
                    .began(&entry.path.to_string(), landing.len(), entry.size);
                self.current = Current::File {
                    index,
                    entry,
                    landing,
                    unproved: None,
                    same,
                };
                Ok(())
            }
            Ok(_) => Err(Failure::protocol(
                "it goes on at another place than was asked for",
            )),
            Err(fault) => self.give_up(index, &entry, &fault).await,
        }
    }

    async fn land_anew(&mut self, entry: &Entry, clash: Clash) -> Result<Box<Landing>, Fault> {
        let begin = |this: &Self| {
            let (target, id) = (this.target, this.content_id(entry));
            Landing::begin(&target.root, &entry.path, declared(entry), clash, &id)
        };
        let landing = match begin(self) {
            // Those that wait to be made durable are open, too.
            Err(fault) if is_out_of_files(&fault) && !self.batch.is_empty() => {
                // A connection that broke meanwhile is noticed with what is said next.
                let _ = self.land().await;
                begin(self)
            }
            begun => begun,
        }?;
        Ok(Box::new(landing))
    }

    /// What tells one content from another: a sender that comes back has the same.
    fn content_id(&self, entry: &Entry) -> String {
        match entry.modified {
            Some((seconds, nanos)) => format!("{seconds}.{nanos:09}"),
            None => format!("{}-{}", u128::from_be_bytes(*self.id), entry.index),
        }
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.current {
            Current::Skipped | Current::Kept { .. } => return Ok(()),
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
        match std::mem::replace(&mut self.current, Current::Skipped) {
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
            Current::Nothing => return Err(Failure::protocol("a proof belongs to no file")),
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
            Current::Nothing => Err(Failure::protocol("the end of a file belongs to none")),
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
        landing.clash = self.target.clash;
        match landing.settle(Some(hash)) {
            Ok(settled) => self.settled(index, entry, settled).await,
            Err(Fault::Damaged { .. }) => Err(Failure::Damaged),
            Err(fault) => self.refused(index, &entry, &fault).await,
        }
    }

    /// A file is whole. Small ones are made durable together.
    async fn settled(&mut self, index: u32, entry: Entry, settled: Settled) -> Result<(), Failure> {
        if self.batch.is_empty() {
            self.batch_due = Instant::now() + BATCH_WAITS;
        }
        let is_small = settled.size() <= CHUNK as u64;
        self.batch.push((index, entry, settled));
        match !is_small || self.batch.len() >= BATCH || Instant::now() >= self.batch_due {
            true => self.land().await,
            false => Ok(()),
        }
    }

    /// Makes durable what is whole, and tells the source.
    async fn land(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut told = Vec::with_capacity(self.batch.len());
        let mut all = Vec::with_capacity(self.batch.len());
        for (index, entry, settled) in self.batch.drain(..) {
            told.push((index, entry));
            all.push(settled);
        }
        let root = self.target.root.clone();
        let landed = self.out.apart(move || commit(&root, all)).await?;
        for ((index, entry), landed) in told.into_iter().zip(landed) {
            let outcome = match landed {
                Ok(landed) => Outcome::Landed(landed.path),
                Err(fault) => failed(&fault),
            };
            self.tell(index, &entry, outcome).await?;
        }
        Ok(self.out.flush().await?)
    }

    async fn give_up(&mut self, index: u32, entry: &Entry, fault: &Fault) -> Result<(), Failure> {
        self.current = Current::Skipped;
        self.refused(index, entry, fault).await
    }

    async fn refused(&mut self, index: u32, entry: &Entry, fault: &Fault) -> Result<(), Failure> {
        self.tell(index, entry, failed(fault)).await?;
        Ok(self.out.flush().await?)
    }

    async fn tell(&mut self, index: u32, entry: &Entry, outcome: Outcome) -> Result<(), Failure> {
        self.watch.ended(
            &entry.path.to_string(),
            entry.size.unwrap_or_default(),
            &outcome,
        );
        Ok(self.out.say(&Frame::Receipt { index, outcome }).await?)
    }
}

fn declared(entry: &Entry) -> Declared {
    Declared {
        size: entry.size,
        modified: entry
            .modified
            .and_then(|(seconds, nanos)| time(seconds, nanos)),
        mode: entry.mode,
        is_sparse: entry.is_sparse,
    }
}

fn time(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds < 0 {
        true => UNIX_EPOCH.checked_sub(whole)?,
        false => UNIX_EPOCH.checked_add(whole)?,
    };
    time.checked_add(Duration::from_nanos(nanos.into()))
}

fn is_out_of_files(fault: &Fault) -> bool {
    let errno = rustix::io::Errno::MFILE.raw_os_error();
    matches!(fault, Fault::File { source, .. } if source.raw_os_error() == Some(errno))
}

fn failed(fault: &Fault) -> Outcome {
    Outcome::Failed {
        reason: reason_for(fault),
        text: fault.to_string(),
    }
}

fn reason_for(fault: &Fault) -> Reason {
    match fault {
        Fault::Busy { .. } => Reason::Busy,
        Fault::Exists { .. } => Reason::Exists,
        Fault::Damaged { .. } => Reason::Damaged,
        _ => match fault.io_kind() {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Reason::NoRoom,
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                Reason::Forbidden
            }
            _ => Reason::Other,
        },
    }
}
