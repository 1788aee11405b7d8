//! Who may come, how many, and what they must know.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use sockeye::Rate;

use super::values::{network, rate};

/// The guards of a port.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may come")]
pub(crate) struct GuardArgs {
    /// Only these may come: a network such as 192.168.0.0/16 or an address (repeatable)
    #[arg(long, value_name = "CIDR", value_parser = network, value_delimiter = ',')]
    pub(crate) allow: Vec<IpNet>,
    /// These may not come (repeatable; wins over --allow)
    #[arg(long, value_name = "CIDR", value_parser = network, value_delimiter = ',')]
    pub(crate) deny: Vec<IpNet>,
    /// Connections come through proxies at these addresses, and begin with a PROXY header that says for whom;
    /// --allow, --deny and limits are for those [default networks: loopback]
    #[arg(
        long,
        value_name = "CIDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.0/8,::1",
        value_parser = network,
        value_delimiter = ','
    )]
    pub(crate) accept_proxy: Vec<IpNet>,
    /// A secret that they must know; better in the environment or a file, for others can read a command line
    #[arg(
        long,
        value_name = "TEXT",
        env = "SOCKEYE_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// The file whose first line is the secret
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// How many sessions one address may have open (an IPv6 /64 counts as one)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_per_address: Option<u32>,
    /// How fast one address may open them: 10/s, 100/m, 5/2s
    #[arg(long, value_name = "N/TIME", value_parser = rate)]
    pub(crate) rate_per_address: Option<Rate>,
}
