//! WebSocket (RFC 6455), both ends: messages over a byte stream that HTTP has handed on.

use std::sync::Arc;
use std::time::Duration;

use crate::session::{Identity, Info, Session};
use crate::stream::ByteStream;

pub(crate) mod handshake;
mod keys;
mod outbox;
mod packets;
mod pulse;

/// How WebSocket sessions are kept, on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Subprotocols: a client offers these; a server takes the first that is offered and stands here, or, if
    /// it has none, the first that is offered.
    pub protocols: Vec<String>,
    /// Origins whose pages may open sessions and send requests, beside the server's own: `https://example.org`,
    /// or `*` for all.
    pub origins: Vec<String>,
    /// Compress messages if the peer can (permessage-deflate, RFC 7692).
    pub compress: bool,
    /// Ask a peer that was silent for this long whether it is there; when the second question stays without an
    /// answer the session ends. It also ends when the peer takes nothing of what is sent to it for three times as
    /// long (at least a second). Never when `None`.
    pub ping_interval: Option<Duration>,
    /// The code and the reason of our close frame: 1000 when we are done and 1001 when we are stopping unless
    /// told otherwise.
    pub close: Option<(u16, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            protocols: Vec::new(),
            origins: Vec::new(),
            compress: false,
            ping_interval: Some(Duration::from_secs(20)),
            close: None,
        }
    }
}

impl Settings {
    /// Whether pages of `origin` were named.
    pub(crate) fn lets_in(&self, origin: &str) -> bool {
        let is_named = |named: &String| named == "*" || named.eq_ignore_ascii_case(origin);
        self.origins.iter().any(is_named)
    }

    /// Whether the pages of all sites were.
    pub(crate) fn lets_in_anyone(&self) -> bool {
        self.origins.iter().any(|named| named == "*")
    }
}

/// A session over `stream`, after the handshake in which `agreed` was agreed on.
pub(crate) fn session(
    stream: ByteStream,
    identity: Identity,
    max_message: usize,
    agreed: &handshake::Agreed,
    settings: &Settings,
) -> Session {
    let info = Arc::new(Info::new(identity));
    let packets = packets::WsPackets::new(stream, info.clone(), max_message, agreed, settings);
    Session::of_packets(info, Box::new(packets))
}
