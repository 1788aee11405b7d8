//! What the words and flags of `serve` mean: the service, where it listens, and what is odd about them.

use std::ffi::OsStr;

use anyhow::{Context, Result};
use sockeye::service::{
    Cat, Chat, Exec, Files, FilesOptions, Hello, Reply, Sink, Site, SiteOptions, Target,
};
use sockeye::{Address, AnyService};
use wire::address::Scheme;
use wire::address::Target::{self as To, Net};
use wire::text::{nearest::nearest, unescape};

use crate::args::ServeArgs;
use crate::failure::Usage;
use crate::peers::peer;

pub(crate) mod ask;
mod chat;
pub(crate) mod exposure;
pub(crate) mod fetch;
mod lab;
pub(crate) mod nearby;
pub(crate) mod port;
pub(crate) mod tls;
pub(crate) mod way;

pub(crate) use lab::LabPlan;

/// The services by name.
const SERVICES: [&str; 12] = [
    "chat", "echo", "upper", "hello", "reply", "sink", "cat", "files", "site", "relay", "exec",
    "console",
];

const DEFAULT_ADDRESS: &str = "127.0.0.1:3000";

/// What the words of the command line mean.
pub(crate) struct Plan {
    pub(crate) service: &'static str,
    /// The text of `reply`, the file of `cat`, the folder of `files` and `site`.
    text: Option<String>,
    pub(crate) addresses: Vec<Address>,
}

/// The two that answer fastest are named: a service that is known when this is compiled needs no box for
/// each session.
/// What serves.
pub(crate) enum Chosen {
    Echo,
    Upper,
    Service(AnyService),
    Console,
}

impl Plan {
    /// # Errors
    /// When the words make no sense.
    pub(crate) fn read(args: &ServeArgs) -> Result<Self> {
        // Behind `--` stands a program, or for the others a word that begins with a dash.
        let (after, program) = match args.words.first().map(String::as_str) {
            Some("exec") => (&[][..], &args.program[..]),
            _ => (&args.program[..], &[][..]),
        };
        let after = after
            .iter()
            .map(|word| word.to_str().ok_or_else(|| unreadable(word)));
        let after = after.collect::<Result<Vec<_>>>()?;
        let words = args.words.iter().map(String::as_str).chain(after);
        let mut words = words.peekable();
        let service = match words.peek() {
            Some(word) => match SERVICES.iter().find(|name| *name == word) {
                Some(name) => {
                    words.next();
                    name
                }
                None if word.parse::<Address>().is_ok() => "chat",
                None => return Err(unknown(word)),
            },
            None => "chat",
        };
        let needed = match service {
            "reply" => Some("reply needs a text: sockeye serve reply TEXT [ADDR]…"),
            "cat" => Some("cat needs a file: sockeye serve cat FILE [ADDR]…"),
            "files" => Some("files needs a folder: sockeye serve files DIR [ADDR]…"),
            "site" => Some("site needs a folder: sockeye serve site DIR [ADDR]…"),
            "relay" => Some("relay needs a target: sockeye serve relay TARGET [ADDR]…"),
            _ => None,
        };
        let text = needed.map(|needed| words.next().ok_or_else(|| Usage(needed.to_owned())));
        let text = text.transpose()?.map(str::to_owned);
        if service == "exec" && program.is_empty() {
            let needed = "exec needs a program: sockeye serve exec [ADDR]… -- PROGRAM [ARGUMENT]…";
            return Err(Usage(needed.to_owned()).into());
        }
        let mut addresses = words.map(str::parse).collect::<Result<Vec<Address>, _>>()?;
        if addresses.is_empty() {
            addresses.push(DEFAULT_ADDRESS.parse()?);
        }
        if service == "relay" {
            // It passes on what it gets: whatever that is, the target shall see it as it came.
            addresses = addresses.into_iter().map(undecoded).collect();
        }
        exposure::check(service, &addresses, args)?;
        Ok(Self {
            service,
            text,
            addresses,
        })
    }

