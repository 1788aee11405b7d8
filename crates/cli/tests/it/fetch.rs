//! `fetch`: what it asks, what it shows, and what it says when something is wrong.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::authority::Authority;
use crate::scripted::{Asked, Scripted, answer};
use crate::stage::{
    Ended, Line, Listener, Server, folder, objects, path, program, python, sockeye, words,
};

/// `sockeye fetch` with these words.
pub(crate) fn fetch(line: &str) -> Line {
    sockeye(std::iter::once("fetch").chain(words(line)))
}

#[track_caller]
pub(crate) fn shown(ended: &Ended, code: i32, text: &str) {
    assert_eq!((ended.code, &*ended.text()), (code, text), "{ended:?}");
}

/// The exit code, and all of these words in the one line of failure.
#[track_caller]
pub(crate) fn fails(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    let line = ended.complaint();
    for part in says {
        assert!(line.contains(part), "`{part}` is not in `{line}`");
    }
    assert!(!line.contains("os error"), "{line}");
}

/// In a terminal of its own, as `script` makes one: what stands there.
#[track_caller]
fn at_a_terminal(command: &str) -> Ended {
    let program_of = env!("CARGO_BIN_EXE_sockeye");
    let command = format!("{program_of} {command}");
    program("script", ["-qec", &command, "/dev/null"]).run()
}

#[test]
fn what_is_there_is_shown_as_it_is() {
    let data = crate::stage::binary(300_000);
    let said = answer("200 OK", &[], &data);
    let server = Scripted::says(said);
    let ended = fetch(&server.url("/")).run();
    assert_eq!((ended.code, &*ended.err), (0, ""), "{}", ended.err);
    assert!(ended.out == data, "the bytes differ");
    let [asked] = &server.asked()[..] else {
        panic!("one request")
    };
    assert_eq!(asked.line, "GET / HTTP/1.1");
    let own = format!("user-agent: sockeye/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {}", server.at);
    assert_eq!(asked.fields, ["accept: */*", &host, &own]);
}

#[test]
fn the_whole_conversation_is_told() {
    let server = Server::start("reply pong 127.0.0.1:0");
    let url = format!("http://u:secret@{}/path?a=b#c", server.at);
    let ended = fetch(&format!("-v {url}")).run();
    shown(&ended, 0, "pong");
    let at = &server.at;
    for line in [
        "* resolved 127.0.0.1: 127.0.0.1\n".to_owned(),
        format!("-> {at}\n"),
        "> GET /path?a=b HTTP/1.1\n".to_owned(),
        format!("> host: {at}\n"),
        "> authorization: (not shown)\n".to_owned(),
        "< HTTP/1.1 200 OK\n".to_owned(),
        "< content-length: 4\n".to_owned(),
        "* 4 bytes came\n".to_owned(),
        "  connect ".to_owned(),
        "  receive ".to_owned(),
    ] {
        assert!(ended.err.contains(&line), "{line} is not in {}", ended.err);
    }
    let typed = fetch(&format!("-v -H Authorization:secret http://{at}/")).run();
    assert!(
        typed.code == 0 && !typed.err.contains("secret"),
        "{}",
        typed.err
    );
    let wide = ended.err.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
    assert!(
        !ended.err.contains("secret") && !ended.err.contains('\x1b'),
        "{}",
        ended.err
    );
}

#[test]
fn tls_is_told_with_its_certificate_and_both_versions_of_http() {
    let server = Server::start("reply pong 127.0.0.1:0");
    let sha256 = server.run.err.rest_of("TLS certificate sha256 ");
    let sha256 = sha256.split(' ').next().unwrap();
    let url = format!("https://localhost:{}/", server.port());
    for (flags, alpn, line) in [
        ("", "h2", "> :path: /\n"),
        ("--http2", "h2", "> :method: GET\n"),
        ("--http1.1", "http/1.1", "> GET / HTTP/1.1\n"),
    ] {
        let ended = fetch(&format!("-v {flags} --pin {sha256} {url}")).run();
        shown(&ended, 0, "pong");
        let alpn = format!("alpn {alpn}, server name localhost");
        for part in ["* tls TLSv1.3 TLS13_", &alpn, sha256, " TLS  ", line] {
            assert!(ended.err.contains(part), "{part} is not in {}", ended.err);
        }
    }
    let plain = format!("--http2 http://{}/", server.at);
    let ended = fetch(&plain).run();
    shown(&ended, 0, "pong");
    let note = "note: HTTP/2 without TLS needs --http2-prior-knowledge: this is HTTP/1.1\n";
    assert_eq!(ended.err, note);
    let ended = fetch(&format!("-v --http2-prior-knowledge http://{}/", server.at)).run();
    shown(&ended, 0, "pong");
    assert!(ended.err.contains("< HTTP/2 200\n"), "{}", ended.err);
}

