//! `sockeye trace`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches as _, Subcommand};

use super::lab::LabArgs;
use super::picture::PictureArgs;
use super::refusal::refusal;
use super::stats::StatsArgs;
use super::{ConnectArgs, FetchArgs, Said};
use crate::failure::Usage;

/// Draw what crossed the wire, step by step, with the states of both ends
///
/// ADDR, any address that `connect` and `fetch` know, is talked to and drawn while packets arrive; the
/// flags behind it are theirs. --watch draws somebody else's connections until Ctrl-C, --read a capture
/// of tcpdump or Wireshark, pcap or pcapng. `serve`, `connect`, `fetch` and `relay` draw with --trace.
///
/// Every flow is drawn: an arrow for each packet, numbers counted from the SYN, what was sent again and
/// why, and the state of each end. (STATE) in brackets follows if the segment arrives; without, what was
/// seen proves it.
///
/// Packets are seen with the right to (CAP_NET_RAW). Without it our own sockets are asked, and of
/// other programs' the kernel; the picture says so: `sight: socket`.
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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["words", "watch", "pcap", "with_keys"])]
    pub(crate) read: Option<PathBuf>,
    /// Draw the connections with this address or port, or of the program with this number, until Ctrl-C
    #[arg(long, value_name = "HOST:PORT|PID", conflicts_with = "words")]
    pub(crate) watch: Option<String>,
    /// Write the packets, too, as pcapng; `-` is standard output, and then nothing is drawn
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) pcap: Option<PathBuf>,
    /// Put the keys of TLS and QUIC into --pcap, so that Wireshark opens it: whoever has the file can read everything
    #[arg(long, requires = "pcap")]
    pub(crate) with_keys: bool,
    /// A key log, as of SSLKEYLOGFILE, that opens TLS and QUIC; keys in the capture itself are used anyway
    #[arg(long, value_name = "FILE", requires = "read")]
    pub(crate) keys: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    #[command(subcommand)]
    pub(crate) beside: Option<Beside>,
    /// Whom to talk to, and flags of `connect`, or of `fetch` for http://, https:// and h3://
    #[arg(
        value_name = "ADDR",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<OsString>,
}

impl TraceArgs {
    /// Whether it is about what happens now.
    pub(crate) fn is_live(&self) -> bool {
        self.beside.is_none() && (self.watch.is_some() || !self.words.is_empty())
    }

    /// Whether the words are those of `fetch`: it asks where `connect` talks.
    pub(crate) fn fetches(&self) -> bool {
        let words = || self.words.iter().map(|word| word.to_string_lossy());
        let asks = |word: &str| {
            let schemes = ["http://", "https://", "h3://"];
            schemes.iter().any(|scheme| word.starts_with(scheme))
        };
        words().next().is_some_and(|first| asks(&first))
            && !words().any(|word| word.starts_with("--send"))
    }

    /// The words as `connect` reads them, and what is to be sent.
    ///
    /// # Errors
    /// When they make no sense.
    pub(crate) fn connect(&self) -> Result<(ConnectArgs, Vec<Said>), Usage> {
        let matches = self.matches::<ConnectArgs>()?;
        let said = super::said(&matches);
        let args = ConnectArgs::from_arg_matches(&matches);
        Ok((args.map_err(|error| refusal(&error))?, said))
    }

    /// The words as `fetch` reads them.
    ///
    /// # Errors
    /// When they make no sense.
    pub(crate) fn fetch(&self) -> Result<FetchArgs, Usage> {
        let matches = self.matches::<FetchArgs>()?;
        FetchArgs::from_arg_matches(&matches).map_err(|error| refusal(&error))
    }

    fn matches<A: Args>(&self) -> Result<ArgMatches, Usage> {
        let command = A::augment_args(Command::new("sockeye trace"));
        let command = command.no_binary_name(true).disable_help_flag(true);
        command
            .try_get_matches_from(&self.words)
            .map_err(|error| refusal(&error))
    }
}

/// The command line with the flags of `trace` in front of the address, wherever they were typed.
pub(super) fn sorted(line: Vec<OsString>) -> Vec<OsString> {
    if line.get(1).is_none_or(|verb| verb != "trace") {
        return line;
    }
    let ours = TraceArgs::augment_args(Command::new("trace"));
    let theirs = ConnectArgs::augment_args(Command::new("connect"));
    let (mut front, mut back) = (Vec::new(), Vec::new());
    let mut words = line.into_iter();
    front.extend(words.by_ref().take(2));
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if back.is_empty() && ours.find_subcommand(&text).is_some() {
            front.push(word);
            front.extend(words);
            return front;
        }
        if text == "--" {
            back.push(word);
            back.extend(words.by_ref());
            break;
        }
        let flag = text.strip_prefix("--").filter(|flag| !flag.is_empty());
        let name = flag.and_then(|flag| flag.split('=').next());
        let find = |command: &Command| {
            let flags = command.get_arguments();
            let mut named = flags.filter(|flag| name.is_some() && flag.get_long() == name);
            let takes = |flag: &clap::Arg| flag.get_action().takes_values() && !text.contains('=');
            named.next().map(takes)
        };
        let known = find(&ours);
        let value = known.or_else(|| find(&theirs)).unwrap_or(false);
        // What is unknown before there is an address is refused as a flag of `trace`.
        let place = match known.is_some() || (name.is_some() && back.is_empty()) {
            true => &mut front,
            false => &mut back,
        };
        place.push(word);
        place.extend(words.by_ref().take(usize::from(value)));
    }
    front.extend(back);
    front
}

/// What else there is to see.
#[derive(Debug, Subcommand)]
pub(crate) enum Beside {
    // Described where their flags are.
    Lab(Box<LabArgs>),
    Stats(Box<StatsArgs>),
}

const EXAMPLES: &str = "\
Examples:
  sockeye trace 127.0.0.1:3000 --send hello
  sockeye trace https://localhost:3000/ --insecure --explain
  sockeye trace h3://localhost:3000/ --insecure --svg > h3.svg
  sockeye trace https://localhost:3000/ --insecure --pcap get.pcapng --with-keys
  sockeye trace :3000 --send hi --pcap - | wireshark -k -i -
  sockeye trace --watch :5432
  sockeye trace lab syn-loss --explain
  sockeye trace --read handshake.pcap
  sockeye trace --read handshake.pcap --explain --lang zh
  sockeye trace --read https.pcapng --keys keys.log
  tcpdump -i any -w - tcp port 3000 | sockeye trace --read -      until Ctrl-C
  sockeye trace --read big.pcapng --flow 3 --all | less -R
  sockeye trace --read handshake.pcap --svg > handshake.svg
  sockeye trace --read big.pcapng --json | jq 'select(.notes[]?.note == \"retransmission\")'
docs/TRACE.md shows pictures and describes the JSON. Exit code 5: the file is broken or no capture.";
