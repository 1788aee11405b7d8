//! `sockeye connect`: the other end of any port, or of several.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sockeye::{Address, DialOptions, Family, Lookout, QuicSettings, Session, dial};

use crate::args::{ConnectArgs, Said};
use crate::console::script::{self, Part};
use crate::console::{Notes, call};
use crate::eye::{self, Eye};
use crate::failure::{self, code};
use crate::peers::{Peer, peers};
use crate::plan::{self, port::token};
use crate::signals::Signals;

pub(crate) async fn run(args: ConnectArgs, said: Vec<Said>) -> Result<ExitCode> {
    let eye = eye::beside(&args.eye)?;
    with_eye(args, said, eye).await
}

/// The same, watched by `eye`, which is closed at the end.
pub(crate) async fn with_eye(
    mut args: ConnectArgs,
    said: Vec<Said>,
    eye: Option<Eye>,
) -> Result<ExitCode> {
    args.tls.hearer = eye.as_ref().map(Eye::keys);
    let lookout = eye.as_ref().map(Eye::lookout);
    let done = talk(args, said, lookout).await;
    eye::close(eye).await?;
    done
}

async fn talk(
    args: ConnectArgs,
    said: Vec<Said>,
    lookout: Option<Arc<dyn Lookout>>,
) -> Result<ExitCode> {
    let peers = peers(&args)?;
    let parts = script::read(said, args.encoding.unwrap_or_default())?;
    let notes = Arc::new(Notes::new(args.verbose));
    let options = DialOptions {
        tls: plan::tls::client(&args.tls, &peers, |what| eprintln!("warning: {what}"))?,
        observer: Some(notes.clone()),
        lookout,
        ..options(&args, &parts)?
    };
    let mut signals = Signals::listen()?;
    let reached = tokio::select! {
        reached = reach(peers, &options, args.retry) => reached?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    };
    call::run(&args, reached, &parts, &notes, &mut signals).await
}

/// Those that were reached, and the exit code for those that were not.
pub(crate) struct Reached {
    pub(crate) sessions: Vec<(String, Session)>,
    pub(crate) failed: Option<u8>,
}

fn options(args: &ConnectArgs, parts: &[Part]) -> Result<DialOptions> {
    Ok(DialOptions {
        framing: args.frame.clone(),
        encoding: args.encoding.unwrap_or_default(),
        max_message: args.max_message,
        timeout: args.timeout,
        family: Family::wanted(args.ipv4, args.ipv6),
        source_address: args.source,
        source_port: args.source_port,
        from_anyone: args.from_anyone,
        proxy: plan::way::proxy(args.proxy.as_ref())?,
        child: plan::way::child(&args.child)?,
        options: args.socket.options(),
        token: token(args.token.as_deref(), args.token_file.as_deref())?,
        headers: plan::ask::headers(args),
        http: plan::ask::ask(args, parts),
        websocket: args.websocket.settings(Vec::new()),
        http2: args.http2,
        quic: QuicSettings {
            version: args.quic_version,
            ..plan::port::quic(|what| eprintln!("warning: {what}"))
        },
        datagrams: args.datagrams,
        migrate_after: args.migrate_after,
        ..DialOptions::default()
    })
}

/// Dials everyone. One that cannot be reached ends nothing for the others.
async fn reach(peers: Vec<Peer>, options: &DialOptions, retry: bool) -> Result<Reached> {
    let alone = peers.len() == 1;
    let dialing = peers
        .into_iter()
        .map(async |peer| (peer.name, persist(&peer.address, options, retry).await));
    let mut reached = Reached {
        sessions: Vec::new(),
        failed: None,
    };
    for (name, dialed) in futures_util::future::join_all(dialing).await {
        match dialed {
            Ok(session) => reached.sessions.push((name, session)),
            Err(error) if alone => return Err(error),
            Err(error) => {
                eprintln!("{}", failure::line(&error));
                reached.failed = Some(failure::exit_code(&error));
            }
        }
    }
    Ok(reached)
}

/// Dials, again and again if it is to be tried until somebody answers.
pub(crate) async fn persist(to: &Address, options: &DialOptions, retry: bool) -> Result<Session> {
    let mut pause = Duration::from_millis(250);
    loop {
        let error = match dial(to, options).await {
            Ok(session) => return Ok(session),
            Err(error) => anyhow::Error::from(error),
        };
        if !retry || !matches!(failure::exit_code(&error), code::NETWORK | code::TIMEOUT) {
            return Err(error);
        }
        eprintln!("{}; trying again in {pause:?}", failure::line(&error));
        tokio::time::sleep(pause + jitter(pause)).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

/// Up to a fifth more, so that many clients of one server do not all come back at the same moment.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let part = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs() % 1000;
    pause / 5 * part / 1000
}
