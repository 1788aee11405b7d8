//! One file on its way into a folder: written beside its name, proved chunk by chunk, and named when it is whole.

use std::io;
use std::os::unix::fs::FileExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use wire::transfer::RelativePath;

use super::root::Folder;
use super::{CHUNK, Digest, Fault, Hash, Root};

mod already;
mod earlier;
mod naming;
mod part;
mod small;
mod state;

pub use already::kept;
pub(super) use naming::rename;
pub use naming::{Landed, Settled, commit};
use part::{Part, is_small, open_part};
pub(super) use small::{Arrived, Small, is_out_of_files, land};
use state::State;

/// What is written goes to the disk at least this often, in bytes: a power cut costs no more.
const SYNCED_EVERY: u64 = 64 * 1024 * 1024;

/// The same in time, for senders that are slow.
const SYNCED_AFTER: Duration = Duration::from_secs(5);

/// `TMPFS_MAGIC` of statfs(2): memory is no place to reserve, and nothing there survives a power cut.
const TMPFS: i64 = 0x0102_1994;

/// What the sender says of a file.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Bytes; `None` for what ends when it ends.
    pub size: Option<u64>,
    /// When its content was changed last.
    pub modified: Option<SystemTime>,
    /// Permissions. Of these only reading, writing and executing count, as the umask allows.
    pub mode: Option<u32>,
    /// It has holes: no room is reserved for it.
    pub is_sparse: bool,
}

/// What becomes of a file whose name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clash {
    /// It becomes `NAME (1).EXT`.
    #[default]
    Rename,
    /// It replaces the other one.
    Overwrite,
    /// It does not land.
    Refuse,
}

