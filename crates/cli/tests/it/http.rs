//! HTTP on the command line: `serve` with curl as its client, `connect` with our own servers.

use std::io::{Read, Write};
use std::time::Instant;

use rustix::process::Signal;

use crate::stage::{
    Ended, LONG, Line, Server, Wire, binary, connect, drain, folder, hear, objects, path, program,
    sockeye, words,
};

/// The ways in which curl can speak to one port: flags and scheme.
const WAYS: [(&str, &str); 4] = [
    ("--http1.1", "http"),
    ("--http2-prior-knowledge", "http"),
    ("--http1.1 -k", "https"),
    ("--http2 -k", "https"),
];

/// `curl` with these words; `{at}` is the server.
fn curl(line: &str, server: &Server) -> Line {
    // No --max-time: with it curl blocks in reading its input, and shows nothing meanwhile.
    let line = format!("-sS {line}").replace("{at}", &server.at);
    program("curl", words(&line))
}

#[track_caller]
fn ok(ended: &Ended) -> String {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.text()
}

/// The status, the header fields and the body of `curl -i`.
#[track_caller]
fn answer(ended: &Ended) -> (String, String, String) {
    let text = ok(ended);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let (status, fields) = head.split_once("\r\n").unwrap();
    let status = status.split(' ').nth(1).unwrap();
    (status.to_owned(), format!("{fields}\r\n"), body.to_owned())
}

#[test]
fn every_service_answers_in_every_way() {
    for (service, sent, heard) in [
        ("echo", "hé\n", "hé\n"),
        ("upper", "hé\n", "HÉ\n"),
        ("hello", "George\n", "hello!\nHello, George!\n"),
        ("reply pong", "anything", "pong"),
        ("sink", "12345", "took 5 bytes\n"),
    ] {
        let server = Server::start(&format!("{service} 127.0.0.1:0"));
        for (flags, scheme) in WAYS {
            let line = format!("{flags} --data-binary @- {scheme}://{{at}}/");
            assert_eq!(
                ok(&curl(&line, &server).with(sent)),
                heard,
                "{service} {flags}"
            );
        }
    }
}

#[test]
fn an_upload_is_answered_while_it_is_sent() {
    let server = Server::start("upper 127.0.0.1:0");
    for (flags, scheme) in WAYS {
        // With `-` instead of `.` curl shows nothing while it waits for its input.
        let line = format!("{flags} -T . -N {scheme}://{{at}}/");
        let mut curl = curl(&line, &server).start();
        for (sent, heard) in [
            ("one\n", "ONE\n"),
            ("two\n", "TWO\n"),
            ("three\n", "THREE\n"),
        ] {
            curl.say(sent);
            curl.out.until(heard);
        }
        assert_eq!(
            curl.hang_up_and_end().text(),
            "ONE\nTWO\nTHREE\n",
            "{flags}"
        );
    }
}

#[test]
fn a_hundred_mebibytes_come_back_as_they_went() {
    let folder = folder();
    let (file, back) = (path(&folder, "file"), path(&folder, "back"));
    let data = binary(1 << 20).repeat(100);
    std::fs::write(&file, &data).unwrap();
    let server = Server::start("echo 127.0.0.1:0");
    for (flags, scheme) in [("--http1.1", "http"), ("--http2-prior-knowledge", "http")] {
        let (from, to) = (file.display(), back.display());
        let line = format!("{flags} --data-binary @{from} -o {to} {scheme}://{{at}}/");
        ok(&curl(&line, &server).start().end_within(LONG * 6));
        assert!(
            std::fs::read(&back).unwrap() == data,
            "{flags}: the bytes differ"
        );
    }
}

