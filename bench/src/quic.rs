//! QUIC as the bench speaks it itself: bare quinn with the settings of sockeye, and the certificate that everybody shows.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use quinn::{TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt;

/// The name that the certificate is for.
pub(crate) const NAME: &str = "localhost";

/// sockeye's own (ALPN).
pub(crate) const STREAMS: &str = "sockeye";

/// As sockeye asks for them.
const SOCKET_BUFFER: usize = 4 << 20;

/// Large enough that reading stdin is not what is measured.
const BUFFER: usize = 256 * 1024;

/// Writes `cert.pem`, `key.pem` and the same as DER.
pub(crate) fn write_certificate(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
    let made = made.context("making a certificate")?;
    let files = [
        ("cert.pem", made.cert.pem().into_bytes()),
        ("key.pem", made.signing_key.serialize_pem().into_bytes()),
        ("cert.der", made.cert.der().to_vec()),
        ("key.der", made.signing_key.serialize_der()),
    ];
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

/// The windows and the congestion control that sockeye has; docs/QUIC.md names them.
fn transport() -> Result<Arc<TransportConfig>> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(Duration::from_secs(30).try_into()?))
        .stream_receive_window((2_u32 << 20).into())
        .receive_window((16_u32 << 20).into())
        .send_window(16 << 20)
        .max_concurrent_bidi_streams(256_u32.into())
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    Ok(Arc::new(transport))
}

fn endpoint(port: u16, server: Option<ServerConfig>) -> Result<Endpoint> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).context("binding a UDP socket")?;
    setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER).context("SO_RCVBUF")?;
    setsockopt(&socket, sockopt::SndBuf, &SOCKET_BUFFER).context("SO_SNDBUF")?;
    let config = EndpointConfig::default();
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).context("making an endpoint")
}

fn certificate(folder: &Path) -> Result<CertificateDer<'static>> {
    let bytes = fs::read(folder.join("cert.der")).context("reading cert.der")?;
    Ok(bytes.into())
}

/// A client that believes the certificate in `folder`. Its endpoint has to be kept.
pub(crate) async fn connect(
    address: SocketAddr,
    alpn: &str,
    folder: &Path,
) -> Result<(Endpoint, Connection)> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(folder)?)?;
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.into()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport()?);
    let endpoint = endpoint(0, None)?;
    let connecting = endpoint.connect_with(config, address, NAME)?;
    let connection = tokio::time::timeout(Duration::from_secs(5), connecting).await;
    let connection = connection.context("no answer")?.context("a handshake")?;
    Ok((endpoint, connection))
}

/// `quinn-sink`: reads each stream to its end and then ends it.
#[expect(
    clippy::disallowed_methods,
    reason = "a bare loop is the point; it ends by being killed"
)]
pub(crate) async fn sink(port: u16, folder: &Path) -> Result<()> {
    let key = fs::read(folder.join("key.der")).context("reading key.der")?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate(folder)?],
            PrivatePkcs8KeyDer::from(key).into(),
        )?;
    tls.alpn_protocols = vec![STREAMS.into()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport()?);
    let endpoint = endpoint(port, Some(config))?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            loop {
                let (mut out, mut into) = connection.accept_bi().await?;
                tokio::spawn(async move {
                    while into.read_chunk(BUFFER, true).await?.is_some() {}
                    out.finish()?;
                    anyhow::Ok(())
                });
            }
            #[expect(unreachable_code, reason = "it names the type of the errors")]
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// `quinn-send`: sends stdin on one stream and waits until the other end has it all.
pub(crate) async fn send(port: u16, folder: &Path) -> Result<()> {
    let (endpoint, connection) =
        connect((Ipv4Addr::LOCALHOST, port).into(), STREAMS, folder).await?;
    let (mut out, mut into) = connection.open_bi().await?;
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = stdin.read(&mut buffer).await.context("reading stdin")?;
        if n == 0 {
            break;
        }
        out.write_all(&buffer[..n]).await.context("sending")?;
    }
    out.finish()?;
    into.read_to_end(0).await.context("waiting for the end")?;
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(())
}
