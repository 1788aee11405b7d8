//! GET of a few bytes over 64 keep-alive connections, against nginx with one worker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Plan, rounds};
use crate::contender::Transport;
use crate::load::tcp::{self, Talk};
use crate::report::Bound::{AtLeast, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("GET/s", 0), ("server µs/GET", 2), ("others' CPUs", 2)];
const CONNECTIONS: usize = 64;

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let title = format!("http-get: 6 bytes, keep-alive connections: {CONNECTIONS}");
    let goals = vec![
        Goal::ratio(0, "nginx", AtLeast(0.9)),
        Goal::ratio(1, "nginx", Shown),
    ];
    let mut table = Table::new(title, COLUMNS, goals);
    let limit = (plan.window.warm + plan.window.length) * 3 + Duration::from_secs(30);
    rounds(
        plan.rounds,
        &plan.programs.http_get(),
        limit,
        |contender, round| {
            let server = contender.start(Transport::Tcp)?;
            let opened = (0..CONNECTIONS).map(|_| open(server.address));
            let (streams, talks): (Vec<_>, Vec<_>) =
                opened.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            let talk = talks.first().context("no connection")?;
            let watched = tcp::talk(&streams, talk, &server.group, plan.window)?;
            table.add(
                contender.name,
                round,
                vec![watched.rate(), watched.cost(), watched.foreign()],
            );
            Ok(())
        },
    );
    Ok(vec![table])
}

/// Opens a connection and has one request answered, which shows how long the answers are.
fn open(address: SocketAddr) -> Result<(TcpStream, Talk)> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // What a browser or curl sends beside it would be the same work for both.
    let question = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
    stream.write_all(&question).context("sending a request")?;
    let mut answer = Vec::new();
    let head = loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).context("waiting for an answer")?;
        ensure!(count > 0, "the server closed the connection");
        answer.extend_from_slice(&part[..count]);
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("an answer without a length")?;
    let length: usize = length.trim().parse().context("reading the length")?;
    let mut rest = vec![0; (head + length).saturating_sub(answer.len())];
    stream.read_exact(&mut rest).context("reading the answer")?;
    answer.extend_from_slice(&rest);
    ensure!(answer.ends_with(b"hello\n"), "another answer: {text}");
    let talk = Talk {
        question,
        answer: answer.len(),
        begins: b"HTTP/1.1 200 OK\r\n".into(),
    };
    Ok((stream, talk))
}
