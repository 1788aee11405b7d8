//! `serve exec` and `exec:` addresses: programs as peers.

use std::io::Write;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::stage::{
    LONG, Line, Server, Wire, binary, connect, drain, hear, program, sockeye, words,
};

/// `serve exec` with these flags and this shell script.
fn serve(flags: &str, script: &str) -> Server {
    let flags = words(flags);
    let flags = ["exec", "tcp://127.0.0.1:0"].into_iter().chain(flags);
    Server::of(flags.chain(["--", "sh", "-c", script]))
}

fn nc(server: &Server) -> Line {
    program("nc", ["-N", "127.0.0.1", server.port()])
}

/// Waits until a process is gone, or a zombie that init has yet to reap.
#[track_caller]
fn gone(pid: &str) {
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        let raw = Pid::from_raw(pid.parse().unwrap()).unwrap();
        test_kill_process(raw).is_ok() && !matches!(state, None | Some('Z' | 'X'))
    };
    let start = std::time::Instant::now();
    while lives() {
        assert!(start.elapsed() < LONG, "{pid} lives on");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn a_program_for_each_client() {
    let data = binary(1 << 20);
    let server = Server::of(["exec", "tcp://127.0.0.1:0", "--", "cat"]);
    for client in [
        nc(&server),
        program("ncat", ["127.0.0.1", server.port()]),
        program("socat", ["-t10", "-", &format!("TCP:{}", server.at)]),
        connect(&server.at),
    ] {
        let ended = client.with(&data);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.out == data, "{}", ended.err);
    }
    let sort = Server::of(["exec", "tcp://127.0.0.1:0", "--", "sort", "-r"]);
    assert_eq!(nc(&sort).with("a\nc\nb\n").text(), "c\nb\na\n");
}

#[test]
fn words_reach_the_program_as_they_are() {
    let odd = ["a b", "$HOME", "*", "'", "", "-v", "--", "ü"];
    let line = ["exec", "tcp://127.0.0.1:0", "--", "printf", "<%s>"];
    let server = Server::of(line.into_iter().chain(odd));
    let expected: String = odd.iter().map(|word| format!("<{word}>")).collect();
    assert_eq!(nc(&server).run().text(), expected);
}

#[test]
fn a_program_that_speaks_first_is_heard_by_a_silent_client() {
    // On a port that also looks for TLS and HTTP, and on a plain one.
    for at in ["127.0.0.1:0", "tcp://127.0.0.1:0"] {
        let server = Server::of(["exec", at, "--", "echo", "hello"]);
        let mut client = server.tcp();
        assert_eq!(drain(&mut client), (b"hello\n".to_vec(), Wire::Fin));
    }
}

#[test]
fn how_it_ended_is_shown_with_what_it_complained_about() {
    let script = r#"cat; printf 'one\ntwo \033[2J\n' >&2; exit 3"#;
    let server = serve("", script);
    assert_eq!(nc(&server).with("said").text(), "said");
    let told = server.run.err.until("exited with code 3");
    let one = told.find("note: #1 stderr: one\n").expect("the first line");
    let two = told
        .find("note: #1 stderr: two \\e[2J\n")
        .expect("the second, without its escape");
    let close = told.find("close #1 ").expect("the end");
    assert!(one < two && two < close, "{told}");
    let json = "serve exec tcp://127.0.0.1:0 --json -- false";
    let run = sockeye(words(json)).start();
    let at = run.err.rest_of("\"address\":\"");
    let (at, _) = at.split_once('"').unwrap();
    drain(&mut crate::stage::dial(at));
    let close = run.err.rest_of("\"event\":\"close\"");
    assert!(
        close.contains("`false` exited with code 1") && close.contains("\"why\":\"error\""),
        "{close}"
    );
    let server = serve("", "kill -9 $$");
    nc(&server).run();
    server.run.err.until("was ended by signal 9");
}

