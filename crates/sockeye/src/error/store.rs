//! What can go wrong with the database of a chat.

use std::io;

/// Why something was not read from or written to the database of a chat. [`Display`](std::fmt::Display) is one
/// line that names the operation and the file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {fault}")]
pub struct StoreError {
    /// What was tried: `open`, `write to`, `read`, …
    pub action: &'static str,
    /// The file, as a person writes it; in words, if there is none.
    pub path: String,
    /// Why not.
    pub fault: StoreFault,
}

/// What is wrong with a database, or with the machine below it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// There is no room for it. What was refused may be tried again.
    #[error("the disk is full")]
    Full,
    /// The file is something else.
    #[error("not a database")]
    NotADatabase,
    /// It is a database, and somebody else's.
    #[error("the database of another program")]
    Foreign,
    /// A later version of this program has changed it.
    #[error("made by a newer sockeye (schema {found}, this one knows {known})")]
    Newer {
        /// The file's schema.
        found: i64,
        /// The latest that this version can use.
        known: i64,
    },
    /// Two writers would give the same numbers to different lines.
    #[error("another sockeye has it open")]
    InUse,
    /// It cannot be read as it was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The operating system refused.
    #[error("{}", super::cause(.0))]
    Io(#[from] io::Error),
    /// It was closed before.
    #[error("it is closed")]
    Closed,
    /// A line that the store cannot hold.
    #[error("{0}")]
    Unfit(&'static str),
    /// Anything else, in the words of the database.
    #[error("{0}")]
    Database(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_operation_the_file_and_the_cause() {
        let line = |fault| {
            let path = "chat.db".to_owned();
            let error = StoreError {
                action: "open",
                path,
                fault,
            };
            crate::error::Error::from(error).to_string()
        };
        assert_eq!(
            line(StoreFault::Newer { found: 3, known: 1 }),
            "cannot open chat.db: made by a newer sockeye (schema 3, this one knows 1)"
        );
        assert_eq!(
            line(io::Error::from_raw_os_error(13).into()),
            "cannot open chat.db: permission denied"
        );
    }
}
