//! TLS as people use it: nothing configured, files, pins, authorities, and what is said when it goes wrong.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

use crate::authority::{Authority, DAY, Issued, self_signed};
use crate::stage::{
    Ended, LONG, Line, Listener, Run, Server, connect, folder, objects, path, program, sockeye,
    words,
};

/// The SHA-256 that a server says its certificate has.
#[track_caller]
fn fingerprint(run: &Run) -> String {
    let rest = run.err.rest_of("TLS certificate sha256 ");
    rest.split(' ').next().unwrap().to_owned()
}

fn serve(line: &str) -> Line {
    sockeye(std::iter::once("serve").chain(words(line)))
}

/// The exit code, and all of these words in the one line of failure.
#[track_caller]
fn fails(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    let line = ended.complaint();
    for part in says {
        assert!(line.contains(part), "`{part}` is not in `{line}`");
    }
    for never in ["os error", "docs.rs", "https://"] {
        assert!(!line.contains(never), "{line}");
    }
    assert_eq!(ended.out, b"", "{ended:?}");
}

/// A server that shows this certificate.
#[track_caller]
fn serving(folder: &TempDir, issued: &Issued, more: &str) -> Server {
    let (certificate, key) = issued.write(folder.path(), "server.pem");
    let line = format!(
        "echo tls://127.0.0.1:0 --cert {} --key {} {more}",
        certificate.display(),
        key.display()
    );
    Server::start(&line)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn nothing_is_configured_and_a_pin_is_enough() {
    let home = folder();
    let server = Server::ready(serve("echo 127.0.0.1:0").home(&home));
    let sha256 = fingerprint(&server.run);
    let kept = path(&home, "state/sockeye/tls/self-signed.pem");
    assert_eq!(kept.metadata().unwrap().mode() & 0o777, 0o600);
    for (flag, value) in [
        ("--pin", sha256.clone()),
        ("--pin", sha256.to_lowercase().replace(':', "")),
        ("--ca", shown(&kept)),
    ] {
        for host in ["127.0.0.1", "localhost"] {
            let to = format!("tls://{host}:{} {flag} {value}", server.port());
            let ended = connect(&to).with("hello");
            assert_eq!((ended.code, &*ended.text()), (0, "hello"), "{to} {ended:?}");
            assert!(!ended.err.contains("note:"), "{to} {ended:?}");
        }
    }
    let again = Server::ready(serve("echo 127.0.0.1:0").home(&home));
    assert_eq!(fingerprint(&again.run), sha256, "the same the next time");
}

#[test]
fn servers_that_start_at_once_show_the_same_certificate() {
    let home = folder();
    let starting: Vec<_> = (0..6)
        .map(|_| serve("echo 127.0.0.1:0").home(&home).start())
        .collect();
    let mut found: Vec<_> = starting.iter().map(fingerprint).collect();
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn who_speaks_no_tls_makes_no_certificate() {
    let home = folder();
    for at in [
        "tcp://127.0.0.1:0",
        "udp://127.0.0.1:0",
        "http://127.0.0.1:0",
    ] {
        let mut server = Server::ready(serve(&format!("echo {at}")).home(&home));
        server.run.signal(rustix::process::Signal::TERM);
        let ended = server.run.end();
        assert!(!ended.err.contains("certificate"), "{ended:?}");
    }
    assert!(!path(&home, "state/sockeye/tls").exists());
}

#[test]
fn without_a_place_for_it_the_certificate_is_another_each_time() {
    let home = folder();
    std::fs::write(path(&home, "state"), "no folder").unwrap();
    let server = Server::ready(serve("echo 127.0.0.1:0").home(&home));
    let about = server.run.err.rest_of("TLS certificate sha256 ");
    assert!(
        about.contains("another one the next time: cannot write "),
        "{about}"
    );
    let again = Server::ready(serve("echo 127.0.0.1:0").home(&home));
    assert_ne!(fingerprint(&again.run), about.split(' ').next().unwrap());
}

#[test]
fn an_unknown_server_is_refused_with_what_would_trust_it() {
    let server = Server::start("echo tls://127.0.0.1:0");
    let sha256 = fingerprint(&server.run);
    let to = format!("tls://{}", server.at);
    let pin = format!("--pin {sha256} trusts exactly this one");
    let says = [
        "cannot connect to 127.0.0.1:",
        "its certificate is self-signed",
        &pin,
        "--insecure",
    ];
    fails(&connect(&to).run(), 4, &says);
    server
        .run
        .err
        .until("it does not trust whoever signed our certificate (alert unknown_ca)");
    let wrong = sha256.replace(['0', '1', '2'], "3");
    let ended = connect(&format!("{to} --pin {wrong}")).run();
    fails(&ended, 4, &["none of those that were pinned", &sha256]);
    let ended = connect(&format!("{to} --insecure")).with("hi");
    assert_eq!((ended.code, &*ended.text()), (0, "hi"));
    assert_eq!(
        ended.err.matches("warning: --insecure").count(),
        1,
        "{ended:?}"
    );
}

#[test]
fn each_bad_certificate_is_refused_with_a_sentence() {
    let ca = Authority::new("Our CA");
    let other = Authority::new("Other CA");
    let now = std::time::SystemTime::now();
    let all = folder();
    let trusted = ca.write(all.path(), "ca.pem");
    let good = |names: &[&str]| ca.server(names);
    let narrow = ca.below("Narrow", |params| {
        let permitted = rcgen::GeneralSubtree::DnsName("example.org".to_owned());
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![permitted],
            excluded_subtrees: Vec::new(),
        });
    });
    for (issued, host, fault) in [
        (good(&["127.0.0.1"]), "127.0.0.1", None),
        (good(&["localhost"]), "localhost", None),
        (
            good(&["example.org"]),
            "localhost",
            Some("is not for localhost: it is for example.org (--servername"),
        ),
        (
            good(&["*.localhost"]),
            "localhost",
            Some("is not for localhost"),
        ),
        (
            good(&["localhost"]),
            "127.0.0.1",
            Some("is not for 127.0.0.1: it is for localhost"),
        ),
        (good(&[]), "localhost", Some("it names no host")),
        (
            ca.issue(&["localhost"], |params| {
                params.not_after = (now - DAY / 2).into()
            }),
            "localhost",
            Some("expired on "),
        ),
        (
            ca.issue(&["localhost"], |params| {
                params.not_before = (now + DAY / 2).into()
            }),
            "localhost",
            Some("is not valid before "),
        ),
        (
            self_signed(&["localhost"]),
            "localhost",
            Some("is self-signed (--pin "),
        ),
        (
            other.server(&["localhost"]),
            "localhost",
            Some("is signed by an authority that is not trusted, CN=Other CA (--ca FILE"),
        ),
        (
            ca.client("localhost"),
            "localhost",
            Some("is not meant for server authentication"),
        ),
        (
            narrow.server(&["localhost"]).with(&narrow),
            "localhost",
            Some("name constraint violation"),
        ),
    ] {
        let folder = folder();
        let server = serving(&folder, &issued, "");
        let to = format!("tls://{host}:{} --ca {}", server.port(), trusted.display());
        let ended = connect(&to).with("hi");
        match fault {
            None => assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{ended:?}"),
            Some(fault) => fails(
                &ended,
                4,
                &["cannot connect to ", "its certificate ", fault],
            ),
        }
    }
}

