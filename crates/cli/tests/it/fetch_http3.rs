//! `fetch` over HTTP/3: with our own server, and with one that we did not write, Python's aioquic.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tempfile::TempDir;

use crate::fetch::{fails, fetch, shown};
use crate::http3::Aioquic;
use crate::stage::{Ended, Server, binary, folder, objects, path};

/// A server that answers `pong`, and `--pin` of its certificate.
fn pong(at: &str) -> (Server, String) {
    let server = Server::start(&format!("reply pong {at}"));
    let sha256 = server.run.err.rest_of("TLS certificate sha256 ");
    let pin = format!("--pin {}", sha256.split(' ').next().unwrap());
    (server, pin)
}

#[track_caller]
fn tells(ended: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(ended.err.contains(part), "{part} is not in {}", ended.err);
    }
}

#[test]
fn the_whole_conversation_is_told_whoever_asks_for_http3() {
    let (server, pin) = pong("127.0.0.1:0");
    let place = format!("localhost:{}/path?a=b", server.port());
    for (flags, scheme) in [
        ("--http3-only", "https"),
        ("--http3", "https"),
        ("", "h3"),
        ("--http3-only", "h3"),
        ("--http1.1", "h3"),
    ] {
        let ended = fetch(&format!("-4v {flags} {pin} {scheme}://{place}")).run();
        shown(&ended, 0, "pong");
        tells(
            &ended,
            &[
                "* resolved localhost: 127.0.0.1\n",
                " over QUIC\n",
                "* quic version 1, round trip ",
                ", 0-RTT no\n",
                "* tls TLSv1.3 TLS13_",
                ", alpn h3, server name localhost\n",
                " of TLS came, which the next connection can resume with\n",
                "* certificate CN=",
                "> :method: GET\n> :scheme: https\n",
                "> :path: /path?a=b\n",
                "< HTTP/3 200\n",
                "< content-length: 4\n",
                "* 4 bytes came, ",
                " of them lost, round trip ",
                "  QUIC ",
                "  receive ",
            ],
        );
        for step in ["  connect ", "  TLS ", ", resumed"] {
            assert!(!ended.err.contains(step), "{}", ended.err);
        }
    }
}

#[test]
fn facts_of_http3_for_programs() {
    let (server, pin) = pong("127.0.0.1:0");
    let url = format!("h3://{}/", server.at);
    let format = "%{http_version}:%{http_code}:%{tls_version}:%{scheme}:%{remote_port}";
    let ended = fetch(&format!("{pin} {url} -w {format}")).run();
    let port = server.port();
    shown(&ended, 0, &format!("pong3:200:TLSv1.3:https:{port}"));
    let ended = fetch(&format!("--json {pin} -d hi {url}")).run();
    shown(&ended, 0, "pong");
    let [one] = &objects(&ended.err)[..] else {
        panic!("{ended:?}")
    };
    assert_eq!((&one["http"], &one["url"]), (&"3".into(), &url.into()));
    assert_eq!(
        (&one["bytes_out"], &one["whole"]),
        (&2.into(), &true.into())
    );
    assert_eq!(one["tls"]["alpn"], "h3");
    assert_eq!(one["quic"]["version"], 1);
    assert_eq!(one["quic"]["retry"], false);
    assert_eq!(one["tickets"], 2);
    assert!(one["early_data"].is_null(), "{one}");
    assert!(one["quic"]["rtt"].as_f64().unwrap() > 0.0, "{one}");
    assert!(one["quic"]["packets_sent"].as_u64().unwrap() > 2, "{one}");
    assert!(one["quic"]["packets_lost"].is_u64(), "{one}");
    let (connected, secured) = (&one["timings"]["connected"], &one["timings"]["secured"]);
    assert!(connected.is_f64() && connected == secured, "{one}");
}

