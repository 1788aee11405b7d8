//! `hello`: greets who comes, and everyone who says a name.

use std::time::Duration;

use super::Service;
use crate::error::Result;
use crate::session::{Message, Session};

/// Greets when a session opens, answers `Hello, NAME!` to each name, and ends on `exit`.
#[derive(Clone, Debug)]
pub struct Hello {
    /// What is said first; nothing when empty.
    pub greeting: String,
    /// How long it thinks before each answer.
    pub delay: Duration,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            greeting: "hello!".to_owned(),
            delay: Duration::ZERO,
        }
    }
}

impl Service for Hello {
    async fn serve(&self, mut session: Session) -> Result<()> {
        if !self.greeting.is_empty() {
            // Without a boundary of the carrier's or the framing's, a line end is what people expect.
            let end = if session.has_boundaries() { "" } else { "\n" };
            let greeting = say(&session, &format!("{}{end}", self.greeting))?;
            session.send(greeting).await?;
        }
        while let Some(message) = session.recv().await? {
            let encoding = message.encoding(session.info().encoding());
            let text = encoding.show(&message.data);
            // One read of a byte stream may hold several lines, and each is a name.
            for line in text.split_inclusive('\n') {
                let name = line.trim();
                if name == "exit" {
                    return session.close().await;
                }
                if name.is_empty() {
                    continue;
                }
                tokio::time::sleep(self.delay).await;
                // Who sends lines reads lines; who sends bare bytes gets bare bytes.
                let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
                let answer = say(&session, &format!("Hello, {name}!{end}"))?;
                session.send(answer).await?;
            }
        }
        session.close().await
    }

    fn speaks_first(&self) -> bool {
        !self.greeting.is_empty()
    }
}

fn say(session: &Session, text: &str) -> Result<Message> {
    Message::encoded(text, session.info().encoding())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::framing::Framing;
    use wire::text::Encoding;

    async fn talk(encoding: Encoding, framing: Framing, said: &'static [u8]) -> Vec<u8> {
        let (near, mut far) = Session::pair_in(encoding, framing);
        let asked = async {
            far.send(said).await.unwrap();
            far.finish().await.unwrap();
            let mut heard = Vec::new();
            while let Some(message) = far.recv().await.unwrap() {
                heard.extend_from_slice(&message.data);
            }
            heard
        };
        let hello = Hello::default();
        let (served, heard) = tokio::join!(hello.serve(near), asked);
        served.unwrap();
        heard
    }

    #[tokio::test]
    async fn greets_and_answers_each_line() {
        let heard = talk(Encoding::UTF_8, Framing::Raw, b"Michael\nTracy\r\n").await;
        assert_eq!(heard, b"hello!\nHello, Michael!\nHello, Tracy!\r\n");
    }

    #[tokio::test]
    async fn a_name_without_a_line_end_gets_an_answer_without_one() {
        assert_eq!(
            talk(Encoding::UTF_8, Framing::Raw, b"Michael").await,
            b"hello!\nHello, Michael!"
        );
    }

    #[tokio::test]
    async fn exit_ends_the_session() {
        assert_eq!(
            talk(Encoding::UTF_8, Framing::Raw, b"exit\nTracy\n").await,
            b"hello!\n"
        );
    }

    #[tokio::test]
    async fn speaks_the_encoding_of_the_session() {
        let gbk: Encoding = "gbk".parse().unwrap();
        // 乔治 in GBK, by the published table: C7 C7 D6 CE.
        let heard = talk(gbk, Framing::Raw, b"\xc7\xc7\xd6\xce").await;
        assert_eq!(heard, b"hello!\nHello, \xc7\xc7\xd6\xce!");
    }
}