#[test]
fn the_system_says_who_is_trusted() {
    let ca = Authority::new("Our CA");
    let folder = folder();
    let server = serving(&folder, &ca.server(&["localhost"]), "");
    let to = format!("tls://localhost:{}", server.port());
    let trusted = ca.write(folder.path(), "ca.pem");
    let ended = connect(&to).env("SSL_CERT_FILE", &trusted).with("hi");
    assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{ended:?}");
    // --ca is instead of the system, as curl's --cacert is.
    let other = Authority::new("Other").write(folder.path(), "other.pem");
    let line = connect(&format!("{to} --ca {}", other.display()));
    let ended = line.env("SSL_CERT_FILE", &trusted).run();
    fails(&ended, 4, &["is not trusted, CN=Our CA"]);
    let ended = connect(&to).env("SSL_CERT_FILE", "/nowhere").run();
    fails(
        &ended,
        4,
        &["no authority is trusted: cannot read /nowhere: no such file"],
    );
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let folder = folder();
    let issued = self_signed(&["localhost"]);
    let (certificate, key) = issued.write(folder.path(), "a.pem");
    let (_, other) = self_signed(&["localhost"]).write(folder.path(), "b.pem");
    let locked = path(&folder, "locked.pem");
    let [certificate, key, other, locked, missing] = [
        &certificate,
        &key,
        &other,
        &locked,
        &path(&folder, "missing"),
    ]
    .map(|path| shown(path));
    let encrypting = words("pkey -aes128 -passout pass:secret").into_iter();
    let openssl = program("openssl", encrypting.chain(["-in", &key, "-out", &locked])).run();
    assert_eq!(openssl.code, 0, "{openssl:?}");
    for (flags, code, path, says) in [
        (
            ["--cert", &missing, "--key", &key],
            2,
            &missing,
            "no such file or directory",
        ),
        (
            ["--cert", &certificate, "--key", &missing],
            2,
            &missing,
            "no such file or directory",
        ),
        (
            ["--cert", &key, "--key", &key],
            4,
            &key,
            "there is no certificate in it",
        ),
        (
            ["--cert", &certificate, "--key", &certificate],
            4,
            &certificate,
            "there is no private key in it (--key FILE",
        ),
        (
            ["--cert", &certificate, "--key", &other],
            4,
            &other,
            "its key does not belong to",
        ),
        (
            ["--cert", &certificate, "--key", &locked],
            4,
            &locked,
            "its key is encrypted (openssl pkey",
        ),
    ] {
        let says = [&*format!("cannot use {path}: "), says];
        let serve = ["serve", "echo", "tls://127.0.0.1:0"].into_iter();
        fails(&sockeye(serve.chain(flags)).run(), code, &says);
        let connect = ["connect", "tls://127.0.0.1:1"].into_iter();
        fails(&sockeye(connect.chain(flags)).run(), code, &says);
    }
    for (flag, verb) in [("--client-ca", "serve"), ("--ca", "connect")] {
        let ended = sockeye([verb, "tls://127.0.0.1:0", flag, &missing]).run();
        fails(&ended, 2, &[&missing, "no such file or directory"]);
        let ended = sockeye([verb, "tls://127.0.0.1:0", flag, &key]).run();
        fails(&ended, 4, &[&key, "there is no certificate in it"]);
    }
    let ended = connect("tls://127.0.0.1:1 --pin abc").run();
    assert_eq!(ended.code, 2, "{ended:?}");
    let ended = connect("tls://127.0.0.1:1 --insecure --ca x").run();
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn a_new_pair_of_files_is_taken_while_the_server_runs() {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = ca.write(folder.path(), "ca.pem");
    let server = serving(&folder, &ca.server(&["localhost"]), "");
    let to = format!(
        "tls://localhost:{} --ca {}",
        server.port(),
        trusted.display()
    );
    assert_eq!(connect(&to).run().code, 0);

    std::fs::write(path(&folder, "server.pem"), "half").unwrap();
    until(|| {
        assert_eq!(connect(&to).run().code, 0, "the old one is still good");
        server
            .run
            .err
            .text()
            .contains("the TLS certificate stays the old one: cannot use ")
    });
    ca.server(&["example.org"])
        .write(folder.path(), "server.pem");
    until(|| connect(&to).run().code == 4);
    server
        .run
        .err
        .until("another TLS certificate is used from now on: sha256 ");
    let named = format!("{to} --servername example.org");
    assert_eq!(connect(&named).run().code, 0);
}

/// Tries until it is so.
#[track_caller]
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "it never came so far");
    }
}

