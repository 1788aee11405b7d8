//! The end that has the files.

use std::io;
use std::iter::Enumerate;
use std::slice::Iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::ReadHalf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::transfer::{Answer, Frame, HEAD, Outcome, Reason};

use super::incoming::{Heard, Incoming};
use super::item::{Item, Origin, PIECE};
use super::talk::Outgoing;
use super::{CHUNK, Failure, Pace, Talk, Watch};
use crate::stream::ByteStream;

mod asking;
mod file;
mod holes;
mod lot;

use asking::Asking;
use lot::Lot;

/// How long is listened for why a peer has left.
const LAST_WORDS: Duration = Duration::from_secs(1);

const CHANGED_BEFORE: &str = "it changed since it was looked at";

/// What the target wants of an item.
type Wish = (u32, Answer);

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
        asking: Asking::about(items),
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
            Heard::Frame(Frame::Answer { index, answer }) => {
                let item = item(index)?;
                if let Answer::Refused { reason, text } = &answer {
                    let (reason, text) = (*reason, text.clone());
                    settle(item, Outcome::Failed { reason, text }, watch);
                }
                // Nobody hears it when all was said: then it is asked too late.
                let _ = wishes.send((index, answer));
            }
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
    asking: Asking,
    lot: Lot,
    pace: Option<&'a mut Pace>,
    watch: &'a dyn Watch,
}

impl Telling<'_> {
    async fn all(&mut self, mut wished: UnboundedReceiver<Wish>) -> Result<(), Failure> {
        let items = self.items.clone();
        let mut items = items.iter().enumerate();
        loop {
            let goes_on = self.announce(&mut items).await?;
            let wish = match wished.try_recv() {
                Ok(wish) => wish,
                Err(_) if goes_on => continue,
                Err(_) => {
                    self.leave().await?;
                    if self.asking.is_over() {
                        break;
                    }
                    self.out.flush().await?;
                    // Nobody hears any more: the other half knows why.
                    wished.recv().await.ok_or_else(Failure::ended)?
                }
            };
            self.answered(wish).await?;
        }
        self.out.say(&Frame::Done).await?;
        Ok(self.out.flush().await?)
    }

    /// Says what comes, and the small ones with it, until a lot of those has left, much has been read for its hash, or
    /// enough waits for an answer. Whether it would go on.
    async fn announce(&mut self, items: &mut Enumerate<Iter<'_, Item>>) -> Result<bool, Failure> {
        let mut read = 0;
        while self.asking.has_room()
            && let Some((index, item)) = items.next()
        {
            if item.outcome.get().is_some() {
                continue;
            }
            let index = u32::try_from(index)
                .map_err(|_| Failure::protocol("there are more files than numbers for them"))?;
            let mut entry = item.entry(index);
            entry.hash = self.asking.hash(item);
            if entry.is_asked_for() {
                self.asking.announced(index, entry.hash.is_some());
            }
            let (comes_unasked, with_hash) = (entry.comes_unasked(), entry.hash.is_some());
            self.out.say(&Frame::Entry(entry)).await?;
            if comes_unasked && self.gather(index, item).await? {
                return Ok(true);
            }
            read += if with_hash { item.size() } else { 0 };
            if read >= CHUNK as u64 {
                self.out.flush().await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn answered(&mut self, (index, answer): Wish) -> Result<(), Failure> {
        let items = self.items.clone();
        let item = &items[index as usize];
        let asked = self.asking.answered(index, answer == Answer::Here);
        match (answer, asked) {
            (Answer::Refused { .. }, _) => Ok(()),
            (Answer::Here, Some(true)) => {
                self.watch.began(&item.path, item.size(), item.facts.size);
                Ok(())
            }
            (Answer::Want { .. }, Some(true)) if item.entry(index).is_of_a_lot() => {
                self.gather(index, item).await.map(|_| ())
            }
            (Answer::Want { from, proof }, Some(_)) => {
                self.leave().await?;
                self.file(index, item, from, proof).await
            }
            _ => Err(Failure::protocol("it answers what it was not asked")),
        }
    }

    /// A small file goes to the lot, and the one before leaves if it is full. Whether it has left.
    async fn gather(&mut self, index: u32, item: &Item) -> Result<bool, Failure> {
        let size = item.size() as usize;
        let is_full = !self.lot.has_room(size, self.pace.as_deref());
        if is_full {
            self.leave().await?;
        }
        if let Some(text) = self.small(index, item, size) {
            self.out.say(&Frame::Gone { index, text }).await?;
        }
        Ok(is_full)
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
