//! What the words and flags of `serve` mean: the service, where it listens, and what is odd about them.

use anyhow::{Context, Result};
use sockeye::service::{Hello, Reply, Sink, Site, SiteOptions, Target};
use sockeye::{Address, AnyService};
use wire::address::Scheme;
use wire::text::{nearest::nearest, unescape};

use crate::args::ServeArgs;
use crate::failure::Usage;

pub(crate) mod ask;
pub(crate) mod port;
pub(crate) mod tls;

/// The services by name.
const SERVICES: [&str; 7] = ["echo", "upper", "hello", "reply", "sink", "site", "console"];

const DEFAULT_ADDRESS: &str = "127.0.0.1:3000";

/// What the words of the command line mean.
pub(crate) struct Plan {
    pub(crate) service: &'static str,
    /// The text of `reply`, the folder of `site`.
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
        let mut words = args.words.iter().map(String::as_str).peekable();
        let service = match words.peek() {
            Some(word) => match SERVICES.iter().find(|name| *name == word) {
                Some(name) => {
                    words.next();
                    name
                }
                None if word.parse::<Address>().is_ok() => "echo",
                None => return Err(unknown(word)),
            },
            None => "echo",
        };
        let needed = match service {
            "reply" => Some("reply needs a text: sockeye serve reply TEXT [ADDR]…"),
            "site" => Some("site needs a folder: sockeye serve site DIR [ADDR]…"),
            _ => None,
        };
        let text = needed.map(|needed| words.next().ok_or_else(|| Usage(needed.to_owned())));
        let text = text.transpose()?.map(str::to_owned);
        let mut addresses = words.map(str::parse).collect::<Result<Vec<Address>, _>>()?;
        if addresses.is_empty() {
            addresses.push(DEFAULT_ADDRESS.parse()?);
        }
        Ok(Self {
            service,
            text,
            addresses,
        })
    }

    /// # Errors
    /// When the service cannot be made as it is asked for.
    pub(crate) fn service(&self, args: &ServeArgs) -> Result<Chosen> {
        Ok(Chosen::Service(match self.service {
            "upper" => return Ok(Chosen::Upper),
            "hello" => AnyService::new(hello(args)),
            "reply" => AnyService::new(self.reply(args)?),
            "sink" => AnyService::new(Sink {
                target: target(args)?,
            }),
            "site" => AnyService::new(self.site(args)?),
            "console" => return Ok(Chosen::Console),
            _ => return Ok(Chosen::Echo),
        }))
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
            only("--no-listing", args.no_listing, "site"),
            only("--hidden", args.hidden, "site"),
        ]
        .into_iter()
        .flatten()
        .collect();
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

/// Whether HTTP may be spoken at this address.
fn carries_http(address: &Address) -> bool {
    matches!(
        address.scheme,
        None | Some(Scheme::Unix | Scheme::Http | Scheme::Https)
    )
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