#[test]
fn it_is_told_of_its_client_and_of_nothing_else() {
    let server = Server::ready(
        sockeye([
            "serve",
            "exec",
            "tcp://127.0.0.1:0",
            "--env",
            "PASSED",
            "--env",
            "SET=a=b",
            "--",
            "env",
        ])
        .env("PASSED", "on")
        .env("SECRET_TOKEN", "s3cret")
        .env("LC_TIME", "C"),
    );
    let mut client = server.tcp();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let port = client.local_addr().unwrap().port();
    let all = String::from_utf8(drain(&mut client).0).unwrap();
    for line in [
        "PASSED=on",
        "SET=a=b",
        "LC_TIME=C",
        "SOCKEYE_PROTO=tcp",
        "SOCKEYE_PEER_ADDR=127.0.0.1",
        &format!("SOCKEYE_PEER_PORT={port}"),
        "SOCKEYE_LOCAL_ADDR=127.0.0.1",
        &format!("SOCKEYE_LOCAL_PORT={}", server.port()),
    ] {
        assert!(all.lines().any(|found| found == line), "{line} in {all}");
    }
    assert!(all.lines().any(|line| line.starts_with("PATH=")), "{all}");
    assert!(
        !all.contains("SECRET_TOKEN") && !all.contains("XDG_"),
        "{all}"
    );
}

#[test]
fn what_a_client_says_stays_data() {
    let server = serve("", "read line; printf '%s' \"$line\"");
    let said = "$(touch x); `id` () { :;}; \u{1b}]0;title\u{7}";
    assert_eq!(nc(&server).with(format!("{said}\n")).text(), said);
}

#[test]
fn a_client_over_http_and_the_path_it_asked_for() {
    let server = Server::of([
        "exec",
        "127.0.0.1:0",
        "--",
        "sh",
        "-c",
        "printf '%s %s ' \"$SOCKEYE_PATH\" \"$SOCKEYE_QUERY\"; cat",
    ]);
    let url = format!("http://{}/a/path?x=1", server.at);
    let curl = program("curl", ["-sS", "--max-time", "10", "--data", "body", &url]).run();
    assert_eq!(curl.text(), "/a/path x=1 body", "{curl:?}");
}

#[test]
fn when_the_client_goes_the_whole_group_goes() {
    let server = serve("", "sleep 1000 & echo $!; wait");
    let mut client = server.tcp();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut client, &mut byte).unwrap();
        line.push(byte[0]);
    }
    let grandchild = String::from_utf8(line).unwrap().trim().to_owned();
    crate::stage::reset(client);
    gone(&grandchild);
}

#[test]
fn when_the_server_stops_nothing_is_left_behind() {
    for (signals, script) in [
        (1, "echo $$; cat"),
        (1, "trap '' TERM; echo $$; while :; do sleep 0.05; done"),
        (2, "trap '' TERM; echo $$; while :; do sleep 0.05; done"),
    ] {
        let mut server = serve("", script);
        let mut client = server.tcp();
        let mut pid = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut client), &mut pid).unwrap();
        for _ in 0..signals {
            server.run.signal(Signal::TERM);
        }
        let ended = server.run.end();
        assert_eq!(ended.code, 143, "{ended:?}");
        gone(pid.trim());
    }
}

#[test]
fn too_many_are_turned_away_and_told() {
    let server = serve("--max-children 1", "cat");
    let mut first = server.tcp();
    first.write_all(b"hello").unwrap();
    hear(&mut first, "hello");
    let mut second = server.tcp();
    assert_eq!(drain(&mut second), (Vec::new(), Wire::Reset));
    server
        .run
        .err
        .until("cannot start `sh -c cat`: as many children run as may");
    first.write_all(b"as before").unwrap();
    hear(&mut first, "as before");
}

