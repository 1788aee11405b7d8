//! What becomes of a peer that is a process of this machine: it can be gone both ways at once, and it can fail.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::sync::watch;

use crate::error::{Error, Result};

/// How a child process fares.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    command: Box<str>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Fate {
    /// The fate of `command`, which whoever holds the sender knows.
    pub(crate) fn new(command: &str, exit: watch::Receiver<Option<ExitStatus>>) -> Self {
        Self {
            command: command.into(),
            exit,
        }
    }

    /// Returns when the process has ended.
    pub(crate) async fn gone(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        // Nobody is left who could know more when the sender is gone.
        let status = exit.wait_for(Option::is_some).await.ok()?;
        *status
    }

    /// Waits for the end of the process; an error when it failed.
    pub(crate) async fn verdict(&self) -> Result<()> {
        match self.gone().await {
            Some(status) if !status.success() => Err(Error::Child {
                command: self.command.to_string(),
                code: status.code(),
                signal: status.signal(),
            }),
            _ => Ok(()),
        }
    }
}
