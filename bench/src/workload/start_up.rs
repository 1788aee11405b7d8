//! Start-up: how long a command takes that has nothing, or one message, to do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Plan, rounds};
use crate::contender::{Contender, SOCKEYE, Transport, present};
use crate::process::Group;
use crate::report::Bound::AtMost;
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("ms", 2)];
/// Starts take milliseconds, so a round can hold some.
const STARTS_PER_ROUND: usize = 8;
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let goals = || vec![Goal::ratio(0, "nc", AtMost(1.5))];
    let title = "start-up: sockeye --version, nc -h".to_owned();
    let mut help = Table::new(title, COLUMNS, goals());
    let starts = plan.rounds * STARTS_PER_ROUND;
    let plain = [
        plan.programs.sockeye("--version"),
        Contender::new("nc", "nc", "-h"),
    ];
    let plain = present(plain.into());
    plain.iter().try_for_each(Contender::read_anew)?;
    rounds(starts, &plain, LIMIT, |contender, round| {
        let began = Instant::now();
        let (status, _) = Group::output(&mut contender.command(0), b"")?;
        let wall = began.elapsed();
        ensure!(status.success(), "{} ended with {status}", contender.name);
        help.add(contender.name, round, vec![wall.as_secs_f64() * 1e3]);
        Ok(())
    });
    Ok(vec![help, round_trip(plan, starts, goals())?])
}

/// One message to an echo server and back, the client ending when the server does.
fn round_trip(plan: &Plan, starts: usize, goals: Vec<Goal>) -> Result<Table> {
    let servers = plan.programs.tcp_echo();
    let server = servers.iter().find(|server| server.name == "tokio");
    let server = server.context("no echo server")?;
    let title = "start-up: sockeye connect --send hi, printf hi | nc -N".to_owned();
    let mut table = Table::new(title, COLUMNS, goals);
    let clients = present(vec![
        plan.programs
            .sockeye("connect tcp://127.0.0.1:{port} --send hi"),
        Contender::new("nc", "nc", "-N 127.0.0.1 {port}"),
    ]);
    rounds(starts, &clients, LIMIT, |client, round| {
        let input: &[u8] = if client.name == SOCKEYE { b"" } else { b"hi" };
        let server = server.start(Transport::Tcp)?;
        let began = Instant::now();
        let (status, answer) = Group::output(&mut client.command(server.address.port()), input)?;
        let wall = began.elapsed();
        // A typed line ends with LF unless told otherwise.
        let right = status.success() && answer.trim_ascii_end() == b"hi";
        ensure!(
            right,
            "{} got no echo: {status}, {}",
            client.name,
            answer.escape_ascii()
        );
        table.add(client.name, round, vec![wall.as_secs_f64() * 1e3]);
        Ok(())
    });
    Ok(table)
}
