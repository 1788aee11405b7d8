//! Peers in TLS that we did not write, in both roles: openssl, ncat, socat, curl and Python's ssl.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::authority::Authority;
use crate::stage::{
    Ended, Line, Run, Server, binary, connect, folder, path, program, sockeye, words,
};

const SIZE: usize = 1 << 20;

/// A server whose certificate `ca.pem` in its folder has signed.
struct Secured {
    server: Server,
    folder: Arc<TempDir>,
    ca: Authority,
}

impl Secured {
    #[track_caller]
    fn start(line: &str) -> Self {
        let folder = folder();
        let ca = Authority::new("Our CA");
        ca.write(folder.path(), "ca.pem");
        let (certificate, key) = ca
            .server(&["localhost", "127.0.0.1"])
            .write(folder.path(), "s.pem");
        let files = format!("--cert {} --key {}", certificate.display(), key.display());
        let server = Server::start(&format!("{line} {files}"));
        Self { server, folder, ca }
    }

    fn ca(&self) -> String {
        path(&self.folder, "ca.pem").display().to_string()
    }

    /// `openssl s_client` to it, which verifies and ends when it may not.
    fn s_client(&self, more: &str) -> Line {
        let at = format!("127.0.0.1:{}", self.server.port());
        let ca = self.ca();
        let fixed = [
            "s_client",
            "-connect",
            &at,
            "-CAfile",
            &ca,
            "-verify_return_error",
        ];
        program("openssl", fixed.into_iter().chain(words(more)))
    }
}

fn secure<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Line {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/secure.py");
    let arguments = arguments.into_iter().map(|word| word.as_ref().to_owned());
    let script = ["-u".into(), script.into_os_string()];
    program("python3", script.into_iter().chain(arguments))
}

#[track_caller]
fn same(ended: &Ended, data: &[u8]) {
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out.len(), data.len(), "{}", ended.err);
    assert!(ended.out == data, "the bytes differ");
}

#[test]
fn openssl_in_both_versions() {
    let secured = Secured::start("echo -v 127.0.0.1:0");
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let line = format!("{version} -servername some.example -alpn strange,other");
        let mut client = secured.s_client(&line).start();
        client.say("hello\n");
        let out = client.out.until("hello\n");
        assert!(out.contains("Verification: OK"), "{out}");
        assert!(out.contains("No ALPN negotiated"), "{out}");
        let told = secured.server.run.err.rest_of(&format!(" {shown} "));
        assert!(told.ends_with(", server name some.example"), "{told}");
        // The end of input is close_notify, and ours answers it.
        assert_eq!(client.hang_up_and_end().code, 0);
    }
    for old in ["-tls1", "-tls1_1"] {
        let ended = secured
            .s_client(&format!("{old} -cipher DEFAULT@SECLEVEL=0"))
            .run();
        assert_ne!(ended.code, 0);
        assert!(ended.err.contains("alert handshake failure"), "{ended:?}");
    }
    let said = secured
        .server
        .run
        .err
        .until("it speaks TLS 1.1 or older, which is not spoken here");
    assert!(!said.contains("close_notify"), "{said}");
}

#[test]
fn openssl_chooses_http_by_name() {
    let secured = Secured::start("echo 127.0.0.1:0");
    for (offered, chosen) in [("http/1.1", "http/1.1"), ("x,h2,http/1.1", "h2")] {
        let mut client = secured.s_client(&format!("-alpn {offered}")).start();
        client.out.until(&format!("ALPN protocol: {chosen}"));
        client.hang_up_and_end();
    }
    // Where only plain bytes are served nothing of that kind is promised.
    let secured = Secured::start("echo tls://127.0.0.1:0");
    let mut client = secured.s_client("-alpn h2,http/1.1").start();
    client.say("GET / HTTP/1.1\r\n");
    let out = client.out.until("GET / HTTP/1.1\r\n");
    assert!(out.contains("No ALPN negotiated"), "{out}");
}

#[test]
fn openssl_resumes_its_session() {
    let secured = Secured::start("echo -v tls://127.0.0.1:0");
    for version in ["-tls1_2", "-tls1_3"] {
        let session = path(&secured.folder, version).display().to_string();
        let mut first = secured
            .s_client(&format!("{version} -sess_out {session}"))
            .start();
        first.say("hello\n");
        let out = first.out.until("hello\n");
        assert!(out.contains("\nNew, TLSv1."), "{out}");
        first.hang_up_and_end();
        let mut second = secured
            .s_client(&format!("{version} -sess_in {session}"))
            .start();
        second.say("again\n");
        let out = second.out.until("again\n");
        assert!(out.contains("\nReused, TLSv1."), "{version} {out}");
        second.hang_up_and_end();
    }
    secured.server.run.err.until(", resumed\n");
}

