//! Socket options arrive at the sockets they are meant for.

use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::SockRef;
use sockeye::service::Echo;
use sockeye::{
    DialOptions, Keepalive, Membership, Port, PortConfig, Session, SocketOptions, dial, service_fn,
};
use tokio::sync::mpsc;

use crate::stage::{Stage, address, exchange, heard, within};

fn options(set: impl FnOnce(&mut SocketOptions)) -> SocketOptions {
    let mut options = SocketOptions::default();
    set(&mut options);
    options
}

/// The sockets of both ends of one connection that was made with `options` at both ends: accepted, dialed.
async fn both_ends(at: &str, options: SocketOptions) -> (Stage, OwnedFd, Session) {
    let (give, mut take) = mpsc::unbounded_channel();
    let service = service_fn(move |mut session: Session| {
        give.send(session.raw_socket().unwrap().unwrap()).unwrap();
        async move {
            while session.recv().await?.is_some() {}
            session.close().await
        }
    });
    let config = PortConfig {
        options: options.clone(),
        ..PortConfig::default()
    };
    let stage = Stage::with(at, config, service).await;
    let dialing = DialOptions {
        options,
        ..DialOptions::default()
    };
    let session = dial(&stage.address(), &dialing).await.unwrap();
    let accepted = within(take.recv()).await.unwrap();
    (stage, accepted, session)
}

