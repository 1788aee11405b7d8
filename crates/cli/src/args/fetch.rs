//! `sockeye fetch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use sockeye::QuicVersion;

use super::values::{field, quic_version, time, token};
use super::{ConnectTlsArgs, EyeArgs};

/// Fetch what a URL names, and show how
///
/// URL is http://…, https://… or h3://…; without a scheme it is http://, and :3000/path is on this machine.
/// What comes goes to standard output; everything else is told on standard error. -v shows the whole
/// conversation: who was reached, TLS and its certificates, both heads, and how long each step took.
///
/// The letters are those of curl, and mean what they mean there. Where not, docs/FETCH.md says so.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct FetchArgs {
    /// What to fetch: one URL or several, one after the other
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,

    /// The method [default: GET, or POST with data, PUT with -T, HEAD with -I]
    #[arg(help_heading = REQUEST, short = 'X', long = "request", visible_alias = "method", value_name = "NAME", value_parser = token)]
    pub(crate) method: Option<http::Method>,
    /// A header field: 'NAME: VALUE', 'NAME:' to leave it out, 'NAME;' for one without a value (repeatable)
    #[arg(help_heading = REQUEST, short = 'H', long, value_name = "FIELD", value_parser = field)]
    pub(crate) header: Vec<Field>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Put what -d says into the query of the URL, and ask with GET
    #[arg(help_heading = REQUEST, short = 'G', long)]
    pub(crate) get: bool,
    /// Send a file, or standard input as `-`; the name of the file is added to a URL that ends in a slash
    #[arg(help_heading = REQUEST, short = 'T', long, value_name = "FILE", allow_hyphen_values = true, conflicts_with_all = ["data", "get", "head"])]
    pub(crate) upload_file: Option<PathBuf>,
    /// Ask for the head alone, and show it
    #[arg(help_heading = REQUEST, short = 'I', long, conflicts_with = "data")]
    pub(crate) head: bool,
    /// User and password for basic authentication; better in the environment
    #[arg(help_heading = REQUEST, short, long, value_name = "NAME:PASSWORD", env = "SOCKEYE_USER", hide_env_values = true)]
    pub(crate) user: Option<String>,
    /// What we call ourselves [default: sockeye/VERSION]
    #[arg(help_heading = REQUEST, short = 'A', long, value_name = "TEXT")]
    pub(crate) user_agent: Option<http::HeaderValue>,
    /// The page that we come from
    #[arg(help_heading = REQUEST, short = 'e', long, value_name = "URL")]
    pub(crate) referer: Option<http::HeaderValue>,
    /// Cookies, as 'NAME=VALUE; NAME=VALUE'
    #[arg(help_heading = REQUEST, short = 'b', long, value_name = "COOKIES")]
    pub(crate) cookie: Option<http::HeaderValue>,
    /// Only these bytes, such as 0-99, 100- or -100
    #[arg(help_heading = REQUEST, short = 'r', long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,
    /// Ask for gzip, and decompress it
    #[arg(help_heading = REQUEST, long)]
    pub(crate) compressed: bool,

    /// HTTP/1.1 alone
    #[arg(help_heading = VERSIONS, long = "http1.1", group = "speaks")]
    pub(crate) http1: bool,
    /// HTTP/2 where the server agrees on it in TLS, HTTP/1.1 elsewhere: as without this, but it is told
    #[arg(help_heading = VERSIONS, long, group = "speaks")]
    pub(crate) http2: bool,
    /// HTTP/2 alone, also without TLS
    #[arg(help_heading = VERSIONS, long, group = "speaks")]
    pub(crate) http2_prior_knowledge: bool,
    /// HTTP/3 if it is there first, with a head start of 250 ms before the others
    #[arg(help_heading = VERSIONS, long, group = "speaks")]
    pub(crate) http3: bool,
    /// HTTP/3 alone; a URL with h3:// says the same
    #[arg(help_heading = VERSIONS, long, group = "speaks")]
    pub(crate) http3_only: bool,
    /// Over HTTP/3, ask before the handshake is over where an earlier connection of this run allows it (0-RTT): GET, HEAD
    /// and OPTIONS without data, which somebody else could send again
    #[arg(help_heading = VERSIONS, long, visible_alias = "tls-earlydata")]
    pub(crate) early_data: bool,
    /// The version of QUIC, 1 or 2
    #[arg(help_heading = VERSIONS, long, value_name = "N", default_value = "1", value_parser = quic_version)]
    pub(crate) quic_version: QuicVersion,
    /// Neither remember nor mind where servers say that they speak HTTP/3
    #[arg(help_heading = VERSIONS, long)]
    pub(crate) no_alt_svc: bool,

    /// Follow redirects
    #[arg(help_heading = REDIRECTS, short = 'L', long)]
    pub(crate) location: bool,
    /// How many of them
    #[arg(help_heading = REDIRECTS, long, value_name = "N", default_value = "50")]
    pub(crate) max_redirs: u32,

    /// Save to this file; `-` is standard output, whatever comes (repeatable, for each URL in turn)
    #[arg(help_heading = SAVED, short, long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) output: Vec<PathBuf>,
    /// Save to a file with the last name of the URL
    #[arg(help_heading = SAVED, short = 'O', long)]
    pub(crate) remote_name: bool,
    /// Make the folders that the file needs
    #[arg(help_heading = SAVED, long)]
    pub(crate) create_dirs: bool,
    /// Go on with what is there of the file: from its end as `-`, or from byte N
    #[arg(help_heading = SAVED, short = 'C', long, value_name = "-|N", allow_hyphen_values = true, conflicts_with_all = ["compressed", "range", "upload_file", "include", "head"])]
    pub(crate) continue_at: Option<From>,
    /// Fail on a status from 400 on, without showing what came with it
    #[arg(help_heading = SAVED, short, long)]
    pub(crate) fail: bool,

    /// Show the head of the answer, too
    #[arg(help_heading = SHOWN, short, long, visible_alias = "show-headers")]
    pub(crate) include: bool,
    /// Show the whole conversation
    #[arg(help_heading = SHOWN, short, long)]
    pub(crate) verbose: bool,
    /// Show how long each step took
    #[arg(help_heading = SHOWN, long)]
    pub(crate) timing: bool,
    /// Tell of each request as JSON, an object a line (docs/JSON.md); JSON is sent by --data-json
    #[arg(help_heading = SHOWN, long, conflicts_with_all = ["verbose", "timing"])]
    pub(crate) json: bool,
    /// At the end write this, with %{http_code}, %{time_total} and the like (docs/FETCH.md), or what is in @FILE
    #[arg(help_heading = SHOWN, short, long, value_name = "FORMAT")]
    pub(crate) write_out: Option<String>,
    #[command(flatten)]
    pub(crate) eye: EyeArgs,
    /// No progress and no failures
    #[arg(help_heading = SHOWN, short, long)]
    pub(crate) silent: bool,
    /// Failures even with -s
    #[arg(help_heading = SHOWN, short = 'S', long)]
    pub(crate) show_error: bool,

    /// How long connecting may take, with TLS
    #[arg(help_heading = TIMES, long, value_name = "TIME", value_parser = time)]
    pub(crate) connect_timeout: Option<Duration>,
    /// How long all of it may take
    #[arg(help_heading = TIMES, short, long, value_name = "TIME", value_parser = time)]
    pub(crate) max_time: Option<Duration>,
    /// Try again so often when it fails in a way that may pass: the network, 408, 429, 500, 502, 503, 504
    #[arg(help_heading = TIMES, long, value_name = "N", default_value = "0")]
    pub(crate) retry: u32,

    /// Connect through this proxy: http://[USER:PASSWORD@]HOST:PORT or socks5://… [default: HTTPS_PROXY, http_proxy, ALL_PROXY]
    #[arg(help_heading = SOURCE, short = 'x', long, value_name = "URL", env = "SOCKEYE_PROXY", hide_env_values = true)]
    pub(crate) proxy: Option<String>,
    /// Hosts and networks that are reached without a proxy; * is all [default: NO_PROXY]
    #[arg(help_heading = SOURCE, long, value_name = "LIST")]
    pub(crate) noproxy: Option<String>,
    /// Where a host is, without looking it up: HOST:PORT:ADDRESS[,ADDRESS] (repeatable)
    #[arg(help_heading = SOURCE, long, value_name = "WHERE", value_parser = resolved)]
    pub(crate) resolve: Vec<Resolved>,
    /// A connection of its own for each request
    #[arg(help_heading = SOURCE, long)]
    pub(crate) no_reuse: bool,
    /// IPv4 only
    #[arg(help_heading = SOURCE, short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(help_heading = SOURCE, short = '6', long)]
    pub(crate) ipv6: bool,
    // Whoever types it is told what to type instead.
    #[arg(short = 'k', hide = true)]
    pub(crate) k: bool,

    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,
}

