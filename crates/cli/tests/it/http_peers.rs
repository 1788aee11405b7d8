//! HTTP with peers that we did not write: Python's aiohttp and httpx, and the load generators wrk and h2load.

use std::fs::File;

use crate::stage::{Ended, LONG, Server, binary, connect, folder, path, program, words};
use crate::web::python;

const ALL_IS_WELL: &str = "all is well\n";

#[test]
fn python_asks_our_echo() {
    let server = Server::start("echo 127.0.0.1:0");
    let uri = format!("http://{}/", server.at);
    let mut client = python("peers/http_peer.py", &["ask", &uri]).start();
    let ended = client.end_within(LONG * 6);
    assert_eq!((ended.code, &*ended.text()), (0, ALL_IS_WELL), "{ended:?}");
}

/// aiohttp's server, and `connect` to a path of it.
struct Aiohttp(Server);

impl Aiohttp {
    fn start() -> Self {
        Self(Server::ready(python("peers/http_peer.py", &["serve"])))
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.at)
    }
}

#[track_caller]
fn shown(ended: &Ended, code: i32, text: &str) {
    assert_eq!((ended.code, &*ended.text()), (code, text), "{ended:?}");
}

#[test]
fn we_ask_a_server_in_python() {
    let server = Aiohttp::start();
    let folder = folder();
    let file = path(&folder, "file");
    std::fs::write(&file, "12345").unwrap();
    let seen = server.uri("/seen?a=b");
    for (flags, text) in [
        ("-d", "GET /seen?a=b none none 0\n"),
        ("--send hi", "POST /seen?a=b 3 none 3\n"),
        (
            "--send hi --method PUT --content-type text/x",
            "PUT /seen?a=b 3 text/x 3\n",
        ),
        ("--method DELETE -d", "DELETE /seen?a=b none none 0\n"),
    ] {
        shown(&connect(&format!("{seen} {flags}")).run(), 0, text);
    }
    let file = connect(&seen)
        .stdin(File::open(&file).unwrap())
        .start()
        .end();
    shown(&file, 0, "POST /seen?a=b 5 none 5\n");
    shown(
        &connect(&seen).with("piped"),
        0,
        "POST /seen?a=b none none 5\n",
    );
    shown(&connect(&seen).run(), 0, "GET /seen?a=b none none 0\n");
    let mut typed = connect(&server.uri("/echo")).start();
    for (sent, heard) in [("one\n", "ONE\n"), ("two\n", "TWO\n")] {
        typed.say(sent);
        typed.out.until(heard);
    }
    shown(&typed.hang_up_and_end(), 0, "ONE\nTWO\n");
    let data = binary(4 << 20).to_ascii_uppercase();
    let ended = connect(&server.uri("/echo")).with(&data);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out == data, "the bytes differ");
}

#[test]
fn answers_in_python_that_are_none_or_half_of_one() {
    let server = Aiohttp::start();
    let ended = connect(&format!("{} -d", server.uri("/nowhere"))).run();
    shown(&ended, 6, "404: Not Found");
    assert!(
        ended.complaint().ends_with(" answered 404 Not Found"),
        "{ended:?}"
    );
    let ended = connect(&format!("{} -d", server.uri("/broken"))).run();
    shown(&ended, 6, "half\n");
    let cause = "the connection ended before the answer did";
    assert!(ended.complaint().contains(cause), "{ended:?}");
    // It has said enough, and what it said is shown, whatever became of the rest of the request.
    let ended = connect(&server.uri("/early")).with(vec![b'x'; 16 << 20]);
    shown(&ended, 6, "enough\n");
}

#[test]
fn load_generators_count_no_failure() {
    let server = Server::start("reply pong 127.0.0.1:0");
    let uri = format!("http://{}/", server.at);
    let wrk = program("wrk", words(&format!("-c 20 -t 1 -d 1s {uri}"))).run();
    assert_eq!(wrk.code, 0, "{wrk:?}");
    let text = wrk.text();
    assert!(
        text.contains("requests in ") && !text.contains("Non-2xx"),
        "{text}"
    );
    assert!(!text.contains("Socket errors"), "{text}");
    for (flags, scheme) in [("--h1", "http"), ("", "http"), ("", "https")] {
        let uri = format!("{scheme}://{}/", server.at);
        let line = format!("{flags} -n 2000 -c 10 -m 10 {uri}");
        let h2load = program("h2load", words(&line)).run();
        let text = h2load.text();
        let all = "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed";
        assert!(text.contains(all), "{line}: {text}");
    }
}
