//! Everything back as it came, without a message being made of it while nobody looks at messages.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::sending::Outbox;
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
        poll_fn(move |cx| {
            let Carrier::Bytes(bytes) = carrier else {
                return Poll::Ready(Ok(()));
            };
            let BytesCarrier {
                stream,
                inbox,
                outbox,
            } = &mut **bytes;
            let failed = |operation, source| Error::io(operation, info.peer(), source);
            // What stands between us and a socket has to be flushed as well.
            let is_socket = matches!(stream.io, Io::Tcp(_) | Io::Unix(_));
            while is_socket
                && inbox.takes_all(READ)
                && stream.head.is_empty()
                && !info.wants_messages()
            {
                ready!(outbox.poll_write(&mut stream.io, info, cx))?;
                let lent = poll_lend(&mut stream.io, cx, |io, came, cx| {
                    give_back(io, outbox, came, info, cx)
                });
                match ready!(lent).map_err(|source| failed(Operation::Receive, source))? {
                    None => inbox.finish(),
                    Some(given) => given.map_err(|source| failed(Operation::Send, source))?,
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// What does not leave at once waits in the outbox.
fn give_back(
    io: &mut Io,
    outbox: &mut Outbox,
    came: &[u8],
    info: &Info,
    cx: &mut Context<'_>,
) -> io::Result<()> {
    info.counters().add_bytes_in(came.len());
    info.counters().add_message_in();
    info.counters().add_message_out();
    let written = match Pin::new(io).poll_write(cx, came) {
        Poll::Ready(written) => written?,
        Poll::Pending => 0,
    };
    info.counters().add_bytes_out(written);
    outbox.push(&came[written..]);
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
