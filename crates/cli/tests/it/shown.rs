//! How messages are shown and framed, and what goes out for what was asked: one test for each group of flags.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::stage::{
    Ended, LONG, Listener, Server, Wire, binary, connect, drain, folder, hear, objects, path,
    python, sockeye, words,
};

/// `connect` to `server` with words that have spaces in them.
#[track_caller]
fn ask(server: &Server, more: &[&str]) -> Ended {
    let ended = sockeye(["connect", &server.at].iter().chain(more)).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

#[test]
fn gb2312_from_python_with_a_character_in_two_pieces() {
    let server = Server::start("upper --encoding gb2312 tcp://127.0.0.1:0");
    let ended = python(["gb2312", "127.0.0.1", server.port()]).run();
    assert_eq!(ended.text(), "你好ABC\n", "{ended:?}");
}

#[test]
fn text_leaves_and_is_shown_in_the_encoding() {
    let listener = Listener::new();
    let line = [
        "connect",
        &listener.at(),
        "--encoding",
        "gb2312",
        "--send",
        "你好",
        "--wait",
        "5s",
    ];
    let mut run = sockeye(line).start();
    let mut peer = listener.accept();
    let mut bytes = [0; 5];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, *b"\xc4\xe3\xba\xc3\n");
    peer.write_all(b"\xc4\xe3\xba").unwrap();
    run.out.until("你");
    peer.write_all(b"\xc3\n").unwrap();
    drop(peer);
    assert_eq!(run.end().text(), "你好\n");
}

#[test]
fn typed_lines_leave_in_the_encoding() {
    let listener = Listener::new();
    let mut run = connect(&format!("{} --encoding big5 --eol crlf", listener.at())).start();
    let mut peer = listener.accept();
    run.say("你好\n");
    run.hang_up();
    assert_eq!(drain(&mut peer).0, b"\xa7\x41\xa6\x6e\r\n");
}

#[test]
fn hex_dumps() {
    let server = Server::start("echo --hex tcp://127.0.0.1:0");
    let ended = ask(&server, &["--hex", "--send-hex", "fc,2a-00:01 0x41"]);
    let dump = "00000000  fc 2a 00 01 41";
    assert!(
        ended.text().starts_with("< 5 bytes\n") && ended.text().contains(dump),
        "{ended:?}"
    );
    server.run.err.until("#1 < 5 bytes\n");
    server.run.err.until(dump);
    server.run.err.until("#1 > 5 bytes\n");
}

#[test]
fn timestamps() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    let ended = ask(&server, &["--timestamps", "--send", "hi"]);
    let text = ended.text();
    let (time, rest) = text.split_at(12);
    let digits = |at: usize| time.as_bytes()[at].is_ascii_digit();
    assert!(
        [0, 1, 3, 4, 6, 7, 9, 10, 11].into_iter().all(digits),
        "{text}"
    );
    assert_eq!(rest, " hi\n");
}

/// The names of a JSON object's fields.
/// The names of an object's fields: what every object has comes first, the rest in any order.
fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names[..3], ["v", "time", "event"]);
    names.sort_unstable();
    names
}

#[test]
fn json_of_connect() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    let ended = ask(&server, &["--json", "--send", "hi", "--send-hex", "ff"]);
    let lines = objects(&ended.text());
    let all = [
        "age",
        "bytes",
        "direction",
        "event",
        "local",
        "peer",
        "protocol",
        "session",
        "text",
        "time",
        "v",
    ];
    assert_eq!(fields(&lines[0]), all, "as in docs/JSON.md");
    assert_eq!(lines[0]["v"], 1);
    assert_eq!(lines[0]["event"], "message");
    assert_eq!(lines[0]["text"], "hi\n");
    assert_eq!(lines[0]["bytes"], 3);
    assert_eq!(lines[0]["direction"], "in");
    assert_eq!(lines[0]["peer"], server.at);
    assert_eq!(lines[1]["hex"], "ff");
    assert!(lines[1].get("text").is_none());
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn json_of_serve() {
    let line = sockeye(words("serve echo --json -v tcp://127.0.0.1:0")).start();
    let listening = line.err.until("\n");
    let listening = &objects(&listening)[0];
    assert_eq!(
        fields(listening),
        ["address", "event", "protocol", "time", "v"]
    );
    let at = listening["address"].as_str().unwrap();
    connect(&format!("{at} --send hi")).run();
    line.err.until("\"close\"");
    line.signal(rustix::process::Signal::TERM);
    let mut line = line;
    let ended = line.end();
    let lines = objects(&ended.err);
    let events: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        ["listening", "open", "message", "message", "close"],
        "{ended:?}"
    );
    let close = &lines[4];
    let all = [
        "age",
        "bytes_in",
        "bytes_out",
        "event",
        "local",
        "lost",
        "messages_in",
        "messages_out",
        "peer",
        "protocol",
        "seconds",
        "session",
        "time",
        "v",
        "why",
    ];
    assert_eq!(fields(close), all, "as in docs/JSON.md");
    assert_eq!(close["why"], "peer");
    assert_eq!(
        (&close["bytes_in"], &close["bytes_out"]),
        (&3.into(), &3.into())
    );
    assert_eq!(lines[3]["direction"], "out");
    assert_eq!(
        fields(&lines[1]),
        [
            "age", "event", "local", "peer", "protocol", "session", "time", "v"
        ]
    );
    assert_eq!(ended.text(), "", "stdout stays empty");
}

