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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream as Std, UdpSocket};
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use nix::sys::socket::{setsockopt, sockopt};
    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::*;
    use crate::stream::has_arrived;

    const LONG: Duration = Duration::from_secs(20);

    #[derive(Debug, PartialEq, Eq)]
    enum Heard {
        Dialing,
        Waiting(SocketAddr),
        Failed(Option<io::ErrorKind>),
        Connected,
        Behalf(SocketAddr),
        Bytes(bool, Vec<u8>),
    }

    #[derive(Debug, Default)]
    struct Ear {
        heard: Mutex<Vec<Heard>>,
        moments: Mutex<Vec<Moment>>,
    }

    impl Ear {
        fn hear(&self, heard: Heard) {
            self.heard.lock().unwrap().push(heard);
        }

        fn last(&self) -> (Heard, Moment) {
            let moment = *self.moments.lock().unwrap().last().unwrap();
            (self.heard.lock().unwrap().pop().unwrap(), moment)
        }
    }

    impl Lookout for Ear {
        fn dialing(&self, _: SocketAddr, _: SocketAddr) {
            self.hear(Heard::Dialing);
        }

        fn on_behalf(&self, _: SocketAddr, _: SocketAddr, client: SocketAddr) {
            self.hear(Heard::Behalf(client));
        }

        fn waiting(&self, local: SocketAddr, _: SocketAddr) {
            self.hear(Heard::Waiting(local));
        }

        fn failed(&self, _: SocketAddr, _: SocketAddr, _: BorrowedFd<'_>, why: Option<&io::Error>) {
            self.hear(Heard::Failed(why.map(io::Error::kind)));
        }

        fn connected(&self, _: SocketAddr, _: SocketAddr, _: BorrowedFd<'_>) -> bool {
            self.hear(Heard::Connected);
            false
        }

        fn accepted(&self, _: SocketAddr, _: SocketAddr, _: BorrowedFd<'_>) -> bool {
            true
        }

        fn parted(&self, _: SocketAddr, _: SocketAddr, _: BorrowedFd<'_>) {}

        fn bytes(&self, _: SocketAddr, _: SocketAddr, out: bool, bytes: &[u8], when: Moment) {
            self.moments.lock().unwrap().push(when);
            self.hear(Heard::Bytes(out, bytes.to_vec()));
        }

        fn datagram(&self, _: SocketAddr, _: SocketAddr, _: bool, _: &[u8]) {}
    }

    /// While it is held the kernel notes when packets come.
    fn noting() -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        socket
    }

    fn pair() -> (Std, Std) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = Std::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn wait_for(socket: &Std) {
        let start = Instant::now();
        while !has_arrived(socket) {
            assert!(start.elapsed() < LONG, "nothing came");
        }
    }

    #[tokio::test]
    async fn what_was_read_late_is_told_with_the_time_at_which_it_came() {
        let _noting = noting();
        let (mut client, server) = pair();
        let same = server.try_clone().unwrap();
        server.set_nonblocking(true).unwrap();
        let ear = Arc::new(Ear::default());
        let lookout: Arc<dyn Lookout> = ear.clone();
        let ends = (server.local_addr().unwrap(), server.peer_addr().unwrap());
        let server = TcpStream::from_std(server).unwrap();
        let mut stream = watched_here(server, ends, Some(&lookout));
        let mut room = [0; 64];
        let start = Instant::now();
        // The kernel takes a moment until it begins.
        loop {
            client.write_all(b".").unwrap();
            stream.read_exact(&mut room[..1]).await.unwrap();
            if ear.last().1.kernel.is_some() {
                break;
            }
            assert!(start.elapsed() < LONG, "the kernel notes nothing");
        }
        let sent = SystemTime::now();
        client.write_all(b"late").unwrap();
        wait_for(&same);
        let read = SystemTime::now();
        assert_eq!(stream.read(&mut room).await.unwrap(), 4);
        let (heard, when) = ear.last();
        assert_eq!(heard, Heard::Bytes(false, b"late".to_vec()));
        let came = when.kernel.unwrap();
        assert!(
            sent <= came && came <= read && read <= when.ours,
            "{when:?}"
        );
        stream.write_all(b"answer").await.unwrap();
        let (heard, when) = ear.last();
        assert_eq!(heard, Heard::Bytes(true, b"answer".to_vec()));
        assert_eq!(when.kernel, None, "of what leaves it is not asked");
        // Unread, it would make the end a reset.
        client.read_exact(&mut [0; 6]).unwrap();
        drop(client);
        assert_eq!(stream.read(&mut room).await.unwrap(), 0);
        let (heard, when) = ear.last();
        assert_eq!(heard, Heard::Bytes(false, Vec::new()));
        assert_eq!(when.kernel, None, "of an end it says nothing");
    }

    #[test]
    fn what_waits_first_says_when_it_came_and_stays() {
        let _noting = noting();
        let start = Instant::now();
        loop {
            let (mut client, server) = pair();
            assert_eq!(first_arrival(server.as_fd()), None, "nothing is there");
            let sent = SystemTime::now();
            client.write_all(b"early").unwrap();
            wait_for(&server);
            let read = SystemTime::now();
            let came = first_arrival(server.as_fd());
            assert_eq!(server.peek(&mut [0; 9]).unwrap(), 5);
            if let Some(came) = came {
                assert!(sent <= came && came <= read, "{sent:?} {came:?} {read:?}");
                return;
            }
            assert!(start.elapsed() < LONG, "the kernel notes nothing");
        }
    }

    async fn dialed(at: SocketAddr, limit: Option<Duration>) -> Vec<Heard> {
        let ear = Arc::new(Ear::default());
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        socket.bind(&any.into()).unwrap();
        let lookout: Arc<dyn Lookout> = ear.clone();
        let client = "192.0.2.1:9".parse().unwrap();
        let attempt = Attempt::begin(&socket, at, Some(&lookout), Some(client)).unwrap();
        let socket = TcpSocket::from_std_stream(socket.into());
        let connecting = attempt.over(socket.connect(at));
        let _ = tokio::time::timeout(limit.unwrap_or(LONG), connecting).await;
        let mut heard = ear.heard.lock().unwrap();
        assert_eq!(heard.remove(0), Heard::Behalf(client));
        assert_eq!(heard.remove(0), Heard::Dialing);
        match heard.first() {
            Some(Heard::Waiting(local)) => {
                assert!(!local.ip().is_unspecified(), "our address is known then");
                heard.remove(0);
            }
            none => assert!(none.is_none() || at.ip().is_multicast(), "{none:?}"),
        }
        std::mem::take(&mut heard)
    }

    #[tokio::test]
    async fn a_dial_tells_how_it_ends() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(
            dialed(at, None).await,
            [],
            "it stands, and `connected` tells that"
        );
        drop(listener);
        let refused = Some(io::ErrorKind::ConnectionRefused);
        assert_eq!(dialed(at, None).await, [Heard::Failed(refused)]);
        // To a group there is no connection: nothing leaves.
        let group = "224.0.0.1:9".parse().unwrap();
        let heard = dialed(group, None).await;
        assert!(matches!(heard[..], [Heard::Failed(Some(_))]), "{heard:?}");
    }

    #[tokio::test]
    async fn a_dial_that_nobody_waits_for_any_longer_tells_that() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        socket.listen(0).unwrap();
        let at = socket.local_addr().unwrap().as_socket().unwrap();
        // Who comes when one waits to be accepted is not answered.
        let _first = Std::connect(at).unwrap();
        let limit = Some(Duration::from_millis(100));
        assert_eq!(dialed(at, limit).await, [Heard::Failed(None)]);
    }
}
