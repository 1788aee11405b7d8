//! What a port binds, and what it says about it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use sockeye::service::Echo;
use sockeye::{DialOptions, Endpoint, Family, Port, PortConfig, SocketOptions, dial};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, address, exchange, within};

async fn bind(at: &str) -> Port {
    Port::bind(&address(at), PortConfig::default())
        .await
        .unwrap()
}

async fn refused(at: &str) -> String {
    Port::bind(&address(at), PortConfig::default())
        .await
        .unwrap_err()
        .to_string()
}

fn sockets(port: &Port) -> Vec<(&'static str, SocketAddr)> {
    port.listening()
        .into_iter()
        .map(|listening| (listening.protocol, listening.at.socket_addr().unwrap()))
        .collect()
}

#[tokio::test]
async fn without_a_scheme_tcp_and_udp_have_one_number_every_time() {
    for _ in 0..200 {
        let port = bind("127.0.0.1:0").await;
        let [("tcp", tcp), ("udp", udp)] = sockets(&port)[..] else {
            panic!("{:?}", port.listening());
        };
        assert_ne!(tcp.port(), 0);
        assert_eq!(tcp, udp);
    }
}

#[tokio::test]
async fn a_number_that_is_taken_for_udp_is_tried_again() {
    crate::crowd::allow_files();
    // A seventh of the numbers that the system chooses from, so that TCP is given one of them soon.
    let held: Vec<_> = (0..4_000)
        .map(|_| UdpSocket::bind("127.0.0.88:0").unwrap())
        .collect();
    for _ in 0..100 {
        let port = bind("127.0.0.88:0").await;
        assert_eq!(sockets(&port)[0].1, sockets(&port)[1].1);
    }
    drop(held);
}

#[tokio::test]
async fn a_bare_number_is_loopback() {
    for at in [":0", "0"] {
        let port = bind(at).await;
        for (_, at) in sockets(&port) {
            assert_eq!(at.ip(), Ipv4Addr::LOCALHOST);
        }
        assert_eq!(port.listening().len(), 2);
    }
}

