//! `sockeye trace stats`: charts of captures, and of what the kernel says of its connections.

use std::io::{IsTerminal, Write, stdout};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use trace::stats::{Sampler, Stats, chart, chart_svg};
use trace::{Capture, NARROWEST, Style};

use super::picture;
use crate::args::StatsArgs;
use crate::failure::{Usage, code};
use crate::signals::Signals;
use crate::terminal;

/// A chart that nobody has given a width.
const WIDTH: usize = 100;

pub(super) fn run(args: &StatsArgs) -> Result<ExitCode> {
    if let Some(width) = args.width.filter(|width| *width < NARROWEST) {
        let what = format!("--width {width} is too narrow: {NARROWEST} columns are the least");
        return Err(Usage(what).into());
    }
    match (&args.read, &args.address) {
        (Some(file), _) => {
            let capture = super::capture_of(file, Vec::new())?;
            match capture {
                Ok(capture) => draw(args, &of(&capture, file, args)?),
                Err(code) => Ok(ExitCode::from(code)),
            }
        }
        (None, Some(address)) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(watch(args, address))
        }
        // The parser has refused that.
        (None, None) => Err(Usage("whose statistics?".to_owned()).into()),
    }
}

fn of(capture: &Capture, file: &Path, args: &StatsArgs) -> Result<Vec<Stats>> {
    let count = capture.flows.len();
    if let Some(number) = args.flow.iter().find(|flow| **flow >= count) {
        let what = format!("there is no flow {number}: there are {count}, counted from 0");
        return Err(Usage(what).into());
    }
    let source = file
        .file_name()
        .map_or("-".into(), |name| name.to_string_lossy());
    let source = wire::text::printable(&source).into_owned();
    let flows = capture.flows.iter().enumerate();
    let asked = flows.filter(|(number, _)| args.flow.is_empty() || args.flow.contains(number));
    Ok(asked.map(|(_, flow)| Stats::of(flow, &source)).collect())
}

/// Asks the kernel until there is nothing more to ask for.
async fn watch(args: &StatsArgs, address: &str) -> Result<ExitCode> {
    let (address, port) = read(address)?;
    let mut sampler = Sampler::new(address, port).context("cannot ask the kernel")?;
    let mut signals = Signals::listen()?;
    let mut ticks = interval(args.every.max(std::time::Duration::from_millis(1)));
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

fn draw(args: &StatsArgs, all: &[Stats]) -> Result<ExitCode> {
    let text = match (args.svg, all) {
        (true, [stats]) => chart_svg(stats, picture::theme(args.theme)),
        (true, []) => String::new(),
        (true, _) => {
            let what = format!("there are {} connections: --svg draws one", all.len());
            return Err(Usage(what).into());
        }
        (false, all) => charts(args, all),
    };
    crate::verb::print(text.as_bytes())
}

fn charts(args: &StatsArgs, all: &[Stats]) -> String {
    let width = args.width.or_else(terminal::columns).unwrap_or(WIDTH);
    let style = Style {
        width: width.max(NARROWEST),
        ascii: args.ascii,
        color: terminal::colors(),
        ..Style::default()
    };
    let charts: Vec<String> = all.iter().map(|stats| chart(stats, &style)).collect();
    charts.join("\n")
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
