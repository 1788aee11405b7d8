//! How others are reached: through a proxy, as a program, as one of several targets.

use std::time::Duration;

use clap::{Args, ValueEnum};
use sockeye::ProxyVersion;

use super::values::time;

/// How programs are started.
#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    /// Give programs a terminal, of 80 columns and 24 lines
    #[arg(help_heading = PROGRAMS, long)]
    pub(crate) pty: bool,
    /// Let programs see this variable of our environment, or set it for them (repeatable)
    #[arg(help_heading = PROGRAMS, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
}

/// What a relay does with its ends.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Once one end has finished, end both after this much silence [default: 60s; 1s with datagrams]
    #[arg(help_heading = RELAYS, long, value_name = "TIME", value_parser = time)]
    pub(crate) half_open: Option<Duration>,
    /// Tell the target who the client is, by a PROXY header
    #[arg(help_heading = RELAYS, long, value_name = "v1|v2")]
    pub(crate) send_proxy: Option<ProxyVersion>,
    /// Connect through this proxy, which also resolves names: socks5://[USER:PASSWORD@]HOST:PORT or http://…
    #[arg(help_heading = RELAYS, long, value_name = "URL", env = "SOCKEYE_PROXY", hide_env_values = true)]
    pub(crate) proxy: Option<String>,
}

/// The targets of a relay that listens.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Another target (repeatable); one that cannot be reached is passed over
    #[arg(help_heading = RELAYS, long, value_name = "ADDR")]
    pub(crate) target: Vec<String>,
    /// Which target is tried first
    #[arg(help_heading = RELAYS, long, value_enum, default_value = "round-robin")]
    pub(crate) balance: Balance,
    /// How long connecting to a target may take
    #[arg(help_heading = RELAYS, long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) connect_timeout: Duration,
    /// How many programs may run at once; who comes then is turned away
    #[arg(help_heading = PROGRAMS, long, value_name = "N", default_value = "1024")]
    pub(crate) max_children: usize,
}

/// Which target is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Balance {
    /// Each in turn
    RoundRobin,
    /// Always the first; the others stand in for it
    First,
}

// Headings of the help.
const PROGRAMS: &str = "Programs (`exec`, and exec:COMMAND as an address)";
const RELAYS: &str = "Relays";
