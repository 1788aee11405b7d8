//! What the two ends of a file transfer say to each other.
//!
//! The protocol runs over any stream of bytes; `docs/TRANSFER.md` tells it as a whole.

pub mod frame;
pub mod path;

pub use frame::{
    Answer, Entry, Frame, FrameFault, HEAD, Hello, LOT, LOT_FILES, Outcome, Reason, Role, Step,
    decode, encode, encode_data,
};
pub use path::{PathFault, RelativePath};

/// What both ends say first. No text and no other protocol begins with it, and whatever rewrites ends of lines damages
/// it.
pub const MAGIC: [u8; 8] = *b"\xf5skt\r\n\x1a\n";

/// The version of the protocol that is spoken here.
pub const VERSION: u8 = 1;
