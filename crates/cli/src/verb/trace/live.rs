//! `sockeye trace ADDR` and `--watch`: what passes now, drawn while it does.

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use trace::Theme;

use super::picture;
use crate::args::{Colors, TraceArgs};
use crate::eye::{Easel, Eye, Form, Pcap};
use crate::failure::{Usage, code};
use crate::signals::Signals;
use crate::verb::{connect, fetch};

pub(crate) async fn run(args: TraceArgs) -> Result<ExitCode> {
    picture::check(&args.picture)?;
    if !args.picture.flow.is_empty() {
        let what = "--flow is for --read: flows that are still to come have no number";
        return Err(Usage(what.to_owned()).into());
    }
    match &args.watch {
        Some(whom) => watch(&args, whom).await,
        None => talk(&args).await,
    }
}

/// Talks to somebody, who says nothing but what is in the picture.
async fn talk(args: &TraceArgs) -> Result<ExitCode> {
    if args.fetches() {
        let words = args.fetch()?;
        let eye = Eye::open(easel(args)?, true)?;
        return fetch::with_eye(words, Some(eye)).await;
    }
    let (mut words, said) = args.connect()?;
    // What is typed would stand in the middle of the picture.
    words.no_stdin |= said.is_empty() && std::io::stdin().is_terminal();
    let eye = Eye::open(easel(args)?, true)?;
    connect::with_eye(words, said, Some(eye)).await
}

async fn watch(args: &TraceArgs, whom: &str) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let whom = found(whom).await?;
    let mut easel = easel(args)?;
    easel.forgets = true;
    let eye = Eye::open(easel, false)?;
    match whom {
        Whom::Port(port) => eye.watch_port(port)?,
        Whom::Peers(peers) => peers
            .into_iter()
            .try_for_each(|peer| eye.watch_peer(peer))?,
        Whom::Process(process) => eye.watch_process(process)?,
    }
    eprintln!("watching until Ctrl-C");
    let code = signals.next().await;
    eye.close().await?;
    Ok(match code {
        code::INTERRUPTED => ExitCode::SUCCESS,
        code => ExitCode::from(code),
    })
}

enum Whom {
    Port(u16),
    Peers(Vec<SocketAddr>),
    Process(u32),
}

async fn found(text: &str) -> Result<Whom> {
    if let Ok(process) = text.parse::<u32>() {
        return match crate::eye::is_process(process) {
            true => Ok(Whom::Process(process)),
            false => {
                let what = format!("--watch {text}: there is no such program; a port is :{text}");
                Err(Usage(what).into())
            }
        };
    }
    if let Some(port) = text.strip_prefix(':').or_else(|| text.strip_prefix("*:")) {
        let port = port.parse();
        return port.map(Whom::Port).map_err(|_| {
            Usage(format!(
                "--watch {text}: write HOST:PORT, :PORT or the number of a program"
            ))
            .into()
        });
    }
    if !text.contains(':') {
        let what = format!("--watch {text}: write HOST:PORT, :PORT or the number of a program");
        return Err(Usage(what).into());
    }
    let peers = tokio::net::lookup_host(text).await;
    let peers = peers.with_context(|| format!("cannot find {text}"))?;
    Ok(Whom::Peers(peers.collect()))
}

/// What is to be drawn, on what was standard output: what the verbs would print there goes nowhere.
fn easel(args: &TraceArgs) -> Result<Easel> {
    let picture = &args.picture;
    let theme = match picture.theme {
        Colors::Auto => Theme::Auto,
        Colors::Light => Theme::Light,
        Colors::Dark => Theme::Dark,
    };
    let piped = args
        .pcap
        .as_ref()
        .is_some_and(|path| path.as_os_str() == "-");
    let form = match picture {
        _ if piped => Form::Nothing,
        picture if picture.json => Form::Json,
        picture if picture.html => Form::Html(theme, picture.all),
        picture if picture.svg => Form::Svg(theme, picture.all),
        picture => Form::Picture(picture::style(picture)),
    };
    let out = stdout()?;
    let mut pcap = None;
    if let Some(path) = &args.pcap {
        if args.with_keys {
            eprintln!(
                "warning: --with-keys: whoever has {} can read everything that was said",
                path.display()
            );
        }
        let again = out.try_clone().context("cannot write to standard output")?;
        pcap = Some(Pcap::create(path, args.with_keys, || Box::new(again))?);
    }
    let out: Box<dyn Write + Send> = Box::new(out);
    Ok(Easel::new(form, out, pcap))
}

/// Standard output, which is nobody else's from here on.
fn stdout() -> Result<File> {
    let taken = || {
        let own = rustix::io::dup(rustix::stdio::stdout())?;
        let nowhere = File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        std::io::Result::Ok(File::from(own))
    };
    taken().context("cannot write to standard output")
}
