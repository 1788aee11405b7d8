//! Rows of a quiet connection that somebody watches: how long after a packet its row can be read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Plan, rounds};
use crate::contender::Transport;
use crate::process::Group;
use crate::report::Bound::{AtMost, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("median µs", 0), ("p99 µs", 0), ("rows", 0)];
const LIMIT: Duration = Duration::from_secs(60);

/// Few rows each, so that nothing is folded: rows that are folded wait for each other on purpose.
const CONNECTIONS: usize = 40;
const MESSAGES: usize = 8;

/// Between messages, and between connections.
const QUIET: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The picture says when the kernel saw a packet, from the SYN on, and we know when we began to connect. So what is
/// measured is too long by the way of the SYN to the interface, and by the time that we take to wake up and read.
pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let goals = vec![
        Goal::figure(0, AtMost(1000.0)),
        Goal::figure(1, AtMost(1000.0)),
        Goal::figure(2, Shown),
    ];
    let title = format!("trace-rows: {CONNECTIONS} quiet connections, from the packet to its row");
    let mut table = Table::new(title, COLUMNS, goals);
    let server = plan.programs.sockeye("serve echo tcp://127.0.0.1:{port}");
    let watchers = [plan.programs.sockeye("trace --watch 127.0.0.1:{port}")];
    rounds(plan.rounds, &watchers, LIMIT, |watcher, round| {
        let server = server.start(Transport::Tcp)?;
        let mut command = watcher.command(server.address.port());
        let mut group = Group::spawn(command.stdout(Stdio::piped()))?;
        let lines = lines(group.stdout()?);
        let mut late = sample(server.address, &lines)?;
        late.sort_unstable();
        let at = |share: usize| late[late.len() * share / 100].as_secs_f64() * 1e6;
        table.add(watcher.name, round, vec![at(50), at(99), late.len() as f64]);
        Ok(())
    });
    Ok(vec![table])
}

/// What the watcher writes, line by line, and when it was read.
fn lines(stdout: ChildStdout) -> Receiver<(Instant, String)> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    receiver
}

/// How late each row was.
fn sample(server: SocketAddr, lines: &Receiver<(Instant, String)>) -> Result<Vec<Duration>> {
    let begun = Instant::now();
    while lines.recv_timeout(PAUSE).is_err() {
        ensure!(begun.elapsed() < LIMIT / 4, "nothing is drawn");
        talk(server, 1)?;
    }
    // What came before we were watched is drawn to its end.
    while lines.recv_timeout(PAUSE * 20).is_ok() {}
    let mut starts = Vec::new();
    for _ in 0..CONNECTIONS {
        starts.push(talk(server, MESSAGES)?);
        thread::sleep(PAUSE);
    }
    let mut starts = starts.into_iter();
    let mut start = None;
    let mut late = Vec::new();
    while let Ok((read, line)) = lines.recv_timeout(PAUSE * 20) {
        let Some(time) = time(&line) else { continue };
        if line.contains(" SYN ") && !line.contains("ACK") {
            start = starts.next();
        }
        let start = start.context("a row before the first connection")?;
        late.push(read.saturating_duration_since(start + time));
    }
    ensure!(starts.next().is_none(), "a connection is not drawn");
    Ok(late)
}

/// Messages and their echoes, one after the other. When the connection was begun.
fn talk(server: SocketAddr, messages: usize) -> Result<Instant> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server).context("connecting")?;
    for _ in 0..messages {
        thread::sleep(QUIET);
        stream.write_all(b"hello\n").context("sending")?;
        let mut echo = [0; 6];
        stream.read_exact(&mut echo).context("hearing the echo")?;
    }
    thread::sleep(QUIET);
    Ok(began)
}

/// The time of a row, which stands behind the number of its packet.
fn time(line: &str) -> Option<Duration> {
    let mut words = line.split_whitespace();
    words.next()?.parse::<u64>().ok()?;
    let time: f64 = words.next()?.parse().ok()?;
    let drawn = line.contains('├') || line.contains('┤');
    drawn.then(|| Duration::from_secs_f64(time / 1e3))
}
