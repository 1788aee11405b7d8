//! Every kind of address × every service, with real `serve` and `connect` processes.

use std::fs;

use crate::stage::{Ended, Server, folder, path, sockeye};

/// Where to serve, how to connect (`{at}`, `{port}`: of the server; `{dir}`: a folder), and whether messages
/// keep their boundaries by themselves.
const KINDS: [(&str, &str, bool); 14] = [
    ("tcp://127.0.0.1:0", "tcp://{at}", false),
    ("tcp://[::1]:0", "{at}", false),
    ("127.0.0.1:0", "127.0.0.1 {port}", false),
    ("tcp://localhost:0", "localhost {port}", false),
    ("tls://127.0.0.1:0", "tls://{at} --insecure", false),
    ("quic://127.0.0.1:0", "quic://{at} --insecure", false),
    ("127.0.0.1:0", "quic://{at} --insecure --datagrams", true),
    ("127.0.0.1:0", "wt://{at} --insecure", false),
    ("127.0.0.1:0", "wt://{at} --insecure --datagrams", true),
    ("udp://127.0.0.1:0", "udp://{at}", true),
    ("udp://[::1]:0", "-u ::1 {port}", true),
    ("unix:{dir}/s", "unix:{dir}/s", false),
    ("unix:@{dir}", "unix:@{dir}", false),
    ("unixgram:{dir}/g", "unixgram:{dir}/g", true),
];

/// Serves, connects with `--send hello`, and checks what is shown.
#[track_caller]
fn each(service: &[&str], check: impl Fn(&str, bool, &Ended)) {
    for (at, to, packets) in KINDS {
        let folder = folder();
        let dir = folder.path().display().to_string();
        let fill = |text: &str, server: Option<&Server>| {
            let (at, port) = server.map_or(("", ""), |server| (&server.at, server.port()));
            text.replace("{dir}", &dir)
                .replace("{at}", at)
                .replace("{port}", port)
        };
        let words = service
            .iter()
            .map(|word| fill(word, None))
            .chain([fill(at, None)]);
        let mut server = Server::of(words);
        let to = fill(to, Some(&server));
        let words = ["connect"].into_iter().chain(to.split(' '));
        let ended = sockeye(words.chain(["--send", "hello", "--wait", "250ms"])).run();
        assert_eq!(ended.code, 0, "{service:?} {at} {ended:?}");
        assert!(
            ended.err.contains("connected "),
            "{service:?} {at} {ended:?}"
        );
        check(at, packets, &ended);
        server.run.signal(rustix::process::Signal::TERM);
        let served = server.run.end();
        assert_eq!(served.code, 143, "{service:?} {at} {served:?}");
        if service[0] == "sink" {
            let saved: Vec<_> = fs::read_dir(path(&folder, "out")).unwrap().collect();
            assert_eq!(saved.len(), 1, "{at} {saved:?} {served:?}");
            let saved = fs::read(saved.into_iter().next().unwrap().unwrap().path()).unwrap();
            let expected: &[u8] = if packets { b"hello" } else { b"hello\n" };
            assert_eq!(saved, expected, "{at}");
        }
        for left in ["s", "g"] {
            assert!(
                !path(&folder, left).exists(),
                "{at}: the socket's file is removed"
            );
        }
    }
}

#[test]
fn echo() {
    each(&["echo"], |at, packets, ended| {
        let expected = if packets { "hello" } else { "hello\n" };
        assert_eq!(ended.text(), expected, "{at}");
    });
}

#[test]
fn upper() {
    each(&["upper"], |at, packets, ended| {
        let expected = if packets { "HELLO" } else { "HELLO\n" };
        assert_eq!(ended.text(), expected, "{at}");
    });
}

#[test]
fn hello() {
    each(&["hello"], |at, packets, ended| {
        let text = ended.text();
        assert!(text.contains("Hello, hello!"), "{at} {text}");
        assert_eq!(packets, !text.starts_with("hello!\n"), "{at} {text}");
    });
}

#[test]
fn reply() {
    each(&["reply", "pong"], |at, _, ended| {
        assert!(ended.text().starts_with("pong"), "{at} {ended:?}");
    });
}

#[test]
fn sink() {
    each(&["sink", "--out", "{dir}/out/"], |at, _, ended| {
        assert_eq!(ended.text(), "", "{at}");
    });
}