#[test]
fn every_framing_from_end_to_end() {
    for (framing, messages, wire) in [
        ("line", ["ab", "cde"], &b"ab\ncde\n"[..]),
        ("fixed:3", ["abc", "def"], b"abcdef"),
        ("length:u8", ["ab", "cde"], b"\x02ab\x03cde"),
        ("length:u16be", ["ab", "cde"], b"\0\x02ab\0\x03cde"),
        ("length:u16le", ["ab", "cde"], b"\x02\0ab\x03\0cde"),
        ("length:u32be", ["ab", "cde"], b"\0\0\0\x02ab\0\0\0\x03cde"),
        ("length:u32le", ["ab", "cde"], b"\x02\0\0\0ab\x03\0\0\0cde"),
        ("length:varint", ["ab", "cde"], b"\x02ab\x03cde"),
        ("until:|", ["ab", "cde"], b"ab|cde|"),
        ("until:\\r\\n", ["ab", "cde"], b"ab\r\ncde\r\n"),
    ] {
        let server = Server::of(["upper", "--frame", framing, "tcp://127.0.0.1:0"]);
        let more = [
            "--frame",
            framing,
            "--json",
            "--send",
            messages[0],
            "--send",
            messages[1],
            "--wait",
            "5s",
            "--count",
            "2",
        ];
        let texts: Vec<_> = objects(&ask(&server, &more).text())
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(texts, messages.map(str::to_uppercase), "{framing}");
        let listener = Listener::new();
        let more = [
            "--send",
            messages[0],
            "--send",
            messages[1],
            "--wait",
            "20ms",
        ];
        let run = sockeye(
            ["connect", &listener.at(), "--frame", framing]
                .iter()
                .chain(&more),
        )
        .start();
        assert_eq!(
            drain(&mut listener.accept()),
            (wire.to_vec(), Wire::Fin),
            "{framing}"
        );
        drop(run);
    }
}

#[test]
fn idle_framing_joins_what_comes_together() {
    let server = Server::start("reply --frame idle:150 ok tcp://127.0.0.1:0");
    let mut client = server.tcp();
    for _ in 0..3 {
        client.write_all(b"part").unwrap();
    }
    hear(&mut client, "ok");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(drain(&mut client).0, b"", "one message, one answer");
}

#[test]
fn files_are_sent_whole() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    let folder = folder();
    let file = path(&folder, "file");
    let data = binary(300_000);
    std::fs::write(&file, &data).unwrap();
    let line = format!(
        "{} --wait 5s --eof half --send-file {}",
        server.at,
        file.display()
    );
    assert!(connect(&line).run().out == data);
    let ended = connect(&format!("{} --send-file - --send end", server.at)).with("from a pipe ");
    assert_eq!(ended.text(), "from a pipe end\n");
}

#[test]
fn the_script_keeps_the_order_in_which_it_was_typed() {
    let listener = Listener::new();
    let line = [
        "connect",
        &listener.at(),
        "--send",
        "1",
        "--send-hex",
        "32",
        "--send",
        "3",
        "--wait",
        "20ms",
    ];
    let mut run = sockeye(line).start();
    assert_eq!(drain(&mut listener.accept()).0, b"1\n23\n");
    assert_eq!(run.end().code, 0);
}

#[test]
fn escapes_in_texts() {
    let server = Server::of(["reply", "a\\tb\\x00\\u{1F600}\\n", "tcp://127.0.0.1:0"]);
    let ended = ask(&server, &["--send", "x\\ny", "--count", "1"]);
    assert_eq!(ended.text(), "a\tb\0\u{1F600}\n");
}

