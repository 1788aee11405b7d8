//! One message of a session.

use std::net::SocketAddr;

use bytes::Bytes;
use wire::text::Encoding;

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

    /// `text` in `encoding`. It is [`Kind::Text`] only in UTF-8, which is what a carrier that knows text
    /// means by it.
    ///
    /// # Errors
    /// When the encoding does not have one of the characters.
    pub fn encoded(text: &str, encoding: Encoding) -> Result<Self> {
        Ok(Self::of(
            encoding.encode(text)?.into_owned().into(),
            encoding,
        ))
    }

    /// Bytes that are meant to be text in `encoding`, if they can be.
    pub(crate) fn of(data: Bytes, encoding: Encoding) -> Self {
        let kind = match encoding == Encoding::UTF_8 && str::from_utf8(&data).is_ok() {
            true => Kind::Text,
            false => Kind::Binary,
        };
        Self {
            kind,
            ..Self::binary(data)
        }
    }

    /// How its bytes are to be read in a session in `encoding`: text of a carrier that knows text is UTF-8.
    pub fn encoding(&self, encoding: Encoding) -> Encoding {
        match self.kind {
            Kind::Text => Encoding::UTF_8,
            Kind::Binary => encoding,
        }
    }

    /// The payload as UTF-8 text.
    ///
    /// # Errors
    /// When it is none; the error names the offset and the byte.
    pub fn text(&self) -> Result<&str> {
        match Encoding::UTF_8.decode(&self.data)? {
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
