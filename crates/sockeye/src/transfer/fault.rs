//! Why a file did not land.

use std::io;

/// Why a file did not land. [`Display`](std::fmt::Display) is one line that names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Somebody else is writing it now.
    #[error("{name} is being written by another transfer")]
    Busy {
        /// The file.
        name: String,
    },
    /// There is a file of this name, and none is to be overwritten.
    #[error("{name} exists")]
    Exists {
        /// The file.
        name: String,
    },
    /// The file system has no room for it.
    #[error("no room for {name}: it needs {needs} bytes and {free} are free")]
    NoRoom {
        /// The file.
        name: String,
        /// Bytes that are still to come.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// More or less came than was announced.
    #[error("{name} should have {declared} bytes and {came} came")]
    Size {
        /// The file.
        name: String,
        /// Bytes that were announced.
        declared: u64,
        /// Bytes that came.
        came: u64,
    },
    /// What came is not what was sent.
    #[error("{name} was damaged on its way")]
    Damaged {
        /// The file.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {name}: {}", crate::error::cause(source))]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Fault {
    /// The kind of the operating system's error, when there is one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::File { source, .. } => Some(source.kind()),
            Self::NoRoom { .. } => Some(io::ErrorKind::StorageFull),
            _ => None,
        }
    }
}
