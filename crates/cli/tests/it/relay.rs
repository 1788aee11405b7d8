//! `relay` and `serve relay`, between peers that we did not write.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::stage::{
    Ended, LONG, Listener, Server, Wire, binary, connect, dial, drain, folder, hear, now, path,
    program, python, reset, sockeye, words,
};

const SIZE: usize = 1 << 20;

/// `sockeye relay` with these words.
fn relay(line: &str) -> crate::stage::Line {
    sockeye(std::iter::once("relay").chain(words(line)))
}

/// `serve relay` to this address.
fn relay_to(target: &str, flags: &str) -> Server {
    Server::start(&format!("relay {target} tcp://127.0.0.1:0 {flags}"))
}

#[track_caller]
fn same(ended: &Ended, data: &[u8]) {
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out.len(), data.len(), "{}", ended.err);
    assert!(ended.out == data, "the bytes differ");
}

/// A program that echoes with TCP, of several makes, and clients of several makes, with a relay between.
#[test]
fn a_megabyte_through_a_relay_between_other_programs() {
    let data = binary(SIZE);
    let python_echo = Server::ready(python(["asyncio_echo"]));
    let own = Server::start("echo tcp://127.0.0.1:0");
    for target in [&python_echo.at, &own.at] {
        let server = relay_to(target, "");
        let (at, port) = (&server.at, server.port());
        same(&program("nc", ["-N", "127.0.0.1", port]).with(&data), &data);
        same(&program("ncat", ["127.0.0.1", port]).with(&data), &data);
        let socat = program("socat", ["-t10", "-", &format!("TCP:{at}")]);
        same(&socat.with(&data), &data);
        same(
            &python(["asyncio_client", "127.0.0.1", port]).with(&data),
            &data,
        );
        same(&connect(at).with(&data), &data);
        // The same without anybody listening in between.
        same(&relay(&format!("- {target}")).with(&data), &data);
    }
}

#[test]
fn through_a_chain_of_carriers() {
    let folder = folder();
    let place = path(&folder, "s").display().to_string();
    let data = binary(SIZE);
    let echo = Server::start("echo tcp://127.0.0.1:0");
    let _middle = Server::start(&format!("relay tcp://{} unix:{place}", echo.at));
    let server = relay_to(&format!("unix:{place}"), "");
    same(
        &program("nc", ["-N", "127.0.0.1", server.port()]).with(&data),
        &data,
    );
    same(&program("nc", ["-N", "-U", &place]).with(&data), &data);
    same(&relay(&format!("- unix:{place}")).with(&data), &data);
}

#[test]
fn the_end_of_either_side_is_passed_on_and_the_other_goes_on() {
    let listener = Listener::new();
    let server = relay_to(&listener.at(), "");
    for client_first in [true, false] {
        let mut client = server.tcp();
        let mut target = listener.accept();
        let (asks, answers) = match client_first {
            true => (&mut client, &mut target),
            false => (&mut target, &mut client),
        };
        asks.write_all(b"question").unwrap();
        asks.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(drain(answers), (b"question".to_vec(), Wire::Fin));
        answers.write_all(b"a long answer").unwrap();
        hear(asks, "a long answer");
        assert_eq!(now(asks), Wire::Open);
        answers.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(drain(asks), (Vec::new(), Wire::Fin));
        let closed = server.run.err.rest_of("close #");
        assert!(closed.contains("the peer closed; in "), "{closed}");
    }
}

#[test]
fn a_reset_is_passed_on_and_told() {
    let listener = Listener::new();
    let server = relay_to(&listener.at(), "");
    let mut client = server.tcp();
    let mut target = listener.accept();
    target.write_all(b"half of").unwrap();
    hear(&mut client, "half of");
    reset(target);
    assert_eq!(drain(&mut client).1, Wire::Reset);
    server.run.err.until(": reset by the peer; ");
    let client = server.tcp();
    let mut target = listener.accept();
    reset(client);
    assert_eq!(drain(&mut target).1, Wire::Reset);
}

