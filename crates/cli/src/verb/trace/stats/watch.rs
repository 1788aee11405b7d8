//! What the kernel says of its connections, asked again and again.

use std::io::{IsTerminal, Write, stdout};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use trace::stats::{Sampler, Stats};

use super::{charts, draw};
use crate::args::StatsArgs;
use crate::failure::{Usage, code};
use crate::signals::Signals;

/// Asks the kernel until there is nothing more to ask for.
pub(super) async fn watch(args: &StatsArgs, address: &str) -> Result<ExitCode> {
    let (address, port) = read(address)?;
    let mut sampler = Sampler::new(address, port).context("cannot ask the kernel")?;
    let mut signals = Signals::listen()?;
    let mut ticks = interval(args.every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = args.limit.map(|limit| Instant::now() + limit);
    let mut shown = Shown::new(args);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let there = sampler.sample().context("cannot ask the kernel")?;
                if there == 0 && sampler.has_seen() {
                    break;
                }
                shown.again(&sampler)?;
            }
            () = sleep_until(end.unwrap_or_else(Instant::now).into()), if end.is_some() => break,
            code = signals.next() => match code {
                code::INTERRUPTED => break,
                code => return Ok(ExitCode::from(code)),
            },
        }
    }
    shown.wipe()?;
    if !sampler.has_seen() {
        eprintln!("no connection with that address was there");
    }
    draw(args, &sampler.stats())
}

/// `3000`, or what has one address.
fn read(text: &str) -> Result<(Option<SocketAddr>, u16)> {
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok((None, port));
    }
    let mut found = text
        .to_socket_addrs()
        .map_err(|_| Usage(format!("`{text}` is neither HOST:PORT nor a port")))?;
    let address = found.next().context("that host has no address")?;
    Ok((Some(address), address.port()))
}

/// On a terminal the chart grows in its place.
struct Shown<'a> {
    args: &'a StatsArgs,
    is_live: bool,
    lines: usize,
}

impl<'a> Shown<'a> {
    fn new(args: &'a StatsArgs) -> Self {
        Self {
            args,
            is_live: stdout().is_terminal() && !args.svg,
            lines: 0,
        }
    }

    fn again(&mut self, sampler: &Sampler) -> Result<()> {
        if !self.is_live {
            return Ok(());
        }
        self.wipe()?;
        // Of several, the first: a terminal has so many lines and no more.
        let stats: Vec<Stats> = sampler.stats().into_iter().take(1).collect();
        let text = charts(self.args, &stats);
        self.lines = text.lines().count();
        stdout()
            .write_all(text.as_bytes())
            .context("cannot write to standard output")
    }

    fn wipe(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        if lines > 0 {
            // Up so many lines, and everything below is gone.
            write!(stdout(), "\x1b[{lines}F\x1b[J").context("cannot write to standard output")?;
        }
        Ok(())
    }
}