    /// `tell` hears what the server's person should know.
    ///
    /// # Errors
    /// When the service cannot be made as it is asked for.
    pub(crate) async fn service(&self, args: &ServeArgs, tell: impl FnMut(&str)) -> Result<Chosen> {
        Ok(Chosen::Service(match self.service {
            "chat" => AnyService::new(Chat::new(
                chat::hub(&args.chat, &self.addresses, tell).await?,
            )),
            "upper" => return Ok(Chosen::Upper),
            "hello" => AnyService::new(hello(args)),
            "reply" => AnyService::new(self.reply(args)?),
            "sink" => AnyService::new(Sink {
                target: target(args)?,
            }),
            "cat" => AnyService::new(Cat::open(self.text.as_deref().unwrap_or_default())?),
            "files" => AnyService::new(self.files(args)?),
            "site" => AnyService::new(self.site(args)?),
            "relay" => AnyService::new(way::relay(args, &self.targets(args)?, tell)?),
            "exec" => AnyService::new(Exec {
                command: args.program.clone(),
                options: way::children(args)?,
                framing: args.frame.clone(),
            }),
            "console" => return Ok(Chosen::Console),
            _ => return Ok(Chosen::Echo),
        }))
    }

    /// Where `relay` goes.
    fn targets(&self, args: &ServeArgs) -> Result<Vec<Address>> {
        let words = self.text.iter().chain(&args.targets.target);
        let targets = words.map(|word| {
            let address = peer(word, false)?.address;
            if address.target == To::Stdio {
                let what =
                    "standard input cannot be everyone's target: `sockeye relay - ADDR` joins it";
                return Err(Usage(what.to_owned()).into());
            }
            Ok(address)
        });
        targets.collect()
    }

    fn reply(&self, args: &ServeArgs) -> Result<Reply> {
        let text = self.text.as_deref().unwrap_or_default();
        let answer = if args.hex {
            wire::hex::parse(text)
                .map_err(|error| Usage(format!("cannot read the hex `{text}`: {error}")))?
        } else {
            unescape(text, args.encoding)
                .map_err(|error| Usage(format!("cannot read the text `{text}`: {error}")))?
        };
        let kind = args.content_type.clone();
        let kind = kind.unwrap_or_else(|| Reply::kind(&answer, args.encoding));
        Ok(Reply {
            answer: answer.into(),
            close: args.close,
            content_type: Some(kind),
        })
    }

    fn site(&self, args: &ServeArgs) -> Result<Site> {
        let options = SiteOptions {
            listing: !args.no_listing,
            hidden: args.hidden,
            encoding: args.encoding,
        };
        Ok(Site::open(self.text.as_deref().unwrap_or("."), options)?)
    }

    fn files(&self, args: &ServeArgs) -> Result<Files> {
        let default = FilesOptions::default();
        let options = FilesOptions {
            write: args.files.write,
            overwrite: args.files.overwrite,
            max_size: args.files.max_file,
            keep: args.files.keep_uploads.unwrap_or(default.keep),
            under: default.under,
            hidden: args.hidden,
            encoding: args.encoding,
        };
        Ok(Files::open(self.text.as_deref().unwrap_or("."), options)?)
    }

