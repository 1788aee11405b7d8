//! Relay: a client sends a file through a TCP relay into a sink that takes it without looking at it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::bulk::{ALIKE, source, system_congestion};
use super::{Plan, rounds};
use crate::contender::{Contender, Transport};
use crate::report::Bound::{AtLeast, AtMost, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("GB/s", 2), ("relay CPU s/GB", 3)];
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let source = source(plan.gib)?;
    let sink = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding the sink")?;
    let to = sink.local_addr().context("where is the sink?")?;
    let title = format!("relay: {} GiB, file to relay to sink", plan.gib);
    let mut table = Table::new(title, COLUMNS, goals());
    let size = plan.gib << 30;
    rounds(
        plan.rounds,
        &plan.programs.relays(to.port(), ALIKE, &system_congestion()),
        LIMIT,
        |contender, round| {
            let (wall, cpu) = transfer(contender, &source, &sink, size)?;
            let gigabytes = size as f64 / 1e9;
            let figures = vec![
                gigabytes / wall.as_secs_f64(),
                cpu.as_secs_f64() / gigabytes,
            ];
            table.add(contender.name, round, figures);
            Ok(())
        },
    );
    Ok(vec![table])
}

fn goals() -> Vec<Goal> {
    vec![
        Goal::ratio(0, "haproxy", AtLeast(0.95)),
        Goal::ratio(1, "haproxy", AtMost(1.2)),
        Goal::ratio(0, "socat", AtLeast(3.0)),
        Goal::ratio(1, "socat", Shown),
        Goal::ratio(0, ALIKE, Shown),
        Goal::ratio(1, ALIKE, Shown),
    ]
}

/// One transfer: from the first byte that the client sends until the sink has the last. The CPU is the
/// relay's alone.
fn transfer(
    relay: &Contender,
    source: &File,
    sink: &TcpListener,
    size: u64,
) -> Result<(Duration, Duration)> {
    let server = relay.start(Transport::Tcp)?;
    let client = open(server.address)?;
    thread::scope(|scope| {
        let before = server.group.cpu();
        let began = Instant::now();
        let sending = scope.spawn(|| send(source, &client));
        // It reaches its sink when it has been reached, or with the first byte.
        let taking = accept(sink)?;
        take(&taking, size)?;
        let wall = began.elapsed();
        let cpu = server.group.cpu() - before;
        let sent = sending
            .join()
            .map_err(|_| anyhow!("the client panicked"))??;
        ensure!(sent == size, "{sent} of {size} bytes were sent");
        Ok((wall, cpu))
    })
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect(address).with_context(|| format!("connecting to {address}"))
}

/// The relay's connection; one that does not come is a failed sample.
fn accept(sink: &TcpListener) -> Result<TcpStream> {
    let ready = poll(
        &mut [PollFd::new(sink.as_fd(), PollFlags::POLLIN)],
        10_000_u16,
    );
    ensure!(
        ready.context("waiting for the relay")? > 0,
        "the relay does not connect"
    );
    Ok(sink.accept().context("taking the relay's connection")?.0)
}

/// By `sendfile`, which the standard library uses between these two.
fn send(source: &File, mut client: &TcpStream) -> Result<u64> {
    let mut file = File::open(format!("/proc/self/fd/{}", source.as_raw_fd()))
        .context("reopening the file")?;
    io::copy(&mut file, &mut client).context("sending the file")
}

/// Takes `size` bytes without having them copied (MSG_TRUNC, tcp(7)).
fn take(stream: &TcpStream, size: u64) -> Result<()> {
    let mut room = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let taken = recv(stream.as_raw_fd(), &mut room, MsgFlags::MSG_TRUNC);
        let taken = taken.context("taking from the relay")?;
        ensure!(taken > 0, "the relay ended {left} bytes early");
        left = left.saturating_sub(taken as u64);
    }
    Ok(())
}
