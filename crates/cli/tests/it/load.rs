//! Servers under load and at their end: many clients, readers that stop reading, signals during traffic.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::stage::{LONG, Listener, Server, Wire, dial, drain, folder, hear, path, sockeye, words};

#[test]
fn two_thousand_clients_at_once() {
    let mut server = Server::start("upper tcp://127.0.0.1:0");
    let mut clients: Vec<TcpStream> = (0..2000).map(|_| server.tcp()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client
            .write_all(format!("client {i}\n").as_bytes())
            .unwrap();
    }
    for (i, client) in clients.iter_mut().enumerate() {
        hear(client, &format!("CLIENT {i}\n"));
    }
    server.run.signal(Signal::TERM);
    for client in &mut clients {
        assert_eq!(drain(client), (Vec::new(), Wire::Fin));
    }
    let ended = server.run.end();
    assert_eq!(ended.code, 143);
    assert!(
        ended.err.contains("close #2000 "),
        "the last lines are written too"
    );
}

#[test]
fn what_came_before_a_signal_is_answered() {
    let mut server = Server::start("echo tcp://127.0.0.1:0");
    let mut clients: Vec<TcpStream> = (0..8).map(|_| server.tcp()).collect();
    for client in &mut clients {
        client.write_all(b"warm").unwrap();
        hear(client, "warm");
    }
    let block = "0123456789abcdef".repeat(64);
    for client in &mut clients {
        for _ in 0..64 {
            client.write_all(block.as_bytes()).unwrap();
        }
    }
    // On this machine what `write` took has arrived at the other socket.
    server.run.signal(Signal::TERM);
    for client in &mut clients {
        let (answer, wire) = drain(client);
        assert_eq!((answer.len(), wire), (64 * 1024, Wire::Fin));
    }
    let ended = server.run.end();
    assert_eq!(ended.code, 143, "{ended:?}");
    assert!(ended.after < Duration::from_secs(4), "{:?}", ended.after);
}

#[test]
fn an_idle_server_ends_at_once() {
    let folder = folder();
    let place = path(&folder, "s");
    let line = format!("echo 127.0.0.1:0 unix:{0} unixgram:{0}.g", place.display());
    let mut server = Server::start(&line);
    let mut client = dial(&server.at);
    client.write_all(b"x").unwrap();
    hear(&mut client, "x");
    assert!(place.exists());
    server.run.signal(Signal::INT);
    let ended = server.run.end();
    assert_eq!(ended.code, 130);
    assert!(ended.after < Duration::from_secs(2), "{:?}", ended.after);
    assert_eq!(drain(&mut client), (Vec::new(), Wire::Fin));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start("hello --delay 60s tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"george\n").unwrap();
    hear(&mut client, "hello!\n");
    let start = Instant::now();
    server.run.signal(Signal::TERM);
    // The port closes with the first one.
    while TcpStream::connect(&server.at).is_ok() {}
    server.run.signal(Signal::TERM);
    assert_eq!(server.run.end().code, 143);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_a_server() {
    let (log, writer) = std::io::pipe().unwrap();
    let line = sockeye(words("serve echo -v tcp://127.0.0.1:0"));
    let mut run = line.stderr(writer).start();
    let mut log = BufReader::new(log);
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let at = first.trim().strip_prefix("listening tcp ").unwrap();
    let mut client = dial(at);
    let mut answer = [0; 64];
    for _ in 0..10_000 {
        client.write_all(&[b'x'; 64]).unwrap();
        client.read_exact(&mut answer).unwrap();
    }
    run.signal(Signal::TERM);
    let ended = run.end();
    assert_eq!(ended.code, 143);
    assert!(ended.after < Duration::from_secs(4), "{:?}", ended.after);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("> xxxx"), "{}", rest.len());
}

#[test]
fn the_log_has_a_thread_only_while_there_is_something_to_write() {
    let mut server = Server::start("echo tcp://127.0.0.1:0");
    server.run.until_threads(1);
    for number in 1..=3 {
        let client = server.tcp();
        server.run.err.until(&format!("open  #{number} "));
        drop(client);
        server.run.err.until(&format!("close #{number} "));
        server.run.until_threads(1);
    }
    server.run.signal(Signal::TERM);
    assert_eq!(server.run.end().code, 143);
}

#[test]
fn an_output_that_nobody_reads_holds_up_only_who_speaks() {
    let (mut output, writer) = std::io::pipe().unwrap();
    let line = sockeye(words("serve console tcp://127.0.0.1:0"));
    let mut server = Server::ready(line.stdout(writer));
    let mut loud = server.tcp();
    loud.set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // Until every buffer on the way is full.
    while loud.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    let _quiet = server.tcp();
    server.run.err.until("open  #2");
    let mut some = [0; 1024];
    output.read_exact(&mut some).unwrap();
    assert!(some.starts_with(b"#1: xxx"));
    server.run.signal(Signal::INT);
    server.run.signal(Signal::INT);
    let ended = server.run.end();
    assert_eq!(ended.code, 130, "{ended:?}");
}

#[test]
fn small_messages_to_an_output_that_pauses_keep_their_order() {
    let listener = Listener::new();
    let (mut output, writer) = std::io::pipe().unwrap();
    let line = format!("connect {} --frame line --no-stdin", listener.at());
    let mut run = sockeye(words(&line)).stdout(writer).start();
    let mut peer = listener.accept();
    // The first is written at once; a pipe holds 64 KiB, so most of the others cannot be.
    let lines: String = (0..300).map(|n| format!("{n:0999}\n")).collect();
    let (first, rest) = lines.split_at(1000);
    peer.write_all(first.as_bytes()).unwrap();
    let mut heard = vec![0; 1000];
    output.read_exact(&mut heard).unwrap();
    peer.write_all(rest.as_bytes()).unwrap();
    drop(peer);
    assert!(run.is_running(), "what does not fit is still to be written");
    output.read_to_end(&mut heard).unwrap();
    assert!(heard == lines.as_bytes());
    let ended = run.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.starts_with("connected tcp "), "{ended:?}");
}

#[test]
fn at_the_limit_of_open_files_datagrams_are_answered_from_where_they_went() {
    let mut server = Server::start("echo udp://0.0.0.0:0");
    server.run.allow_files(0);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    // Connected, it hears that address only.
    client
        .connect(format!("127.0.0.5:{}", server.port()))
        .unwrap();
    for text in [b"one", b"two"] {
        client.send(text).unwrap();
        let mut answer = [0; 9];
        let n = client.recv(&mut answer).expect("an answer from 127.0.0.5");
        assert_eq!(&answer[..n], text);
    }
    server.run.signal(Signal::TERM);
    let ended = server.run.end();
    assert_eq!(ended.err.matches("open  #").count(), 1, "{}", ended.err);
}
