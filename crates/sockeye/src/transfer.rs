//! Files on their way: a folder that nothing leaves, how one file lands in it, what proves that it is the same, and the
//! protocol of two ends that move files over any stream of bytes.

mod alike;
mod desk;
mod digest;
mod failure;
mod fault;
mod incoming;
mod item;
mod landing;
mod pace;
mod pipe;
mod root;
mod source;
mod talk;
mod target;

pub use alike::{alike, mistakable};
pub use desk::{Desk, Errand};
pub use digest::{CHUNK, Digest, Hash};
pub use failure::Failure;
pub use fault::Fault;
pub use item::{Facts, Item, Origin, beneath};
pub use landing::{Clash, Declared, Landed, Landing, Settled, commit, kept};
pub use pace::Pace;
pub use pipe::Pipe;
pub use root::{Entry, Root, Sort};
pub use source::send;
pub use talk::Talk;
pub use target::{Target, receive};
pub use wire::transfer::{Hello, MAGIC, Outcome, Reason, RelativePath, Role, VERSION};

/// Who hears how a transfer goes.
pub trait Watch: Send + Sync {
    /// Whoever came to us is here for this, and may have it.
    fn came(&self, errand: Errand) {
        let _ = errand;
    }

    /// So many bytes of content went by, and need not again.
    fn moved(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A file is begun: how much is there already, and how much it is.
    fn began(&self, path: &RelativePath, there: u64, size: Option<u64>) {
        let _ = (path, there, size);
    }

    /// This became of a file.
    fn ended(&self, path: &RelativePath, size: u64, outcome: &Outcome) {
        let _ = (path, size, outcome);
    }

    /// The target wants people to know this of a file.
    fn noted(&self, path: &RelativePath, text: &str) {
        let _ = (path, text);
    }
}

/// Nobody does.
impl Watch for () {}
