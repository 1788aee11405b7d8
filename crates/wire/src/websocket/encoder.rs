//! From messages to bytes: one frame each, masked and compressed where that is agreed.

use super::deflate::{Deflater, Parameters};
use super::{Close, Header, Kind, Opcode, Role, mask};

/// Encodes what we send.
#[derive(Debug)]
pub struct Encoder {
    /// Where a client's keys come from; a server masks nothing.
    keys: Option<fn() -> [u8; 4]>,
    /// Boxed: most connections have none.
    deflater: Option<Box<Deflater>>,
}

impl Encoder {
    /// For a server; with permessage-deflate if that was negotiated.
    #[must_use]
    pub fn server(deflate: Option<&Parameters>) -> Self {
        Self {
            keys: None,
            deflater: deflater(Role::Server, deflate),
        }
    }

    /// For a client. `keys` gives a new key for each frame, which nobody must be able to foresee (RFC 6455,
    /// section 5.3).
    #[must_use]
    pub fn client(deflate: Option<&Parameters>, keys: fn() -> [u8; 4]) -> Self {
        Self {
            keys: Some(keys),
            deflater: deflater(Role::Client, deflate),
        }
    }

    /// Appends a message. Whether text is UTF-8 is for the caller to see to.
    pub fn message(&mut self, kind: Kind, data: &[u8], out: &mut Vec<u8>) {
        match &mut self.deflater {
            None => self.frame(opcode(kind), data, out),
            Some(deflater) => {
                let key = self.keys.map(|draw| draw());
                // The header's length is known when the payload's is, so the payload is moved up to it.
                let start = out.len();
                out.extend_from_slice(&[0; Header::MAX]);
                let begin = out.len();
                deflater.deflate(data, out);
                if let Some(key) = key {
                    mask(&mut out[begin..], key, 0);
                }
                let header = Header {
                    fin: true,
                    compressed: true,
                    opcode: opcode(kind),
                    mask: key,
                    length: (out.len() - begin) as u64,
                };
                let mut bytes = Vec::with_capacity(Header::MAX);
                header.write(&mut bytes);
                let at = begin - bytes.len();
                out[at..begin].copy_from_slice(&bytes);
                out.drain(start..at);
            }
        }
    }

    /// Whether payloads leave as they are, neither masked nor compressed.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.keys.is_none() && self.deflater.is_none()
    }

    /// Appends the header of a message whose payload of `length` bytes the caller writes after it; only
    /// where [`is_plain`](Self::is_plain).
    pub fn begin(&self, kind: Kind, length: usize, out: &mut Vec<u8>) {
        debug_assert!(self.is_plain(), "the payload would be masked or compressed");
        Header {
            fin: true,
            compressed: false,
            opcode: opcode(kind),
            mask: None,
            length: length as u64,
        }
        .write(out);
    }

    /// Appends a ping with up to [`MAX_CONTROL`](super::MAX_CONTROL) bytes.
    pub fn ping(&self, payload: &[u8], out: &mut Vec<u8>) {
        self.frame(Opcode::Ping, payload, out);
    }

    /// Appends a pong with up to [`MAX_CONTROL`](super::MAX_CONTROL) bytes.
    pub fn pong(&self, payload: &[u8], out: &mut Vec<u8>) {
        self.frame(Opcode::Pong, payload, out);
    }

    /// Appends a close frame.
    pub fn close(&self, close: Option<&Close>, out: &mut Vec<u8>) {
        let payload = close.map_or_else(Vec::new, Close::payload);
        self.frame(Opcode::Close, &payload, out);
    }

    fn frame(&self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        let key = self.keys.map(|draw| draw());
        let header = Header {
            fin: true,
            compressed: false,
            opcode,
            mask: key,
            length: payload.len() as u64,
        };
        out.reserve(Header::MAX + payload.len());
        header.write(out);
        let begin = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = key {
            mask(&mut out[begin..], key, 0);
        }
    }
}

fn opcode(kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
    }
}

fn deflater(role: Role, deflate: Option<&Parameters>) -> Option<Box<Deflater>> {
    let agreed = deflate?;
    Deflater::new(agreed.outgoing(role)).map(Box::new)
}
