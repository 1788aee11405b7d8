//! HTTP/3: a file fetched over and over, with so many requests in flight on so many connections. One client for all
//! contenders, on one thread, made of the library that sockeye's own server is made of.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::{Buf, Bytes};
use futures_util::future::try_join_all;
use h3::client::SendRequest;
use http::{Request, StatusCode};

use super::download::Unit;
use super::{Counters, Watched, Window, watch};
use crate::process::Group;
use crate::quic::{self, NAME};

/// What is asked for, and how.
#[derive(Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub(crate) path: &'a str,
    /// How long the answer is.
    pub(crate) size: usize,
    pub(crate) connections: usize,
    /// In flight on each connection.
    pub(crate) requests: usize,
    pub(crate) unit: Unit,
}

/// Fetches from the server at `address`, whose certificate is in `folder`.
pub(crate) fn fetch(
    address: SocketAddr,
    demand: Demand<'_>,
    folder: &Path,
    server: &Group,
    window: Window,
) -> Result<Watched> {
    let counters = &Counters::default();
    let watched = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.context("starting a tokio runtime")?;
            let connections =
                (0..demand.connections).map(|_| connection(address, demand, folder, counters));
            runtime.block_on(try_join_all(connections))
        });
        let watched = watch(counters, server, window);
        counters.stop();
        load.join()
            .map_err(|_| anyhow!("the load thread panicked"))??;
        watched
    })?;
    ensure!(watched.rate() > 0.0, "no answer");
    Ok(watched)
}

async fn connection(
    address: SocketAddr,
    demand: Demand<'_>,
    folder: &Path,
    counters: &Counters,
) -> Result<()> {
    let (_endpoint, connection) = quic::connect(address, "h3", folder).await?;
    let connection = h3_quinn::Connection::new(connection);
    let (mut driver, sender) = h3::client::new(connection)
        .await
        .context("beginning HTTP/3")?;
    let uri = format!("https://{NAME}:{}{}", address.port(), demand.path);
    let request = Request::get(uri).body(())?;
    let requests =
        (0..demand.requests).map(|_| requests(sender.clone(), &request, demand, counters));
    tokio::select! {
        ended = poll_fn(|cx| driver.poll_close(cx)) => Err(ended).context("HTTP/3"),
        done = try_join_all(requests) => done.map(drop),
    }
}

/// One after the other, until it is enough.
async fn requests(
    mut sender: SendRequest<h3_quinn::OpenStreams, Bytes>,
    request: &Request<()>,
    demand: Demand<'_>,
    counters: &Counters,
) -> Result<()> {
    while !counters.stopped() {
        let mut stream = sender
            .send_request(request.clone())
            .await
            .context("asking")?;
        stream.finish().await.context("asking")?;
        let head = stream
            .recv_response()
            .await
            .context("waiting for an answer")?;
        ensure!(
            head.status() == StatusCode::OK,
            "another answer: {}",
            head.status()
        );
        let (mut size, mut counted) = (0, 0);
        while let Some(data) = stream.recv_data().await.context("reading an answer")? {
            size += data.remaining();
            if let Unit::Kib = demand.unit {
                counters
                    .done
                    .fetch_add((size / 1024 - counted) as u64, Ordering::Relaxed);
                counted = size / 1024;
                if counters.stopped() {
                    return Ok(());
                }
            }
        }
        ensure!(size == demand.size, "an answer of {size} bytes");
        if let Unit::Files = demand.unit {
            counters.done.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
