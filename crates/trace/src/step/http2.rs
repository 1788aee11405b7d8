//! HTTP/2: its frames by name (RFC 9113).

use super::fields::Hpack;
use super::{Steps, Waiting};
use crate::event::Side;

const LAYER: &str = "HTTP/2";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest block of fields that is looked into, in bytes.
const BLOCK_MAX: u32 = 64 * 1024;

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    halves: [Half; 2],
    begun: bool,
}

#[derive(Debug, Default)]
struct Half {
    waiting: Waiting,
    fields: Hpack,
    /// A block of fields that goes on in the next frame (section 4.3).
    block: Vec<u8>,
}

/// The header of a frame.
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    const HEADER: usize = 9;

    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<{ Self::HEADER }>()?;
        let [a, b, c, kind, flags, d, e, f, g] = *header;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        })
    }

    /// How much of its contents is looked at.
    fn wanted(&self) -> usize {
        match self.kind {
            3 | 7 | 8 => self.length.min(8) as usize,
            1 | 5 | 9 if self.length <= BLOCK_MAX => self.length as usize,
            _ => 0,
        }
    }

    /// The part of a block of fields that is in it: behind the length of the padding, a priority and the number of a
    /// promised stream, and before the padding (sections 6.2 and 6.6).
    fn fragment<'a>(&self, contents: &'a [u8]) -> Option<&'a [u8]> {
        let is_padded = self.kind != 9 && self.flags & 8 != 0;
        let padding = if is_padded { *contents.first()? } else { 0 };
        let priority = if self.kind == 1 && self.flags & 0x20 != 0 {
            5
        } else {
            0
        };
        let promised = if self.kind == 5 { 4 } else { 0 };
        let first = usize::from(is_padded) + priority + promised;
        contents.get(first..contents.len().checked_sub(padding.into())?)
    }

    fn text(&self, contents: &[u8], fields: Option<&str>) -> String {
        let word = |at: usize| {
            let bytes = contents.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let on = format!("on stream {}", self.stream);
        let ack = if self.flags & 1 != 0 { " ack" } else { "" };
        let end = if self.flags & 1 != 0 { ", end" } else { "" };
        let length = self.length;
        let about = fields.map_or_else(|| format!("{length} B"), str::to_owned);
        match self.kind {
            0 => format!("DATA {length} B {on}{end}"),
            1 => format!("HEADERS {about} {on}{end}"),
            2 => format!("PRIORITY {on}"),
            3 => format!("RST_STREAM {} {on}", code(word(0).unwrap_or_default())),
            4 => format!("SETTINGS{ack}"),
            5 => format!("PUSH_PROMISE {on}"),
            6 => format!("PING{ack}"),
            7 => match code(word(4).unwrap_or_default()) {
                "NO_ERROR" => "GOAWAY".to_owned(),
                code => format!("GOAWAY {code}"),
            },
            8 if self.stream == 0 => format!("WINDOW_UPDATE +{}", word(0).unwrap_or_default()),
            8 => format!("WINDOW_UPDATE +{} {on}", word(0).unwrap_or_default()),
            9 => format!("CONTINUATION {about} {on}"),
            16 => "PRIORITY_UPDATE".to_owned(),
            other => format!("frame {other:#04x}"),
        }
    }
}

impl Http2 {
    pub(super) fn read(&mut self, from: Side, bytes: &[u8], steps: &mut Steps) {
        let half = &mut self.halves[from.index()];
        let waiting = &mut half.waiting;
        waiting.push(bytes);
        if from == Side::A && !self.begun {
            if waiting.bytes.len() < PREFACE.len() {
                return;
            }
            self.begun = true;
            if waiting.bytes.starts_with(PREFACE) {
                waiting.pass(PREFACE.len() as u64);
                steps.say(LAYER, "preface");
            }
        }
        while let Some(frame) = Frame::read(&waiting.bytes) {
            let end = Frame::HEADER + frame.wanted();
            let Some(contents) = waiting.bytes.get(Frame::HEADER..end) else {
                return;
            };
            let fields = match frame.kind {
                1 | 5 | 9 => unpack(&frame, contents, &mut half.block, &mut half.fields),
                _ => None,
            };
            steps.say(LAYER, frame.text(contents, fields.as_deref()));
            waiting.pass(Frame::HEADER as u64 + u64::from(frame.length));
        }
    }
}

/// What a block of fields says that ends in this frame.
fn unpack(
    frame: &Frame,
    contents: &[u8],
    block: &mut Vec<u8>,
    fields: &mut Hpack,
) -> Option<String> {
    if frame.kind != 9 {
        block.clear();
    }
    match frame.fragment(contents) {
        Some(fragment) if block.len() + fragment.len() <= BLOCK_MAX as usize => {
            block.extend_from_slice(fragment);
        }
        _ => fields.lose(),
    }
    let is_end = frame.flags & 4 != 0;
    is_end
        .then(|| fields.read(&std::mem::take(block)))
        .flatten()
}

/// An error by its name (section 7).
fn code(number: u32) -> &'static str {
    match number {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        2 => "INTERNAL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        4 => "SETTINGS_TIMEOUT",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        7 => "REFUSED_STREAM",
        8 => "CANCEL",
        9 => "COMPRESSION_ERROR",
        10 => "CONNECT_ERROR",
        11 => "ENHANCE_YOUR_CALM",
        12 => "INADEQUATE_SECURITY",
        13 => "HTTP_1_1_REQUIRED",
        _ => "unknown error",
    }
}
