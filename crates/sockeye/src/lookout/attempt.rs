//! A connection that is being made while somebody watches, until it stands or has failed.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::pin;
use std::sync::Arc;

use socket2::Socket;

use super::Lookout;

/// Tells how it goes. Dropped before it stands: nobody waits for it any longer.
pub(crate) struct Attempt {
    lookout: Arc<dyn Lookout>,
    local: SocketAddr,
    peer: SocketAddr,
    /// The same socket: who connects closes its own before anybody could ask the kernel about it.
    socket: OwnedFd,
    goes_on: bool,
}

impl Attempt {
    /// `socket` is bound, and nothing has left it. `None`: nobody watches, or there is nothing to tell of.
    pub(crate) fn begin(
        socket: &Socket,
        peer: SocketAddr,
        lookout: Option<&Arc<dyn Lookout>>,
        client: Option<SocketAddr>,
    ) -> Option<Self> {
        let lookout = lookout?.clone();
        let local = socket.local_addr().ok()?.as_socket()?;
        if let Some(client) = client {
            lookout.on_behalf(local, peer, client);
        }
        lookout.dialing(local, peer);
        let socket = socket.as_fd().try_clone_to_owned().ok()?;
        Some(Self {
            lookout,
            local,
            peer,
            socket,
            goes_on: true,
        })
    }

    /// Waits for `connecting`, and tells how it ended.
    pub(crate) async fn over<T>(
        mut self,
        connecting: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut connecting = pin!(connecting);
        let mut has_left = false;
        let connected = poll_fn(|cx| {
            let polled = connecting.as_mut().poll(cx);
            // What fails at once has sent nothing: there is no way to that address, for example.
            if polled.is_pending() && !std::mem::replace(&mut has_left, true) {
                self.wait();
            }
            polled
        })
        .await;
        self.goes_on = false;
        if let Err(error) = &connected {
            self.fail(Some(error));
        }
        connected
    }

    fn wait(&mut self) {
        // The system has chosen our address with the way to the peer.
        if let Ok(local) = socket2::SockRef::from(&self.socket).local_addr()
            && let Some(local) = local.as_socket()
        {
            self.local = local;
        }
        self.lookout.waiting(self.local, self.peer);
    }

    fn fail(&self, why: Option<&io::Error>) {
        let socket = self.socket.as_fd();
        self.lookout.failed(self.local, self.peer, socket, why);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.goes_on {
            self.fail(None);
        }
    }
}
