//! `sockeye chat`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{header, time};
use super::{ChatAction, ChildArgs, ConnectTlsArgs, SocketArgs, WebSocketArgs};

/// Talk in the rooms of a `sockeye serve chat`
///
/// ADDR is what `sockeye connect` takes: HOST:PORT, HOST PORT, tcp://…, tls://…, udp://…, quic://…,
/// ws://…, wss://…, wt://…, http://…, https://…, h3://…, unix:PATH, exec:COMMAND, or @NAME for a
/// contact.
///
/// At a terminal each line you type is said in the room that the prompt names, /help shows the
/// commands, and Tab completes names, rooms and commands. What others say never disturbs the line you
/// are typing. When the connection is lost it is made again; nothing is lost and nothing is said twice.
///
/// Piped input is said line by line, and what others say is printed as `ROOM NAME: TEXT`. At the end of
/// input the program waits until every line is kept by the server, and leaves.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ChatArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ChatAction>,
    /// Where the chat is
    #[arg(value_name = "ADDR", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<String>,

    /// The room to enter (repeatable; the first is the current one) [default: lobby]
    #[arg(short, long, value_name = "ROOM")]
    pub(crate) room: Vec<String>,
    /// What to be called [default: the name of last time, or a guest's]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The file whose first line is the password of the name; or SOCKEYE_CHAT_PASSWORD in the environment
    #[arg(long, value_name = "FILE", requires = "name")]
    pub(crate) password_file: Option<PathBuf>,
    /// Show what the server says as JSON, an object a line (docs/CHAT.md)
    #[arg(long)]
    pub(crate) json: bool,

    /// Give up connecting after this long
    #[arg(help_heading = REACHED, short = 'w', long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// Try again until the server is there for the first time, too
    #[arg(help_heading = REACHED, long)]
    pub(crate) retry: bool,
    /// Connect through this proxy, which also resolves names: socks5://[USER:PASSWORD@]HOST:PORT or http://…
    #[arg(help_heading = REACHED, long, value_name = "URL", env = "SOCKEYE_PROXY", hide_env_values = true)]
    pub(crate) proxy: Option<String>,
    /// The same as udp:// on addresses without a scheme
    #[arg(help_heading = REACHED, short, long)]
    pub(crate) udp: bool,
    /// IPv4 only
    #[arg(help_heading = REACHED, short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(help_heading = REACHED, short = '6', long)]
    pub(crate) ipv6: bool,
    /// A header field of the request over HTTP and WebSocket, such as 'Cookie: a=1' (repeatable)
    #[arg(help_heading = REACHED, short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(http::HeaderName, http::HeaderValue)>,
    /// The secret that the server asks for; better in the environment or a file
    #[arg(help_heading = REACHED, long, value_name = "TEXT", env = "SOCKEYE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The file whose first line is the secret
    #[arg(help_heading = REACHED, long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) child: ChildArgs,
    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,
    #[command(flatten)]
    pub(crate) websocket: WebSocketArgs,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
}

const REACHED: &str = "How it is reached";

const EXAMPLES: &str = "\
Examples:
  sockeye chat localhost:3000                        talk
  sockeye chat wss://example.org --name ann          take a name
  sockeye chat localhost:3000 -r dev -r lobby        be in two rooms
  tail -f log | sockeye chat localhost:3000 -r log   say what a program writes
  sockeye chat localhost:3000 --json < /dev/null     the latest lines, for a program
  sockeye chat export lobby > lobby.txt              all that was said, from the server's database
Exit code 6: the server refused the name or a line.";
