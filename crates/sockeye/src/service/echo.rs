//! `echo`: every message goes back as it came (RFC 862).

use bytes::Bytes;

use super::Service;
use crate::error::Result;
use crate::session::{Identity, Session};

/// Sends every message back as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    async fn serve(&self, mut session: Session) -> Result<()> {
        // Not `while let`: that would keep a second copy of each message in every session's future.
        loop {
            session.reflect().await?;
            let Some(message) = session.recv().await? else {
                return session.close().await;
            };
            session.feed(message).await?;
        }
    }

    fn reflex(&self, datagram: &[u8], _: &Identity) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(datagram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::framing::Framing;

    #[tokio::test]
    async fn gives_back_every_message_until_the_peer_finishes() {
        let (near, mut far) = Session::pair(Framing::Line);
        let served = async {
            Echo.serve(near).await.unwrap();
        };
        let asked = async {
            for text in ["one", "", "三"] {
                far.send(text).await.unwrap();
                assert_eq!(far.recv().await.unwrap().unwrap().text().unwrap(), text);
            }
            far.finish().await.unwrap();
            assert_eq!(far.recv().await.unwrap(), None);
        };
        tokio::join!(served, asked);
    }

    #[tokio::test]
    async fn an_empty_packet_is_a_message() {
        let (near, mut far) = Session::packet_pair();
        let asked = async {
            far.send("").await.unwrap();
            assert_eq!(far.recv().await.unwrap().unwrap().data.len(), 0);
            drop(far);
        };
        let (served, ()) = tokio::join!(Echo.serve(near), asked);
        served.unwrap();
    }
}