#[test]
fn several_urls_of_one_origin_share_a_connection() {
    let (server, pin) = pong("127.0.0.1:0");
    let at = &server.at;
    // What was opened for anything will not do for who wants HTTP/3 alone; what is HTTP/3 does for all.
    let ended = fetch(&format!(
        "-v {pin} https://{at}/ h3://{at}/a https://{at}/b h3://{at}/c"
    ));
    let ended = ended.run();
    shown(&ended, 0, "pongpongpongpong");
    assert_eq!(
        ended.err.matches("* connected ").count(),
        2,
        "{}",
        ended.err
    );
    let again = ended.err.matches(" is used again: ").count();
    assert_eq!(again, 2, "{}", ended.err);
    assert_eq!(
        ended.err.matches("< HTTP/3 200\n").count(),
        2,
        "{}",
        ended.err
    );
}

#[test]
fn sessions_are_resumed_and_asked_early_if_that_is_wanted() {
    let (server, pin) = pong("127.0.0.1:0");
    let urls = format!("h3://{0}/ h3://{0}/", server.at);
    for version in ["1", "2"] {
        let line = format!("-v --no-reuse --quic-version {version} {pin}");
        let ended = fetch(&format!("{line} {urls}")).run();
        shown(&ended, 0, "pongpong");
        assert_eq!(ended.err.matches(", resumed\n").count(), 1, "{}", ended.err);
        let facts = format!("* quic version {version}, round trip ");
        assert_eq!(ended.err.matches(&facts).count(), 2, "{}", ended.err);
        assert_eq!(
            ended.err.matches(", 0-RTT no\n").count(),
            2,
            "{}",
            ended.err
        );
        let ended = fetch(&format!("--early-data {line} {urls}")).run();
        shown(&ended, 0, "pongpong");
        let asks = format!(
            "* asks {} before the handshake is over (0-RTT)\n>",
            server.at
        );
        tells(
            &ended,
            &[&asks, ", 0-RTT no\n", ", 0-RTT accepted\n", ", resumed\n"],
        );
    }
    let line = format!("--json --early-data --no-reuse {pin} {urls}");
    let ended = fetch(&line).run();
    let told = objects(&ended.err);
    let early: Vec<_> = told.iter().map(|one| one["early_data"].clone()).collect();
    assert_eq!(
        early,
        [serde_json::Value::Null, "accepted".into()],
        "{ended:?}"
    );
    assert_eq!(told[1]["quic"]["early_data"], "accepted");
}

#[test]
fn a_server_in_python_is_asked_early() {
    let server = Aioquic::start("peers/h3_peer.py", &[]);
    let (port, ca) = (server.server.port(), server.certificate.display());
    let url = format!("h3://localhost:{port}/");
    for version in ["1", "2"] {
        let line = format!("-4v --early-data --no-reuse --quic-version {version} --ca {ca}");
        let ended = fetch(&format!("{line} {url} {url}")).run();
        let text = format!("GET / localhost:{port} none none 0\n");
        shown(&ended, 0, &text.repeat(2));
        tells(&ended, &["before the handshake is over", ", resumed\n"]);
        let facts = format!("* quic version {version}, round trip ");
        assert_eq!(ended.err.matches(&facts).count(), 2, "{}", ended.err);
        tells(&ended, &[", 0-RTT no\n", ", 0-RTT accepted\n"]);
    }
}

#[test]
fn a_server_that_does_not_act_early_is_asked_again() {
    let (server, home) = (Aioquic::start("peers/h3_peer.py", &[]), folder());
    let flags = "-v --early-data --no-reuse";
    let ended = ask(&server, "/careful /careful", flags, &home);
    shown(&ended, 0, "1234512345");
    let why = "* the server does not act on 0-RTT, so it is asked again after the handshake\n";
    tells(&ended, &["< HTTP/3 425\n", why]);
    let ended = ask(
        &server,
        "/careful /careful",
        "--json --early-data --no-reuse",
        &home,
    );
    let told = objects(&ended.err);
    let early: Vec<_> = told
        .iter()
        .map(|one| (&one["status"], &one["early_data"]))
        .collect();
    let (ok, none) = (200.into(), serde_json::Value::Null);
    assert_eq!(early.last(), Some(&(&ok, &"accepted".into())), "{ended:?}");
    assert_eq!(early[0], (&ok, &none));
}

