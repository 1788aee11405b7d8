//! Idle sessions: what a server keeps for peers that have said one thing and are now silent.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Plan, rounds};
use crate::contender::{Contender, Server, Transport, present};
use crate::load::{tcp, ws};
use crate::report::Bound::AtMost;
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("KiB/session", 2), ("KiB at start", 0), ("sessions", 0)];
const CONNECTIONS: usize = 10_000;
/// 127.0.0.2 to 127.0.0.9, from below the ports that the kernel hands out.
const SOURCES: u8 = 8;
const PORTS: std::ops::Range<u16> = 20_000..32_500;
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let roomy = |url: &str| {
        let options = "--idle-timeout 600s --max-sessions 200000";
        plan.programs
            .sockeye(&format!("serve echo {url}:{{port}} {options}"))
    };
    let mut tcp = vec![roomy("tcp://127.0.0.1")];
    let peers = plan.programs.tcp_echo().into_iter();
    tcp.extend(peers.filter(|peer| matches!(peer.name, "tokio" | "epoll")));
    let tcp = table("tcp", 3.0, tcp, |contender| {
        let server = contender.start(Transport::Tcp)?;
        let before = server.group.memory();
        let streams = tcp::connect(server.address, CONNECTIONS)?;
        Ok(figures(&server, before, streams.len()))
    });
    let sessions = |contender: &Contender| {
        let server = contender.start(Transport::Tcp)?;
        let before = server.group.memory();
        let opened = (0..CONNECTIONS).map(|_| ws::open(server.address));
        let streams = opened.collect::<Result<Vec<_>>>()?;
        Ok(figures(&server, before, streams.len()))
    };
    let websocket = table("WebSocket", 8.0, vec![roomy("127.0.0.1")], sessions);
    let udp = table("udp", 1.0, vec![roomy("udp://127.0.0.1")], |contender| {
        let server = contender.start(Transport::Udp)?;
        let before = server.group.memory();
        let sessions = visit(server.address)?;
        Ok(figures(&server, before, sessions))
    });
    Ok(vec![tcp, websocket, udp])
}

/// One round: memory does not depend on who else is running.
fn table(
    transport: &str,
    most: f64,
    contenders: Vec<Contender>,
    mut sample: impl FnMut(&Contender) -> Result<Vec<f64>>,
) -> Table {
    let title = format!("idle: {transport} sessions, one message exchanged, server memory (PSS)");
    let mut table = Table::new(title, COLUMNS, vec![Goal::figure(0, AtMost(most))]);
    rounds(1, &present(contenders), LIMIT, |contender, round| {
        table.add(contender.name, round, sample(contender)?);
        Ok(())
    });
    table
}

fn figures(server: &Server, before: u64, sessions: usize) -> Vec<f64> {
    // What a server does after its last answer, it has done by then.
    thread::sleep(Duration::from_millis(300));
    let growth = server.group.memory() as f64 - before as f64;
    vec![growth / sessions as f64, before as f64, sessions as f64]
}

/// Sends one datagram from each source and waits for its echo; a socket is closed before the next one
/// opens, because a process may not have that many.
fn visit(server: SocketAddr) -> Result<usize> {
    let mut visits = 0;
    for port in PORTS {
        for source in 2..2 + SOURCES {
            let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, source), port));
            let socket = UdpSocket::bind(from).with_context(|| format!("binding {from}"))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.send_to(b"hello\n", server).context("sending")?;
            let mut answer = [0; 16];
            let (count, _) = socket
                .recv_from(&mut answer)
                .with_context(|| format!("at {from}"))?;
            ensure!(answer[..count] == *b"hello\n", "the answer is not an echo");
            visits += 1;
        }
    }
    Ok(visits)
}
