//! `sockeye chat` without a terminal: what a script has of it, over every scheme, and across a server's end.

use rustix::process::Signal;

use crate::stage::{Ended, Line, Listener, Run, Server, folder, objects, path, sockeye, words};

/// `sockeye chat` with these words.
fn chat(line: &str) -> Line {
    sockeye(std::iter::once("chat").chain(words(line)))
}

/// A chat that forgets.
fn server() -> Server {
    Server::start("chat 127.0.0.1:0 --history none --line-rate 1000")
}

/// Somebody who reads until they are told to stop; they are in the room when this returns.
fn reader(at: &str, name: &str) -> Run {
    let reader = chat(&format!("{at} --name {name}")).start();
    reader.err.until(&format!("you are {name} in #lobby"));
    reader
}

#[track_caller]
fn fine(ended: &Ended) {
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn piped_lines_are_said_and_kept_before_it_ends() {
    let server = server();
    let mut reader = reader(&server.at, "reader");
    let ended =
        chat(&format!("{} --name ann", server.at)).with("one\n\n/etc is no command\r\n你好");
    fine(&ended);
    assert_eq!(ended.text(), "", "one's own lines come not back");
    reader.out.until("lobby ann: 你好\n");
    let ended = reader.hang_up_and_end();
    fine(&ended);
    assert_eq!(
        ended.text(),
        "lobby ann: one\nlobby ann: /etc is no command\nlobby ann: 你好\n"
    );
}

#[test]
fn over_every_scheme() {
    let server = server();
    let at = &server.at;
    let mut reader = reader(at, "reader");
    for scheme in [
        "tcp", "udp", "tls", "quic", "ws", "wss", "http", "https", "h3", "wt",
    ] {
        let insecure = if matches!(scheme, "tls" | "quic" | "wss" | "https" | "h3" | "wt") {
            "--insecure"
        } else {
            ""
        };
        let line = format!("{scheme}://{at} --name by-{scheme} {insecure}");
        fine(&chat(&line).with(format!("hello over {scheme}\n")));
        reader
            .out
            .until(&format!("lobby by-{scheme}: hello over {scheme}\n"));
    }
    assert_eq!(reader.hang_up_and_end().text().lines().count(), 10);
}

#[test]
fn rooms_are_entered_and_the_first_is_spoken_in() {
    let server = server();
    let at = &server.at;
    let both = chat(&format!("{at} -r dev -r #ops --name both")).start();
    both.err.until("#ops");
    both.err.until("#dev");
    fine(&chat(&format!("{at} -r dev --name ann")).with("in dev\n"));
    fine(&chat(&format!("{at} --room ops --name bob")).with("in ops\n"));
    both.out.until("dev ann: in dev\n");
    both.out.until("ops bob: in ops\n");
}

#[test]
fn a_burst_is_said_as_fast_as_the_server_allows_and_no_line_is_refused() {
    let server = Server::start("chat 127.0.0.1:0 --history none --line-rate 20");
    let lines: String = (0..110).map(|n| format!("line {n}\n")).collect();
    fine(&chat(&format!("{} --name ann", server.at)).with(&lines));
    let ended = chat(&format!("{} --json", server.at)).run();
    fine(&ended);
    let last = objects(&ended.text());
    let last = last.iter().rfind(|event| event["event"] == "line").unwrap();
    assert_eq!(
        (&last["text"], &last["id"]),
        (&"line 109".into(), &110.into())
    );
}

#[test]
fn json_is_what_the_server_says() {
    let server = server();
    fine(&chat(&format!("{} --name ann", server.at)).with("a \"quoted\" \u{1b}[31m line\n"));
    let ended = chat(&format!("{} --json --name bob", server.at)).run();
    fine(&ended);
    let events = objects(&ended.text());
    assert_eq!(events[0]["event"], "welcome");
    assert_eq!(events[0]["name"], "bob");
    let line = events
        .iter()
        .find(|event| event["event"] == "line")
        .unwrap();
    assert_eq!(line["from"], "ann");
    assert_eq!(line["text"], "a \"quoted\" \u{1b}[31m line");
}

#[test]
fn what_others_say_carries_no_escapes() {
    let server = server();
    let reader = reader(&server.at, "reader");
    fine(&chat(&format!("{} --name ann", server.at)).with("a\u{1b}[2J\u{202e}b\n"));
    reader.out.until("lobby ann: a\\e[2J\\u{202e}b\n");
}

#[test]
fn a_name_that_somebody_has_is_a_failure_of_a_script() {
    let server = server();
    let _ann = reader(&server.at, "ann");
    let ended = chat(&format!("{} --name ANN", server.at)).with("hi\n");
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(
        ended.complaint().contains("the chat refuses: "),
        "{ended:?}"
    );
    assert_eq!(ended.text(), "");
}

#[test]
fn a_line_that_is_refused_is_told_and_the_others_are_said() {
    let server = server();
    let reader = reader(&server.at, "reader");
    let input = format!("before\n{}\nafter\n", "x".repeat(20_000));
    let ended = chat(&format!("{} --name ann", server.at)).with(input);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.err.contains("* not said: xxx"), "{ended:?}");
    reader.out.until("lobby ann: before\nlobby ann: after\n");
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_the_name_is_ours_alone() {
    let server = server();
    let folder = folder();
    let file = path(&folder, "password");
    std::fs::write(&file, "s3cret\nmore\n").unwrap();
    let line = format!("{} --name ann", server.at);
    fine(&chat(&format!("{line} --password-file {}", file.display())).with("mine\n"));
    let ended = chat(&line).with("not mine\n");
    assert_eq!(ended.code, 6, "{ended:?}");
    fine(
        &chat(&line)
            .env("SOCKEYE_CHAT_PASSWORD", "s3cret")
            .with("mine again\n"),
    );
    let ended = chat(&line)
        .env("SOCKEYE_CHAT_PASSWORD", "wrong")
        .with("not mine\n");
    assert_eq!(ended.code, 6, "{ended:?}");
}

#[test]
fn the_same_person_comes_back_by_the_token_that_nobody_else_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let server = server();
    let folder = folder();
    let line = format!("{} --name ann", server.at);
    fine(
        &chat(&line)
            .home(&folder)
            .env("SOCKEYE_CHAT_PASSWORD", "s3cret")
            .with("once\n"),
    );
    // Without the password: the token is enough.
    fine(&chat(&line).home(&folder).with("twice\n"));
    let kept = path(&folder, "state/sockeye/chat.json");
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&kept, "{ damaged").unwrap();
    let ended = chat(&line).home(&folder).with("thrice\n");
    assert_eq!(ended.code, 6, "without the token it is anybody: {ended:?}");
}