#[test]
fn line_ends() {
    for (flags, wire) in [
        ("--eol lf", &b"a\nb\n"[..]),
        ("--eol crlf", b"a\r\nb\r\n"),
        ("--eol cr", b"a\rb\r"),
        ("--eol none", b"ab"),
        ("--crlf", b"a\r\nb\r\n"),
        ("-C", b"a\r\nb\r\n"),
        ("", b"a\nb\n"),
    ] {
        let listener = Listener::new();
        let mut run = connect(&format!("{} {flags}", listener.at())).start();
        run.say("a\nb\n");
        run.hang_up();
        assert_eq!(drain(&mut listener.accept()).0, wire, "{flags}");
    }
}

#[test]
fn crlf_is_not_doubled() {
    let listener = Listener::new();
    let mut run = connect(&format!("{} --crlf", listener.at())).start();
    run.say("a\r\nb\n");
    run.hang_up();
    assert_eq!(drain(&mut listener.accept()).0, b"a\r\nb\r\n");
}

#[test]
fn datagrams_are_lines_or_with_binary_chunks() {
    for (flag, expected) in [
        ("", vec!["a", "b"]),
        ("--binary", vec!["a\nb\n"]),
        ("--eol lf", vec!["a\n", "b\n"]),
    ] {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let at = socket.local_addr().unwrap();
        let ended = connect(&format!("-u {at} --eof close {flag}")).with("a\nb\n");
        assert_eq!(ended.code, 0);
        for text in expected {
            let mut buffer = [0; 64];
            let n = socket.recv(&mut buffer).unwrap();
            assert_eq!(String::from_utf8_lossy(&buffer[..n]), text, "{flag}");
        }
    }
}

#[test]
fn our_own_address_and_port() {
    let listener = Listener::new();
    let free = TcpListener::bind("127.0.0.2:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let line = format!(
        "{} -s 127.0.0.2 -p {} --no-stdin",
        listener.at(),
        free.port()
    );
    let mut run = connect(&line).start();
    let peer = listener.accept();
    assert_eq!(peer.peer_addr().unwrap(), free);
    run.err
        .until(&format!("connected tcp {free} -> {}\n", listener.at()));
    drop(peer);
    assert_eq!(run.end().code, 0);
}

#[test]
fn retry_waits_for_a_server_that_comes_later() {
    let at = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut run = connect(&format!("{at} --retry --send hi --wait 5s --count 1")).start();
    run.err.until("trying again in 250ms");
    let _server = Server::start(&format!("echo tcp://{at}"));
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "hi\n"));
    run = connect("127.0.0.1:1 --retry").start();
    run.err.until("trying again");
    run.signal(rustix::process::Signal::INT);
    assert_eq!(run.end().code, 130, "Ctrl-C ends the waiting");
}

#[test]
fn hello_with_its_flags() {
    let server = Server::of([
        "hello",
        "--greeting",
        "Welcome!",
        "--delay",
        "300ms",
        "tcp://127.0.0.1:0",
    ]);
    let mut client = server.tcp();
    hear(&mut client, "Welcome!\n");
    client.write_all(b"george\n").unwrap();
    let start = std::time::Instant::now();
    hear(&mut client, "Hello, george!\n");
    assert!(start.elapsed().as_millis() >= 290);
    client.write_all(b"exit\n").unwrap();
    assert_eq!(drain(&mut client).1, Wire::Fin);
}

#[test]
fn reply_in_hex_that_closes() {
    let server = Server::of(["reply", "--hex", "fc 2a", "--close", "tcp://127.0.0.1:0"]);
    let mut client = server.tcp();
    client.write_all(b"x").unwrap();
    assert_eq!(drain(&mut client), (b"\xfc\x2a".to_vec(), Wire::Fin));
}

#[test]
fn once_serves_one() {
    let mut server = Server::start("echo --once tcp://127.0.0.1:0");
    assert_eq!(connect(&server.at).with("x").text(), "x");
    assert_eq!(server.run.end().code, 0);
}

#[test]
fn idle_timeout_ends_a_session() {
    let server = Server::start("echo -i 200ms tcp://127.0.0.1:0");
    let mut client = server.tcp();
    assert_eq!(drain(&mut client), (Vec::new(), Wire::Fin));
    server.run.err.until("close #1");
}

#[test]
fn allow_and_deny() {
    for (flags, may) in [
        ("--allow 127.0.0.0/8", true),
        ("--allow 10.0.0.0/8", false),
        ("--deny 127.0.0.1", false),
        ("--allow 127.0.0.1 --deny 127.0.0.0/8", false),
        ("--deny 10.0.0.0/8,192.168.0.0/16", true),
    ] {
        let server = Server::start(&format!("reply ok {flags} tcp://127.0.0.1:0"));
        let mut client = server.tcp();
        // A server that turns us away may be gone already.
        let _ = client.write_all(b"x");
        let _ = client.shutdown(std::net::Shutdown::Write);
        assert_eq!(drain(&mut client).0 == b"ok", may, "{flags}");
    }
}