#[test]
fn content_goes_and_comes_byte_for_byte() {
    let server = Server::start("echo 127.0.0.1:0");
    let home = folder();
    let data = binary(3 << 20);
    fs::write(path(&home, "data"), &data).unwrap();
    let url = format!("h3://{}/", server.at);
    let line = format!("--insecure -sS -X POST -T data -o back {url}");
    let ended = fetch(&line).home(&home).run();
    shown(&ended, 0, "");
    assert!(fs::read(path(&home, "back")).unwrap() == data);
    // Without a length, as it comes.
    let ended = fetch(&format!("--insecure -sS -X POST -T - -o - {url}")).with(&data);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "{} bytes came back", ended.out.len());
}

#[test]
fn tcp_is_taken_where_http3_is_not_there() {
    // QUIC is spoken there, and no HTTP in it, which it says at once.
    let (server, pin) = pong("https://127.0.0.1:0");
    let other = Server::start(&format!("echo quic://{}", server.at));
    let line = format!("-v --http3 --insecure https://{}/", server.at);
    let ended = fetch(&line).run();
    shown(&ended, 0, "pong");
    let note = "note: the server was not reached over HTTP/3: this is HTTP/2\n";
    let why = "no application protocol";
    tells(
        &ended,
        &[
            "* no HTTP/3, so it goes over TCP: ",
            why,
            "< HTTP/2 200\n",
            note,
        ],
    );
    assert!(!ended.err.contains("was there first"), "{}", ended.err);
    drop(other);
    let alone = fetch(&format!("--http3-only {pin} https://{}/", server.at)).run();
    fails(&alone, 1, &[&server.at, "connection refused"]);
    // Here it is heard, and not answered in QUIC.
    let (mute, pin) = pong("127.0.0.1:0 --no-quic");
    let ended = fetch(&format!("-v --http3 {pin} https://{}/", mute.at)).run();
    shown(&ended, 0, "pong");
    tells(&ended, &["* HTTP/2 was there first\n", note]);
}

#[test]
fn what_makes_no_sense_with_http3_is_refused() {
    for (line, code, says) in [
        (
            "--http3-only http://127.0.0.1:1/",
            2,
            "HTTP/3 is always in TLS",
        ),
        (
            "--http3-only -x http://127.0.0.1:1 https://127.0.0.1:1/",
            2,
            "http://127.0.0.1:1 takes TCP only",
        ),
        (
            "-x socks5://127.0.0.1:1 h3://127.0.0.1:1/",
            2,
            "socks5://127.0.0.1:1 takes TCP only",
        ),
        ("h3://", 2, "that is no URL"),
    ] {
        let ended = fetch(line).run();
        fails(&ended, code, &[says]);
        assert_eq!(ended.err.lines().count(), 1, "{line}: {}", ended.err);
    }
    let both = fetch("--http3 --http3-only https://127.0.0.1:1/").run();
    assert_eq!(both.code, 2, "{both:?}");
    let server = Server::start("reply pong 127.0.0.1:0");
    let ended = fetch(&format!("--http3 http://{}/", server.at)).run();
    shown(&ended, 0, "pong");
    assert_eq!(
        ended.err,
        "note: HTTP/3 is always in TLS: this is HTTP/1.1\n"
    );
}

