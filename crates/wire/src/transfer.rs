//! What the two ends of a file transfer say to each other.
//!
//! The protocol runs over any stream of bytes; `docs/TRANSFER.md` tells it as a whole.

pub mod path;

pub use path::{PathFault, RelativePath};