#[test]
fn openssl_asks_for_another_handshake_in_vain() {
    let secured = Secured::start("echo tls://127.0.0.1:0");
    let mut client = secured.s_client("-tls1_2").start();
    client.say("hello\n");
    client.out.until("hello\n");
    // A line that begins with R is a renegotiation for s_client.
    client.say("R\n");
    let refused = client.end();
    assert!(refused.err.contains("no renegotiation"), "{}", refused.err);
    let ended = connect(&format!(
        "tls://{} --ca {}",
        secured.server.at,
        secured.ca()
    ))
    .with("hi");
    assert_eq!(
        ended.text(),
        "hi",
        "the others are not concerned: {ended:?}"
    );
    // In TLS 1.3 there is an update of keys in its place, and it is answered.
    let mut client = secured.s_client("-tls1_3").start();
    client.say("hello\n");
    client.out.until("hello\n");
    client.say("K\n");
    client.err.until("KEYUPDATE");
    client.say("still here\n");
    client.out.until("still here\n");
}

#[test]
fn openssl_shows_a_certificate() {
    let folder = folder();
    let ca = Authority::new("Their CA");
    let trusted = ca.write(folder.path(), "clients.pem");
    let line = format!(
        "echo -v tls://127.0.0.1:0 --client-ca {}",
        trusted.display()
    );
    let secured = Secured::start(&line);
    let (certificate, key) = ca.client("george").write(folder.path(), "george.pem");
    let george = format!("-cert {} -key {}", certificate.display(), key.display());
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = secured.s_client(&format!("{version} {george}")).start();
        client.say("hello\n");
        client.out.until("hello\n");
        client.hang_up_and_end();
        let mut stranger = secured.s_client(version).start();
        let said = stranger.end();
        let alert = "alert certificate required";
        assert!(said.err.contains(alert), "{version} {}", said.err);
    }
    let own = secured.ca.client("own").write(folder.path(), "own.pem");
    let wrong = format!("-cert {} -key {}", own.0.display(), own.1.display());
    let said = secured.s_client(&wrong).start().end();
    assert!(said.err.contains("alert unknown ca"), "{said:?}");
    let said = secured.server.run.err.until("not trusted, CN=Our CA");
    assert_eq!(
        said.matches("it showed no certificate").count(),
        2,
        "{said}"
    );
    assert_eq!(said.matches("\ncertificate #").count(), 2, "{said}");
}

#[test]
fn keys_of_every_kind_that_openssl_writes() {
    for (make, begins) in [
        ("genrsa -traditional -out {key} 2048", "RSA PRIVATE KEY"),
        ("genrsa -out {key} 2048", "PRIVATE KEY"),
        (
            "ecparam -name prime256v1 -genkey -noout -out {key}",
            "EC PRIVATE KEY",
        ),
        (
            "ecparam -name secp384r1 -genkey -noout -out {key}",
            "EC PRIVATE KEY",
        ),
        ("genpkey -algorithm ed25519 -out {key}", "PRIVATE KEY"),
    ] {
        let folder = folder();
        let [key, certificate] =
            ["key", "cert"].map(|name| path(&folder, name).display().to_string());
        let openssl = program("openssl", words(&make.replace("{key}", &key))).run();
        let text = std::fs::read_to_string(&key).unwrap_or_default();
        assert!(
            text.contains(&format!("BEGIN {begins}-----")),
            "{make}: {}",
            openssl.err
        );
        let line = format!(
            "req -x509 -new -key {key} -subj /CN=localhost -addext subjectAltName=DNS:localhost -out {certificate}"
        );
        let openssl = program("openssl", words(&line)).run();
        assert_eq!(openssl.code, 0, "{}", openssl.err);
        let server = Server::start(&format!(
            "echo tls://127.0.0.1:0 --cert {certificate} --key {key}"
        ));
        let to = format!("tls://localhost:{} --ca {certificate}", server.port());
        let ended = connect(&to).with("hi");
        assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{make}: {ended:?}");
    }
}

#[test]
fn clients_of_others_through_our_echo() {
    let secured = Secured::start("echo 127.0.0.1:0");
    let data = binary(SIZE);
    let (port, ca) = (secured.server.port(), secured.ca());
    same(
        &secure(["through", "127.0.0.1", port, &ca]).with(&data),
        &data,
    );
    let socat = format!("OPENSSL:localhost:{port},pf=ip4,cafile={ca}");
    same(&program("socat", ["-t10", "-", &socat]).with(&data), &data);
    let ncat = words("--ssl-verify --ssl-trustfile").into_iter();
    let ncat = ncat.chain([&*ca, "localhost", port]);
    same(
        &program("ncat", words("--ssl -4").into_iter().chain(ncat)).with(&data),
        &data,
    );
}