/// A server with a memory, which can be started again where it was.
fn lasting(at: &str, file: &std::path::Path) -> Server {
    Server::start(&format!(
        "chat {at} --history {} --line-rate 1000",
        file.display()
    ))
}

#[test]
fn a_server_that_comes_back_gets_every_line_once() {
    let folder = folder();
    let file = path(&folder, "chat.db");
    let server = lasting("tcp://127.0.0.1:0", &file);
    let at = format!("tcp://{}", server.at);
    let reader = reader(&at, "reader");
    let mut ann = chat(&format!("{at} --name ann")).start();
    ann.say("one\n");
    reader.out.until("lobby ann: one\n");
    server.run.signal(Signal::KILL);
    drop(server);
    ann.err.until("connection lost");
    reader.err.until("connection lost");
    ann.say("two\nthree\n");
    let server = lasting(&at, &file);
    ann.err.until("nothing was lost");
    reader.err.until("nothing was lost");
    ann.say("four\n");
    fine(&ann.hang_up_and_end());
    reader.out.until("lobby ann: four\n");
    let heard = reader.out.text();
    assert_eq!(
        heard,
        "lobby ann: one\nlobby ann: two\nlobby ann: three\nlobby ann: four\n"
    );
    drop(server);
}

#[test]
fn what_is_not_acknowledged_is_said_again_with_the_same_tag() {
    let listener = Listener::new();
    let mut ann = chat(&format!("{} --name ann", listener.at())).start();
    let welcome = "{\"v\":1,\"event\":\"welcome\",\"name\":\"ann\",\"is_guest\":false,\"resume\":\"t0k\"}\n\
                   {\"v\":1,\"event\":\"joined\",\"room\":\"lobby\",\"people\":[],\"first\":1,\"last\":7,\"after\":7}\n";
    let mut first = listener.accept();
    let hello = line_of(&mut first);
    assert_eq!(
        (&hello["do"], &hello["name"]),
        (&"hello".into(), &"ann".into()),
        "{hello}"
    );
    write(&mut first, "welcome to this place, human\n");
    write(&mut first, welcome);
    ann.say("precious\n");
    let said = line_of(&mut first);
    assert_eq!(
        (&said["do"], &said["text"]),
        (&"say".into(), &"precious".into()),
        "{said}"
    );
    drop(first);
    let mut second = listener.accept();
    let hello = line_of(&mut second);
    assert_eq!(hello["resume"], "t0k", "{hello}");
    assert_eq!(hello["rooms"], serde_json::json!({"lobby": 7}), "{hello}");
    write(&mut second, welcome);
    assert_eq!(line_of(&mut second), said);
    ann.hang_up();
    // It was kept by the first connection already, and its line comes with what was missed.
    let tag = &said["tag"];
    write(
        &mut second,
        &format!(
            "{{\"event\":\"line\",\"room\":\"lobby\",\"id\":8,\"from\":\"ann\",\"text\":\"precious\",\"tag\":{tag}}}\n"
        ),
    );
    write(
        &mut second,
        &format!("{{\"event\":\"done\",\"tag\":{tag}}}\n"),
    );
    assert_eq!(line_of(&mut second)["do"], "quit");
    drop(second);
    let ended = ann.end();
    fine(&ended);
    assert_eq!(ended.text(), "");
}