#[test]
fn a_session_of_tls_is_resumed_and_a_connection_used_again() {
    let server = Server::start("reply pong 127.0.0.1:0");
    let url = format!("https://{}/", server.at);
    let ended = fetch(&format!("-v --insecure {url}a {url}b")).run();
    shown(&ended, 0, "pongpong");
    assert_eq!(
        ended.err.matches("* connected ").count(),
        1,
        "{}",
        ended.err
    );
    assert!(
        ended
            .err
            .contains("* connection 1 is used again: 127.0.0.1:"),
        "{}",
        ended.err
    );
    // Who wants to be left after each answer is connected to again, and knows us.
    let close = format!("-v --http1.1 --insecure {url}a {url}b -H Connection:close");
    let ended = fetch(&close).run();
    shown(&ended, 0, "pongpong");
    assert_eq!(
        ended.err.matches("* connected ").count(),
        2,
        "{}",
        ended.err
    );
    assert_eq!(ended.err.matches(", resumed\n").count(), 1, "{}", ended.err);
    assert!(
        ended.err.contains("* 2 tickets of TLS came"),
        "{}",
        ended.err
    );
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    // It promises to stay, and leaves.
    let server = Scripted::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let ended = fetch(&format!("{0} {0} {0}", server.url("/"))).run();
    shown(&ended, 0, "hihihi");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn heads_are_shown_where_they_are_asked_for() {
    let server = Scripted::start(|asked| match &*asked.line {
        "GET /old HTTP/1.1" => answer("302 Found", &["Location: /new"], b"moved"),
        "HEAD /new HTTP/1.1" => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".to_vec(),
        _ => answer("200 OK", &["X-A: 1", "X-A: 2"], b"new"),
    });
    let ended = fetch(&format!("-i -L {}", server.url("/old"))).run();
    shown(
        &ended,
        0,
        "HTTP/1.1 302 Found\r\ncontent-length: 5\r\nlocation: /new\r\nconnection: close\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: 1\r\nx-a: 2\r\nconnection: close\r\n\r\nnew",
    );
    let ended = fetch(&format!("-I {}", server.url("/new"))).run();
    shown(&ended, 0, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
}

#[test]
fn redirects_are_followed_when_asked_to_and_not_for_ever() {
    let server = Scripted::start(|asked| match &*asked.line {
        "GET /a HTTP/1.1" => answer("302 Found", &["Location: /b"], b""),
        "GET /b HTTP/1.1" => answer("302 Found", &["Location: /a"], b""),
        "GET /ftp HTTP/1.1" => answer("302 Found", &["Location: ftp://h/"], b""),
        line => {
            let number: u32 = line[5..].split(' ').next().unwrap().parse().unwrap();
            answer("302 Found", &[&format!("Location: {}", number + 1)], b"on")
        }
    });
    shown(&fetch(&server.url("/1")).run(), 0, "on");
    assert_eq!(server.asked().len(), 1);
    let ended = fetch(&format!("-L --max-redirs 3 {}", server.url("/1"))).run();
    fails(&ended, 5, &["/4: it redirects on and on, 3 times so far"]);
    assert_eq!(server.asked().len(), 4);
    let ended = fetch(&format!("-L {}", server.url("/a"))).run();
    fails(&ended, 5, &["it redirects in a circle, 50 times so far"]);
    let ended = fetch(&format!("-L {}", server.url("/ftp"))).run();
    fails(&ended, 2, &["ftp: is not fetched"]);
}

#[test]
fn secrets_are_told_to_no_other_host() {
    let other = Scripted::says(answer("200 OK", &[], b"other"));
    let to = format!("Location: {}", other.url("/"));
    let server = Scripted::start(move |_| answer("302 Found", &[&to], b""));
    let flags = "-L -u me:secret -b a=1 -H Authorization:also -H X-Mine:kept";
    shown(
        &fetch(&format!("{flags} {}", server.url("/"))).run(),
        0,
        "other",
    );
    let has = |asked: &Asked, name: &str| asked.field(name).is_some();
    let (first, second) = (&server.asked()[0], &other.asked()[0]);
    for (name, there, here) in [
        ("authorization", true, false),
        ("cookie", true, false),
        ("x-mine", true, true),
    ] {
        assert_eq!(
            (has(first, name), has(second, name)),
            (there, here),
            "{name}"
        );
    }
    assert_eq!(
        first.field("authorization"),
        Some("also"),
        "what -H says wins"
    );
    assert_eq!(second.field("host"), Some(&*other.at));
}

#[test]
fn what_breaks_off_is_a_failure_that_says_how_much_came() {
    for (said, code, says) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            6,
            "the connection ended after 5 of 10 bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            6,
            "the connection ended after 5 bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
            5,
            "after 5 bytes",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-",
            6,
            "the connection ended without an answer",
        ),
        ("", 6, "the connection ended without an answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n", 5, "the answer is not HTTP"),
        ("HTTP/1.1 999999 X\r\n\r\n", 5, "the answer is not HTTP"),
    ] {
        let server = Scripted::says(said);
        let ended = fetch(&server.url("/x")).run();
        fails(
            &ended,
            code,
            &[&format!("cannot receive from {}", server.url("/x")), says],
        );
        let whole = if says.contains("after 5") {
            "hello"
        } else {
            ""
        };
        assert_eq!(ended.text(), whole, "what came is shown");
    }
    // Without a length the end of the connection is the end.
    let server = Scripted::says("HTTP/1.0 200 OK\r\n\r\nhello");
    shown(&fetch(&server.url("/")).run(), 0, "hello");
}

