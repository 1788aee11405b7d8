//! `sockeye-bench`: sockeye and its peers on the same work, in turn, with goals beside the ratios.

mod caddy;
mod contender;
mod daemons;
mod load;
mod nginx;
mod peak;
mod peer;
mod process;
mod quic;
mod report;
mod workload;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use contender::Programs;
use load::Window;
use report::Verdict;
use workload::{ALL, Plan};

/// Measures sockeye beside its peers on loopback and prints the goals beside the ratios.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Rounds; in each, every contender has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds that each sample is watched.
    #[arg(long, default_value_t = 1.5)]
    secs: f64,
    /// Only these workloads.
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = names())]
    only: Vec<String>,
    /// The program under test [default: `sockeye` beside this program].
    #[arg(long, env = "SOCKEYE", value_name = "PATH")]
    sockeye: Option<PathBuf>,
    /// Size of the bulk transfer in GiB, held in /dev/shm.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    gib: u64,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Serves one of the hand-written loops that sockeye is measured against.
    Peer {
        #[arg(value_enum)]
        peer: peer::Peer,
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Where a certificate is, for those that show or believe one.
        #[arg(long, default_value = ".", value_name = "PATH")]
        folder: PathBuf,
    },
}

fn names() -> clap::builder::PossibleValuesParser {
    ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().into()
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.verb {
        Some(Verb::Peer { peer, port, folder }) => peer::serve(peer, port, &folder),
        None => measure(arguments),
    }
}

fn measure(arguments: Arguments) -> Result<()> {
    let length = Duration::try_from_secs_f64(arguments.secs).context("--secs")?;
    ensure!(
        length >= Duration::from_millis(100),
        "--secs is too short to be watched"
    );
    let files = raise_file_limit()?;
    let programs = Programs::prepare(arguments.sockeye)?;
    process::goes_with_us(programs.folder.path().to_owned());
    process::end_with_us()?;
    let plan = Plan {
        programs,
        rounds: arguments.rounds.into(),
        window: Window {
            warm: Duration::from_millis(200),
            length,
        },
        gib: arguments.gib,
    };
    print_conditions(&plan, files);
    let mut verdict = Verdict::default();
    for (name, run) in ALL {
        if arguments.only.is_empty() || arguments.only.iter().any(|only| only == name) {
            run(&plan)?
                .iter()
                .for_each(|table| table.print(&mut verdict));
        }
    }
    let Verdict { met, missed, open } = verdict;
    let count = missed.len();
    println!("\ngoals met: {met}, missed: {count}, without a figure: {open}");
    missed.iter().for_each(|line| println!("  {line}"));
    Ok(())
}

/// To what root allows, for this process and the servers it starts.
fn raise_file_limit() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("asking for the file limit")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the file limit")?;
    Ok(hard)
}

/// What a reader has to know to compare the figures with others.
fn print_conditions(plan: &Plan, files: u64) {
    let line = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = line("/proc/sys/kernel/osrelease");
    let congestion = line("/proc/sys/net/ipv4/tcp_congestion_control");
    println!("{cpus} CPUs, Linux {kernel}, default congestion control {congestion}, {files} files");
    println!(
        "rounds: {}; medians, ratios taken round by round",
        plan.rounds
    );
    println!("program under test: {}", plan.programs.sockeye.display());
}