/// `check` for the accepted and the dialed socket.
async fn at_both_ends(at: &str, options: SocketOptions, check: impl Fn(SockRef<'_>, &str)) {
    let (stage, accepted, session) = both_ends(at, options).await;
    check(SockRef::from(&accepted), "accepted");
    check(
        SockRef::from(&session.raw_socket().unwrap().unwrap()),
        "dialed",
    );
    drop((accepted, session));
    stage.end().await;
}

#[tokio::test]
async fn nodelay_is_on_unless_told_otherwise() {
    for (given, on) in [(None, true), (Some(true), true), (Some(false), false)] {
        for at in ["tcp://127.0.0.1:0", "tcp://[::1]:0"] {
            at_both_ends(at, options(|o| o.nodelay = given), |socket, end| {
                assert_eq!(socket.tcp_nodelay().unwrap(), on, "{end}, {given:?}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn keepalive_has_its_times() {
    let keepalive = Keepalive {
        idle: Some(Duration::from_secs(77)),
        interval: Some(Duration::from_secs(11)),
        count: Some(5),
    };
    at_both_ends(
        "tcp://127.0.0.1:0",
        options(|o| o.keepalive = Some(keepalive)),
        |socket, end| {
            assert!(socket.keepalive().unwrap(), "{end}");
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 77, "{end}");
            assert_eq!(
                socket.tcp_keepalive_interval().unwrap().as_secs(),
                11,
                "{end}"
            );
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 5, "{end}");
        },
    )
    .await;
    at_both_ends("tcp://127.0.0.1:0", options(|_| {}), |socket, end| {
        assert!(!socket.keepalive().unwrap(), "{end}");
    })
    .await;
}

#[tokio::test]
async fn buffers_have_their_sizes() {
    let set = |o: &mut SocketOptions| {
        o.receive_buffer = Some(50_000);
        o.send_buffer = Some(60_000);
    };
    at_both_ends("tcp://127.0.0.1:0", options(set), |socket, end| {
        // The kernel doubles what is asked for: socket(7).
        assert_eq!(socket.recv_buffer_size().unwrap(), 100_000, "{end}");
        assert_eq!(socket.send_buffer_size().unwrap(), 120_000, "{end}");
    })
    .await;
}

#[tokio::test]
async fn hop_limits_are_set_for_the_family() {
    at_both_ends(
        "tcp://127.0.0.1:0",
        options(|o| o.ttl = Some(9)),
        |socket, end| {
            assert_eq!(socket.ttl_v4().unwrap(), 9, "{end}");
        },
    )
    .await;
    at_both_ends(
        "tcp://[::1]:0",
        options(|o| o.ttl = Some(9)),
        |socket, end| {
            assert_eq!(socket.unicast_hops_v6().unwrap(), 9, "{end}");
        },
    )
    .await;
}

#[tokio::test]
async fn congestion_control_is_chosen_by_name() {
    at_both_ends(
        "tcp://127.0.0.1:0",
        options(|o| o.congestion = Some("reno".to_owned())),
        |socket, end| {
            let name = socket.tcp_congestion().unwrap();
            assert_eq!(name.split(|b| *b == 0).next().unwrap(), b"reno", "{end}");
        },
    )
    .await;
}

#[tokio::test]
async fn an_option_that_cannot_be_set_is_named() {
    for (wrong, words) in [
        (
            options(|o| o.congestion = Some("nonesuch".to_owned())),
            "cannot set TCP_CONGESTION on 127.0.0.1:0: no such file or directory",
        ),
        (
            options(|o| o.device = Some("nonesuch0".to_owned())),
            "cannot set SO_BINDTODEVICE on 127.0.0.1:0: no such device",
        ),
    ] {
        let config = PortConfig {
            options: wrong,
            ..PortConfig::default()
        };
        let error = Port::bind(&address("tcp://127.0.0.1:0"), config)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn broadcast_must_be_asked_for() {
    let server = Stage::new("udp://0.0.0.0:0", Echo).await;
    let number = server.socket_addr().port();
    let to = address(&format!("udp://127.255.255.255:{number}"));
    let error = match dial(&to, &DialOptions::default()).await {
        Ok(mut session) => session.send("hi").await.unwrap_err(),
        Err(error) => error,
    };
    let text = error.to_string();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::PermissionDenied));
    assert!(
        text.contains(&format!("127.255.255.255:{number}: permission denied")),
        "{text}"
    );
    let allowed = DialOptions {
        options: options(|o| o.broadcast = true),
        ..DialOptions::default()
    };
    let mut session = dial(&to, &allowed).await.unwrap();
    session.send("hi").await.unwrap();
    let answer = within(session.recv()).await.unwrap().unwrap();
    assert_eq!(answer.data, "hi");
    assert_eq!(
        answer.from.map(|from| from.to_string()),
        Some(format!("127.0.0.1:{number}")),
        "the answer is one machine's own"
    );
    server.end().await;
}

/// Multicast over the loopback interface, which takes part in it although it has no MULTICAST flag.
#[tokio::test]
async fn a_group_is_heard_and_answered() {
    // An interface by its address, its name and its number.
    for (interface, group) in [
        ("127.0.0.1", "239.255.7.7"),
        ("lo", "239.255.7.8"),
        ("1", "239.255.7.9"),
    ] {
        let config = PortConfig {
            options: options(|o| {
                o.join = vec![Membership {
                    group: group.parse().unwrap(),
                    interface: Some(interface.to_owned()),
                }];
            }),
            ..PortConfig::default()
        };
        let stage = Stage::with("udp://0.0.0.0:0", config, Echo).await;
        let number = stage.socket_addr().port();
        let dialing = DialOptions {
            options: options(|o| {
                o.multicast_interface = Some(interface.to_owned());
                o.multicast_loop = Some(true);
                o.multicast_ttl = Some(1);
            }),
            ..DialOptions::default()
        };
        let to = address(&format!("udp://{group}:{number}"));
        let mut session = dial(&to, &dialing).await.unwrap();
        session.send("who?").await.unwrap();
        let answer = within(session.recv()).await.unwrap().unwrap();
        assert_eq!(answer.data, "who?", "{group} on {interface}");
        // A machine's own address; which one is the system's choice, unless the interface was named by it.
        let from = answer.from.unwrap();
        assert!(!from.ip().is_multicast(), "{from}");
        assert_eq!(from.port(), number, "{group} on {interface}");
        if let Ok(named) = interface.parse::<std::net::Ipv4Addr>() {
            assert_eq!(from.ip(), named);
        }
        stage.end().await;
    }
}

#[tokio::test]
async fn the_interface_of_a_group_must_be_there() {
    for (group, at) in [
        ("239.255.7.7", "udp://127.0.0.1:0"),
        ("ff01::7", "udp://[::1]:0"),
    ] {
        let bind = async |interface: &str| {
            let config = PortConfig {
                options: options(|o| {
                    o.join = vec![Membership {
                        group: group.parse().unwrap(),
                        interface: Some(interface.to_owned()),
                    }];
                }),
                ..PortConfig::default()
            };
            Port::bind(&address(at), config).await
        };
        bind("lo").await.unwrap();
        let error = bind("nosuch0").await.unwrap_err().to_string();
        assert!(
            error.contains("IP_ADD_MEMBERSHIP") && error.contains("no such device"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn udp_sockets_take_options_too() {
    // A hop limit of 1 reaches the loopback; a session over it works, so the option was accepted.
    let config = PortConfig {
        options: options(|o| {
            o.ttl = Some(1);
            o.receive_buffer = Some(100_000);
        }),
        ..PortConfig::default()
    };
    for at in ["udp://127.0.0.1:0", "udp://[::1]:0"] {
        let stage = Stage::with(at, config.clone(), Echo).await;
        let mut session = stage.dial().await;
        exchange(&mut session, "hi").await;
        assert!(session.raw_socket().is_none(), "messages cannot be skipped");
        stage.end().await;
    }
}

#[tokio::test]
async fn only_an_unframed_unwatched_stream_gives_its_socket() {
    let stage = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let framed = DialOptions {
        framing: sockeye::Framing::Line,
        ..DialOptions::default()
    };
    let session = dial(&stage.address(), &framed).await.unwrap();
    assert!(session.raw_socket().is_none());
    let mut plain = stage.dial().await;
    assert!(plain.raw_socket().is_some());
    plain.send("x").await.unwrap();
    assert_eq!(heard(&mut plain).await, b"x");
    stage.end().await;
}