#[test]
fn tls_addresses_and_times_are_minded() {
    let (server, pin) = pong("127.0.0.1:0");
    let port = server.port();
    let untrusted = fetch(&format!("h3://{}/", server.at)).run();
    fails(&untrusted, 4, &[&server.at]);
    let resolved = format!("--resolve localhost:{port}:127.0.0.1 {pin} h3://localhost:{port}/");
    shown(&fetch(&resolved).run(), 0, "pong");
    let six = fetch(&format!("-6 {pin} h3://localhost:{port}/")).run();
    fails(&six, 1, &["connection refused"]);
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap();
    let ended = fetch(&format!("--connect-timeout 200ms --insecure h3://{at}/")).run();
    fails(&ended, 3, &[&at.to_string()]);
    let ended = fetch(&format!("-m 200ms --insecure h3://{at}/")).run();
    fails(&ended, 3, &[&at.to_string()]);
    // Where only streams are spoken there is no HTTP.
    let streams = Server::start("echo quic://127.0.0.1:0");
    let ended = fetch(&format!("--insecure h3://{}/", streams.at)).run();
    fails(&ended, 4, &["no application protocol"]);
}

fn ask(server: &Aioquic, paths: &str, flags: &str, home: &Arc<TempDir>) -> Ended {
    let (port, ca) = (server.server.port(), server.certificate.display());
    let urls = paths
        .split(' ')
        .map(|path| format!("h3://localhost:{port}{path} "));
    let line = format!("-4 --ca {ca} {flags} {}", urls.collect::<String>());
    fetch(&line).home(home).run()
}

#[test]
fn a_server_in_python_is_asked() {
    let (server, home) = (Aioquic::start("peers/h3_peer.py", &[]), folder());
    let at = format!("localhost:{}", server.server.port());
    fs::write(path(&home, "data"), binary(2 << 20)).unwrap();
    for (paths, flags, text) in [
        ("/a?b=c", "", format!("GET /a?b=c {at} none none 0\n")),
        ("/", "-d hi", format!("POST / {at} 2 none 2\n")),
        (
            "/put",
            "-T data -H X-Word:yes -H Connection:close",
            format!("PUT /put {at} 2097152 yes 2097152\n"),
        ),
        ("/trailers /hints", "", "1234512345".to_owned()),
    ] {
        shown(&ask(&server, paths, flags, &home), 0, &text);
    }
    let line = format!("GET /large {at} none none 0\n");
    let large = ask(&server, "/large", "", &home);
    assert_eq!(large.code, 0, "{}", large.err);
    assert!(large.text() == line.repeat(100_000), "{}", large.out.len());
    let hints = ask(&server, "/hints", "-v", &home);
    tells(
        &hints,
        &[
            "< 103 Early Hints\n< link: </style.css>\n",
            "< HTTP/3 200\n",
        ],
    );
    let trailers = ask(&server, "/trailers", "-v", &home);
    tells(&trailers, &["* trailers:\n< x-sum: 15\n"]);
}

#[test]
fn an_answer_that_breaks_off_is_not_whole() {
    let (server, home) = (Aioquic::start("peers/h3_peer.py", &[]), folder());
    for (path, code, says) in [
        ("/code", 6, "the server reset the stream"),
        ("/short", 6, "5 of 10 bytes"),
        ("/broken", 6, "the server reset the stream"),
        ("/half", 6, "the stream ended within a frame"),
        ("/half-frame", 6, "a frame, after 5 bytes"),
        ("/nonsense", 5, "HTTP/3"),
    ] {
        let ended = ask(&server, path, "-o got", &home);
        fails(&ended, code, &[says]);
        assert!(!ended.err.contains("panic"), "{}", ended.err);
        assert!(!home.path().join("got").exists(), "{path}");
        let _ = fs::remove_file(home.path().join("got.part"));
    }
}

