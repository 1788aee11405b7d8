//! Peers that we did not write, in both roles: nc, ncat, socat, and Python's own servers and clients.

use crate::stage::{
    Ended, Line, Run, Server, binary, connect, folder, path, program, python, words,
};

const SIZE: usize = 1 << 20;

/// A megabyte through a client of somebody else and our echo, compared.
#[track_caller]
fn through(client: Line) {
    let data = binary(SIZE);
    let ended = client.with(&data);
    same(&ended, &data);
}

#[track_caller]
fn same(ended: &Ended, data: &[u8]) {
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out.len(), data.len(), "{}", ended.err);
    assert!(ended.out == data, "the bytes differ");
}

/// Somebody else's server on a port that was free a moment ago; tried again should it be taken meanwhile.
#[track_caller]
pub(crate) fn serving(make: impl Fn(u16) -> Line, ready: &str) -> (Run, u16) {
    for _ in 0..5 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut run = make(port).start();
        if listens(&mut run, ready) {
            return (run, port);
        }
    }
    panic!("no port could be had");
}

fn listens(run: &mut Run, ready: &str) -> bool {
    while run.is_running() {
        if run.err.text().contains(ready) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn nc_to_our_echo() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    through(program("nc", ["-N", "127.0.0.1", server.port()]));
}

#[test]
fn ncat_to_our_echo() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    through(program("ncat", ["127.0.0.1", server.port()]));
}

#[test]
fn socat_to_our_echo() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    through(program(
        "socat",
        ["-t10", "-", &format!("TCP:{}", server.at)],
    ));
}

#[test]
fn python_to_our_echo() {
    let server = Server::start("echo tcp://127.0.0.1:0");
    through(python(["plain_client", "127.0.0.1", server.port()]));
    through(python(["asyncio_client", "127.0.0.1", server.port()]));
}

#[test]
fn unix_clients_to_our_echo() {
    let folder = folder();
    let place = path(&folder, "s").display().to_string();
    let _server = Server::start(&format!("echo unix:{place} unix:@{place}"));
    through(program("nc", ["-N", "-U", &place]));
    through(program(
        "socat",
        ["-t10", "-", &format!("UNIX-CONNECT:{place}")],
    ));
    through(program(
        "socat",
        ["-t10", "-", &format!("ABSTRACT-CONNECT:{place}")],
    ));
    through(program("ncat", ["-U", &place]));
}

#[test]
fn datagram_clients_to_our_upper() {
    let server = Server::start("upper udp://127.0.0.1:0");
    let nc = program("nc", ["-u", "-W1", "127.0.0.1", server.port()]).with("hello");
    assert_eq!((nc.code, nc.text().as_str()), (0, "HELLO"));
    let socat = format!("UDP:{}", server.at);
    let socat = program("socat", ["-t0.5", "-", &socat]).with("hello");
    assert_eq!((socat.code, socat.text().as_str()), (0, "HELLO"));
    let ncat = words("-u -i1 127.0.0.1").into_iter().chain([server.port()]);
    let mut ncat = program("ncat", ncat).start();
    ncat.say("hello\n");
    ncat.out.until("HELLO\n");
    let python = python(["udp_client", "127.0.0.1", server.port(), "a", "", "ü"]).run();
    assert_eq!(python.text(), "A True\n True\nÜ True\n", "{python:?}");
}

#[test]
fn unix_datagram_clients_to_our_upper() {
    let folder = folder();
    let place = path(&folder, "g").display().to_string();
    let own = path(&folder, "own").display().to_string();
    let _server = Server::start(&format!("upper unixgram:{place}"));
    let socat = format!("UNIX-SENDTO:{place},bind={own}");
    let socat = program("socat", ["-t0.5", "-", &socat]).with("hello");
    assert_eq!((socat.code, socat.text().as_str()), (0, "HELLO"));
    let nc = program("nc", ["-u", "-U", "-W1", &place]).with("hello");
    assert_eq!((nc.code, nc.text().as_str()), (0, "HELLO"), "{nc:?}");
}

#[test]
fn a_listening_nc_as_our_peer() {
    let folder = folder();
    let data = binary(SIZE);
    let file = path(&folder, "file");
    std::fs::write(&file, &data).unwrap();
    let listen = |port: u16| {
        program("nc", ["-lvN", "127.0.0.1", &port.to_string()])
            .stdin(std::fs::File::open(&file).unwrap())
    };
    let (mut nc, port) = serving(listen, "Listening on");
    let ours = connect(&format!("127.0.0.1 {port}")).with(&data);
    same(&ours, &data);
    same(&nc.end(), &data);
}

