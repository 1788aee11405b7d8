//! Unix datagrams on the dialing side.

use std::io;
use std::os::unix::net as std_unix;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect as connect_to,
    socket_with,
};
use tokio::io::ReadBuf;
use tokio::net::UnixDatagram;
use wire::address::UnixName;

use crate::error::{Error, Operation, Result};
use crate::session::{Endpoint, Message};
use crate::socket::slot::Slot;
use crate::socket::unix;

/// The largest datagram that is received.
const LARGEST: usize = 4 * 1024 * 1024;

/// Opens a socket under an abstract name that the kernel chooses, so that the peer can answer (unix(7), autobind).
pub(super) fn connect(name: &UnixName) -> io::Result<(UnixgramPackets, Endpoint)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new_unnamed())?;
    connect_to(&socket, &unix::address(name)?)?;
    let socket = UnixDatagram::from_std(std_unix::UnixDatagram::from(socket))?;
    let local = unix::peer(&socket.local_addr()?);
    let peer = unix::endpoint(name).to_string();
    Ok((
        UnixgramPackets {
            socket,
            peer,
            outgoing: Slot::default(),
            slot: vec![0; LARGEST],
        },
        local,
    ))
}

pub(super) struct UnixgramPackets {
    socket: UnixDatagram,
    peer: String,
    outgoing: Slot,
    slot: Vec<u8>,
}

impl Stream for UnixgramPackets {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            socket, slot, peer, ..
        } = &mut *self;
        let mut buffer = ReadBuf::new(slot);
        let received = ready!(socket.poll_recv(cx, &mut buffer));
        let message = received.map(|()| Message::binary(Bytes::copy_from_slice(buffer.filled())));
        Poll::Ready(Some(
            message.map_err(|source| Error::io(Operation::Receive, peer, source)),
        ))
    }
}

impl Sink<Message> for UnixgramPackets {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let put = self.outgoing.put(message.data);
        put.map_err(|source| Error::io(Operation::Send, &self.peer, source))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self {
            socket,
            peer,
            outgoing,
            ..
        } = &mut *self;
        let left = outgoing.poll_leave(|message| socket.poll_send(cx, message));
        left.map_err(|source| Error::io(Operation::Send, peer, source))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}