// Headings of the help.
const REQUEST: &str = "The request";
const VERSIONS: &str = "The version of HTTP";
const REDIRECTS: &str = "Redirects";
const SAVED: &str = "Where it goes";
const SHOWN: &str = "What is shown";
const TIMES: &str = "When it ends";
const SOURCE: &str = "How it is reached";

const EXAMPLES: &str = "\
Examples:
  sockeye fetch http://127.0.0.1:3000/              show what is there
  sockeye fetch -v https://example.org/             show the whole conversation
  sockeye fetch -O https://example.org/large.iso    save it, with a progress bar
  sockeye fetch -O -C - https://example.org/large.iso
                                                    go on where that broke off
  sockeye fetch -d name=value :3000/form            a POST
  sockeye fetch --data-json '{\"a\":1}' :3000/api
  sockeye fetch -T file.txt http://127.0.0.1:3000/  a PUT
  sockeye fetch -sL -o /dev/null -w '%{http_code} %{time_total}\\n' example.org
  sockeye fetch --insecure https://127.0.0.1:3000/  whoever it is";

/// A header field as `-H` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Set(http::HeaderName, http::HeaderValue),
    Without(http::HeaderName),
}

/// Where `-C` goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// At the end of what is there.
    End,
    /// At this byte.
    Byte(u64),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::End),
            number => number
                .parse()
                .map(Self::Byte)
                .map_err(|_| "write - or the number of a byte".to_owned()),
        }
    }
}

