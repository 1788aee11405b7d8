//! Relays: any end to any end, several targets, targets that are not there, headers, proxies.

use std::time::Duration;

use sockeye::service::{Balance, Echo, Relay, Reply, Upper};
use sockeye::{
    Address, DialOptions, Endpoint, Framing, PortConfig, Proxy, ProxyVersion, Session, dial,
    service_fn,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Stage, address, exchange, heard, heard_bytes, heard_to_the_end, within};

fn relay(targets: &[&Address]) -> Relay {
    let targets = targets.iter().map(|&target| target.clone()).collect();
    Relay::new(targets, DialOptions::default())
}

async fn to(target: &Stage, at: &str) -> Stage {
    Stage::new(at, relay(&[&target.address()])).await
}

/// Addresses of every kind to listen on.
fn kinds(folder: &TempDir) -> [String; 4] {
    let place = |kind: &str, name: &str| format!("{kind}:{}", folder.path().join(name).display());
    [
        "tcp://127.0.0.1:0".to_owned(),
        "udp://127.0.0.1:0".to_owned(),
        place("unix", "s"),
        place("unixgram", "g"),
    ]
}

/// Whether an end has a way to say that it is one.
fn is_stream(kind: usize) -> bool {
    kind.is_multiple_of(2)
}

async fn from_carrier_to_carrier(near: usize, far: usize) {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let target = Stage::new(&kinds(&folders[0])[far], Echo).await;
    let mut stage = to(&target, &kinds(&folders[1])[near]).await;
    let mut client = stage.dial().await;
    exchange(&mut client, "hello").await;
    let info = stage.events.opened().await;
    exchange(&mut client, "乔治").await;
    if is_stream(near) && is_stream(far) {
        client.finish().await.unwrap();
        assert_eq!(heard_to_the_end(&mut client).await, [[0; 0]; 0]);
        let closed = stage.events.closed().await;
        let out = info.counters().bytes_out();
        assert_eq!((closed.how, out), ("PeerFinished", 11));
    }
    drop(client);
    stage.end().await;
    target.end().await;
}

#[tokio::test]
async fn any_carrier_to_any_carrier() {
    let pairs = (0..4).flat_map(|near| (0..4).map(move |far| (near, far)));
    let all = pairs.map(|(near, far)| tokio::spawn(from_carrier_to_carrier(near, far)));
    for pair in all.collect::<Vec<_>>() {
        pair.await.unwrap();
    }
}

#[tokio::test]
async fn datagrams_stay_datagrams() {
    let target = Stage::new("udp://127.0.0.1:0", Upper).await;
    let stage = to(&target, "udp://127.0.0.1:0").await;
    let mut client = stage.dial().await;
    for text in ["a", "", "bcd"] {
        client.send(text).await.unwrap();
        assert_eq!(heard(&mut client).await, text.to_uppercase().as_bytes());
    }
    client.send(vec![b'x'; 60_000]).await.unwrap();
    assert_eq!(heard(&mut client).await, vec![b'X'; 60_000]);
    stage.end().await;
    target.end().await;
}

#[tokio::test]
async fn lines_become_datagrams_and_back() {
    let target = Stage::new("udp://127.0.0.1:0", Upper).await;
    let options = DialOptions::default();
    let config = PortConfig {
        framing: Framing::Line,
        ..PortConfig::default()
    };
    let service = Relay::new(vec![target.address()], options);
    let mut stage = Stage::with("tcp://127.0.0.1:0", config, service).await;
    let mut client = stage.dial().await;
    client.send("one\n\ntwo\n").await.unwrap();
    assert_eq!(heard_bytes(&mut client, 9).await, b"ONE\n\nTWO\n");
    // Somebody's message that no datagram holds is not cut, and not dropped in silence.
    client
        .send([&[b'x'; 70_000][..], b"\n"].concat())
        .await
        .unwrap();
    let closed = stage.events.closed().await;
    assert!(
        closed
            .text
            .contains("a datagram of 70000 bytes is too large"),
        "{closed:?}"
    );
    stage.end().await;
    target.end().await;
}

fn says(answer: &'static str) -> Reply {
    Reply {
        answer: answer.into(),
        close: true,
        content_type: None,
    }
}

/// What several sessions in a row are answered.
async fn answers(stage: &Stage, count: usize) -> String {
    let mut all = String::new();
    for _ in 0..count {
        let mut client = stage.dial().await;
        client.send("?").await.unwrap();
        all.push_str(&String::from_utf8(heard(&mut client).await).unwrap());
    }
    all
}

/// An address that nobody listens on: the port is bound and not listened on.
fn nobody() -> (socket2::Socket, Address) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let at = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address(&format!("tcp://{at}")))
}

