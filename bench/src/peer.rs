//! The bare loops of tokio and quinn that sockeye is measured against: what one writes by hand when nothing else is asked for.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::quic;

/// A loop of this file, as named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Peer {
    /// TCP: a task and a 64 KiB buffer per connection.
    #[value(name = "tokio-echo")]
    TcpEcho,
    /// WebSocket: tokio-tungstenite as its documentation uses it.
    #[value(name = "tungstenite-echo")]
    WsEcho,
    /// UDP: one socket, `recv_from` and `send_to`.
    #[value(name = "tokio-udp-echo")]
    UdpEcho,
    /// The same, in capitals.
    #[value(name = "tokio-udp-upper")]
    UdpUpper,
    /// QUIC: bare quinn with sockeye's settings, reads all and gives nothing.
    #[value(name = "quinn-sink")]
    QuinnSink,
    /// Its client, which sends stdin.
    #[value(name = "quinn-send")]
    QuinnSend,
}

/// Serves until it is killed; what sends ends by itself.
pub(crate) fn serve(peer: Peer, port: u16, folder: &Path) -> Result<()> {
    let runtime = match peer {
        // As many threads as sockeye has.
        Peer::QuinnSink | Peer::QuinnSend => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build(),
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build(),
    };
    let runtime = runtime.context("starting a tokio runtime")?;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    runtime.block_on(async {
        match peer {
            Peer::TcpEcho => tcp_echo(at, echo).await,
            Peer::WsEcho => tcp_echo(at, ws_echo).await,
            Peer::UdpEcho => udp_loop(at, |_| {}).await,
            Peer::UdpUpper => udp_loop(at, <[u8]>::make_ascii_uppercase).await,
            Peer::QuinnSink => quic::sink(port, folder).await,
            Peer::QuinnSend => quic::send(port, folder).await,
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bare loop is the point; it ends by being killed"
)]
async fn tcp_echo<R>(at: SocketAddr, echo: impl Fn(TcpStream) -> R) -> Result<()>
where
    R: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind(at)
        .await
        .with_context(|| format!("binding tcp {at}"))?;
    eprintln!("listening tcp {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn ws_echo(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn udp_loop(at: SocketAddr, answer: impl Fn(&mut [u8])) -> Result<()> {
    let socket = UdpSocket::bind(at)
        .await
        .with_context(|| format!("binding udp {at}"))?;
    eprintln!("listening udp {}", socket.local_addr()?);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (count, peer) = socket.recv_from(&mut buffer).await.context("receiving")?;
        answer(&mut buffer[..count]);
        // A client that has left answers with an ICMP error, which is no reason to stop.
        let _ = socket.send_to(&buffer[..count], peer).await;
    }
}