/// Host, port and addresses of `--resolve`.
pub(crate) type Resolved = (String, u16, Vec<std::net::IpAddr>);

fn resolved(text: &str) -> Result<Resolved, String> {
    let wrong = || "write HOST:PORT:ADDRESS, such as example.org:443:127.0.0.1".to_owned();
    let (host, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (port, addresses) = rest.split_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let address = |text: &str| {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_err(|_| wrong())
    };
    let addresses = addresses
        .split(',')
        .map(address)
        .collect::<Result<_, _>>()?;
    match host {
        "" => Err(wrong()),
        host => Ok((host.to_owned(), port, addresses)),
    }
}

/// Data of a request, in the order in which it was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataArgs(pub(crate) Vec<Datum>);

/// One piece of it, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Datum {
    /// `-d`: text, or a file without its line ends.
    Form(String),
    /// `--data-raw`: text, whatever it begins with.
    Raw(String),
    /// `--data-binary`: text, or a file as it is.
    Binary(String),
    /// `--data-urlencode`
    Encoded(String),
    /// `--data-json`
    Json(String),
}

type Kind = (&'static str, fn(String) -> Datum, &'static str);

const DATA: [Kind; 5] = [
    (
        "data",
        Datum::Form,
        "Send this, or @FILE, or @- for standard input, as a form (repeatable, joined by &)",
    ),
    ("data-raw", Datum::Raw, "The same, where @ means nothing"),
    (
        "data-binary",
        Datum::Binary,
        "The same, where the file is sent with its line ends",
    ),
    (
        "data-urlencode",
        Datum::Encoded,
        "The same, URL-encoded first: TEXT, NAME=TEXT, @FILE or NAME@FILE",
    ),
    (
        "data-json",
        Datum::Json,
        "Send this, or @FILE, as JSON, and ask for JSON",
    ),
];

impl Args for DataArgs {
    fn augment_args(command: Command) -> Command {
        DATA.into_iter().fold(command, |command, (name, _, help)| {
            let arg = Arg::new(name).long(name).help(help).help_heading(REQUEST);
            let arg = match name {
                "data" => arg.short('d'),
                _ => arg,
            };
            command.arg(
                arg.value_name("DATA")
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DataArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut data: Vec<(usize, Datum)> = Vec::new();
        for (name, make, _) in DATA {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let places = matches.indices_of(name).into_iter().flatten();
            data.extend(places.zip(values.map(|value| make(value.clone()))));
        }
        data.sort_by_key(|(place, _)| *place);
        Ok(Self(data.into_iter().map(|(_, datum)| datum).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_hosts() {
        let (host, port, addresses) = resolved("h:443:127.0.0.1,[::1]").unwrap();
        assert_eq!((&*host, port, addresses.len()), ("h", 443, 2));
        assert_eq!(resolved("h:1:::1").unwrap().2[0].to_string(), "::1");
        for wrong in [
            "",
            "h",
            "h:443",
            "h:x:127.0.0.1",
            "h:443:x",
            ":443:127.0.0.1",
            "h:443:",
        ] {
            assert!(resolved(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_to_go_on() {
        assert_eq!("-".parse(), Ok(From::End));
        assert_eq!("12".parse(), Ok(From::Byte(12)));
        for wrong in ["", "x", "-1", "1.5"] {
            assert!(wrong.parse::<From>().is_err(), "{wrong}");
        }
    }
}
