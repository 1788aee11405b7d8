//! Both ends of TLS over pipes in memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

use super::*;
use crate::certificate::Fingerprint;
use crate::error::{CertificateFault, CredentialFault, Error, TlsError};
use crate::session::{Endpoint, Identity, Side};
use crate::stream::ByteStream;
use authority::{Authority, DAY, Issued, self_signed};

mod authority;
mod files;
mod strange;
mod trusted;

/// What one end says of a handshake.
type Agreed = Result<(ByteStream, Tls), TlsError>;

fn identity() -> Identity {
    Identity::new(Side::Accepted, "tls", Endpoint::Memory, Endpoint::Memory)
}

/// Both ends over `near` and `far`.
async fn agree(
    server: &TlsServer,
    client: &TlsClient,
    (near, far): (DuplexStream, DuplexStream),
    alpn: &[&str],
) -> (Agreed, Agreed) {
    let identity = identity();
    let serving = server.accept(ByteStream::new(near), true, &identity);
    let connecting = client.connect(ByteStream::new(far), "localhost", alpn);
    tokio::join!(serving, connecting)
}

/// Both ends, who must agree.
async fn agreed(
    server: &TlsServer,
    client: &TlsClient,
    alpn: &[&str],
) -> ((ByteStream, Tls), (ByteStream, Tls)) {
    let (served, connected) = agree(server, client, duplex(1 << 16), alpn).await;
    (served.unwrap(), connected.unwrap())
}

/// A client that trusts whatever `server` is now.
fn trusting(server: &TlsServer) -> TlsClient {
    let pins = vec![server.certificate().unwrap().certificate.sha256()];
    client(TlsClientOptions {
        pins,
        ..TlsClientOptions::default()
    })
}

fn client(options: TlsClientOptions) -> TlsClient {
    TlsClient::new(options).unwrap()
}

/// A server with this certificate.
fn server(folder: &TempDir, issued: &Issued) -> TlsServer {
    let (certificate, key) = issued.write(folder.path(), "server.pem");
    TlsServer::new(TlsServerOptions {
        identity: TlsIdentity::Files(TlsFiles {
            certificate,
            key: Some(key),
        }),
        ..TlsServerOptions::default()
    })
    .unwrap()
}

#[tokio::test]
async fn both_ends_agree_and_tell_the_same_facts() {
    let server = TlsServer::default();
    let ((mut near, ours), (mut far, theirs)) = agreed(&server, &trusting(&server), &[]).await;
    for facts in [&ours, &theirs] {
        assert_eq!(facts.version, "TLSv1.3");
        assert_eq!(facts.cipher, Some("TLS13_AES_256_GCM_SHA384"));
        assert_eq!(facts.key_exchange, Some("X25519MLKEM768"));
        assert_eq!(facts.server_name.as_deref(), Some("localhost"));
        assert_eq!((facts.alpn.as_deref(), facts.resumed), (None, false));
    }
    assert!(ours.peer_certificates.is_empty(), "none is asked for");
    let own = server.certificate().unwrap();
    assert_eq!(theirs.peer_certificates, [own.certificate]);
    assert!(own.self_signed && own.unkept.is_none());
    far.write_all(b"hello").await.unwrap();
    far.flush().await.unwrap();
    let mut heard = [0; 5];
    near.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn tls_1_2_is_spoken_unless_it_is_too_old() {
    let old = ClientWithout13::new();
    let (served, connected) = old.against(&TlsServer::default()).await;
    assert_eq!(served.unwrap().1.version, "TLSv1.2");
    assert!(connected.is_ok());
    let strict = TlsServer::new(TlsServerOptions {
        oldest: TlsVersion::V1_3,
        ..TlsServerOptions::default()
    });
    let (served, connected) = old.against(&strict.unwrap()).await;
    let TlsError::Incompatible(what) = served.err().unwrap() else {
        panic!("no version in common");
    };
    assert_eq!(what, "no version of TLS is common to both ends");
    let told = connected.unwrap_err().to_string();
    assert!(told.contains("ProtocolVersion"), "{told}");
}

/// A client of the last century but one.
struct ClientWithout13(tokio_rustls::TlsConnector);

impl ClientWithout13 {
    fn new() -> Self {
        let verifier = trust::Trust::Anyone.verifier().unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Self(Arc::new(config).into())
    }

    async fn against(&self, server: &TlsServer) -> (Agreed, std::io::Result<()>) {
        let (near, far) = duplex(1 << 16);
        let identity = identity();
        let serving = server.accept(ByteStream::new(near), true, &identity);
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let connecting = async { self.0.connect(name, far).await.map(|_| ()) };
        tokio::join!(serving, connecting)
    }
}

#[tokio::test]
async fn http_is_agreed_on_by_name_and_other_names_are_passed_over() {
    let server = TlsServer::default();
    let trusting = trusting(&server);
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["strange", "http/1.1"], Some("http/1.1")),
        (&["strange"], None),
        (&[], None),
    ] {
        let ((_, ours), (_, theirs)) = agreed(&server, &trusting, offered).await;
        assert_eq!(ours.alpn.as_deref(), chosen, "{offered:?}");
        assert_eq!(theirs.alpn.as_deref(), chosen, "{offered:?}");
    }
    // Where only plain bytes are spoken HTTP must not be promised.
    let (near, far) = duplex(1 << 16);
    let identity = identity();
    let (served, connected) = tokio::join!(
        server.accept(ByteStream::new(near), false, &identity),
        trusting.connect(ByteStream::new(far), "localhost", &["h2"])
    );
    assert_eq!(served.unwrap().1.alpn, None);
    assert_eq!(connected.unwrap().1.alpn, None);
}

