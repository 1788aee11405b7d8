//! HTTP/2: its frames by name (RFC 9113).

use super::{Steps, Waiting};
use crate::event::Side;

const LAYER: &str = "HTTP/2";

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    halves: [Waiting; 2],
    begun: bool,
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
            _ => 0,
        }
    }

    fn text(&self, contents: &[u8]) -> String {
        let word = |at: usize| {
            let bytes = contents.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let on = format!("on stream {}", self.stream);
        let ack = if self.flags & 1 != 0 { " ack" } else { "" };
        let end = if self.flags & 1 != 0 { ", end" } else { "" };
        let length = self.length;
        match self.kind {
            0 => format!("DATA {length} B {on}{end}"),
            1 => format!("HEADERS {length} B {on}{end}"),
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
            9 => format!("CONTINUATION {length} B {on}"),
            16 => "PRIORITY_UPDATE".to_owned(),
            other => format!("frame {other:#04x}"),
        }
    }
}

impl Http2 {
    pub(super) fn read(&mut self, from: Side, bytes: &[u8], steps: &mut Steps) {
        let waiting = &mut self.halves[from.index()];
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
            steps.say(LAYER, frame.text(contents));
            waiting.pass(Frame::HEADER as u64 + u64::from(frame.length));
        }
    }
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
