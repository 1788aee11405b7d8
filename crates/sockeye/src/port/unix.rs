//! Unix sockets on the listening side: streams and datagrams, by path or by abstract name.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use rustix::fs::Mode;
use tokio::net::{UnixDatagram, UnixListener};
use wire::address::UnixName;

use super::PortConfig;
use super::accept::{Accept, Connection};
use super::peers::{Datagrams, Each, Outbox, Unsent};
use super::route::Spoken;
use crate::error::{Error, Operation, Result};
use crate::session::Endpoint;
use crate::socket::unix::{address, endpoint};

/// Takes `name`, whatever kind of socket: a file that nobody answers on any more is replaced, a live one
/// and anything that is no socket is left alone.
fn take(name: &UnixName, kind: rustix::net::SocketType) -> io::Result<OwnedFd> {
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, bind, connect, socket_with};

    let open = || {
        socket_with(
            AddressFamily::UNIX,
            kind,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
    };
    let socket = open()?;
    let address = address(name)?;
    // Before bind, so that the file is never open to others (unix(7): bind takes the socket's mode).
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    match (bind(&socket, &address), name) {
        (Err(Errno::ADDRINUSE), UnixName::Path(path)) if is_socket(path) => {
            // Only a refused probe proves that no process has it open.
            if connect(&open()?, &address) != Err(Errno::CONNREFUSED) {
                return Err(Errno::ADDRINUSE.into());
            }
            std::fs::remove_file(path)?;
            bind(&socket, &address)?;
        }
        (Err(Errno::ADDRINUSE), UnixName::Path(_)) => {
            let why = "a file that is no socket stands there";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        (bound, _) => bound?,
    }
    Ok(socket)
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// Removes the socket's file when the port is gone, unless somebody else has put another in its place.
#[derive(Debug)]
struct Name {
    endpoint: Endpoint,
    file: Option<(PathBuf, u64)>,
}

impl Name {
    fn of(name: &UnixName) -> Self {
        let file = match name {
            UnixName::Path(path) => inode(path).map(|inode| (path.clone(), inode)),
            UnixName::Abstract(_) => None,
        };
        Self {
            endpoint: endpoint(name),
            file,
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some((path, ours)) = &self.file
            && inode(path) == Some(*ours)
        {
            // Nothing is left to tell a failure to, and a stale file is replaced at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A listening Unix stream socket.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    name: Name,
}

impl Listener {
    pub(super) fn bind(name: &UnixName, config: &PortConfig) -> Result<Self> {
        let listening = || {
            let socket = take(name, rustix::net::SocketType::STREAM)?;
            let backlog = i32::try_from(config.options.backlog()).unwrap_or(i32::MAX);
            rustix::net::listen(&socket, backlog)?;
            UnixListener::from_std(std_unix::UnixListener::from(socket))
        };
        let listener =
            listening().map_err(|source| Error::io(Operation::Listen, endpoint(name), source))?;
        Ok(Self {
            listener,
            name: Name::of(name),
        })
    }
}

impl Accept for Listener {
    const CARRIER: &'static str = "unix";

    /// The scheme names the carrier and not what it carries.
    fn spoken(&self) -> Spoken {
        Spoken::Any
    }

    fn local(&self) -> Endpoint {
        self.name.endpoint.clone()
    }

    async fn accept(&self) -> io::Result<Connection> {
        let (unix, peer) = self.listener.accept().await?;
        Ok(Connection {
            stream: unix.into(),
            local: self.local(),
            peer: crate::socket::unix::peer(&peer),
        })
    }
}

/// A Unix datagram socket that many peers talk to.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
    name: Name,
    slot: Vec<u8>,
}

/// The largest datagram that is taken; the kernel's own limit is the sender's `SO_SNDBUF`.
const LARGEST: usize = 4 * 1024 * 1024;

impl Socket {
    pub(super) fn bind(name: &UnixName) -> Result<Self> {
        let bound = || {
            let socket = take(name, rustix::net::SocketType::DGRAM)?;
            UnixDatagram::from_std(std_unix::UnixDatagram::from(socket))
        };
        let socket =
            bound().map_err(|source| Error::io(Operation::Listen, endpoint(name), source))?;
        Ok(Self {
            socket,
            name: Name::of(name),
            slot: vec![0; LARGEST],
        })
    }

    pub(super) fn local(&self) -> Endpoint {
        self.name.endpoint.clone()
    }
}

impl Datagrams for Socket {
    const PROTOCOL: &'static str = "unixgram";

    /// `@name` or a path; empty for a sender that has bound none and so cannot be answered.
    type Address = Endpoint;

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut Each<'_, Endpoint>,
    ) -> Poll<io::Result<bool>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            match self.socket.try_recv_from(&mut self.slot) {
                Ok((n, from)) => {
                    each(crate::socket::unix::peer(&from), &self.slot[..n], n);
                    return Poll::Ready(Ok(false));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut Outbox<Endpoint>,
    ) -> Poll<Result<(), Unsent>> {
        let Some(message) = outbox.front() else {
            return Poll::Ready(Ok(()));
        };
        if let Err(error) = ready!(self.socket.poll_send_ready(cx)) {
            return Poll::Ready(Err(Unsent(error)));
        }
        let sent =
            crate::socket::unix::try_send_to(&self.socket, &message.data, &message.peer.address);
        match sent {
            Ok(()) => {}
            // The peer does not read. The kernel would not say when it does, and the others' answers
            // would wait with it: the newest is dropped.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => message.peer.lose(),
            Err(error) => return Poll::Ready(Err(Unsent(error))),
        }
        drop(outbox.pop());
        Poll::Ready(Ok(()))
    }

    fn endpoints(&self, address: &Endpoint) -> (Endpoint, Endpoint) {
        (self.local(), address.clone())
    }

    fn limit(_: &Endpoint) -> usize {
        LARGEST
    }

    fn may_be_forged(&self, _: &Endpoint) -> bool {
        false
    }
}
