//! One message of a session.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::error::Result;

/// One message: its bytes, and what the carrier says they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The payload.
    pub data: Bytes,
    /// Text or binary, where the carrier tells (WebSocket); binary elsewhere.
    pub kind: Kind,
    /// Who sent it, when that is not the session's peer (datagrams, when asked to hear everyone).
    pub from: Option<Box<SocketAddr>>,
}

/// What the sender said the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

impl Message {
    pub(crate) const fn binary(data: Bytes) -> Self {
        Self {
            data,
            kind: Kind::Binary,
            from: None,
        }
    }

    /// The payload as UTF-8 text.
    ///
    /// # Errors
    /// When it is none; the error names the offset and the byte.
    pub fn text(&self) -> Result<&str> {
        match wire::text::Encoding::UTF_8.decode(&self.data)? {
            std::borrow::Cow::Borrowed(text) => Ok(text),
            std::borrow::Cow::Owned(_) => unreachable!("UTF-8 is decoded in place"),
        }
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Self::binary(data)
    }
}

impl From<Vec<u8>> for Message {
    fn from(data: Vec<u8>) -> Self {
        Self::binary(data.into())
    }
}

impl From<&'static [u8]> for Message {
    fn from(data: &'static [u8]) -> Self {
        Self::binary(Bytes::from_static(data))
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self {
            data: text.into(),
            kind: Kind::Text,
            from: None,
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
