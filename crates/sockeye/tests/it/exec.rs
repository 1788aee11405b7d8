//! Programs as peers: for each session one, and as an address to dial.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use sockeye::service::{Exec, Relay};
use sockeye::{ChildOptions, DialOptions, Error, Framing, PortConfig, Session, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::stage::{Stage, address, exchange, heard, heard_to_the_end, within};

fn options() -> ChildOptions {
    ChildOptions {
        env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
        ..ChildOptions::default()
    }
}

fn exec(command: &[&str]) -> Exec {
    Exec {
        command: command.iter().map(OsString::from).collect(),
        options: options(),
        framing: Framing::Raw,
    }
}

fn sh(script: &str) -> Exec {
    exec(&["sh", "-c", script])
}

const TCP: &str = "tcp://127.0.0.1:0";

/// What a client hears that says `text` and finishes.
async fn asked(stage: &Stage, text: &str) -> String {
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    client.write_all(text.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    within(client.read_to_string(&mut all)).await.unwrap();
    all
}

#[tokio::test]
async fn a_program_for_each_session() {
    let mut stage = Stage::new(TCP, exec(&["cat"])).await;
    let (mut one, mut two) = (stage.dial().await, stage.dial().await);
    exchange(&mut one, "one").await;
    exchange(&mut two, "two").await;
    one.finish().await.unwrap();
    assert_eq!(heard_to_the_end(&mut one).await, [[0; 0]; 0]);
    assert_eq!(stage.events.closed().await.how, "PeerFinished");
    exchange(&mut two, "still here").await;
    drop(two);
    stage.end().await;
}

#[tokio::test]
async fn the_end_of_the_client_is_the_end_of_input_and_the_answer_still_comes() {
    let stage = Stage::new(TCP, exec(&["sort"])).await;
    assert_eq!(asked(&stage, "c\na\nb\n").await, "a\nb\nc\n");
    stage.end().await;
}

#[tokio::test]
async fn the_end_of_the_program_ends_the_session() {
    let mut stage = Stage::new(TCP, sh("echo $SOCKEYE_PROTO $SOCKEYE_PEER_PORT")).await;
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    let mut all = String::new();
    // The client says nothing and does not finish.
    within(client.read_to_string(&mut all)).await.unwrap();
    let port = client.local_addr().unwrap().port();
    assert_eq!(all, format!("tcp {port}\n"));
    let closed = stage.events.closed().await;
    assert_eq!(
        (closed.how, closed.text.as_str()),
        ("ServiceFinished", "closed here")
    );
    stage.end().await;
}

#[tokio::test]
async fn an_exit_code_is_shown_and_all_that_was_said_arrives() {
    let mut stage = Stage::new(TCP, sh("cat; echo 'it failed' >&2; exit 3")).await;
    assert_eq!(asked(&stage, "all of it").await, "all of it");
    let note = stage.events.note("stderr").await;
    assert!(
        note.starts_with('#') && note.ends_with(" stderr: it failed"),
        "{note}"
    );
    let closed = stage.events.closed().await;
    assert_eq!(closed.how, "Failed");
    assert!(
        closed.text.ends_with("exit 3\"` exited with code 3"),
        "{closed:?}"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_program_that_does_not_read_is_no_trouble() {
    let mut stage = Stage::new(TCP, exec(&["head", "-c", "5"])).await;
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    client.write_all(&[b'x'; 200_000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = Vec::new();
    // The last answer survives what was never read.
    within(client.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"xxxxx");
    assert_ne!(stage.events.closed().await.how, "Failed");
    stage.end().await;
}

#[tokio::test]
async fn bulk_through_a_program() {
    let stage = Stage::new(TCP, exec(&["cat"])).await;
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    let data: Vec<u8> = (0..8_000_003_u32).map(|n| (n % 253) as u8).collect();
    let (mut from, mut to) = client.split();
    let saying = async {
        to.write_all(&data).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let hearing = from.read_to_end(&mut all);
    within(async { tokio::join!(saying, hearing) })
        .await
        .1
        .unwrap();
    assert!(all == data);
    stage.end().await;
}

#[tokio::test]
async fn too_many_are_told_and_cut_off() {
    let mut service = exec(&["cat"]);
    service.options.slots = Arc::new(Semaphore::new(1));
    let mut stage = Stage::new(TCP, service).await;
    let mut one = stage.dial().await;
    exchange(&mut one, "one").await;
    let mut two = TcpStream::connect(stage.socket_addr()).await.unwrap();
    let error = within(two.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let closed = stage.events.closed().await;
    assert_eq!(
        closed.text,
        "cannot start `cat`: as many children run as may"
    );
    exchange(&mut one, "as before").await;
    drop(one);
    stage.end().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let mut stage = Stage::new(TCP, exec(&["nonesuch-program"])).await;
    let _client = stage.dial().await;
    let closed = stage.events.closed().await;
    assert_eq!(
        closed.text,
        "cannot start `nonesuch-program`: no such file or directory"
    );
    stage.end().await;
}

#[tokio::test]
async fn a_stop_ends_programs_that_do_not_end_by_themselves() {
    let mut stage = Stage::new(
        TCP,
        sh("trap 'echo told; exit' TERM; echo ready; while :; do sleep 0.01; done"),
    )
    .await;
    let mut client = stage.dial().await;
    assert_eq!(heard(&mut client).await, b"ready\n");
    stage.events.opened().await;
    let began = std::time::Instant::now();
    stage.end().await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "the grace was not needed"
    );
}

#[tokio::test]
async fn silence_ends_a_program_too() {
    let config = PortConfig {
        idle_timeout: Some(Duration::from_millis(200)),
        ..PortConfig::default()
    };
    let mut stage = Stage::with(TCP, config, exec(&["cat"])).await;
    let mut client = stage.dial().await;
    exchange(&mut client, "hello").await;
    assert_eq!(stage.events.closed().await.how, "Idle");
    stage.end().await;
}

#[tokio::test]
async fn datagrams_are_input_and_what_is_read_is_a_datagram() {
    let stage = Stage::new("udp://127.0.0.1:0", exec(&["cat"])).await;
    let mut client = stage.dial().await;
    exchange(&mut client, "one").await;
    exchange(&mut client, "two").await;
    stage.end().await;

    let mut lines = exec(&["sh", "-c", "while read line; do echo \"<$line>\"; done"]);
    lines.framing = Framing::Line;
    let stage = Stage::new("udp://127.0.0.1:0", lines).await;
    let mut client = stage.dial().await;
    client.send("a datagram").await.unwrap();
    assert_eq!(heard(&mut client).await, b"<a datagram>");
    stage.end().await;
}

#[tokio::test]
async fn in_memory_it_is_the_same() {
    let (near, mut far) = Session::pair(Framing::Raw);
    let service = exec(&["cat"]);
    let asked = async {
        exchange(&mut far, "hello").await;
        far.finish().await.unwrap();
        heard_to_the_end(&mut far).await
    };
    let (served, rest) =
        within(async { tokio::join!(sockeye::Service::serve(&service, near), asked) }).await;
    served.unwrap();
    assert_eq!(rest, [[0; 0]; 0]);
}

fn dialing() -> DialOptions {
    DialOptions {
        child: options(),
        ..DialOptions::default()
    }
}

#[tokio::test]
async fn a_program_can_be_dialed() {
    let mut session = dial(&address("exec:cat"), &dialing()).await.unwrap();
    assert_eq!(session.info().protocol(), "exec");
    assert_eq!(session.info().peer().to_string(), "exec:cat");
    exchange(&mut session, "hello").await;
    session.finish().await.unwrap();
    assert_eq!(heard_to_the_end(&mut session).await, [[0; 0]; 0]);
    within(session.info().outcome()).await.unwrap();

    let mut session = dial(&address("exec:sh -c 'exit 4'"), &dialing())
        .await
        .unwrap();
    assert_eq!(heard_to_the_end(&mut session).await, [[0; 0]; 0]);
    let error = within(session.info().outcome()).await.unwrap_err();
    assert!(
        matches!(error, Error::Child { code: Some(4), .. }),
        "{error}"
    );

    let error = dial(&address("exec:cat 'open"), &dialing())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[tokio::test]
async fn a_relay_to_a_program() {
    let relay = Relay::new(
        vec![address("exec:sh -c 'cat; echo $SOCKEYE_PEER_PORT'")],
        dialing(),
    );
    let stage = Stage::new(TCP, relay).await;
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    client.write_all(b"said ").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    within(client.read_to_string(&mut all)).await.unwrap();
    let port = client.local_addr().unwrap().port();
    assert_eq!(all, format!("said {port}\n"));
    stage.end().await;
}
