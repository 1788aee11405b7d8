//! The `sockeye` command: parse, choose a verb, run it, leave with an honest exit code.

mod args;
mod config;
mod console;
mod failure;
mod peers;
mod plan;
mod report;
mod signals;
mod terminal;
mod verb;

use std::process::ExitCode;

use args::{Cli, Verb};
use clap::FromArgMatches;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = match cli.verb {
        Verb::Serve(serve) => run(Threads::ByCores, verb::serve::run(serve)),
        Verb::Connect(connect) => {
            let script = args::script(&matches);
            run(Threads::One, verb::connect::run(connect, script))
        }
        Verb::Contacts(contacts) => verb::contacts::run(contacts),
        Verb::Completions { shell } => verb::completions(shell),
        Verb::Man { dir } => verb::man(dir.as_deref()),
    };
    done.unwrap_or_else(|error| failure::tell(&error))
}

/// How many threads the runtime has. On one or two cores a single thread is faster: no task migrates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Threads {
    One,
    ByCores,
}

fn run(
    threads: Threads,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match threads {
        Threads::ByCores if cores > 2 => tokio::runtime::Builder::new_multi_thread(),
        Threads::ByCores | Threads::One => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(work);
    // A thread that waits in a read of the terminal must not hold up the exit.
    runtime.shutdown_background();
    done
}
