//! QUIC and HTTP/3 over a path with faults: what was sent arrives whole, and text beside it arrives or is counted.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::apart::{LOOPBACK, runs_apart};
use crate::rough::{RoughPath, Weather};
use crate::stage::{LONG, Run, Server, binary, connect, folder, path, program};

const SIZE: usize = 2 << 20;

/// A transfer to an echo and back, under way.
struct Transfer {
    client: Run,
    data: Vec<u8>,
    writing: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Transfer {
    fn begin(scheme: &str, path: &RoughPath, more: &str) -> Self {
        let line = format!("{scheme}://{} --insecure {more}", path.at);
        let mut client = connect(&line).start();
        let data = binary(SIZE);
        let (mut input, sent) = (client.take_input(), data.clone());
        let writing = std::thread::spawn(move || input.write_all(&sent));
        Self {
            client,
            data,
            writing,
        }
    }

    /// Waits for its end: everything has come back, byte for byte.
    #[track_caller]
    fn end(mut self) {
        let ended = self.client.end_within(LONG * 4);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let size = ended.out.len();
        assert!(ended.out == self.data, "{size} bytes came: {}", ended.err);
        self.writing.join().unwrap().unwrap();
    }
}

/// Transfers over both, at the same time, on a path with this weather.
fn transfers_over(weather: Weather) -> RoughPath {
    let server = Server::start("echo 127.0.0.1:0");
    let path = RoughPath::to(&server.at, weather);
    let both = ["quic", "h3"].map(|scheme| Transfer::begin(scheme, &path, ""));
    both.into_iter().for_each(Transfer::end);
    path
}

#[test]
fn one_of_twenty_datagrams_is_lost() {
    if runs_apart("faults::one_of_twenty_datagrams_is_lost", LOOPBACK) {
        return;
    }
    const TEXTS: usize = 300;
    let server = Server::start("echo 127.0.0.1:0");
    let weather = Weather {
        loss: 5,
        ..Weather::default()
    };
    let path = RoughPath::to(&server.at, weather);
    let both = ["quic", "h3"].map(|scheme| Transfer::begin(scheme, &path, ""));
    let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
    plain.connect(path.at).unwrap();
    plain
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut missing: BTreeSet<_> = (0..TEXTS).map(|n| format!("text {n}, 你好")).collect();
    let mut hear = || {
        let mut answer = [0; 100];
        if let Ok(n) = plain.recv(&mut answer) {
            let text = String::from_utf8(answer[..n].to_vec()).unwrap();
            assert!(missing.remove(&text), "{text:?} came twice, or changed");
        }
        missing.len()
    };
    for number in 0..TEXTS {
        plain
            .send(format!("text {number}, 你好").as_bytes())
            .unwrap();
        hear();
    }
    // What was lost on the path is known; nothing else is missing.
    let lost = || path.lost(plain.local_addr().unwrap());
    let began = Instant::now();
    while hear() != lost() {
        assert!(began.elapsed() < LONG, "the path has lost {}", lost());
    }
    assert!((1..TEXTS / 2).contains(&lost()), "{}", lost());
    both.into_iter().for_each(Transfer::end);
    assert!(
        path.all_lost() > 2 * SIZE / 1500 / 20,
        "{}",
        path.all_lost()
    );
}

#[test]
fn datagrams_overtake_each_other() {
    if runs_apart("faults::datagrams_overtake_each_other", LOOPBACK) {
        return;
    }
    let path = transfers_over(Weather {
        delay: Duration::from_millis(3),
        overtaking: 10,
        ..Weather::default()
    });
    assert!(path.overtaken() > 100, "{}", path.overtaken());
}

#[test]
fn every_datagram_takes_a_tenth_of_a_second() {
    if runs_apart("faults::every_datagram_takes_a_tenth_of_a_second", LOOPBACK) {
        return;
    }
    let began = Instant::now();
    let delay = Duration::from_millis(100);
    transfers_over(Weather {
        delay,
        ..Weather::default()
    });
    // A handshake, and what is sent and comes back.
    assert!(began.elapsed() > 4 * delay);
}

#[test]
fn nothing_passes_for_ten_seconds() {
    if runs_apart("faults::nothing_passes_for_ten_seconds", LOOPBACK) {
        return;
    }
    const HOLE: Duration = Duration::from_secs(10);
    let server = Server::start("echo 127.0.0.1:0");
    let weather = Weather {
        delay: Duration::from_millis(20),
        ..Weather::default()
    };
    // A path each, so that each has something on its way when nothing passes any more.
    let both = ["quic", "h3"].map(|scheme| {
        let path = RoughPath::to(&server.at, weather);
        let transfer = Transfer::begin(scheme, &path, "");
        transfer.client.out.at_least(SIZE / 16);
        path.swallow_all(HOLE);
        (path, transfer, Instant::now())
    });
    for (path, transfer, began) in both {
        transfer.end();
        assert!(path.swallowed() > 0);
        assert!(began.elapsed() >= HOLE, "{:?}", began.elapsed());
    }
}

#[test]
fn the_clients_address_changes_on_the_way() {
    if runs_apart("faults::the_clients_address_changes_on_the_way", LOOPBACK) {
        return;
    }
    for scheme in ["quic", "h3"] {
        let server = Server::start("echo 127.0.0.1:0");
        let weather = Weather {
            delay: Duration::from_millis(10),
            ..Weather::default()
        };
        let path = RoughPath::to(&server.at, weather);
        // A router that forgets, while everything is on its way.
        let transfer = Transfer::begin(scheme, &path, "");
        transfer.client.out.at_least(SIZE / 16);
        path.rebind();
        transfer.end();
        // A client that moves by itself.
        let transfer = Transfer::begin(scheme, &path, "--migrate-after 100ms");
        transfer.client.err.until("moved from ");
        transfer.end();
        let moves = server.run.err.text().matches(" has moved to ").count();
        assert!(moves >= 2, "{scheme}: {moves}");
    }
}

/// Namespaces in which we are root.
const UNSHARE: [&str; 3] = ["--map-root-user", "--net", "--mount"];

#[test]
fn the_clients_address_is_gone_and_another_comes() {
    let may = program("unshare", UNSHARE.iter().chain(&["true"])).run();
    if may.code != 0 {
        eprintln!("not tested, because no namespaces can be made here: {may:?}");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/path_change.sh");
    let home = folder();
    let data = binary(16 << 20);
    std::fs::write(path(&home, "data"), &data).unwrap();
    for scheme in ["quic", "h3"] {
        let arguments = ["sh", script, env!("CARGO_BIN_EXE_sockeye"), scheme];
        let arguments = UNSHARE.iter().chain(&arguments).chain(&["data", "back"]);
        let mut both = program("unshare", arguments).home(&home).start();
        let told = both.end_within(LONG * 4);
        let text = told.text();
        assert_eq!(told.code, 0, "{scheme}: {text}{}", told.err);
        assert!(
            std::fs::read(path(&home, "back")).unwrap() == data,
            "{text}"
        );
        for (before, rest) in [
            ("note: moved from 10.9.0.1:", " to 10.9.0.3:"),
            ("note: 10.9.0.1:", " has moved to 10.9.0.3:"),
        ] {
            let line = text.lines().find(|line| line.starts_with(before));
            assert!(
                line.is_some_and(|line| line.contains(rest)),
                "{scheme}: {text}"
            );
        }
    }
}
