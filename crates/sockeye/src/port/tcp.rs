//! TCP on the listening side.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::accept::{Accept, Connection};
use super::route::Spoken;
use crate::error::{Error, Operation, Result};
use crate::lookout::{Lookout, watched_here};
use crate::session::Endpoint;
use crate::socket::{Role, SocketOptions, bind};

#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    local: SocketAddr,
    spoken: Spoken,
    lookout: Option<Arc<dyn Lookout>>,
}

impl Listener {
    pub(super) fn bind(
        address: SocketAddr,
        spoken: Spoken,
        options: &SocketOptions,
        lookout: Option<Arc<dyn Lookout>>,
    ) -> Result<Self> {
        let socket = options.tcp(address, Role::Listen)?;
        bind(&socket, address)?;
        let backlog = i32::try_from(options.backlog()).unwrap_or(i32::MAX);
        if let Some(lookout) = &lookout {
            lookout.listening(socket.as_fd());
        }
        let listening = || {
            socket.listen(backlog)?;
            let listener = TcpListener::from_std(socket.into())?;
            let local = listener.local_addr()?;
            Ok(Self {
                listener,
                local,
                spoken,
                lookout,
            })
        };
        listening().map_err(|source| Error::io(Operation::Listen, address, source))
    }

    pub(super) fn port(&self) -> u16 {
        self.local.port()
    }
}

impl Accept for Listener {
    const CARRIER: &'static str = "tcp";

    fn spoken(&self) -> Spoken {
        self.spoken
    }

    fn local(&self) -> Endpoint {
        Endpoint::Net(self.local)
    }

    /// Options such as `TCP_NODELAY` and `SO_KEEPALIVE` come with the connection: Linux copies the listener's.
    async fn accept(&self) -> io::Result<Connection> {
        let (tcp, peer) = self.listener.accept().await?;
        // A specific address was bound, so every connection has it: no system call is needed to learn it.
        let local = if self.local.ip().is_unspecified() {
            tcp.local_addr()?
        } else {
            self.local
        };
        Ok(Connection {
            stream: watched_here(tcp, (local, peer), self.lookout.as_ref()),
            local: local.into(),
            peer: peer.into(),
        })
    }
}
