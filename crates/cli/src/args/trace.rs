//! `sockeye trace`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct TraceArgs {
    /// A capture file; `-` is standard input, which is drawn when it ends
    #[arg(long, value_name = "FILE")]
    pub(crate) read: PathBuf,
    /// A key log, as of SSLKEYLOGFILE, that opens TLS and QUIC; keys in the capture itself are used anyway
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Only this flow, counted from 0; may be repeated
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub(crate) flow: Vec<usize>,

    /// Every packet: nothing is folded
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) all: bool,
    /// Numbers as they were sent, not counted from the SYN
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) abs: bool,
    /// A sentence for learners wherever something happens for the first time
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) explain: bool,
    /// The language of --explain
    #[arg(help_heading = PICTURE, long, value_name = "LANGUAGE", default_value = "en")]
    pub(crate) lang: Lang,
    /// Nothing but ASCII
    #[arg(help_heading = PICTURE, long, conflicts_with = "json")]
    pub(crate) ascii: bool,
    /// How wide the picture is, from 60 columns: without it as wide as the terminal
    #[arg(help_heading = PICTURE, long, value_name = "COLUMNS", conflicts_with = "json")]
    pub(crate) width: Option<usize>,
    /// JSON instead: an object a line, one for every packet
    #[arg(help_heading = INSTEAD, long)]
    pub(crate) json: bool,
    /// A picture in SVG instead, of one flow, with true slopes
    #[arg(help_heading = INSTEAD, long, conflicts_with_all = ["json", "html", "explain", "abs", "ascii", "width"])]
    pub(crate) svg: bool,
    /// A page in HTML instead, with all flows, to zoom and to ask every arrow
    #[arg(help_heading = INSTEAD, long, conflicts_with_all = ["json", "explain", "abs", "ascii", "width"])]
    pub(crate) html: bool,
    /// The colours of --svg and --html
    #[arg(help_heading = INSTEAD, long, value_name = "THEME", default_value = "auto")]
    pub(crate) theme: Colors,
}

const PICTURE: &str = "Picture";
const INSTEAD: &str = "Instead of a picture in the terminal";

/// Colours of a picture.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Colors {
    /// As whoever looks at it prefers
    Auto,
    /// Dark on light
    Light,
    /// Light on dark
    Dark,
}

/// A language of explanations.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Lang {
    /// English
    En,
    /// Chinese
    Zh,
}

const EXAMPLES: &str = "\
Examples:
  sockeye trace --read handshake.pcap
  sockeye trace --read handshake.pcap --explain --lang zh
  sockeye trace --read https.pcapng --keys keys.log
  tcpdump -i any -w - tcp port 3000 | sockeye trace --read -      until Ctrl-C
  sockeye trace --read big.pcapng --flow 3 --all | less -R
  sockeye trace --read handshake.pcap --svg > handshake.svg
  sockeye trace --read big.pcapng --json | jq 'select(.notes[]?.note == \"retransmission\")'
docs/TRACE.md shows pictures and describes the JSON. Exit code 5: the file is broken or no capture.";
