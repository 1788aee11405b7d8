//! Everything back as it came, without a message being made of it while nobody looks at messages.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{BytesCarrier, Carrier, Info, Session};
use crate::error::{Error, Operation, Result};
use crate::stream::{Io, READ, poll_lend};

impl Session {
    /// Sends back what comes over a socket without framing. Returns when there is something to be seen by
    /// [`recv`](Self::recv): the end, a stop, what was read before, or each message, because somebody watches. At once
    /// over any other carrier, and where messages have bounds.
    ///
    /// Nothing is allocated or copied for what leaves at once.
    pub(crate) fn reflect(&mut self) -> impl Future<Output = Result<()>> + Send + '_ {
        let Self { info, carrier } = self;
        let mut bytes = match carrier {
            Carrier::Bytes(bytes) if bytes.is_bare() => Some(&mut **bytes),
            _ => None,
        };
        // Known here, because looking into the outbox costs a cache line of each session for each message.
        let mut waits = bytes.as_ref().is_some_and(|bytes| !bytes.outbox.is_empty());
        poll_fn(move |cx| {
            let Some(bytes) = &mut bytes else {
                return Poll::Ready(Ok(()));
            };
            let io = &mut bytes.stream.io;
            let failed = |operation, source| Error::io(operation, info.peer(), source);
            while !info.wants_messages() {
                if waits {
                    ready!(bytes.outbox.poll_write(io, info, cx))?;
                    waits = false;
                }
                let lent = poll_lend(io, cx, |io, came, cx| {
                    give_back(io, came, info, cx, |unsent| {
                        waits = true;
                        bytes.outbox.push(unsent);
                    })
                });
                match ready!(lent).map_err(|source| failed(Operation::Receive, source))? {
                    None => {
                        bytes.inbox.finish();
                        break;
                    }
                    Some(given) => given.map_err(|source| failed(Operation::Send, source))?,
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl BytesCarrier {
    /// Whether all that comes over a socket is one message, whatever it is. What stands between us and a socket would have
    /// to be flushed as well.
    fn is_bare(&self) -> bool {
        let is_socket = matches!(self.stream.io, Io::Tcp(_) | Io::Unix(_));
        is_socket && self.stream.head.is_empty() && self.inbox.takes_all(READ)
    }
}

/// What does not leave at once is for `keep`.
fn give_back(
    io: &mut Io,
    came: &[u8],
    info: &Info,
    cx: &mut Context<'_>,
    keep: impl FnOnce(&[u8]),
) -> io::Result<()> {
    let counters = info.counters();
    counters.add_bytes_in(came.len());
    counters.add_message_in();
    counters.add_message_out();
    let written = match Pin::new(io).poll_write(cx, came) {
        Poll::Ready(written) => written?,
        Poll::Pending => 0,
    };
    counters.add_bytes_out(written);
    if written < came.len() {
        keep(&came[written..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use wire::framing::Framing;

    use super::*;
    use crate::session::{Endpoint, Identity, Link, MAX_MESSAGE, Side};
    use crate::stream::ByteStream;

    fn session(framing: Framing, most: usize) -> (Session, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let identity = Identity::new(Side::Accepted, "unix", Endpoint::Memory, Endpoint::Memory);
        let link = Link::Bytes(ByteStream::from(near), framing);
        (Session::new(link, identity, most), far)
    }

    #[tokio::test]
    async fn all_comes_back_through_a_socket_that_is_often_full() {
        let (mut session, far) = session(Framing::Raw, MAX_MESSAGE);
        let sent: Vec<u8> = (0..3_000_000).map(|at| (at * 7 + at / 509) as u8).collect();
        let (mut reader, mut writer) = far.into_split();
        let writing = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let reading = async {
            let mut back = vec![0; sent.len()];
            reader.read_exact(&mut back).await.unwrap();
            back
        };
        let (reflected, (), back) = tokio::join!(session.reflect(), writing, reading);
        reflected.unwrap();
        assert!(back == sent);
        assert!(session.recv().await.unwrap().is_none(), "recv sees the end");
        assert!(session.info().peer_has_finished());
        let counters = session.info().counters();
        let size = sent.len() as u64;
        assert_eq!((counters.bytes_in(), counters.bytes_out()), (size, size));
        assert!(counters.messages_in() > size / READ as u64);
        assert_eq!(counters.messages_in(), counters.messages_out());
    }

    #[tokio::test]
    async fn whoever_wants_messages_gets_them() {
        for (framing, most, is_stopped) in [
            (Framing::Line, MAX_MESSAGE, false),
            (Framing::Raw, 3, false),
            (Framing::Raw, MAX_MESSAGE, true),
        ] {
            let (mut session, mut far) = session(framing, most);
            far.write_all(b"one\n").await.unwrap();
            if is_stopped {
                session.info().stop();
            }
            session.reflect().await.unwrap();
            let message = session.recv().await.unwrap().expect("it is still there");
            assert_eq!(message.data[..3], *b"one");
        }
    }

    #[tokio::test]
    async fn a_stop_ends_it() {
        let (mut session, mut far) = session(Framing::Raw, MAX_MESSAGE);
        let info = session.info().clone();
        let asking = async {
            far.write_all(b"one").await.unwrap();
            far.read_exact(&mut [0; 3]).await.unwrap();
            info.stop();
            // Whoever stops a session has its task polled.
            tokio::task::yield_now().await;
        };
        let (reflected, ()) = tokio::join!(session.reflect(), asking);
        reflected.unwrap();
        assert!(session.recv().await.unwrap().is_none());
        assert!(!session.info().peer_has_finished());
    }

    #[tokio::test]
    async fn what_breaks_is_told() {
        let (mut session, far) = session(Framing::Raw, MAX_MESSAGE);
        far.writable().await.unwrap();
        far.try_write(b"x").unwrap();
        // What is left unread in a socket that is closed resets the other end, and nothing can be written to it.
        drop(far);
        session.reflect().await.expect_err("nobody is there");
    }
}
