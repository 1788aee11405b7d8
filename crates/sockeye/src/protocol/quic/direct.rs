//! A socket of our own for one connection, which hears when nobody is there.

use std::fmt;
use std::future::pending;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use wire::quic::{from_version_2, offered_versions};

use crate::lookout::Lookout;

use super::{QuicVersion, Room, in_version};

pub(super) struct Direct {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    /// The system was told that nobody listens there (ICMP).
    refusal: Notify,
    version: QuicVersion,
    /// The versions that the server speaks, when it does not speak ours.
    offered: OnceLock<Vec<u32>>,
    /// Our own address is gone: packets do not leave any more.
    stranding: Notify,
    arrived: AtomicBool,
    arrival: Notify,
    /// How many calls have sent something.
    sent: AtomicU64,
    sending: Notify,
    /// Who watches what passes.
    pub(super) lookout: Option<Arc<dyn Lookout>>,
}

impl Direct {
    /// A socket that is connected to its peer.
    pub(super) fn new(
        socket: std::net::UdpSocket,
        version: QuicVersion,
        lookout: Option<Arc<dyn Lookout>>,
    ) -> io::Result<Self> {
        Ok(Self {
            lookout,
            version,
            offered: OnceLock::new(),
            state: UdpSocketState::new((&socket).into())?,
            socket: Arc::new(UdpSocket::from_std(socket)?),
            refusal: Notify::new(),
            stranding: Notify::new(),
            arrived: AtomicBool::new(false),
            arrival: Notify::new(),
            sent: AtomicU64::new(0),
            sending: Notify::new(),
        })
    }

    /// Returns when the system says that nobody is there. Anyone on the way can make it say so (RFC 9000, section
    /// 21.7), so that this counts for nothing after the handshake.
    pub(super) async fn refused(&self) -> io::Error {
        tokio::select! {
            () = self.refusal.notified() => {}
            // Nothing comes to be read with it: without asking, it would be found by the next packet that is sent.
            () = self.faulty() => {}
        }
        io::ErrorKind::ConnectionRefused.into()
    }

    async fn faulty(&self) {
        while self.socket.ready(Interest::ERROR).await.is_ok() {
            let taken = self
                .socket
                .try_io(Interest::ERROR, || match self.socket.take_error()? {
                    Some(error) => Ok(error),
                    None => Err(io::ErrorKind::WouldBlock.into()),
                });
            if taken.is_ok_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                return;
            }
        }
        pending().await
    }

    /// The versions that the server has said it speaks (version negotiation).
    pub(super) fn offered(&self) -> &[u32] {
        self.offered.get().map_or(&[], Vec::as_slice)
    }

    /// Tells whoever watches of datagrams as they are on the wire, `size` bytes each.
    fn tell(&self, outbound: bool, datagrams: &[u8], size: usize) {
        let Some(lookout) = &self.lookout else { return };
        let ends = self.socket.local_addr().and_then(|local| {
            let peer = self.socket.peer_addr()?;
            Ok((local, peer))
        });
        if let Ok((local, peer)) = ends {
            for datagram in datagrams.chunks(size.max(1)) {
                lookout.datagram(local, peer, outbound, datagram);
            }
        }
    }

    /// Reads what has come: packets of version 2 as quinn knows them, and which versions are offered instead of ours.
    fn read(&self, slots: &mut [IoSliceMut<'_>], metas: &[RecvMeta]) {
        for (slot, meta) in slots.iter_mut().zip(metas) {
            self.tell(false, &slot[..meta.len], meta.stride);
            for datagram in slot[..meta.len].chunks_mut(meta.stride.max(1)) {
                if self.version == QuicVersion::Two {
                    from_version_2(datagram);
                }
                if let Some(offered) = offered_versions(datagram) {
                    let _ = self.offered.set(offered);
                }
            }
        }
    }

    /// Returns when the address that packets leave from is ours no more.
    pub(super) async fn stranded(&self) {
        self.stranding.notified().await;
    }

    /// Looks whether what the system has refused means that. Only it knows its addresses.
    fn look_for_home(&self, error: &io::Error) {
        use io::ErrorKind::{
            AddrNotAvailable, HostUnreachable, InvalidInput, NetworkDown, NetworkUnreachable,
        };
        let suspicious = [
            AddrNotAvailable,
            HostUnreachable,
            InvalidInput,
            NetworkDown,
            NetworkUnreachable,
        ];
        if !suspicious.contains(&error.kind()) {
            return;
        }
        let Ok(mut local) = self.socket.local_addr() else {
            return;
        };
        local.set_port(0);
        let tried = std::net::UdpSocket::bind(local);
        if tried.is_err_and(|error| error.kind() == AddrNotAvailable) {
            self.stranding.notify_one();
        }
    }

    /// Returns when something has come.
    pub(super) async fn heard(&self) {
        while !self.arrived.load(SeqCst) {
            self.arrival.notified().await;
        }
    }

    /// Returns when something has left that had not when this was called.
    pub(super) async fn sends_once_more(&self) {
        let before = self.sent.load(SeqCst);
        while self.sent.load(SeqCst) == before {
            self.sending.notified().await;
        }
    }

    fn is_refusal(&self, error: &io::Error) -> bool {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        if refused {
            self.refusal.notify_one();
        }
        refused
    }
}

impl AsyncUdpSocket for Direct {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Room::in_socket(self.socket.clone())
    }

    /// What the system refuses is lost on the way, and QUIC's to send again.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.socket.try_io(Interest::WRITABLE, || {
            in_version(transmit, |transmit| {
                self.state.try_send((&*self.socket).into(), transmit)?;
                let size = transmit.segment_size.unwrap_or(transmit.contents.len());
                self.tell(true, transmit.contents, size);
                Ok(())
            })
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // A refusal is heard of; what is too large was to find out whether it is.
            Err(error) if self.is_refusal(&error) => {}
            Err(error) => self.look_for_home(&error),
            Ok(()) => {}
        }
        self.sent.fetch_add(1, SeqCst);
        self.sending.notify_one();
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        slots: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            let received = self.socket.try_io(Interest::READABLE, || {
                self.state.recv((&*self.socket).into(), slots, metas)
            });
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if self.is_refusal(&error) => {}
                Ok(received) => {
                    self.read(slots, &metas[..received]);
                    if !self.arrived.swap(true, SeqCst) {
                        self.arrival.notify_one();
                    }
                    return Poll::Ready(Ok(received));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
