//! Programs at the ends.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use rustix::thread::{
    CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities,
};

use super::{ADDRESSES, LabError, PORT, server};

/// How long a program may take to end once it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name or path, and its arguments.
    pub words: Vec<std::ffi::OsString>,
}

impl Program {
    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.words.first();
        name.map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// A program that runs; it ends with this value.
pub(super) struct Running(Child);

impl Running {
    /// Starts it in the network of the calling thread.
    ///
    /// What it prints goes to standard error: standard output is for the picture.
    pub(super) fn start(program: &Program, keys: Option<&Path>) -> Result<Self, LabError> {
        let failed = |why| LabError::Program {
            name: program.name(),
            why,
        };
        let Some((name, arguments)) = program.words.split_first() else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        lend_capabilities().map_err(failed)?;
        let out = io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            // What it starts itself is ended with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::from(out))
            .env("SERVER", server().to_string())
            .env("HOST", ADDRESSES[1].to_string())
            .env("PORT", PORT.to_string());
        if let Some(keys) = keys {
            command.env("SSLKEYLOGFILE", keys);
        }
        command.spawn().map(Self).map_err(failed)
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // Whatever cannot be waited for has ended.
        self.0
            .try_wait()
            .unwrap_or_else(|_| Some(ExitStatus::default()))
    }

    /// Asks it to end, and ends it if it does not.
    pub(super) fn end(&mut self) {
        let pid = Pid::from_child(&self.0);
        if self.ended().is_none() {
            let _ = kill_process_group(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while self.ended().is_none() && asked.elapsed() < GRACE {
            thread::sleep(super::LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A group lives as long as anybody is in it; an empty one is no failure.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Programs may capture and configure in the lab's networks, and nowhere else: what this user may do in a user
/// namespace of its own is lost with the next program, unless it is ambient (capabilities(7)). Root loses nothing.
fn lend_capabilities() -> io::Result<()> {
    if getuid().is_root() {
        return Ok(());
    }
    let lent = CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN;
    let mut sets = capabilities(None)?;
    sets.inheritable |= lent;
    set_capabilities(None, sets)?;
    configure_capability_in_ambient_set(CapabilitySet::NET_RAW, true)?;
    configure_capability_in_ambient_set(CapabilitySet::NET_ADMIN, true)?;
    Ok(())
}
