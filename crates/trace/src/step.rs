//! Steps of upper layers, named in the same time line: TLS, HTTP, WebSocket, QUIC.
//!
//! Which protocol it is follows from the first bytes and never from a port. A step belongs to the packet with which
//! its last byte came.

use std::collections::BTreeMap;

use wire::sniff::{self, Match};

use crate::event::{Side, Step};

mod fields;
mod http1;
mod http2;
mod keys;
mod quic;
mod seal;
mod tls;
mod websocket;

pub(crate) use keys::KeyLog;

/// As much is kept of what came before something that is missing.
const AHEAD: usize = 256 * 1024;

/// Steps that one packet completes.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    /// What the same layer says in one packet stands on one line.
    fn say(&mut self, layer: &'static str, text: impl Into<String>) {
        let text = text.into();
        match self.0.last_mut() {
            Some(last) if last.layer == layer => {
                last.text.push_str(", ");
                last.text.push_str(&text);
            }
            _ => self.0.push(Step { layer, text }),
        }
    }

    pub(crate) fn done(self) -> Vec<Step> {
        self.0
    }
}

/// Both directions of a stream, read as they come.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    halves: [Half; 2],
    speech: Speech,
    datagrams: Datagrams,
}

/// What is spoken in datagrams.
#[derive(Debug, Default)]
enum Datagrams {
    #[default]
    Begin,
    Quic(Box<quic::Quic>),
    Unknown,
}

/// One direction, put in order.
#[derive(Debug, Default)]
struct Half {
    next: Option<i64>,
    ahead: BTreeMap<i64, Vec<u8>>,
    /// How many bytes those are.
    kept: usize,
    /// Bytes are missing for good.
    broken: bool,
}

impl Talk {
    /// Reads `payload`, which begins at number `seq` of what `from` says and was `len` bytes long on the wire.
    pub(crate) fn read(
        &mut self,
        from: Side,
        seq: i64,
        payload: &[u8],
        len: u32,
        keys: &KeyLog,
    ) -> Vec<Step> {
        let half = &mut self.halves[from.index()];
        if half.broken || matches!(self.speech, Speech::Unknown) || payload.is_empty() {
            return Vec::new();
        }
        let mut steps = Steps::default();
        if payload.len() != len as usize {
            half.broken = true;
            self.speech.end(from);
            return Vec::new();
        }
        for bytes in half.in_order(seq, payload) {
            self.speech.read(from, bytes.as_ref(), keys, &mut steps);
        }
        steps.done()
    }
}

impl Talk {
    /// Reads a datagram: the packets in it by their names, if it is one of QUIC, and the steps that they complete.
    pub(crate) fn datagram(
        &mut self,
        from: Side,
        payload: &[u8],
        keys: &KeyLog,
    ) -> (Option<Box<str>>, Vec<Step>) {
        if let Datagrams::Begin = self.datagrams {
            self.datagrams = match quic::Quic::begin(payload) {
                Some(quic) => Datagrams::Quic(Box::new(quic)),
                None => Datagrams::Unknown,
            };
        }
        let Datagrams::Quic(quic) = &mut self.datagrams else {
            return (None, Vec::new());
        };
        let mut steps = Steps::default();
        let names = quic.read(from, payload, keys, &mut steps);
        (Some(names.into()), steps.done())
    }
}

impl Half {
    /// What can be read now.
    fn in_order<'a>(&mut self, seq: i64, payload: &'a [u8]) -> Vec<std::borrow::Cow<'a, [u8]>> {
        let next = *self.next.get_or_insert(seq);
        let mut ready = Vec::new();
        let Some(new) = payload.get((next - seq).max(0) as usize..) else {
            return ready;
        };
        if seq > next {
            if self.kept + payload.len() > AHEAD {
                self.broken = true;
                self.ahead.clear();
            } else if self.ahead.insert(seq, payload.to_vec()).is_none() {
                self.kept += payload.len();
            }
            return ready;
        }
        let mut next = next + new.len() as i64;
        ready.push(new.into());
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() > next {
                break;
            }
            let (seq, bytes) = first.remove_entry();
            self.kept = self.kept.saturating_sub(bytes.len());
            if let Some(new) = bytes.get((next - seq) as usize..) {
                next += new.len() as i64;
                ready.push(new.to_vec().into());
            }
        }
        self.next = Some(next);
        ready
    }
}

/// What is spoken.
#[derive(Debug)]
enum Speech {
    /// Too little was said to know.
    Begins([Vec<u8>; 2]),
    Tls(Box<tls::Tls>),
    Http1(Box<http1::Http1>),
    Http2(Box<http2::Http2>),
    WebSocket(Box<websocket::WebSocket>),
    Unknown,
}

impl Default for Speech {
    fn default() -> Self {
        Self::Begins(Default::default())
    }
}

impl Speech {
    fn read(&mut self, from: Side, bytes: &[u8], keys: &KeyLog, steps: &mut Steps) {
        match self {
            Self::Begins(heads) => {
                heads[from.index()].extend_from_slice(bytes);
                let heads = std::mem::take(heads);
                let Some(speech) = Self::of(&heads[from.index()], from) else {
                    *self = Self::Begins(heads);
                    return;
                };
                *self = speech;
                if matches!(self, Self::Unknown) {
                    return;
                }
                // Whoever spoke first is heard first.
                for side in [from.other(), from] {
                    let head = &heads[side.index()];
                    if !head.is_empty() {
                        self.read(side, head, keys, steps);
                    }
                }
            }
            Self::Tls(tls) => tls.read(from, bytes, keys, steps),
            Self::Http1(http) => {
                let rest = http.read(from, bytes, steps);
                if let Some(rest) = rest {
                    *self = Self::WebSocket(Box::default());
                    self.read(from, &rest, keys, steps);
                }
            }
            Self::Http2(http) => http.read(from, bytes, steps),
            Self::WebSocket(websocket) => websocket.read(from, bytes, steps),
            Self::Unknown => {}
        }
    }

    /// `None`: more bytes will tell.
    fn of(head: &[u8], from: Side) -> Option<Self> {
        let answer = head.starts_with(b"HTTP/1.") && from == Side::B;
        let verdicts = [sniff::tls(head), sniff::http2(head), sniff::http1(head)];
        Some(match verdicts {
            [Match::Yes, ..] => Self::Tls(Box::default()),
            [_, Match::Yes, _] => Self::Http2(Box::default()),
            [_, _, Match::Yes] => Self::Http1(Box::default()),
            _ if answer => Self::Http1(Box::default()),
            _ if verdicts.contains(&Match::NeedMore) => return None,
            _ => Self::Unknown,
        })
    }

    /// Bytes of `from` are missing for good.
    fn end(&mut self, from: Side) {
        if let Self::Begins(heads) = self {
            heads[from.index()].clear();
        }
    }
}

/// Bytes that wait for the rest of what they begin.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// As many of the next bytes are of no interest.
    skip: u64,
}

impl Waiting {
    fn push(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len() as u64) as usize;
        self.skip -= skipped as u64;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    /// Goes on behind the first `count` bytes, of which not all need have come.
    fn pass(&mut self, count: u64) {
        let here = count.min(self.bytes.len() as u64);
        self.bytes.drain(..here as usize);
        self.skip += count - here;
    }
}
