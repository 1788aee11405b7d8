//! `sockeye trace`: a capture is read and drawn.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Error, Result};
use trace::{Capture, Fault};

use crate::args::{Beside, TraceArgs};
use crate::failure::{Usage, code};
use crate::signals::Signals;

mod lab;
pub(crate) mod live;
mod missing;
mod picture;
mod stats;

pub(crate) fn run(args: &TraceArgs) -> Result<ExitCode> {
    match (&args.beside, &args.read) {
        (Some(Beside::Lab(args)), _) => lab::run(args),
        (Some(Beside::Stats(args)), _) => stats::run(args),
        (None, Some(file)) => read(args, file),
        (None, None) => {
            let what = "trace needs an ADDR to talk to, --watch HOST:PORT, --read FILE or `lab`";
            Err(Usage(what.to_owned()).into())
        }
    }
}

fn read(args: &TraceArgs, file: &Path) -> Result<ExitCode> {
    picture::check(&args.picture)?;
    let name = name_of(file);
    let keys = match &args.keys {
        Some(file) => std::fs::read(file).map_err(|error| {
            let why = Error::from(Fault::from(error));
            why.context(format!("cannot read {}", shown(file)))
        })?,
        None => Vec::new(),
    };
    let capture = match capture_of(file, keys)? {
        Ok(capture) => capture,
        Err(code) => return Ok(ExitCode::from(code)),
    };
    let args = &args.picture;
    if let Some(number) = args.flow.iter().find(|flow| **flow >= capture.flows.len()) {
        let count = capture.flows.len();
        let what = format!("there is no flow {number} in {name}: it has {count}, counted from 0");
        return Err(Usage(what).into());
    }
    let source = match file.file_name() {
        Some(file) => shown(Path::new(file)),
        None => name.clone(),
    };
    if args.svg && args.flow.len() != 1 && capture.flows.len() > 1 {
        let count = capture.flows.len();
        let what = format!("{name} has {count} flows: --flow N says which one is to be drawn");
        return Err(Usage(what).into());
    }
    if !picture::show(&capture, &source, "", args)? {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        eprint!("{}", missing::left_out(&capture, &name));
    }
    match capture.fault {
        None => Ok(ExitCode::SUCCESS),
        // What stands before is whole: captures are cut whenever somebody ends one.
        Some(Fault::Cut { .. }) if capture.frames > 0 => Ok(ExitCode::SUCCESS),
        Some(fault) => Err(unread(&name, fault)),
    }
}

fn name_of(file: &Path) -> String {
    match file == Path::new("-") {
        true => "standard input".to_owned(),
        false => shown(file),
    }
}

fn unread(name: &str, fault: Fault) -> Error {
    Error::from(fault).context(format!("cannot read {name}"))
}

/// What a file says, or the exit code of the signal that ends us before it is read.
fn capture_of(file: &Path, keys: Vec<u8>) -> Result<Result<Capture, u8>> {
    if file == Path::new("-") {
        return piped(keys);
    }
    let opened = File::open(file).map_err(|error| unread(&name_of(file), error.into()))?;
    Ok(Ok(Capture::read_with(opened, &keys)))
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
