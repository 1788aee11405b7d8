//! `sockeye connect`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sockeye::{Encoding, Framing, QuicVersion};

use super::values::{header, method, quic_version, size, time};
use super::{ChildArgs, ConnectTlsArgs, EyeArgs, SocketArgs, WebSocketArgs};

/// Talk to any server
///
/// What you type goes out, what it says comes in, at the same time.
///
/// ADDR is HOST:PORT, HOST PORT, tcp://…, tls://…, udp://…, quic://…, ws://HOST:PORT/PATH, wss://…,
/// http://HOST:PORT/PATH, https://…, h3://…, wt://…, unix:PATH, unix:@NAME, unixgram:PATH, exec:COMMAND for a program, or @NAME for a contact.
/// Several are talked to at once.
///
/// At a terminal each line you type is a message, and /help shows the commands. Piped input goes
/// through unchanged; over datagrams each line is a message. What ends a conversation, and when,
/// is told in docs/EOF.md.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct ConnectArgs {
    /// Where: one address or several
    #[arg(value_name = "ADDR", required = true)]
    pub(crate) words: Vec<String>,

    /// Send this text and show the answer (repeatable; the next waits for an answer to the last)
    #[arg(help_heading = SENT, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) send: Vec<String>,
    /// Send these bytes, such as "fc 2a 00 01" (repeatable)
    #[arg(help_heading = SENT, long, value_name = "HEX", allow_hyphen_values = true)]
    pub(crate) send_hex: Vec<String>,
    /// Send a file, or standard input as `-` (repeatable)
    #[arg(help_heading = SENT, long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) send_file: Vec<PathBuf>,
    /// How long to wait for an answer to each --send
    #[arg(help_heading = SENT, long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) wait: Duration,
    /// End after this many messages
    #[arg(help_heading = SHOWN, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Show messages as hex dumps
    #[arg(help_heading = SHOWN, long)]
    pub(crate) hex: bool,
    /// Show when each message came
    #[arg(help_heading = SHOWN, long)]
    pub(crate) timestamps: bool,
    /// Show messages as JSON, an object a line
    #[arg(help_heading = SHOWN, long)]
    pub(crate) json: bool,
    /// The encoding of text: utf-8, gb2312, gbk, gb18030, big5, shift_jis, euc-kr, latin1 …
    #[arg(help_heading = MESSAGES, long, value_name = "NAME")]
    pub(crate) encoding: Option<Encoding>,
    /// How messages are cut from a byte stream: raw, line, fixed:N, length:…, until:BYTES, idle:MS
    #[arg(help_heading = MESSAGES, long, value_name = "FRAMING", default_value = "raw")]
    pub(crate) frame: Framing,
    /// What ends each typed line [default: lf on byte streams, none where messages have boundaries]
    #[arg(help_heading = SENT, long, value_enum)]
    pub(crate) eol: Option<Eol>,
    /// The same as --eol crlf
    #[arg(help_heading = SENT, short = 'C', long, conflicts_with = "eol")]
    pub(crate) crlf: bool,
    /// What the end of input does: half (close our direction), close (everything), keep[:TIME] (nothing)
    #[arg(help_heading = TIMES, long, value_name = "half|close|keep[:TIME]", default_value = "half")]
    pub(crate) eof: Eof,
    /// Where messages have boundaries, piped input is one message a read, not a line; over WebSocket all messages are binary, not text
    #[arg(help_heading = SENT, long)]
    pub(crate) binary: bool,
    /// Do not read standard input
    #[arg(help_heading = SENT, short = 'd', long)]
    pub(crate) no_stdin: bool,
    /// The largest message that is taken
    #[arg(help_heading = MESSAGES, long, value_name = "SIZE", default_value = "16M", value_parser = size)]
    pub(crate) max_message: usize,

    /// Give up connecting after this long, and a conversation after this much silence
    #[arg(help_heading = TIMES, short = 'w', long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// Try again until the peer is there, waiting 250 ms at first and 30 s at most between tries
    #[arg(help_heading = TIMES, long)]
    pub(crate) retry: bool,
    /// Our own address
    #[arg(help_heading = SOURCE, short = 's', long, value_name = "IP")]
    pub(crate) source: Option<IpAddr>,
    /// Our own port
    #[arg(help_heading = SOURCE, short = 'p', long, value_name = "PORT")]
    pub(crate) source_port: Option<u16>,
    /// Over UDP, show what others than the peer send, marked `unexpected sender`
    #[arg(help_heading = SHOWN, long)]
    pub(crate) from_anyone: bool,
    /// Connect through this proxy, which also resolves names: socks5://[USER:PASSWORD@]HOST:PORT or http://…
    #[arg(help_heading = SOURCE, long, value_name = "URL", env = "SOCKEYE_PROXY", hide_env_values = true)]
    pub(crate) proxy: Option<String>,
    /// The same as udp:// on addresses without a scheme
    #[arg(help_heading = SOURCE, short, long)]
    pub(crate) udp: bool,
    /// IPv4 only
    #[arg(help_heading = SOURCE, short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(help_heading = SOURCE, short = '6', long)]
    pub(crate) ipv6: bool,
    /// Tell what was agreed on, and at the end how much came and went
    #[arg(help_heading = SHOWN, short, long)]
    pub(crate) verbose: bool,

    /// The secret that the server asks for; better in the environment or a file
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

    /// Over QUIC and WebTransport, speak by datagrams, which may get lost, and not over a stream
    #[arg(help_heading = QUIC, long)]
    pub(crate) datagrams: bool,
    /// Move the QUIC connection to another port of ours after this long
    #[arg(help_heading = QUIC, long, value_name = "TIME", value_parser = time)]
    pub(crate) migrate_after: Option<Duration>,
    /// The version of QUIC, 1 or 2
    #[arg(help_heading = QUIC, long, value_name = "N", default_value = "1", value_parser = quic_version)]
    pub(crate) quic_version: QuicVersion,

    #[command(flatten)]
    pub(crate) eye: EyeArgs,
    #[command(flatten)]
    pub(crate) child: ChildArgs,
    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,
    #[command(flatten)]
    pub(crate) websocket: WebSocketArgs,
    /// The method over HTTP: GET and HEAD send nothing [default: GET, or POST if something is sent]
    #[arg(help_heading = REQUEST, long, value_name = "NAME", value_parser = method)]
    pub(crate) method: Option<http::Method>,
    /// The Content-Type of what is sent over HTTP
    #[arg(help_heading = REQUEST, long, value_name = "TYPE")]
    pub(crate) content_type: Option<http::HeaderValue>,
    /// Say that a page of this origin asks
    #[arg(help_heading = REQUEST, long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// A header field of the request, such as 'Cookie: a=1' (repeatable)
    #[arg(help_heading = REQUEST, short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Name and password for basic authentication; better in the environment
    #[arg(help_heading = REQUEST, long, value_name = "NAME:PASSWORD", env = "SOCKEYE_USER", hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// Over HTTP/2, where there is a choice: ws:// and wss:// (RFC 8441), http:// (https:// agrees on it)
    #[arg(help_heading = REQUEST, long)]
    pub(crate) http2: bool,

    #[command(flatten)]
    pub(crate) socket: SocketArgs,
}