#[test]
fn half_open_is_given_up_after_the_time_that_was_asked_for() {
    let listener = Listener::new();
    let server = relay_to(&listener.at(), "--half-open 200ms");
    let client = server.tcp();
    let mut target = listener.accept();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut byte = [0; 1];
    assert_eq!(target.read(&mut byte).unwrap(), 0);
    // The target says nothing, so nobody knows whether there was more to come.
    let mut client = client;
    assert_eq!(drain(&mut client).1, Wire::Reset);
    let closed = server.run.err.rest_of("close #1 ");
    let told = format!(
        "cannot receive from {}: no answer within 200ms",
        listener.at()
    );
    assert!(closed.contains(&told), "{closed}");

    let mut run = relay(&format!("- {} --half-open 200ms", listener.at())).start();
    let mut target = listener.accept();
    run.hang_up();
    assert_eq!(drain(&mut target).0, b"");
    let ended = run.end();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.complaint().contains("no answer within 200ms"),
        "{ended:?}"
    );
}

#[test]
fn targets_take_turns_and_those_that_refuse_are_passed_over() {
    let [a, b] = ["a", "b"].map(|text| Server::of(["reply", text, "--close", "tcp://127.0.0.1:0"]));
    let gone = Listener::new().at();
    let ask = |server: &Server| {
        let ended = program("nc", ["-N", "127.0.0.1", server.port()]).with("?");
        ended.text()
    };
    let server = relay_to(&a.at, &format!("--target {} --target {}", gone, b.at));
    let answers: String = (0..6).map(|_| ask(&server)).collect();
    assert_eq!(answers, "abbabb");
    let told = server.run.err.text();
    assert!(
        told.contains(&format!(" passed over: cannot connect to {gone}: ")),
        "{told}"
    );
    assert!(
        told.contains(&format!("note: #1 goes to {}", a.at)),
        "{told}"
    );
    let server = relay_to(&gone, &format!("--target {} --balance first", b.at));
    assert_eq!(
        (ask(&server), ask(&server)),
        ("b".to_owned(), "b".to_owned())
    );
}

#[test]
fn without_a_target_the_client_is_cut_off_and_the_reason_told() {
    let gone = Listener::new().at();
    let server = relay_to(&gone, "");
    let mut client = server.tcp();
    assert_eq!(drain(&mut client), (Vec::new(), Wire::Reset));
    let closed = server.run.err.rest_of("close #1 ");
    assert!(
        closed.contains(&format!("cannot connect to {gone}: connection refused")),
        "{closed}"
    );
}

#[test]
fn a_relay_passes_on_whatever_is_spoken() {
    let web = Server::ready(python(["http_server"]));
    // No scheme: for a relay that is TCP as it comes, and UDP is not taken either.
    let server = Server::of(["relay", &web.at, "127.0.0.1:0"]);
    let url = format!("http://{}/a%20path", server.at);
    let curl = program("curl", ["-sS", "--max-time", "10", &url, &url]).run();
    assert_eq!(
        curl.text(),
        "you asked for /a%20path\n".repeat(2),
        "{curl:?}"
    );
    let told = server.run.err.text();
    assert_eq!(told.matches("listening ").count(), 1, "{told}");
    assert_eq!(
        told.matches("open  #").count(),
        1,
        "one connection, whatever is in it: {told}"
    );
}

#[test]
fn datagrams_through_a_relay() {
    let target = Server::ready(python(["udp_upper"]));
    let line = format!("relay udp://{} udp://127.0.0.1:0", target.at);
    let server = Server::start(&line);
    let python = python(["udp_client", "127.0.0.1", server.port(), "a", "", "b"]).run();
    assert_eq!(python.text(), "A True\n True\nB True\n", "{python:?}");
    let socat = program("socat", ["-t0.5", "-", &format!("UDP:{}", server.at)]).with("hello");
    assert_eq!((socat.code, socat.text().as_str()), (0, "HELLO"));
    // Lines of a pipe as datagrams; the end comes a second after the last answer.
    let ended = relay(&format!("- udp://{} --frame line", target.at)).with("one\ntwo\n");
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (0, "ONE\nTWO\n"),
        "{ended:?}"
    );
}

#[test]
fn a_tcp_client_with_lines_and_a_datagram_server() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let at = socket.local_addr().unwrap();
    let server = relay_to(&format!("udp://{at}"), "--frame line");
    let mut client = server.tcp();
    client.write_all(b"one\ntwo\n").unwrap();
    let mut buffer = [0; 100];
    for expected in ["one", "two"] {
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], expected.as_bytes());
        socket.send_to(b"answer", from).unwrap();
    }
    hear(&mut client, "answer\nanswer\n");
}