#[test]
fn curl_hears_what_it_said_and_ends_as_it_likes() {
    let secured = Secured::start("echo 127.0.0.1:0");
    let file = path(&secured.folder, "file");
    let data = binary(SIZE);
    std::fs::write(&file, &data).unwrap();
    let (at, ca) = (secured.server.port(), secured.ca());
    let body = format!("@{}", file.display());
    let to = format!("https://localhost:{at}/");
    for more in [
        "--http1.1",
        "--http2",
        "--http1.1 --no-alpn",
        "--tls-max 1.2",
    ] {
        let flags = ["-sS4", "--cacert", &ca, "--data-binary", &body, &to].into_iter();
        let ended = program("curl", flags.chain(words(more))).run();
        same(&ended, &data);
    }
    let said = secured.server.run.err.text();
    assert!(
        !said.contains("close_notify"),
        "HTTP knows its ends: {said}"
    );
    let refused = program("curl", ["-sS4", &to]).run();
    assert_eq!(refused.code, 60, "{refused:?}");
}

#[test]
fn python_agrees_on_http_by_name() {
    let secured = Secured::start("echo 127.0.0.1:0");
    let port = secured.server.port();
    for (names, chosen) in [
        (&["h2", "http/1.1"][..], "h2\n"),
        (&["http/1.1"], "http/1.1\n"),
        (&["strange"], "None\n"),
    ] {
        let ended = secure(["by_name", "127.0.0.1", port].iter().chain(names)).run();
        assert_eq!(ended.text(), chosen, "{ended:?}");
    }
}

#[test]
fn a_client_that_cuts_the_connection_is_told_of() {
    let secured = Secured::start("echo tls://127.0.0.1:0");
    let ended = secure(["cut", "127.0.0.1", secured.server.port()]).run();
    assert_eq!(ended.text(), "b'half a mess'\n", "{ended:?}");
    let note = secured.server.run.err.rest_of("note: 127.0.0.1:");
    assert!(
        note.ends_with(" closed without close_notify: the end may be missing"),
        "{note}"
    );
    let closed = secured.server.run.err.rest_of("close #");
    assert!(closed.contains("the peer closed; in 11 bytes"), "{closed}");
}

/// A server in Python with a certificate of an authority in the folder.
#[track_caller]
pub(crate) fn python_server(kind: &str) -> (Server, Arc<TempDir>, String) {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = ca.write(folder.path(), "ca.pem");
    let (certificate, key) = ca.server(&["127.0.0.1"]).write(folder.path(), "s.pem");
    let server = Server::ready(secure([
        OsStr::new(kind),
        certificate.as_os_str(),
        key.as_os_str(),
    ]));
    let to = format!("tls://{} --ca {}", server.at, trusted.display());
    (server, folder, to)
}

#[test]
fn half_a_conversation_is_finished_and_answered() {
    let (_server, _folder, to) = python_server("sum_server");
    let data = binary(SIZE);
    let ended = connect(&to).with(&data);
    assert_eq!(
        (ended.code, &*ended.text()),
        (0, "1048576 bytes\n"),
        "close_notify first, and the answer after it: {ended:?}"
    );
    assert!(!ended.err.contains("note:"), "{ended:?}");
}

#[test]
fn input_goes_through_unchanged_to_servers_of_others() {
    let data = binary(SIZE);
    let (_server, _folder, to) = python_server("echo_server");
    same(&connect(&to).with(&data), &data);
}

#[test]
fn a_server_that_cuts_the_connection_is_told_of() {
    let (_server, _folder, to) = python_server("cutting_server");
    let ended = connect(&to).run();
    assert_eq!((ended.code, ended.out.len()), (0, 13), "{ended:?}");
    let note = "closed without close_notify: the end may be missing";
    assert_eq!(ended.err.matches(note).count(), 1, "{ended:?}");
    // A framing that misses something makes an error of it.
    let ended = connect(&format!("{to} --frame length:u32be")).run();
    assert_eq!(
        (ended.code, ended.out.len()),
        (0, 9),
        "whole as it is: {ended:?}"
    );
    let ended = connect(&format!("{to} --frame fixed:20")).run();
    assert_eq!(ended.code, 5, "{ended:?}");
}