/// One file on its way: `NAME.part`, and with `NAME.part.state` what is proved of it.
///
/// It is locked, so that two senders of one name do not mix. Dropped, it stays to be gone on with; all its calls may
/// wait for a disk.
#[derive(Debug)]
pub struct Landing {
    part: Part,
    /// As a person reads it.
    shown: String,
    /// What is no longer than a chunk has none: it is sent again.
    state: Option<State>,
    declared: Declared,
    digest: Digest,
    /// How much of it was there when it began.
    resumed: u64,
    in_memory: bool,
    unsynced: u64,
    synced: Instant,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Landing {
    /// Begins a file, or goes on with the part that a sender with the same `id` has left. The id says which content it
    /// is; what is there is read and checked against its proofs.
    ///
    /// # Errors
    /// When another one writes it now, there is no room, it exists and nothing may become of that, or the system
    /// refuses.
    pub fn begin(
        root: &Root,
        path: &RelativePath,
        declared: Declared,
        clash: Clash,
        id: &str,
    ) -> Result<Self, Fault> {
        let folder = Self::folder_of(root, path)?;
        Self::begin_in(root, folder, path, declared, clash, id)
    }

    /// The folder of a file, made where it is missing.
    pub(super) fn folder_of(root: &Root, path: &RelativePath) -> Result<Folder, Fault> {
        let folder = root.made_folder(path.folder().as_ref());
        folder.map_err(|source| failed("write", &root.shown(path), source))
    }

    /// As [`begin`](Self::begin), in the open folder of `path`.
    pub(super) fn begin_in(
        root: &Root,
        folder: Folder,
        path: &RelativePath,
        declared: Declared,
        clash: Clash,
        id: &str,
    ) -> Result<Self, Fault> {
        let shown = root.shown(path);
        let failed = |source| failed("write", &shown, source);
        if clash == Clash::Refuse && naming::is_taken(&folder, path.name()) {
            return Err(Fault::Exists { name: shown });
        }
        let (name, file) = open_part(&folder, path.name(), &declared, id, &shown)?;
        let has_begun = file.metadata().map_err(failed)?.len() > 0;
        // What is small is written at once: where to matters to nobody.
        let in_memory = !is_small(&declared)
            && rustix::fs::fstatfs(&file).is_ok_and(|facts| facts.f_type == TMPFS);
        let mut landing = Self {
            part: Part {
                folder,
                path: path.clone(),
                name: Some(name.clone()),
                file,
                clash,
                has_state: false,
                stays: false,
            },
            shown: shown.clone(),
            state: None,
            declared,
            digest: Digest::default(),
            resumed: 0,
            in_memory,
            unsynced: 0,
            synced: Instant::now(),
            syncing: None,
        };
        if has_begun {
            landing.take_up(&name, id).map_err(failed)?;
        }
        if landing.state.is_none() && !is_small(&landing.declared) {
            let size = landing.declared.size;
            let state = State::create(&landing.part.folder, &name, id, size);
            landing.state = Some(state.map_err(failed)?);
            landing.part.has_state = true;
        }
        landing.reserve(root)?;
        Ok(landing)
    }

    /// How many bytes are there and proved: where to go on. They survive `kill -9`.
    pub fn offset(&self) -> u64 {
        self.digest.chunks() * CHUNK as u64
    }

    /// How many bytes there were when it began.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// What becomes of it where its name is taken.
    pub(super) fn clashing(&mut self, clash: Clash) {
        self.part.clash = clash;
    }

    /// How many bytes there are, proved or not.
    pub fn len(&self) -> u64 {
        self.digest.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.digest.is_empty()
    }

    /// What went into it so far.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The file, as a person reads it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Writes what comes next.
    ///
    /// # Errors
    /// When it is more than was announced, or the system refuses.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.digest.room()));
            self.write_within(now)?;
            bytes = later;
        }
        Ok(())
    }

    /// Writes what comes next of the current chunk, and gives its proof when that is full. What the proof says is up
    /// to the caller: [`retract`](Self::retract) takes the chunk back.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Panics
    /// When the chunk has no room for it.
    pub fn write_within(&mut self, bytes: &[u8]) -> Result<Option<[u8; 32]>, Fault> {
        self.expect(bytes.len() as u64)?;
        let at = self.digest.len();
        let written = self.part.file.write_all_at(bytes, at);
        written.map_err(|source| failed("write", &self.shown, source))?;
        let proof = self.digest.update(bytes);
        self.unsynced += bytes.len() as u64;
        if let Some(proof) = &proof {
            self.prove(proof)?;
        }
        Ok(proof)
    }

    /// Leaves a hole of zeros.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn skip(&mut self, mut length: u64) -> Result<(), Fault> {
        while length > 0 {
            let now = length.min(self.digest.room() as u64);
            self.skip_within(now as usize)?;
            length -= now;
        }
        Ok(())
    }

    /// Leaves a hole in the current chunk, and gives its proof when that is full.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Panics
    /// When the chunk has no room for it.
    pub fn skip_within(&mut self, length: usize) -> Result<Option<[u8; 32]>, Fault> {
        self.expect(length as u64)?;
        let proof = self.digest.update_zeros(length);
        if let Some(proof) = &proof {
            self.prove(proof)?;
        }
        Ok(proof)
    }

    /// Takes back the last chunk: it is not what was sent. It is to be sent again to whoever goes on with the part.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn retract(mut self) -> Result<(), Fault> {
        let proved = match self.digest.len().is_multiple_of(CHUNK as u64) {
            true => self.digest.chunks().saturating_sub(1),
            false => self.digest.chunks(),
        };
        let cut = self
            .state
            .as_mut()
            .map_or(Ok(()), |state| state.cut_to(proved));
        cut.map_err(|source| failed("write", &self.shown, source))
    }

    /// Starts over at byte 0: what was there is of another content.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn restart(&mut self) -> Result<(), Fault> {
        self.digest = Digest::default();
        self.part.stays = false;
        self.resumed = 0;
        let emptied = self.part.file.set_len(0);
        emptied.map_err(|source| failed("write", &self.shown, source))?;
        match &mut self.state {
            Some(state) => state
                .cut_to(0)
                .map_err(|source| failed("write", &self.shown, source)),
            None => Ok(()),
        }
    }

    /// Checks that all has come, and that it is what `expected` says. It is on no disk yet and has no name:
    /// [`commit`] does that, for one or for many at once.
    ///
    /// # Errors
    /// When it is not whole or not the same; the part stays.
    pub fn settle(mut self, expected: Option<Hash>) -> Result<Settled, Fault> {
        let came = self.digest.len();
        if let Some(declared) = self.declared.size.filter(|size| *size != came) {
            return Err(Fault::Size {
                name: self.shown.clone(),
                declared,
                came,
            });
        }
        let hash = self.digest.hash();
        if expected.is_some_and(|expected| expected != hash) {
            // Its proofs prove another content.
            self.restart()?;
            let name = self.shown.clone();
            return Err(Fault::Damaged { name });
        }
        // What came in one piece from the start is as long as it is.
        let cut = match is_small(&self.declared) && self.unsynced == came {
            true => Ok(()),
            false => self.part.file.set_len(came),
        };
        let known = cut.and_then(|()| self.synced());
        known.map_err(|source| failed("write", &self.shown, source))?;
        Ok(Settled {
            part: self.part,
            shown: self.shown,
            declared: self.declared,
            size: came,
            hash: Some(hash),
        })
    }

    /// Checks it, makes it durable and gives it its name.
    ///
    /// # Errors
    /// As [`settle`](Self::settle), and when the system refuses.
    pub fn finish(self, expected: Option<Hash>) -> Result<Landed, Fault> {
        let (folder, settled) = (self.part.folder.clone(), self.settle(expected)?);
        settled.commit_alone(&folder)
    }

    /// Drops the part: nobody will go on with it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(self) -> Result<(), Fault> {
        let removed = self.part.remove();
        removed.map_err(|errno| failed("remove", &self.shown, errno.into()))
    }

    /// What comes must have been announced.
    fn expect(&self, more: u64) -> Result<(), Fault> {
        let came = self.digest.len().saturating_add(more);
        match self.declared.size {
            Some(declared) if came > declared => Err(Fault::Size {
                name: self.shown.clone(),
                declared,
                came,
            }),
            _ => Ok(()),
        }
    }

    /// Notes that a chunk is there.
    fn prove(&mut self, proof: &[u8; 32]) -> Result<(), Fault> {
        self.part.stays = true;
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        let noted = state.append(proof).and_then(|()| match self.is_due() {
            true => self.sync(),
            false => Ok(()),
        });
        noted.map_err(|source| failed("write", &self.shown, source))
    }

    fn is_due(&self) -> bool {
        !self.in_memory && (self.unsynced >= SYNCED_EVERY || self.synced.elapsed() >= SYNCED_AFTER)
    }

    /// Sends what is written on its way to the disk, beside what still comes.
    fn sync(&mut self) -> io::Result<()> {
        self.synced()?;
        let file = self.part.file.try_clone()?;
        self.syncing = Some(std::thread::spawn(move || file.sync_data()));
        self.unsynced = 0;
        self.synced = Instant::now();
        Ok(())
    }

    /// Hears how that ended.
    fn synced(&mut self) -> io::Result<()> {
        match self.syncing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(io::Error::other(
                "the thread that writes to the disk failed",
            )),
        }
    }

    /// Reads what an earlier attempt has left, as far as it is what that one has proved.
    fn take_up(&mut self, name: &[u8], id: &str) -> io::Result<()> {
        let proofs = State::take_up(&self.part.folder, name, id, self.declared.size)?;
        if let Some((mut state, proofs)) = proofs {
            let mut buffer = vec![0; 128 * 1024];
            for proof in proofs {
                let before = self.digest.clone();
                if self.read_chunk(&mut buffer)? != Some(proof) {
                    self.digest = before;
                    break;
                }
            }
            state.cut_to(self.digest.chunks())?;
            self.state = Some(state);
            self.part.has_state = true;
            self.part.stays = self.offset() > 0;
        }
        self.resumed = self.digest.len();
        self.part.file.set_len(self.digest.len())
    }

    fn read_chunk(&mut self, buffer: &mut [u8]) -> io::Result<Option<[u8; 32]>> {
        loop {
            let most = self.digest.room().min(buffer.len());
            let n = self
                .part
                .file
                .read_at(&mut buffer[..most], self.digest.len())?;
            if n == 0 {
                return Ok(None);
            }
            if let Some(proof) = self.digest.update(&buffer[..n]) {
                return Ok(Some(proof));
            }
        }
    }

    /// Room is looked for before the first byte and not after the last.
    fn reserve(&self, root: &Root) -> Result<(), Fault> {
        let Some(size) = self.declared.size.filter(|_| !self.declared.is_sparse) else {
            return Ok(());
        };
        let needs = size.saturating_sub(self.digest.len());
        // What is small is refused when it is written, as soon as it would be here.
        if needs <= CHUNK as u64 {
            return Ok(());
        }
        if let Some(free) = root.free().ok().filter(|free| *free < needs) {
            return Err(Fault::NoRoom {
                name: self.shown.clone(),
                needs,
                free,
            });
        }
        if self.in_memory {
            return Ok(());
        }
        match fallocate(&self.part.file, FallocateFlags::KEEP_SIZE, 0, size) {
            Err(Errno::NOSPC) => Err(Fault::NoRoom {
                name: self.shown.clone(),
                needs,
                free: root.free().unwrap_or_default(),
            }),
            // A file system that cannot reserve may be able to write.
            _ => Ok(()),
        }
    }
}

fn failed(action: &'static str, name: &str, source: io::Error) -> Fault {
    Fault::File {
        action,
        name: name.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
