//! Pictures of what crossed the wire, and what is not in them.

use std::io::{self, BufWriter, ErrorKind, Write};

use anyhow::{Context, Result};
use trace::{Capture, Language, NARROWEST, Style, Theme};

use crate::args::{Colors, Lang, PictureArgs};
use crate::failure::Usage;
use crate::terminal;

/// A picture that nobody has given a width is not wider, even on a wide terminal: arrows would only be long.
const WIDEST: usize = 120;

/// Whether it can be drawn as it was asked for.
///
/// # Errors
/// When it is too narrow.
pub(super) fn check(args: &PictureArgs) -> Result<()> {
    if let Some(width) = args.width.filter(|width| *width < NARROWEST) {
        let what = format!("--width {width} is too narrow: {NARROWEST} columns are the least");
        return Err(Usage(what).into());
    }
    Ok(())
}

/// Writes to standard output what was asked for, a picture with an introduction before it; `false` if nobody
/// reads that any more.
///
/// # Errors
/// When it cannot be written.
pub(super) fn show(
    capture: &Capture,
    source: &str,
    introduction: &str,
    args: &PictureArgs,
) -> Result<bool> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = match (args.json, args.html || args.svg) {
        (true, _) => trace::json(capture, source, |line| out.write_all(line.as_bytes())),
        (false, true) => draw(capture, source, args, &mut out),
        (false, false) => out
            .write_all(introduction.as_bytes())
            .and_then(|()| draw(capture, source, args, &mut out)),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => {
            written.context("cannot write to standard output")?;
            Ok(true)
        }
    }
}

/// Draws the flows that were asked for.
///
/// # Errors
/// When it cannot be written.
fn draw(
    capture: &Capture,
    source: &str,
    args: &PictureArgs,
    out: &mut impl Write,
) -> io::Result<()> {
    let theme = theme(args.theme);
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

pub(super) fn theme(colors: Colors) -> Theme {
    match colors {
        Colors::Auto => Theme::Auto,
        Colors::Light => Theme::Light,
        Colors::Dark => Theme::Dark,
    }
}

pub(super) fn style(args: &PictureArgs) -> Style {
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