#[test]
fn only_clients_with_a_certificate_may_come() {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = shown(&ca.write(folder.path(), "ca.pem"));
    let server = serving(
        &folder,
        &ca.server(&["localhost"]),
        &format!("-v --client-ca {trusted}"),
    );
    let to = format!("tls://localhost:{} --ca {trusted}", server.port());
    let (certificate, key) = ca.client("george").write(folder.path(), "george.pem");
    let george = format!("--cert {} --key {}", certificate.display(), key.display());
    let ended = connect(&format!("{to} {george}")).with("hi");
    assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{ended:?}");
    server.run.err.until(" CN=george, issuer CN=Our CA, ");

    let ended = connect(&to).with("hi");
    let says = [
        "it asks for a certificate of ours (alert certificate_required)",
        "--cert FILE",
    ];
    fails(&ended, 4, &says);
    let told = server.run.err.rest_of("note: cannot speak TLS with ");
    assert!(told.ends_with(": it showed no certificate"), "{told}");

    let (certificate, key) = Authority::new("Other")
        .client("eve")
        .write(folder.path(), "eve.pem");
    let eve = format!("--cert {} --key {}", certificate.display(), key.display());
    let ended = connect(&format!("{to} {eve}")).with("hi");
    fails(
        &ended,
        4,
        &["it does not trust whoever signed our certificate (alert unknown_ca)"],
    );
    server
        .run
        .err
        .until("its certificate is signed by an authority that is not trusted, CN=Other");
}

