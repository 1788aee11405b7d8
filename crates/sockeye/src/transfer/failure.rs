//! Why a transfer did not come to its end.

use std::io;
use std::time::Duration;

use wire::transfer::{FrameFault, Reason};

/// Why a transfer did not come to its end. [`Display`](std::fmt::Display) is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The connection broke.
    #[error("the connection broke: {}", crate::error::cause(.0))]
    Cut(io::Error),
    /// Something changed on its way.
    #[error("data was damaged on its way")]
    Damaged,
    /// The other end gave up.
    #[error("the other end says: {text}")]
    Refused {
        /// Of what kind it is.
        reason: Reason,
        /// Why.
        text: String,
    },
    /// The other end was asked, and does not answer.
    #[error("the other end has said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The other end speaks something else.
    #[error("the other end does not speak the transfer protocol; it said {0:?}")]
    Foreign(String),
    /// The other end broke the rules.
    #[error("the other end broke the transfer protocol: {0}")]
    Protocol(String),
    /// A file or folder here is of no use.
    #[error("cannot read {name}: {}", crate::error::cause(source))]
    Source {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// One file was asked for, to be passed on, and that is not what is there.
    #[error("only one file can be passed on: {0}")]
    NotOne(&'static str),
    /// What comes now does not go on what has been passed on before.
    #[error("the file changed after {passed} bytes of it had been passed on")]
    Changed {
        /// In bytes.
        passed: u64,
    },
    /// What came cannot be passed on.
    #[error("cannot pass on what came: {}", crate::error::cause(.0))]
    Sink(io::Error),
}

impl Failure {
    /// Whether another connection may do better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Cut(_) | Self::Silent(_) | Self::Damaged => true,
            Self::Refused { reason, .. } => matches!(reason, Reason::Damaged),
            Self::Foreign(_)
            | Self::Protocol(_)
            | Self::Source { .. }
            | Self::NotOne(_)
            | Self::Changed { .. }
            | Self::Sink(_) => false,
        }
    }

    pub(super) fn ended() -> Self {
        Self::Cut(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it ended before all was said",
        ))
    }

    pub(super) fn protocol(reason: &str) -> Self {
        Self::Protocol(reason.to_owned())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Cut(error)
    }
}

impl From<FrameFault> for Failure {
    fn from(fault: FrameFault) -> Self {
        match fault {
            // A bit that flips in a head makes any of these: TCP and TLS have told us otherwise for all we know.
            FrameFault::Damaged | FrameFault::TooLong(_) | FrameFault::Unknown(_) => Self::Damaged,
            other => Self::Protocol(other.to_string()),
        }
    }
}
