//! What is kept of a chat, and who has a say in it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::time;

/// The rooms of `serve chat`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Chat (docs/CHAT.md)")]
pub(crate) struct RoomsArgs {
    /// The database that keeps what is said, or `none` to forget it at the end [default: chat-PORT.db in the state folder; none for port 0 and Unix sockets]
    #[arg(long, value_name = "FILE|none")]
    pub(crate) history: Option<PathBuf>,
    /// How long lines are kept: 12h, 30d … [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) keep: Option<Duration>,
    /// How many lines of each room are kept [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_lines: Option<u64>,
    /// How many lines a second one session may say, with bursts of four seconds' worth; 0 is any number [default: 10]
    #[arg(long, value_name = "N")]
    pub(crate) line_rate: Option<u32>,
    /// What becomes of a session that is thousands of lines behind [default: skip]
    #[arg(long, value_enum)]
    pub(crate) slow: Option<Slow>,
    /// A file whose first line makes whoever says `/moderate LINE` an owner of every room
    #[arg(long, value_name = "FILE")]
    pub(crate) moderators: Option<PathBuf>,
    /// Several servers as one chat: they meet at these servers of NATS with JetStream (docs/SCALING.md)
    #[arg(long, value_name = "nats://HOST:PORT,…", value_delimiter = ',')]
    pub(crate) hub: Vec<String>,
    /// Credentials for the hub: a .creds file
    #[arg(long, value_name = "FILE", requires = "hub")]
    pub(crate) hub_credentials: Option<PathBuf>,
    /// Certificates to trust at the hub, besides the system's
    #[arg(long, value_name = "FILE", requires = "hub")]
    pub(crate) hub_ca: Option<PathBuf>,
    /// How many of the hub's servers keep each line [default: 3 in a cluster, else 1]
    #[arg(long, value_name = "N", requires = "hub", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) hub_replicas: Option<u8>,
    /// The hub's servers write to disk before they acknowledge (`sync_interval: always` in their configuration)
    #[arg(long, requires = "hub")]
    pub(crate) hub_syncs: bool,
}

impl RoomsArgs {
    /// The flags that were given.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--history", self.history.is_some()),
            ("--keep", self.keep.is_some()),
            ("--keep-lines", self.keep_lines.is_some()),
            ("--line-rate", self.line_rate.is_some()),
            ("--slow", self.slow.is_some()),
            ("--moderators", self.moderators.is_some()),
            ("--hub", !self.hub.is_empty()),
        ];
        let given = flags.into_iter().filter(|(_, given)| *given);
        given.map(|(flag, _)| flag).collect()
    }
}

/// What becomes of those who read too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Slow {
    /// Old lines are skipped, and it is told which
    Skip,
    /// It is ended
    End,
}
