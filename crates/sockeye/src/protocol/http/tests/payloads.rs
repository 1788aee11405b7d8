//! Requests that two servers could read in two ways ("smuggling"): each is refused, and nothing after it is read.

use super::*;

/// What follows each payload: were it taken for a request, the service would answer it.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// After `POST / HTTP/1.1` and `Host`. RFC numbers are those of the rule that is broken.
const REFUSED: &[(&str, &[u8])] = &[
    // RFC 9112, section 5.1: no whitespace between a name and its colon.
    ("space before the colon", b"Content-Length : 5\r\n\r\nhello"),
    ("tab before the colon", b"Content-Length\t: 5\r\n\r\nhello"),
    (
        "space before the colon of Transfer-Encoding",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "space in front of the name",
        b"X: a\r\n Content-Length: 5\r\n\r\nhello",
    ),
    // Section 5.2: a server rejects line folding.
    ("folded value", b"X: a\r\n b\r\n\r\n"),
    (
        "folded Transfer-Encoding",
        b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "folded with a tab",
        b"Content-Length: 5\r\n\t5\r\n\r\nhello",
    ),
    // Section 2.2 and RFC 9110, section 5.5: control characters.
    ("NUL in a value", b"X: a\0b\r\n\r\n"),
    ("NUL in a name", b"X\0: a\r\n\r\n"),
    ("bare CR in a value", b"X: a\rb\r\n\r\n"),
    ("bare CR before a name", b"\rContent-Length: 5\r\n\r\nhello"),
    ("DEL in a name", b"X\x7f: a\r\n\r\n"),
    ("escape in a value", b"X: \x1b[2J\r\n\r\n"),
    ("a name of two words", b"Content Length: 5\r\n\r\nhello"),
    ("a name in quotes", b"\"X\": a\r\n\r\n"),
    ("no name", b": a\r\n\r\n"),
    ("no colon", b"X\r\n\r\n"),
    (
        "a high byte in a name",
        b"Content-Length\xa0: 5\r\n\r\nhello",
    ),
    (
        "a Unicode name",
        b"Content\xe2\x80\x90Length: 5\r\n\r\nhello",
    ),
    // RFC 9112, section 6.3 and RFC 9110, section 8.6: Content-Length is 1*DIGIT.
    ("a sign", b"Content-Length: +5\r\n\r\nhello"),
    ("a minus sign", b"Content-Length: -5\r\n\r\nhello"),
    ("hex", b"Content-Length: 0x5\r\n\r\nhello"),
    ("a space inside", b"Content-Length: 1 0\r\n\r\nhello"),
    ("a fraction", b"Content-Length: 5.0\r\n\r\nhello"),
    ("an exponent", b"Content-Length: 5e0\r\n\r\nhello"),
    ("an underscore", b"Content-Length: 1_0\r\n\r\nhello"),
    ("no number", b"Content-Length: five\r\n\r\nhello"),
    ("nothing", b"Content-Length: \r\n\r\nhello"),
    (
        "a number beyond 2^64",
        b"Content-Length: 18446744073709551616\r\n\r\nhello",
    ),
    (
        "two numbers in two fields",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ),
    (
        "two numbers in one field",
        b"Content-Length: 5, 6\r\n\r\nhello",
    ),
    (
        "a full-width digit",
        b"Content-Length: \xef\xbc\x95\r\n\r\nhello",
    ),
    // RFC 9112, section 6.1 and 6.3: chunked is last, once, and known.
    (
        "an unknown coding",
        b"Transfer-Encoding: cow\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked is not last",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked is not last, in two fields",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    ),
    (
        "a name that begins alike",
        b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n",
    ),
    (
        "a name that ends alike",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a vertical tab in front",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "in quotes",
        b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    ("an empty coding", b"Transfer-Encoding: \r\n\r\n0\r\n\r\n"),
    ("identity", b"Transfer-Encoding: identity\r\n\r\n"),
    // Section 3.2: one Host.
    ("a second Host", b"Host: localhost\r\n\r\n"),
    ("a second Host, another one", b"Host: other\r\n\r\n"),
];

/// After `Transfer-Encoding: chunked` (RFC 9112, section 7.1).
const CHUNKS: &[(&str, &[u8])] = &[
    ("a sign", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a minus sign", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("no size", b"\r\nhello\r\n0\r\n\r\n"),
    ("no hex", b"g\r\nhello\r\n0\r\n\r\n"),
    ("an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("a space in front", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    ("a bare CR after the size", b"5\rhello\r\n0\r\n\r\n"),
    ("a bare LF in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    ("a bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    (
        "a size that is too large",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    ),
    ("more data than announced", b"3\r\nhello\r\n0\r\n\r\n"),
    ("less data than announced", b"7\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF after the data", b"5\r\nhello\n0\r\n\r\n"),
    ("no line end after the data", b"5\r\nhello0\r\n\r\n"),
    (
        "a space between the data and its end",
        b"5\r\nhello \r\n0\r\n\r\n",
    ),
    ("two sizes", b"5 5\r\nhello\r\n0\r\n\r\n"),
    ("NUL after the size", b"5\0\r\nhello\r\n0\r\n\r\n"),
    (
        "a bare LF at the end of the last chunk",
        b"5\r\nhello\r\n0\n\r\n",
    ),
    (
        "a trailer without a name",
        b"5\r\nhello\r\n0\r\n: x\r\n\r\n",
    ),
    (
        "a space in a trailer's name",
        b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ),
];

/// The first lines of requests (RFC 9112, section 3).
const LINES: &[(&str, &[u8])] = &[
    ("two spaces", b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    (
        "two spaces before the version",
        b"GET /  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    ("a tab", b"GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("no target", b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    (
        "a space in the target",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "NUL in the target",
        b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "NUL in the method",
        b"G\0T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "a space in front",
        b" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "a version that there is not",
        b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
    ),
    (
        "a version in lower case",
        b"GET / http/1.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "a version with zeros",
        b"GET / HTTP/01.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "something after the version",
        b"GET / HTTP/1.1 x\r\nHost: localhost\r\n\r\n",
    ),
    (
        "a bare CR after the version",
        b"GET / HTTP/1.1\rHost: localhost\r\n\r\n",
    ),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
    (
        "a Host that is none",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    (
        "a Host with a path",
        b"GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
    ),
    (
        "a Host with a user",
        b"GET / HTTP/1.1\r\nHost: x@localhost\r\n\r\n",
    ),
];

/// Everything that comes back until the connection ends.
async fn answers(parts: &[&[u8]], service: impl Service) -> (String, Vec<String>) {
    let mut client = Client::of(service);
    for part in parts {
        client.say(part).await;
    }
    let all = timeout(Duration::from_secs(9), client.rest()).await;
    let all = all.unwrap_or_else(|_| "(the connection stays open)".to_owned());
    (all, client.told())
}

#[track_caller]
fn refused(what: &str, all: &str, told: &[String]) {
    assert!(all.starts_with("HTTP/1.1 400 "), "{what}: {all}");
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{what}: {all}");
    let smuggled = told.iter().any(|line| line.contains("/smuggled"));
    assert!(
        !smuggled && !all.contains("(the connection"),
        "{what}: {all} {told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn heads_that_can_be_read_in_two_ways() {
    for (what, payload) in REFUSED {
        let (all, told) = answers(
            &[POST.as_bytes(), payload, SMUGGLED.as_bytes()],
            reply("hi"),
        )
        .await;
        refused(what, &all, &told);
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_that_can_be_read_in_two_ways() {
    let head = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    for (what, payload) in CHUNKS {
        let parts = [head.as_bytes(), payload, SMUGGLED.as_bytes()];
        let (all, told) = answers(&parts, reply("hi")).await;
        refused(what, &all, &told);
    }
}

#[tokio::test(start_paused = true)]
async fn first_lines_that_can_be_read_in_two_ways() {
    for (what, payload) in LINES {
        let (all, told) = answers(&[payload, SMUGGLED.as_bytes()], reply("hi")).await;
        refused(what, &all, &told);
    }
}

/// RFC 9112, section 6.1: a server may process a request with both by Transfer-Encoding alone, and must close the
/// connection after answering it. hyper has taken Content-Length away before anyone else can see it.
#[tokio::test(start_paused = true)]
async fn transfer_encoding_wins_over_content_length_and_ends_the_connection() {
    for head in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n",
    ] {
        let payload = format!("{POST}{head}5\r\nhello\r\n0\r\n\r\n");
        let (all, told) = answers(&[payload.as_bytes(), SMUGGLED.as_bytes()], reply("hi")).await;
        assert!(all.starts_with("HTTP/1.1 200 "), "{head}: {all}");
        assert!(all.contains("\r\nconnection: close\r\n"), "{head}: {all}");
        assert_eq!(told, ["POST / 200 2"], "{head}");
    }
}

/// What looks odd and is not: read as the RFC says.
#[tokio::test(start_paused = true)]
async fn what_the_rfc_allows_is_read() {
    for (what, payload) in [
        // RFC 9110, section 8.6: a list of the same number.
        (
            "the same number twice",
            &b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"[..],
        ),
        ("zeros in front", b"Content-Length: 0005\r\n\r\nhello"),
        (
            "case",
            b"tRANSFER-eNCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        ("an empty value", b"X:\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "a value above 7F",
            b"X: \xc3\xbc\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "an extension",
            b"Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;x\r\n\r\n",
        ),
        (
            "zeros in front of a size",
            b"Transfer-Encoding: chunked\r\n\r\n005\r\nhello\r\n000\r\n\r\n",
        ),
        // Section 2.2: a recipient may take a bare LF for a line end in a head.
        ("bare LF in the head", b"Content-Length: 5\n\nhello"),
    ] {
        let last = b"GET /next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (all, told) = answers(&[POST.as_bytes(), payload, last], reply("hi")).await;
        assert_eq!(told, ["POST / 200 2", "GET /next 200 2"], "{what}: {all}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_begun_to_answer_breaks_off_at_a_bad_chunk() {
    let payload =
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n+1\r\nx\r\n0\r\n\r\n");
    let mut client = Client::of(Echo);
    client.say(payload).await;
    let answer = client.rest().await;
    assert!(!answer.contains("0\r\n\r\n"), "{answer}");
}