#[test]
fn nobody_gets_around_a_certificate_that_is_asked_for() {
    let folder = folder();
    let ca = Authority::new("Our CA").write(folder.path(), "ca.pem");
    for at in [
        "",
        "127.0.0.1:0",
        "tls://127.0.0.1:0 udp://127.0.0.1:0",
        "http://127.0.0.1:0",
    ] {
        let ended = serve(&format!("echo {at} --client-ca {}", ca.display())).run();
        fails(&ended, 2, &["serves others too: write tls://"]);
    }
}

#[test]
fn plain_servers_are_told_apart() {
    let echo = Server::start("echo tcp://127.0.0.1:0");
    let says = ["it does not speak TLS", "tcp:// speaks without TLS"];
    fails(&connect(&format!("tls://{}", echo.at)).run(), 4, &says);
    let greeting = Server::start("hello tcp://127.0.0.1:0");
    fails(&connect(&format!("tls://{}", greeting.at)).run(), 4, &says);
    let http = Server::start("echo http://127.0.0.1:0");
    fails(
        &connect(&format!("tls://{}", http.at)).run(),
        4,
        &["cannot connect to 127.0.0.1:"],
    );

    let listener = Listener::new();
    let closing = connect(&format!("tls://{}", listener.at())).start();
    let mut stream = listener.accept();
    crate::stage::readable(&stream);
    let mut hello = [0; 6];
    std::io::Read::read_exact(&mut stream, &mut hello).unwrap();
    drop(stream);
    let mut closing = closing;
    let ended = closing.end();
    assert!(matches!(ended.code, 1 | 4), "reset or closed: {ended:?}");
    assert!(
        ended.complaint().contains("cannot connect to 127.0.0.1:"),
        "{ended:?}"
    );
}

#[test]
fn silence_instead_of_a_handshake_is_a_timeout() {
    let listener = Listener::new();
    let ended = connect(&format!("tls://{} -w 200ms", listener.at())).run();
    fails(&ended, 3, &["no answer within 200ms"]);
}

#[test]
fn secrets_are_written_where_it_is_asked_for_and_nowhere_else() {
    let folder = folder();
    let (ours, theirs) = (path(&folder, "ours"), path(&folder, "theirs"));
    let server = Server::ready(serve("echo 127.0.0.1:0").env("SSLKEYLOGFILE", &theirs));
    let told = server
        .run
        .err
        .rest_of("note: SSLKEYLOGFILE: whoever can read ");
    assert!(told.starts_with(&shown(&theirs)), "{told}");
    let to = format!("tls://{} --pin {}", server.at, fingerprint(&server.run));
    let ended = connect(&to).env("SSLKEYLOGFILE", &ours).with("hi");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.err.matches("warning: SSLKEYLOGFILE: ").count(),
        1,
        "{ended:?}"
    );
    let lines = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&ours).len(), 5);
    assert_eq!(lines(&ours), lines(&theirs));
    assert_eq!(ours.metadata().unwrap().mode() & 0o777, 0o600);

    let nowhere = path(&folder, "nowhere/else");
    let ended = connect(&to).env("SSLKEYLOGFILE", &nowhere).with("hi");
    assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{ended:?}");
    assert!(
        ended.err.contains("warning: SSLKEYLOGFILE: cannot write "),
        "{ended:?}"
    );
    // Where nobody speaks TLS there is nothing to warn of.
    let plain = path(&folder, "plain");
    let to = format!("tcp://{}", server.at);
    let ended = connect(&to).env("SSLKEYLOGFILE", &plain).with("hi");
    assert!(!ended.err.contains("SSLKEYLOGFILE"), "{ended:?}");
    assert!(!plain.exists());
}