#[test]
fn two_who_listen_are_joined() {
    let (one, two) = (Listener::new(), Listener::new());
    let mut run = relay(&format!("{} {} -v", one.at(), two.at())).start();
    let (mut first, mut second) = (one.accept(), two.accept());
    first.write_all(b"hello").unwrap();
    hear(&mut second, "hello");
    second.write_all(b"hi").unwrap();
    hear(&mut first, "hi");
    drop((first, second));
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, ""));
    let lines: Vec<_> = ended.err.lines().collect();
    let [first, second, first_left, second_left] = lines[..] else {
        panic!("{ended:?}");
    };
    assert!(
        first.starts_with("connected tcp ") && first.ends_with(&one.at()),
        "{first}"
    );
    assert!(second.ends_with(&two.at()), "{second}");
    let heard = "in 5 bytes in 1 message, out 2 bytes in 1 message";
    assert!(
        first_left.starts_with(&format!("left tcp {}: {heard}, ", one.at())),
        "{first_left}"
    );
    let heard = "in 2 bytes in 1 message, out 5 bytes in 1 message";
    assert!(
        second_left.starts_with(&format!("left tcp {}: {heard}, ", two.at())),
        "{second_left}"
    );
}

#[test]
fn how_a_relay_fails() {
    let gone = Listener::new().at();
    let listener = Listener::new();
    let there = listener.at();
    for (line, code, complaint) in [
        (
            format!("- {gone}"),
            1,
            format!("cannot connect to {gone}: connection refused"),
        ),
        (
            format!("{there} {gone}"),
            1,
            format!("cannot connect to {gone}: connection refused"),
        ),
        (
            "- -".to_owned(),
            2,
            "standard input and output are one end".to_owned(),
        ),
        (
            format!("- {there} --half-open x"),
            2,
            "--half-open".to_owned(),
        ),
        (
            format!("- {there} --send-proxy v3"),
            2,
            "write v1 or v2".to_owned(),
        ),
        (
            format!("- {there} --proxy ftp://x:1"),
            2,
            "a proxy is socks5://".to_owned(),
        ),
        (
            format!("- {there} --env NONESUCH_VARIABLE"),
            2,
            "there is no such variable".to_owned(),
        ),
        (
            "- exec:nonesuch-program".to_owned(),
            8,
            "cannot start `nonesuch-program`".to_owned(),
        ),
        (
            "- unix:/nonesuch/socket".to_owned(),
            1,
            "no such file or directory".to_owned(),
        ),
    ] {
        let ended = relay(&line).run();
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        assert!(ended.err.contains(&complaint), "{line}: {ended:?}");
    }
    let ended = sockeye(["serve", "relay"]).run();
    assert_eq!(ended.code, 2);
    assert!(
        ended.complaint().contains("relay needs a target"),
        "{ended:?}"
    );
    let ended = sockeye(["serve", "relay", "-"]).run();
    assert_eq!(ended.code, 2);
    assert!(
        ended.complaint().contains("sockeye relay - ADDR"),
        "{ended:?}"
    );
}

#[test]
fn a_peer_that_resets_is_exit_code_6() {
    let listener = Listener::new();
    let mut run = relay(&format!("- {}", listener.at())).start();
    let mut target = listener.accept();
    run.say("hello");
    hear(&mut target, "hello");
    reset(target);
    let ended = run.end();
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(
        ended.complaint().contains("connection reset by peer"),
        "{ended:?}"
    );
}

#[test]
fn signals_end_a_relay() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let listener = Listener::new();
        let mut run = relay(&format!("- {} -v", listener.at())).start();
        let mut target = listener.accept();
        run.say("hello");
        hear(&mut target, "hello");
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(
            ended
                .err
                .contains(": in 0 bytes in 0 messages, out 5 bytes"),
            "{ended:?}"
        );
        assert_eq!(drain(&mut target).1, Wire::Fin);
    }
}

#[test]
fn nobody_reads_the_output_any_more() {
    let listener = Listener::new();
    let (reader, output) = std::io::pipe().unwrap();
    let mut run = relay(&format!("- {}", listener.at()))
        .stdout(output)
        .start();
    let mut target = listener.accept();
    drop(reader);
    // Standard input stays open, and the target does not finish.
    target.write_all(b"unseen").unwrap();
    assert_eq!(run.end().code, 0);
}

#[test]
fn the_reader_of_the_output_hears_the_end_while_input_goes_on() {
    let listener = Listener::new();
    let mut run = relay(&format!("- {}", listener.at())).start();
    let mut target = listener.accept();
    target.write_all(b"all of it").unwrap();
    target.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(run.out.whole(), b"all of it");
    run.say("still here");
    hear(&mut target, "still here");
    assert_eq!(run.hang_up_and_end().code, 0);
}

