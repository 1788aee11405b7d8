//! `reply`: the same answer to every message.

use bytes::Bytes;

use super::Service;
use crate::error::Result;
use crate::session::Session;

/// Answers every message with the same bytes.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer, sent exactly as it is.
    pub answer: Bytes,
    /// End the session after the first answer.
    pub close: bool,
}

impl Service for Reply {
    async fn serve(&self, mut session: Session) -> Result<()> {
        while session.recv().await?.is_some() {
            session.feed(self.answer.clone()).await?;
            if self.close {
                break;
            }
        }
        session.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::framing::Framing;

    #[tokio::test]
    async fn answers_each_message_and_closes_when_told() {
        for (close, answers) in [(false, 2), (true, 1)] {
            let (near, mut far) = Session::pair(Framing::Line);
            let service = Reply {
                answer: Bytes::from_static(b"\x06"),
                close,
            };
            let asked = async {
                far.send("a").await.unwrap();
                far.send("b").await.unwrap();
                far.finish().await.unwrap();
                let mut heard = Vec::new();
                while let Some(message) = far.recv().await.unwrap() {
                    heard.push(message.data);
                }
                heard
            };
            let (served, heard) = tokio::join!(service.serve(near), asked);
            served.unwrap();
            assert_eq!(heard, vec![Bytes::from_static(b"\x06"); answers]);
        }
    }
}
