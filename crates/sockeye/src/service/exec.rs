//! `exec`: a program for each session, which talks through its standard input and output.

use std::ffi::OsString;

use super::Service;
use crate::child::{ChildOptions, Launch};
use crate::error::Result;
use crate::session::{JoinOptions, MAX_MESSAGE, Session};
use wire::framing::Framing;

/// Starts a program for each session. What the peer says is its standard input, what it writes to standard
/// output the peer hears.
///
/// The end of the peer closes its standard input; the end of its standard output is the end of what the
/// peer hears. Its standard error goes to the observer, line by line. Whatever it has started ends with
/// the session. Whoever can reach the port can use it: think about who that is.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The program and its arguments. No shell sees them.
    pub command: Vec<OsString>,
    /// How it is started and ended.
    pub options: ChildOptions,
    /// How messages are cut from what it writes, for peers that hear messages; such as `line`.
    pub framing: Framing,
}

impl Service for Exec {
    async fn serve(&self, session: Session) -> Result<()> {
        let launch = Launch {
            words: &self.command,
            options: &self.options,
            client: Some(session.info()),
            observer: None,
        };
        let encoding = session.info().encoding();
        match launch.session(self.framing.clone(), encoding, MAX_MESSAGE) {
            Ok(child) => session
                .join(child, JoinOptions::default())
                .await
                .map(|_| ()),
            Err(error) => {
                session.abort();
                Err(error)
            }
        }
    }

    /// A program may greet.
    fn speaks_first(&self) -> bool {
        true
    }
}
