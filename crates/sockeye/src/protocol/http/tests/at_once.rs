//! Answers that a service knows by the head of a request alone.

use bytes::Bytes;

use super::*;
use crate::request::{Answer, Body, Head, Request, Response};

/// Knows its answer to whoever sends no body, and says otherwise what came.
struct Quick;

impl Service for Quick {
    async fn serve(&self, _: Session) -> Result<()> {
        unreachable!("it answers every request itself")
    }

    async fn http(&self, mut request: Request) -> Result<Answer> {
        let mut said = String::from("slow:");
        while let Some(data) = request.body_mut().data().await {
            said.push_str(&String::from_utf8_lossy(&data.unwrap()));
        }
        Ok(Response::new(said.into()).into())
    }

    fn at_once(&self, head: Head<'_>, who: &Identity) -> Option<::http::Response<Bytes>> {
        let peer = who.peer();
        let path = head.uri.path();
        (path != "/slow").then(|| ::http::Response::new(format!("quick:{path} {peer}").into()))
    }
}

#[tokio::test(start_paused = true)]
async fn only_who_sends_no_body_is_answered_by_the_head() {
    for (request, answer, told) in [
        (
            "GET /a HTTP/1.1\r\n",
            "quick:/a 127.0.0.1:50000",
            "GET /a 200 24",
        ),
        ("HEAD /a HTTP/1.1\r\n", "", "HEAD /a 200 0"),
        (
            "POST /a HTTP/1.1\r\nContent-Length: 0\r\n",
            "quick:/a 127.0.0.1:50000",
            "POST /a 200 24",
        ),
        (
            "POST /a HTTP/1.1\r\nContent-Length: 2\r\n",
            "slow:hi",
            "POST /a 200 7",
        ),
        (
            "GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
            "slow:hi",
            "GET /a 200 7",
        ),
        ("GET /slow HTTP/1.1\r\n", "slow:", "GET /slow 200 5"),
    ] {
        let mut client = Client::of(Quick);
        let body = match request {
            chunked if chunked.contains("chunked") => "2\r\nhi\r\n0\r\n\r\n",
            long if long.contains("Length: 2") => "hi",
            _ => "",
        };
        let head = format!("{request}Host: localhost\r\nConnection: close\r\n\r\n");
        client.say(head + body).await;
        let whole = client.rest().await;
        assert!(whole.starts_with("HTTP/1.1 200 "), "{request}: {whole}");
        assert_eq!(super::body(&whole), answer, "{request}");
        assert_eq!(client.told(), [told], "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_http_itself_refuses_never_gets_to_the_head() {
    for (request, status) in [
        ("GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /a HTTP/1.1\r\n\r\n", "400"),
        ("TRACE /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("OPTIONS /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "204"),
        (
            "POST /a HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
            "403",
        ),
        ("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "401"),
    ] {
        let mut client = Client::on(Quick, Version::One, Framing::Raw, |connection| {
            connection.token = Some(crate::token::Token::new("sesame").unwrap());
        });
        client.say(request).await;
        client.wire.shutdown().await.unwrap();
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(!answer.contains("quick"), "{request}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_a_row_are_answered_in_their_order() {
    let mut client = Client::of(Quick);
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client
        .say(ask("/a") + &ask("/slow") + &ask("/b") + &ask("/c")[..9])
        .await;
    // The third does not wait for the rest of the fourth.
    let three = client.until("quick:/b 127.0.0.1:50000").await;
    let at = |text: &str| {
        three
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {three}"))
    };
    assert!(at("quick:/a") < at("slow:"), "{three}");
    client.say(&ask("/c")[9..]).await;
    client.until("quick:/c 127.0.0.1:50000").await;
    assert_eq!(client.told().len(), 4);
}

#[tokio::test]
async fn reply_says_the_same_with_and_without_a_future() {
    let gb2312 = "gb2312".parse().unwrap();
    for (close, kind, encoding) in [
        (false, None, gb2312),
        (
            true,
            Some("a/b".parse().unwrap()),
            wire::text::Encoding::UTF_8,
        ),
    ] {
        let service = Reply {
            answer: b"\xc4\xe3"[..].into(),
            close,
            content_type: kind,
        };
        let end = Endpoint::Memory;
        let who = Identity::new(Side::Accepted, "http", end.clone(), end).encoding(encoding);
        let mut request = Request::new(Body::empty());
        let quick = service.at_once((&request).into(), &who).unwrap();
        request.extensions_mut().insert(Arc::new(who));
        let Ok(Answer::Response(slow)) = service.http(request).await else {
            panic!("not an answer");
        };
        assert_eq!(quick.headers(), slow.headers());
        assert_eq!(quick.headers().contains_key("connection"), close);
        assert_eq!(quick.status(), slow.status());
    }
}
