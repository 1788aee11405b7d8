//! `sockeye send` and `sockeye receive`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ConnectTlsArgs;
use super::values::{long_size, time};

/// Send files and folders, verified, and go on after cuts
///
/// Without ADDR they are offered: a URL with a secret is told, for a browser or `sockeye receive` at the other end, and
/// after --count downloads it is over.
///
/// ADDR is a `sockeye serve files DIR --write` or a `sockeye receive`, by any of its ways: https://HOST:PORT/FOLDER (the certificate
/// can be pinned: https://…#pin=SHA256), http://…, HOST:PORT, tls://…, quic://…, ws://…, unix:PATH.
/// FILE is a file, a folder with all that is in it, or `-` for standard input. Links in folders are not followed.
///
/// It succeeds when the other end has verified each file and has it on its disk. After a cut it connects again and
/// goes on: what is there is not sent twice. A name that is taken there gets a number; this one is told.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = SEND_EXAMPLES)]
pub(crate) struct SendArgs {
    /// What to send, and where to
    #[arg(value_name = "FILE|ADDR", required = true)]
    pub(crate) words: Vec<PathBuf>,
    /// What standard input is called at the other end
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) name: String,
    /// Of folders, only files whose name or path matches, as in '*.jpg' or 'src/**' (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Of folders, no files and folders whose name or path matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// List what would be sent, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// So many bytes in a second at the most, such as 500k or 10M
    #[arg(long, value_name = "SIZE", value_parser = long_size)]
    pub(crate) limit_rate: Option<u64>,
    /// Without ADDR: how often they may be downloaded
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    #[command(flatten)]
    pub(crate) way: MovingArgs,
}

/// Fetch files and folders, verified, and go on after cuts
///
/// ADDR is a `sockeye serve files DIR`, as for `send`, with the path of a file or folder:
/// https://HOST:PORT/PATH#pin=SHA256; or the URL that a `sockeye send` has told. What comes lands in DIR [default: this
/// one]. If that is `-`, one file goes to standard output, each MiB when it is verified.
///
/// Without ADDR others bring files: a URL with a secret is told, for a browser or `sockeye send` at the other end. Who
/// knows it can also read what is in DIR.
///
/// A file is NAME.part until all of it is here and verified. What is here is not fetched twice, and nothing is
/// overwritten unless --overwrite says so: a name that is taken gets a number.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = RECEIVE_EXAMPLES)]
pub(crate) struct ReceiveArgs {
    /// Where from, and the folder that it lands in, or - for standard output
    #[arg(value_name = "ADDR|DIR", num_args = ..=2)]
    pub(crate) words: Vec<PathBuf>,
    /// What comes replaces files of the same name
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Names that begin with a dot are taken
    #[arg(long)]
    pub(crate) hidden: bool,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    #[command(flatten)]
    pub(crate) way: MovingArgs,
}

/// What is offered, and to whom.
#[derive(Debug, Args)]
pub(crate) struct OfferArgs {
    /// Without ADDR: where to listen [default: all networks, on a port that the system chooses]
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "*:0",
        hide_default_value = true
    )]
    pub(crate) bind: String,
    /// Without ADDR: when it is over
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) expire: Option<Duration>,
    /// The process may reach all that its user may, and not only what is offered or where files land (docs/FILES.md)
    #[arg(long)]
    pub(crate) no_confinement: bool,
}

/// What both have in common.
#[derive(Debug, Args)]
pub(crate) struct MovingArgs {
    /// How often in a row it is tried again in vain [default: 20 after the first connection, and before it never]
    #[arg(long, value_name = "N")]
    pub(crate) retry: Option<u32>,
    /// Give up connecting after this long
    #[arg(short = 'w', long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// The secret that the server asks for; better in the environment or a file
    #[arg(
        long,
        value_name = "SECRET",
        env = "SOCKEYE_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// The same, in the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Tell on standard output what became of each file, as JSON, an object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Tell only what went wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,
}

const SEND_EXAMPLES: &str = "\
Examples:
  sockeye send report.pdf                        offer it, once, with a URL and a QR code
  sockeye send report.pdf 192.168.1.7:3000
  sockeye send photos 'https://nas.local:3000/2026#pin=9f86d0…' --exclude '*.tmp'
  tar c . | sockeye send - --name backup.tar quic://host:3000 --insecure
The other end: sockeye serve files DIR --write '*:3000'
Exit codes: 6 the other end did not take all, 7 verification failed.";

const RECEIVE_EXAMPLES: &str = "\
Examples:
  sockeye receive drop                           let others put files into the folder drop
  sockeye receive http://192.168.1.7:3000/report.pdf
  sockeye receive 'https://nas.local:3000/photos#pin=9f86d0…' pictures
  sockeye receive http://192.168.1.7:3000/backup.tar - | tar x
The other end: sockeye serve files DIR '*:3000'
Exit codes: 6 the other end did not give all, 7 verification failed.";
