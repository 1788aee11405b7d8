//! `sockeye serve`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::HeaderValue;
use sockeye::{Encoding, Framing};

use super::values::{host_name, origin, size, time};
use super::{
    ChildArgs, Eol, EyeArgs, FilesArgs, GuardArgs, JoinArgs, NearbyArgs, RoomsArgs, ServeTlsArgs,
    SocketArgs, TargetArgs, TargetTlsArgs, WebSocketArgs,
};

/// Listen, and serve whoever comes
///
/// SERVICE is one of
///   chat         rooms in which everyone who comes can talk (the default)
///   echo         send every message back
///   upper        send text back in upper case
///   hello        greet, answer "Hello, NAME!" to each name, end on "exit"
///   reply TEXT   the same answer to every message
///   sink         take everything; keep it with --out
///   cat FILE     a file for whoever comes, over anything
///   files DIR    a folder to take files from, as they are or as one archive; and with --write to put
///                files into, from a browser, curl -T, or any client of tus
///   site DIR     the files of a folder over HTTP: index.html, listings, ranges, compression
///   relay TARGET join each session with TARGET, which is dialed for it; more with --target
///   exec         a program for each session: serve exec [ADDR]… -- PROGRAM [ARGUMENT]…
///   console      you are the service
///
/// ADDR is where: 3000, host:3000, [::1]:3000, tcp://…, tls://…, udp://…, http://…, https://…,
/// ws://…, wss://…, quic://…, unix:PATH, unix:@NAME, unixgram:PATH. Without a scheme that is TCP and
/// UDP on the same number, and whatever they can carry; for a relay, which passes bytes on as they
/// are, it is TCP alone. `*:3000` is every interface. Port 0 lets the system choose. Without ADDR it is
/// 127.0.0.1:3000.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The service (chat, echo, upper, hello, reply TEXT, sink, cat FILE, files DIR, site DIR, relay TARGET, exec, console), then where
    #[arg(value_name = "SERVICE|ADDR")]
    pub(crate) words: Vec<String>,
    /// The program of `exec` and its arguments; no shell sees them
    #[arg(value_name = "PROGRAM", last = true)]
    pub(crate) program: Vec<OsString>,

    /// What `hello` says first; empty for nothing
    #[arg(help_heading = SERVICE, long, value_name = "TEXT")]
    pub(crate) greeting: Option<String>,
    /// How long `hello` waits before each answer
    #[arg(help_heading = SERVICE, long, value_name = "TIME", value_parser = time)]
    pub(crate) delay: Option<Duration>,
    /// End the session after `reply`'s first answer
    #[arg(help_heading = SERVICE, long)]
    pub(crate) close: bool,
    /// Where `sink` saves: a FILE, or a DIR for a file per session
    #[arg(help_heading = SERVICE, long, value_name = "FILE|DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Folders of `site` without an index.html do not show what is in them
    #[arg(help_heading = SERVICE, long)]
    pub(crate) no_listing: bool,
    /// `files` and `site` show names that begin with a dot, too, and `files` takes them
    #[arg(help_heading = SERVICE, long)]
    pub(crate) hidden: bool,
    /// What ends each line typed at `console` [default: lf on byte streams, none where messages have boundaries]
    #[arg(help_heading = SERVICE, long, value_enum)]
    pub(crate) eol: Option<Eol>,
    /// Show at `console` when each message came
    #[arg(help_heading = SERVICE, long)]
    pub(crate) timestamps: bool,

    /// How messages are cut from byte streams: raw, line, fixed:N, length:u8|u16be|u16le|u32be|u32le|varint, until:BYTES, idle:MS
    #[arg(help_heading = MESSAGES, long, value_name = "FRAMING", default_value = "raw")]
    pub(crate) frame: Framing,
    /// The encoding of text: utf-8, gb2312, gbk, gb18030, big5, shift_jis, euc-kr, latin1 …
    #[arg(help_heading = MESSAGES, long, value_name = "NAME", default_value = "utf-8")]
    pub(crate) encoding: Encoding,
    /// Serve one session, then end
    #[arg(help_heading = SESSIONS, short = '1', long)]
    pub(crate) once: bool,
    /// How many sessions may be open at once
    #[arg(help_heading = SESSIONS, long, value_name = "N", default_value_t = sockeye::MAX_SESSIONS, value_parser = at_least_one)]
    pub(crate) max_sessions: usize,
    /// The largest message that is taken
    #[arg(help_heading = MESSAGES, long, value_name = "SIZE", default_value = "16M", value_parser = size)]
    pub(crate) max_message: usize,
    /// End a session after this much silence [default: none; UDP 60s]
    #[arg(help_heading = SESSIONS, short = 'i', long, value_name = "TIME", value_parser = time)]
    pub(crate) idle_timeout: Option<Duration>,
    /// How long a client may say nothing before a service that speaks first greets it
    #[arg(help_heading = SESSIONS, long, value_name = "TIME", default_value = "300ms", value_parser = time)]
    pub(crate) greet_after: Duration,
    /// The Content-Type of answers over HTTP [default: text/plain, or what `reply`'s TEXT looks like]
    #[arg(help_heading = HTTP, long, value_name = "TYPE")]
    pub(crate) content_type: Option<HeaderValue>,
    /// A name that HTTP requests may ask for, besides localhost and this machine's own (repeatable)
    #[arg(help_heading = HTTP, long, value_name = "NAME", value_parser = host_name, value_delimiter = ',')]
    pub(crate) host: Vec<String>,
    /// Let pages of this origin ask and open sessions, over HTTP and WebSocket, such as https://example.org, or * for any (repeatable); pages of this server may anyway
    #[arg(help_heading = HTTP, long, value_name = "ORIGIN", value_parser = origin)]
    pub(crate) origin: Vec<String>,
    /// IPv4 only
    #[arg(help_heading = SESSIONS, short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(help_heading = SESSIONS, short = '6', long)]
    pub(crate) ipv6: bool,

    /// Show messages, and what was agreed on in TLS
    #[arg(help_heading = REPORT, short, long)]
    pub(crate) verbose: bool,
    /// Show messages as hex dumps; `reply`'s TEXT is hex
    #[arg(help_heading = REPORT, long)]
    pub(crate) hex: bool,
    /// Report as JSON, an object a line
    #[arg(help_heading = REPORT, long)]
    pub(crate) json: bool,

    /// Take all datagrams as they are on addresses without a scheme, those that look like QUIC too
    #[arg(help_heading = "QUIC (docs/QUIC.md)", long)]
    pub(crate) no_quic: bool,

    #[command(flatten)]
    pub(crate) eye: EyeArgs,
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    #[command(flatten)]
    pub(crate) chat: RoomsArgs,
    #[command(flatten)]
    pub(crate) nearby: NearbyArgs,
    #[command(flatten)]
    pub(crate) targets: TargetArgs,
    #[command(flatten)]
    pub(crate) join: JoinArgs,
    #[command(flatten)]
    pub(crate) child: ChildArgs,
    #[command(flatten)]
    pub(crate) websocket: WebSocketArgs,
    #[command(flatten)]
    pub(crate) guard: GuardArgs,
    #[command(flatten)]
    pub(crate) tls: ServeTlsArgs,
    #[command(flatten)]
    pub(crate) target_tls: TargetTlsArgs,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
}