#[test]
fn ncat_with_cat_as_our_peer() {
    let listen = |port: u16| {
        program(
            "ncat",
            ["-lkv", "127.0.0.1", &port.to_string(), "-e", "/bin/cat"],
        )
    };
    let (_ncat, port) = serving(listen, "Listening on");
    let data = binary(SIZE);
    let mut ours = connect(&format!("127.0.0.1:{port}")).start();
    // ncat's -e stands still when both directions are full, and drops what its child says after a half-close.
    for (i, part) in data.chunks(16 * 1024).enumerate() {
        ours.say(part);
        ours.out.at_least((i + 1) * 16 * 1024);
    }
    assert!(ours.out.bytes() == data);
}

#[test]
fn socat_as_our_peer() {
    let listen = |port: u16| {
        let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
        program("socat", ["-d", "-d", "-t10", &listen, "EXEC:cat"])
    };
    let (_socat, port) = serving(listen, "listening on");
    through(connect(&format!("127.0.0.1:{port}")));
    let folder = folder();
    let place = path(&folder, "s").display().to_string();
    for (listen, to) in [
        (format!("UNIX-LISTEN:{place},fork"), format!("unix:{place}")),
        (
            format!("ABSTRACT-LISTEN:{place},fork"),
            format!("unix:@{place}"),
        ),
    ] {
        let socat = program("socat", ["-d", "-d", "-t10", &listen, "EXEC:cat"]).start();
        socat.err.until("listening on");
        through(connect(&to));
    }
}

#[test]
fn socat_datagrams_as_our_peer() {
    let listen = |port: u16| {
        let listen = format!("UDP-RECVFROM:{port},bind=127.0.0.1,fork");
        program("socat", ["-d", "-d", "-d", &listen, "EXEC:tr a-z A-Z"])
    };
    let (_socat, port) = serving(listen, "fork");
    let ended = connect(&format!("udp://127.0.0.1:{port} --send hello")).run();
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (0, "HELLO"),
        "{ended:?}"
    );
}

#[test]
fn python_servers_as_our_peers() {
    let server = Server::ready(python(["asyncio_echo"]));
    through(connect(&server.at));
    let folder = folder();
    let place = path(&folder, "s").display().to_string();
    let _server = Server::ready(python(["unix_echo", &place]));
    through(connect(&format!("unix:{place}")));
}

#[test]
fn a_greeting_server_in_python() {
    let server = Server::ready(python(["greeting"]));
    let ended = connect(&server.at).with("george\njames\n");
    assert_eq!(ended.text(), "who are you?\nhello, george\nhello, james\n");
    let ended = connect(&format!(
        "{} --send george --send james --wait 5s --count 3 --frame line",
        server.at
    ))
    .run();
    assert_eq!(ended.text(), "who are you?\nhello, george\nhello, james\n");
    assert_eq!(ended.code, 0);
}

#[test]
fn datagram_servers_in_python() {
    let server = Server::ready(python(["udp_upper"]));
    let ended = connect(&format!(
        "-u {} --timestamps --wait 2s --count 2",
        server.at
    ))
    .with("one\ntwo\n");
    let lines: Vec<_> = ended
        .text()
        .lines()
        .map(|line| line[13..].to_owned())
        .collect();
    assert_eq!(
        (ended.code, lines),
        (0, vec!["ONE".to_owned(), "TWO".to_owned()])
    );
    let folder = folder();
    let place = path(&folder, "g").display().to_string();
    let _server = Server::ready(python(["unixgram_upper", &place]));
    let ended = connect(&format!("unixgram:{place} --send one --count 1 --wait 5s")).run();
    assert_eq!((ended.code, ended.text().as_str()), (0, "ONE"));
}

#[test]
fn our_sink_takes_a_file_from_nc() {
    let folder = folder();
    let file = path(&folder, "saved");
    let mut server = Server::of([
        "sink",
        "--once",
        "--out",
        file.to_str().unwrap(),
        "tcp://127.0.0.1:0",
    ]);
    let data = binary(SIZE);
    let nc = program("nc", ["-N", "127.0.0.1", server.port()]).with(&data);
    assert_eq!(nc.code, 0);
    assert_eq!(server.run.end().code, 0);
    assert!(std::fs::read(file).unwrap() == data);
}
