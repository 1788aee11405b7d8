//! From bytes to events: frames found, unmasked, joined, decompressed and checked.

use bytes::{Buf, Bytes, BytesMut};

use super::deflate::{Inflater, Parameters};
use super::violation::check_utf8;
use super::{Close, Event, Header, Kind, Opcode, Place, Role, Violation, mask};

/// Decodes what one peer sends.
///
/// A message in one frame is unmasked where it stands and split off the read buffer without a copy;
/// fragments and compressed messages are gathered. Nothing is allocated because a peer announced it: memory
/// grows with what has come. Text is checked as it arrives, so that what is wrong is told at the first byte
/// that is (RFC 6455, section 8.1).
///
/// The buffer may only grow at its end between two calls. After a close frame or an error nothing is decoded
/// any more: what still comes is thrown away.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    ended: bool,
    limit: usize,
    frame: Option<Frame>,
    /// Boxed: an idle connection has none.
    message: Option<Box<Gathered>>,
    inflater: Option<Box<Inflater>>,
}

/// A frame whose payload is not complete.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    key: Option<[u8; 4]>,
    /// Bytes of the payload.
    length: usize,
    /// How many of them are unmasked and, for a message that is gathered, taken from the buffer.
    done: usize,
    /// How many of them are known to be text, where they stand in the buffer.
    valid: usize,
}

/// A message in several fragments, or a compressed one.
#[derive(Debug)]
struct Gathered {
    kind: Kind,
    compressed: bool,
    data: Vec<u8>,
    /// Bytes of `data` that are known to be text.
    valid: usize,
    /// Bytes of its payloads, as they were announced.
    announced: u64,
}

/// What has become of a frame.
enum Step {
    /// It goes on after the bytes that are there.
    Wait(Frame),
    /// It was a fragment, and not the last.
    Next,
    Event(Event),
}

impl Decoder {
    /// For the side `role`, which takes messages of up to `limit` bytes; with permessage-deflate if that was
    /// negotiated.
    #[must_use]
    pub fn new(role: Role, limit: usize, deflate: Option<&Parameters>) -> Self {
        Self {
            role,
            ended: false,
            limit,
            frame: None,
            message: None,
            inflater: deflate.map(|agreed| Box::new(Inflater::new(agreed.incoming(role)))),
        }
    }

    /// The next event in `head`, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the peer broke the protocol; the error has the close code to answer with.
    pub fn decode(&mut self, head: &mut BytesMut) -> Result<Option<Event>, Violation> {
        let decoded = self.next(head);
        if matches!(decoded, Ok(Some(Event::Close(_))) | Err(_)) {
            self.ended = true;
            (self.frame, self.message, self.inflater) = (None, None, None);
        }
        if self.ended || head.is_empty() {
            // Given back: an idle connection owns no buffer.
            *head = BytesMut::new();
        }
        decoded
    }

    /// Whether something has begun and not ended: if the stream ends now, it is lost. `head` is what stands
    /// in the read buffer.
    #[must_use]
    pub fn is_inside_message(&self, head: &[u8]) -> bool {
        !self.ended && (!head.is_empty() || self.frame.is_some() || self.message.is_some())
    }

    /// Room that is taken for a message that is gathered.
    #[cfg(test)]
    pub(super) fn gathered_capacity(&self) -> Option<usize> {
        Some(self.message.as_ref()?.data.capacity())
    }

    fn next(&mut self, head: &mut BytesMut) -> Result<Option<Event>, Violation> {
        while !self.ended {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => match Header::read(head)? {
                    Some((header, length)) => {
                        let frame = self.begin(&header)?;
                        head.advance(length);
                        frame
                    }
                    None => return Ok(None),
                },
            };
            let step = if frame.opcode.is_control() {
                frame.control(head)?
            } else if self.message.is_some() {
                self.gather(frame, head)?
            } else {
                frame.whole(head)?
            };
            match step {
                Step::Next => {}
                Step::Event(event) => return Ok(Some(event)),
                Step::Wait(frame) => {
                    self.frame = Some(frame);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// What a frame's header may say here and now.
    fn begin(&mut self, header: &Header) -> Result<Frame, Violation> {
        let opcode = header.opcode;
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Violation::NotMasked),
            (Role::Client, Some(_)) => return Err(Violation::Masked),
            _ => {}
        }
        if header.compressed && (self.inflater.is_none() || opcode == Opcode::Continuation) {
            return Err(Violation::ReservedBit(1));
        }
        let kind = match (opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::NotContinued),
            (Opcode::Text, None) => Some(Kind::Text),
            (Opcode::Binary, None) => Some(Kind::Binary),
            _ => None,
        };
        if let Some(kind) = kind
            && (header.compressed || !header.fin)
        {
            self.message = Some(Box::new(Gathered::new(kind, header.compressed)));
        }
        if !opcode.is_control() {
            self.admit(header.length)?;
        }
        Ok(Frame {
            opcode,
            fin: header.fin,
            key: header.mask,
            length: header.length as usize,
            done: 0,
            valid: 0,
        })
    }