#[test]
fn a_stop_lets_the_last_answer_through() {
    let listener = Listener::new();
    let mut server = relay_to(&listener.at(), "");
    let mut client = server.tcp();
    let mut target = listener.accept();
    client.write_all(b"question").unwrap();
    hear(&mut target, "question");
    server.run.signal(Signal::TERM);
    assert_eq!(drain(&mut target), (Vec::new(), Wire::Fin));
    target.write_all(b"answer").unwrap();
    drop(target);
    assert_eq!(drain(&mut client), (b"answer".to_vec(), Wire::Fin));
    assert_eq!(server.run.end().code, 143);
}

#[test]
fn a_stop_is_not_held_up_by_a_relay_that_rests() {
    let listener = Listener::new();
    let mut server = relay_to(&listener.at(), "");
    let _client = server.tcp();
    let _target = listener.accept();
    server.run.err.until("open  #1");
    server.run.signal(Signal::TERM);
    let ended = server.run.end();
    assert_eq!(ended.code, 143);
    assert!(ended.after.as_secs() < 4, "{:?}", ended.after);
}

#[test]
fn a_server_behind_a_proxy_knows_its_clients() {
    let server = Server::start("echo tcp://127.0.0.1:0 --accept-proxy");
    for (n, version) in ["v1", "v2"].iter().enumerate() {
        let client = python(["introduced", "127.0.0.1", server.port(), version]).run();
        assert_eq!(client.text(), "hello", "{client:?}");
        let open = server.run.err.rest_of(&format!("open  #{} ", n + 1));
        assert_eq!(open, "tcp 192.0.2.7:56324 -> 198.51.100.1:443");
    }
    let nc = program("nc", ["-N", "127.0.0.1", server.port()]).with("hello");
    assert_eq!(nc.text(), "");
    server.run.err.until("does not begin with a PROXY header");
}

#[test]
fn curl_introduces_itself_and_a_relay_passes_it_on() {
    let web = Server::start("reply hello 127.0.0.1:0 --accept-proxy");
    let web_at = format!("http://{}/", web.at);
    let ask = |url: &str| {
        let form = "%{local_port} %{http_code}";
        let flags = [
            "-sS",
            "--max-time",
            "10",
            "--haproxy-protocol",
            "-o",
            "/dev/null",
            "-w",
            form,
            url,
        ];
        let ended = program("curl", flags).run();
        let text = ended.text();
        let (port, code) = text.split_once(' ').unwrap_or_else(|| panic!("{ended:?}"));
        assert_eq!(code, "200", "{ended:?}");
        port.to_owned()
    };
    let port = ask(&web_at);
    web.run
        .err
        .until(&format!("answer http GET / 127.0.0.1:{port}"));
    // Through a relay that takes the header and makes one of its own.
    for version in ["v1", "v2"] {
        let middle = relay_to(&web.at, &format!("--accept-proxy --send-proxy {version}"));
        let port = ask(&format!("http://{}/", middle.at));
        middle.run.err.until(&format!(" tcp 127.0.0.1:{port} -> "));
        web.run
            .err
            .until(&format!("answer http GET / 127.0.0.1:{port}"));
    }
}

#[test]
fn headers_are_taken_only_from_proxies() {
    let server = Server::start("echo tcp://127.0.0.1:0 --accept-proxy=192.0.2.1");
    let client = python(["introduced", "127.0.0.1", server.port(), "v1"]).run();
    assert_eq!(client.text(), "");
    server
        .run
        .err
        .until("PROXY headers are not taken from there");
    let server = Server::start("echo tcp://127.0.0.1:0 --accept-proxy --allow 192.0.2.0/24");
    let client = python(["introduced", "127.0.0.1", server.port(), "v2"]).run();
    assert_eq!(client.text(), "hello", "{client:?}");
}

#[test]
fn a_target_is_told_who_the_client_is() {
    let target = Server::ready(python(["first_line"]));
    let server = relay_to(&target.at, "--send-proxy v1");
    let mut client = dial(&server.at);
    client.write_all(b"rest").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let port = client.local_addr().unwrap().port();
    let expected = format!(
        "<PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}>rest",
        server.port()
    );
    assert_eq!(String::from_utf8(drain(&mut client).0).unwrap(), expected);
    // Who comes from no network is not made one up.
    let folder = folder();
    let place = path(&folder, "s");
    let _server = Server::start(&format!(
        "relay {} unix:{} --send-proxy v1",
        target.at,
        place.display()
    ));
    let mut client = UnixStream::connect(&place).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(drain(&mut client).0, b"<PROXY UNKNOWN>");
    let ended = relay(&format!("- {} --send-proxy v1", target.at)).with("rest");
    assert_eq!(ended.text(), "<PROXY UNKNOWN>rest");
}