#[tokio::test]
async fn localhost_is_both_families_on_one_number() {
    for _ in 0..20 {
        let port = bind("localhost:0").await;
        let sockets = sockets(&port);
        assert_eq!(sockets.len(), 4, "{sockets:?}");
        let number = sockets[0].1.port();
        for wanted in ["127.0.0.1", "::1"] {
            for protocol in ["tcp", "udp"] {
                let wanted = SocketAddr::new(wanted.parse().unwrap(), number);
                assert!(sockets.contains(&(protocol, wanted)), "{sockets:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_family_can_be_chosen() {
    for (family, ip) in [(Family::V4, "127.0.0.1"), (Family::V6, "::1")] {
        let config = PortConfig {
            family,
            ..PortConfig::default()
        };
        for at in ["localhost:0", ":0"] {
            let port = Port::bind(&address(at), config.clone()).await.unwrap();
            for (_, at) in sockets(&port) {
                assert_eq!(at.ip().to_string(), ip);
            }
        }
    }
}

#[tokio::test]
async fn every_interface_hears_both_families_and_shows_ipv4_as_ipv4() {
    let mut stage = Stage::new("*:0", Echo).await;
    let number = stage.socket_addr().port();
    for scheme in ["tcp", "udp"] {
        for ip in ["127.0.0.1", "[::1]", "127.0.0.2"] {
            let to = address(&format!("{scheme}://{ip}:{number}"));
            let mut session = dial(&to, &DialOptions::default()).await.unwrap();
            exchange(&mut session, "hi").await;
            let info = stage.events.opened().await;
            assert_eq!(info.protocol(), scheme);
            assert_eq!(info.peer(), session.info().local(), "{scheme} {ip}");
            let asked = format!("{ip}:{number}");
            assert_eq!(info.local().to_string(), asked, "{scheme}");
            assert_eq!(session.info().peer().to_string(), asked);
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn only_v6_has_a_socket_per_family_on_one_number() {
    let mut config = PortConfig::default();
    config.options.only_v6 = Some(true);
    let port = Port::bind(&address("*:0"), config).await.unwrap();
    let sockets = sockets(&port);
    assert_eq!(sockets.len(), 4, "{sockets:?}");
    assert!(
        sockets
            .iter()
            .all(|(_, at)| at.port() == sockets[0].1.port())
    );
    assert_eq!(sockets.iter().filter(|(_, at)| at.is_ipv4()).count(), 2);
}

#[tokio::test]
async fn udp_answers_come_from_the_address_that_was_asked() {
    for at in ["udp://*:0", "udp://0.0.0.0:0"] {
        let stage = Stage::new(at, Echo).await;
        let number = stage.socket_addr().port();
        for asked in ["127.0.0.2", "127.0.0.1", "127.1.2.3"] {
            let asked: SocketAddr = format!("{asked}:{number}").parse().unwrap();
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // More than one, so that batches leave with a chosen source too.
            for size in [1, 1200, 1200, 1200, 3000, 0] {
                socket.send_to(&vec![7; size], asked).await.unwrap();
            }
            for _ in 0..6 {
                let mut answer = [0; 4096];
                let (_, from) = within(socket.recv_from(&mut answer)).await.unwrap();
                assert_eq!(from, asked, "{at}");
            }
        }
        stage.end().await;
    }
}

#[tokio::test]
async fn an_answer_to_a_broadcast_comes_from_an_address_of_our_own() {
    // 127.255.255.255 is the broadcast address of 127.0.0.0/8, and nobody's own.
    let stage = Stage::new("udp://0.0.0.0:0", Echo).await;
    let number = stage.socket_addr().port();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.set_broadcast(true).unwrap();
    for _ in 0..2 {
        socket
            .send_to(b"who is there?", ("127.255.255.255", number))
            .await
            .unwrap();
        let mut answer = [0; 64];
        let (n, from) = within(socket.recv_from(&mut answer)).await.unwrap();
        assert_eq!(&answer[..n], b"who is there?");
        assert_eq!(from, SocketAddr::from(([127, 0, 0, 1], number)));
    }
    stage.end().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let held = bind("127.0.0.1:0").await;
    let at = sockets(&held)[0].1;
    for scheme in ["", "tcp://", "udp://"] {
        assert_eq!(
            refused(&format!("{scheme}{at}")).await,
            format!("cannot listen on {at}: address already in use")
        );
    }
}

#[tokio::test]
async fn nothing_stays_bound_when_a_part_of_the_port_is_taken() {
    // UDP is taken, so TCP on the same number, which was free, must be free again.
    // An address of its own, where no other test has left a connection in TIME-WAIT.
    let held = UdpSocket::bind("127.0.0.77:0").unwrap();
    let at = held.local_addr().unwrap();
    refused(&at.to_string()).await;
    drop(bind(&format!("tcp://{at}")).await);
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_named() {
    // TEST-NET-1 and the documentation prefix (RFC 5737, RFC 3849).
    for at in [
        "tcp://192.0.2.99:0",
        "tcp://[2001:db8::99]:0",
        "udp://[2001:db8::99]:0",
    ] {
        let host = at.split_once("//").unwrap().1;
        let error = refused(at).await;
        assert!(
            error.starts_with(&format!("cannot listen on {host}: ")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_served_says_so() {
    for at in ["exec:cat", "-"] {
        let error = refused(at).await;
        assert!(error.contains("can be served"), "{error}");
    }
    for at in ["wt://127.0.0.1:0", "h3://127.0.0.1:0"] {
        let error = refused(at).await;
        assert!(error.contains("without a scheme serves that"), "{error}");
    }
    let error = refused("nowhere.invalid:0").await;
    assert!(
        error.starts_with("cannot resolve nowhere.invalid: "),
        "{error}"
    );
}

#[tokio::test]
async fn a_number_can_be_taken_again_while_its_connections_are_in_time_wait() {
    let stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let at = stage.address();
    let mut session = stage.dial().await;
    exchange(&mut session, "hi").await;
    // The server closes first, so the TIME-WAIT is on its side.
    stage.end().await;
    drop(session);
    let again = Port::bind(&at, PortConfig::default()).await;
    again.unwrap();
}

#[tokio::test]
async fn several_addresses_are_one_port() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}/s", folder.path().display());
    let all = [
        address("tcp://127.0.0.1:0"),
        address(&unix),
        address("tcp://127.0.0.1:0"),
    ];
    let port = Port::bind_all(&all, PortConfig::default()).await.unwrap();
    let listening = port.listening();
    let names: Vec<_> = listening.iter().map(|at| at.protocol).collect();
    assert_eq!(names, ["tcp", "unix", "tcp"]);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(port.serve(Echo, stop.clone()));
    for at in listening {
        let to = match &at.at {
            Endpoint::Net(at) => format!("tcp://{at}"),
            other => format!("unix:{other}"),
        };
        let mut session = dial(&address(&to), &DialOptions::default()).await.unwrap();
        exchange(&mut session, "hi").await;
    }
    stop.cancel();
    within(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_port_is_not_shared_unless_asked_for() {
    let config = || {
        let mut options = SocketOptions::default();
        options.reuse_port = true;
        PortConfig {
            options,
            ..PortConfig::default()
        }
    };
    let first = Port::bind(&address("127.0.0.1:0"), config()).await.unwrap();
    let at = address(&sockets(&first)[0].1.to_string());
    Port::bind(&at, config())
        .await
        .expect("both asked to share");
    assert!(Port::bind(&at, PortConfig::default()).await.is_err());
}
