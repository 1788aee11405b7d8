//! Several at once: `connect @george @james` and `serve console`, driven by pipes.

use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::{
    LONG, Listener, Run, Server, connect, dial, drain, folder, hear, program, python, sockeye,
    words,
};

/// Adds contacts in the home of `folder`.
#[track_caller]
fn contact(home: &Arc<TempDir>, name: &str, address: &str) {
    let ended = sockeye(["contacts", "add", name, address]).home(home).run();
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// Two peers of ours, and a `connect` to both.
struct Party {
    run: Run,
    george: std::net::TcpStream,
    james: std::net::TcpStream,
}

fn party(options: &str) -> Party {
    let home = folder();
    let (george, james) = (Listener::new(), Listener::new());
    contact(&home, "george", &format!("tcp://{}", george.at()));
    contact(&home, "james", &format!("tcp://{}", james.at()));
    let run = connect(&format!("@george @james {options}"))
        .home(&home)
        .start();
    let (george, james) = (george.accept(), james.accept());
    run.err
        .until(&format!("-> {}\n", james.local_addr().unwrap()));
    Party { run, george, james }
}

#[test]
fn lines_go_to_everyone_or_to_one() {
    let Party {
        mut run,
        mut george,
        mut james,
    } = party("");
    run.say("to both\n");
    hear(&mut george, "to both\n");
    hear(&mut james, "to both\n");
    run.say("/to james only you\n");
    hear(&mut james, "only you\n");
    run.say("/to george\n");
    run.err.until("talking to george");
    run.say("from now on\n");
    hear(&mut george, "from now on\n");
    run.say("/all\nagain\n");
    hear(&mut george, "again\n");
    hear(&mut james, "again\n");
    run.say("//slash\n");
    hear(&mut james, "/slash\n");
    hear(&mut george, "/slash\n");
    run.say("/quit\n");
    assert_eq!(run.end().code, 0);
    assert_eq!(drain(&mut george).0, b"");
}

#[test]
fn who_said_it_stands_before_each_line() {
    let Party {
        mut run,
        mut george,
        mut james,
    } = party("");
    george.write_all(b"one\ntwo\n").unwrap();
    run.out.until("george: one\ngeorge: two\n");
    james.write_all("三\n".as_bytes()).unwrap();
    run.out.until("james: 三\n");
    run.say("/quit\n");
    let ended = run.end();
    assert_eq!(ended.text(), "george: one\ngeorge: two\njames: 三\n");
}

#[test]
fn list_close_help_and_what_is_no_command() {
    let Party {
        mut run,
        mut george,
        mut james,
    } = party("");
    run.say("/list\n");
    let list = run.err.rest_of("* george  ");
    assert!(
        list.contains("tcp") && list.contains(&george.local_addr().unwrap().to_string()),
        "{list}"
    );
    run.err.rest_of("* james  ");
    run.say("/help\n");
    run.err.until("//TEXT");
    run.say("/nonsense\n");
    run.err.until("there is no command /nonsense; /help");
    run.say("/to nobody hello\n");
    run.err.until("nobody here is called `nobody`");
    run.say("/close\n");
    run.err.until("/close needs a name");
    run.say("/close george\n");
    assert_eq!(drain(&mut george).0, b"");
    run.say("still here\n");
    hear(&mut james, "still here\n");
    james.write_all(b"yes\n").unwrap();
    run.out.until("yes");
    drop(james);
    let ended = run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "james: yes\n"));
}

#[test]
fn the_end_of_input_half_closes_to_all() {
    let Party {
        mut run,
        mut george,
        mut james,
    } = party("");
    run.say("bye\n");
    run.hang_up();
    assert_eq!(drain(&mut george).0, b"bye\n");
    assert_eq!(drain(&mut james).0, b"bye\n");
    george.write_all(b"late\n").unwrap();
    run.out.until("george: late\n");
    drop((george, james));
    assert_eq!(run.end().code, 0);
}

#[test]
fn names_in_any_script() {
    let home = folder();
    let listener = Listener::new();
    contact(&home, "乔治", &listener.at());
    contact(&home, "@george", &listener.at());
    let listed = sockeye(["contacts"]).home(&home).run();
    assert_eq!(
        listed.text(),
        format!("@george\t{0}\n@乔治\t{0}\n", listener.at())
    );
    let mut run = connect("@乔治 @george").home(&home).start();
    let (mut one, mut two) = (listener.accept(), listener.accept());
    run.err.until("connected");
    run.say("/to 乔治 你好\n/to george hi\n");
    // Which connection came first is not said.
    let mut heard = [[0; 3]; 2];
    std::io::Read::read_exact(&mut one, &mut heard[0]).unwrap();
    std::io::Read::read_exact(&mut two, &mut heard[1]).unwrap();
    heard.sort();
    assert_eq!(heard[0], *b"hi\n");
    assert_eq!(heard[1], "你".as_bytes());
    let (chinese, greeting) = ("你好\n".as_bytes(), "你".as_bytes());
    assert!(chinese.starts_with(greeting));
    for peer in [&mut one, &mut two] {
        peer.write_all("在\n".as_bytes()).unwrap();
    }
    run.out.until("乔治: 在\n");
    run.out.until("george: 在\n");
    let removed = sockeye(["contacts", "remove", "乔治"]).home(&home).run();
    assert_eq!(removed.code, 0);
    let listed = sockeye(["contacts", "list"]).home(&home).run();
    assert_eq!(listed.text(), format!("@george\t{}\n", listener.at()));
    let unknown = sockeye(["contacts", "remove", "乔治"]).home(&home).run();
    assert_ne!(unknown.code, 0, "{unknown:?}");
}

