//! `sockeye trace`: a capture is read and drawn.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use trace::{Capture, Fault, NARROWEST};

use crate::args::TraceArgs;
use crate::failure::{Usage, code};
use crate::signals::Signals;

mod picture;

pub(crate) fn run(args: &TraceArgs) -> Result<ExitCode> {
    if let Some(width) = args.width.filter(|width| *width < NARROWEST) {
        let what = format!("--width {width} is too narrow: {NARROWEST} columns are the least");
        return Err(Usage(what).into());
    }
    let name = match args.read == Path::new("-") {
        true => "standard input".to_owned(),
        false => shown(&args.read),
    };
    let keys = match &args.keys {
        Some(file) => std::fs::read(file).map_err(|error| {
            let why = Error::from(Fault::from(error));
            why.context(format!("cannot read {}", shown(file)))
        })?,
        None => Vec::new(),
    };
    let unread = |fault: Fault| Error::from(fault).context(format!("cannot read {name}"));
    let capture = match args.read == Path::new("-") {
        true => match piped(keys)? {
            Ok(capture) => capture,
            Err(code) => return Ok(ExitCode::from(code)),
        },
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
    let source = match args.read.file_name() {
        Some(file) => shown(Path::new(file)),
        None => name.clone(),
    };
    if args.svg && args.flow.len() != 1 && capture.flows.len() > 1 {
        let count = capture.flows.len();
        let what = format!("{name} has {count} flows: --flow N says which one is to be drawn");
        return Err(Usage(what).into());
    }
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = match args.json {
        true => trace::json(&capture, &source, |line| out.write_all(line.as_bytes())),
        false => picture::draw(&capture, &source, args, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        written => written.context("cannot write to standard output")?,
    }
    if !args.json {
        eprint!("{}", picture::left_out(&capture, &name));
    }
    match capture.fault {
        None => Ok(ExitCode::SUCCESS),
        // What stands before is whole: captures are cut whenever somebody ends one.
        Some(Fault::Cut { .. }) if capture.frames > 0 => Ok(ExitCode::SUCCESS),
        Some(fault) => Err(unread(fault)),
    }
}

/// The capture that comes through standard input, or the exit code of the signal that ends us.
///
/// Ctrl-C ends whoever captures at the other end of the pipe, and what that one has written is still to be drawn: so
/// the first one ends the capture, and only the second one us.
fn piped(keys: Vec<u8>) -> Result<Result<Capture, u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let read = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let read = move || Capture::read_with(io::stdin().lock(), &keys);
        let mut reading = tokio::task::spawn_blocking(read);
        let mut interrupted = false;
        loop {
            tokio::select! {
                capture = &mut reading => return Ok(Ok(capture?)),
                code = signals.next() => match code {
                    code::INTERRUPTED if !interrupted => interrupted = true,
                    code => return Ok(Err(code)),
                },
            }
        }
    });
    // A thread that waits in a read must not hold up the exit.
    runtime.shutdown_background();
    read
}

/// A path that drives no terminal.
fn shown(path: &Path) -> String {
    wire::text::printable(&path.to_string_lossy()).into_owned()
}