fn write(stream: &mut std::net::TcpStream, text: &str) {
    std::io::Write::write_all(stream, text.as_bytes()).unwrap();
}

/// The next line that a client says.
#[track_caller]
fn line_of(stream: &mut std::net::TcpStream) -> serde_json::Value {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        std::io::Read::read_exact(stream, &mut byte).unwrap();
        line.push(byte[0]);
    }
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn a_server_that_is_not_there_is_a_failure_unless_it_is_waited_for() {
    let listener = Listener::new();
    let at = listener.at();
    drop(listener);
    let ended = chat(&at).with("hi\n");
    assert_eq!(ended.code, 1, "{ended:?}");
    let mut waits = chat(&format!("{at} --retry --name ann")).start();
    waits.err.until("trying again");
    let server = Server::start(&format!("chat tcp://{at} --history none"));
    waits.say("at last\n");
    fine(&waits.hang_up_and_end());
    drop(server);
}

#[test]
fn words_that_make_no_sense() {
    for (line, says) in [
        ("", "ADDR"),
        ("localhost:3000 other:3000", "one address"),
        ("localhost:99999", "99999"),
        ("localhost:3000 --password-file x", "--name"),
        (
            "localhost:3000 --name ann --password-file /nowhere/at/all",
            "/nowhere/at/all",
        ),
    ] {
        let ended = chat(line).run();
        assert!(matches!(ended.code, 1 | 2), "{line}: {ended:?}");
        assert!(ended.err.contains(says), "{line}: {ended:?}");
    }
}

#[test]
fn signals_leave_at_once() {
    let server = server();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut run = reader(&server.at, &format!("leaves-{code}"));
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.after < std::time::Duration::from_secs(5), "{ended:?}");
    }
}

#[test]
fn a_server_that_says_nonsense_does_no_harm() {
    let listener = Listener::new();
    let mut ann = chat(&format!("{} --name ann", listener.at())).start();
    let mut stream = listener.accept();
    line_of(&mut stream);
    write(
        &mut stream,
        "{\"event\":[]}\n{}\n{\"event\":\"line\"}\n{\"event\":\"joined\",\"room\":{},\"people\":7}\n{broken\n",
    );
    write(
        &mut stream,
        "{\"event\":\"done\",\"tag\":5}\n{\"event\":\"who\",\"people\":[1,{}]}\n{\"event\":\"missed\",\"from\":9,\"to\":2}\n",
    );
    write(
        &mut stream,
        "{\"event\":\"notice\",\"text\":\"still\\u001b[2J here\"}\n",
    );
    ann.err.until("* still\\e[2J here\n");
    assert!(ann.is_running());
    ann.signal(Signal::TERM);
    assert_eq!(ann.end().code, 143);
}
