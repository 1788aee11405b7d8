//! Requests and answers of the opening handshake, right and wrong ones.

use super::*;

/// The example of RFC 6455, section 1.3.
const EXAMPLE: &str = "GET /chat HTTP/1.1
Host: server.example.com
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Origin: http://server.example.com
Sec-WebSocket-Protocol: chat, superchat
Sec-WebSocket-Version: 13";

/// `EXAMPLE` with some of its header fields replaced, left out (an empty value) or added.
fn request(changes: &[(&str, &str)]) -> Request<()> {
    let (line, fields) = EXAMPLE.split_once('\n').unwrap();
    let mut words = line.split(' ');
    let mut request = Request::builder()
        .method(words.next().unwrap())
        .uri(words.next().unwrap())
        .version(Version::HTTP_11);
    let fields = fields.lines().map(|line| line.split_once(": ").unwrap());
    let kept = fields.filter(|(name, _)| !changes.iter().any(|(changed, _)| name == changed));
    for (name, value) in kept.chain(changes.iter().copied()) {
        if !value.is_empty() {
            request = request.header(name, value);
        }
    }
    request.body(()).unwrap()
}

fn over_http2(changes: &[(&str, &str)]) -> Request<()> {
    let mut request = request(changes);
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "https://server.example.com/chat".parse().unwrap();
    for name in [UPGRADE, CONNECTION, SEC_WEBSOCKET_KEY, HOST] {
        request.headers_mut().remove(name);
    }
    let protocol = hyper::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    request
}

fn fields(response: &Response<()>) -> Vec<(String, String)> {
    let headers = response.headers().iter();
    let mut fields: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    fields.sort();
    fields
}

fn listed(settings: &[&str]) -> Settings {
    Settings {
        protocols: settings.iter().copied().map(str::to_owned).collect(),
        ..Settings::default()
    }
}

