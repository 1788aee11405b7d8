//! What was before: parts of senders that are gone, whole or begun, and going back to what was there a moment ago.

use wire::transfer::RelativePath;

use super::already::read;
use super::part::{Part, Parts, reopen};
use super::state::State;
use super::{Clash, Declared, Landing, Settled, failed};
use crate::transfer::{Digest, Fault, Hash, Root};

impl Landing {
    /// Whether a sender with this `id` has left a part with something in it that is proved, or could be.
    pub fn is_begun(root: &Root, path: &RelativePath, size: Option<u64>, id: &str) -> bool {
        let Ok(folder) = root.folder(path.folder().as_ref()) else {
            return false;
        };
        let parts = Parts::of(path.name(), id);
        [parts.plain, parts.own]
            .iter()
            .any(|part| State::is_of(&folder, part, id, size))
    }

    /// Goes back to what was there when `then` was [`digest`](Self::digest): what came since is not what was sent.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn rewind(&mut self, then: Digest) -> Result<(), Fault> {
        self.digest = then;
        self.part.stays = self.offset() > 0;
        let cut = self.part.file.set_len(self.digest.len());
        let cut = cut.and_then(|()| match &mut self.state {
            Some(state) => state.cut_to(self.digest.chunks()),
            None => Ok(()),
        });
        cut.map_err(|source| failed("write", &self.shown, source))
    }
}

impl Settled {
    /// The part of a chunk at most that a sender with this `id` has left whole, and that was not named any more: whoever
    /// got it was killed. `None` when there is none with this `hash`.
    pub(in crate::transfer) fn left(
        root: &Root,
        path: &RelativePath,
        declared: Declared,
        clash: Clash,
        id: &str,
        hash: Hash,
    ) -> Option<Self> {
        let size = declared.size?;
        let folder = root.folder(path.folder().as_ref()).ok()?;
        let name = Parts::of(path.name(), id).own;
        let file = reopen(&folder, &name).ok()??;
        if file.metadata().ok()?.len() != size {
            return None;
        }
        let digest = read(&file, size).ok()??;
        (digest.hash() == hash).then(|| Self {
            part: Part {
                folder,
                path: path.clone(),
                name: Some(name),
                file,
                clash,
                has_state: false,
                stays: false,
            },
            shown: root.shown(path),
            declared,
            size,
            hash: Some(hash),
        })
    }
}
