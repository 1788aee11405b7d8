//! `reply`: the same answer to every message.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, header};
use wire::text::Encoding;

use super::Service;
use crate::error::{Error, Operation, Result};
use crate::request::{Answer, Body, Head, Request};
use crate::session::{Identity, Message, Session};

/// Answers every message with the same bytes, and every HTTP request, whatever its body.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer, sent exactly as it is.
    pub answer: Bytes,
    /// End the session after the first answer.
    pub close: bool,
    /// What it is called over HTTP; by its looks when `None`, see [`Reply::kind`].
    pub content_type: Option<HeaderValue>,
}

impl Reply {
    /// What `answer` is, in the words of HTTP: a page when it begins like one, or else text, in this encoding;
    /// bytes when it is no text in it.
    pub fn kind(answer: &[u8], encoding: Encoding) -> HeaderValue {
        let Ok(text) = encoding.decode(answer) else {
            return HeaderValue::from_static("application/octet-stream");
        };
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let begins = |with: &str| {
            let start = text.get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        let kind = match begins("<!doctype html") || begins("<html") {
            true => "html",
            false => "plain",
        };
        HeaderValue::try_from(format!("text/{kind}; charset={encoding}"))
            .unwrap_or(HeaderValue::from_static("application/octet-stream"))
    }

    /// The answer over HTTP, to who speaks in this encoding.
    fn response(&self, encoding: Encoding) -> http::Response<Bytes> {
        let mut response = http::Response::new(self.answer.clone());
        let kind = self.content_type.clone();
        let kind = kind.unwrap_or_else(|| Self::kind(&self.answer, encoding));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        let exactly = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, exactly);
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Service for Reply {
    async fn serve(&self, mut session: Session) -> Result<()> {
        let answer = Message::of(self.answer.clone(), session.info().encoding());
        while session.recv().await?.is_some() {
            session.feed(answer.clone()).await?;
            if self.close {
                break;
            }
        }
        session.close().await
    }

    async fn http(&self, mut request: Request) -> Result<Answer> {
        // However its body was cut on the way, a request is one message.
        while let Some(data) = request.body_mut().data().await {
            data.map_err(|source| Error::io(Operation::Receive, peer(&request), source))?;
        }
        let encoding = identity(&request).map(|identity| identity.text_encoding());
        let response = self.response(encoding.unwrap_or_default());
        Ok(Answer::Response(response.map(Body::from)))
    }

    fn at_once(&self, _: Head<'_>, who: &Identity) -> Option<http::Response<Bytes>> {
        Some(self.response(who.text_encoding()))
    }

    fn reflex(&self, _: &[u8], _: &Identity) -> Option<Bytes> {
        (!self.close).then(|| self.answer.clone())
    }
}

fn identity(request: &Request) -> Option<&Arc<Identity>> {
    request.extensions().get()
}

fn peer(request: &Request) -> String {
    identity(request).map_or_else(String::new, |identity| identity.peer().to_string())
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
                content_type: None,
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

    #[test]
    fn an_answer_is_called_what_it_is() {
        let gb2312: Encoding = "gb2312".parse().unwrap();
        // 你好 in GB2312, by the published table: C4 E3 BA C3.
        for (answer, encoding, kind) in [
            (&b"pong\n"[..], Encoding::UTF_8, "text/plain; charset=UTF-8"),
            (b"\xc4\xe3\xba\xc3", gb2312, "text/plain; charset=GB2312"),
            (
                b"\xc4\xe3\xba\xc3",
                Encoding::UTF_8,
                "application/octet-stream",
            ),
            (
                b"<!DOCTYPE html><p>hi",
                Encoding::UTF_8,
                "text/html; charset=UTF-8",
            ),
            (b"\n <HTML>\xc4\xe3", gb2312, "text/html; charset=GB2312"),
            (b"<htmx", Encoding::UTF_8, "text/plain; charset=UTF-8"),
            (b"", Encoding::UTF_8, "text/plain; charset=UTF-8"),
        ] {
            assert_eq!(Reply::kind(answer, encoding), kind, "{answer:?}");
        }
    }
}
