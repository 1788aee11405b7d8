//! `sockeye serve`: listen, and serve whoever comes.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use sockeye::service::{Echo, Hello, Reply, Sink, Target, Upper};
use sockeye::{Address, AnyService, Endpoint, Family, Listening, Port, PortConfig};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::text::{nearest::nearest, unescape};

use crate::args::ServeArgs;
use crate::console::{Desk, desk};
use crate::failure::Usage;
use crate::report::{Form, Log, Reporter};
use crate::signals::Signals;

/// The services by name.
const SERVICES: [&str; 6] = ["echo", "upper", "hello", "reply", "sink", "console"];

const DEFAULT_ADDRESS: &str = "127.0.0.1:3000";

pub(crate) async fn run(args: ServeArgs) -> Result<ExitCode> {
    let plan = Plan::read(&args)?;
    let (log, writer) = Log::start();
    let form = match (args.json, args.hex) {
        (true, _) => Form::Json,
        (false, true) => Form::Hex,
        (false, false) => Form::Text,
    };
    let reporter = Reporter::new(
        log,
        form,
        args.verbose || (args.hex && plan.service != "reply"),
    );
    for lint in plan.lints(&args) {
        reporter.hint(&format!("note: {lint}"));
    }
    let service = plan.service(&args)?;
    let port = Port::bind_all(&plan.addresses, config(&args, reporter.clone())).await?;
    announce(&reporter, &port.listening());

    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let code = match service {
        Chosen::Service(service) => {
            until_signalled(port.serve(service, stop.clone()), &stop, &mut signals).await?
        }
        Chosen::Console => {
            let desk = desk::open(&args)?;
            let serving = port.serve(Desk(desk.console.clone()), stop.clone());
            desk.run(until_signalled(serving, &stop, &mut signals), &stop)
                .await?
        }
    };
    drop(reporter);
    writer.finish().await;
    Ok(code)
}

/// The first signal stops in good order, the second at once.
async fn until_signalled(
    serving: impl Future<Output = sockeye::Result<()>>,
    stop: &CancellationToken,
    signals: &mut Signals,
) -> Result<ExitCode> {
    tokio::pin!(serving);
    let code = tokio::select! {
        served = &mut serving => return served.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        code = signals.next() => code,
    };
    stop.cancel();
    tokio::select! {
        served = &mut serving => served?,
        _ = signals.next() => {}
    }
    Ok(ExitCode::from(code))
}

/// What the words of the command line mean.
struct Plan {
    service: &'static str,
    /// The text of `reply`.
    text: Option<String>,
    addresses: Vec<Address>,
}

enum Chosen {
    Service(AnyService),
    Console,
}

impl Plan {
    fn read(args: &ServeArgs) -> Result<Self> {
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
        let text = match service {
            "reply" => Some(words.next().map(str::to_owned).ok_or_else(|| {
                Usage("reply needs a text: sockeye serve reply TEXT [ADDR]…".to_owned())
            })?),
            _ => None,
        };
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

    fn service(&self, args: &ServeArgs) -> Result<Chosen> {
        Ok(Chosen::Service(match self.service {
            "upper" => AnyService::new(Upper),
            "hello" => AnyService::new(hello(args)),
            "reply" => AnyService::new(self.reply(args)?),
            "sink" => AnyService::new(Sink {
                target: target(args),
            }),
            "console" => return Ok(Chosen::Console),
            _ => AnyService::new(Echo),
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
        Ok(Reply {
            answer: answer.into(),
            close: args.close,
        })
    }

    /// Flags that change nothing here.
    fn lints(&self, args: &ServeArgs) -> Vec<String> {
        let only = |flag: &str, given: bool, service: &str| {
            (given && self.service != service)
                .then(|| format!("{flag} is for `{service}`; `{}` ignores it", self.service))
        };
        let mut lints: Vec<String> = [
            only("--greeting", args.greeting.is_some(), "hello"),
            only("--delay", args.delay.is_some(), "hello"),
            only("--close", args.close, "reply"),
            only("--out", args.out.is_some(), "sink"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if args.content_type.is_some() {
            lints.push("--content-type is for HTTP; tcp, udp and unix ignore it".to_owned());
        }
        lints
    }
}

fn unknown(word: &str) -> anyhow::Error {
    let meant = nearest(word, SERVICES)
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default();
    // What looks like an address is told what is wrong with it as one.
    match word.parse::<Address>() {
        Err(error) if word.contains([':', '.', '[']) => error.into(),
        _ => Usage(format!(
            "there is no service `{word}`{meant}; there are {}",
            SERVICES.join(", ")
        ))
        .into(),
    }
}

fn hello(args: &ServeArgs) -> Hello {
    let default = Hello::default();
    Hello {
        greeting: args.greeting.clone().unwrap_or(default.greeting),
        delay: args.delay.unwrap_or(default.delay),
    }
}

fn target(args: &ServeArgs) -> Target {
    match &args.out {
        None => Target::Discard,
        Some(path) if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') => {
            Target::Folder(path.clone())
        }
        Some(path) => Target::File(path.clone()),
    }
}

fn config(args: &ServeArgs, reporter: Arc<Reporter>) -> PortConfig {
    PortConfig {
        framing: args.frame.clone(),
        encoding: args.encoding,
        max_message: args.max_message,
        sessions: Arc::new(Semaphore::new(args.max_sessions)),
        total_sessions: args.once.then_some(1),
        idle_timeout: args.idle_timeout,
        allow: args.allow.clone(),
        deny: args.deny.clone(),
        family: Family::wanted(args.ipv4, args.ipv6),
        options: args.socket.options(),
        observer: Some(reporter),
        ..PortConfig::default()
    }
}

/// One line for each socket, and how to reach it.
fn announce(reporter: &Reporter, listening: &[Listening]) {
    for end in listening {
        reporter.listening(end);
    }
    let Some(first) = listening.first() else {
        return;
    };
    let Endpoint::Net(at) = &first.at else {
        return reporter.hint(&format!(
            "reach it with: sockeye connect {}:{}",
            first.protocol, first.at
        ));
    };
    let mut host = *at;
    if host.ip().is_unspecified() {
        host.set_ip(if host.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let scheme = if first.protocol == "udp" {
        "udp://"
    } else {
        ""
    };
    let nc = if first.protocol == "udp" {
        "nc -u"
    } else {
        "nc"
    };
    reporter.hint(&format!(
        "reach it with: sockeye connect {scheme}{host}, or {nc} {} {}",
        host.ip(),
        host.port()
    ));
    if at.ip().is_loopback() {
        reporter.hint(&format!(
            "only this machine can; serve '*:{}' opens it to the network",
            at.port()
        ));
    }
}
