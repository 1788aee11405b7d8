//! WebSocket: frames, messages, compression and its negotiation (RFC 6455, RFC 7692).
//!
//! A [`Decoder`] turns the bytes of one direction into [`Event`]s, an [`Encoder`] writes those of the
//! other. Neither knows a socket; where the bytes were cut on their way makes no difference:
//!
//! ```
//! use bytes::BytesMut;
//! use wire::websocket::{Decoder, Event, Kind, Role};
//!
//! // "Hello" from a client (RFC 6455, section 5.7), in two pieces.
//! let mut server = Decoder::new(Role::Server, 1024, None);
//! let mut head = BytesMut::from(&b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f"[..]);
//! assert_eq!(server.decode(&mut head), Ok(None));
//! head.extend_from_slice(b"\x4d\x51\x58");
//! let hello = Event::Message { kind: Kind::Text, data: "Hello".into() };
//! assert_eq!(server.decode(&mut head), Ok(Some(hello)));
//! ```
//!
//! The opening handshake belongs to HTTP; only the extension in it is [negotiated](deflate) here.

use bytes::Bytes;

mod close;
mod decoder;
pub mod deflate;
mod encoder;
mod header;
mod mask;
mod violation;

pub use close::{Close, name as close_name};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use header::{Header, Opcode};
pub use mask::mask;
pub use violation::{Place, Violation};

/// The most bytes that a ping, a pong or a close may carry (RFC 6455, section 5.5).
pub const MAX_CONTROL: usize = 125;

/// Which end of the connection we are. A client's frames are masked, a server's are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer came to us.
    Server,
    /// We went to the peer.
    Client,
}

/// What the sender says a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

/// What has come from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message, its fragments joined and decompressed. Text is valid UTF-8.
    Message {
        /// Text or binary.
        kind: Kind,
        /// The payload.
        data: Bytes,
    },
    /// A ping, to be answered by a pong with the same payload (RFC 6455, section 5.5.2).
    Ping(Bytes),
    /// A pong, asked for or not.
    Pong(Bytes),
    /// The peer will send nothing more. `None`: it gave no code, which is called 1005.
    Close(Option<Close>),
}

#[cfg(test)]
mod tests;