#[tokio::test]
async fn several_targets_take_turns_and_those_that_refuse_are_passed_over() {
    let (_held, dead) = nobody();
    let a = Stage::new("tcp://127.0.0.1:0", says("a")).await;
    let b = Stage::new("tcp://127.0.0.1:0", says("b")).await;
    let (a_at, b_at) = (a.address(), b.address());
    for (targets, balance, expected) in [
        (vec![&a_at, &b_at], Balance::RoundRobin, "ababab"),
        (vec![&a_at, &b_at], Balance::First, "aaaaaa"),
        (vec![&dead, &b_at], Balance::First, "bbbbbb"),
        // It has its turn each time: nothing is remembered.
        (vec![&a_at, &dead, &b_at], Balance::RoundRobin, "abbabb"),
    ] {
        let mut stage = Stage::new("tcp://127.0.0.1:0", relay(&targets).balance(balance)).await;
        assert_eq!(answers(&stage, 6).await, expected);
        if targets.contains(&&dead) {
            stage
                .events
                .note("passed over: cannot connect to 127.0.0.1:")
                .await;
        }
        stage.end().await;
    }
    a.end().await;
    b.end().await;
}

#[tokio::test]
async fn without_a_target_the_client_is_reset_and_the_observer_told() {
    let (_held, dead) = nobody();
    let mut stage = Stage::new("tcp://127.0.0.1:0", relay(&[&dead])).await;
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    let closed = stage.events.closed().await;
    assert_eq!(closed.how, "Failed");
    assert!(closed.text.ends_with(": connection refused"), "{closed:?}");
    let error = within(client.read_to_end(&mut Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    stage.end().await;
}

#[tokio::test]
async fn a_target_hears_for_whom_it_is_dialed() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = target.local_addr().unwrap();
        let options = DialOptions {
            send_proxy: Some(version),
            ..DialOptions::default()
        };
        let service = Relay::new(vec![address(&format!("tcp://{at}"))], options);
        let stage = Stage::new("tcp://127.0.0.1:0", service).await;
        let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut accepted, _) = within(target.accept()).await.unwrap();
        let mut all = Vec::new();
        within(accepted.read_to_end(&mut all)).await.unwrap();
        let (from, to) = (client.local_addr().unwrap(), stage.socket_addr());
        let expected = match version {
            ProxyVersion::V1 => {
                let (from_port, to_port) = (from.port(), to.port());
                format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from_port} {to_port}\r\nhello")
                    .into_bytes()
            }
            ProxyVersion::V2 => {
                let mut head =
                    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
                head.extend(from.port().to_be_bytes());
                head.extend(to.port().to_be_bytes());
                [&head[..], b"hello"].concat()
            }
        };
        assert_eq!(all, expected);
        drop(accepted);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_stop_ends_relays_that_rest_and_lets_the_last_answers_through() {
    // A target that answers the end of its client.
    let last_words = service_fn(async |mut session: Session| {
        while session.recv().await?.is_some() {}
        session.send("goodbye").await?;
        session.finish().await
    });
    let mut target = Stage::new("tcp://127.0.0.1:0", last_words).await;
    let stage = to(&target, "tcp://127.0.0.1:0").await;
    let mut client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    target.events.opened().await;
    let hearing = tokio::spawn(async move {
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        all
    });
    stage.end().await;
    assert_eq!(within(hearing).await.unwrap(), "goodbye");
    target.end().await;
}

#[tokio::test]
async fn a_stop_waits_a_second_for_a_target_that_goes_on() {
    let deaf = service_fn(async |session: Session| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(session);
        Ok(())
    });
    let target = Stage::new("tcp://127.0.0.1:0", deaf).await;
    let mut stage = to(&target, "tcp://127.0.0.1:0").await;
    let _client = TcpStream::connect(stage.socket_addr()).await.unwrap();
    stage.events.opened().await;
    let began = std::time::Instant::now();
    stage.end().await;
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "the grace was not needed: {took:?}"
    );
    drop(target);
}

/// A SOCKS5 proxy of the test's own (RFC 1928, RFC 1929): takes the user `me` with the password `secret`,
/// or everybody, and reports what it was asked for.
async fn socks(wants_password: bool) -> (Address, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = address(&format!("tcp://{}", listener.local_addr().unwrap()));
    let (told, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                if let Some(mut there) = serve_socks(&mut client, wants_password, told).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut there).await;
                }
            });
        }
    });
    (at, asked)
}

