//! The end of a WebSocket connection: close frames, both ways, and what goes wrong (RFC 6455, section 7).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use wire::websocket::{Close, Role, Violation};

use super::{Phase, WsPackets, wake};
use crate::error::{Error, Operation, Result};
use crate::session::Message;
use crate::stream::{ByteStream, poll_fill};

/// How long a close frame waits for its answer, and a connection for its end. Data that still comes prolongs
/// it.
const CLOSING: Duration = Duration::from_secs(2);

/// Bytes of messages that are kept for the receiver while the sender waits for the peer's close frame.
const ASIDE: usize = 64 * 1024;

/// What is only needed in the end.
#[derive(Debug, Default)]
pub(super) struct Parting {
    /// Our close frame, while it could not be put behind what waits to be written.
    unsaid: Option<Option<Close>>,
    code: Option<u16>,
    /// The peer may be in the middle of something: it is read to its end, so that what we said arrives. Closing
    /// a TCP socket with unread input sends RST, which can destroy the last words on their way (RFC 1122,
    /// section 4.2.2.13).
    drains: bool,
    /// Our direction is shut.
    shut: bool,
    /// What came while the sender waited for the peer's close frame.
    aside: VecDeque<Result<Message>>,
    bytes: usize,
}

impl Parting {
    /// Our close frame, to be written now.
    pub(super) fn unsaid(&mut self) -> Option<Option<Close>> {
        self.unsaid.take()
    }

    /// The next of what was set aside.
    pub(super) fn take(&mut self) -> Option<Result<Message>> {
        let came = self.aside.pop_front()?;
        self.bytes -= cost(&came);
        Some(came)
    }

    /// Sets aside what came. `false`: that is enough.
    fn put(&mut self, came: Result<Message>) -> bool {
        self.bytes += cost(&came);
        self.aside.push_back(came);
        self.bytes <= ASIDE
    }
}

/// Empty messages count, too.
fn cost(came: &Result<Message>) -> usize {
    came.as_ref().map_or(0, |message| message.data.len()) + size_of::<Message>()
}

impl WsPackets {
    /// The peer goes on talking after our close frame.
    pub(super) fn prolong(&mut self) {
        if self.parting.is_some() {
            self.pulse.expect_close(CLOSING);
        }
    }

    /// The peer has not answered our close frame.
    pub(super) fn hear_nothing(&mut self) {
        let peer = self.info.peer();
        let note = format!("{peer} did not answer our close frame within {CLOSING:?}");
        self.info.note(&note);
        // The time is up also for whatever else could be waited for.
        self.phase = Phase::Leaving(None);
    }

    /// The peer's close frame has come.
    pub(super) fn hear(&mut self, close: Option<Close>) {
        let code = close.as_ref().map(|close| close.code);
        let is_answer = self.parting.as_ref().map(|parting| parting.code == code);
        let is_clean = matches!(code, None | Some(1000 | 1001)) || is_answer == Some(true);
        let error = close
            .filter(|_| !is_clean)
            .map(|close| Error::ClosedByPeer {
                address: self.info.peer().to_string(),
                code: close.code,
                reason: close.reason,
            });
        if is_clean && is_answer.is_none() {
            self.phase = Phase::Heard(code);
        } else {
            self.say(code.map(|code| Close::new(code, "")));
            self.leave(error);
        }
    }

    /// The stream has ended without a close frame.
    pub(super) fn hear_the_end(&mut self) {
        let address = self.info.peer().to_string();
        let is_cut = self.decoder.is_inside_message(&self.stream.head);
        if is_cut || self.parting.is_none() {
            let reason = if is_cut { "a message is cut short" } else { "" };
            self.leave(Some(Error::ClosedByPeer {
                address,
                code: 1006,
                reason: reason.to_owned(),
            }));
        } else {
            let note = format!("{address} closed without an answer to our close frame");
            self.info.note(&note);
            self.leave(None);
        }
    }

    /// The connection is broken.
    pub(super) fn break_off(&mut self, operation: Operation, source: io::Error) {
        let peer = self.info.peer();
        let error = Error::io(operation, peer, source);
        if self.parting.is_some() && error.is_reset() {
            let note =
                format!("{peer} cut the connection off instead of answering our close frame");
            self.info.note(&note);
            self.leave(None);
        } else {
            self.leave(Some(error));
        }
    }

    /// Nothing more is listened to, and ending the connection may not take long.
    fn leave(&mut self, error: Option<Error>) {
        self.pulse.expect_close(CLOSING);
        self.phase = Phase::Leaving(error.map(Box::new));
    }

