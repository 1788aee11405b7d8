//! Plain requests before hyper has a connection: nobody can tell the difference.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ::http::StatusCode;
use bytes::Bytes;

use super::*;
use crate::request::Head;

/// Says by the head alone what came, in answers of several kinds; counts how often it is asked.
#[derive(Clone, Default)]
struct Mirror(Arc<AtomicUsize>);

impl Service for Mirror {
    async fn serve(&self, _: Session) -> Result<()> {
        Ok(())
    }

    fn at_once(&self, head: Head<'_>, _: &Identity) -> Option<::http::Response<Bytes>> {
        self.0.fetch_add(1, Relaxed);
        let path = head.uri.path();
        let body = match path {
            "/long" => "x".repeat(100_000),
            "/empty" => String::new(),
            _ => format!("{} {}", head.uri, head.headers.len()),
        };
        let mut response = ::http::Response::new(Bytes::from(body));
        let status = path.strip_prefix("/status/").map(str::parse);
        if let Some(Ok(status)) = status {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
        }
        let headers = response.headers_mut();
        headers.insert("x-one", "1".parse().unwrap());
        headers.append("set-cookie", "a=b".parse().unwrap());
        headers.append("set-cookie", "c=d".parse().unwrap());
        Some(response)
    }
}

/// Without the clock.
fn undated(answer: &str) -> String {
    let lines = answer.split("\r\n");
    let lines = lines.map(|line| match line.strip_prefix("date: ") {
        Some(date) => format!("date: {} bytes", date.len()),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

const LAST: &str = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// It leaves the connection to hyper: to say that trailers would be read says nothing to a server without any.
const OTHER: &str = "GET /other HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn answers_are_those_of_hyper_byte_by_byte() {
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /a?b=%20 HTTP/1.1\r\nhost:localhost:80\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
        "GET /empty HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /status/404 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /status/204 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /status/304 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /status/299 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /<> HTTP/1.1\r\nHost: localhost\r\nX-Y:\r\n\r\n",
        "GET / HTTP/1.1\nHost: localhost\n\n",
    ] {
        let mut heard = Vec::new();
        for before in ["", OTHER] {
            let mut client = Client::of(Mirror::default());
            client.say(before).await;
            if !before.is_empty() {
                client.until("/other 2").await;
            }
            // In one piece: after some of these the connection is closed.
            client.say(format!("{request}{LAST}")).await;
            heard.push((
                undated(&client.rest().await),
                client.told().split_off(before.len().min(1)),
            ));
        }
        assert_eq!(heard[0], heard[1], "{request}");
        assert!(heard[0].0.starts_with("HTTP/1.1 "), "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_leaves_the_connection_to_hyper() {
    // It is asked for once before hyper and once by it; what comes after it only by hyper.
    for (target, after, times) in [("/a", "/b", 2), ("/long", "/b", 3), ("/long", "/long", 3)] {
        let service = Mirror::default();
        let mut client = Client::of(service.clone());
        for target in [target, after] {
            let ask = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.say(ask).await;
            client.until("\r\n\r\n").await;
            let length = if target == "/long" {
                100_000
            } else {
                "/a 1".len()
            };
            client.wire.read_exact(&mut vec![0; length]).await.unwrap();
        }
        assert_eq!(service.0.load(Relaxed), times, "{target} {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_cut_anywhere() {
    let all = format!("{GET}{GET}{LAST}");
    let mut whole = Client::of(Mirror::default());
    whole.say(&all).await;
    let expected = undated(&whole.rest().await);
    assert_eq!(expected.matches("HTTP/1.1 200 OK").count(), 3, "{expected}");
    for at in 1..all.len() {
        let mut client = Client::of(Mirror::default());
        client.say(&all[..at]).await;
        // What has come is looked at before the rest comes.
        tokio::task::yield_now().await;
        client.say(&all[at..]).await;
        assert_eq!(undated(&client.rest().await), expected, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn plain_and_other_requests_are_answered_in_their_order() {
    let post = "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let mut client = Client::of(Mirror::default());
    client.say(format!("{GET}{GET}{post}{GET}{LAST}")).await;
    let answers = client.rest().await;
    let bodies: Vec<_> = answers.split("HTTP/1.1 200 OK").skip(1).map(body).collect();
    assert_eq!(bodies, ["/x 1", "/x 1", "/post 2", "/x 1", "/last 2"]);
    let told = ["GET /x", "GET /x", "POST /post", "GET /x", "GET /last"];
    for (line, begins) in client.told().iter().zip(told) {
        assert!(line.starts_with(begins), "{line}");
    }
    assert_eq!(client.told().len(), told.len());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_finished_is_answered() {
    let mut client = Client::of(Mirror::default());
    client.say(format!("{GET}{GET}")).await;
    client.wire.shutdown().await.unwrap();
    let answers = client.rest().await;
    assert_eq!(answers.matches("/x 1").count(), 2, "{answers}");
    let served = client.served.await.unwrap();
    assert!(matches!(served, Ok(None)), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_taken_are_not_gathered() {
    let mut client = Client::of(Mirror::default());
    let began = Instant::now();
    let mut said = 0;
    // Both directions have 16 KiB: then nothing more is read.
    while timeout(Duration::from_secs(1), client.say(GET))
        .await
        .is_ok()
    {
        said += 1;
        assert!(said < 2_000, "it goes on reading");
    }
    assert!(said > 16 * 1024 / GET.len(), "{said}");
    let served = client.served.await.unwrap();
    assert!(matches!(served, Ok(None)), "{served:?}");
    // A minute without a byte, and the grace.
    let took = began.elapsed().as_secs();
    assert!((60..=70).contains(&took), "{took}");
}