/// Somebody else's server on a port that was free a moment ago; tried again should it be taken meanwhile.
#[track_caller]
pub(crate) fn listening(make: impl Fn(u16) -> Line, ready: &str) -> (Run, u16) {
    for _ in 0..5 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut run = make(port).start();
        while run.is_running() {
            if run.err.text().contains(ready) || run.out.text().contains(ready) {
                return (run, port);
            }
            std::thread::yield_now();
        }
    }
    panic!("no port could be had");
}

#[test]
fn openssl_as_our_server() {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = ca.write(folder.path(), "ca.pem");
    let (certificate, key) = ca.server(&["127.0.0.1"]).write(folder.path(), "s.pem");
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let serve = |port: u16| {
            let line = format!(
                "s_server -accept 127.0.0.1:{port} -cert {} -key {} {version} -alpn strange -rev",
                certificate.display(),
                key.display()
            );
            program("openssl", words(&line))
        };
        let (_openssl, port) = listening(serve, "ACCEPT");
        let to = format!("tls://127.0.0.1:{port} --ca {}", trusted.display());
        let ended = connect(&format!(
            "{to} -v --alpn other,strange --send hello --count 1"
        ))
        .run();
        assert_eq!((ended.code, &*ended.text()), (0, "olleh\n"), "{ended:?}");
        assert!(ended.err.contains(&format!("tls {shown} ")), "{ended:?}");
        assert!(ended.err.contains(", alpn strange\n"), "{ended:?}");
        let ended = connect(&format!("{to} --alpn nothing --send hello")).run();
        assert_eq!(ended.code, 4, "{ended:?}");
        assert!(
            ended.complaint().contains("no_application_protocol"),
            "{ended:?}"
        );
        if version == "-tls1_2" {
            let ended = connect(&format!("{to} --tls-min 1.3")).run();
            assert_eq!(ended.code, 4, "{ended:?}");
            assert!(ended.complaint().contains("no version of TLS"), "{ended:?}");
        }
    }
}

#[test]
fn socat_and_ncat_as_our_servers() {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = ca.write(folder.path(), "ca.pem");
    let (certificate, key) = ca.server(&["127.0.0.1"]).write(folder.path(), "s.pem");
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    let data = binary(SIZE);
    let socat = |port: u16| {
        let listen = format!(
            "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,verify=0,cert={certificate},key={key}"
        );
        program("socat", ["-d", "-d", "-t10", &listen, "EXEC:cat"])
    };
    let (_socat, port) = listening(socat, "listening on");
    let to = format!("tls://127.0.0.1:{port} --ca {}", trusted.display());
    same(&connect(&to).with(&data), &data);
    let ncat = |port: u16| {
        let line = format!(
            "--ssl --ssl-cert {certificate} --ssl-key {key} -lkv 127.0.0.1 {port} -e /bin/cat"
        );
        program("ncat", words(&line))
    };
    let (_ncat, port) = listening(ncat, "Listening on");
    let to = format!("tls://127.0.0.1:{port} --ca {}", trusted.display());
    let mut ours = connect(&to).start();
    ours.say("hello");
    ours.out.until("hello");
}

/// `openssl s_server` that turns lines around, and who has signed it.
struct Reversing {
    _openssl: Run,
    port: u16,
    folder: Arc<TempDir>,
    ca: Authority,
}

impl Reversing {
    #[track_caller]
    fn start(names: &[&str], more: &str) -> Self {
        let folder = folder();
        let ca = Authority::new("Our CA");
        ca.write(folder.path(), "ca.pem");
        let (certificate, key) = ca.server(names).write(folder.path(), "s.pem");
        let files = format!("-cert {} -key {}", certificate.display(), key.display());
        let serve = |port: u16| {
            let line = format!("s_server -accept 127.0.0.1:{port} {files} -rev {more}");
            program("openssl", words(&line))
        };
        let (_openssl, port) = listening(serve, "ACCEPT");
        Self {
            _openssl,
            port,
            folder,
            ca,
        }
    }

    fn ca(&self) -> String {
        path(&self.folder, "ca.pem").display().to_string()
    }

    /// A relay that adds TLS on the way to it.
    #[track_caller]
    fn relayed(&self, flags: &str) -> Server {
        let to = format!("tls://127.0.0.1:{}", self.port);
        Server::start(&format!("relay {to} tcp://127.0.0.1:0 {flags}"))
    }
}

/// What a line comes back as; nothing when the relay does not reach its target.
#[track_caller]
fn through(relay: &Server) -> String {
    let ended = connect(&format!("{} --send hello --count 1", relay.at)).run();
    ended.text()
}

