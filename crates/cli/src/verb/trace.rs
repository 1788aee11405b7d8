//! `sockeye trace`: a capture is read and drawn.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use trace::{Capture, Fault, Language, NARROWEST, Style, Theme};
use wire::text::printable;

use crate::args::{Colors, Lang, TraceArgs};
use crate::failure::Usage;
use crate::terminal;

/// A picture that nobody has given a width is not wider, even on a wide terminal: arrows would only be long.
const WIDEST: usize = 120;

pub(crate) fn run(args: &TraceArgs) -> Result<ExitCode> {
    if let Some(width) = args.width.filter(|width| *width < NARROWEST) {
        let what = format!("--width {width} is too narrow: {NARROWEST} columns are the least");
        return Err(Usage(what).into());
    }
    let name = match args.read == Path::new("-") {
        true => "standard input".to_owned(),
        false => printable(&args.read.to_string_lossy()).into_owned(),
    };
    let keys = match &args.keys {
        Some(file) => std::fs::read(file).map_err(|error| {
            let file = printable(&file.to_string_lossy()).into_owned();
            Error::from(Fault::from(error)).context(format!("cannot read {file}"))
        })?,
        None => Vec::new(),
    };
    let unread = |fault: Fault| Error::from(fault).context(format!("cannot read {name}"));
    let capture = match args.read == Path::new("-") {
        true => Capture::read_with(io::stdin().lock(), &keys),
        false => {
            let file = File::open(&args.read).map_err(|error| unread(error.into()))?;
            Capture::read_with(file, &keys)
        }
    };
    if let Some(number) = args.flow.iter().find(|flow| **flow >= capture.flows.len()) {
        let count = capture.flows.len();
        let what = format!("there is no flow {number} in {name}: it has {count}, counted from 0");
        return Err(Usage(what).into());
    }
    let shown = |name: &OsStr| printable(&name.to_string_lossy()).into_owned();
    let source = args.read.file_name().map_or_else(|| name.clone(), shown);
    if args.svg && args.flow.len() != 1 && capture.flows.len() > 1 {
        let count = capture.flows.len();
        let what = format!("{name} has {count} flows: --flow N says which one is to be drawn");
        return Err(Usage(what).into());
    }
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = match args.json {
        true => trace::json(&capture, &source, |line| out.write_all(line.as_bytes())),
        false => draw(&capture, &source, args, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        written => written.context("cannot write to standard output")?,
    }
    if !args.json {
        left_out(&capture, &name);
    }
    match capture.fault {
        None => Ok(ExitCode::SUCCESS),
        // What stands before is whole: captures are cut whenever somebody ends one.
        Some(Fault::Cut { .. }) if capture.frames > 0 => Ok(ExitCode::SUCCESS),
        Some(fault) => Err(unread(fault)),
    }
}

fn draw(capture: &Capture, source: &str, args: &TraceArgs, out: &mut impl Write) -> io::Result<()> {
    let theme = match args.theme {
        Colors::Auto => Theme::Auto,
        Colors::Light => Theme::Light,
        Colors::Dark => Theme::Dark,
    };
    if args.html {
        let page = trace::html(capture, source, theme, args.all, &args.flow);
        return out.write_all(page.as_bytes());
    }
    if args.svg {
        let number = args.flow.first().copied().unwrap_or(0);
        let Some(flow) = capture.flows.get(number) else {
            return Ok(());
        };
        return out.write_all(trace::svg(flow, source, theme, args.all).as_bytes());
    }
    let style = style(args);
    let several = capture.flows.len() > 1;
    for (number, flow) in capture.flows.iter().enumerate() {
        if !args.flow.is_empty() && !args.flow.contains(&number) {
            continue;
        }
        if several {
            writeln!(out, "flow {number} of {}", capture.flows.len())?;
        }
        out.write_all(trace::draw(flow, source, &style).as_bytes())?;
        if several {
            writeln!(out)?;
        }
    }
    Ok(())
}

fn style(args: &TraceArgs) -> Style {
    let width = args
        .width
        .or_else(|| Some(terminal::columns()?.clamp(NARROWEST, WIDEST)));
    let language = match args.lang {
        Lang::En => Language::English,
        Lang::Zh => Language::Chinese,
    };
    Style {
        width: width.unwrap_or(100),
        ascii: args.ascii,
        color: terminal::colors(),
        absolute: args.abs,
        all: args.all,
        explain: args.explain.then_some(language),
    }
}

/// What is not in the pictures.
fn left_out(capture: &Capture, name: &str) {
    for (why, count) in &capture.skipped {
        eprintln!("{} in {name} not drawn: {why}", packets(*count));
    }
    if capture.dropped > 0 {
        eprintln!("the capture itself has missed {}", packets(capture.dropped));
    }
    if let Some(fault @ Fault::Cut { .. }) = &capture.fault
        && capture.frames > 0
    {
        eprintln!("{name} is {fault}");
    }
    if capture.flows.is_empty() && capture.fault.is_none() {
        eprintln!(
            "no connections in {name}: it has {}",
            packets(capture.frames)
        );
    }
}

fn packets(count: u64) -> String {
    match count {
        1 => "1 packet".to_owned(),
        count => format!("{count} packets"),
    }
}
