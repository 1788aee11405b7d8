//! Ports behind a proxy: the PROXY header of a connection says who it is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sockeye::service::Echo;
use sockeye::{Endpoint, PortConfig};

use crate::stage::{Stage, within};

const TCP: &str = "tcp://127.0.0.1:0";

/// A port that takes headers from loopback.
fn behind_a_proxy() -> PortConfig {
    PortConfig {
        proxies: Some(vec!["127.0.0.0/8".parse().unwrap()]),
        ..PortConfig::default()
    }
}

/// What comes back for `said`, and the end.
async fn said(stage: &Stage, said: &'static [u8], step: usize) -> std::io::Result<Vec<u8>> {
    let at = stage.socket_addr();
    let talk = tokio::task::spawn_blocking(move || {
        let mut client = TcpStream::connect(at)?;
        client.set_nodelay(true)?;
        for part in said.chunks(step) {
            client.write_all(part)?;
        }
        client.shutdown(std::net::Shutdown::Write)?;
        let mut all = Vec::new();
        client.read_to_end(&mut all)?;
        Ok(all)
    });
    within(talk).await.unwrap()
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x04\xd2\x01\xbbhello";

#[tokio::test]
async fn the_peer_is_who_the_header_names() {
    let mut stage = Stage::with(TCP, behind_a_proxy(), Echo).await;
    for (head, peer, local) in [
        (
            &b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nhello"[..],
            "192.0.2.7:56324",
            "198.51.100.1:443",
        ),
        (V2, "[2001:db8::1]:1234", "[2001:db8::2]:443"),
    ] {
        for step in [1, 7, 1000] {
            assert_eq!(said(&stage, head, step).await.unwrap(), b"hello");
            let info = stage.events.opened().await;
            let ends = (info.peer().to_string(), info.local().to_string());
            assert_eq!(ends, (peer.to_owned(), local.to_owned()));
            assert_eq!(stage.events.closed().await.how, "PeerFinished");
            let counters = info.counters();
            assert_eq!((counters.bytes_in(), counters.bytes_out()), (5, 5));
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_the_peer() {
    let mut stage = Stage::with(TCP, behind_a_proxy(), Echo).await;
    for head in [
        &b"PROXY UNKNOWN\r\nhello"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00hello",
    ] {
        assert_eq!(said(&stage, head, 1000).await.unwrap(), b"hello");
        let info = stage.events.opened().await;
        let peer = info.peer().socket_addr().unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(info.local().socket_addr(), Some(stage.socket_addr()));
    }
    stage.end().await;
}

#[tokio::test]
async fn who_is_not_introduced_does_not_come_in() {
    let mut stage = Stage::with(TCP, behind_a_proxy(), Echo).await;
    for (head, why) in [
        (
            &b"hello"[..],
            "the connection does not begin with a PROXY header",
        ),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\nhello", "bad PROXY line"),
        (
            b"PROXY TCP4 1.2.3.4",
            "it left before its PROXY header was whole",
        ),
        (b"", "it left before its PROXY header was whole"),
        (b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", "unknown version 3"),
    ] {
        // Nothing is answered; whether it is a reset depends on what was not read.
        assert!(
            said(&stage, head, 1000)
                .await
                .unwrap_or_default()
                .is_empty()
        );
        let note = stage.events.note(why).await;
        assert!(note.starts_with("refused 127.0.0.1:"), "{note}");
    }
    assert!(stage.events.so_far().is_empty(), "nobody opened a session");
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_is_not_waited_for_and_holds_up_nobody() {
    let mut stage = Stage::with(TCP, behind_a_proxy(), Echo).await;
    let mut silent = TcpStream::connect(stage.socket_addr()).unwrap();
    silent.write_all(b"PROX").unwrap();
    let note = stage.events.note("no PROXY header came within 5s").await;
    assert!(note.starts_with("refused 127.0.0.1:"), "{note}");
    stage.end().await;
}

#[tokio::test]
async fn a_client_that_is_silent_holds_up_nobody() {
    let stage = Stage::with(TCP, behind_a_proxy(), Echo).await;
    let _silent = TcpStream::connect(stage.socket_addr()).unwrap();
    let head = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\nhello";
    assert_eq!(said(&stage, head, 1000).await.unwrap(), b"hello");
    let began = std::time::Instant::now();
    stage.end().await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "a stop does not wait for headers"
    );
}

#[tokio::test]
async fn the_lists_are_for_those_who_are_introduced() {
    let config = PortConfig {
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        ..behind_a_proxy()
    };
    let mut stage = Stage::with(TCP, config, Echo).await;
    let allowed = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\nhello";
    assert_eq!(said(&stage, allowed, 1000).await.unwrap(), b"hello");
    let other = b"PROXY TCP4 203.0.113.9 198.51.100.1 1 2\r\nhello";
    assert!(
        said(&stage, other, 1000)
            .await
            .unwrap_or_default()
            .is_empty()
    );
    let note = stage.events.note("refused 203.0.113.9:1: ").await;
    assert!(
        note.contains("not allowed to connect, as 127.0.0.1:"),
        "{note}"
    );
    stage.end().await;

    // Nobody else can name somebody who is allowed.
    let config = PortConfig {
        proxies: Some(vec!["192.0.2.1/32".parse().unwrap()]),
        ..PortConfig::default()
    };
    let mut stage = Stage::with(TCP, config, Echo).await;
    assert!(
        said(&stage, allowed, 1000)
            .await
            .unwrap_or_default()
            .is_empty()
    );
    stage
        .events
        .note("PROXY headers are not taken from there")
        .await;
    stage.end().await;
}

#[tokio::test]
async fn limits_for_one_address_are_for_the_one_that_is_named() {
    let config = PortConfig {
        sessions_per_address: Some(1),
        ..behind_a_proxy()
    };
    let mut stage = Stage::with(TCP, config, Echo).await;
    let mut held = Vec::new();
    for n in [1, 2] {
        let mut client = TcpStream::connect(stage.socket_addr()).unwrap();
        write!(client, "PROXY TCP4 192.0.2.{n} 198.51.100.1 1 2\r\n").unwrap();
        held.push(client);
        stage.events.opened().await;
    }
    let again = b"PROXY TCP4 192.0.2.1 198.51.100.1 3 2\r\nhello";
    assert!(
        said(&stage, again, 1000)
            .await
            .unwrap_or_default()
            .is_empty()
    );
    stage.events.note("refused 192.0.2.1:3: ").await;
    drop(held);
    stage.end().await;
}

#[tokio::test]
async fn one_session_and_no_more_also_behind_a_proxy() {
    let config = PortConfig {
        total_sessions: Some(1),
        ..behind_a_proxy()
    };
    let stage = Stage::with(TCP, config, Echo).await;
    assert!(
        said(&stage, b"no header", 1000)
            .await
            .unwrap_or_default()
            .is_empty()
    );
    let head = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\nhello";
    assert_eq!(said(&stage, head, 1000).await.unwrap(), b"hello");
    within(stage.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn unix_sockets_are_introduced_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("s");
    let at = format!("unix:{}", place.display());
    let mut stage = Stage::with(&at, behind_a_proxy(), Echo).await;
    let mut block = [0; 216];
    block[..4].copy_from_slice(b"\0cli");
    let mut client = UnixStream::connect(&place).unwrap();
    client
        .write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd8")
        .unwrap();
    client.write_all(&block).unwrap();
    let info = stage.events.opened().await;
    assert_eq!(info.peer(), &Endpoint::Unix("@cli".into()));
    drop(client);
    stage.end().await;
}
