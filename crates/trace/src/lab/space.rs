//! Namespaces: a user of our own, who may have networks of their own.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getgid, getuid};

use super::LabError;

/// A network of our own, in which others can be made.
#[derive(Debug)]
pub struct Lab(());

impl Lab {
    /// Moves this process into a network of its own, and where that takes a privilege, makes it somebody who has it
    /// there and nowhere else.
    ///
    /// It has to be called before a second thread is started: a process changes its user namespace as a whole, and
    /// the kernel refuses that to one with several threads (user_namespaces(7)).
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn enter() -> Result<Self, LabError> {
        let (user, group) = (getuid().as_raw(), getgid().as_raw());
        // Root needs no other user, and keeps what it may do with files.
        if user == 0 && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
            return Ok(Self(()));
        }
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
            .map_err(|why| LabError::Forbidden(why.into()))?;
        // We stay who we are: programs at the ends have our files.
        let written = write("setgroups", "deny")
            .and_then(|()| write("uid_map", &format!("{user} {user} 1")))
            .and_then(|()| write("gid_map", &format!("{group} {group} 1")));
        written.map_err(LabError::Forbidden)?;
        Ok(Self(()))
    }
}

fn write(name: &str, text: &str) -> io::Result<()> {
    fs::write(format!("/proc/self/{name}"), text)
}

/// Moves the calling thread into a network of its own, and gives a name for that network to others.
pub(super) fn leave() -> io::Result<fs::File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    fs::File::open("/proc/thread-self/ns/net")
}
