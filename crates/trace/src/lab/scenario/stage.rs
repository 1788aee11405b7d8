//! What the ends of a scenario work with: sockets with known options, and a moment that both have in common.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::event::Side;
use crate::lab::{ADDRESSES, PORT};

/// Nobody waits longer for the other end, in any scenario.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both ends come here, and go on at the same moment.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Meeting(Arc<(Mutex<u32>, Condvar)>);

impl Meeting {
    fn come(&self) -> io::Result<()> {
        let (count, changed) = &*self.0;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let whole = count.next_multiple_of(2);
        changed.notify_all();
        let waited = changed.wait_timeout_while(count, PATIENCE, |count| *count < whole);
        let count = waited.unwrap_or_else(PoisonError::into_inner).0;
        match *count >= whole {
            true => Ok(()),
            false => Err(io::Error::other("has waited in vain for the other end")),
        }
    }
}

/// One end of a scenario.
pub(in crate::lab) struct Stage<'a> {
    side: Side,
    meeting: Meeting,
    /// Tells that the server can be talked to, and waits for that.
    listening: &'a dyn Fn(),
    served: &'a dyn Fn() -> io::Result<()>,
}

impl<'a> Stage<'a> {
    pub(in crate::lab) fn new(
        side: Side,
        meeting: Meeting,
        listening: &'a dyn Fn(),
        served: &'a dyn Fn() -> io::Result<()>,
    ) -> Self {
        Self {
            side,
            meeting,
            listening,
            served,
        }
    }

    /// Waits for the other end to come here too.
    pub(super) fn meet(&self) -> io::Result<()> {
        self.meeting.come()
    }

    /// The server is as ready as it will be.
    pub(super) fn ready(&self) {
        (self.listening)();
    }

    /// A socket that behaves the same whatever this system prefers.
    fn socket(&self, port: u16) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), None)?;
        // RFC 5681, which every kernel has.
        socket.set_tcp_congestion(b"reno")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_reuse_address(true)?;
        let own = SocketAddr::from((ADDRESSES[self.side.index()], port));
        socket.bind(&own.into())?;
        Ok(socket)
    }

    /// A server that listens, with as much room for what comes as is asked for, in bytes.
    pub(super) fn listen(&self, room: Option<usize>) -> io::Result<TcpListener> {
        let socket = self.socket(PORT)?;
        if let Some(room) = room {
            socket.set_recv_buffer_size(room)?;
        }
        socket.listen(8)?;
        self.ready();
        Ok(socket.into())
    }

    /// Who calls first.
    pub(super) fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.listen(None)?.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// The connection to the server.
    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        (self.served)()?;
        self.connect_from(0)
    }

    pub(super) fn connect_from(&self, port: u16) -> io::Result<TcpStream> {
        let socket = self.socket(port)?;
        let peer = SocketAddr::from((ADDRESSES[self.side.other().index()], PORT));
        socket.connect(&peer.into())?;
        Ok(socket.into())
    }

    /// The same, given up after a time.
    pub(super) fn connect_within(&self, time: Duration) -> io::Result<TcpStream> {
        (self.served)()?;
        let socket = self.socket(0)?;
        let peer = SocketAddr::from((ADDRESSES[self.side.other().index()], PORT));
        socket.connect_timeout(&peer.into(), time)?;
        Ok(socket.into())
    }
}

/// Reads until the other end has finished, and says how much that was.
pub(super) fn drain(mut stream: &TcpStream) -> io::Result<u64> {
    let mut chunk = [0; 16 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}
