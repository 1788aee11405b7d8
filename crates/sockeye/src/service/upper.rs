//! `upper`: text comes back in upper case, in the encoding of the session.

use bytes::Bytes;
use wire::text::{Decoder, Encoding, Piece};

use super::Service;
use crate::error::Result;
use crate::session::{Identity, Message, Session};

/// Sends text back in upper case.
///
/// Whole characters only: over a byte stream without framing a character whose bytes arrive in two reads
/// is one character. What is no text in the session's encoding passes unchanged, and so does a letter whose
/// upper case the encoding does not have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upper;

impl Service for Upper {
    async fn serve(&self, mut session: Session) -> Result<()> {
        let encoding = session.info().encoding();
        let mut decoder = encoding.decoder();
        let one_by_one = session.has_boundaries();
        while let Some(message) = session.recv().await? {
            let answer = if one_by_one {
                raised(&message.data, message.encoding(encoding))
            } else {
                let mut answer = Vec::with_capacity(message.data.len());
                decoder.push(&message.data, |piece| raise(piece, encoding, &mut answer));
                answer
            };
            // A read that was only the first half of a character has no answer yet.
            if one_by_one || !answer.is_empty() || message.data.is_empty() {
                session
                    .feed(Message {
                        data: answer.into(),
                        ..message
                    })
                    .await?;
            }
        }
        let mut rest = Vec::new();
        end(&mut decoder, encoding, &mut rest);
        if !rest.is_empty() {
            session.send(rest).await?;
        }
        session.close().await
    }

    fn reflex(&self, datagram: &[u8], who: &Identity) -> Option<Bytes> {
        Some(raised(datagram, who.text_encoding()).into())
    }
}

/// A whole text in upper case.
fn raised(text: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut answer = Vec::with_capacity(text.len());
    let mut decoder = encoding.decoder();
    decoder.push(text, |piece| raise(piece, encoding, &mut answer));
    end(&mut decoder, encoding, &mut answer);
    answer
}

fn end(decoder: &mut Decoder, encoding: Encoding, answer: &mut Vec<u8>) {
    decoder.finish(|piece| raise(piece, encoding, answer));
}

fn raise(piece: Piece<'_>, encoding: Encoding, answer: &mut Vec<u8>) {
    match piece {
        Piece::Bytes(bytes) => answer.extend_from_slice(bytes),
        Piece::Text(text) if text.is_ascii() => {
            answer.extend(text.bytes().map(|byte| byte.to_ascii_uppercase()))
        }
        Piece::Text(text) => match encoding.encode(&text.to_uppercase()) {
            Ok(raised) => answer.extend_from_slice(&raised),
            Err(_) => raise_one_by_one(text, encoding, answer),
        },
    }
}

fn raise_one_by_one(text: &str, encoding: Encoding, answer: &mut Vec<u8>) {
    for letter in text.chars() {
        let raised: String = letter.to_uppercase().collect();
        let kept = encoding.encode(&raised).or_else(|_| {
            encoding
                .encode(letter.encode_utf8(&mut [0; 4]))
                .map(|b| b.into_owned().into())
        });
        if let Ok(bytes) = kept {
            answer.extend_from_slice(&bytes);
        }
    }
}