#[test]
fn a_status_is_a_failure_only_where_that_is_asked_for() {
    let server = Scripted::says(answer("404 Not Found", &[], b"no such page"));
    shown(&fetch(&server.url("/")).run(), 0, "no such page");
    let ended = fetch(&format!("-f {}", server.url("/"))).run();
    fails(&ended, 6, &["answered 404 Not Found"]);
    assert_eq!(ended.text(), "");
    let ended = fetch(&format!("-f -s {}", server.url("/"))).run();
    assert_eq!((ended.code, &*ended.err), (6, ""));
    let ended = fetch(&format!("-f -s -S {}", server.url("/"))).run();
    fails(&ended, 6, &["404"]);
}

#[test]
fn nobody_there_nothing_in_time_and_nobody_to_trust() {
    let ended = fetch("http://127.0.0.1:1/").run();
    fails(
        &ended,
        1,
        &["cannot connect to 127.0.0.1:1: connection refused"],
    );
    fails(
        &fetch("-6 http://127.0.0.1:1/").run(),
        1,
        &["it has no ipv6 address"],
    );
    let silent = Listener::new();
    let at = silent.at();
    let ended = fetch(&format!("--connect-timeout 100ms --insecure https://{at}/")).run();
    fails(&ended, 3, &["cannot connect to", "within 100ms"]);
    let ended = fetch(&format!("-m 200ms http://{at}/")).run();
    fails(&ended, 3, &["it took longer than 200ms"]);
    assert!(ended.after < Duration::from_secs(5), "{ended:?}");
    let server = Server::start("reply pong 127.0.0.1:0");
    let ended = fetch(&format!("https://{}/", server.at)).run();
    fails(&ended, 4, &["self-signed", "--pin", "--insecure"]);
    // One that fails does not keep the next from being fetched; the last failure is told to scripts.
    let ended = fetch(&format!("http://127.0.0.1:1/ http://{}/", server.at)).run();
    shown(&ended, 1, "pong");
}

