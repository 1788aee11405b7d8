//! Who is trusted and who is not, and what is said of it.

use super::*;

/// What a client says that trusts `authorities`, of a server with this certificate.
async fn verdict(issued: &Issued, authorities: &[&Authority], host: &str) -> Result<Tls, TlsError> {
    let folder = TempDir::new().unwrap();
    let server = server(&folder, issued);
    let files = authorities.iter().enumerate();
    let files = files.map(|(n, authority)| authority.write(folder.path(), &format!("ca{n}")));
    let client = client(TlsClientOptions {
        authorities: files.collect(),
        ..TlsClientOptions::default()
    });
    let (near, far) = duplex(1 << 16);
    let identity = identity();
    let (served, connected) = tokio::join!(
        server.accept(ByteStream::new(near), true, &identity),
        client.connect(ByteStream::new(far), host, &[])
    );
    assert_eq!(served.is_ok(), connected.is_ok(), "the server is told");
    connected.map(|(_, facts)| facts)
}

/// Why it is refused, in words.
async fn refused(issued: &Issued, authorities: &[&Authority], host: &str) -> String {
    let error = verdict(issued, authorities, host).await.unwrap_err();
    let TlsError::Certificate { sha256, .. } = &error else {
        panic!("not the certificate's fault: {error}");
    };
    assert_eq!(*sha256, Some(fingerprint(&issued.certificate)), "{error}");
    error.to_string()
}

fn fingerprint(pem: &str) -> Fingerprint {
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    Certificate::from_der(der.to_vec()).sha256()
}

