//! Who watches packets: those of what is dialed, told before the first one leaves, and those of a port.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::stream::ByteStream;

/// Watches what passes between our sockets and the network. Every call must be quick: the conversation waits for it.
pub trait Lookout: fmt::Debug + Send + Sync {
    /// A TCP connection is about to be made from a port of ours, on an address of ours that may not be known yet. Its
    /// first packet leaves when this returns.
    fn dialing(&self, local: SocketAddr, peer: SocketAddr);

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
    fn bytes(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]);

    /// A datagram left or came: of UDP, or of QUIC as it is on the wire.
    fn datagram(&self, local: SocketAddr, peer: SocketAddr, outbound: bool, bytes: &[u8]);
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
                tcp,
                local: ends.0,
                peer: ends.1,
                lookout: lookout.clone(),
            }),
            _ => tcp.into(),
        }
    }

    fn tell(&self, outbound: bool, bytes: &[u8]) {
        self.lookout.bytes(self.local, self.peer, outbound, bytes);
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
        let before = out.filled().len();
        let room = out.remaining();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, out))?;
        let read = &out.filled()[before..];
        if room > 0 {
            self.tell(false, read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, data))?;
        if n > 0 {
            self.tell(true, &data[..n]);
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
        ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        self.tell(true, &[]);
        Poll::Ready(Ok(()))
    }
}
