//! `sockeye trace`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::lab::LabArgs;
use super::picture::PictureArgs;

/// Draw what crossed the wire, step by step, with the states of both ends
///
/// A capture of tcpdump or Wireshark, pcap or pcapng, is sorted into flows, and each is drawn: an arrow
/// for every packet, numbers counted from the SYN, what was sent again and why, and the state of each
/// end. (STATE) in brackets follows if the segment arrives; without, what was seen proves it.
///
/// Inside, TLS, HTTP/1, HTTP/2, WebSocket, QUIC and HTTP/3 are recognised on any port and named step by
/// step.
///
/// Long runs are folded until a picture is readable; --all draws every packet.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub(crate) struct TraceArgs {
    /// A capture file; `-` is standard input, which is drawn when it ends
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) read: Option<PathBuf>,
    /// A key log, as of SSLKEYLOGFILE, that opens TLS and QUIC; keys in the capture itself are used anyway
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    #[command(subcommand)]
    pub(crate) beside: Option<Beside>,
}

/// What else there is to see.
#[derive(Debug, Subcommand)]
pub(crate) enum Beside {
    /// Play a connection over a wire that delays and loses what it is told to, and draw it
    Lab(Box<LabArgs>),
}

const EXAMPLES: &str = "\
Examples:
  sockeye trace lab syn-loss --explain
  sockeye trace --read handshake.pcap
  sockeye trace --read handshake.pcap --explain --lang zh
  sockeye trace --read https.pcapng --keys keys.log
  tcpdump -i any -w - tcp port 3000 | sockeye trace --read -      until Ctrl-C
  sockeye trace --read big.pcapng --flow 3 --all | less -R
  sockeye trace --read handshake.pcap --svg > handshake.svg
  sockeye trace --read big.pcapng --json | jq 'select(.notes[]?.note == \"retransmission\")'
docs/TRACE.md shows pictures and describes the JSON. Exit code 5: the file is broken or no capture.";