#[test]
fn a_relay_that_listens_verifies_its_target() {
    let target = Reversing::start(&["127.0.0.1"], "");
    let trusting = target.relayed(&format!("--target-ca {}", target.ca()));
    assert_eq!(through(&trusting), "olleh\n");
    let stranger = target.relayed("");
    assert_eq!(through(&stranger), "");
    let why = stranger.run.err.rest_of("close #1 ");
    assert!(why.contains("not trusted, CN=Our CA"), "{why}");
    // The hash that openssl itself tells of the certificate.
    let certificate = path(&target.folder, "s.pem").display().to_string();
    let flags = format!("x509 -in {certificate} -noout -fingerprint -sha256");
    let hash = program("openssl", words(&flags)).run().text();
    let (_, hash) = hash.trim().split_once('=').unwrap();
    let pinned = target.relayed(&format!("--target-pin {hash}"));
    assert_eq!(through(&pinned), "olleh\n");
    let other = target.relayed(&format!("--target-pin {}", "ab".repeat(32)));
    assert_eq!(through(&other), "");
    let trusting_anyone = target.relayed("--target-insecure");
    assert_eq!(through(&trusting_anyone), "olleh\n");
    let said = trusting_anyone.run.err.text();
    assert_eq!(said.matches("note: --target-insecure").count(), 1, "{said}");
}

#[test]
fn a_relay_that_listens_asks_its_target_by_name() {
    let target = Reversing::start(&["inside.example"], "-alpn strange");
    let ca = format!("--target-ca {}", target.ca());
    let unnamed = target.relayed(&ca);
    assert_eq!(through(&unnamed), "");
    let why = unnamed.run.err.rest_of("close #1 ");
    assert!(why.contains("is not for 127.0.0.1"), "{why}");
    let named = format!("{ca} --target-servername inside.example --target-alpn");
    let agreed = target.relayed(&format!("{named} other,strange"));
    assert_eq!(through(&agreed), "olleh\n");
    let refused = target.relayed(&format!("{named} other"));
    assert_eq!(through(&refused), "");
    let why = refused.run.err.rest_of("close #1 ");
    assert!(why.contains("no_application_protocol"), "{why}");
}

#[test]
fn a_relay_that_listens_shows_its_target_a_certificate() {
    let folder = folder();
    let clients = Authority::new("Client CA");
    let trusted = clients.write(folder.path(), "clients.pem");
    let asks = format!(
        "-Verify 1 -verify_return_error -CAfile {}",
        trusted.display()
    );
    let target = Reversing::start(&["127.0.0.1"], &asks);
    let (certificate, key) = clients.client("relay").write(folder.path(), "relay.pem");
    let ca = format!("--target-ca {}", target.ca());
    let shown = format!(
        "{ca} --target-cert {} --target-key {}",
        certificate.display(),
        key.display()
    );
    assert_eq!(through(&target.relayed(&shown)), "olleh\n");
    assert_eq!(through(&target.relayed(&ca)), "");
    let (certificate, key) = target.ca.client("relay").write(folder.path(), "own.pem");
    let stranger = format!(
        "{ca} --target-cert {} --target-key {}",
        certificate.display(),
        key.display()
    );
    assert_eq!(through(&target.relayed(&stranger)), "");
}

#[test]
fn flags_for_a_target_in_tls_want_one() {
    for flags in ["--target-ca x", "--target-insecure", "--target-alpn h2"] {
        let line = format!("serve relay tcp://127.0.0.1:1 tcp://127.0.0.1:0 {flags}");
        let ended = sockeye(words(&line)).run();
        assert_eq!(ended.code, 2, "{ended:?}");
        let flag = words(flags)[0];
        let said =
            format!("sockeye: {flag} needs a target that speaks TLS, such as tls://HOST:PORT");
        assert_eq!(ended.complaint(), said);
    }
    let mixed =
        "relay tcp://127.0.0.1:1 tcp://127.0.0.1:0 --target wss://127.0.0.1:1 --target-insecure";
    Server::start(mixed);
    let other = Server::start("echo tcp://127.0.0.1:0 --target-insecure");
    let note = other.run.err.rest_of("note: ");
    assert_eq!(note, "--target-insecure is for `relay`; `echo` ignores it");
}

#[test]
fn a_relay_that_listens_reaches_web_sockets_in_tls() {
    let secured = Secured::start("upper 127.0.0.1:0");
    for scheme in ["wss", "https"] {
        let to = format!("{scheme}://localhost:{}/", secured.server.port());
        let relay = Server::start(&format!(
            "relay {to} tcp://127.0.0.1:0 --target-ca {}",
            secured.ca()
        ));
        let ended = connect(&relay.at).with("hello");
        assert_eq!((ended.code, &*ended.text()), (0, "HELLO"), "{to} {ended:?}");
    }
}
