//! The command line as it was typed. Nothing here touches files or the network.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    reason = "these comments are the help: text for a terminal, not Markdown"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Usage;

mod chat;
mod connect;
mod export;
mod fetch;
mod files;
mod guard;
mod moving;
mod refusal;
mod relay;
mod rooms;
mod serve;
mod socket;
mod tls;
mod trace;
mod values;
mod way;
mod websocket;

pub(crate) use chat::ChatArgs;
pub(crate) use connect::{ConnectArgs, Eof, Eol};
pub(crate) use export::{ChatAction, ExportArgs};
pub(crate) use fetch::{Datum, FetchArgs, Field, From};
pub(crate) use files::FilesArgs;
pub(crate) use guard::GuardArgs;
pub(crate) use moving::{MovingArgs, OfferArgs, ReceiveArgs, SendArgs};
use refusal::refusal;
pub(crate) use relay::RelayArgs;
pub(crate) use rooms::{RoomsArgs, Slow};
pub(crate) use serve::ServeArgs;
pub(crate) use socket::SocketArgs;
pub(crate) use tls::{ConnectTlsArgs, ServeTlsArgs, TargetTlsArgs};
pub(crate) use trace::{Colors, Lang, TraceArgs};
pub(crate) use way::{Balance, ChildArgs, JoinArgs, TargetArgs};
pub(crate) use websocket::WebSocketArgs;

/// Both ends of every socket: one service, one port, every protocol, and an eye on the wire.
#[derive(Debug, Parser)]
#[command(
    name = "sockeye",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  sockeye serve                          a chat on 127.0.0.1:3000, over every protocol
  sockeye serve hello '*:3000'           greet whoever comes, from any network
  sockeye connect 127.0.0.1:3000         talk to it
  echo hi | sockeye connect :3000        pipe through it
  sockeye chat localhost:3000            talk in the rooms of a `sockeye serve chat`
  sockeye fetch -v https://example.org/  fetch it, and show the conversation
  sockeye send photos nas:3000           send a folder to a `sockeye serve files DIR --write`
  sockeye relay - unix:/run/app.sock     join two ends of any kind
  sockeye contacts add george udp://127.0.0.1:4001
  sockeye connect @george @james         talk to two contacts at once
  sockeye trace --read handshake.pcap    draw what tcpdump has captured
`sockeye serve --help` lists the services.
Exit codes: 0 ok, 1 network, 2 usage, 3 timeout, 4 TLS, 5 protocol violation,
  6 the peer closed with an error, 7 verification failed, 8 a program failed, 130 and 143 signals.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    // For the list of verbs. The rest is told where the flags are.
    /// Listen, and serve whoever comes
    Serve(Typed<ServeArgs>),
    /// Talk to any server
    Connect(Typed<ConnectArgs>),
    /// Talk in the rooms of a chat
    Chat(Typed<ChatArgs>),
    /// Fetch what a URL names, and show how
    Fetch(Typed<FetchArgs>),
    /// Send files and folders, verified, and go on after cuts
    Send(Typed<SendArgs>),
    /// Fetch files and folders, verified, and go on after cuts
    Receive(Typed<ReceiveArgs>),
    /// Join two ends: what one says the other hears
    Relay(Typed<RelayArgs>),
    /// Draw what crossed the wire, step by step, with the states of both ends
    Trace(Typed<TraceArgs>),
    // Described where it is: it has few flags, and completions of `help` are made before a verb is typed.
    Contacts(ContactsArgs),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page per command into DIR.
    Man {
        /// Where to write the pages.
        dir: Option<PathBuf>,
    },
}

/// The flags of a verb, which the parser hears of when that verb is typed: telling it of all flags of all verbs is
/// a tenth of what the program needs to start.
#[derive(Debug)]
pub(crate) struct Typed<A>(pub(crate) Box<A>);

impl<A: Args> Args for Typed<A> {
    fn augment_args(verb: Command) -> Command {
        verb.defer(A::augment_args)
    }

    fn augment_args_for_update(verb: Command) -> Command {
        verb.defer(A::augment_args_for_update)
    }
}

impl<A: Args> FromArgMatches for Typed<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        A::from_arg_matches(matches).map(Box::new).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Names for addresses: list, add, remove
///
/// They are kept under [contacts] in $XDG_CONFIG_HOME/sockeye/config.toml (~/.config without it).
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  sockeye contacts                                 list them
  sockeye contacts add george udp://127.0.0.1:4001
  sockeye contacts add 乔治 tcp://192.168.1.7:3000
  sockeye connect @george @乔治                    talk to both
  sockeye contacts remove george"
)]
pub(crate) struct ContactsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ContactsAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactsAction {
    /// Print every contact and its address.
    List,
    /// Add a contact, or change its address.
    Add {
        /// The name, in any script, without the @.
        name: String,
        /// The address: tcp://HOST:PORT, udp://HOST:PORT, unix:PATH …
        address: String,
    },
    /// Remove a contact.
    Remove {
        /// The name, without the @.
        name: String,
    },
}

/// The whole command line, for the manual and completions.
pub(crate) fn command() -> Command {
    Cli::command()
}

/// What was typed, and what is to be said in the order in which it was typed. Help that was asked for is printed,
/// and ends the program.
///
/// # Errors
/// When it makes no sense.
pub(crate) fn typed() -> Result<(Verb, Vec<Said>), Usage> {
    let matches = command().try_get_matches();
    let cli = matches.and_then(|matches| {
        let said = script(&matches);
        Cli::from_arg_matches(&matches).map(|cli| (cli.verb, said))
    });
    cli.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => refusal(&error),
    })
}

/// One thing that `connect` was told to send.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// `--send`
    Text(String),
    /// `--send-hex`
    Hex(String),
    /// `--send-file`
    File(PathBuf),
}

/// Everything that `connect` was told to send, in the order in which it was typed.
fn script(matches: &ArgMatches) -> Vec<Said> {
    let Some(matches) = matches.subcommand_matches("connect") else {
        return Vec::new();
    };
    let mut said: Vec<(usize, Said)> = Vec::new();
    let mut collect = |id: &str, make: fn(OsString) -> Said| {
        let values = matches.get_raw(id).into_iter().flatten();
        let places = matches.indices_of(id).into_iter().flatten();
        said.extend(places.zip(values.map(|value| make(value.to_owned()))));
    };
    collect("send", |text| {
        Said::Text(text.to_string_lossy().into_owned())
    });
    collect("send_hex", |text| {
        Said::Hex(text.to_string_lossy().into_owned())
    });
    collect("send_file", |path| Said::File(path.into()));
    said.sort_by_key(|(place, _)| *place);
    said.into_iter().map(|(_, said)| said).collect()
}
