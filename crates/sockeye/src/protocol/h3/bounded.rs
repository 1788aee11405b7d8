//! The streams of a connection as the HTTP/3 library gets them, of which no frame may be so long that it fills the
//! memory: the library keeps all of a frame that is not a body's until its end has come.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h3::error::Code;
use ::h3::quic::{
    self, ConnectionErrorIncoming, OpenStreams, RecvStream as _, StreamErrorIncoming, StreamId,
    WriteBuf,
};
use bytes::Bytes;
use quinn::VarInt;

use crate::protocol::http::HEAD_MAX;

/// What a frame may hold that is kept as a whole. A head is no longer packed than it is unpacked but for letters that
/// are rare (RFC 9204, section 4.1.2), and one that is unpacked is limited anyway.
const LONGEST: u64 = 2 * HEAD_MAX as u64;

/// A connection, or what opens its streams.
#[derive(Clone)]
pub(super) struct Bounded<T> {
    inner: T,
    quic: quinn::Connection,
}

pub(super) type Connection = Bounded<h3_quinn::Connection>;
pub(super) type Opener = Bounded<h3_quinn::OpenStreams>;

impl Connection {
    pub(super) fn new(quic: quinn::Connection) -> Self {
        Self {
            inner: h3_quinn::Connection::new(quic.clone()),
            quic,
        }
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let accepted = quic::Connection::<Bytes>::poll_accept_recv(&mut self.inner, cx);
        Poll::Ready(
            ready!(accepted)
                .map(|stream| RecvStream::new(stream, Frames::of_one_way(), &self.quic)),
        )
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream, ConnectionErrorIncoming>> {
        let accepted = quic::Connection::<Bytes>::poll_accept_bidi(&mut self.inner, cx);
        Poll::Ready(ready!(accepted).map(|stream| BidiStream::new(stream, &self.quic)))
    }

    fn opener(&self) -> Opener {
        Bounded {
            inner: quic::Connection::<Bytes>::opener(&self.inner),
            quic: self.quic.clone(),
        }
    }
}

impl<T> OpenStreams<Bytes> for Bounded<T>
where
    T: OpenStreams<
            Bytes,
            BidiStream = h3_quinn::BidiStream<Bytes>,
            SendStream = h3_quinn::SendStream<Bytes>,
        >,
{
    type BidiStream = BidiStream;
    type SendStream = h3_quinn::SendStream<Bytes>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        let opened = ready!(self.inner.poll_open_bidi(cx));
        Poll::Ready(opened.map(|stream| BidiStream::new(stream, &self.quic)))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.inner.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.inner.close(code, reason);
    }
}

/// A stream in both directions.
pub(super) struct BidiStream {
    sending: h3_quinn::SendStream<Bytes>,
    receiving: RecvStream,
}

impl BidiStream {
    fn new(stream: h3_quinn::BidiStream<Bytes>, quic: &quinn::Connection) -> Self {
        let (sending, receiving) = quic::BidiStream::split(stream);
        Self {
            sending,
            receiving: RecvStream::new(receiving, Frames::default(), quic),
        }
    }
}

impl quic::BidiStream<Bytes> for BidiStream {
    type SendStream = h3_quinn::SendStream<Bytes>;
    type RecvStream = RecvStream;

    fn split(self) -> (Self::SendStream, RecvStream) {
        (self.sending, self.receiving)
    }
}

impl quic::SendStream<Bytes> for BidiStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sending.poll_ready(cx)
    }

    fn send_data<D: Into<WriteBuf<Bytes>>>(&mut self, data: D) -> Result<(), StreamErrorIncoming> {
        self.sending.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
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

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receiving.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receiving.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receiving.recv_id()
    }
}

/// What comes on a stream.
pub(super) struct RecvStream {
    inner: h3_quinn::RecvStream,
    id: StreamId,
    frames: Frames,
    quic: quinn::Connection,
    /// A read is under way, and has the stream.
    reading: bool,
}

