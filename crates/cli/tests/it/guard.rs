//! Who may come: tokens, and how many sessions an address may have.

use std::io::Write;
use std::net::UdpSocket;

use crate::stage::{LONG, Server, Wire, connect, drain, folder, hear, path, sockeye, words};

const WRONG: &str = "the token is missing or wrong: say it in the first line\n";

#[test]
fn the_first_line_of_a_byte_stream_is_the_token() {
    let server = Server::start("echo 127.0.0.1:0 --token sesame");
    let mut right = server.tcp();
    // In two pieces, and with the first message in the same segment as its end.
    right.write_all(b"ses").unwrap();
    right.write_all(b"ame\r\nhello").unwrap();
    hear(&mut right, "hello");
    for said in ["sesam\n", "sesame!\n", "hello\n", "\n"] {
        let mut wrong = server.tcp();
        wrong.write_all(said.as_bytes()).unwrap();
        assert_eq!(drain(&mut wrong), (WRONG.into(), Wire::Fin), "{said:?}");
    }
    let mut endless = server.tcp();
    endless.write_all(&[b'x'; 2000]).unwrap();
    let (told, _) = drain(&mut endless);
    assert_eq!(told, WRONG.as_bytes());
    server.run.err.until("it did not say the token first");
}

#[test]
fn nobody_is_greeted_before_they_have_said_the_token() {
    let server = Server::start("hello tcp://127.0.0.1:0 --token sesame");
    let mut client = server.tcp();
    client.write_all(b"sesame\n").unwrap();
    hear(&mut client, "hello!\n");
}

#[test]
fn the_first_datagram_is_the_token() {
    let server = Server::start("echo udp://127.0.0.1:0 --token sesame");
    let [stranger, friend] = [(); 2].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.connect(&server.at).unwrap();
        socket
    });
    stranger.send(b"hello").unwrap();
    friend.send(b"sesame").unwrap();
    friend.send(b"hello").unwrap();
    let mut answer = [0; 16];
    let n = friend.recv(&mut answer).unwrap();
    assert_eq!(
        &answer[..n],
        b"hello",
        "the token itself is no message, and is not echoed"
    );
    // The stranger's datagram came first, so an answer to it would be here by now.
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut answer).is_err());
}

#[test]
fn connect_says_the_token_on_every_carrier() {
    let folder = folder();
    let secret = path(&folder, "secret");
    std::fs::write(&secret, "sesame\n").unwrap();
    let secret = secret.to_str().unwrap();
    let unix = format!("unix:{}", path(&folder, "socket").display());
    for address in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", &unix] {
        let server = Server::of([
            "echo",
            address,
            "--frame",
            "length:u8",
            "--token-file",
            secret,
        ]);
        let at = match address.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{}", server.at),
            None => address.to_owned(),
        };
        let line = format!("{at} --frame length:u8 --send hi --count 1");
        let ended = connect(&format!("{line} --token sesame")).run();
        assert_eq!(
            (ended.code, ended.text().trim_end()),
            (0, "hi"),
            "{ended:?}"
        );
        let ended = connect(&line).with("");
        assert_ne!(ended.text().trim_end(), "hi", "{ended:?}");
    }
}

#[test]
fn a_token_that_nobody_could_say_is_refused() {
    for (line, says) in [
        ("serve --token=", "must not be empty"),
        ("serve --token-file /nonexistent", "/nonexistent"),
        ("serve --rate-per-address 0/s", "10/s"),
    ] {
        let ended = sockeye(words(line)).run();
        assert!(ended.err.contains(says), "{ended:?}");
        assert_ne!(ended.code, 0, "{ended:?}");
    }
}

#[test]
fn an_address_has_so_many_sessions_and_others_are_not_affected() {
    let server = Server::start("echo tcp://127.0.0.1:0 --max-per-address 2");
    let mut clients = [server.tcp(), server.tcp()];
    for client in &mut clients {
        client.write_all(b"a").unwrap();
        hear(client, "a");
    }
    let mut third = server.tcp();
    assert_eq!(drain(&mut third).0, b"");
    server
        .run
        .err
        .until("its address has 2 sessions open already");
    let [first, mut second] = clients;
    drop(first);
    server.run.err.until("close #1 ");
    let mut fourth = server.tcp();
    fourth.write_all(b"b").unwrap();
    hear(&mut fourth, "b");
    second.write_all(b"c").unwrap();
    hear(&mut second, "c");
}

#[test]
fn an_address_opens_so_many_in_so_much_time() {
    let server = Server::start("echo tcp://127.0.0.1:0 --rate-per-address 2/h");
    for _ in 0..2 {
        let mut client = server.tcp();
        client.write_all(b"a").unwrap();
        hear(&mut client, "a");
    }
    assert_eq!(drain(&mut server.tcp()).0, b"");
    server
        .run
        .err
        .until("its address opens more than 2 sessions in");
}