#[test]
fn one_number_for_both_protocols() {
    let server = Server::start("echo 127.0.0.1:0");
    let udp = server.run.err.rest_of("listening udp ");
    assert_eq!(udp, server.at);
    assert_eq!(
        connect(&format!("udp://{udp} --send hi --count 1"))
            .run()
            .text(),
        "hi"
    );
    assert_eq!(
        connect(&format!("{udp} --send hi --count 1")).run().text(),
        "hi\n"
    );
    server
        .run
        .err
        .until("reach it with: sockeye connect 127.0.0.1:");
}

#[test]
fn max_sessions_makes_others_wait() {
    let server = Server::start("echo --max-sessions 1 tcp://127.0.0.1:0");
    let mut first = server.tcp();
    first.write_all(b"1").unwrap();
    hear(&mut first, "1");
    let mut second = server.tcp();
    second.write_all(b"2").unwrap();
    drop(first);
    hear(&mut second, "2");
}

#[test]
fn a_summary_at_the_end() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    let ended = ask(&server, &["-v", "--send", "hi"]);
    let line = format!(
        "left tcp {}: in 3 bytes in 1 message, out 3 bytes in 1 message, ",
        server.at
    );
    assert!(ended.err.contains(&line), "{ended:?}");
}

#[test]
fn nonblocking_input_is_waited_for() {
    // Others who share a pipe or a terminal may have made it so; nobody may spin or give up on it.
    let listener = Listener::new();
    let (input, mut pipe) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&input, true).unwrap();
    let mut run = connect(&listener.at()).stdin(input).start();
    let mut peer = listener.accept();
    pipe.write_all(b"one ").unwrap();
    hear(&mut peer, "one ");
    pipe.write_all(b"two").unwrap();
    drop(pipe);
    assert_eq!(drain(&mut peer), (b"two".to_vec(), Wire::Fin));
    drop(peer);
    assert_eq!(run.end().code, 0);
}

#[test]
fn chosen_address_families() {
    let server = Server::start("echo -6 tcp://localhost:0");
    assert!(server.at.starts_with("[::1]:"), "{}", server.at);
    let refused = connect(&format!("-4 localhost {} --send x", server.port())).run();
    assert_eq!(refused.code, 1, "{refused:?}");
    let ended = connect(&format!(
        "-6 localhost {} --send x --count 1",
        server.port()
    ))
    .run();
    assert_eq!(ended.text(), "x\n", "{ended:?}");
}

#[test]
fn udp_that_is_a_single_host_and_port() {
    let server = Server::start("hello udp://127.0.0.1:0");
    let ended = connect(&format!(
        "-u 127.0.0.1 {} --send george --count 2",
        server.port()
    ))
    .run();
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (0, "hello!Hello, george!")
    );
}

#[test]
fn flags_for_another_service_are_told() {
    let server = Server::start("echo --eol lf --timestamps --close tcp://127.0.0.1:0");
    for (flag, service) in [
        ("--eol", "console"),
        ("--timestamps", "console"),
        ("--close", "reply"),
    ] {
        let note = format!("note: {flag} is for `{service}`; `echo` ignores it\n");
        assert!(server.run.err.text().contains(&note), "{note}");
    }
}

/// The connection below a session is none itself.
#[test]
fn sessions_are_numbered_as_they_open_whatever_they_run_over() {
    let server = Server::start("echo 127.0.0.1:0");
    let (at, anyone) = (&server.at, "--insecure");
    let ways = [
        format!("tcp://{at}"),
        format!("tls://{at} {anyone}"),
        format!("ws://{at}"),
        format!("wss://{at} {anyone}"),
        format!("https://{at} {anyone}"),
        format!("wss://{at} {anyone} --http2"),
        format!("udp://{at}"),
        format!("tcp://{at}"),
    ];
    for (n, way) in ways.iter().enumerate() {
        let ended = connect(&format!("{way} --send hi --count 1")).run();
        assert_eq!(ended.code, 0, "{way}: {ended:?}");
        let opened = server.run.err.rest_of(&format!("open  #{} ", n + 1));
        let protocol = way.split("://").next().unwrap();
        assert!(opened.starts_with(protocol), "{way}: {opened}");
    }
}