#[test]
fn what_was_agreed_on_is_told_on_both_sides() {
    let home = folder();
    let server = Server::ready(serve("echo -v 127.0.0.1:0").home(&home));
    let sha256 = fingerprint(&server.run);
    let to = format!(
        "tls://localhost:{} --pin {sha256} -v --alpn strange",
        server.port()
    );
    let ended = connect(&to).with("hi");
    let agreed = "tls TLSv1.3 TLS13_AES_256_GCM_SHA384 X25519MLKEM768, server name localhost\n";
    assert!(ended.err.contains(agreed), "{ended:?}");
    let certificate = ended
        .err
        .lines()
        .find(|line| line.starts_with("certificate CN="));
    let certificate = certificate.unwrap();
    assert!(certificate.contains(", issuer CN="), "{certificate}");
    assert!(
        certificate.ends_with(&format!(" UTC, sha256 {sha256}")),
        "{certificate}"
    );
    let told = server.run.err.rest_of("\ntls #");
    assert!(
        told.ends_with(agreed.trim_start_matches("tls").trim_end()),
        "{told}"
    );
    let quiet = connect(&to.replace(" -v", "")).with("hi");
    assert!(!quiet.err.contains("certificate"), "{quiet:?}");
}

#[test]
fn what_was_agreed_on_is_in_the_json() {
    let folder = folder();
    let ca = Authority::new("Our CA");
    let trusted = shown(&ca.write(folder.path(), "ca.pem"));
    let (certificate, key) = ca.server(&["localhost"]).write(folder.path(), "s.pem");
    let line = format!(
        "serve echo --json tls://127.0.0.1:0 --cert {} --key {} --client-ca {trusted}",
        certificate.display(),
        key.display()
    );
    let mut run = sockeye(words(&line)).start();
    run.err.until("\"event\":\"certificate\"");
    let said = objects(&run.err.text());
    assert_eq!(said[0]["event"], "listening");
    let own = &said[1];
    assert_eq!(own["event"], "certificate");
    assert_eq!(
        (&own["self_signed"], &own["kept"]),
        (&false.into(), &true.into())
    );
    assert_eq!(own["names"], serde_json::json!(["localhost"]));
    let until: jiff::Timestamp = own["valid_until"].as_str().unwrap().parse().unwrap();
    assert!(until > jiff::Timestamp::now());

    let (certificate, key) = ca.client("george").write(folder.path(), "c.pem");
    let at = said[0]["address"]
        .as_str()
        .unwrap()
        .replace("127.0.0.1", "localhost");
    let ended = connect(&format!(
        "tls://{at} --ca {trusted} --cert {} --key {} -v",
        certificate.display(),
        key.display()
    ))
    .with("hi");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.err.contains(own["sha256"].as_str().unwrap()),
        "{ended:?}"
    );
    run.err.until("\"event\":\"close\"");
    run.signal(rustix::process::Signal::TERM);
    let said = objects(&run.end().err);
    let open = said.iter().find(|said| said["event"] == "open").unwrap();
    assert_eq!(open["protocol"], "tls");
    let tls = &open["tls"];
    assert_eq!(tls["version"], "TLSv1.3");
    assert_eq!(tls["cipher"], "TLS13_AES_256_GCM_SHA384");
    assert_eq!(tls["key_exchange"], "X25519MLKEM768");
    assert_eq!(tls["server_name"], "localhost");
    assert_eq!(
        (&tls["alpn"], &tls["resumed"]),
        (&serde_json::Value::Null, &false.into())
    );
    let shown = &tls["peer_certificates"][0];
    assert_eq!(
        (&shown["subject"], &shown["issuer"]),
        (&"CN=george".into(), &"CN=Our CA".into())
    );
    let close = said.iter().find(|said| said["event"] == "close").unwrap();
    assert_eq!(close["why"], "peer");
    assert!(close.get("tls").is_none());
}

#[test]
fn flags_that_mean_nothing_here_are_told() {
    let server = Server::start("echo tcp://127.0.0.1:0 --tls-min 1.3");
    server
        .run
        .err
        .until("note: --tls-min is for TLS, which is not spoken with any address here");
    let pin = "00".repeat(32);
    let ended = connect(&format!("{} --pin {pin}", server.at)).with("hi");
    assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{ended:?}");
    assert!(ended.err.contains("warning: --pin is for TLS"), "{ended:?}");
}

