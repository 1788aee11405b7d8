//! Who watches packets: those of what is dialed, told before the first one leaves, and those of a port.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use nix::sys::socket::MsgFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::stream::ByteStream;

mod arrival;
mod attempt;

use arrival::Arrivals;
pub use arrival::first_arrival;
pub(crate) use attempt::Attempt;

/// Watches what passes between our sockets and the network. Every call must be quick: the conversation waits for it.
pub trait Lookout: fmt::Debug + Send + Sync {
    /// A TCP connection is about to be made from a port of ours, on an address of ours that may not be known yet. Its
    /// first packet leaves when this returns.
    fn dialing(&self, local: SocketAddr, peer: SocketAddr);

    /// The connection that is about to be made is one end of a relay, and `client` is the other: on whose behalf it is
    /// dialed. Told before [`dialing`](Self::dialing).
    fn on_behalf(&self, _local: SocketAddr, _peer: SocketAddr, _client: SocketAddr) {}

    /// Its first packet has left, and nothing has answered yet. Our address is known now.
    fn waiting(&self, _local: SocketAddr, _peer: SocketAddr) {}

    /// It has not come about: `why`, or nobody waits for it any longer. What the kernel knows of it is still to be asked.
    fn failed(
        &self,
        _local: SocketAddr,
        _peer: SocketAddr,
        _socket: BorrowedFd<'_>,
        _why: Option<&io::Error>,
    ) {
    }

    /// It stands. Whether its bytes are to be told, too: then they pass through here and cannot be moved by the kernel
    /// alone.
    fn connected(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool;

    /// A socket of a port is bound for TCP. Nobody can come to it before this returns.
    fn listening(&self, _socket: BorrowedFd<'_>) {}

    /// Somebody has come to one. Whether its bytes are to be told, as with [`connected`](Self::connected).
    fn accepted(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>) -> bool;

    /// Its bytes were told, and we close it.
    fn parted(&self, local: SocketAddr, peer: SocketAddr, socket: BorrowedFd<'_>);

    /// Bytes of it left (`outbound`) or came; none: its end did.
    fn bytes(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        outbound: bool,
        bytes: &[u8],
        when: Moment,
    );

    /// A datagram left or came: of UDP, or of QUIC as it is on the wire.
    fn datagram(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]);
}

/// When bytes passed one of our sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By our own clock: what came had been read then, and what left had not been written yet.
    pub ours: SystemTime,
    /// When the last of what came had come, as the kernel has noted it. It did not note it of an end, nor of what came
    /// before it began to.
    pub kernel: Option<SystemTime>,
}

/// The bytes of `tcp`, told to `lookout` if it wants to hear them.
pub(crate) fn watched(
    tcp: TcpStream,
    ends: (SocketAddr, SocketAddr),
    lookout: Option<&Arc<dyn Lookout>>,
) -> ByteStream {
    Watched::stream(tcp, ends, lookout, |lookout, (local, peer), socket| {
        lookout.connected(local, peer, socket)
    })
}

/// The same of one that came to a port of ours.
pub(crate) fn watched_here(
    tcp: TcpStream,
    ends: (SocketAddr, SocketAddr),
    lookout: Option<&Arc<dyn Lookout>>,
) -> ByteStream {
    Watched::stream(tcp, ends, lookout, |lookout, (local, peer), socket| {
        lookout.accepted(local, peer, socket)
    })
}

/// Tells of datagrams of `size` bytes each, as they are on the wire.
pub(crate) fn tell_run(
    lookout: Option<&Arc<dyn Lookout>>,
    (local, peer): (SocketAddr, SocketAddr),
    outbound: bool,
    run: &[u8],
    size: usize,
) {
    let Some(lookout) = lookout else { return };
    if run.is_empty() {
        lookout.datagram(local, peer, outbound, run);
    }
    for datagram in run.chunks(size.max(1)) {
        lookout.datagram(local, peer, outbound, datagram);
    }
}

struct Watched {
    tcp: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
    lookout: Arc<dyn Lookout>,
    arrivals: Arrivals,
}

impl Watched {
    /// `asks` says whether the bytes are to be told.
    fn stream(
        tcp: TcpStream,
        ends: (SocketAddr, SocketAddr),
        lookout: Option<&Arc<dyn Lookout>>,
        asks: impl FnOnce(&dyn Lookout, (SocketAddr, SocketAddr), BorrowedFd<'_>) -> bool,
    ) -> ByteStream {
        match lookout {
            Some(lookout) if asks(&**lookout, ends, tcp.as_fd()) => ByteStream::new(Self {
                arrivals: Arrivals::begin(tcp.as_fd()),
                tcp,
                local: ends.0,
                peer: ends.1,
                lookout: lookout.clone(),
            }),
            _ => tcp.into(),
        }
    }

    fn came(&self, bytes: &[u8], kernel: Option<SystemTime>) {
        let ours = SystemTime::now();
        let when = Moment { ours, kernel };
        self.lookout
            .bytes(self.local, self.peer, false, bytes, when);
    }

    /// `ours`: before they did, so that the answer is not the earlier of both.
    fn left(&self, bytes: &[u8], ours: SystemTime) {
        let kernel = None;
        let when = Moment { ours, kernel };
        self.lookout.bytes(self.local, self.peer, true, bytes, when);
    }

    /// Reads once. `WouldBlock`: the socket is asked again when the runtime says that something came.
    fn try_read(&mut self, room: &mut [u8]) -> io::Result<(usize, Option<SystemTime>)> {
        let Self { tcp, arrivals, .. } = self;
        tcp.try_io(Interest::READABLE, || {
            arrivals.read(tcp.as_fd(), room, MsgFlags::empty())
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.lookout.parted(self.local, self.peer, self.tcp.as_fd());
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            let before = out.filled().len();
            match self.try_read(out.initialize_unfilled()) {
                Ok((count, came)) => {
                    out.advance(count);
                    self.came(&out.filled()[before..], came);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let before = SystemTime::now();
        let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, data))?;
        if n > 0 {
            self.left(&data[..n], before);
        }
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = SystemTime::now();
        ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        self.left(&[], before);
        Poll::Ready(Ok(()))
    }
}
