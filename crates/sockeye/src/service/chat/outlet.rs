//! How lines leave: in the session's encoding, each as its carrier likes it.

use std::collections::VecDeque;

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
/// With less than this to spend, what others say stays in the room: it could not be sent, and answers come first.
const SPARE: usize = 200;
/// How often the word may be said wrongly: whoever was not sent it can only guess.
const ATTEMPTS: u32 = 5;
/// Each so many datagrams it is asked for: the first question may have been lost.
const ASKED: u32 = 8;

/// Where a session's lines go.
#[derive(Debug)]
pub(super) struct Outlet {
    encoding: Encoding,
    /// Each line is a message that ends without a line end: so does what the peer sends.
    is_bare: bool,
    /// None for a peer that is where it says: its carrier knows, or it has said the word that was sent there.
    owed: Option<Box<Owed>>,
}

/// What is owed to an address that may be forged.
///
/// That more comes from there shows nothing: it may be forged as well. So in all it is sent three times what came,
/// until it says a word that only who reads there can know.
#[derive(Debug)]
struct Owed {
    word: String,
    /// How much may be sent.
    budget: usize,
    /// Datagrams that came.
    came: u32,
    wrong: u32,
    held: VecDeque<Bytes>,
    waiting: usize,
    /// Something was left out because too much waited.
    is_lost: bool,
}

impl Outlet {
    /// `word` is what shows that the peer reads what it is sent.
    pub(super) fn new(session: &Session, word: impl FnOnce() -> String) -> Self {
        let info = session.info();
        // Nobody else can send as this machine's loopback, and a Unix socket's path is its owner's.
        let peer = info.peer().socket_addr();
        let may_be_forged =
            !info.has_end() && peer.is_some_and(|peer| !peer.ip().to_canonical().is_loopback());
        Self {
            encoding: info.encoding(),
            is_bare: session.keeps_boundaries(),
            owed: may_be_forged.then(|| {
                Box::new(Owed {
                    word: word(),
                    budget: 0,
                    came: 0,
                    wrong: 0,
                    held: VecDeque::new(),
                    waiting: 0,
                    is_lost: false,
                })
            }),
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
    pub(super) fn takes_news(&self) -> bool {
        match &self.owed {
            Some(owed) => owed.held.is_empty() && owed.budget >= SPARE,
            None => true,
        }
    }

    /// Something came from the peer. The word, if it is to be asked for that.
    pub(super) fn heard(&mut self, session: &Session, message: &Message) -> Option<String> {
        if session.keeps_boundaries() {
            // Who sends lines reads lines; who sends bare messages gets bare messages.
            self.is_bare = !message.data.ends_with(b"\n");
        }
        let owed = self.owed.as_mut()?;
        owed.budget += (message.data.len() + HEADS) * FACTOR;
        owed.came = owed.came.wrapping_add(1);
        (owed.came % ASKED == 1).then(|| owed.word.clone())
    }

    /// The peer says the word: whether it is the right one, and whether something was left out before. What waited
    /// leaves.
    pub(super) async fn prove(
        &mut self,
        session: &mut Session,
        word: &str,
    ) -> Result<Option<bool>> {
        let Some(owed) = &mut self.owed else {
            return Ok(Some(false));
        };
        let is_right = owed.wrong < ATTEMPTS && owed.word.eq_ignore_ascii_case(word);
        if !is_right {
            owed.wrong += 1;
            return Ok(None);
        }
        let (held, is_lost) = (std::mem::take(&mut owed.held), owed.is_lost);
        self.owed = None;
        self.send(session, held.into()).await?;
        Ok(Some(is_lost))
    }

    /// Sends lines, each with its end, but lets them gather.
    pub(super) async fn send(&mut self, session: &mut Session, lines: Vec<Bytes>) -> Result<()> {
        if let Some(owed) = &mut self.owed {
            for line in lines {
                if owed.waiting + line.len() > HELD {
                    owed.is_lost = true;
                    continue;
                }
                owed.waiting += line.len();
                owed.held.push_back(line);
            }
            return self.pay(session).await;
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

    /// Sends as much of what waits as came in for it.
    async fn pay(&mut self, session: &mut Session) -> Result<()> {
        while let Some(line) = self
            .owed
            .as_ref()
            .and_then(|owed| owed.held.front().cloned())
        {
            if !self.challenge(session, &line).await? {
                break;
            }
            if let Some(owed) = &mut self.owed {
                owed.held.pop_front();
                owed.waiting -= line.len();
            }
        }
        Ok(())
    }

    /// Sends a line if it may be sent for what came: whether it was.
    pub(super) async fn challenge(&mut self, session: &mut Session, line: &Bytes) -> Result<bool> {
        let message = self.message(line);
        let cost = message.data.len() + HEADS;
        let Some(owed) = self.owed.as_mut().filter(|owed| owed.budget >= cost) else {
            return Ok(false);
        };
        owed.budget -= cost;
        session.feed(message).await?;
        Ok(true)
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