#[test]
fn one_port_serves_others_while_handshakes_stand_still() {
    let server = Server::start("echo 127.0.0.1:0");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    // Each of them stops somewhere, and stays.
    let stalled: Vec<_> = (0..200)
        .map(|n| {
            let mut stream = server.tcp();
            stream.write_all(&hello[..n % hello.len() + 1]).unwrap();
            stream
        })
        .collect();
    let to = format!("tls://{} --pin {}", server.at, fingerprint(&server.run));
    for _ in 0..5 {
        let ended = connect(&to).with("hi");
        assert_eq!((ended.code, &*ended.text()), (0, "hi"), "{ended:?}");
        assert!(
            ended.after < std::time::Duration::from_millis(2500),
            "{ended:?}"
        );
    }
    drop(stalled);
}

#[test]
fn connections_that_break_off_cost_nothing_afterwards() {
    let server = Server::start("echo 127.0.0.1:0");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for n in 0..100 {
        let mut stream = server.tcp();
        stream.write_all(&hello[..n % hello.len() + 1]).unwrap();
        if n % 2 == 0 {
            crate::stage::reset(stream);
        }
    }
    let to = format!("tls://{} --pin {}", server.at, fingerprint(&server.run));
    assert_eq!(connect(&to).with("hi").code, 0);
    let spent = || server.run.processor_time();
    let before = spent();
    // The time that is measured.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let after = spent();
    assert!(
        after - before <= 5,
        "{} ticks of 10 ms in half a second",
        after - before
    );
}

#[test]
fn random_and_broken_first_bytes_leave_the_server_standing() {
    let server = Server::start("echo tls://127.0.0.1:0");
    let bytes = crate::stage::binary(4096);
    for at in 0..40 {
        let mut stream = server.tcp();
        let start: &[u8] = if at % 2 == 0 {
            b"\x16\x03\x01"
        } else {
            b"\x16\x03\x03\x00\x40\x01"
        };
        stream.write_all(start).unwrap();
        stream.write_all(&bytes[at * 100..at * 100 + 90]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let (answer, _) = crate::stage::drain(&mut stream);
        let is_alert = answer.starts_with(&[21, 3]) && answer.len() == 7;
        assert!(is_alert || answer.is_empty(), "{answer:?}");
    }
    let to = format!("tls://{} --pin {}", server.at, fingerprint(&server.run));
    assert_eq!(connect(&to).with("hi").text(), "hi");
    let notes = server
        .run
        .err
        .text()
        .matches("note: cannot speak TLS with ")
        .count();
    assert_eq!(notes, 40, "each is told");
}

#[test]
fn every_way_to_leave_says_goodbye() {
    let server = Server::start("echo tls://127.0.0.1:0");
    let to = format!("tls://{} --pin {}", server.at, fingerprint(&server.run));
    for (flags, input) in [
        ("", true),
        ("--eof close", true),
        ("--eof keep:100ms", true),
        ("--count 1", false),
        ("--send hi --wait 100ms", false),
        ("-w 200ms", false),
    ] {
        let mut run = connect(&format!("{to} {flags}")).start();
        run.err.until("connected tls");
        if !flags.contains("--send") {
            run.say("hi");
        }
        if input {
            run.hang_up();
        }
        run.end();
    }
    let mut interrupted = connect(&to).start();
    interrupted.say("hi");
    interrupted.out.until("hi");
    interrupted.signal(rustix::process::Signal::INT);
    assert_eq!(interrupted.end().code, 130);
    let mut server = server;
    server.run.signal(rustix::process::Signal::TERM);
    let said = server.run.end().err;
    assert_eq!(said.matches("\nclose #").count(), 7, "{said}");
    assert!(!said.contains("close_notify"), "{said}");
}

#[test]
fn a_server_that_stops_says_goodbye() {
    let mut server = Server::start("echo tls://127.0.0.1:0");
    let to = format!("tls://{} --pin {}", server.at, fingerprint(&server.run));
    let mut client = connect(&to).start();
    client.say("hi");
    client.out.until("hi");
    server.run.signal(rustix::process::Signal::TERM);
    assert_eq!(server.run.end().code, 143);
    let ended = client.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.err.contains("close_notify"), "{ended:?}");
}