#[test]
fn wrong_words_are_told_before_anything_is_asked() {
    for (line, says) in [
        ("", "missing"),
        ("ftp://h/", "ftp: is not fetched"),
        ("http://[::1/", "that is no URL"),
        ("-k https://h/", "write --insecure"),
        ("--json {\"a\":1}", "JSON is sent by --data-json"),
        ("-X CONNECT http://h/", "a tunnel is made by --proxy"),
        ("-X a\u{e9} http://h/", "write a method"),
        ("-H nothing http://h/", "NAME: VALUE"),
        ("-C x -O http://h/f", "write - or the number of a byte"),
        ("-C - http://h/f", "-o FILE or -O names it"),
        ("-C - --compressed -O http://h/f", "does not go with"),
        ("-O http://h/", "ends in no name"),
        ("-o a -o b http://h/", "2 times -o for 1 URLs"),
        ("-d a -T b http://h/", "does not go with"),
        ("-I -d a http://h/", "does not go with"),
        ("-d @/nowhere/x http://h/", "cannot read /nowhere/x"),
        ("-T /nowhere/x http://h/", "cannot read /nowhere/x"),
        (
            "--data-json {} -d a http://h/",
            "does not go with other data",
        ),
        ("-u name http://h/", "NAME:PASSWORD"),
        ("-b file http://h/", "NAME=VALUE"),
        ("-r x http://h/", "write 0-99"),
        ("--resolve h:1 http://h/", "HOST:PORT:ADDRESS"),
        ("--max-redirs x -L http://h/", "--max-redirs"),
        ("--retry x http://h/", "--retry"),
        ("-m x http://h/", "500ms"),
        ("--connect-timeout 1y http://h/", "no unit of time"),
        ("-w %{nothing} http://h/", "there is no %{nothing}"),
        ("-w @/nowhere/x http://h/", "cannot read /nowhere/x"),
        (
            "-x gopher://h http://h/",
            "--proxy: cannot read the proxy's address",
        ),
        ("--http1.1 --http2 http://h/", "does not go with"),
        ("-4 -6 http://h/", "does not go with"),
        ("--pin xyz https://h/", "--pin"),
        ("--cert /nowhere/x https://h/", "/nowhere/x"),
    ] {
        let ended = fetch(line).run();
        let code = if line.contains("/nowhere/x") {
            ended.code
        } else {
            2
        };
        assert!(matches!(code, 1 | 2), "{ended:?}");
        fails(&ended, code, &[says]);
        assert_eq!(ended.text(), "", "{line}");
    }
}

#[test]
fn contacts_are_fetched_by_their_names() {
    let home = folder();
    let server = Scripted::start(|asked| answer("200 OK", &[], asked.line.as_bytes()));
    for (name, address) in [
        ("box", format!("http://{}/sub", server.at)),
        ("bare", server.at.clone()),
        ("other", "udp://127.0.0.1:1".to_owned()),
    ] {
        let added = sockeye(["contacts", "add", name, &address])
            .home(&home)
            .run();
        assert_eq!(added.code, 0, "{added:?}");
    }
    for (url, line) in [
        ("@box", "GET /sub HTTP/1.1"),
        ("@box/other?q", "GET /other?q HTTP/1.1"),
        ("@bare", "GET / HTTP/1.1"),
    ] {
        shown(&fetch(url).home(&home).run(), 0, line);
    }
    fails(
        &fetch("@other").home(&home).run(),
        2,
        &["is not http://, https:// or h3://"],
    );
    fails(
        &fetch("@nobody").home(&home).run(),
        2,
        &["there is no contact @nobody"],
    );
}

#[test]
fn whoever_speaks_something_else_is_told_of_with_a_hint() {
    let secure = Server::start("echo tls://127.0.0.1:0");
    let ended = fetch(&format!("http://{}/", secure.at)).run();
    fails(
        &ended,
        5,
        &["the answer is not HTTP", "https:// speaks TLS"],
    );
    let plain = Server::start("echo tcp://127.0.0.1:0");
    let ended = fetch(&format!("--http2-prior-knowledge http://{}/", plain.at)).run();
    fails(&ended, 5, &["what came breaks the rules of HTTP/2"]);
    let ended = fetch(&format!("https://{}/", plain.at)).run();
    fails(&ended, 4, &["it does not speak TLS"]);
}

