//! The datagrams of a connection (RFC 9221) as packets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream, StreamExt};
use quinn::{Connection, ConnectionError, SendDatagramError};
use tokio_util::sync::DropGuard;

use super::closing;
use super::ends::Ends;
use super::within::Over;
use crate::error::{Error, Operation, Result};
use crate::session::{Info, Message};

type Incoming = Pin<Box<dyn Stream<Item = Result<Bytes, ConnectionError>> + Send>>;
type Waiting = Pin<Box<dyn Future<Output = Result<(), (SendDatagramError, usize)>> + Send>>;

pub(in crate::protocol) struct Datagrams {
    ends: Arc<Ends>,
    info: Arc<Info>,
    incoming: Incoming,
    /// What opened the session.
    first: Option<Bytes>,
    /// A message that waits for room.
    waiting: Option<Waiting>,
    /// The end of the session that they belong to.
    over: Over,
    /// Lets go of the connection.
    _held: Option<DropGuard>,
}

impl Datagrams {
    pub(in crate::protocol) fn new(
        ends: Arc<Ends>,
        info: Arc<Info>,
        first: Option<Bytes>,
        held: Option<DropGuard>,
    ) -> Self {
        let next = async |connection: Connection| {
            let read = connection.read_datagram().await;
            Some((read, connection))
        };
        let connection = ends.connection.clone();
        Self {
            incoming: Box::pin(futures_util::stream::unfold(connection, next)),
            over: Over::of(ends.within.as_ref()),
            ends,
            info,
            first,
            waiting: None,
            _held: held,
        }
    }

    fn failed(&self, error: SendDatagramError, size: usize) -> Error {
        let address = self.ends.address();
        let operation = Operation::Send;
        match error {
            SendDatagramError::TooLarge => Error::TooLarge {
                address,
                size,
                limit: self.ends.longest_datagram().unwrap_or(0),
            },
            SendDatagramError::ConnectionLost(error) => closing::lost(operation, &address, &error),
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => {
                Error::unsupported(operation, address, NO_DATAGRAMS)
            }
        }
    }
}

/// Said of a peer that has not said that it takes them.
pub(in crate::protocol) const NO_DATAGRAMS: &str = "it takes no datagrams, only streams";

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.ends.look();
        self.info
            .counters()
            .add_lost_by(self.ends.unread_datagrams());
    }
}

impl Stream for Datagrams {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let received = match self.first.take() {
            Some(first) => Ok(first),
            None => match self.poll_own(cx) {
                Poll::Ready(Some(received)) => received,
                Poll::Ready(None) => return Poll::Ready(None),
                // What has arrived has been read.
                Poll::Pending if self.info.is_stopping() || self.info.has_expired() => {
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    ready!(self.over.poll(cx));
                    let ended = closing::of_session(&self.ends, Operation::Receive);
                    let address = self.ends.address();
                    let failed = |error| Error::io(Operation::Receive, address, error);
                    return Poll::Ready(ended.err().map(failed).map(Err));
                }
            },
        };
        self.ends.notice_move_soon();
        Poll::Ready(match received {
            Ok(data) => {
                self.ends.count_datagram();
                Some(Ok(Message::binary(data)))
            }
            Err(error) if closing::is_content(&self.ends, &error) => None,
            Err(error) => {
                let address = self.ends.address();
                Some(Err(closing::lost(Operation::Receive, &address, &error)))
            }
        })
    }
}

impl Datagrams {
    /// The next one of the session.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ConnectionError>>> {
        loop {
            let received = ready!(self.incoming.poll_next_unpin(cx));
            match received.map(|received| received.map(|it| self.ends.unlabelled(it))) {
                Some(Ok(Some(own))) => return Poll::Ready(Some(Ok(own))),
                // Another session's, which is over.
                Some(Ok(None)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Sink<Message> for Datagrams {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let size = message.data.len();
        let data = match &self.ends.within {
            Some(within) => within.labelled(&message.data),
            None => message.data,
        };
        let connection = &self.ends.connection;
        if self.waiting.is_some() {
            let busy = io::Error::from(io::ErrorKind::ResourceBusy);
            return Err(Error::io(Operation::Send, self.ends.address(), busy));
        }
        // Without room it would take the place of one that waits.
        if connection.datagram_send_buffer_space() < data.len() {
            let connection = connection.clone();
            self.waiting = Some(Box::pin(async move {
                let sent = connection.send_datagram_wait(data).await;
                sent.map_err(|error| (error, size))
            }));
            return Ok(());
        }
        let sent = connection.send_datagram(data);
        sent.map_err(|error| self.failed(error, size))
    }

    /// Done when the connection has taken it, which sends it when the network has room.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(waiting) = &mut self.waiting else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(sent.map_err(|(error, size)| self.failed(error, size)))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}