    /// Flags that change nothing here.
    pub(crate) fn lints(&self, args: &ServeArgs) -> Vec<String> {
        let only = |flag: &str, given: bool, service: &str| {
            (given && self.service != service)
                .then(|| format!("{flag} is for `{service}`; `{}` ignores it", self.service))
        };
        let mut lints: Vec<String> = [
            only("--greeting", args.greeting.is_some(), "hello"),
            only("--delay", args.delay.is_some(), "hello"),
            only("--close", args.close, "reply"),
            only("--out", args.out.is_some(), "sink"),
            only("--target", !args.targets.target.is_empty(), "relay"),
            only("--send-proxy", args.join.send_proxy.is_some(), "relay"),
            only("--half-open", args.join.half_open.is_some(), "relay"),
            only("--no-listing", args.no_listing, "site"),
            only("--hidden", args.hidden && self.service != "files", "site"),
            only("--eol", args.eol.is_some(), "console"),
            only("--timestamps", args.timestamps, "console"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let of_chat = args.chat.given();
        lints.extend(of_chat.iter().filter_map(|flag| only(flag, true, "chat")));
        let of_files = args.files.given();
        lints.extend(of_files.iter().filter_map(|flag| only(flag, true, "files")));
        if args.files.overwrite && !args.files.write && self.service == "files" {
            lints.push("--overwrite does nothing without --write".to_owned());
        }
        let of_target = args.target_tls.given();
        lints.extend(
            of_target
                .iter()
                .filter_map(|flag| only(flag, true, "relay")),
        );
        if !args.guard.accept_proxy.is_empty() && self.addresses.iter().any(carries_datagrams) {
            lints.push(
                "--accept-proxy is for streams: datagrams come without a PROXY header".to_owned(),
            );
        }
        let flags = [
            ("--content-type", args.content_type.is_some()),
            ("--host", !args.host.is_empty()),
        ];
        for (flag, given) in flags {
            if given && !self.addresses.iter().any(carries_http) {
                lints.push(format!(
                    "{flag} is for HTTP, which none of these addresses carries"
                ));
            }
        }
        lints
    }
}

/// Whether datagrams may come to this address.
fn carries_datagrams(address: &Address) -> bool {
    matches!(
        (&address.target, address.scheme),
        (Net { .. }, None | Some(Scheme::Udp | Scheme::Quic)) | (_, Some(Scheme::Unixgram))
    )
}

/// Whether HTTP may be spoken at this address.
fn carries_http(address: &Address) -> bool {
    matches!(
        address.scheme,
        None | Some(Scheme::Unix | Scheme::Http | Scheme::Https)
    )
}

/// Without a scheme, TCP and nothing that is spoken in it.
fn undecoded(address: Address) -> Address {
    match (&address.target, address.scheme) {
        (Net { .. }, None) => address.with_scheme(Scheme::Tcp),
        _ => address,
    }
}

fn unreadable(word: &OsStr) -> anyhow::Error {
    Usage(format!(
        "cannot read `{}`: it is not UTF-8",
        word.to_string_lossy()
    ))
    .into()
}

fn unknown(word: &str) -> anyhow::Error {
    let meant = nearest(word, SERVICES)
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default();
    // What looks like an address is told what is wrong with it as one.
    match word.parse::<Address>() {
        Err(error) if word.contains([':', '.', '[']) || is_number(word) => error.into(),
        _ => Usage(format!(
            "there is no service `{word}`{meant}; there are {}",
            SERVICES.join(", ")
        ))
        .into(),
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn hello(args: &ServeArgs) -> Hello {
    let default = Hello::default();
    Hello {
        greeting: args.greeting.clone().unwrap_or(default.greeting),
        delay: args.delay.unwrap_or(default.delay),
    }
}

/// Where `sink` saves. A folder is made now, so that no session finds out that it cannot be.
fn target(args: &ServeArgs) -> Result<Target> {
    let Some(path) = &args.out else {
        return Ok(Target::Discard);
    };
    if path.as_os_str() == "-" {
        let why =
            "sink saves files; `serve console --once < /dev/null` shows what comes, as nc -l does";
        return Err(Usage(format!("cannot save to `-`: {why}")).into());
    }
    let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    let (target, folder) = match is_folder {
        true => (Target::Folder(path.clone()), Some(path.as_path())),
        false => (Target::File(path.clone()), path.parent()),
    };
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
        let made = std::fs::create_dir_all(folder);
        made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(target)
}
