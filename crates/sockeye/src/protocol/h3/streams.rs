//! A connection of quinn's and its streams, as the HTTP/3 library takes them; those of WebTransport are sorted out before
//! it sees them.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h3::error::Code;
use ::h3::quic::{
    self, ConnectionErrorIncoming as Lost, OpenStreams, StreamErrorIncoming as Broken, StreamId,
    WriteBuf,
};
use bytes::{Buf, Bytes};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use wire::quic_packet::{number, write_number};

use super::frames::{Frames, LONGEST};
use super::sorting::{Failure, Incoming};
use crate::protocol::quic::Brought;
use crate::protocol::webtransport::Sessions;

type Opening<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>> + Send + Sync>>;
type Both = (quinn::SendStream, quinn::RecvStream);

/// A connection.
pub(super) struct Connection {
    opener: Opener,
    both_ways: Incoming,
    one_way: Incoming,
    /// Where WebTransport is spoken.
    sessions: Option<Arc<Sessions>>,
    /// What is said to the peer beside what the library says.
    settings: Option<&'static [(u64, u64)]>,
}

impl Connection {
    /// Without WebTransport.
    pub(super) fn new(quic: quinn::Connection) -> Self {
        Self::with(quic, None, None)
    }

    /// Its streams go to `sessions`; `settings` are told to the peer beside what the library tells.
    pub(super) fn sorted(
        quic: quinn::Connection,
        sessions: Arc<Sessions>,
        settings: &'static [(u64, u64)],
    ) -> Self {
        Self::with(quic, Some(sessions), Some(settings))
    }

    fn with(
        quic: quinn::Connection,
        sessions: Option<Arc<Sessions>>,
        settings: Option<&'static [(u64, u64)]>,
    ) -> Self {
        Self {
            both_ways: Incoming::both_ways(quic.clone()),
            one_way: Incoming::one_way(quic.clone()),
            sessions,
            settings,
            opener: Opener::new(quic),
        }
    }

