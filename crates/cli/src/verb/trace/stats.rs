//! `sockeye trace stats`: charts of captures, and of what the kernel says of its connections.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use trace::stats::{Stats, chart, chart_svg};
use trace::{Capture, NARROWEST, Style};

use super::picture;
use crate::args::StatsArgs;
use crate::failure::Usage;
use crate::terminal;

mod watch;

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
            runtime.block_on(watch::watch(args, address))
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
        .map_or_else(|| "-".into(), |name| name.to_string_lossy());
    let source = wire::text::printable(&source).into_owned();
    let flows = capture.flows.iter().enumerate();
    let asked = flows.filter(|(number, _)| args.flow.is_empty() || args.flow.contains(number));
    Ok(asked.map(|(_, flow)| Stats::of(flow, &source)).collect())
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
