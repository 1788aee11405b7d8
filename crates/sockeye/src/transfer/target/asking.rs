//! What is wanted of what a source has, and where each file goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wire::transfer::{Answer, Entry, Frame, Outcome, Reason, RelativePath};

use super::telling::{failed, reason_for};
use super::{AHEAD, Current, MOST, Receiving, Waiting};
use crate::transfer::landing::{Arrived, is_out_of_files};
use crate::transfer::{
    CHUNK, Clash, Declared, Failure, Fault, Hash, Landed, Landing, Settled, kept,
};

const ELSEWHERE: &str = "it goes on at another place than was asked for";

impl Receiving<'_> {
    pub(super) async fn entry(&mut self, mut entry: Entry) -> Result<(), Failure> {
        if self.entries.len() + self.queue.len() >= MOST {
            return Err(Failure::protocol(
                "it announces more files at once than can be remembered",
            ));
        }
        let index = entry.index;
        if let Err((reason, text)) = self.place(&mut entry) {
            if entry.comes_unasked() {
                self.entries.insert(index, (entry, Waiting::Nothing));
            }
            let answer = Answer::Refused { reason, text };
            return Ok(self.out.say(&Frame::Answer { index, answer }).await?);
        }
        if let Some(beside) = self.neighbours.alike(&self.target.root, &entry.path) {
            let text = crate::transfer::mistakable(&entry.path, &beside);
            self.watch.noted(&entry.path, &text);
            self.out.say(&Frame::Note { index, text }).await?;
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
        if let Some(hash) = entry.hash {
            return self.compare(entry, hash.into()).await;
        }
        if entry.is_of_a_lot() {
            self.entries.insert(index, (entry, Waiting::Whole));
            return Ok(());
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

    /// A file whose hash is known may be here already, under its name or in a part that nobody has named any more.
    async fn compare(&mut self, entry: Entry, hash: Hash) -> Result<(), Failure> {
        let (index, root, declared) = (entry.index, &self.target.root, declared(&entry));
        let there = kept(root, &entry.path, &declared).ok().flatten();
        let here = match there.is_some_and(|digest| digest.hash() == hash) {
            true => Some(Arrived::There(Landed {
                path: entry.path.clone(),
                size: entry.size.unwrap_or_default(),
                hash: Some(hash),
            })),
            false if entry.is_of_a_lot() => None,
            false => {
                let (clash, id) = (self.target.clash, self.content_id(&entry));
                Settled::left(root, &entry.path, declared, clash, &id, hash).map(Arrived::Settled)
            }
        };
        if let Some(here) = here {
            self.watch
                .began(&entry.path, entry.size.unwrap_or_default(), entry.size);
            let answer = Answer::Here;
            self.out.say(&Frame::Answer { index, answer }).await?;
            return self.arrived(index, entry, here).await;
        }
        let waiting = match entry.is_of_a_lot() {
            true => Waiting::Whole,
            false => Waiting::Content,
        };
        self.entries.insert(index, (entry, waiting));
        self.want(index, 0, [0; 32]).await
    }

    /// Where an entry belongs here.
    pub(super) fn place(&self, entry: &mut Entry) -> Result<(), (Reason, String)> {
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

    pub(super) async fn want(
        &mut self,
        index: u32,
        from: u64,
        proof: [u8; 32],
    ) -> Result<(), Failure> {
        let answer = Answer::Want { from, proof };
        Ok(self.out.say(&Frame::Answer { index, answer }).await?)
    }

    /// Asks for large files, a few ahead of the one that comes.
    pub(super) async fn ask(&mut self) -> Result<(), Failure> {
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

    pub(super) async fn begin(&mut self, index: u32, from: u64) -> Result<(), Failure> {
        let Some((entry, waiting)) = self.entries.remove(&index) else {
            return Err(Failure::protocol("it sends a file that was not asked for"));
        };
        // One that was not ended takes no room.
        let before = std::mem::replace(&mut self.current, Current::Nothing);
        self.batch.forget(&before);
        let same = match &waiting {
            Waiting::Same(digest) => Some(digest.hash()),
            _ => None,
        };
        let begun = match waiting {
            Waiting::Whole | Waiting::Nothing => {
                return Err(Failure::protocol("a small file comes without its lot"));
            }
            Waiting::Same(digest) if from > 0 && from == digest.chunks() => {
                self.watch.began(&entry.path, digest.len(), entry.size);
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
                self.watch.began(&entry.path, landing.len(), entry.size);
                self.current = Current::File {
                    index,
                    entry,
                    landing,
                    unproved: None,
                    same,
                };
                Ok(())
            }
            Ok(_) => Err(Failure::protocol(ELSEWHERE)),
            Err(fault) => self.give_up(index, &entry, &fault).await,
        }
    }

    pub(super) async fn land_anew(
        &mut self,
        entry: &Entry,
        clash: Clash,
    ) -> Result<Box<Landing>, Fault> {
        let begin = |this: &mut Self| {
            let (root, id) = (&this.target.root, this.content_id(entry));
            let above = entry.path.folder();
            let folder = match &this.near {
                Some((near, folder)) if *near == above => folder.clone(),
                _ => Landing::folder_of(root, &entry.path)?,
            };
            this.near = Some((above, folder.clone()));
            Landing::begin_in(root, folder, &entry.path, declared(entry), clash, &id)
        };
        let landing = match begin(self) {
            // Those that wait to be made durable are open, too.
            Err(fault)
                if is_out_of_files(&fault)
                    && !(self.batch.is_empty() && self.committing.is_empty()) =>
            {
                // A connection that broke meanwhile is noticed with what is said next.
                let _ = self.land_all().await;
                begin(self)
            }
            begun => begun,
        }?;
        Ok(Box::new(landing))
    }

    /// What tells one content from another: a sender that comes back has the same.
    pub(super) fn content_id(&self, entry: &Entry) -> String {
        match entry.modified {
            Some((seconds, nanos)) => format!("{seconds}.{nanos:09}"),
            None => format!("{}-{}", u128::from_be_bytes(*self.id), entry.index),
        }
    }
}

pub(super) fn declared(entry: &Entry) -> Declared {
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