#[test]
fn a_terminal_for_a_program() {
    let server = serve("--pty", "stty size; tty; read line; echo \"<$line>\"");
    let mut client = server.tcp();
    client.write_all(b"typed\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let text = String::from_utf8(drain(&mut client).0).unwrap();
    // What was typed is shown, somewhere in between.
    for line in ["24 80\r\n", "typed\r\n", "/dev/pts/"] {
        assert!(text.contains(line), "{line:?} in {text:?}");
    }
    assert!(text.ends_with("<typed>\r\n"), "{text:?}");
}

#[test]
fn it_is_not_for_everyone_unless_somebody_says_so() {
    for service in [
        &["exec", "*:0", "--", "cat"][..],
        &["relay", "127.0.0.1:1", "*:0"],
    ] {
        let ended = sockeye(std::iter::once(&"serve").chain(service)).run();
        assert_eq!(ended.code, 2, "{ended:?}");
        let complaint = ended.complaint();
        assert!(
            complaint.contains("anyone who can connect could"),
            "{complaint}"
        );
        assert!(complaint.contains("--allow CIDR, --token"), "{complaint}");
    }
    for address in ["0.0.0.0:0", "[::]:0", "tcp://*:0"] {
        let ended = sockeye(["serve", "exec", address, "--", "cat"]).run();
        assert_eq!(ended.code, 2, "{address}: {ended:?}");
    }
    for line in [
        "exec tcp://0.0.0.0:0 --allow 127.0.0.0/8 -- cat",
        "exec tcp://0.0.0.0:0 --token secret -- cat",
        "exec unix:@sockeye-test-exec -- cat",
        "relay 127.0.0.1:1 tcp://0.0.0.0:0 --allow 127.0.0.1",
    ] {
        Server::start(line);
    }
}

#[test]
fn a_dash_dash_is_for_exec_alone() {
    let server = Server::of(["reply", "--", "-5", "tcp://127.0.0.1:0"]);
    assert_eq!(nc(&server).with("?").text(), "-5");
    let ended = sockeye(["serve", "exec", "127.0.0.1:0"]).run();
    assert_eq!(ended.code, 2);
    assert!(
        ended.complaint().contains("exec needs a program"),
        "{ended:?}"
    );
}

#[test]
fn a_program_as_an_address() {
    let ended = connect("exec:cat").with("hello\n");
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (0, "hello\n"),
        "{ended:?}"
    );
    assert!(ended.err.contains("connected exec:cat\n"), "{ended:?}");
    let line = ["connect", "exec:sh -c 'cat; echo no >&2; exit 7'", "-v"];
    let ended = sockeye(line).with("said");
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (8, "said"),
        "{ended:?}"
    );
    assert!(ended.err.contains("note: sh stderr: no\n"), "{ended:?}");
    assert!(
        ended.complaint().ends_with("exited with code 7"),
        "{ended:?}"
    );
    let ended = sockeye(["relay", "-", "exec:sh -c 'exit 7'"]).run();
    assert_eq!(ended.code, 8, "{ended:?}");
    let ended = sockeye(["connect", "exec:cat 'open"]).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.complaint().contains("a quote is not closed"),
        "{ended:?}"
    );
}

#[test]
fn a_program_answers_a_server_through_a_relay() {
    let listener = crate::stage::Listener::new();
    let mut run = sockeye(["relay", &listener.at(), "exec:sort -r"]).start();
    let mut server = listener.accept();
    server.write_all(b"a\nc\nb\n").unwrap();
    server.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(drain(&mut server), (b"c\nb\na\n".to_vec(), Wire::Fin));
    assert_eq!(run.end().code, 0);
}

#[test]
fn a_program_for_each_datagram_peer() {
    let server = Server::of(["exec", "udp://127.0.0.1:0", "--", "cat"]);
    let ended = connect(&format!(
        "udp://{} --send one --send two --wait 5s --count 2",
        server.at
    ))
    .run();
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (0, "onetwo"),
        "{ended:?}"
    );
}
