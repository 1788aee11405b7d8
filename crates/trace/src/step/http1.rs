//! HTTP/1: the first lines of requests and responses (RFC 9112).

use memchr::memmem;

use super::{Steps, Waiting};
use crate::event::Side;

const LAYER: &str = "HTTP/1.1";

/// Longer heads are not read.
const HEAD_MAX: usize = 64 * 1024;

/// Longer first lines are cut.
const LINE_MAX: usize = 120;

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    halves: [Half; 2],
    /// The methods of requests that were not answered yet: an answer to HEAD has no body.
    methods: std::collections::VecDeque<String>,
}

#[derive(Debug, Default)]
struct Half {
    waiting: Waiting,
    body: Body,
}

/// What follows a head.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// The next head.
    #[default]
    None,
    /// Pieces, each with its length before it.
    Chunked,
    /// Everything up to the end.
    Endless,
}

impl Http1 {
    /// The bytes that follow, if the server has agreed to speak WebSocket from here on.
    pub(super) fn read(&mut self, from: Side, bytes: &[u8], steps: &mut Steps) -> Option<Vec<u8>> {
        let at = from.index();
        if self.halves[at].body == Body::Endless {
            return None;
        }
        self.halves[at].waiting.push(bytes);
        loop {
            let half = &mut self.halves[at];
            if half.body == Body::Chunked {
                if !half.chunk() {
                    return None;
                }
                continue;
            }
            let waiting = &mut half.waiting.bytes;
            let Some(end) = memmem::find(waiting, b"\r\n\r\n") else {
                if waiting.len() > HEAD_MAX {
                    waiting.clear();
                    half.body = Body::Endless;
                }
                return None;
            };
            let head: Vec<u8> = waiting.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            if self.head(from, &head, steps) {
                return Some(std::mem::take(&mut self.halves[at].waiting.bytes));
            }
            if self.halves[at].body == Body::Endless {
                return None;
            }
        }
    }

    /// Whether WebSocket follows.
    fn head(&mut self, from: Side, head: &str, steps: &mut Steps) -> bool {
        let first = head.lines().next().unwrap_or_default();
        let field = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let websocket =
            field("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        let length = field("content-length").and_then(|value| value.parse::<u64>().ok());
        let chunked = field("transfer-encoding").is_some_and(|value| value.ends_with("chunked"));
        let half = &mut self.halves[from.index()];
        half.body = if chunked { Body::Chunked } else { Body::None };
        if let Some(status) = first.strip_prefix("HTTP/1.") {
            let status = status.get(2..).unwrap_or_default();
            let upgraded = status.starts_with("101");
            let to = if upgraded && websocket {
                " to WebSocket"
            } else {
                ""
            };
            steps.say(LAYER, format!("{}{to}", line(status)));
            let informs = status.starts_with('1');
            let method = if informs {
                None
            } else {
                self.methods.pop_front()
            };
            let empty = informs
                || status.starts_with("204")
                || status.starts_with("304")
                || method.as_deref() == Some("HEAD");
            match (empty, chunked, length) {
                (true, ..) => half.body = Body::None,
                (false, true, _) => {}
                (false, false, Some(length)) => half.waiting.pass(length),
                (false, false, None) => half.body = Body::Endless,
            }
            return upgraded && websocket;
        }
        let request = first
            .strip_suffix(" HTTP/1.1")
            .or_else(|| first.strip_suffix(" HTTP/1.0"));
        let Some(request) = request else {
            half.body = Body::Endless;
            return false;
        };
        steps.say(LAYER, line(request));
        let method = request.split(' ').next().unwrap_or_default();
        self.methods.push_back(method.to_owned());
        if let (false, Some(length)) = (chunked, length) {
            half.waiting.pass(length);
        }
        false
    }
}

impl Half {
    /// Passes over one chunk; `false` if its beginning is not there (RFC 9112, section 7.1).
    fn chunk(&mut self) -> bool {
        let Some(end) = memmem::find(&self.waiting.bytes, b"\r\n") else {
            return false;
        };
        let size = String::from_utf8_lossy(&self.waiting.bytes[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = u64::from_str_radix(size, 16) else {
            self.body = Body::Endless;
            return false;
        };
        if size > 0 {
            self.waiting.pass((end as u64 + 4).saturating_add(size));
            return true;
        }
        // Fields may follow the last one; they end as a head does.
        let Some(last) = memmem::find(&self.waiting.bytes[end..], b"\r\n\r\n") else {
            return false;
        };
        self.waiting.bytes.drain(..end + last + 4);
        self.body = Body::None;
        true
    }
}

pub(super) fn line(text: &str) -> String {
    let text = wire::text::printable(text.trim());
    match text.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