#[test]
fn what_passes_is_tried_again() {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let server =
        Scripted::start(
            move |_| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => answer("503 Service Unavailable", &["Retry-After: 0"], b"later"),
                1 => answer("429 Too Many Requests", &["Retry-After: 0"], b"slower"),
                _ => answer("200 OK", &[], b"now"),
            },
        );
    let ended = fetch(&format!("--retry 2 {}", server.url("/"))).run();
    shown(&ended, 0, "now");
    assert_eq!(
        ended.err.matches("; trying again in 0ns").count(),
        2,
        "{ended:?}"
    );
    assert_eq!(server.asked().len(), 3);
    // What does not pass is not, and the last answer is shown as it is.
    let server = Scripted::says(answer("404 Not Found", &[], b"no"));
    shown(
        &fetch(&format!("--retry 5 {}", server.url("/"))).run(),
        0,
        "no",
    );
    assert_eq!(server.asked().len(), 1);
    let server = Scripted::says(answer("503 X", &["Retry-After: 0"], b"still"));
    shown(
        &fetch(&format!("--retry 1 {}", server.url("/"))).run(),
        0,
        "still",
    );
    // What was shown in part is not shown again.
    let server = Scripted::says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    shown(
        &fetch(&format!("--retry 3 {}", server.url("/"))).run(),
        6,
        "half",
    );
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn compressed_content_comes_out_as_it_was() {
    let folder = folder();
    let text = "the same line again and again\n".repeat(2000);
    std::fs::write(path(&folder, "text.txt"), &text).unwrap();
    let site = Server::of(["site", folder.path().to_str().unwrap(), "127.0.0.1:0"]);
    let ended = fetch(&format!(
        "--compressed -w %{{stderr}}%{{size_download}} http://{}/text.txt",
        site.at
    ))
    .run();
    shown(&ended, 0, &text);
    let came: usize = ended.err.parse().unwrap();
    assert!(came < text.len() / 10, "{came} bytes came");
    let server = Scripted::says(answer("200 OK", &["Content-Encoding: br"], b"xx"));
    let ended = fetch(&format!("--compressed {}", server.url("/"))).run();
    fails(
        &ended,
        5,
        &["it is compressed as br, which nobody asked for"],
    );
    assert_eq!(server.asked()[0].field("accept-encoding"), Some("gzip"));
    // Whoever does not ask for it gets what comes.
    shown(&fetch(&server.url("/")).run(), 0, "xx");
    let server = Scripted::says(answer(
        "200 OK",
        &["Content-Encoding: gzip"],
        b"no gzip at all",
    ));
    fails(
        &fetch(&format!("--compressed {}", server.url("/"))).run(),
        5,
        &["the content is no gzip"],
    );
}

#[test]
fn hosts_are_where_they_are_said_to_be() {
    let server = Scripted::says(answer("200 OK", &[], b"here"));
    let port = server.at.rsplit(':').next().unwrap();
    let line =
        format!("--resolve elsewhere.example:{port}:127.0.0.1 http://elsewhere.example:{port}/");
    shown(&fetch(&line).run(), 0, "here");
    let host = format!("elsewhere.example:{port}");
    assert_eq!(server.asked()[0].field("host"), Some(&*host));
}

#[test]
fn proxies_of_the_command_line_and_of_the_environment() {
    let server = Scripted::says(answer("200 OK", &[], b"through"));
    let url = server.url("/");
    let secure = Server::start("reply pong https://127.0.0.1:0");
    for kind in ["socks5", "http"] {
        let script = if kind == "http" { "http_proxy" } else { kind };
        let proxy = Server::ready(python([script]));
        let at = &proxy.at;
        let ended = fetch(&format!("-v -x {kind}://me:secret@{at} {url}")).run();
        shown(&ended, 0, "through");
        let told = [
            format!(" through {kind}://{at}\n"),
            match kind {
                "http" => format!("> GET {url} HTTP/1.1\n"),
                _ => format!("-> {} through", server.at),
            },
        ];
        for told in told {
            assert!(ended.err.contains(&told), "{told} is not in {}", ended.err);
        }
        let knows = ended.err.contains("< x-told: Basic bWU6c2VjcmV0\n");
        assert_eq!(knows, kind == "http", "{}", ended.err);
        assert!(!ended.err.contains("secret"), "{}", ended.err);
        // Bytes that the proxy cannot read go through a tunnel.
        let ended = fetch(&format!(
            "-v --insecure -x {kind}://{at} https://{}/",
            secure.at
        ))
        .run();
        shown(&ended, 0, "pong");
        let through = format!("-> {} through {kind}://{at}\n", secure.at);
        assert!(ended.err.contains(&through), "{}", ended.err);
        for (variable, value) in [
            ("http_proxy", format!("{kind}://{at}")),
            ("ALL_PROXY", format!("{kind}://{at}")),
        ] {
            let ended = fetch(&format!("-v {url}")).env(variable, &value).run();
            assert!(ended.err.contains(" through "), "{variable} {}", ended.err);
            let spared = fetch(&format!("-v {url}")).env(variable, &value);
            let ended = spared.env("NO_PROXY", "other.example,127.0.0.0/8").run();
            assert!(!ended.err.contains(" through "), "{variable} {}", ended.err);
        }
        let ended = fetch(&format!("-v {url}"))
            .env("HTTP_PROXY", format!("http://{at}"))
            .run();
        assert!(!ended.err.contains(" through "), "{}", ended.err);
    }
    let ended = fetch(&format!("-x http://127.0.0.1:1 {url}")).run();
    fails(&ended, 1, &["the proxy 127.0.0.1:1", "connection refused"]);
}

