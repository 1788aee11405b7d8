//! WebSocket: its frames, with what short ones say (RFC 6455).

use wire::websocket::{Close, Header, MAX_CONTROL, Opcode, mask};

use super::{Steps, Waiting};
use crate::event::Side;

const LAYER: &str = "WebSocket";

/// Longer text is cut.
const TEXT_MAX: usize = 60;

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct WebSocket {
    halves: [Waiting; 2],
    lost: [bool; 2],
}

impl WebSocket {
    pub(super) fn read(&mut self, from: Side, bytes: &[u8], steps: &mut Steps) {
        let at = from.index();
        let waiting = &mut self.halves[at];
        if self.lost[at] {
            return;
        }
        waiting.push(bytes);
        loop {
            let (header, length) = match Header::read(&waiting.bytes) {
                Ok(Some(read)) => read,
                Ok(None) => return,
                Err(_) => {
                    self.lost[at] = true;
                    steps.say(LAYER, "what is no frame");
                    return;
                }
            };
            let wanted = match header.length <= MAX_CONTROL as u64 {
                true => header.length as usize,
                false => 0,
            };
            let Some(payload) = waiting.bytes.get(length..length + wanted) else {
                return;
            };
            let mut payload = payload.to_vec();
            if let Some(key) = header.mask {
                mask(&mut payload, key, 0);
            }
            steps.say(LAYER, text(&header, &payload));
            waiting.pass((length as u64).saturating_add(header.length));
        }
    }
}

fn text(header: &Header, payload: &[u8]) -> String {
    let name = match header.opcode {
        Opcode::Continuation => "more",
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Close => "close",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
    };
    let more = if header.fin { "" } else { ", more follows" };
    let length = header.length;
    if header.opcode == Opcode::Close {
        return match Close::read(payload) {
            Ok(Some(close)) if close.reason.is_empty() => format!("close {}", close.code),
            Ok(Some(close)) => format!("close {} \"{}\"", close.code, short(&close.reason)),
            _ => "close".to_owned(),
        };
    }
    let said = std::str::from_utf8(payload).ok();
    let said = said.filter(|text| !text.is_empty() && text.chars().all(wire::text::is_printable));
    match said {
        Some(said) if !header.compressed && header.opcode != Opcode::Binary => {
            format!("{name} \"{}\"{more}", short(said))
        }
        _ if header.compressed => format!("{name} {length} B, compressed{more}"),
        _ => format!("{name} {length} B{more}"),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