#[test]
fn the_example_of_the_rfc_is_answered_as_there() {
    let request = request(&[]);
    assert!(is_asked(&request));
    let (response, agreed) = accept(&request, &Settings::default()).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let expected = [
        ("connection", "upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
        ("upgrade", "websocket"),
    ];
    assert_eq!(
        fields(&response),
        expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(agreed.protocol.as_deref(), Some("chat"));
    assert_eq!(agreed.deflate, None);
}

#[test]
fn over_http2_there_is_neither_upgrade_nor_key() {
    let request = over_http2(&[("Origin", "https://server.example.com")]);
    assert!(is_asked(&request));
    let (response, _) = accept(&request, &Settings::default()).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let expected = [("sec-websocket-protocol".to_owned(), "chat".to_owned())];
    assert_eq!(fields(&response), expected);

    let mut other = request;
    let protocol = hyper::ext::Protocol::from_static("connect-udp");
    other.extensions_mut().insert(protocol);
    assert!(!is_asked(&other));
}

#[test]
fn only_who_asks_is_answered() {
    for (upgrade, asked) in [
        ("websocket", true),
        ("WebSocket", true),
        ("h2c, websocket", true),
        ("h2c", false),
        ("websockets", false),
        ("", false),
    ] {
        assert_eq!(
            is_asked(&request(&[("Upgrade", upgrade)])),
            asked,
            "{upgrade:?}"
        );
    }
}

#[test]
fn a_wrong_request_is_refused_with_the_reason() {
    use StatusCode as S;
    for (changes, status, reason) in [
        (&[("Connection", "")][..], S::BAD_REQUEST, "Connection"),
        (
            &[("Connection", "keep-alive")],
            S::BAD_REQUEST,
            "Connection",
        ),
        (&[("Sec-WebSocket-Key", "")], S::BAD_REQUEST, "Key"),
        (&[("Sec-WebSocket-Key", "AAAA")], S::BAD_REQUEST, "Key"),
        (
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")],
            S::BAD_REQUEST,
            "Key",
        ),
        (
            &[
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            S::BAD_REQUEST,
            "Key",
        ),
        (&[("Sec-WebSocket-Version", "")], S::UPGRADE_REQUIRED, "13"),
        (&[("Sec-WebSocket-Version", "8")], S::UPGRADE_REQUIRED, "13"),
        (
            &[("Sec-WebSocket-Version", "13, 8")],
            S::UPGRADE_REQUIRED,
            "13",
        ),
        (
            &[("Origin", "http://evil.example")],
            S::FORBIDDEN,
            "evil.example",
        ),
        (&[("Origin", "null")], S::FORBIDDEN, "null"),
    ] {
        let refusal = accept(&request(changes), &Settings::default()).unwrap_err();
        assert_eq!(refusal.status, status, "{changes:?}");
        assert!(refusal.reason.contains(reason), "{}", refusal.reason);
        let versions = refusal
            .answer()
            .headers()
            .get(SEC_WEBSOCKET_VERSION)
            .cloned();
        assert_eq!(versions.is_some(), status == S::UPGRADE_REQUIRED);
    }
    let mut posted = request(&[]);
    *posted.method_mut() = Method::POST;
    assert_eq!(
        accept(&posted, &Settings::default()).unwrap_err().status,
        S::BAD_REQUEST
    );
    let mut old = request(&[]);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(
        accept(&old, &Settings::default()).unwrap_err().status,
        S::BAD_REQUEST
    );
}

#[test]
fn pages_of_our_own_and_those_named_may_ask() {
    for (origin, host, may) in [
        ("", "a.example", true),
        ("http://a.example", "a.example", true),
        ("http://A.example", "a.EXAMPLE", true),
        ("http://a.example:80", "a.example", true),
        ("https://a.example", "a.example:443", true),
        ("http://a.example:3000", "a.example:3000", true),
        ("http://[::1]:3000", "[::1]:3000", true),
        ("http://a.example:3001", "a.example:3000", false),
        ("http://a.example", "a.example:3000", false),
        ("http://a.example.evil", "a.example", false),
        ("http://a.example@evil", "a.example", false),
        ("file://", "", false),
        ("http://", "", false),
        ("ftp://a.example", "a.example", false),
        ("https://friend.example", "a.example", true),
        ("https://friend.example:444", "a.example", false),
    ] {
        let settings = Settings {
            origins: vec!["https://friend.example".to_owned()],
            ..Settings::default()
        };
        let asked = request(&[("Origin", origin), ("Host", host)]);
        assert_eq!(accept(&asked, &settings).is_ok(), may, "{origin} at {host}");
        let anyone = Settings {
            origins: vec!["*".to_owned()],
            ..Settings::default()
        };
        assert!(accept(&asked, &anyone).is_ok(), "{origin} at {host}");
    }
}

#[test]
fn a_subprotocol_is_chosen_in_the_clients_order() {
    for (offered, known, chosen) in [
        ("a, b", &[][..], Some("a")),
        ("a, b", &["b"], Some("b")),
        ("a,b", &["b", "a"], Some("a")),
        ("a, b", &["c"], None),
        ("token.c2VjcmV0, sockeye", &[], Some("sockeye")),
        ("token.c2VjcmV0", &[], Some("token.c2VjcmV0")),
        ("", &[], None),
        ("", &["a"], None),
    ] {
        let asked = request(&[("Sec-WebSocket-Protocol", offered)]);
        let (response, agreed) = accept(&asked, &listed(known)).unwrap();
        assert_eq!(agreed.protocol.as_deref(), chosen, "{offered} {known:?}");
        let answered = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(answered.map(|value| value.to_str().unwrap()), chosen);
    }
}

#[test]
fn compression_is_agreed_on_only_where_it_is_wanted() {
    let offer = "permessage-deflate; client_max_window_bits";
    let asked = request(&[("Sec-WebSocket-Extensions", offer)]);
    let (response, agreed) = accept(&asked, &Settings::default()).unwrap();
    assert_eq!(agreed.deflate, None);
    assert!(!response.headers().contains_key(SEC_WEBSOCKET_EXTENSIONS));
    let settings = Settings {
        compress: true,
        ..Settings::default()
    };
    let (response, agreed) = accept(&asked, &settings).unwrap();
    assert_eq!(agreed.deflate, Some(Parameters::FRUGAL));
    assert_eq!(
        response.headers()[SEC_WEBSOCKET_EXTENSIONS],
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
}

/// What a client asks, answered by our server.
fn shake(version: Version, client: &Settings, server: &Settings) -> Result<Agreed, Unlike> {
    let (mut parts, ()) = Request::builder()
        .uri("http://a.example/chat")
        .version(version)
        .header(HOST, "a.example")
        .body(())
        .unwrap()
        .into_parts();
    let asked = Asked::complete(&mut parts, client);
    let request = Request::from_parts(parts, ());
    assert!(is_asked(&request));
    let (response, served) = accept(&request, server).unwrap();
    let agreed = asked.agree(&response.into_parts().0)?;
    assert_eq!(agreed, served);
    Ok(agreed)
}

#[test]
fn our_two_ends_understand_each_other() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for (client, server) in [(false, false), (true, false), (false, true), (true, true)] {
            let compress = |compress| Settings {
                compress,
                ..listed(&["a", "b"])
            };
            let agreed = shake(version, &compress(client), &compress(server)).unwrap();
            assert_eq!(agreed.protocol.as_deref(), Some("a"));
            assert_eq!(agreed.deflate.is_some(), client && server);
        }
    }
}

#[test]
fn an_answer_that_was_not_asked_for_is_refused() {
    let answer = |changes: &[(&'static str, &str)]| {
        let (mut parts, ()) = Request::builder().body(()).unwrap().into_parts();
        let asked = Asked::complete(&mut parts, &listed(&["a"]));
        let request = Request::from_parts(parts, ());
        let (mut response, _) = accept(&request, &Settings::default()).unwrap();
        for (name, value) in changes {
            if *name == ":status" {
                *response.status_mut() = value.parse().unwrap();
            } else {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
        }
        asked.agree(&response.into_parts().0)
    };
    assert_eq!(answer(&[]).unwrap().protocol.as_deref(), Some("a"));
    let not_found = answer(&[(":status", "404")]);
    let refused = |status, words: &str| Err(Unlike::Refused(status, words.to_owned()));
    assert_eq!(not_found, refused(StatusCode::NOT_FOUND, ""));
    let elsewhere = answer(&[(":status", "302"), ("location", "wss://b.example/")]);
    assert_eq!(
        elsewhere,
        refused(StatusCode::FOUND, "go to wss://b.example/")
    );
    for (name, value, reason) in [
        ("upgrade", "h2c", "the server upgrades to something else"),
        (
            "connection",
            "close",
            "the server upgrades to something else",
        ),
        (
            "sec-websocket-accept",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "the server does not prove that it speaks WebSocket",
        ),
        (
            "sec-websocket-protocol",
            "b",
            "the server chooses the subprotocol \"b\", which was not offered",
        ),
        (
            "sec-websocket-extensions",
            "permessage-deflate",
            "the server chooses the extension \"permessage-deflate\", and none was offered",
        ),
    ] {
        let wrong = Err(Unlike::Wrong(reason.to_owned()));
        assert_eq!(answer(&[(name, value)]), wrong, "{name}: {value}");
    }
}

#[test]
fn what_a_server_says_is_heard_unless_something_better_is_known() {
    let mut unlike = Unlike::Refused(StatusCode::FOUND, String::new());
    assert!(unlike.is_refusal());
    unlike.add_words("first");
    unlike.add_words("second");
    assert_eq!(
        unlike,
        Unlike::Refused(StatusCode::FOUND, "first".to_owned())
    );
    let mut wrong = Unlike::no_extended_connect();
    assert!(!wrong.is_refusal());
    wrong.add_words("x");
    assert_eq!(wrong, Unlike::no_extended_connect());
}

#[test]
fn each_handshake_has_a_key_of_its_own() {
    let key = || {
        let (mut parts, ()) = Request::builder().body(()).unwrap().into_parts();
        Asked::complete(&mut parts, &Settings::default());
        parts.headers[SEC_WEBSOCKET_KEY].clone()
    };
    assert_ne!(key(), key());
    assert_eq!(key().len(), 24);
}