#[test]
fn a_report_in_the_words_of_curl() {
    let server = Scripted::start(|asked| match &*asked.line {
        "GET /old HTTP/1.1" => answer("301 Moved Permanently", &["Location: new"], b""),
        _ => answer("200 OK", &["Content-Type: text/x", "X-A: b"], b"12345"),
    });
    let format = "%{http_code} %{http_version} %{num_redirects} %{size_download} %{method} \
                  %{url_effective} %{remote_ip}:%{remote_port} %{content_type} %header{x-a} %{exitcode}\\n";
    let url = server.url("/old");
    let arguments = ["-s", "-L", "-o", "/dev/null", "-w", format, &url];
    let ours = sockeye(std::iter::once("fetch").chain(arguments)).run();
    let theirs = program("curl", arguments).run();
    assert_eq!(ours.text(), theirs.text());
    let expected = format!(
        "200 1.1 1 5 GET {0}/new {1} text/x b 0\n",
        server.url(""),
        server.at
    );
    shown(&ours, 0, &expected);
    let ended = fetch("-s -w %{http_code}:%{exitcode} http://127.0.0.1:1/").run();
    shown(&ended, 1, "000:1");
}

#[test]
fn a_report_as_json() {
    let server = Server::start("reply pong 127.0.0.1:0");
    let url = format!("https://{}/", server.at);
    let ended = fetch(&format!(
        "--json --insecure -d hi {url} http://127.0.0.1:1/"
    ))
    .run();
    shown(&ended, 1, "pong");
    let lines: Vec<_> = ended
        .err
        .lines()
        .filter(|line| line.starts_with('{'))
        .collect();
    let [one, two] = &objects(&lines.join("\n"))[..] else {
        panic!("{ended:?}")
    };
    assert_eq!((&one["v"], &one["event"]), (&1.into(), &"exchange".into()));
    for (name, value) in [
        ("url", serde_json::Value::from(&*url)),
        ("method", "POST".into()),
        ("status", 200.into()),
        ("http", "2".into()),
        ("bytes_out", 2.into()),
        ("bytes_in", 4.into()),
        ("whole", true.into()),
        ("reused", false.into()),
        ("peer", server.at.as_str().into()),
    ] {
        assert_eq!(one[name], value, "{name}");
    }
    assert_eq!(one["tls"]["alpn"], "h2");
    let seconds = |name: &str| one["timings"][name].as_f64().unwrap();
    let steps = [
        "resolved",
        "connected",
        "secured",
        "sent",
        "answered",
        "ended",
    ]
    .map(seconds);
    assert!(steps.is_sorted(), "{steps:?}");
    assert!(
        two["error"]
            .as_str()
            .unwrap()
            .contains("connection refused"),
        "{two}"
    );
    assert_eq!(two["whole"], false);
}

#[test]
fn trailers_and_answers_before_the_answer_are_told() {
    let server = Scripted::says(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    let ended = fetch(&format!("-v {}", server.url("/"))).run();
    shown(&ended, 0, "hi");
    for line in [
        "< 103 Early Hints\n< link: </a.css>\n",
        "* trailers:\n< x-sum: 7\n",
    ] {
        assert!(ended.err.contains(line), "{line} is not in {}", ended.err);
    }
}

#[test]
fn a_terminal_gets_text_it_can_show() {
    let chinese = b"<html><meta charset=gb2312>\xc4\xe3\xba\xc3</html>";
    let server = Scripted::start(|asked| match &*asked.line {
        "GET /page HTTP/1.1" => answer("200 OK", &["Content-Type: text/html"], chinese),
        "GET /said HTTP/1.1" => answer(
            "200 OK",
            &["Content-Type: text/plain; charset=GBK"],
            b"\xc4\xe3\xba\xc3\n",
        ),
        "GET /evil HTTP/1.1" => answer("200 OK", &[], b"a\x1b]0;title\x07b\n"),
        _ => answer("200 OK", &[], b"\x7fELF\0\0\x01"),
    });
    for (path, text) in [
        ("/page", "你好</html>"),
        ("/said", "你好"),
        ("/evil", "a\\e]0;title\\x07b"),
    ] {
        let ended = at_a_terminal(&format!("fetch {}", server.url(path)));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(
            ended.text().contains(text) && !ended.text().contains('\x1b'),
            "{ended:?}"
        );
    }
    let ended = at_a_terminal(&format!("fetch {}", server.url("/binary")));
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.text().contains("-o FILE saves it") && !ended.text().contains("ELF"),
        "{ended:?}"
    );
    let ended = at_a_terminal(&format!("fetch -o - {}", server.url("/binary")));
    assert!(ended.code == 0 && ended.text().contains("ELF"), "{ended:?}");
}

