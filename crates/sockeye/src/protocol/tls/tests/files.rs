//! Files that hold what they should, or something else, or something new.

use std::path::Path;

use super::*;

fn files(certificate: &Path, key: &Path) -> TlsFiles {
    TlsFiles {
        certificate: certificate.to_owned(),
        key: Some(key.to_owned()),
    }
}

/// What `openssl x509 -req` makes of a request when it is told of no extensions: X.509 version 1.
const FIRST_VERSION: &str = "\
-----BEGIN CERTIFICATE-----
MIIBHDCBwwIUVNL8vD8ylS2rboZipU504mVrouQwCgYIKoZIzj0EAwIwETEPMA0G
A1UEAwwGT3VyIENBMB4XDTI2MTEyMTE0MjgwNloXDTI3MTEyMTE0MjgwNlowETEP
MA0GA1UEAwwGZ2VvcmdlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9/vmCzuG
bpwvgLtNka4eu390fvNO+6HImK9Bqpvnxl4YraYPK+l+aRrWu9GrAmWFiNXDqqy+
beXAhMy77slsvDAKBggqhkjOPQQDAgNIADBFAiAgNxGzBy3N5SO19plJ1n3KVpme
csY8UlwRmIdbhrjpnQIhAM7sTDesC5KwX95JhygYbYOFmelrqwfsaDqtlKGY7sAt
-----END CERTIFICATE-----
";