#[test]
fn reply_says_what_it_is() {
    let page = "<!doctype html><p>你好";
    for (flags, text, kind, body) in [
        ("", "pong", "text/plain; charset=UTF-8", "pong".as_bytes()),
        ("", page, "text/html; charset=UTF-8", page.as_bytes()),
        // 你好 in GB2312, by the published table: C4 E3 BA C3.
        (
            "--encoding gb2312",
            "<html>你好",
            "text/html; charset=GB2312",
            b"<html>\xc4\xe3\xba\xc3",
        ),
        ("--hex", "fc2a", "application/octet-stream", b"\xfc\x2a"),
        (
            "--content-type image/x-icon",
            "pong",
            "image/x-icon",
            b"pong",
        ),
    ] {
        let flags = words(flags).into_iter();
        let server = Server::of(["reply", text, "127.0.0.1:0"].into_iter().chain(flags));
        let ended = curl("-D - http://{at}/", &server).run();
        let split = ended
            .out
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        let (head, got) = ended.out.split_at(split);
        let head = String::from_utf8_lossy(head).into_owned();
        assert!(
            head.contains(&format!("content-type: {kind}\r\n")),
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(head.contains("\r\ndate: "), "{head}");
        assert_eq!(got, body, "{kind}");
        let (status, fields, body) = answer(&curl("-I http://{at}/", &server).run());
        assert!(
            fields.contains(&format!("content-type: {kind}\r\n")),
            "{fields}"
        );
        assert_eq!((status.as_str(), body.as_str()), ("200", ""));
    }
}

#[test]
fn what_a_session_sends_is_called_as_it_is_told() {
    let server = Server::start("echo 127.0.0.1:0 --content-type application/json");
    let (_, fields, _) = answer(&curl("-i -d {} http://{at}/", &server).run());
    assert!(
        fields.contains("content-type: application/json\r\n"),
        "{fields}"
    );
    for (line, told) in [
        ("echo tcp://127.0.0.1:0 --content-type text/css", true),
        ("echo udp://127.0.0.1:0 --host a", true),
        (
            "echo http://127.0.0.1:0 --content-type text/css --host a",
            false,
        ),
    ] {
        let mut server = Server::start(line);
        server.run.signal(Signal::TERM);
        let said = server.run.end().err;
        let note = "is for HTTP, which none of these addresses carries";
        assert_eq!(said.contains(note), told, "{line}: {said}");
    }
}

#[test]
fn old_and_careful_clients() {
    let server = Server::start("echo 127.0.0.1:0");
    assert_eq!(ok(&curl("-0 -d old http://{at}/", &server).run()), "old");
    let ended = curl(
        "-v --expect100-timeout 30 -H Expect:100-continue -d careful http://{at}/",
        &server,
    )
    .run();
    assert_eq!(ok(&ended), "careful");
    assert!(
        ended.err.contains("< HTTP/1.1 100 Continue"),
        "{}",
        ended.err
    );
    // One connection, several requests.
    let twice = "-v -d one http://{at}/ --next -sS -d two http://{at}/";
    let ended = curl(twice, &server).run();
    assert_eq!(ok(&ended), "onetwo");
    assert!(
        ended.err.contains("Re-using existing connection"),
        "{}",
        ended.err
    );
}

#[test]
fn methods_and_their_refusals() {
    let server = Server::start("sink 127.0.0.1:0");
    for (flags, status, allow) in [
        (
            "-X OPTIONS",
            "204",
            Some("PUT, POST, PATCH, DELETE, OPTIONS"),
        ),
        (
            "-X OPTIONS --request-target *",
            "204",
            Some("PUT, POST, PATCH, DELETE, OPTIONS"),
        ),
        ("-X TRACE", "405", Some("PUT, POST, PATCH, DELETE, OPTIONS")),
        ("", "405", Some("PUT, POST, PATCH, DELETE, OPTIONS")),
        ("-d x", "200", None),
    ] {
        for way in ["--http1.1", "--http2-prior-knowledge"] {
            let line = format!("-i {way} {flags} http://{{at}}/");
            let (got, fields, _) = answer(&curl(&line, &server).run());
            assert_eq!(got, status, "{line}");
            let said = fields.lines().find_map(|line| line.strip_prefix("allow: "));
            assert_eq!(said, allow, "{line}");
        }
    }
}

#[test]
fn only_names_that_are_ours_are_answered() {
    let server = Server::start("reply pong 127.0.0.1:0 --host box.example,other.example");
    for (host, status) in [
        ("127.0.0.1", "200"),
        ("localhost:99", "200"),
        ("[::1]", "200"),
        ("box.example:3000", "200"),
        ("OTHER.example.", "200"),
        ("evil.example", "421"),
        ("box.example.evil.example", "421"),
        ("a/b", "400"),
        ("a:b", "400"),
    ] {
        let line = format!("-i -H Host:{host} http://{{at}}/");
        let (got, _, body) = answer(&curl(&line, &server).run());
        assert_eq!(got, status, "{host}: {body}");
        if got == "421" {
            let hint = format!("start it with --host {host}");
            assert!(body.contains(&hint), "{body}");
        }
    }
    let (got, ..) = answer(&curl("-i --http2-prior-knowledge --resolve evil.example:{port}:127.0.0.1 http://evil.example:{port}/".replace("{port}", server.port()).as_str(), &server).run());
    assert_eq!(got, "421");
    // A name is not a way around a check that is not for loopback alone.
    let open = Server::start("reply pong 0.0.0.0:0 -4");
    let line = format!("-i -H Host:evil.example http://127.0.0.1:{}/", open.port());
    assert_eq!(
        answer(&curl(&line, &open).run()).0,
        "421",
        "it came by loopback"
    );
}

#[test]
fn pages_of_other_sites_cannot_use_a_server_behind_their_readers_back() {
    let server = Server::start("echo 127.0.0.1:0");
    let own = format!("Origin:http://{}", server.at);
    for (fields, status) in [
        (own.as_str(), "200"),
        ("Origin:https://evil.example", "403"),
        ("Origin:null", "403"),
        ("Sec-Fetch-Site:cross-site", "403"),
        ("Sec-Fetch-Site:same-origin", "200"),
    ] {
        let line = format!("-i -d x -H {fields} http://{{at}}/");
        assert_eq!(answer(&curl(&line, &server).run()).0, status, "{fields}");
    }
}

/// Those fields of an answer that tell a browser what a page may do, in the order of the alphabet.
fn leave(fields: &str) -> Vec<String> {
    let is_of_it = |line: &&str| line.starts_with("access-control-") || line.starts_with("vary: ");
    let mut lines: Vec<_> = fields.lines().filter(is_of_it).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn pages_of_sites_that_were_named_may_ask() {
    let named = "--origin https://friend.example --origin http://127.0.0.1:5173/";
    let server = Server::start(&format!("upper 127.0.0.1:0 {named}"));
    let vary = "vary: Origin";
    for (origin, status, told) in [
        ("https://friend.example", "200", true),
        ("http://127.0.0.1:5173", "200", true),
        ("https://evil.example", "403", false),
        ("http://friend.example", "403", false),
        ("https://friend.example.evil.example", "403", false),
        ("null", "403", false),
    ] {
        for (flags, scheme) in WAYS {
            let line = format!("-i {flags} -d x -H Origin:{origin} {scheme}://{{at}}/");
            let (got, fields, body) = answer(&curl(&line, &server).run());
            assert_eq!(got, status, "{line}: {body}");
            let allowed = format!("access-control-allow-origin: {origin}");
            let expected = if told {
                vec![&*allowed, vary]
            } else {
                vec![vary]
            };
            assert_eq!(leave(&fields), expected, "{line}");
        }
    }
    // A cache must not give the answer for one page to another, whoever asked first.
    let (_, fields, _) = answer(&curl("-i -d x http://{at}/", &server).run());
    assert_eq!(leave(&fields), [vary]);
    let anyone = Server::start("upper 127.0.0.1:0 --origin *");
    let line = "-i -d x -H Origin:https://evil.example http://{at}/";
    let (got, fields, _) = answer(&curl(line, &anyone).run());
    let all = "access-control-allow-origin: *";
    assert_eq!((&*got, &*leave(&fields)), ("200", &[all.to_owned()][..]));
    let closed = Server::start("reply hi 127.0.0.1:0");
    let line = "-i -H Origin:https://evil.example http://{at}/";
    let (got, fields, _) = answer(&curl(line, &closed).run());
    assert_eq!((&*got, leave(&fields)), ("200", Vec::new()));
}

#[test]
fn a_browser_asks_before_it_sends_what_forms_cannot() {
    let named = "--origin https://friend.example";
    let server = Server::start(&format!("sink 127.0.0.1:0 --token secret {named}"));
    let ask = |origin: &str| {
        let fields = format!(
            "-H Origin:{origin} -H Access-Control-Request-Method:PUT \
             -H Access-Control-Request-Headers:authorization,x-a"
        );
        answer(&curl(&format!("-i -X OPTIONS {fields} http://{{at}}/"), &server).run())
    };
    // It says no token then: what it asks for is whether it may.
    let (status, fields, _) = ask("https://friend.example");
    assert_eq!(status, "204");
    let told = [
        "access-control-allow-headers: authorization,x-a",
        "access-control-allow-methods: PUT, POST, PATCH, DELETE, OPTIONS",
        "access-control-allow-origin: https://friend.example",
        "vary: Origin",
        "vary: access-control-request-headers",
    ];
    assert_eq!(leave(&fields), told);
    let (status, fields, _) = ask("https://evil.example");
    assert_eq!(
        (&*status, &*leave(&fields)),
        ("204", &["vary: Origin".to_owned()][..])
    );
    let put = "-i -X PUT -d x -H Origin:https://friend.example http://{at}/";
    let (status, fields, _) = answer(&curl(put, &server).run());
    assert_eq!(status, "401");
    // The page may know why it was refused.
    let told = [
        "access-control-allow-origin: https://friend.example",
        "vary: Origin",
    ];
    assert_eq!(leave(&fields), told);
    let line = format!("--oauth2-bearer secret {put}");
    assert_eq!(answer(&curl(&line, &server).run()).0, "200");
}

#[test]
fn a_sink_saves_uploads_and_says_so() {
    let folder = folder();
    let data = binary(300_000);
    let file = path(&folder, "file");
    std::fs::write(&file, &data).unwrap();
    let out = path(&folder, "out");
    let server = Server::of([
        "sink",
        "--out",
        &format!("{}/", out.display()),
        "127.0.0.1:0",
    ]);
    for (flags, scheme) in WAYS {
        let line = format!("{flags} -T {} {scheme}://{{at}}/", file.display());
        assert_eq!(
            ok(&curl(&line, &server).run()),
            "saved 300000 bytes\n",
            "{flags}"
        );
    }
    let saved: Vec<_> = std::fs::read_dir(out)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    assert_eq!(saved.len(), WAYS.len());
    assert!(
        saved.iter().all(|one| std::fs::read(one).unwrap() == data),
        "{saved:?}"
    );
    // An upload that breaks off keeps its other name.
    let mut half = server.tcp();
    write!(
        half,
        "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf"
    )
    .unwrap();
    drop(half);
    server.run.err.until("the peer did not finish");
}

#[test]
fn what_is_reported() {
    let mut server = Server::start("hello 127.0.0.1:0");
    ok(&curl("-d x http://{at}/path?a=%1b", &server).run());
    let opened = server.run.err.rest_of("open  ");
    let shape = opened.split(' ').skip(1).take(3).collect::<Vec<_>>();
    assert_eq!(shape, ["http", "POST", "/path?a=%1b"], "{opened}");
    assert!(
        server
            .run
            .err
            .rest_of("close ")
            .contains(": 200; the peer closed; in ")
    );
    ok(&curl("-X TRACE http://{at}/t", &server).run());
    let answered = server.run.err.rest_of("answer ");
    assert!(
        answered.starts_with("http TRACE /t 127.0.0.1:"),
        "{answered}"
    );
    assert!(answered.contains(": 405; out 32 bytes, "), "{answered}");
    server.run.signal(Signal::TERM);
    server.run.end();

    let run = sockeye(words("serve hello 127.0.0.1:0 --json")).start();
    let at = run.err.rest_of("\"address\":\"");
    let at = at.split('"').next().unwrap().to_owned();
    let mut server = Server { run, at };
    ok(&curl("-d x --http2-prior-knowledge http://{at}/path", &server).run());
    ok(&curl("-X TRACE http://{at}/t", &server).run());
    server.run.err.until("\"event\":\"answer\"");
    server.run.signal(Signal::TERM);
    let said = objects(&server.run.end().err);
    let event = |name: &str| said.iter().find(|one| one["event"] == name).unwrap();
    for name in ["open", "close"] {
        let one = event(name);
        let asked = (&one["method"], &one["target"], &one["http"]);
        assert_eq!(
            asked,
            (&"POST".into(), &"/path".into(), &"2".into()),
            "{one}"
        );
    }
    assert_eq!(event("close")["status"], 200);
    let one = event("answer");
    assert_eq!(
        (&one["status"], &one["whole"]),
        (&405.into(), &true.into()),
        "{one}"
    );
    assert_eq!(
        (&one["bytes"], &one["http"]),
        (&32.into(), &"1.1".into()),
        "{one}"
    );
    assert!(one["seconds"].as_f64().unwrap() < 10.0, "{one}");
}

#[test]
fn one_answer_is_one_session() {
    for service in ["reply pong", "echo"] {
        let mut server = Server::start(&format!("{service} --once 127.0.0.1:0"));
        assert_eq!(
            ok(&curl("-d pong http://{at}/", &server).run()),
            "pong",
            "{service}"
        );
        assert_eq!(server.run.end().code, 0, "{service}");
    }
}

#[test]
fn requests_are_sessions_at_a_console() {
    let mut server = Server::start("console 127.0.0.1:0");
    let mut curl = curl("-N -T . http://{at}/", &server).start();
    curl.say("question\n");
    server.run.out.until("question\n");
    server.run.say("answer\n");
    curl.out.until("answer\n");
    server.run.hang_up();
    curl.hang_up();
    assert_eq!(curl.end().text(), "answer\n");
}

#[test]
fn what_is_no_http_is_refused_where_only_http_is_spoken() {
    let server = Server::start("echo http://127.0.0.1:0");
    for sent in [
        "hello\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut client = server.tcp();
        client.write_all(sent.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let (said, end) = drain(&mut client);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            said.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{sent:?}: {said}"
        );
        assert_eq!(end, Wire::Fin, "{sent:?}");
    }
    server.run.err.until("cannot receive from 127.0.0.1:");
}

#[test]
fn a_refusal_arrives_although_the_client_is_still_sending() {
    let server = Server::start("echo 127.0.0.1:0 --frame line --max-message 1k");
    let line = "-i --data-binary @- -H Expect: http://{at}/";
    let (status, _, body) = answer(&curl(line, &server).with(vec![b'x'; 4 << 20]));
    assert_eq!(status, "413");
    assert!(
        body.contains("longer than the limit of 1024 bytes"),
        "{body}"
    );
}

#[test]
fn a_stop_lets_requests_finish_and_holds_up_for_nobody_else() {
    let mut server = Server::start("echo 127.0.0.1:0");
    let mut idle = server.tcp();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    hear(&mut idle, "HTTP/1.1 200 OK\r\n");
    let mut running = server.tcp();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n";
    running.write_all(format!("{head}ab").as_bytes()).unwrap();
    let mut said = [0; 4096];
    let mut all = Vec::new();
    while !all.ends_with(b"2\r\nab\r\n") {
        let n = running.read(&mut said).unwrap();
        all.extend_from_slice(&said[..n]);
    }
    server.run.signal(Signal::TERM);
    assert_eq!(drain(&mut idle).1, Wire::Fin, "at once");
    running.write_all(b"cd").unwrap();
    assert_eq!(
        drain(&mut running),
        (b"2\r\ncd\r\n0\r\n\r\n".to_vec(), Wire::Fin)
    );
    let ended = server.run.end();
    assert_eq!(ended.code, 143);
    assert!(ended.after.as_secs() < 4, "{ended:?}");
}

#[test]
fn slow_heads_leave_room_for_others() {
    let server = Server::start("reply pong 127.0.0.1:0");
    let slow: Vec<_> = (0..300)
        .map(|n| {
            let mut client = server.tcp();
            let head = "GET / HTTP/1.1\r\nHost: localhost\r\nX: slow";
            client
                .write_all(&head.as_bytes()[..1 + n % head.len()])
                .unwrap();
            client
        })
        .collect();
    let start = Instant::now();
    assert_eq!(ok(&curl("http://{at}/", &server).run()), "pong");
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    drop(slow);
}

#[test]
fn connect_asks_and_shows_the_answer() {
    let server = Server::start("reply pong 127.0.0.1:0");
    for (line, version) in [
        ("http://{at}/ -d", "HTTP/1.1"),
        ("http://{at} -d --http2", "HTTP/2"),
        ("https://{at}/ -d --insecure", "HTTP/2"),
    ] {
        let ended = connect(&line.replace("{at}", &server.at)).run();
        assert_eq!(
            (ended.code, ended.text().as_str()),
            (0, "pong"),
            "{line} {ended:?}"
        );
        assert!(
            ended.err.contains(&format!("answered {version} 200 OK\n")),
            "{ended:?}"
        );
        let asked = server.run.err.rest_of("answer ");
        assert!(asked.contains(" GET / "), "{asked}");
    }
    let ended = connect(&format!("http://{} -d -v", server.at)).run();
    assert!(
        ended
            .err
            .contains("\n< content-type: text/plain; charset=UTF-8\n"),
        "{ended:?}"
    );
    let ended = connect(&format!("http://{} --method HEAD", server.at)).run();
    assert_eq!((ended.code, ended.text().as_str()), (0, ""), "{ended:?}");
}

#[test]
fn connect_sends_what_it_is_given() {
    let server = Server::start("echo 127.0.0.1:0 -v");
    let data = binary(1 << 20);
    for line in [
        "http://{at}/",
        "http://{at}/ --http2",
        "https://{at}/ --insecure",
    ] {
        let line = line.replace("{at}", &server.at);
        let ended = connect(&line).with(&data);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out == data, "{line}: a pipe goes through unchanged");
        let folder = folder();
        let file = path(&folder, "file");
        std::fs::write(&file, &data).unwrap();
        let ended = connect(&line)
            .stdin(std::fs::File::open(&file).unwrap())
            .start()
            .end();
        assert!(ended.out == data, "{line}: a file, too");
        let ended = connect(&format!("{line} --send one --send two")).run();
        assert_eq!(
            (ended.code, ended.text().as_str()),
            (0, "one\ntwo\n"),
            "{line} {ended:?}"
        );
        let mut typed = connect(&line).start();
        for text in ["one\n", "two\n"] {
            typed.say(text);
            typed.out.until(text);
        }
        assert_eq!(typed.hang_up_and_end().text(), "one\ntwo\n", "{line}");
    }
}

#[test]
fn connect_says_by_its_exit_code_what_the_answer_was() {
    let server = Server::start("sink 127.0.0.1:0");
    for (flags, code, status) in [
        ("-d", 6, Some("405 Method Not Allowed")),
        ("--send x --method PUT", 0, None),
        (
            "--send x --method PUT -H Host:evil.example",
            6,
            Some("421 Misdirected Request"),
        ),
    ] {
        let ended = connect(&format!("http://{} {flags}", server.at)).run();
        assert_eq!(ended.code, code, "{flags} {ended:?}");
        match status {
            Some(status) => {
                let line = format!("sockeye: {} answered {status}", server.at);
                assert_eq!(ended.complaint(), line);
                assert!(!ended.out.is_empty(), "what it says is shown: {ended:?}");
            }
            None => assert_eq!(ended.text(), "took 2 bytes\n", "{ended:?}"),
        }
    }
    // Somebody who does not speak HTTP.
    let greeter = Server::start("hello tcp://127.0.0.1:0");
    let ended = connect(&format!("http://{} -d", greeter.at)).run();
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(
        ended.complaint().contains("the answer is not HTTP"),
        "{ended:?}"
    );
}

#[test]
fn redirects_are_told_and_not_followed() {
    let listener = crate::stage::Listener::new();
    let run = connect(&format!("http://{} -d", listener.at())).start();
    let mut peer = listener.accept();
    hear(&mut peer, "GET / HTTP/1.1\r\nhost: ");
    let answer =
        "HTTP/1.1 302 Found\r\nLocation: /\x1b[2Jelsewhere\r\nContent-Length: 4\r\n\r\nhere";
    let answer = answer.replace('\x1b', "%1b");
    peer.write_all(answer.as_bytes()).unwrap();
    let mut run = run;
    let ended = run.end();
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (0, "here"),
        "{ended:?}"
    );
    let told = "answered HTTP/1.1 302 Found, which is at /%1b[2Jelsewhere; that is not followed\n";
    assert!(ended.err.contains(told), "{ended:?}");
}

#[test]
fn a_request_carries_what_it_is_told_to() {
    let listener = crate::stage::Listener::new();
    let at = listener.at();
    let line = [
        "connect",
        &format!("http://{at}/päth?q=1"),
        "--send",
        "hi",
        "--eol",
        "none",
        "-H",
        "X-One: a b",
        "--content-type",
        "text/css",
        "--user",
        "me:secret",
    ];
    let mut run = sockeye(line).start();
    let mut peer = listener.accept();
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !request.ends_with(b"\r\n\r\nhi") {
        let n = peer.read(&mut part).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&part[..n]);
    }
    let request = String::from_utf8(request).unwrap();
    assert!(
        request.starts_with("POST /p%C3%A4th?q=1 HTTP/1.1\r\n"),
        "{request}"
    );
    for field in [
        format!("host: {at}"),
        "content-length: 2".to_owned(),
        "x-one: a b".to_owned(),
        "content-type: text/css".to_owned(),
        // me:secret in base64.
        "authorization: Basic bWU6c2VjcmV0".to_owned(),
    ] {
        assert!(
            request.contains(&format!("\r\n{field}\r\n")),
            "{field}: {request}"
        );
    }
    peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(run.end().code, 0);
}
