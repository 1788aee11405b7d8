//! What a port shows of itself: who gets it, and whose connections they may see.

use super::*;
use crate::protocol::http::Page;
use crate::token::Token;
use crate::view::{Course, View, ViewKey, Viewer};

/// Keeps those who look, and the claims.
#[derive(Debug, Default)]
struct Window {
    viewers: Mutex<Vec<Viewer>>,
    claims: Mutex<Vec<(Course, ViewKey)>>,
    is_full: bool,
}

impl View for Window {
    fn look(&self, viewer: Viewer) -> bool {
        if !self.is_full {
            self.viewers.lock().unwrap().push(viewer);
        }
        !self.is_full
    }

    fn claim(&self, course: Course, key: ViewKey) {
        self.claims.lock().unwrap().push((course, key));
    }
}

const KEY: &str = "0123456789abcdef";

/// A client of a port with a page and this view.
fn client(
    window: &Arc<Window>,
    token: Option<&str>,
    peer: &str,
    view: impl FnOnce(&mut Settings),
) -> Client {
    let page = Page {
        service: "echo".to_owned(),
        version: "1",
        ways: &[],
    };
    let mut settings = Settings {
        page: Some(page),
        view: Some(window.clone()),
        ..Settings::default()
    };
    view(&mut settings);
    let (local, peer) = ("127.0.0.1:80", peer.parse::<std::net::SocketAddr>());
    let (local, peer) = (local.parse::<std::net::SocketAddr>(), peer.unwrap());
    let ends = (Endpoint::from(local.unwrap()), Endpoint::from(peer));
    Client::on(Echo, Version::One, Framing::Raw, |connection| {
        connection.settings = Arc::new(settings);
        connection.token = token.map(|token| Token::new(token).unwrap());
        connection.identity = Arc::new(Identity::new(Side::Accepted, "http", ends.0, ends.1));
    })
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

const LINES: &str = "/.sockeye/trace.jsonl";

#[tokio::test(start_paused = true)]
async fn lines_come_as_they_are_put_until_this_end_says_goodbye() {
    let window = Arc::new(Window::default());
    let mut client = client(&window, None, "127.0.0.1:50000", |_| {});
    client.say(get(LINES, "")).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-ndjson\r\n"));
    assert!(head.contains("cache-control: no-store\r\n"), "{head}");
    for line in ["one\n", "two\n"] {
        assert!(window.viewers.lock().unwrap()[0].put(line.into()));
        client.until(&format!("{line}\r\n")).await;
    }
    // An hour in which nothing happens is no reason to end.
    sleep(HOUR).await;
    assert!(!window.viewers.lock().unwrap()[0].has_left());
    let start = Instant::now();
    client.stage.goodbye.cancel();
    assert_eq!(client.rest().await, "0\r\n\r\n", "a whole body");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "not after the grace time"
    );
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_is_known_to_look_no_more() {
    let window = Arc::new(Window::default());
    let mut client = client(&window, None, "127.0.0.1:50000", |_| {});
    client.say(get(LINES, "")).await;
    client.until("\r\n\r\n").await;
    drop(client.wire);
    // They may have ended their direction alone: only what cannot be sent shows that nobody is there.
    let has_left = || {
        let viewers = window.viewers.lock().unwrap();
        viewers[0].put("\n".into());
        viewers[0].has_left()
    };
    let noticed = async {
        while !has_left() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(HOUR, noticed).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn everything_is_for_the_token_or_else_for_this_machine() {
    let here = "127.0.0.1:50000";
    let bearer = "Authorization: Bearer secret\r\n";
    for (token, peer, target, fields, all) in [
        (None, here, LINES, "", true),
        (None, "[::1]:50000", LINES, "", true),
        (None, "192.0.2.7:50000", LINES, "", false),
        (None, here, LINES, "X-Forwarded-For: 192.0.2.7\r\n", false),
        (None, here, LINES, "Via: 1.1 proxy\r\n", false),
        (None, "192.0.2.7:50000", LINES, bearer, false),
        (Some("secret"), here, LINES, "", false),
        (
            Some("secret"),
            here,
            LINES,
            "Authorization: Bearer wrong\r\n",
            false,
        ),
        (Some("secret"), "192.0.2.7:50000", LINES, bearer, true),
        (
            Some("secret"),
            here,
            "/.sockeye/trace.jsonl?token=secret",
            "",
            true,
        ),
    ] {
        let window = Arc::new(Window::default());
        let mut client = client(&window, token, peer, |_| {});
        client.say(get(target, fields)).await;
        client.until("\r\n\r\n").await;
        let viewers = window.viewers.lock().unwrap();
        assert_eq!(viewers[0].sees_all, all, "{token:?} {peer} {fields}");
        let course = viewers[0].course.unwrap();
        assert_eq!(
            (course.peer.to_string(), course.is_quic),
            (peer.to_owned(), false)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_said_claims_the_connection() {
    let key = ViewKey::read(KEY);
    let upgrade = format!(
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sockeye, wire.{KEY}\r\n"
    );
    for (target, fields) in [
        ("/", upgrade.as_str()),
        ("/.sockeye/facts.json?wire=0123456789abcdef", ""),
        ("/.sockeye/trace.jsonl?wire=0123456789abcdef", ""),
        ("/?wire=0123456789abcdef", "Accept: text/html\r\n"),
    ] {
        let window = Arc::new(Window::default());
        let mut client = client(&window, None, "192.0.2.7:50000", |_| {});
        client.say(get(target, fields)).await;
        client.until("\r\n\r\n").await;
        let claims = window.claims.lock().unwrap();
        assert_eq!(claims.len(), 1, "{target}");
        let (course, said) = claims[0];
        assert_eq!((course.peer.port(), Some(said)), (50000, key), "{target}");
        if let Some(viewer) = window.viewers.lock().unwrap().first() {
            assert_eq!(viewer.key, key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_others_and_what_makes_no_sense_are_refused() {
    let full = Window {
        is_full: true,
        ..Window::default()
    };
    let foreign = "Origin: https://evil.example\r\n";
    let behind = "Sec-Fetch-Site: cross-site\r\n";
    let open = || Arc::new(Window::default());
    for (window, line, status) in [
        (open(), get(LINES, foreign), "403"),
        (open(), get(LINES, behind), "403"),
        (Arc::new(full), get(LINES, ""), "503"),
        (open(), get(LINES, "").replace("GET", "POST"), "405"),
    ] {
        let mut client = client(&window, None, "127.0.0.1:50000", |_| {});
        client.say(&line).await;
        let head = client.until("\r\n\r\n").await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{line}: {head}"
        );
        assert!(window.viewers.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_shown_the_page_does_not_offer_it() {
    for (shows, status) in [(true, "200"), (false, "404")] {
        let window = Arc::new(Window::default());
        let hide = |settings: &mut Settings| {
            if !shows {
                settings.view = None;
            }
        };
        let mut client = client(&window, None, "127.0.0.1:50000", hide);
        client.say(get("/.sockeye/facts.json", "")).await;
        let facts = client.until("}").await;
        assert!(facts.contains(&format!("\"trace\":{shows}")), "{facts}");
        client.say(get(LINES, "")).await;
        let head = client.until("\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    }
}