#[tokio::test]
async fn what_is_chosen_is_offered_instead_of_what_fits() {
    let server = TlsServer::default();
    let pins = vec![server.certificate().unwrap().certificate.sha256()];
    let chosen = client(TlsClientOptions {
        pins,
        alpn: vec!["http/1.1".to_owned()],
        server_name: Some("example.org".to_owned()),
        ..TlsClientOptions::default()
    });
    let ((_, ours), (_, theirs)) = agreed(&server, &chosen, &["h2"]).await;
    assert_eq!(theirs.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(ours.server_name.as_deref(), Some("example.org"));
}

#[tokio::test]
async fn a_server_is_not_asked_by_its_address() {
    let server = TlsServer::default();
    let (near, far) = duplex(1 << 16);
    let (trusting, identity) = (trusting(&server), identity());
    let (served, connected) = tokio::join!(
        server.accept(ByteStream::new(near), true, &identity),
        trusting.connect(ByteStream::new(far), "127.0.0.1", &[])
    );
    // RFC 6066, section 3: addresses are no names.
    assert_eq!(served.unwrap().1.server_name, None);
    assert_eq!(connected.unwrap().1.server_name, None);
}

#[tokio::test]
async fn the_second_session_is_resumed() {
    let server = TlsServer::default();
    let trusting = trusting(&server);
    let ((mut near, first), (mut far, _)) = agreed(&server, &trusting, &[]).await;
    assert!(!first.resumed);
    // The ticket comes with the first bytes.
    near.write_all(b"x").await.unwrap();
    near.flush().await.unwrap();
    far.read_u8().await.unwrap();
    let ((_, ours), (_, theirs)) = agreed(&server, &trusting, &[]).await;
    assert!(ours.resumed && theirs.resumed);
    assert_eq!(theirs.peer_certificates.len(), 1, "as it was shown before");
    let other = self::trusting(&server);
    let ((_, ours), _) = agreed(&server, &other, &[]).await;
    assert!(!ours.resumed, "another client");
}

#[tokio::test]
async fn either_end_finishes_and_hears_on() {
    let server = TlsServer::default();
    for client_first in [true, false] {
        let ((near, _), (far, facts)) = agreed(&server, &trusting(&server), &[]).await;
        let (mut one, mut other) = match client_first {
            true => (far, near),
            false => (near, far),
        };
        one.write_all(b"last words").await.unwrap();
        one.shutdown().await.unwrap();
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        let answer = vec![7; 300_000];
        let answering = async {
            other.write_all(&answer).await.unwrap();
            other.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let (read, ()) = tokio::join!(one.read_to_end(&mut heard), answering);
        read.unwrap();
        assert!(heard == answer, "{} bytes", heard.len());
        assert!(!facts.is_cut_off());
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_end_that_is_told() {
    let server = TlsServer::default();
    let ((mut near, ours), (far, _)) = agreed(&server, &trusting(&server), &[]).await;
    drop(far);
    assert!(!ours.is_cut_off());
    let mut heard = Vec::new();
    near.read_to_end(&mut heard).await.unwrap();
    assert!(ours.is_cut_off());
    assert_eq!(near.read(&mut [0]).await.unwrap(), 0, "and stays the end");
}

#[tokio::test]
async fn secrets_go_to_the_key_log_of_either_end() {
    let folder = TempDir::new().unwrap();
    let place = |name| folder.path().join(name);
    let log = |name| Some(KeyLog::append(&place(name)).unwrap());
    let server = TlsServer::new(TlsServerOptions {
        key_log: log("server"),
        ..TlsServerOptions::default()
    })
    .unwrap();
    let pins = vec![server.certificate().unwrap().certificate.sha256()];
    let client = client(TlsClientOptions {
        pins,
        key_log: log("client"),
        ..TlsClientOptions::default()
    });
    agreed(&server, &client, &[]).await;
    let read = |name| {
        let text = std::fs::read_to_string(place(name)).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let lines = read("server");
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].starts_with("CLIENT_HANDSHAKE_TRAFFIC_SECRET "));
    assert_eq!(lines, read("client"), "both know the same");
}