#[test]
fn through_a_socks_proxy() {
    let echo = Server::start("echo tcp://127.0.0.1:0");
    let data = binary(SIZE);
    let proxy = Server::ready(python(["socks5"]));
    let line = format!("{} --proxy socks5://{}", echo.at, proxy.at);
    same(&connect(&line).with(&data), &data);
    same(&relay(&format!("- {line}")).with(&data), &data);
    let server = relay_to(&echo.at, &format!("--proxy socks5h://{}", proxy.at));
    same(
        &program("nc", ["-N", "127.0.0.1", server.port()]).with(&data),
        &data,
    );
    // A name that only the proxy knows.
    let line = format!("echo.test:{} --proxy socks5://{}", echo.port(), proxy.at);
    let ended = connect(&line).with("hello");
    assert_eq!(ended.text(), "hello", "{ended:?}");
    proxy
        .run
        .err
        .until(&format!("asked for echo.test {}", echo.port()));
    assert!(
        ended.err.contains(&format!("-> echo.test:{}", echo.port())),
        "{ended:?}"
    );
}

#[test]
fn what_a_socks_proxy_does_not_do_is_told() {
    let gone = Listener::new().at();
    let proxy = Server::ready(python(["socks5", "me", "secret"]));
    let echo = Server::start("echo tcp://127.0.0.1:0");
    for (user, to, code, complaint) in [
        (
            "",
            &echo.at,
            1,
            "it wants a user and a password (write --proxy socks5://USER:",
        ),
        (
            "me:wrong@",
            &echo.at,
            1,
            "it did not accept the user and the password",
        ),
        ("me:secret@", &gone, 1, "it says: connection refused"),
    ] {
        let ended = connect(&format!("{to} --proxy socks5://{user}{}", proxy.at)).run();
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.complaint().contains(complaint), "{ended:?}");
        assert!(
            !ended.err.contains("secret") && !ended.err.contains("wrong"),
            "{ended:?}"
        );
    }
    let ended = connect(&format!(
        "{} --proxy socks5://me:secret@{}",
        echo.at, proxy.at
    ))
    .with("hi");
    assert_eq!(ended.text(), "hi", "{ended:?}");
    let ended = connect(&format!("{} --proxy socks5://{}", echo.at, echo.at)).run();
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(
        ended.complaint().contains("it does not speak SOCKS5"),
        "{ended:?}"
    );
    let ended = connect(&format!("udp://127.0.0.1:9 --proxy socks5://{}", proxy.at)).run();
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.complaint().contains("takes TCP only"), "{ended:?}");
}

#[test]
fn through_ncat_as_an_http_proxy() {
    let echo = Server::start("echo tcp://127.0.0.1:0");
    let data = binary(SIZE);
    for (flags, user) in [("", ""), ("--proxy-auth me:secret", "me:secret@")] {
        let listen = |port: u16| {
            let line = format!("-l 127.0.0.1 {port} -v --proxy-type http {flags}");
            program("ncat", words(&line))
        };
        let (_ncat, port) = crate::interop::serving(listen, "Listening on");
        let proxy = format!("http://{user}127.0.0.1:{port}");
        // This proxy ends both directions with the first: it must not be ours that ends early.
        let mut run = relay(&format!("- {} --proxy {proxy}", echo.at)).start();
        run.say(&data);
        run.out.at_least(data.len());
        same(&run.hang_up_and_end(), &data);
        let gone = Listener::new().at();
        let ended = connect(&format!("{gone} --proxy {proxy}")).run();
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.complaint().contains("it says: 504"), "{ended:?}");
        if !user.is_empty() {
            let ended = connect(&format!("{} --proxy http://127.0.0.1:{port}", echo.at)).run();
            assert!(
                ended.complaint().contains("it wants a user and a password"),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn a_proxy_can_stand_in_the_environment() {
    let echo = Server::start("echo tcp://127.0.0.1:0");
    let proxy = Server::ready(python(["socks5"]));
    let line = connect(&echo.at).env("SOCKEYE_PROXY", format!("socks5://{}", proxy.at));
    assert_eq!(line.with("hello").text(), "hello");
    proxy
        .run
        .err
        .until(&format!("asked for 127.0.0.1 {}", echo.port()));
}
