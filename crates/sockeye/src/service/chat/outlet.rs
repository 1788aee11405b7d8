//! How lines leave: in the session's encoding, each as its carrier likes it.

use bytes::{Bytes, BytesMut};
use wire::text::Encoding;

use crate::error::Result;
use crate::session::{Kind, Message, Session};

/// What a datagram costs beside its payload: the heads of IP and UDP.
const HEADS: usize = 28;
/// How much may be sent for what came from an address that may be forged (RFC 9000, section 8.1).
const FACTOR: usize = 3;
/// How much waits until it is known that the peer is where it says.
const HELD: usize = 64 * 1024;

/// Where a session's lines go.
#[derive(Debug)]
pub(super) struct Outlet {
    encoding: Encoding,
    /// Each line is a message that ends without a line end: so does what the peer sends.
    is_bare: bool,
    proof: Proof,
}

/// Whether a peer is where it says.
#[derive(Debug)]
enum Proof {
    /// It has come back with what was sent there, or its carrier knows.
    Given,
    /// How much may be sent, and what waits.
    Owed { budget: usize, held: Vec<Bytes> },
}

impl Outlet {
    pub(super) fn new(session: &Session) -> Self {
        let info = session.info();
        Self {
            encoding: info.encoding(),
            is_bare: session.keeps_boundaries(),
            proof: match info.has_end() {
                true => Proof::Given,
                false => Proof::Owed {
                    budget: 0,
                    held: Vec::new(),
                },
            },
        }
    }

    /// From here on the session speaks JSON, which is UTF-8.
    pub(super) fn speak_json(&mut self) {
        self.encoding = Encoding::UTF_8;
    }

    /// The encoding of what comes.
    pub(super) fn encoding(&self, message: &Message) -> Encoding {
        message.encoding(self.encoding)
    }

    /// Whether the peer may be told what it did not ask for.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.proof, Proof::Given)
    }

    /// Something came from the peer. What waited for that leaves.
    pub(super) async fn heard(&mut self, session: &mut Session, message: &Message) -> Result<()> {
        if session.keeps_boundaries() {
            // Who sends lines reads lines; who sends bare messages gets bare messages.
            self.is_bare = !message.data.ends_with(b"\n");
        }
        match &mut self.proof {
            Proof::Owed { budget: 0, .. } => {
                let budget = (message.data.len() + HEADS) * FACTOR;
                self.proof = Proof::Owed {
                    budget,
                    held: Vec::new(),
                };
                Ok(())
            }
            Proof::Owed { held, .. } => {
                let held = std::mem::take(held);
                self.proof = Proof::Given;
                self.send(session, held).await
            }
            Proof::Given => Ok(()),
        }
    }

    /// Sends lines, each with its end, but lets them gather.
    pub(super) async fn send(&mut self, session: &mut Session, lines: Vec<Bytes>) -> Result<()> {
        if let Proof::Owed { held, .. } = &mut self.proof {
            let mut waiting: usize = held.iter().map(Bytes::len).sum();
            for line in lines {
                waiting += line.len();
                if waiting <= HELD {
                    held.push(line);
                }
            }
            return Ok(());
        }
        if session.keeps_boundaries() || lines.len() < 2 {
            for line in lines {
                let message = self.message(&line);
                session.feed(message).await?;
            }
            return Ok(());
        }
        // In a stream of bytes they may as well be one.
        let mut joined = BytesMut::with_capacity(lines.iter().map(Bytes::len).sum());
        for line in &lines {
            joined.extend_from_slice(line);
        }
        let message = self.message(&joined.freeze());
        session.feed(message).await
    }

    /// Asks a peer to show that it is where it says, if that may be asked for so little.
    pub(super) async fn challenge(&mut self, session: &mut Session, line: &Bytes) -> Result<()> {
        let message = self.message(line);
        let Proof::Owed { budget, .. } = &mut self.proof else {
            return Ok(());
        };
        let cost = message.data.len() + HEADS;
        if cost > *budget {
            return Ok(());
        }
        *budget -= cost;
        session.feed(message).await
    }

    fn message(&self, line: &Bytes) -> Message {
        let line = match self.is_bare && line.ends_with(b"\n") {
            true => line.slice(..line.len() - 1),
            false => line.clone(),
        };
        let is_utf_8 = self.encoding == Encoding::UTF_8;
        Message {
            kind: if is_utf_8 { Kind::Text } else { Kind::Binary },
            data: if is_utf_8 {
                line
            } else {
                encode(&line, self.encoding)
            },
            from: None,
        }
    }
}

/// `line`, which is UTF-8, in another encoding; `?` where that does not have a character.
fn encode(line: &[u8], encoding: Encoding) -> Bytes {
    let text = String::from_utf8_lossy(line);
    if let Ok(encoded) = encoding.encode(&text) {
        return encoded.into_owned().into();
    }
    let mut encoded = Vec::with_capacity(line.len());
    let mut letter = [0; 4];
    for character in text.chars() {
        match encoding.encode(character.encode_utf8(&mut letter)) {
            Ok(bytes) => encoded.extend_from_slice(&bytes),
            Err(_) => encoded.push(b'?'),
        }
    }
    encoded.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_encoding_does_not_have_is_marked() {
        let gbk: Encoding = "gbk".parse().unwrap();
        // 你 in GBK, by the published table: C4 E3.
        assert_eq!(encode("你!\n".as_bytes(), gbk), &b"\xc4\xe3!\n"[..]);
        assert_eq!(encode("你🐟\n".as_bytes(), gbk), &b"\xc4\xe3?\n"[..]);
    }
}
