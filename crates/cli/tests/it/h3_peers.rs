//! HTTP/3 with peers that we did not write, beside Python's: ngtcp2, both of its ends, and caddy.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::authority::Authority;
use crate::fetch::{fails, fetch, shown};
use crate::fetch_peers::{wait_for, wait_until};
use crate::stage::{Ended, LONG, Line, Run, Server, binary, connect, folder, path, program, words};

const SIZE: usize = 3 << 20;

/// Files to be served, and a certificate for who serves them.
struct Place {
    folder: Arc<TempDir>,
    data: Vec<u8>,
    certificate: PathBuf,
    key: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = folder();
        let data = binary(SIZE);
        let www = path(&folder, "www");
        fs::create_dir(&www).unwrap();
        fs::write(www.join("large"), &data).unwrap();
        fs::write(www.join("small"), "hello").unwrap();
        let ca = Authority::new("Our CA");
        ca.write(folder.path(), "ca.pem");
        let issued = ca.server(&["localhost", "127.0.0.1"]);
        let (certificate, key) = issued.write(folder.path(), "server.pem");
        Self {
            folder,
            data,
            certificate,
            key,
        }
    }

    fn www(&self) -> String {
        path(&self.folder, "www").display().to_string()
    }

    /// Fetches from a server on this port, which is trusted for its certificate.
    fn fetch(&self, port: &str, flags: &str, paths: &[&str]) -> Ended {
        let ca = path(&self.folder, "ca.pem");
        let mut line = format!("-4sS --ca {} {flags}", ca.display());
        for path in paths {
            line.push_str(&format!(" https://localhost:{port}{path}"));
        }
        fetch(&line).home(&self.folder).run()
    }

    /// A port that was free a moment ago, which is likely to be still.
    fn port() -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port().to_string()
    }
}

/// Debian's name for ngtcp2's example of a client; its log is on standard error.
fn ngtcp2(home: &Place, port: &str, flags: &str, file: &str) -> Line {
    let url = format!("https://localhost:{port}/{file}");
    let line = format!(
        "--exit-on-all-streams-close --no-quic-dump --no-http-dump --download=. {flags} 127.0.0.1 {port} {url}"
    );
    program("gtlsclient", words(&line)).home(&home.folder)
}

#[track_caller]
fn downloads(home: &Place, port: &str, flags: &str) -> String {
    let file = path(&home.folder, "large");
    let _ = fs::remove_file(&file);
    let ended = ngtcp2(home, port, flags, "large")
        .start()
        .end_within(LONG * 3);
    assert_eq!(ended.code, 0, "{flags}: {}", ended.err);
    assert!(fs::read(&file).unwrap() == home.data, "{flags}");
    ended.err
}

/// Those of Debian 12 know drafts of it only.
#[track_caller]
fn speaks_version_2_or_says_not(place: &Place, port: &str) {
    let ended = place.fetch(port, "--http3-only -v --quic-version 2", &["/small"]);
    match ended.code {
        0 => assert!(ended.err.contains("* quic version 2, "), "{}", ended.err),
        _ => {
            let told = "it does not speak version 2 of QUIC, but version";
            assert_eq!(ended.code, 5, "{ended:?}");
            assert!(ended.err.contains(told), "{}", ended.err);
        }
    }
}

#[test]
fn ngtcp2_downloads_from_us() {
    let place = Place::new();
    let server = Server::of(["site", &place.www(), "127.0.0.1:0", "-v"]);
    let port = server.port();
    downloads(&place, port, "");
    // It begins with a version that there is not.
    let told = downloads(&place, port, "-v 0x1a2a3a4a --preferred-versions=v1");
    assert!(told.contains("Client selected version 0x1"), "{told}");
    // It resumes, and asks before the handshake is over.
    let kept = "--session-file=session --tp-file=parameters";
    downloads(&place, port, kept);
    let told = downloads(&place, port, kept);
    assert!(told.contains(" 0RTT STREAM("), "{told}");
    assert!(!told.contains("Early data was rejected"), "{told}");
    // It changes its keys, and then its port.
    downloads(
        &place,
        port,
        "--key-update=5ms --change-local-addr=10ms --delay-stream=60ms",
    );
    server.run.err.until(" has moved to ");
}

/// ngtcp2's example of a server.
struct Ngtcp2 {
    _run: Run,
    port: String,
}