    /// Whether a message may have `more` bytes. A compressed one is measured decompressed, and its payload
    /// is only kept from being out of all proportion: data that resists grows by an eighth at the most
    /// (RFC 1951, section 3.2.6).
    fn admit(&mut self, more: u64) -> Result<(), Violation> {
        let limit = self.limit as u64;
        let (all, most) = match &mut self.message {
            None => (more, limit),
            Some(message) => {
                message.announced = message.announced.saturating_add(more);
                let most = if message.compressed {
                    limit.saturating_mul(2).saturating_add(1024)
                } else {
                    limit
                };
                (message.announced, most)
            }
        };
        if all > most {
            return Err(Violation::TooLong { limit: self.limit });
        }
        Ok(())
    }

    /// Takes what has come of a fragment.
    fn gather(&mut self, mut frame: Frame, head: &mut BytesMut) -> Result<Step, Violation> {
        let Some(message) = &mut self.message else {
            return Ok(Step::Next);
        };
        let come = head.len().min(frame.length - frame.done);
        if let Some(key) = frame.key {
            mask(&mut head[..come], key, frame.done);
        }
        let is_end = frame.fin && frame.done + come == frame.length;
        let part = &head[..come];
        let taken = match &mut self.inflater {
            Some(inflater) if message.compressed => {
                inflater.inflate(part, is_end, &mut message.data, self.limit)
            }
            _ => {
                message.data.extend_from_slice(part);
                Ok(())
            }
        };
        // Before the decompression's own error, because it stands before it in the message.
        if message.kind == Kind::Text {
            let Gathered { data, valid, .. } = &mut **message;
            check_utf8(data, valid, is_end && taken.is_ok(), Place::Message)?;
        }
        taken?;
        head.advance(come);
        frame.done += come;
        if frame.done < frame.length {
            return Ok(Step::Wait(frame));
        }
        let ended = self.message.take_if(|_| frame.fin);
        Ok(ended.map_or(Step::Next, |message| {
            Step::Event(Event::Message {
                kind: message.kind,
                data: message.data.into(),
            })
        }))
    }
}

impl Frame {
    /// A message in one frame.
    fn whole(mut self, head: &mut BytesMut) -> Result<Step, Violation> {
        let come = head.len().min(self.length);
        if let Some(key) = self.key {
            mask(&mut head[self.done..come], key, self.done);
        }
        self.done = come;
        let is_end = come == self.length;
        let kind = if self.opcode == Opcode::Text {
            check_utf8(&head[..come], &mut self.valid, is_end, Place::Message)?;
            Kind::Text
        } else {
            Kind::Binary
        };
        if !is_end {
            return Ok(Step::Wait(self));
        }
        let data = self.take(head);
        Ok(Step::Event(Event::Message { kind, data }))
    }

    fn control(self, head: &mut BytesMut) -> Result<Step, Violation> {
        if head.len() < self.length {
            return Ok(Step::Wait(self));
        }
        if let Some(key) = self.key {
            mask(&mut head[..self.length], key, 0);
        }
        let payload = self.take(head);
        Ok(Step::Event(match self.opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            _ => Event::Close(Close::read(&payload)?),
        }))
    }

    /// The payload, which is complete. The last one in the buffer takes the buffer with it: splitting would
    /// cost an allocation for what both share.
    fn take(&self, head: &mut BytesMut) -> Bytes {
        if head.len() == self.length {
            std::mem::take(head).freeze()
        } else {
            head.split_to(self.length).freeze()
        }
    }
}

impl Gathered {
    fn new(kind: Kind, compressed: bool) -> Self {
        Self {
            kind,
            compressed,
            data: Vec::new(),
            valid: 0,
            announced: 0,
        }
    }
}