// Headings of the help.
const SENT: &str = "What is sent";
const SHOWN: &str = "What is shown";
const MESSAGES: &str = "Messages";
const TIMES: &str = "When it ends";
const SOURCE: &str = "How it is reached";
const QUIC: &str = "QUIC and WebTransport (docs/QUIC.md, docs/WEBTRANSPORT.md)";
const REQUEST: &str = "The request of http://, h3://, ws:// and wt://";

const EXAMPLES: &str = "\
Examples:
  sockeye connect 127.0.0.1:3000             talk to a TCP server
  sockeye connect localhost 3000             the same
  sockeye connect udp://127.0.0.1:3000 --send hi
  sockeye connect :3000 --send-hex 'fc 2a' --hex
  sockeye connect :3000 < file > answer      as with nc
  sockeye connect ws://localhost:3000/ -H 'Cookie: a=1'
  sockeye connect http://localhost:3000/ -d  a GET; with input or --send a POST
  sockeye connect quic://localhost:3000 --insecure --send hi
  sockeye connect wt://localhost:3000/ --insecure --datagrams --send hi
  sockeye connect @george @james             two contacts at once
  sockeye connect udp://255.255.255.255:9000 --broadcast --send ping
In --send TEXT, \\n \\r \\t \\\\ \\xNN and \\u{1F600} mean what they mean in Rust.";

impl ConnectArgs {
    /// Whether what stands on standard input is to be sent.
    pub(crate) fn reads_stdin(&self) -> bool {
        let says_nothing = |method: &http::Method| matches!(method.as_str(), "GET" | "HEAD");
        !self.no_stdin && !self.method.as_ref().is_some_and(says_nothing)
    }
}

/// What ends a typed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Eol {
    Lf,
    Crlf,
    Cr,
    None,
}

impl Eol {
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
            Self::Cr => b"\r",
            Self::None => b"",
        }
    }
}

/// What the end of our input does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eof {
    /// Close our direction and go on receiving.
    Half,
    /// Close everything.
    Close,
    /// Go on receiving, for this long if given.
    Keep(Option<Duration>),
}

impl std::str::FromStr for Eof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "half" => Ok(Self::Half),
            None if text == "close" => Ok(Self::Close),
            None if text == "keep" => Ok(Self::Keep(None)),
            Some(("keep", limit)) => Ok(Self::Keep(Some(time(limit)?))),
            _ => Err("write half, close, keep or keep:TIME".to_owned()),
        }
    }
}