impl RecvStream {
    fn new(inner: h3_quinn::RecvStream, frames: Frames, quic: &quinn::Connection) -> Self {
        Self {
            id: inner.recv_id(),
            inner,
            frames,
            quic: quic.clone(),
            reading: false,
        }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let polled = self.inner.poll_data(cx);
        self.reading = polled.is_pending();
        match &polled {
            Poll::Ready(Ok(Some(data))) if !self.frames.admit(data) => {}
            // The library takes the rest of such a frame for an end (RFC 9114, section 7.1: it is none).
            Poll::Ready(Ok(None)) if self.frames.is_within() => {
                let words = "the stream ended within a frame";
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, words);
                return Poll::Ready(Err(StreamErrorIncoming::Unknown(error.into())));
            }
            _ => return polled,
        }
        let why = format!("a frame is longer than {LONGEST} bytes");
        // RFC 9114, section 10.5: a peer may not be made to keep what it has no use for.
        let code = VarInt::try_from(Code::H3_EXCESSIVE_LOAD.value()).unwrap_or_default();
        self.quic.close(code, why.as_bytes());
        let connection_error = ConnectionErrorIncoming::Undefined(Arc::from(Box::<
            dyn std::error::Error + Send + Sync,
        >::from(why)));
        Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error,
        }))
    }

    /// While a read is under way the adapter has no stream to stop, and panics. Then the peer is told when the stream
    /// is dropped, without a code.
    fn stop_sending(&mut self, code: u64) {
        if !self.reading {
            self.inner.stop_sending(code);
        }
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

/// Where in its frames a stream is (RFC 9114, section 7.1).
#[derive(Default)]
struct Frames {
    place: Place,
    number: Number,
}

#[derive(Clone, Copy, Default)]
enum Place {
    /// Of a stream in one direction: before its type.
    Kind,
    #[default]
    Type,
    Length {
        kind: u64,
    },
    /// So many bytes before the next frame.
    Inside(u64),
    /// Where there are none.
    Unframed,
}

/// RFC 9114, section 6.2.1.
const CONTROL: u64 = 0x00;
/// RFC 9114, section 7.2.1: handed on as it comes.
const DATA: u64 = 0x00;
/// WebTransport's streams have no frames after that (draft-ietf-webtrans-http3, section 4.3).
const WEBTRANSPORT: u64 = 0x41;

impl Frames {
    fn of_one_way() -> Self {
        Self {
            place: Place::Kind,
            ..Self::default()
        }
    }

    /// Whether a frame has begun and not ended.
    fn is_within(&self) -> bool {
        let begun = matches!(self.place, Place::Length { .. } | Place::Inside(1..));
        begun || (matches!(self.place, Place::Type) && self.number.missing.is_some())
    }

    /// Goes on by what has come. `false`: a frame is too long.
    fn admit(&mut self, mut data: &[u8]) -> bool {
        while let Some((&byte, rest)) = data.split_first() {
            if let Place::Inside(left) = self.place {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                data = &data[here..];
                self.place = match left - here as u64 {
                    0 => Place::Type,
                    left => Place::Inside(left),
                };
                continue;
            }
            data = rest;
            let Some(number) = self.number.read(byte) else {
                continue;
            };
            self.place = match self.place {
                Place::Kind if number == CONTROL => Place::Type,
                Place::Type if number != WEBTRANSPORT => Place::Length { kind: number },
                Place::Length { kind } if kind != DATA && number > LONGEST => return false,
                Place::Length { .. } if number == 0 => Place::Type,
                Place::Length { .. } => Place::Inside(number),
                Place::Kind | Place::Type | Place::Inside(_) | Place::Unframed => Place::Unframed,
            };
            if matches!(self.place, Place::Unframed) {
                break;
            }
        }
        true
    }
}

/// A number of variable length (RFC 9000, section 16) whose bytes come one by one.
#[derive(Default)]
struct Number {
    value: u64,
    missing: Option<u8>,
}

impl Number {
    fn read(&mut self, byte: u8) -> Option<u64> {
        let (value, missing) = match self.missing {
            None => (u64::from(byte & 0x3f), (1 << (byte >> 6)) - 1),
            Some(missing) => (self.value << 8 | u64::from(byte), missing - 1),
        };
        (self.value, self.missing) = (value, (missing > 0).then_some(missing));
        (missing == 0).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same however it is cut.
    fn admitted(frames: fn() -> Frames, bytes: &[u8]) -> bool {
        let whole = frames().admit(bytes);
        let mut one_by_one = frames();
        assert_eq!(bytes.iter().all(|byte| one_by_one.admit(&[*byte])), whole);
        whole
    }

    #[test]
    fn only_what_is_kept_as_a_whole_is_limited() {
        // 0x01 is HEADERS, 0x00 is DATA; a length of 2^30 - 1.
        assert!(!admitted(Frames::default, b"\x01\xbf\xff\xff\xff"));
        assert!(admitted(Frames::default, b"\x00\xbf\xff\xff\xff"));
        assert!(admitted(Frames::default, b"\x01\x80\x01\xff\xfe"));
        assert!(!admitted(Frames::default, b"\x01\x80\x01\xff\xff"));
    }

    #[test]
    fn frames_are_followed_to_the_next_one() {
        assert!(admitted(
            Frames::default,
            b"\x01\x02..\x00\x00\x00\x03...\x01\x01."
        ));
        assert!(!admitted(
            Frames::default,
            b"\x01\x02..\x00\x00\x40\x21\xbf\xff\xff\xff"
        ));
        // The bytes of a body are no frames.
        assert!(admitted(Frames::default, b"\x00\x05\x01\xbf\xff\xff\xff"));
        // Nor are those of WebTransport.
        assert!(admitted(
            Frames::default,
            b"\x40\x41\x00\x01\xbf\xff\xff\xff"
        ));
    }

    /// A HEADERS of three bytes, an empty DATA, a DATA of 300 bytes, and a frame of an unknown type.
    #[test]
    fn ends_between_frames_are_told_from_those_within() {
        let mut bytes = vec![1, 3, 0, 0, 0xff, 0, 0, 0, 0x41, 0x2c];
        bytes.extend([7; 300]);
        bytes.extend([0x80, 0, 0, 0x21, 1, 9]);
        for end in 0..=bytes.len() {
            let (mut whole, mut pieces) = (Frames::default(), Frames::default());
            assert!(whole.admit(&bytes[..end]));
            assert!(bytes[..end].chunks(1).all(|byte| pieces.admit(byte)));
            for frames in [whole, pieces] {
                let between = [0, 5, 7, 310, 316].contains(&end);
                assert_eq!(frames.is_within(), !between, "{end}");
            }
        }
    }

    #[test]
    fn of_the_streams_in_one_direction_the_control_stream_has_frames() {
        assert!(!admitted(Frames::of_one_way, b"\x00\x04\xbf\xff\xff\xff"));
        assert!(admitted(Frames::of_one_way, b"\x02\x04\xbf\xff\xff\xff"));
    }
}
