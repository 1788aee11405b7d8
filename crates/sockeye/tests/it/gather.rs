//! `feed`: messages wait for others, never for ever, and none is lost.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use sockeye::service::Echo;
use sockeye::{ByteStream, Endpoint, Framing, Identity, Link, MAX_MESSAGE, Service, Session, Side};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Gives all of its input with one read, and keeps each write apart.
struct Scripted {
    input: &'static [u8],
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        out.put_slice(std::mem::take(&mut self.input));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(data.to_vec());
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_batch_of_messages_is_answered_with_one_write() {
    let writes = Arc::new(Mutex::new(Vec::new()));
    let io = Scripted {
        input: b"one\ntwo\nthree\n",
        writes: writes.clone(),
    };
    let identity = Identity::new(Side::Accepted, "memory", Endpoint::Memory, Endpoint::Memory);
    let link = Link::Bytes(ByteStream::new(io), Framing::Line);
    let session = Session::new(link, identity, MAX_MESSAGE);
    let info = session.info().clone();
    Echo.serve(session).await.unwrap();
    assert_eq!(*writes.lock().unwrap(), [b"one\ntwo\nthree\n".to_vec()]);
    assert_eq!(info.counters().bytes_out(), 14);
    assert_eq!(info.counters().messages_out(), 3);
}

#[tokio::test]
async fn what_was_fed_leaves_before_recv_waits() {
    for (mut near, mut far) in [Session::pair(Framing::Line), Session::packet_pair()] {
        near.feed("a").await.unwrap();
        near.feed("b").await.unwrap();
        let asked = async {
            for text in ["a", "b"] {
                assert_eq!(far.recv().await.unwrap().unwrap().text().unwrap(), text);
            }
            far.send("c").await.unwrap();
        };
        let (heard, ()) = tokio::join!(near.recv(), asked);
        assert_eq!(heard.unwrap().unwrap().text().unwrap(), "c");
    }
}

#[tokio::test]
async fn what_was_fed_keeps_its_place_before_what_is_sent_and_the_end() {
    let (mut near, mut far) = Session::pair(Framing::Line);
    near.feed("a").await.unwrap();
    near.send("b").await.unwrap();
    near.feed("c").await.unwrap();
    near.finish().await.unwrap();
    let mut heard = Vec::new();
    while let Some(message) = far.recv().await.unwrap() {
        heard.push(message.text().unwrap().to_owned());
    }
    assert_eq!(heard, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_was_fed_is_written_after_the_message_view_was_left_too() {
    let (mut near, far) = Session::pair(Framing::Line);
    near.feed("a").await.unwrap();
    let (receiver, mut sender) = near.split();
    sender.send("b").await.unwrap();
    drop((receiver, sender));
    let mut all = String::new();
    let mut far = far.into_stream();
    far.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "a\nb\n");

    let (mut near, far) = Session::pair(Framing::Line);
    near.feed("a").await.unwrap();
    let mut near = near.into_stream();
    tokio::io::AsyncWriteExt::shutdown(&mut near).await.unwrap();
    let mut all = String::new();
    far.into_stream().read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "a\n");
}
