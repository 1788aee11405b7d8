//! HTTP: files fetched over keep-alive connections, one request in flight on each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::{Counters, Watched, Window, watch};
use crate::process::Group;

/// A larger target leaves the L2 cache.
const BUFFER: usize = 64 * 1024;

/// What is counted as done.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Whole answers.
    Files,
    /// KiB of answers: large ones are few.
    Kib,
}

/// Fetches `path` over and over, on `count` connections.
pub(crate) fn fetch(
    address: SocketAddr,
    path: &str,
    count: usize,
    unit: Unit,
    server: &Group,
    window: Window,
) -> Result<Watched> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::open(address, &request)?);
    }
    let counters = &Counters::default();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil((cpus / 2).max(1)).max(1);
    thread::scope(|scope| {
        let mut loads = Vec::new();
        while !connections.is_empty() {
            let mine = connections.split_off(connections.len().saturating_sub(share));
            loads.push(scope.spawn(|| rounds(mine, &request, unit, counters)));
        }
        let watched = watch(counters, server, window);
        counters.stop();
        for load in loads {
            load.join()
                .map_err(|_| anyhow!("a load thread panicked"))??;
        }
        watched
    })
}

struct Connection {
    stream: TcpStream,
    /// Bytes of an answer, its head included: the same each time.
    answer: usize,
    owed: usize,
}

impl Connection {
    /// Has one request answered to its end, which shows how long the answers are.
    fn open(address: SocketAddr, request: &[u8]) -> Result<Self> {
        let mut stream =
            TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(request).context("sending a request")?;
        let mut begin = Vec::new();
        let mut part = vec![0; BUFFER];
        let head = loop {
            let n = stream.read(&mut part).context("waiting for an answer")?;
            ensure!(n > 0, "the server closed the connection");
            begin.extend_from_slice(&part[..n]);
            if let Some(at) = begin.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = String::from_utf8_lossy(&begin[..head]).to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 200 "), "another answer: {text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length = length.context("an answer without a length")?.trim();
        let answer = head + length.parse::<usize>().context("reading the length")?;
        let mut owed = answer - begin.len();
        while owed > 0 {
            let n = stream.read(&mut part).context("reading an answer")?;
            ensure!(n > 0 && n <= owed, "an answer of another length");
            owed -= n;
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            answer,
            owed,
        })
    }
}

fn rounds(
    mut connections: Vec<Connection>,
    request: &[u8],
    unit: Unit,
    counters: &Counters,
) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("making an epoll")?;
    for (connection, index) in connections.iter_mut().zip(0..) {
        epoll
            .add(
                &connection.stream,
                EpollEvent::new(EpollFlags::EPOLLIN, index),
            )
            .context("watching a socket")?;
        connection.stream.write_all(request).context("asking")?;
        connection.owed = connection.answer;
    }
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    while !counters.stopped() {
        let ready = epoll
            .wait(&mut events, 100_u8)
            .context("waiting for answers")?;
        let mut files = 0;
        for event in &events[..ready] {
            let index = usize::try_from(event.data()).context("an event of no socket")?;
            let connection = &mut connections[index];
            let n = match connection.stream.read(&mut buffer) {
                Ok(0) => return Err(anyhow!("the server closed connection {index}")),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error).context("waiting for an answer"),
            };
            bytes += n;
            let left = connection.owed.checked_sub(n);
            connection.owed = left.context("the server sent more than it was asked for")?;
            if connection.owed == 0 {
                connection.stream.write_all(request).context("asking")?;
                connection.owed = connection.answer;
                files += 1;
            }
        }
        let done = match unit {
            Unit::Files => files,
            Unit::Kib => (bytes / 1024) as u64,
        };
        bytes %= 1024;
        counters.done.fetch_add(done, Ordering::Relaxed);
    }
    Ok(())
}
