//! `sockeye trace stats`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::picture::Colors;
use super::values;

/// Throughput, round trips, what is on the way and what is sent again, over time, as a chart
///
/// ADDR is HOST:PORT or a port: the kernel is asked how the connections with it at one end do,
/// whoever has them, until they have ended or Ctrl-C. That needs no privilege. --read takes the
/// numbers from the packets of a capture instead.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct StatsArgs {
    /// Connections with this address at one end: HOST:PORT, or a port
    #[arg(
        value_name = "ADDR",
        required_unless_present = "read",
        conflicts_with = "read"
    )]
    pub(crate) address: Option<String>,
    /// A capture file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) read: Option<PathBuf>,
    /// Only this flow of the capture, counted from 0; may be repeated
    #[arg(long, value_name = "N", requires = "read")]
    pub(crate) flow: Vec<usize>,
    /// How often the kernel is asked
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "100ms", conflicts_with = "read")]
    pub(crate) every: Duration,
    /// How long it is asked: until the connections have ended
    #[arg(long = "for", value_name = "TIME", value_parser = values::time, conflicts_with = "read")]
    pub(crate) limit: Option<Duration>,

    /// Nothing but ASCII
    #[arg(help_heading = "Chart", long)]
    pub(crate) ascii: bool,
    /// How wide the chart is, from 60 columns: without it as wide as the terminal
    #[arg(help_heading = "Chart", long, value_name = "COLUMNS")]
    pub(crate) width: Option<usize>,
    /// A chart in SVG instead, of one connection
    #[arg(help_heading = "Chart", long, conflicts_with_all = ["ascii", "width"])]
    pub(crate) svg: bool,
    /// The colours of --svg
    #[arg(
        help_heading = "Chart",
        long,
        value_name = "THEME",
        default_value = "auto"
    )]
    pub(crate) theme: Colors,
}

const EXAMPLES: &str = "\
Examples:
  sockeye trace stats 3000                      whatever talks to or from port 3000
  sockeye trace stats 192.0.2.7:443 --for 10s
  sockeye trace stats --read transfer.pcap
  sockeye trace lab slow-start --pcap slow.pcapng && sockeye trace stats --read slow.pcapng";