async fn serve_socks(
    client: &mut TcpStream,
    wants_password: bool,
    told: tokio::sync::mpsc::UnboundedSender<String>,
) -> Option<TcpStream> {
    let mut head = [0; 2];
    client.read_exact(&mut head).await.ok()?;
    let mut methods = vec![0; head[1].into()];
    client.read_exact(&mut methods).await.ok()?;
    let method = if wants_password { 2 } else { 0 };
    if !methods.contains(&method) {
        client.write_all(&[5, 0xff]).await.ok()?;
        return None;
    }
    client.write_all(&[5, method]).await.ok()?;
    if wants_password {
        let mut proof = [0; 11];
        client.read_exact(&mut proof).await.ok()?;
        let good = &proof == b"\x01\x02me\x06secret";
        client.write_all(&[1, u8::from(!good)]).await.ok()?;
        if !good {
            return None;
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        1 => client
            .read_u32()
            .await
            .map(|ip| std::net::Ipv4Addr::from(ip).to_string())
            .ok()?,
        _ => {
            let mut name = vec![0; client.read_u8().await.ok()?.into()];
            client.read_exact(&mut name).await.ok()?;
            String::from_utf8(name).ok()?
        }
    };
    let port = client.read_u16().await.ok()?;
    told.send(format!("{host}:{port}")).ok()?;
    // The name that the tests use is known to this proxy alone.
    let there = TcpStream::connect((host.replace("echo.test", "127.0.0.1"), port)).await;
    let code = if there.is_ok() { 0 } else { 5 };
    client
        .write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .ok()?;
    there.ok()
}

fn through(proxy: &Address, user: &str) -> DialOptions {
    let proxy = proxy
        .to_string()
        .replace("tcp://", &format!("socks5://{user}"));
    DialOptions {
        proxy: Some(proxy.parse::<Proxy>().unwrap()),
        ..DialOptions::default()
    }
}

#[tokio::test]
async fn through_a_proxy_that_resolves_names() {
    let echo = Stage::new("tcp://127.0.0.1:0", Echo).await;
    let port = echo.socket_addr().port();
    for (wants_password, user) in [(false, ""), (true, "me:secret@"), (false, "me:secret@")] {
        let (proxy, mut asked) = socks(wants_password).await;
        let options = through(&proxy, user);
        let named = address(&format!("tcp://echo.test:{port}"));
        let mut session = within(dial(&named, &options)).await.unwrap();
        assert_eq!(
            session.info().peer(),
            &Endpoint::Named(format!("echo.test:{port}").into())
        );
        exchange(&mut session, "hello").await;
        assert_eq!(asked.recv().await.unwrap(), format!("echo.test:{port}"));
        let mut session = within(dial(&echo.address(), &options)).await.unwrap();
        assert_eq!(
            session.info().peer().socket_addr(),
            Some(echo.socket_addr())
        );
        exchange(&mut session, "hello").await;
        // The same as a relay's way to its target.
        let stage = Stage::new("tcp://127.0.0.1:0", Relay::new(vec![named], options)).await;
        exchange(&mut stage.dial().await, "hello").await;
        stage.end().await;
    }
    echo.end().await;
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_in_its_words() {
    let (_held, dead) = nobody();
    let (proxy, _asked) = socks(true).await;
    let shown = proxy.to_string().replace("tcp", "socks5");
    for (user, reason) in [
        ("", "it wants a user and a password"),
        ("me:wrong!@", "it did not accept the user and the password"),
        ("me:secret@", "it says: connection refused"),
    ] {
        let error = within(dial(&dead, &through(&proxy, user)))
            .await
            .unwrap_err();
        let target = dead.to_string().replace("tcp://", "");
        assert_eq!(
            error.to_string(),
            format!("cannot connect to {target} through {shown}: {reason}")
        );
    }
    // A proxy that is not there, one that is none, and one that goes away.
    let error = within(dial(&dead, &through(&dead, ""))).await.unwrap_err();
    let target = dead.to_string().replace("tcp://", "");
    assert_eq!(
        error.to_string(),
        format!("cannot connect to the proxy {target}: connection refused")
    );
    let web = Stage::new(
        "tcp://127.0.0.1:0",
        says("HTTP/1.1 400 Bad Request\r\n\r\n"),
    )
    .await;
    let error = within(dial(&dead, &through(&web.address(), "")))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("it does not speak SOCKS5"),
        "{error}"
    );
    let mute = Stage::new("tcp://127.0.0.1:0", says("")).await;
    let error = within(dial(&dead, &through(&mute.address(), "")))
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("it closed the connection"),
        "{error}"
    );
}

#[tokio::test]
async fn a_proxy_is_not_gone_past() {
    let (proxy, mut asked) = socks(false).await;
    let udp = address("udp://127.0.0.1:9");
    let error = within(dial(&udp, &through(&proxy, ""))).await.unwrap_err();
    assert!(error.to_string().contains("takes TCP only"), "{error}");
    assert!(asked.try_recv().is_err());
}