// Headings of the help.
const SERVICE: &str = "For one service";
const MESSAGES: &str = "Messages";
const SESSIONS: &str = "Sessions";
const HTTP: &str = "HTTP";
const REPORT: &str = "What is reported, on standard error";

const EXAMPLES: &str = "\
Examples:
  sockeye serve                                 a chat on 127.0.0.1:3000, over every protocol
  sockeye serve chat '*:3000' --keep 30d        for the whole network, forgotten after a month
  sockeye serve '*:3000' --announce             a chat that `sockeye find` finds
  sockeye serve echo 4000                       whatever comes to port 4000 goes back
  sockeye serve upper 4000 --encoding gb2312    upper case, in Chinese encodings too
  sockeye serve hello --greeting 'Welcome!' --delay 1s
  sockeye serve reply 'pong\\n' udp://:4001      the same answer to every datagram
  sockeye serve reply --hex 'fc 2a 00 01' --close
  sockeye serve reply '<!doctype html>Hello'    a page for browsers
  sockeye serve sink --out received/ '*:5000'   save what comes, a file per session
  sockeye serve files ~/shared --write          browse, download and upload on this machine
  sockeye serve files . '*:8000' --write --token-file secret
  sockeye serve cat disk.img '*:5000'           nc HOST 5000 > disk.img
  sockeye serve site public/ '*:8000'           a folder for browsers, from any network
  sockeye serve console                         talk to everyone who comes
  sockeye serve echo unix:/tmp/echo.sock        a Unix socket
  sockeye serve relay 192.168.1.7:80 8080       what comes to 8080 goes there
  sockeye serve relay a:80 --target b:80 --balance first --send-proxy v2
  sockeye serve relay tls://a:443 --target-ca ca.pem       TLS is added on the way
  sockeye serve exec 4000 -- sort -r            a program for each session
In TEXT, \\n \\r \\t \\\\ \\xNN and \\u{1F600} mean what they mean in Rust.";

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one session".to_owned()),
        Ok(n) if n > tokio::sync::Semaphore::MAX_PERMITS => Err("that is too many".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("write a number".to_owned()),
    }
}
