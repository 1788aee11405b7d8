//! permessage-deflate: what the two ends agree on, and the compression itself (RFC 7692).

mod negotiation;
mod stream;

pub use negotiation::NegotiationError;
pub(super) use stream::{Deflater, Inflater};

use super::Role;

/// The extension's name in `Sec-WebSocket-Extensions`.
pub const NAME: &str = "permessage-deflate";

/// What the two ends have agreed on, or what one of them wishes (RFC 7692, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// What the server sends.
    pub server: Direction,
    /// What the client sends.
    pub client: Direction,
}

/// How one end compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// Whether a message may refer to the messages before it. It makes small messages smaller, and costs
    /// either end some 40 to 300 KiB for as long as the connection lives.
    pub takeover: bool,
    /// How far back it may refer: 2 to this power bytes; 8 to 15.
    pub window_bits: u8,
}

impl Direction {
    /// All that the format has.
    pub const FULL: Self = Self {
        takeover: true,
        window_bits: 15,
    };

    /// Each message by itself: an idle connection holds no memory for it.
    pub const FRUGAL: Self = Self {
        takeover: false,
        window_bits: 15,
    };
}

impl Parameters {
    /// What a server with many clients wishes.
    pub const FRUGAL: Self = Self {
        server: Direction::FRUGAL,
        client: Direction::FRUGAL,
    };

    /// What a client, or a server with few clients, wishes.
    pub const FULL: Self = Self {
        server: Direction::FULL,
        client: Direction::FULL,
    };

    /// What comes to us when we are `role`.
    pub(super) fn incoming(&self, role: Role) -> Direction {
        match role {
            Role::Server => self.client,
            Role::Client => self.server,
        }
    }

    /// What we send when we are `role`.
    pub(super) fn outgoing(&self, role: Role) -> Direction {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
        }
    }
}
