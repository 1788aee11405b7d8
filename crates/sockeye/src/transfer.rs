//! Files on their way: a folder that nothing leaves, how one file lands in it, and what proves that it is the same.

mod digest;
mod fault;
mod landing;
mod root;

pub use digest::{CHUNK, Digest, Hash};
pub use fault::Fault;
pub use landing::{Clash, Declared, Landed, Landing, Settled, commit, kept};
pub use root::{Entry, Root, Sort};