impl Ngtcp2 {
    fn start(place: &Place, flags: &str) -> Self {
        let port = Place::port();
        let line = format!(
            "-q -d {} {flags} 127.0.0.1 {port} {} {}",
            place.www(),
            place.key.display(),
            place.certificate.display()
        );
        let run = program("gtlsserver", words(&line)).start();
        wait_until("ngtcp2's server", || {
            place.fetch(&port, "--http3-only", &["/small"]).code == 0
        });
        Self { _run: run, port }
    }
}

#[test]
fn we_fetch_from_ngtcp2() {
    let place = Place::new();
    let server = Ngtcp2::start(&place, "");
    let port = &server.port;
    let whole = place.fetch(port, "--http3-only", &["/large"]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    assert!(whole.out == place.data);
    let flags = "--http3-only -v --no-reuse --early-data";
    let twice = place.fetch(port, flags, &["/small", "/small"]);
    shown(&twice, 0, "hellohello");
    for part in [", 0-RTT no\n", ", 0-RTT accepted\n", ", resumed\n"] {
        assert!(twice.err.contains(part), "{part}: {}", twice.err);
    }
    speaks_version_2_or_says_not(&place, port);
    let ca = path(&place.folder, "ca.pem");
    let line = format!("h3://localhost:{port}/small -4 --ca {} -d", ca.display());
    let connected = connect(&line).run();
    assert_eq!((connected.code, &*connected.text()), (0, "hello"));
}

#[test]
fn ngtcp2_makes_sure_that_we_are_there() {
    let place = Place::new();
    let server = Ngtcp2::start(&place, "--validate-addr");
    let ended = place.fetch(&server.port, "--http3-only -v", &["/small"]);
    shown(&ended, 0, "hello");
    let told = ended.err.contains(", 0-RTT no, after a Retry\n");
    assert!(told, "{}", ended.err);
    let ended = place.fetch(&server.port, "--http3-only --json", &["/small"]);
    assert!(ended.err.contains(r#""retry":true"#), "{}", ended.err);
}

/// caddy, which serves files over all versions of HTTP.
struct Caddy {
    _run: Run,
    port: String,
}

impl Caddy {
    fn start(place: &Place) -> Self {
        let port = Place::port();
        let own = place.folder.path().display();
        let config = format!(
            "{{
                admin off
                auto_https disable_redirects
                skip_install_trust
                storage file_system {own}/caddy
            }}
            https://localhost:{port} {{
                bind 127.0.0.1
                tls {} {}
                root * {}
                file_server
            }}
            ",
            place.certificate.display(),
            place.key.display(),
            place.www()
        );
        let file = path(&place.folder, "Caddyfile");
        fs::write(&file, config).unwrap();
        let file = file.display().to_string();
        let words = ["run", "--adapter", "caddyfile", "--config", &file];
        let run = program("caddy", words).home(&place.folder).start();
        wait_for(&format!("127.0.0.1:{port}"));
        Self { _run: run, port }
    }
}

#[test]
fn we_fetch_from_caddy() {
    let place = Place::new();
    let caddy = Caddy::start(&place);
    let port = &caddy.port;
    let whole = place.fetch(port, "--http3-only", &["/large"]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    assert!(whole.out == place.data);
    let part = place.fetch(port, "--http3-only -r 5-9", &["/large"]);
    assert!(part.out == place.data[5..10], "{part:?}");
    let flags = "--http3-only -v --no-reuse --early-data";
    let twice = place.fetch(port, flags, &["/small", "/small"]);
    shown(&twice, 0, "hellohello");
    for part in [", 0-RTT no\n", ", 0-RTT accepted\n", ", resumed\n"] {
        assert!(twice.err.contains(part), "{part}: {}", twice.err);
    }
    speaks_version_2_or_says_not(&place, port);
    // It tells of HTTP/3, which is taken the next time.
    let first = place.fetch(port, "-v", &["/small"]);
    assert!(first.err.contains("< HTTP/2 200\n"), "{}", first.err);
    assert!(
        first.err.contains(" which is remembered\n"),
        "{}",
        first.err
    );
    let second = place.fetch(port, "-v", &["/small"]);
    assert!(second.err.contains("< HTTP/3 200\n"), "{}", second.err);
    let missing = place.fetch(port, "--http3-only -f", &["/nonesuch"]);
    fails(&missing, 6, &["404"]);
    let ca = path(&place.folder, "ca.pem");
    let line = format!("h3://localhost:{port}/small -4 --ca {} -d", ca.display());
    let connected = connect(&line).run();
    assert_eq!((connected.code, &*connected.text()), (0, "hello"));
}
