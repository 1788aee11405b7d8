//! `fetch` of a few bytes from its start to its end, over HTTP/3 and over HTTP/1.1 in TLS: what a handshake takes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Plan, rounds};
use crate::contender::{Contender, Transport};
use crate::process::Group;
use crate::report::Bound::{AtMost, Shown};
use crate::report::{Column, Goal, Table};

const COLUMNS: &[Column] = &[("ms", 2)];
/// Each takes milliseconds, so a round can hold some.
const FETCHES_PER_ROUND: usize = 16;
const LIMIT: Duration = Duration::from_secs(10);

const OVER_TCP: &str = "HTTP/1.1";
const OVER_TCP_2: &str = "HTTP/2";

pub(super) fn run(plan: &Plan) -> Result<Vec<Table>> {
    let own = plan.programs.folder.path().display();
    let server = plan.programs.sockeye(&format!(
        "serve reply hello 127.0.0.1:{{port}} --cert {own}/cert.pem --key {own}/key.pem"
    ));
    let server = server.start(Transport::Udp)?;
    let fetch = |flags: &str| {
        plan.programs.sockeye(&format!(
            "fetch -4s {flags} --no-alt-svc --ca {own}/cert.pem https://localhost:{{port}}/"
        ))
    };
    let named = |name, mut contender: Contender| {
        contender.name = name;
        contender
    };
    let ways = [
        fetch("--http3-only"),
        named(OVER_TCP, fetch("--http1.1")),
        named(OVER_TCP_2, fetch("--http2")),
    ];
    let goals = vec![
        Goal::ratio(0, OVER_TCP, AtMost(1.5)),
        Goal::ratio(0, OVER_TCP_2, Shown),
    ];
    let title = "h3-fetch: sockeye fetch of 5 bytes, over HTTP/3 and in TLS over TCP".to_owned();
    let mut table = Table::new(title, COLUMNS, goals);
    let port = server.address.port();
    let fetches = plan.rounds * FETCHES_PER_ROUND;
    rounds(fetches, &ways, LIMIT, |way, round| {
        let began = Instant::now();
        let (status, answer) = Group::output(&mut way.command(port), b"")?;
        let wall = began.elapsed();
        ensure!(
            status.success() && answer == b"hello",
            "{} ended with {status}: {}",
            way.name,
            answer.escape_ascii()
        );
        table.add(way.name, round, vec![wall.as_secs_f64() * 1e3]);
        Ok(())
    });
    Ok(vec![table])
}