#[test]
fn a_download_at_a_terminal_has_a_bar() {
    let folder = folder();
    let server = Scripted::says(answer("200 OK", &[], &[b'x'; 200_000]));
    let to = path(&folder, "file");
    let ended = at_a_terminal(&format!("fetch -o {} {}", to.display(), server.url("/")));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.text().contains("195.31 KiB of 195.31 KiB"),
        "{ended:?}"
    );
    let ended = at_a_terminal(&format!("fetch -s -o {} {}", to.display(), server.url("/")));
    assert_eq!((ended.code, &*ended.text()), (0, ""), "{ended:?}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let server = Server::start("reply 0123456789 127.0.0.1:0");
    let url = format!("http://{}/", server.at);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = fetch(&url).stdout(writer).start().end();
    assert_eq!((ended.code, &*ended.err), (0, ""));
}

#[test]
fn secrets_of_tls_go_where_the_environment_says() {
    let folder = folder();
    let server = Server::start("reply pong 127.0.0.1:0");
    let keys = path(&folder, "keys");
    let line = fetch(&format!("--insecure https://{}/", server.at)).env("SSLKEYLOGFILE", &keys);
    shown(&line.run(), 0, "pong");
    let text = std::fs::read_to_string(&keys).unwrap();
    assert!(text.contains("CLIENT_TRAFFIC_SECRET_0 "), "{text}");
    assert_eq!(keys.metadata().unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_server_that_asks_who_we_are_is_shown_a_certificate() {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = ca.write(folder.path(), "ca.pem");
    let trusted = trusted.display();
    let (certificate, key) = ca.server(&["localhost"]).write(folder.path(), "server.pem");
    let (our, our_key) = ca.client("george").write(folder.path(), "george.pem");
    let server = Server::start(&format!(
        "reply pong https://[::1]:0 --client-ca {trusted} --cert {} --key {}",
        certificate.display(),
        key.display()
    ));
    let url = format!("--ca {trusted} https://localhost:{}/", server.port());
    let who = format!("--cert {} --key {}", our.display(), our_key.display());
    shown(&fetch(&format!("-6 {who} {url}")).run(), 0, "pong");
    let ended = fetch(&format!("-6 {url}")).run();
    fails(
        &ended,
        4,
        &["it asks for a certificate of ours", "--cert FILE"],
    );
    // The name on the certificate is asked for where the address is not on it.
    let at = format!("--ca {trusted} {who} https://[::1]:{}/", server.port());
    fails(&fetch(&at).run(), 4, &["its certificate", "localhost"]);
    shown(
        &fetch(&format!("--servername localhost {at}")).run(),
        0,
        "pong",
    );
}

#[test]
fn what_is_typed_is_sent_while_it_is_typed() {
    let server = Server::start("upper 127.0.0.1:0");
    let mut typed = fetch(&format!("-T - http://{}/", server.at)).start();
    for (sent, heard) in [("one\n", "ONE\n"), ("two\n", "TWO\n")] {
        typed.say(sent);
        typed.out.until(heard);
    }
    shown(&typed.hang_up_and_end(), 0, "ONE\nTWO\n");
    let again = Scripted::says(answer("307 Temporary Redirect", &["Location: /b"], b""));
    let ended = fetch(&format!("-L -T - {}", again.url("/"))).with("once");
    fails(&ended, 2, &["cannot be read again"]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"a file").unwrap();
    let line = format!("-T {} http://{}/", file.path().display(), server.at);
    shown(&fetch(&line).run(), 0, "A FILE");
}