#[test]
fn strangers_over_udp_are_heard_only_when_asked_for() {
    let (peer, stranger) = (udp(), udp());
    let at = peer.local_addr().unwrap();
    for asked in [false, true] {
        let flag = if asked { "--from-anyone" } else { "" };
        let mut run = connect(&format!("udp://{at} {flag}")).start();
        run.say("hi\n");
        let mut buffer = [0; 16];
        let (_, from) = peer.recv_from(&mut buffer).unwrap();
        stranger.send_to(b"psst", from).unwrap();
        peer.send_to(b"known", from).unwrap();
        run.out.until("known");
        let own = stranger.local_addr().unwrap();
        if asked {
            run.out.until(&format!("unexpected sender {own}: psst"));
        }
        run.hang_up();
        let text = run.end().text();
        assert_eq!(text.contains("psst"), asked, "{text}");
    }
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

#[test]
fn two_clients_at_a_served_console() {
    let mut server = Server::start("console tcp://127.0.0.1:0");
    let mut one = server.tcp();
    server.run.err.until("open  #1");
    let mut two = server.tcp();
    server.run.err.until("open  #2");
    one.write_all(b"I am one\n").unwrap();
    server.run.out.until("#1: I am one\n");
    two.write_all(b"I am two\n").unwrap();
    server.run.out.until("#2: I am two\n");
    server.run.say("welcome\n/to #2 you only\n/to 1 and you\n");
    hear(&mut one, "welcome\nand you\n");
    hear(&mut two, "welcome\nyou only\n");
    server.run.say("/close #1\n");
    assert_eq!(drain(&mut one).0, b"");
    drop(one);
    server.run.err.until("close #1");
    server.run.say("/list\n");
    server.run.err.until("* #2");
    server.run.say("/quit\n");
    let ended = server.run.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    drain(&mut two);
}

#[test]
fn a_served_console_ends_lines_as_told_and_says_when_they_came() {
    let mut server = Server::start("console --eol crlf --timestamps tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"hi\n").unwrap();
    let shown = server.run.out.until("\n");
    let (time, rest) = shown.split_once(' ').unwrap();
    let shape = time.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!((&*shape, rest), ("00:00:00.000", "#1: hi\n"));
    server.run.say("there\n");
    hear(&mut client, "there\r\n");
}

#[test]
fn a_served_console_without_clients_says_so() {
    let mut server = Server::start("console tcp://127.0.0.1:0");
    let mut client = server.tcp();
    client.write_all(b"bye\n").unwrap();
    server.run.say("hello\n");
    hear(&mut client, "hello\n");
    drop(client);
    server.run.err.until("close #1");
    server.run.say("anybody?\n");
    server.run.err.until("not sent: nobody is there");
    server.run.signal(Signal::INT);
    assert_eq!(server.run.end().code, 130);
}

#[test]
fn a_console_that_serves_once_is_nc_l() {
    let mut server = Server::start("console --once tcp://127.0.0.1:0");
    server.run.say("/etc is no command here\n");
    server.run.hang_up();
    let nc = program("nc", ["-N", "127.0.0.1", server.port()]).with("the question\n");
    assert_eq!(
        (nc.code, nc.text().as_str()),
        (0, "/etc is no command here\n")
    );
    let ended = server.run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "the question\n"));
}

#[test]
fn a_console_that_serves_once_passes_a_file_on() {
    let data = crate::stage::binary(1 << 20);
    let folder = folder();
    let file = crate::stage::path(&folder, "file");
    std::fs::write(&file, &data).unwrap();
    let line = sockeye(words("serve console --once tcp://127.0.0.1:0"));
    let mut server = Server::ready(line.stdin(std::fs::File::open(&file).unwrap()));
    let ended = python(["plain_client", "127.0.0.1", server.port()]).run();
    assert!(ended.out == data, "{} bytes", ended.out.len());
    assert_eq!(server.run.end().code, 0);
}

#[test]
fn a_console_that_serves_once_ends_when_its_client_does() {
    let mut server = Server::start("console --once tcp://127.0.0.1:0");
    let mut client = dial(&server.at);
    client.write_all(b"bye").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(drain(&mut client).0, b"");
    let ended = server.run.end();
    assert_eq!((ended.code, ended.text().as_str()), (0, "bye"));
}

#[test]
fn two_consoles_talk() {
    let mut server = Server::start("console tcp://127.0.0.1:0");
    let mut client = connect(&server.at).start();
    client.say("ping\n");
    server.run.out.until("#1: ping\n");
    server.run.say("pong\n");
    client.out.until("pong\n");
    server.run.say("and more\n");
    client.out.until("and more\n");
    // Who hangs up is let go: what is said to them from then on may come too late.
    client.hang_up();
    assert_eq!(client.end().code, 0);
}
