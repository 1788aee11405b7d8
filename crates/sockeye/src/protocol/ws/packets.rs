//! The messages of one WebSocket connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use wire::websocket::{self, Close, Decoder, Encoder, Event, Role};

mod parting;

use parting::Parting;

use super::handshake::Agreed;
use super::outbox::Outbox;
use super::pulse::{Beat, Pulse};
use super::{Settings, keys};
use crate::error::{Error, Operation, Result};
use crate::session::{Info, Kind, Message, Side};
use crate::stream::join::Silence;
use crate::stream::{ByteStream, LastLook, poll_fill};

/// A payload from this size on is written from where it is, if the frame does not change it.
const LARGE: usize = 16 * 1024;

/// The messages of one connection.
///
/// What is sent gathers until somebody flushes; what the peer is owed (pongs) goes out before a receiver waits.
/// The two halves may be polled by two tasks.
pub(super) struct WsPackets {
    stream: ByteStream,
    role: Role,
    decoder: Decoder,
    encoder: Encoder,
    outbox: Outbox,
    info: Arc<Info>,
    pulse: Pulse,
    /// How long the peer has taken nothing of what waits to be written.
    stall: Silence,
    phase: Phase,
    /// The newest ping that could not be answered yet.
    ping: Option<Bytes>,
    /// Something of our own waits in the outbox, and nobody else flushes it.
    owed: bool,
    /// What our close frame is to say, if somebody chose it.
    last_words: Option<Box<Close>>,
    /// Taken at a shutdown.
    last_look: LastLook,
    /// From our close frame on.
    parting: Option<Box<Parting>>,
    /// Who waits to send, and who waits to receive: two tasks, when the session was split.
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// How far the peer is.
#[derive(Debug)]
enum Phase {
    /// It may send.
    Open,
    /// It has closed, with this code. We may still send, and answer its close frame when we are done.
    Heard(Option<u16>),
    /// The connection is being ended, and nothing that comes is listened to. Then this is told.
    Leaving(Option<Box<Error>>),
    Over,
}

impl WsPackets {
    pub(super) fn new(
        mut stream: ByteStream,
        info: Arc<Info>,
        max_message: usize,
        agreed: &Agreed,
        settings: &Settings,
    ) -> Self {
        // From here on messages are counted.
        stream.tally = None;
        let deflate = agreed.deflate.as_ref();
        let (role, encoder) = match info.side() {
            Side::Accepted => (Role::Server, Encoder::server(deflate)),
            Side::Dialed => (Role::Client, Encoder::client(deflate, keys::mask)),
        };
        let last_words = settings.close.clone();
        Self {
            stream,
            role,
            decoder: Decoder::new(role, max_message, deflate),
            encoder,
            outbox: Outbox::default(),
            info,
            pulse: Pulse::new(settings.ping_interval),
            stall: Silence::default(),
            phase: Phase::Open,
            ping: None,
            owed: false,
            last_look: LastLook::default(),
            last_words: last_words.map(|(code, reason)| Box::new(Close::new(code, reason))),
            parting: None,
            sender: None,
            receiver: None,
        }
    }

    /// The next message; `None` when no more come.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>>> {
        loop {
            match self.phase {
                Phase::Open => {}
                Phase::Heard(_) => return Poll::Ready(Ok(None)),
                Phase::Leaving(_) | Phase::Over => {
                    ready!(self.poll_leave(cx))?;
                    return Poll::Ready(Ok(None));
                }
            }
            let ByteStream { io, head, .. } = &mut self.stream;
            match self.decoder.decode(head) {
                Ok(Some(Event::Message { kind, data })) => {
                    self.prolong();
                    return Poll::Ready(Ok(Some(message(kind, data))));
                }
                Ok(Some(Event::Ping(payload))) => {
                    self.ping = Some(payload);
                    self.answer_ping();
                }
                Ok(Some(Event::Pong(payload))) => self.pulse.answered(&payload, &self.info),
                Ok(Some(Event::Close(close))) => self.hear(close),
                Err(violation) => self.refuse(&violation),
                Ok(None) => match poll_fill(io, head, cx) {
                    Poll::Ready(Ok(0)) => self.hear_the_end(),
                    Poll::Ready(Ok(_)) => self.pulse.heard(),
                    Poll::Ready(Err(source)) => self.break_off(Operation::Receive, source),
                    // Shutting down: what has arrived is given, more is not waited for.
                    Poll::Pending
                        if self.parting.is_none()
                            && self.info.is_stopping()
                            && let Poll::Ready(again) = self.last_look.poll_again(io, cx) =>
                    {
                        if !again {
                            return Poll::Ready(Ok(None));
                        }
                    }
                    Poll::Pending => {
                        ready!(self.poll_time(cx));
                    }
                },
            }
        }
    }