#[test]
fn a_request_that_the_server_left_is_asked_again_if_it_may_be() {
    let (server, home) = (Aioquic::start("peers/h3_peer.py", &[]), folder());
    let ended = ask(&server, "/goodbye /trailers", "-v", &home);
    shown(&ended, 0, "1234512345");
    let told = "* the connection was closed meanwhile, another is opened\n";
    tells(&ended, &[" is used again: ", told]);
    let posted = ask(&server, "/goodbye /trailers", "-d x", &home);
    assert_eq!(posted.text(), "12345", "a POST is not sent twice");
    fails(
        &posted,
        6,
        &["the server ended the connection with code 0x100"],
    );
    // What was surely not looked at is sent again, whatever it is (RFC 9114, section 5.2).
    for flags in ["-d x", "-T upload"] {
        fs::write(path(&home, "upload"), "y").unwrap();
        let asked_again = ask(&server, "/enough /trailers", &format!("-v {flags}"), &home);
        shown(&asked_again, 0, "1234512345");
        tells(&asked_again, &[" is used again: ", told]);
    }
}

#[test]
fn what_a_server_says_of_http3_is_remembered() {
    let (server, pin) = pong("127.0.0.1:0");
    let (home, port) = (folder(), server.port().to_owned());
    let file = home.path().join("state/sockeye/alt-svc.jsonl");
    let ask = |flags: &str, pin: &str| {
        let ended = fetch(&format!("-4v {flags} {pin} https://localhost:{port}/"))
            .home(&home)
            .run();
        shown(&ended, 0, "pong");
        ended
    };
    for flags in ["--no-alt-svc", "--insecure", "--http2"] {
        tells(
            &ask(flags, if flags == "--insecure" { "" } else { &pin }),
            &["< HTTP/2 200\n"],
        );
        assert!(!file.exists(), "{flags}");
    }
    let news = format!("* HTTP/3 is spoken at :{port}, which is remembered\n");
    tells(&ask("", &pin), &["< HTTP/2 200\n", &news]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let [one] = &objects(&fs::read_to_string(&file).unwrap())[..] else {
        panic!("one server is remembered")
    };
    let origin = format!("https://localhost:{port}");
    assert_eq!(
        (&one["origin"], &one["broken"]),
        (&origin.into(), &0.into())
    );
    tells(&ask("", &pin), &["< HTTP/3 200\n"]);
    for flags in ["--no-alt-svc", "--http2", "--http1.1"] {
        let ended = ask(flags, &pin);
        assert!(!ended.err.contains("HTTP/3 200"), "{}", ended.err);
    }
    // It speaks it no more: TCP does at once, and is asked alone the next time.
    drop(server);
    let (_server, pin) = pong(&format!("https://127.0.0.1:{port}"));
    tells(
        &ask("", &pin),
        &[
            "< HTTP/2 200\n",
            "* no HTTP/3, so it goes over TCP: ",
            "connection refused",
        ],
    );
    let again = ask("", &pin);
    tells(&again, &["< HTTP/2 200\n"]);
    assert!(!again.err.contains("no HTTP/3"), "{}", again.err);
}

#[test]
fn what_is_remembered_may_be_nonsense_and_cannot_lead_to_somebody_else() {
    let (server, pin) = pong("127.0.0.1:0");
    let (other, _) = pong("127.0.0.1:0");
    let home = folder();
    let folder = home.path().join("state/sockeye");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("alt-svc.jsonl");
    let url = format!("https://{}/", server.at);
    let lie = format!(
        r#"{{"origin":"https://{}","h3":"{}","until":99999999999,"broken":0}}"#,
        server.at, other.at
    );
    for (text, told) in [
        ("\0\n{\n[]\n", ""),
        (&*lie, "* no HTTP/3, so it goes over TCP: "),
    ] {
        fs::write(&file, text).unwrap();
        let ended = fetch(&format!("-v {pin} {url}")).home(&home).run();
        shown(&ended, 0, "pong");
        tells(&ended, &[told, "< HTTP/2 200\n"]);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let ended = fetch(&format!("{pin} {url}")).home(&home).run();
    fails(&ended, 1, &["cannot read", "alt-svc.jsonl"]);
}