fn faulty(files: &TlsFiles) -> (String, CredentialFault) {
    match files.read().map(|_| ()) {
        Err(Error::Credentials { path, fault }) => (path, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_may_stand_beside_its_certificate() {
    let folder = TempDir::new().unwrap();
    let issued = self_signed(&["localhost"]);
    let (certificate, key) = issued.write(folder.path(), "a.pem");
    assert!(files(&certificate, &key).read().is_ok());
    let both = folder.path().join("both.pem");
    std::fs::write(&both, format!("{}{}", issued.key, issued.certificate)).unwrap();
    let both = TlsFiles {
        certificate: both,
        key: None,
    };
    assert!(both.read().is_ok());
}

#[test]
fn what_a_file_lacks_is_said_with_its_name() {
    let folder = TempDir::new().unwrap();
    let issued = self_signed(&["localhost"]);
    let (certificate, key) = issued.write(folder.path(), "a.pem");
    let write = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (_, other) = self_signed(&["localhost"]).write(folder.path(), "b.pem");
    let missing = folder.path().join("missing");
    let empty = write("empty", b"");
    let cut = write("cut", &issued.certificate.as_bytes()[..200]);
    let body = issued.certificate.replace('M', "!");
    let garbled = write("garbled", body.as_bytes());
    let wrong = write(
        "wrong",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let first = write("first", FIRST_VERSION.as_bytes());
    let der = write("der", b"\x30\x82\x01\x00\x00\x00");
    let locked = write(
        "locked",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let old = write(
        "old",
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    let public = write(
        "public",
        b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
    );
    for (certificate, key, path, says) in [
        (&missing, &key, &missing, "no such file or directory"),
        (
            &certificate,
            &missing,
            &missing,
            "no such file or directory",
        ),
        (&empty, &key, &empty, "there is no certificate in it"),
        (&key, &key, &key, "there is no certificate in it"),
        (
            &certificate,
            &certificate,
            &certificate,
            "there is no private key in it",
        ),
        (
            &certificate,
            &other,
            &other,
            "its key does not belong to the certificate in ",
        ),
        (&cut, &key, &cut, "it ends in the middle of a PEM section"),
        (
            &garbled,
            &key,
            &garbled,
            "what stands between its PEM lines is no base64",
        ),
        (&wrong, &key, &wrong, "the certificate in it cannot be read"),
        (
            &first,
            &key,
            &first,
            "the certificate in it has no extensions (X.509 version 1)",
        ),
        (&der, &key, &der, "it is not PEM but binary (DER)"),
        (&certificate, &der, &der, "it is not PEM but binary (DER)"),
        (&certificate, &locked, &locked, "its key is encrypted"),
        (&certificate, &old, &old, "its key is encrypted"),
        (
            &certificate,
            &public,
            &public,
            "its key is of no kind that is known here",
        ),
    ] {
        let (named, fault) = faulty(&files(certificate, key));
        assert_eq!(named, path.display().to_string(), "{fault}");
        assert!(fault.to_string().starts_with(says), "{fault}, not {says}");
    }
}

/// What a client is shown.
fn shown(server: &TlsServer) -> Fingerprint {
    server.certificate().unwrap().certificate.sha256()
}

#[test]
fn a_new_pair_is_taken_and_a_broken_one_is_told_once() {
    let folder = TempDir::new().unwrap();
    let first = self_signed(&["localhost"]);
    let server = server(&folder, &first);
    let before = shown(&server);
    let now = std::time::SystemTime::now();
    assert_eq!(server.look_again(now), None, "nothing has changed");

    std::fs::write(folder.path().join("server.pem"), "half a fi").unwrap();
    let told = server.look_again(now).unwrap();
    assert!(
        told.starts_with("the TLS certificate stays the old one: cannot use "),
        "{told}"
    );
    assert!(
        told.ends_with("server.pem: there is no certificate in it"),
        "{told}"
    );
    assert_eq!(server.look_again(now), None, "once is enough");
    assert_eq!(shown(&server), before);

    std::fs::remove_file(folder.path().join("server.pem.key")).unwrap();
    assert!(
        server
            .look_again(now)
            .unwrap()
            .contains("stays the old one")
    );

    let second = self_signed(&["localhost"]);
    second.write(folder.path(), "server.pem");
    let told = server.look_again(now).unwrap();
    let after = shown(&server);
    assert_ne!(after, before);
    assert_eq!(
        told,
        format!("another TLS certificate is used from now on: sha256 {after}")
    );

    second.write(folder.path(), "server.pem");
    assert_eq!(server.look_again(now), None, "the same, written again");
}

#[tokio::test]
async fn clients_see_a_new_pair_within_a_second() {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, &self_signed(&["localhost"]));
    let old = trusting(&server);
    agreed(&server, &old, &[]).await;
    self_signed(&["localhost"]).write(folder.path(), "server.pem");
    // Not before a second has passed, so that a crowd does not ask the file system for each handshake.
    let still_old = std::time::Instant::now();
    loop {
        let (_, connected) = agree(&server, &old, duplex(1 << 16), &[]).await;
        if connected.is_err() {
            break;
        }
        assert!(
            still_old.elapsed() < Duration::from_secs(10),
            "the old one stays"
        );
    }
    agreed(&server, &trusting(&server), &[]).await;
}

#[test]
fn a_self_signed_one_is_kept_for_the_next_time_and_renewed_while_it_is_used() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("state/tls");
    let server = || {
        TlsServer::new(TlsServerOptions {
            identity: TlsIdentity::SelfSigned(Some(place.clone())),
            ..TlsServerOptions::default()
        })
        .unwrap()
    };
    let one = server();
    assert!(!place.exists(), "nothing is made before somebody needs it");
    let first = shown(&one);
    assert_eq!(shown(&server()), first);

    let now = std::time::SystemTime::now();
    assert_eq!(
        one.look_again(now + DAY * 9),
        None,
        "more than three days are left"
    );
    let told = one.look_again(now + DAY * 11).unwrap();
    let renewed = shown(&one);
    assert_ne!(renewed, first);
    assert!(told.contains(&renewed.to_string()), "{told}");

    // It is kept in the place of the old one, and who removes the file changes nothing.
    let kept = TlsFiles {
        certificate: place.join("self-signed.pem"),
        key: None,
    };
    let kept = Certificate::from_der(kept.read().unwrap().cert[0].to_vec());
    assert_eq!(kept.sha256(), renewed);
    std::fs::remove_dir_all(&place).unwrap();
    assert_eq!(one.look_again(now + DAY * 12), None);
    assert_eq!(shown(&one), renewed);
}