#[tokio::test]
async fn what_an_authority_has_signed_is_trusted_by_each_of_its_names() {
    let ca = Authority::new("Our CA");
    let issued = ca.server(&["localhost", "*.example.org", "127.0.0.1", "::1"]);
    for host in ["localhost", "a.example.org", "127.0.0.1", "::1"] {
        let facts = verdict(&issued, &[&ca], host).await.unwrap();
        let shown = facts.peer_certificates[0].facts().unwrap();
        assert_eq!(shown.issuer, "CN=Our CA", "{host}");
    }
    for host in ["example.org", "a.b.example.org", "127.0.0.2", "other.org"] {
        let told = refused(&issued, &[&ca], host).await;
        let expected = format!(
            "its certificate is not for {host}: it is for localhost, *.example.org, 127.0.0.1, ::1"
        );
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn an_authority_in_between_vouches_when_it_is_shown() {
    let ca = Authority::new("Our CA");
    let between = ca.below("Between", |_| {});
    let told = refused(&between.server(&["localhost"]), &[&ca], "localhost").await;
    assert_eq!(
        told,
        "its certificate is signed by an authority that is not trusted, CN=Between"
    );
    let whole = between.server(&["localhost"]).with(&between);
    assert!(verdict(&whole, &[&ca], "localhost").await.is_ok());
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_a_sentence() {
    let ca = Authority::new("Our CA");
    let now = std::time::SystemTime::now();
    let expired = ca.issue(&["localhost"], |params| {
        params.not_after = (now - DAY / 2).into()
    });
    let early = ca.issue(&["localhost"], |params| {
        params.not_before = (now + DAY / 2).into()
    });
    let minute = crate::certificate::minute;
    assert_eq!(
        refused(&expired, &[&ca], "localhost").await,
        format!("its certificate expired on {}", minute(now - DAY / 2))
    );
    assert_eq!(
        refused(&early, &[&ca], "localhost").await,
        format!(
            "its certificate is not valid before {}",
            minute(now + DAY / 2)
        )
    );
    assert_eq!(
        refused(&self_signed(&["localhost"]), &[&ca], "localhost").await,
        "its certificate is self-signed"
    );
    assert_eq!(
        refused(
            &Authority::new("Other").server(&["localhost"]),
            &[&ca],
            "localhost"
        )
        .await,
        "its certificate is signed by an authority that is not trusted, CN=Other"
    );
    assert_eq!(
        refused(&ca.client("localhost"), &[&ca], "localhost").await,
        "its certificate is not meant for server authentication"
    );
    assert_eq!(
        refused(&ca.server(&[]), &[&ca], "localhost").await,
        "its certificate is not for localhost: it names no host"
    );
    // Of the same name, and another key: the signature does not fit.
    let twin = Authority::new("Our CA");
    assert_eq!(
        refused(&twin.server(&["localhost"]), &[&ca], "localhost").await,
        "its certificate is not signed by the key of its issuer, or not used with its own"
    );
}

#[tokio::test]
async fn an_authority_for_other_names_does_not_vouch() {
    let ca = Authority::new("Our CA");
    let narrow = ca.below("Narrow", |params| {
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    let within = narrow.server(&["a.example.org"]).with(&narrow);
    assert!(verdict(&within, &[&ca], "a.example.org").await.is_ok());
    let beyond = narrow.server(&["localhost"]).with(&narrow);
    assert_eq!(
        refused(&beyond, &[&ca], "localhost").await,
        "its certificate is not acceptable: name constraint violation"
    );
    let end = ca.server(&["localhost"]);
    let not_an_authority = ca.below("Server", |params| params.is_ca = rcgen::IsCa::ExplicitNoCa);
    let by_a_server = not_an_authority
        .server(&["localhost"])
        .with(&not_an_authority);
    assert!(verdict(&end, &[&ca], "localhost").await.is_ok());
    assert_eq!(
        refused(&by_a_server, &[&ca], "localhost").await,
        "its certificate is not acceptable: end entity used as ca"
    );
}

#[tokio::test]
async fn a_server_that_was_named_itself_is_trusted_for_its_names_and_time() {
    // What `openssl req -x509` makes: an authority that is the server.
    let ca = Authority::new("Our CA");
    let folder = TempDir::new().unwrap();
    let issued = self_signed(&["localhost"]);
    let (certificate, _) = issued.write(folder.path(), "self.pem");
    let itself = |host: &'static str| {
        let client = client(TlsClientOptions {
            authorities: vec![certificate.clone()],
            ..TlsClientOptions::default()
        });
        let server = server(&folder, &issued);
        async move {
            let (near, far) = duplex(1 << 16);
            let identity = identity();
            let (_, connected) = tokio::join!(
                server.accept(ByteStream::new(near), true, &identity),
                client.connect(ByteStream::new(far), host, &[])
            );
            connected.map(|_| ()).map_err(|error| error.to_string())
        }
    };
    assert_eq!(itself("localhost").await, Ok(()));
    let told = itself("example.org").await.unwrap_err();
    assert_eq!(
        told,
        "its certificate is not for example.org: it is for localhost"
    );
    assert_eq!(
        refused(&issued, &[&ca], "localhost").await,
        "its certificate is self-signed"
    );
}

#[tokio::test]
async fn a_pin_trusts_one_certificate_whatever_else_is_wrong_with_it() {
    let folder = TempDir::new().unwrap();
    let now = std::time::SystemTime::now();
    let issued = Authority::new("Nobody").issue(&["example.org"], |params| {
        params.not_after = (now - DAY / 2).into();
    });
    let server = server(&folder, &issued);
    let pinned = |pins| {
        client(TlsClientOptions {
            pins,
            ..TlsClientOptions::default()
        })
    };
    let right = fingerprint(&issued.certificate);
    agreed(&server, &pinned(vec![Fingerprint([1; 32]), right]), &[]).await;
    let wrong = pinned(vec![Fingerprint([1; 32])]);
    let (served, connected) = agree(&server, &wrong, duplex(1 << 16), &[]).await;
    let TlsError::Certificate { fault, sha256 } = connected.err().unwrap() else {
        panic!("another certificate");
    };
    assert_eq!((fault, sha256), (CertificateFault::NotPinned, Some(right)));
    let told = served.err().unwrap().to_string();
    assert_eq!(told, "it denies us access (alert access_denied)");
}

#[tokio::test]
async fn anyone_is_trusted_when_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let issued = self_signed(&["example.org"]);
    let insecure = client(TlsClientOptions {
        insecure: true,
        ..TlsClientOptions::default()
    });
    agreed(&server(&folder, &issued), &insecure, &[]).await;
}

/// What both ends say when the server asks for certificates of `ca` and the client shows `issued`.
async fn mutual(ca: &Authority, issued: Option<&Issued>) -> (Result<Tls, String>, String) {
    let folder = TempDir::new().unwrap();
    let server = TlsServer::new(TlsServerOptions {
        client_authorities: vec![ca.write(folder.path(), "ca.pem")],
        ..TlsServerOptions::default()
    })
    .unwrap();
    let identity = issued.map(|issued| {
        let (certificate, key) = issued.write(folder.path(), "client.pem");
        TlsFiles {
            certificate,
            key: Some(key),
        }
    });
    let client = client(TlsClientOptions {
        insecure: true,
        identity,
        ..TlsClientOptions::default()
    });
    let (served, connected) = agree(&server, &client, duplex(1 << 16), &[]).await;
    // In TLS 1.3 a client is done before the server has seen its certificate: it is told as it reads.
    let mut heard = Vec::new();
    let (mut stream, _) = connected.unwrap();
    let told = match served {
        Ok(_) => String::new(),
        Err(_) => stream
            .read_to_end(&mut heard)
            .await
            .unwrap_err()
            .to_string(),
    };
    (
        served
            .map(|(_, facts)| facts)
            .map_err(|error| error.to_string()),
        told,
    )
}

#[tokio::test]
async fn clients_prove_who_they_are_where_it_is_asked_for() {
    let ca = Authority::new("Our CA");
    let (served, _) = mutual(&ca, Some(&ca.client("george"))).await;
    let shown = &served.unwrap().peer_certificates[0];
    assert_eq!(shown.facts().unwrap().subject, "CN=george");

    let (served, told) = mutual(&ca, None).await;
    assert_eq!(served.unwrap_err(), "it showed no certificate");
    assert_eq!(
        told,
        "it asks for a certificate of ours (alert certificate_required)"
    );

    let (served, told) = mutual(&ca, Some(&Authority::new("Other").client("eve"))).await;
    assert_eq!(
        served.unwrap_err(),
        "its certificate is signed by an authority that is not trusted, CN=Other"
    );
    assert_eq!(
        told,
        "it does not trust whoever signed our certificate (alert unknown_ca)"
    );

    let late = ca.issue(&[], |params| {
        params.not_after = (std::time::SystemTime::now() - DAY / 2).into();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (served, told) = mutual(&ca, Some(&late)).await;
    assert!(
        served
            .unwrap_err()
            .starts_with("its certificate expired on ")
    );
    assert_eq!(
        told,
        "our certificate is out of date for it (alert certificate_expired)"
    );

    let (served, _) = mutual(&ca, Some(&ca.server(&["localhost"]))).await;
    assert_eq!(
        served.unwrap_err(),
        "its certificate is not meant for client authentication"
    );
}
