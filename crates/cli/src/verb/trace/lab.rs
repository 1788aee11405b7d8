//! `sockeye trace lab`: a play on a wire of our own, drawn when it is over.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use trace::lab::{self, Lab, LabError, SCENARIOS, Seen};
use trace::{Language, Side};

use super::{missing, picture};
use crate::args::{At, LabArgs, Lang};
use crate::eye;
use crate::failure::{self, Timeout, code};
use crate::plan::LabPlan;

mod stop;

pub(super) fn run(args: &LabArgs) -> Result<ExitCode> {
    if args.list {
        let lines = SCENARIOS.iter();
        let lines = lines.map(|scenario| format!("{:<20} {}\n", scenario.name, scenario.what));
        return crate::verb::print(lines.collect::<String>().as_bytes());
    }
    picture::check(&args.picture)?;
    let plan = LabPlan::new(args)?;
    // Before the network is another one, and with it, perhaps, whose files one may write.
    let mut file = match &args.pcap {
        Some(path) => Some(eye::create(path, args.with_keys)?),
        None => None,
    };
    let lab = match Lab::enter() {
        Ok(lab) => lab,
        Err(why) => return instead(args, &plan, why),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let signal = stop::listen(stop.clone())?;
    let seen = lab.play(&plan.play, &stop)?;
    if let (Some(file), Some(path)) = (&mut file, &args.pcap) {
        if args.with_keys {
            let file = wire::text::printable(&path.to_string_lossy()).into_owned();
            eprintln!("warning: --with-keys: whoever has {file} can read everything that was said");
        }
        let side = match args.at {
            At::Client => Side::A,
            At::Server => Side::B,
        };
        let written = file.write_all(&seen.file(side, args.with_keys));
        written.with_context(|| failure::cannot_write(path))?;
    }
    picture::show(
        &seen.capture,
        &plan.source,
        &introduction(args, &plan),
        &args.picture,
    )?;
    tell(args, &seen, signal.load(Ordering::Relaxed))
}

/// What is to be seen, for learners.
fn introduction(args: &LabArgs, plan: &LabPlan) -> String {
    let language = match args.picture.lang {
        Lang::En => Language::English,
        Lang::Zh => Language::Chinese,
    };
    match plan.scenario.filter(|_| args.picture.explain) {
        Some(scenario) => scenario.introduction(language, picture::style(&args.picture).width),
        None => String::new(),
    }
}

/// How it ended, in words and as an exit code.
fn tell(args: &LabArgs, seen: &Seen, signal: u8) -> Result<ExitCode> {
    if !args.picture.json {
        eprint!("{}", missing::left_out(&seen.capture, "the lab"));
    }
    for trouble in &seen.trouble {
        eprintln!("lab: {trouble}");
    }
    Ok(match (signal, seen.code) {
        // Ctrl-C ends the play, and what was seen until then was asked for.
        (code::INTERRUPTED, _) => ExitCode::SUCCESS,
        (code @ 1.., _) => ExitCode::from(code),
        (0, _) if seen.cut => {
            let what = format!("the lab was ended after {:?} (--limit)", args.limit);
            return Err(Timeout(what).into());
        }
        (0, Some(ended @ 1..)) => {
            eprintln!("lab: the client ended with exit code {ended}");
            ExitCode::from(code::CHILD)
        }
        (0, _) if !seen.trouble.is_empty() => ExitCode::from(code::NETWORK),
        (0, _) => ExitCode::SUCCESS,
    })
}

/// There is no lab: what was captured in one, where that is the same.
fn instead(args: &LabArgs, plan: &LabPlan, why: LabError) -> Result<ExitCode> {
    let kept = plan.scenario.filter(|_| plan.plain && args.pcap.is_none());
    let Some((name, bytes)) = kept.and_then(lab::reference) else {
        return Err(why.into());
    };
    let why = failure::line(&why.into());
    eprintln!("{why}. What follows was captured in such a lab at its client.");
    let capture = trace::Capture::read(bytes);
    picture::show(&capture, name, &introduction(args, plan), &args.picture)?;
    Ok(ExitCode::SUCCESS)
}
