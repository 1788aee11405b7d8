//! Messages over a byte stream: the work that a whole session and its split halves share.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;
use wire::framing::{Cutter, Framing};
use wire::sniff::{Matcher, Protocol, Verdict, sniff};

use crate::error::{Error, Operation, Result};
use crate::session::{Info, Message};
use crate::stream::{self, DRAIN, DRAIN_STOPPING, LastLook, Source, poll_fill};

/// Cuts the messages of one stream and knows whether the stream has ended.
#[derive(Debug)]
pub(super) struct Inbox {
    cutter: Cutter,
    max_message: usize,
    /// Nothing more is read.
    ended: bool,
    /// The peer's end was read.
    finished: bool,
    /// What the first bytes must not be: we have spoken already, as if they could only be plain ones.
    refused: Option<&'static [Matcher]>,
    /// Runs while an unfinished message pauses, where pauses end messages.
    pause: Option<Pin<Box<Sleep>>>,
    /// Taken at a shutdown.
    last_look: LastLook,
}

impl Inbox {
    pub(super) fn new(framing: Framing, max_message: usize) -> Self {
        Self {
            cutter: Cutter::new(framing, max_message),
            max_message,
            ended: false,
            finished: false,
            refused: None,
            pause: None,
            last_look: LastLook::default(),
        }
    }

    pub(super) fn reframe(&mut self, framing: Framing) {
        self.cutter = Cutter::new(framing, self.max_message);
    }

    /// The peer was spoken to as a plain one: bytes of any of these protocols end the session.
    pub(super) fn refuse(&mut self, matchers: &'static [Matcher]) {
        self.refused = Some(matchers);
    }

    pub(super) fn framing(&self) -> &Framing {
        self.cutter.framing()
    }

    /// Whether all that a read of `size` bytes gives is one message, whatever it is.
    pub(super) fn takes_all(&self, size: usize) -> bool {
        self.framing().is_raw() && self.max_message >= size && self.refused.is_none() && !self.ended
    }

    /// The peer's end was read.
    pub(super) fn finish(&mut self) {
        (self.ended, self.finished) = (true, true);
    }

    /// The next message of those that have been read.
    pub(super) fn cut(&mut self, head: &mut BytesMut, info: &Info) -> Result<Option<Message>> {
        let cut = if self.ended {
            self.cutter.finish(head)
        } else {
            self.cutter.cut(head)
        };
        match cut {
            Ok(data) => Ok(data.map(Message::binary)),
            Err(source) => Err(Error::Framing {
                operation: Operation::Receive,
                address: info.peer().to_string(),
                source,
            }),
        }
    }

