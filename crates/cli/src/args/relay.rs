//! `sockeye relay`.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use sockeye::Framing;

use super::values::{size, time};
use super::{ChildArgs, ConnectTlsArgs, EyeArgs, JoinArgs, SocketArgs};

/// Join two ends: what one says the other hears
///
/// A and B are HOST:PORT, tcp://…, tls://…, udp://…, unix:PATH, unix:@NAME, unixgram:PATH, @NAME for a
/// contact, `-` for standard input and output, or exec:COMMAND for a program. COMMAND is cut into
/// words as a shell does, and no shell is started.
///
/// Both are dialed, A first. The end of one direction is passed on and the other goes on; the relay
/// ends when both have. To listen: `sockeye serve relay TARGET [ADDR]…`.
///
/// Datagrams stay datagrams. To a byte stream their contents are written; from one, each read is a
/// datagram, or with --frame each message.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct RelayArgs {
    /// One end
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// The other end
    #[arg(value_name = "B")]
    pub(crate) second: String,

    #[command(flatten)]
    pub(crate) join: JoinArgs,
    /// How messages are cut from a byte stream for an end that has messages: raw, line, fixed:N, length:…, until:BYTES, idle:MS
    #[arg(
        help_heading = "Messages",
        long,
        value_name = "FRAMING",
        default_value = "raw"
    )]
    pub(crate) frame: Framing,
    /// The largest message that is taken
    #[arg(help_heading = "Messages", long, value_name = "SIZE", default_value = "16M", value_parser = size)]
    pub(crate) max_message: usize,
    /// Give up connecting after this long
    #[arg(help_heading = REACHED, short = 'w', long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// Our own address
    #[arg(help_heading = REACHED, short = 's', long, value_name = "IP")]
    pub(crate) source: Option<IpAddr>,
    /// IPv4 only
    #[arg(help_heading = REACHED, short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(help_heading = REACHED, short = '6', long)]
    pub(crate) ipv6: bool,
    #[command(flatten)]
    pub(crate) child: ChildArgs,
    /// Tell at the end how much came and went, and in the beginning what was agreed on in TLS
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) eye: EyeArgs,
    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
}

const REACHED: &str = "How it is reached";

const EXAMPLES: &str = "\
Examples:
  sockeye relay tcp://127.0.0.1:3000 unix:/run/app.sock
  sockeye relay - tls://example.org:443           with a terminal or a pipe
  sockeye relay udp://127.0.0.1:5000 tcp://127.0.0.1:6000 --frame length:u16be
  sockeye relay :3000 'exec:sort -r'              a program answers a server
  sockeye relay - exec:top --pty
  sockeye relay - example.org:22 --proxy socks5://127.0.0.1:1080
Exit code 8: a program failed.";
