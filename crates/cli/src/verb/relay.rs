//! `sockeye relay`: two ends are dialed and joined.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use sockeye::{Address, DialOptions, Family, Info, Lookout, Session, dial};
use tokio_util::sync::CancellationToken;
use wire::address::Target;

use crate::args::RelayArgs;
use crate::console::Notes;
use crate::eye::{self, Eye};
use crate::failure::{self, Usage};
use crate::peers::{Peer, peer};
use crate::plan;
use crate::report::text;
use crate::signals::Signals;
use crate::stdio;

pub(crate) async fn run(mut args: RelayArgs) -> Result<ExitCode> {
    let eye = eye::beside(&args.eye)?;
    args.tls.hearer = eye.as_ref().map(Eye::keys);
    let lookout = eye.as_ref().map(Eye::lookout);
    let done = join(args, lookout).await;
    eye::close(eye).await?;
    done
}

async fn join(args: RelayArgs, lookout: Option<Arc<dyn Lookout>>) -> Result<ExitCode> {
    let peers = [peer(&args.first, false)?, peer(&args.second, false)?];
    if peers.iter().all(|peer| is_stdio(&peer.address)) {
        let what = "standard input and output are one end: the other must be another address";
        return Err(Usage(what.to_owned()).into());
    }
    let options = DialOptions {
        lookout,
        ..options(&args, &peers)?
    };
    let mut signals = Signals::listen()?;
    // Cancelled when nobody reads our output: then nothing more is to be done.
    let gone = CancellationToken::new();
    let [first, second] = &peers;
    let reaching = async {
        let first = reach(&first.address, &options, &gone).await?;
        let options = DialOptions {
            client: Some(first.info().clone()),
            ..options.clone()
        };
        let second = reach(&second.address, &options, &gone).await?;
        anyhow::Ok((first, second))
    };
    let (first, second) = tokio::select! {
        reached = reaching => reached?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    };
    let infos = [first.info().clone(), second.info().clone()];
    infos
        .iter()
        .for_each(|info| tell_reached(info, args.verbose));
    let ended = tokio::select! {
        joined = first.join(second, plan::way::join(&args.join)) => joined.map(|_| 0),
        () = gone.cancelled() => Ok(0),
        code = signals.next() => Ok(code),
    };
    if args.verbose {
        infos
            .iter()
            .for_each(|info| eprint!("{}", text::left(info)));
    }
    match ended {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) => Ok(failure::tell(&error.into())),
    }
}

fn is_stdio(address: &Address) -> bool {
    address.target == Target::Stdio
}

fn options(args: &RelayArgs, peers: &[Peer]) -> Result<DialOptions> {
    Ok(DialOptions {
        framing: args.frame.clone(),
        max_message: args.max_message,
        timeout: args.timeout,
        family: Family::wanted(args.ipv4, args.ipv6),
        source_address: args.source,
        proxy: plan::way::proxy(args.join.proxy.as_ref())?,
        send_proxy: args.join.send_proxy,
        child: plan::way::child(&args.child)?,
        tls: plan::tls::client(&args.tls, peers, |what| eprintln!("warning: {what}"))?,
        options: args.socket.options(),
        observer: Some(Arc::new(Notes::new(args.verbose))),
        ..DialOptions::default()
    })
}

async fn reach(to: &Address, options: &DialOptions, gone: &CancellationToken) -> Result<Session> {
    if is_stdio(to) {
        let framing = options.framing.clone();
        return Ok(stdio::session(framing, options.max_message, gone.clone()));
    }
    Ok(dial(to, options).await?)
}

fn tell_reached(info: &Info, verbose: bool) {
    if info.protocol() != "stdio" {
        eprint!("{}", text::connected(info));
    }
    if verbose {
        eprint!("{}", text::secured(info, ""));
    }
}