    /// Reads until it is known what the peer speaks. A peer that ends before, or a stop, is [`Protocol::Raw`]:
    /// the session finds that end again.
    pub(super) fn poll_sniff<R: Source>(
        &mut self,
        io: &mut R,
        head: &mut BytesMut,
        matchers: &[Matcher],
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Protocol>> {
        loop {
            if !head.is_empty()
                && let Verdict::Is(protocol) = sniff(head, matchers)
            {
                return Poll::Ready(Ok(protocol));
            }
            match poll_fill(io, head, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Protocol::Raw)),
                Poll::Ready(Ok(n)) => info.counters().add_bytes_in(n),
                Poll::Ready(Err(source)) => {
                    return Poll::Ready(Err(Error::io(Operation::Receive, info.peer(), source)));
                }
                // What has arrived is answered in its own protocol even now.
                Poll::Pending if info.is_stopping() => {
                    if !ready!(self.last_look.poll_again(io, cx)) {
                        return Poll::Ready(Ok(Protocol::Raw));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    pub(super) fn poll_receive<R: Source>(
        &mut self,
        io: &mut R,
        head: &mut BytesMut,
        info: &Info,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>>> {
        loop {
            match self.cut(head, info)? {
                None if !self.ended => {}
                cut => return Poll::Ready(Ok(cut)),
            }
            match poll_fill(io, head, cx) {
                Poll::Ready(Ok(0)) => self.finish(),
                Poll::Ready(Ok(n)) => {
                    info.counters().add_bytes_in(n);
                    self.pause = None;
                    if let Some(matchers) = self.refused.take() {
                        check_plain(head, matchers, info)?;
                    }
                }
                Poll::Ready(Err(source)) => {
                    return Poll::Ready(Err(Error::io(Operation::Receive, info.peer(), source)));
                }
                // Shutting down: what has arrived is read, more is not waited for.
                Poll::Pending
                    if info.ends_when_stopping()
                        && let Poll::Ready(again) = self.last_look.poll_again(io, cx) =>
                {
                    if !again {
                        self.ended = true;
                        self.leave_unfinished(head, info);
                    }
                }
                Poll::Pending => {
                    ready!(self.poll_gap(head, cx));
                    return Poll::Ready(Ok(self.cutter.gap(head).map(Message::binary)));
                }
            }
        }
    }

    /// A message that is not whole when we stop is none: acting on half a command would be worse than on
    /// none. Without marks every part is whole.
    fn leave_unfinished(&self, head: &mut BytesMut, info: &Info) {
        let whole = matches!(self.framing(), Framing::Raw | Framing::Idle(_));
        if !whole && !head.is_empty() {
            let (n, peer) = (head.len(), info.peer());
            info.note(&format!(
                "dropped {n} bytes of an unfinished message from {peer}"
            ));
            head.clear();
        }
    }

    /// Ready when no byte has come for as long as a message can pause; never, unless pauses end messages.
    fn poll_gap(&mut self, head: &BytesMut, cx: &mut Context<'_>) -> Poll<()> {
        match self.cutter.framing() {
            Framing::Idle(gap) if !head.is_empty() => {
                let gap = *gap;
                let pause = self
                    .pause
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(gap)));
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

/// Takes the first line with its end, whatever the framing; what there is when the peer ends before, or when
/// there is no end within `most` bytes.
pub(super) fn poll_line<R: Source>(
    io: &mut R,
    head: &mut BytesMut,
    most: usize,
    info: &Info,
    cx: &mut Context<'_>,
) -> Poll<Result<BytesMut>> {
    loop {
        if let Some(end) = head.iter().take(most).position(|byte| *byte == b'\n') {
            return Poll::Ready(Ok(head.split_to(end + 1)));
        }
        if head.len() >= most {
            return Poll::Ready(Ok(head.split_to(most)));
        }
        match ready!(poll_fill(io, head, cx)) {
            Ok(0) => return Poll::Ready(Ok(head.split())),
            Ok(n) => info.counters().add_bytes_in(n),
            Err(source) => {
                return Poll::Ready(Err(Error::io(Operation::Receive, info.peer(), source)));
            }
        }
    }
}

fn check_plain(head: &[u8], matchers: &[Matcher], info: &Info) -> Result<()> {
    let name = match sniff(head, matchers) {
        Verdict::NeedMore | Verdict::Is(Protocol::Raw) => return Ok(()),
        Verdict::Is(Protocol::Tls) => "TLS",
        Verdict::Is(Protocol::Http1 | Protocol::Http2) => "HTTP",
    };
    Err(Error::Protocol {
        operation: Operation::Receive,
        address: info.peer().to_string(),
        reason: format!("it began to speak {name} after it had been greeted as a plain client"),
    })
}

/// Ends our direction. A peer that has already gone is no error: there is nobody left to tell.
pub(super) async fn finish<W: AsyncWrite + Unpin>(io: &mut W, info: &Info) -> Result<()> {
    match io.shutdown().await {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other.map_err(|source| Error::io(Operation::Send, info.peer(), source)),
    }
}

/// Throws away what the peer still sends, within bounds.
pub(super) async fn drain<R: Source>(io: &mut R, head: &mut BytesMut, inbox: &Inbox, info: &Info) {
    if inbox.finished {
        return;
    }
    let longest = if info.is_stopping() {
        DRAIN_STOPPING
    } else {
        DRAIN
    };
    stream::drain(io, head, longest).await;
}