    /// The peer broke the protocol.
    pub(super) fn refuse(&mut self, violation: &Violation) {
        self.say(Some(Close::new(violation.code(), violation.to_string())));
        if let Some(parting) = &mut self.parting {
            parting.drains = true;
        }
        self.leave(Some(Error::Protocol {
            operation: Operation::Receive,
            address: self.info.peer().to_string(),
            reason: violation.to_string(),
        }));
    }

    /// Our close frame, unless it has been said.
    fn say(&mut self, close: Option<Close>) {
        if self.parting.is_none() {
            self.parting = Some(Box::new(Parting {
                code: close.as_ref().map(|close| close.code),
                unsaid: Some(close),
                ..Parting::default()
            }));
        }
    }

    /// What we close with of our own accord.
    fn farewell(&mut self) -> Close {
        match self.last_words.take() {
            Some(close) => *close,
            None if self.info.is_stopping() => Close::new(1001, ""),
            None => Close::new(1000, ""),
        }
    }

    /// Ends the connection: what waits is written, the server shuts its direction first (RFC 6455, section
    /// 7.1.1), and the other one's end is waited for where it matters.
    pub(super) fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !matches!(self.phase, Phase::Over) && self.poll_ended(cx).is_pending() {
            // An end that does not come is not waited for.
            if self.pulse.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let _ = Pin::new(&mut self.stream.io).poll_shutdown(cx);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        wake(&mut self.sender, cx);
        wake(&mut self.receiver, cx);
        Poll::Ready(match phase {
            Phase::Leaving(Some(error)) => Err(*error),
            _ => Ok(()),
        })
    }

    /// Every error is an end, too.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let written = ready!(self.poll_outbox(cx));
        let Some(parting) = &mut self.parting else {
            let _ = ready!(Pin::new(&mut self.stream.io).poll_shutdown(cx));
            return Poll::Ready(());
        };
        let ByteStream { io, head, .. } = &mut self.stream;
        if (self.role == Role::Server || parting.drains) && !parting.shut {
            let _ = ready!(Pin::new(&mut *io).poll_shutdown(cx));
            parting.shut = true;
        }
        if written.is_ok() && (self.role == Role::Client || parting.drains) {
            while let Ok(1..) = ready!(poll_fill(io, head, cx)) {
                head.clear();
            }
        }
        if !parting.shut {
            let _ = ready!(Pin::new(&mut *io).poll_shutdown(cx));
            parting.shut = true;
        }
        Poll::Ready(())
    }

    /// Says goodbye and waits for the peer's.
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if matches!(self.phase, Phase::Open) && self.parting.is_none() {
            let close = self.farewell();
            self.say(Some(close));
            self.pulse.expect_close(CLOSING);
        }
        if let Phase::Heard(code) = self.phase {
            self.say(code.map(|code| Close::new(code, "")));
            self.leave(None);
        }
        loop {
            if matches!(self.phase, Phase::Over) {
                return Poll::Ready(Ok(()));
            }
            let is_said = match self.poll_outbox(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(source)) => {
                    self.break_off(Operation::Send, source);
                    false
                }
                Poll::Pending => false,
            };
            let came = match self.poll_message(cx) {
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Some(message))) => Ok(message),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => return Poll::Pending,
            };
            let Some(parting) = &mut self.parting else {
                return Poll::Ready(came.map(|_| ()));
            };
            let has_room = parting.put(came);
            wake(&mut self.receiver, cx);
            if !has_room {
                // The receiver goes on from here.
                return match is_said {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                };
            }
        }
    }
}

impl Drop for WsPackets {
    /// A session that nobody finished still says goodbye, if that needs no waiting.
    fn drop(&mut self) {
        if let Some(parting) = &mut self.parting {
            // Nobody has asked for it.
            for error in parting.aside.drain(..).filter_map(Result::err) {
                self.info.note(&error.to_string());
            }
        }
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.parting.is_none() {
            let close = match self.phase {
                Phase::Heard(code) => code.map(|code| Close::new(code, "")),
                _ => Some(Close::new(1001, "")),
            };
            self.parting = Some(Box::new(Parting {
                unsaid: Some(close),
                ..Parting::default()
            }));
        }
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(())) = self.poll_outbox(cx) {
            let _ = Pin::new(&mut self.stream.io).poll_shutdown(cx);
        }
    }
}