    fn failed(&self, failure: Failure) -> Lost {
        match failure {
            Failure::Lost(error) => lost(error),
            Failure::Lawless => {
                let why = "a stream names a session that is no request of the client's";
                close(&self.opener.quic, Code::H3_ID_ERROR, why)
            }
        }
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream, Lost>> {
        let next = ready!(self.one_way.poll_next(self.sessions.as_deref(), cx));
        let quic = &self.opener.quic;
        let next = next.map(|stream| RecvStream::new(stream, Frames::of_one_way(), quic));
        Poll::Ready(next.map_err(|failure| self.failed(failure)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, Lost>> {
        let next = ready!(self.both_ways.poll_next(self.sessions.as_deref(), cx));
        let quic = &self.opener.quic;
        Poll::Ready(match next {
            Ok(mut stream) => match stream.sending.take() {
                Some(sending) => Ok(BidiStream {
                    sending: SendStream::new(sending),
                    receiving: RecvStream::new(stream, Frames::default(), quic),
                }),
                None => Err(Lost::InternalError(
                    "a stream with one direction".to_owned(),
                )),
            },
            Err(failure) => Err(self.failed(failure)),
        })
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

/// Closes a connection that is not closed: the first reason is the one that its streams are to hear of.
fn shut(quic: &quinn::Connection, code: Code, reason: &[u8]) {
    if quic.close_reason().is_none() {
        quic.close(VarInt::try_from(code.value()).unwrap_or_default(), reason);
    }
}

/// Closes a connection, and says so to the library.
fn close(quic: &quinn::Connection, code: Code, why: &str) -> Lost {
    shut(quic, code, why.as_bytes());
    Lost::Undefined(Arc::new(io::Error::other(why.to_owned())))
}

impl OpenStreams<Bytes> for Connection {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, Broken>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, Broken>> {
        let opened = ready!(self.opener.poll_open_send(cx));
        let settings = self.settings;
        Poll::Ready(opened.map(|stream| SendStream { settings, ..stream }))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        OpenStreams::<Bytes>::close(&mut self.opener, code, reason);
    }
}

/// What opens streams of a connection.
pub(super) struct Opener {
    quic: quinn::Connection,
    both_ways: Option<Opening<Both>>,
    one_way: Option<Opening<quinn::SendStream>>,
}

impl Opener {
    fn new(quic: quinn::Connection) -> Self {
        Self {
            quic,
            both_ways: None,
            one_way: None,
        }
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(self.quic.clone())
    }
}

impl OpenStreams<Bytes> for Opener {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, Broken>> {
        let opening = self.both_ways.get_or_insert_with(|| {
            let quic = self.quic.clone();
            Box::pin(async move { quic.open_bi().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.both_ways = None;
        let opened = opened.map(|stream| BidiStream::new(stream, &self.quic));
        Poll::Ready(opened.map_err(broken_by_loss))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, Broken>> {
        let opening = self.one_way.get_or_insert_with(|| {
            let quic = self.quic.clone();
            Box::pin(async move { quic.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.one_way = None;
        Poll::Ready(opened.map(SendStream::new).map_err(broken_by_loss))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        shut(&self.quic, code, reason);
    }
}

/// A stream in both directions.
pub(super) struct BidiStream {
    sending: SendStream,
    receiving: RecvStream,
}

impl BidiStream {
    fn new((sending, receiving): Both, quic: &quinn::Connection) -> Self {
        let receiving = Brought::new(None, receiving);
        Self {
            sending: SendStream::new(sending),
            receiving: RecvStream::new(receiving, Frames::default(), quic),
        }
    }
}

impl quic::BidiStream<Bytes> for BidiStream {
    type SendStream = SendStream;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream, RecvStream) {
        (self.sending, self.receiving)
    }
}

impl quic::SendStream<Bytes> for BidiStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.sending.poll_ready(cx)
    }

    fn send_data<D: Into<WriteBuf<Bytes>>>(&mut self, data: D) -> Result<(), Broken> {
        self.sending.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.sending.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.sending.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.sending.send_id()
    }
}

impl quic::RecvStream for BidiStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        self.receiving.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receiving.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receiving.recv_id()
    }
}

/// What is sent on a stream.
pub(in crate::protocol) struct SendStream {
    stream: quinn::SendStream,
    writing: Option<Writing>,
    /// What goes with the settings of this end, should it begin with those.
    settings: Option<&'static [(u64, u64)]>,
}

enum Writing {
    Library(WriteBuf<Bytes>),
    Settings(Bytes),
}

impl SendStream {
    fn new(stream: quinn::SendStream) -> Self {
        Self {
            stream,
            writing: None,
            settings: None,
        }
    }
}

impl quic::SendStream<Bytes> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let buffer: &mut dyn Buf = match &mut self.writing {
            Some(Writing::Library(buffer)) => buffer,
            Some(Writing::Settings(buffer)) => buffer,
            None => return Poll::Ready(Ok(())),
        };
        while buffer.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buffer.chunk()));
            buffer.advance(written.map_err(unwritten)?);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<D: Into<WriteBuf<Bytes>>>(&mut self, data: D) -> Result<(), Broken> {
        let mut data = data.into();
        self.writing = Some(match self.settings.take() {
            None => Writing::Library(data),
            Some(more) => {
                let said = data.copy_to_bytes(data.remaining());
                Writing::Settings(with_settings(&said, more))
            }
        });
        Ok(())
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(
            self.stream
                .finish()
                .map_err(|error| Broken::Unknown(error.into())),
        )
    }

    fn reset(&mut self, code: u64) {
        // One that has been finished or reset needs no other end.
        let _ = self
            .stream
            .reset(VarInt::from_u64(code).unwrap_or(VarInt::MAX));
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

/// The beginning of a control stream, with what the library does not know to say in its settings. Everything else stays
/// as it is.
fn with_settings(sent: &Bytes, settings: &[(u64, u64)]) -> Bytes {
    /// RFC 9114, sections 6.2.1 and 7.2.4.
    const CONTROL_WITH_SETTINGS: &[u8] = &[0, 4];

    let frame = sent.strip_prefix(CONTROL_WITH_SETTINGS);
    let Some((_, at)) = frame.and_then(number) else {
        return sent.clone();
    };
    let mut rest = &sent[CONTROL_WITH_SETTINGS.len() + at..];
    let mut said = Vec::new();
    while let Some((id, at)) = number(rest)
        && let Some((value, more)) = number(&rest[at..])
    {
        rest = &rest[at + more..];
        // The library says of what it does not do that it does not.
        if !settings.iter().any(|(own, _)| *own == id) {
            write_number(id, &mut said);
            write_number(value, &mut said);
        }
    }
    for (id, value) in settings {
        write_number(*id, &mut said);
        write_number(*value, &mut said);
    }
    let mut whole = CONTROL_WITH_SETTINGS.to_vec();
    write_number(said.len() as u64, &mut whole);
    whole.extend(said);
    whole.into()
}

/// What comes on a stream.
pub(in crate::protocol) struct RecvStream {
    stream: quinn::RecvStream,
    /// What was read to see what it is.
    read: Bytes,
    frames: Frames,
    quic: quinn::Connection,
}

impl RecvStream {
    fn new(stream: Brought, frames: Frames, quic: &quinn::Connection) -> Self {
        Self {
            stream: stream.receiving,
            read: stream.read,
            frames,
            quic: quic.clone(),
        }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        let data = match self.read.is_empty() {
            false => Some(std::mem::take(&mut self.read)),
            true => ready!(poll_chunk(&mut self.stream, cx)).map_err(unread)?,
        };
        match &data {
            Some(data) if !self.frames.admit(data) => {
                // RFC 9114, section 10.5: a peer may not be made to keep what it has no use for.
                let why = format!("a frame is longer than {LONGEST} bytes");
                let connection_error = close(&self.quic, Code::H3_EXCESSIVE_LOAD, &why);
                Poll::Ready(Err(Broken::ConnectionErrorIncoming { connection_error }))
            }
            // The library takes the rest of such a frame for an end (RFC 9114, section 7.1: it is none).
            None if self.frames.is_within() => {
                let words = "the stream ended within a frame";
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, words);
                Poll::Ready(Err(Broken::Unknown(error.into())))
            }
            _ => Poll::Ready(Ok(data)),
        }
    }

    fn stop_sending(&mut self, code: u64) {
        // One that has ended needs no stopping.
        let _ = self
            .stream
            .stop(VarInt::from_u64(code).unwrap_or(VarInt::MAX));
    }

    fn recv_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

/// What has come next, without a copy. `None`: the end.
pub(super) fn poll_chunk(
    stream: &mut quinn::RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, ReadError>> {
    // The call keeps nothing between its polls.
    let chunk = ready!(pin!(stream.read_chunk(usize::MAX, true)).poll(cx));
    Poll::Ready(chunk.map(|chunk| chunk.map(|chunk| chunk.bytes)))
}

fn id(id: quinn::StreamId) -> StreamId {
    match StreamId::try_from(VarInt::from(id).into_inner()) {
        Ok(id) => id,
        Err(_) => unreachable!("both have 62 bits"),
    }
}

fn lost(error: ConnectionError) -> Lost {
    match error {
        ConnectionError::ApplicationClosed(close) => Lost::ApplicationClose {
            error_code: close.error_code.into_inner(),
        },
        ConnectionError::TimedOut => Lost::Timeout,
        other => Lost::Undefined(Arc::new(other)),
    }
}

fn broken_by_loss(error: ConnectionError) -> Broken {
    Broken::ConnectionErrorIncoming {
        connection_error: lost(error),
    }
}

fn unread(error: ReadError) -> Broken {
    match error {
        ReadError::Reset(code) => Broken::StreamTerminated {
            error_code: code.into_inner(),
        },
        ReadError::ConnectionLost(error) => broken_by_loss(error),
        other => Broken::Unknown(other.into()),
    }
}

fn unwritten(error: WriteError) -> Broken {
    match error {
        WriteError::Stopped(code) => Broken::StreamTerminated {
            error_code: code.into_inner(),
        },
        WriteError::ConnectionLost(error) => broken_by_loss(error),
        other => Broken::Unknown(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use wire::webtransport::SERVER_SETTINGS;

    use super::*;

    #[test]
    fn what_the_library_cannot_say_is_said_in_the_same_frame() {
        // A control stream with MAX_FIELD_SECTION_SIZE (6) of 64 bytes, and one that says no to WebTransport.
        let sent = Bytes::from_static(b"\0\x04\x03\x06\x40\x40");
        let more = with_settings(&sent, &SERVER_SETTINGS);
        let added = b"\xc0\0\0\0\xc6\x71\x70\x6a\x01\x94\xe9\xcd\x29\x01";
        assert_eq!(more[..], [&b"\0\x04\x11\x06\x40\x40"[..], added].concat());
        let sent = Bytes::from_static(b"\0\x04\x08\xab\x60\x37\x42\0\x06\x40\x40");
        let more = with_settings(&sent, &[(0x2b60_3742, 1)]);
        assert_eq!(more[..], *b"\0\x04\x08\x06\x40\x40\xab\x60\x37\x42\x01");
        for other in [&b"\x02"[..], b"\0\x07\x01\x04", b"", b"\0\x04"] {
            let other = Bytes::from_static(other);
            assert_eq!(with_settings(&other, &SERVER_SETTINGS), other);
        }
    }
}
