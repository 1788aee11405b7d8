//! HTTP/3: its streams and frames by name (RFC 9114, RFC 9204).

use std::collections::BTreeMap;

use wire::quic_packet::number;

use crate::event::Side;
use crate::step::fields::qpack;
use crate::step::{Steps, Waiting};

const LAYER: &str = "HTTP/3";

/// The longest block of fields that is looked into, in bytes.
const BLOCK_MAX: u64 = 64 * 1024;
/// As many streams are followed.
const STREAMS: usize = 1024;

/// All streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Http3(BTreeMap<(u64, usize), Stream>);

#[derive(Debug, Default)]
struct Stream {
    waiting: Waiting,
    kind: Option<Content>,
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Frames,
    /// Nothing with a name.
    Other,
}

/// Numbers that are there to be ignored (RFC 9114, section 7.2.8).
fn is_reserved(number: u64) -> bool {
    number >= 0x21 && (number - 0x21).is_multiple_of(0x1f)
}

impl Http3 {
    pub(super) fn read(&mut self, from: Side, id: u64, bytes: &[u8], steps: &mut Steps) {
        let key = (id, from.index());
        if self.0.len() >= STREAMS && !self.0.contains_key(&key) {
            self.0.pop_first();
        }
        let stream = self.0.entry(key).or_default();
        stream.waiting.push(bytes);
        if stream.kind.is_none() && !stream.begin(id, steps) {
            return;
        }
        if stream.kind == Some(Content::Frames) {
            stream.frames(id, steps);
        } else {
            stream.waiting.bytes.clear();
        }
    }

    pub(super) fn end(&mut self, from: Side, id: u64, steps: &mut Steps) {
        self.0.remove(&(id, from.index()));
        if id & 2 == 0 {
            steps.say(LAYER, format!("end of stream {id}"));
        }
    }
}

impl Stream {
    /// Streams of one direction begin with what they are for (section 6.2); `false` if that has not come.
    fn begin(&mut self, id: u64, steps: &mut Steps) -> bool {
        if id & 2 == 0 {
            self.kind = Some(Content::Frames);
            return true;
        }
        let Some((kind, length)) = number(&self.waiting.bytes) else {
            return false;
        };
        self.waiting.pass(length as u64);
        let (content, name) = match kind {
            0 => (Content::Frames, "control stream"),
            1 => (Content::Frames, "push stream"),
            2 => (Content::Other, "QPACK encoder stream"),
            3 => (Content::Other, "QPACK decoder stream"),
            0x54 => (Content::Other, "WebTransport stream"),
            kind if is_reserved(kind) => (Content::Other, "reserved stream type (grease)"),
            _ => (Content::Other, "unknown stream type"),
        };
        self.kind = Some(content);
        steps.say(LAYER, name);
        true
    }

    fn frames(&mut self, id: u64, steps: &mut Steps) {
        loop {
            let bytes = &self.waiting.bytes;
            let Some((kind, first)) = number(bytes) else {
                return;
            };
            let Some((length, second)) = number(&bytes[first..]) else {
                return;
            };
            let name = match kind {
                0 => format!("DATA {length} B on stream {id}"),
                1 => match self.waiting.bytes.get(first + second..) {
                    Some(rest) if length <= BLOCK_MAX => {
                        let Some(block) = rest.get(..length as usize) else {
                            return;
                        };
                        let about = qpack(block).unwrap_or_else(|| format!("{length} B"));
                        format!("HEADERS {about} on stream {id}")
                    }
                    _ => format!("HEADERS {length} B on stream {id}"),
                },
                3 => "CANCEL_PUSH".to_owned(),
                4 => "SETTINGS".to_owned(),
                5 => "PUSH_PROMISE".to_owned(),
                7 => "GOAWAY".to_owned(),
                0xd => "MAX_PUSH_ID".to_owned(),
                0xf0700 | 0xf0701 => "PRIORITY_UPDATE".to_owned(),
                kind if is_reserved(kind) => "reserved frame (grease)".to_owned(),
                kind => format!("frame {kind:#x}"),
            };
            steps.say(LAYER, name);
            self.waiting.pass((first + second) as u64 + length);
        }
    }
}
