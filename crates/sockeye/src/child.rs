//! Child processes: started in a group of their own, talked to as a byte stream, and ended with all they started.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use wire::framing::Framing;
use wire::text::Encoding;

use crate::error::{Error, Operation, Result};
use crate::session::{Endpoint, Fate, Identity, Info, Link, Observer, Session, Side};
use crate::stream::ByteStream;

mod keeper;
mod stdio;

pub use keeper::end_children;

use keeper::{Group, Keeper};
use stdio::{Pipes, Terminal};

/// How child processes are started and ended.
#[derive(Clone, Debug)]
pub struct ChildOptions {
    /// The environment, all of it: nothing is inherited. What is known of the peer is added to it as
    /// `SOCKEYE_PEER_ADDR` and the like.
    pub env: Vec<(OsString, OsString)>,
    /// The child gets a terminal of 80 columns and 24 lines instead of pipes.
    pub pty: bool,
    /// How many may run at once; 1024 unless told otherwise.
    pub slots: Arc<Semaphore>,
    /// How long a child may take to end after SIGTERM; then it gets SIGKILL.
    pub grace: Duration,
}

impl Default for ChildOptions {
    fn default() -> Self {
        Self {
            env: Vec::new(),
            pty: false,
            slots: Arc::new(Semaphore::new(1024)),
            grace: Duration::from_millis(500),
        }
    }
}

/// A child that is about to be started.
pub(crate) struct Launch<'a> {
    /// The program and its arguments.
    pub(crate) words: &'a [OsString],
    pub(crate) options: &'a ChildOptions,
    /// Whom it is for, if there is somebody; whoever watches that session also hears what the child
    /// writes to standard error.
    pub(crate) client: Option<&'a Info>,
    /// Who hears it otherwise.
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// What an address says: words as a shell would cut them, with quotes and `\`, and nothing else of a shell.
///
/// # Errors
/// When a quote is not closed.
pub(crate) fn words(command: &str) -> Result<Vec<OsString>> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| {
        let reason = "a quote is not closed, or no command stands there";
        Error::unsupported(Operation::Start, format!("`{command}`"), reason)
    })?;
    Ok(words.into_iter().map(OsString::from).collect())
}

/// A command line as it would be typed.
fn written(words: &[OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let joined = shlex::try_join(words.iter().map(|word| &**word));
    // Only NUL cannot be quoted, and no argument can have it.
    joined.unwrap_or_default()
}

impl Launch<'_> {
    /// Starts it, as a session with it.
    pub(crate) fn session(
        self,
        framing: Framing,
        encoding: Encoding,
        max_message: usize,
    ) -> Result<Session> {
        let name = Endpoint::Named(format!("exec:{}", written(self.words)).into());
        let (stream, fate) = self.start()?;
        let identity = Identity::new(Side::Dialed, "exec", Endpoint::Memory, name)
            .encoding(encoding)
            .fate(fate);
        Ok(Session::new(
            Link::Bytes(stream, framing),
            identity,
            max_message,
        ))
    }

    /// Starts it. The child ends when the stream is dropped, with everything that it has started.
    fn start(self) -> Result<(ByteStream, Fate)> {
        let name = written(self.words);
        let failed = |source| Error::io(Operation::Start, format!("`{name}`"), source);
        let Ok(slot) = self.options.slots.clone().try_acquire_owned() else {
            return Err(failed(io::Error::other("as many children run as may")));
        };
        let command = self.command();
        let left = CancellationToken::new();
        let (mut child, stream) = if self.options.pty {
            let (child, terminal) = Terminal::start(command).map_err(failed)?;
            (child, ByteStream::new(terminal.until_dropped(left.clone())))
        } else {
            let (child, pipes) = Pipes::start(command).map_err(failed)?;
            (child, ByteStream::new(pipes.until_dropped(left.clone())))
        };
        let (exit, told) = watch::channel(None);
        let stderr = child.stderr.take();
        Keeper {
            group: Group::of(&child),
            child,
            exit,
            left,
            grace: self.options.grace,
        }
        .start(stderr, self.tag(), self.observer(), slot);
        Ok((stream, Fate::new(&name, told)))
    }

    fn command(&self) -> Command {
        let mut words = self.words.iter();
        let program: &OsStr = words.next().map(OsString::as_os_str).unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).env_clear().kill_on_drop(true);
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command.envs(self.client.iter().flat_map(|client| facts(client)));
        if !self.options.pty {
            command
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        }
        command
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        let clients = self.client.and_then(Info::observer);
        clients.or(self.observer.as_ref()).cloned()
    }

    /// What stands in front of each line of its standard error.
    fn tag(&self) -> String {
        match self.client {
            Some(client) => format!("#{} stderr", client.id()),
            None => {
                let program = self.words.first().cloned().unwrap_or_default();
                format!("{} stderr", program.to_string_lossy())
            }
        }
    }
}

/// What a child is told of the peer that it is for.
fn facts(client: &Info) -> Vec<(&'static str, String)> {
    let mut facts = vec![("SOCKEYE_PROTO", client.protocol().to_owned())];
    for (endpoint, address, port) in [
        (client.peer(), "SOCKEYE_PEER_ADDR", "SOCKEYE_PEER_PORT"),
        (client.local(), "SOCKEYE_LOCAL_ADDR", "SOCKEYE_LOCAL_PORT"),
    ] {
        match endpoint {
            Endpoint::Net(at) => {
                facts.push((address, at.ip().to_string()));
                facts.push((port, at.port().to_string()));
            }
            // The peer chose the name, and neither an environment nor a shell takes every character.
            Endpoint::Unix(name) | Endpoint::Named(name) => {
                facts.push((address, wire::text::printable(name).into_owned()));
            }
            Endpoint::Memory => {}
        }
    }
    if let Some(request) = client.request() {
        facts.push(("SOCKEYE_PATH", request.uri.path().to_owned()));
        let query = request.uri.query().unwrap_or_default();
        facts.push(("SOCKEYE_QUERY", query.to_owned()));
    }
    facts
}

#[cfg(test)]
mod tests;
