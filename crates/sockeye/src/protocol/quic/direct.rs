//! A socket of our own for one connection, which hears when nobody is there.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::Room;

pub(super) struct Direct {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    /// The system was told that nobody listens there (ICMP).
    refusal: Notify,
    arrived: AtomicBool,
    arrival: Notify,
    /// How many calls have sent something.
    sent: AtomicU64,
    sending: Notify,
}

impl Direct {
    /// A socket that is connected to its peer.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            socket: Arc::new(UdpSocket::from_std(socket)?),
            refusal: Notify::new(),
            arrived: AtomicBool::new(false),
            arrival: Notify::new(),
            sent: AtomicU64::new(0),
            sending: Notify::new(),
        })
    }

    /// Returns when the system says that nobody is there. Anyone on the way can make it say so (RFC 9000, section
    /// 21.7), so that this counts for nothing after the handshake.
    pub(super) async fn refused(&self) -> io::Error {
        self.refusal.notified().await;
        io::ErrorKind::ConnectionRefused.into()
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
            self.state.try_send((&*self.socket).into(), transmit)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // A refusal is heard of; what is too large was to find out whether it is.
            Err(error) => drop(self.is_refusal(&error)),
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