    /// Nothing more has come: what the peer is owed goes out, and time passes. Ready when that has changed
    /// something.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let beat = self.pulse.poll(cx);
        match beat {
            Poll::Pending if !self.owed => return Poll::Pending,
            Poll::Ready(Beat::Ping(payload)) if self.outbox.has_room() => {
                self.encoder.ping(&payload, self.outbox.frames());
                self.owed = true;
            }
            // If not even a ping finds room, the peer reads nothing; the next beats will tell.
            Poll::Ready(Beat::Ping(_)) | Poll::Pending => {}
            Poll::Ready(Beat::Dead(silence)) => {
                let words = format!("2 pings were not answered, nothing came for {silence:?}");
                let source = io::Error::new(io::ErrorKind::TimedOut, words);
                self.break_off(Operation::Receive, source);
            }
            Poll::Ready(Beat::Late) => self.hear_nothing(),
        }
        if self.owed {
            match self.poll_outbox(cx) {
                Poll::Ready(Err(source)) => {
                    self.break_off(Operation::Send, source);
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        beat.map(|_| ())
    }

    /// Ready when the peer has taken nothing for as long as it may give no sign of life. Pings do not tell it: a
    /// peer that reads nothing may talk, and nobody listens while a whole session is busy sending.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        // Our close frame has a limit of its own.
        let Some(limit) = self.pulse.patience().filter(|_| self.parting.is_none()) else {
            return Poll::Pending;
        };
        ready!(self.stall.poll_over(cx, self.outbox.taken(), limit));
        let why = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it took nothing for {limit:?}"),
            )
        };
        self.stream.reset_on_close();
        self.break_off(Operation::Send, why());
        wake(&mut self.receiver, cx);
        Poll::Ready(why())
    }

    fn answer_ping(&mut self) {
        if self.outbox.has_room()
            && self.parting.is_none()
            && let Some(payload) = self.ping.take()
        {
            self.encoder.pong(&payload, self.outbox.frames());
            self.owed = true;
        }
    }

    /// Writes all that waits, and in the end our close frame.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.answer_ping();
            if self.outbox.has_room()
                && let Some(close) = self.parting.as_mut().and_then(|parting| parting.unsaid())
            {
                self.encoder.close(close.as_ref(), self.outbox.frames());
            }
            if self.outbox.is_empty() {
                self.owed = false;
                return Poll::Ready(Ok(()));
            }
            ready!(self.outbox.poll_write(&mut self.stream.io, cx))?;
            wake(&mut self.sender, cx);
        }
    }
}

impl Stream for WsPackets {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(came) = this.parting.as_mut().and_then(|parting| parting.take()) {
            return Poll::Ready(Some(came));
        }
        let polled = this.poll_message(cx);
        if polled.is_pending() {
            remember(&mut this.receiver, cx);
        }
        polled.map(Result::transpose)
    }
}

impl Sink<Message> for WsPackets {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.parting.is_some() || matches!(self.phase, Phase::Leaving(_) | Phase::Over) {
            let gone = io::ErrorKind::BrokenPipe.into();
            return Poll::Ready(Err(Error::io(Operation::Send, self.info.peer(), gone)));
        }
        if self.outbox.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let this = &mut *self;
        this.answer_ping();
        // Who says that bytes are text does not make them so, and the peer would have to fail on them.
        let kind = match message.kind {
            Kind::Text if str::from_utf8(&message.data).is_ok() => websocket::Kind::Text,
            Kind::Text | Kind::Binary => websocket::Kind::Binary,
        };
        let frames = this.outbox.frames();
        if message.data.len() >= LARGE && this.encoder.is_plain() {
            this.encoder.begin(kind, message.data.len(), frames);
            this.outbox.put_tail(message.data);
        } else {
            this.encoder.message(kind, &message.data, frames);
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = match self.poll_outbox(cx) {
            Poll::Pending => {
                remember(&mut self.sender, cx);
                self.poll_stall(cx).map(Err)
            }
            done => done,
        };
        polled.map_err(|source| Error::io(Operation::Send, self.info.peer(), source))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = self.poll_farewell(cx);
        if polled.is_pending() {
            remember(&mut self.sender, cx);
        }
        polled
    }
}

fn message(kind: websocket::Kind, data: Bytes) -> Message {
    let kind = match kind {
        websocket::Kind::Text => Kind::Text,
        websocket::Kind::Binary => Kind::Binary,
    };
    let from = None;
    Message { data, kind, from }
}

fn remember(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

/// Wakes the other task, if there is one.
fn wake(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if let Some(waker) = waker.take_if(|waker| !waker.will_wake(cx.waker())) {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
