//! What flags mean for those who are dialed: proxies, programs, and how two ends are joined.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Result;
use sockeye::service::{Balance, Relay};
use sockeye::{Address, ChildOptions, DialOptions, Family, JoinOptions, Proxy};
use tokio::sync::Semaphore;

use crate::args::{self, ChildArgs, JoinArgs, ServeArgs};
use crate::failure::Usage;

/// # Errors
/// When it is no proxy's address. The address itself is not repeated: it may hold a password.
pub(crate) fn proxy(address: Option<&String>) -> Result<Option<Proxy>> {
    let proxy = address.map(|text| text.parse::<Proxy>()).transpose();
    proxy.map_err(|error| Usage(format!("--proxy: {error}")).into())
}

/// # Errors
/// When a variable is to be passed on that there is not.
pub(crate) fn child(args: &ChildArgs) -> Result<ChildOptions> {
    let ours = std::env::vars_os().filter(|(name, _)| is_passed_on(name));
    let mut env: Vec<(OsString, OsString)> = ours.collect();
    for wanted in &args.env {
        let (name, value) = match wanted.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (&wanted[..], std::env::var_os(wanted)),
        };
        let value = value.filter(|_| !name.is_empty() && !wanted.contains('\0'));
        let value = value.ok_or_else(|| {
            Usage(format!(
                "--env {wanted}: there is no such variable; NAME=VALUE sets one"
            ))
        })?;
        env.push((name.into(), value));
    }
    Ok(ChildOptions {
        env,
        pty: args.pty,
        ..ChildOptions::default()
    })
}

/// What programs see of our environment: enough to find their files and their words, and no secrets.
fn is_passed_on(name: &OsString) -> bool {
    const NAMES: [&str; 7] = ["PATH", "HOME", "LANG", "TERM", "USER", "TZ", "TMPDIR"];
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || name.starts_with("LC_")
}

pub(crate) fn join(args: &JoinArgs) -> JoinOptions {
    let default = JoinOptions::default();
    JoinOptions {
        half_open: args.half_open.unwrap_or(default.half_open),
    }
}

/// The relay of `serve relay`. `tell` hears what its person should know.
///
/// # Errors
/// When a flag makes no sense.
pub(crate) fn relay(
    args: &ServeArgs,
    targets: &[Address],
    tell: impl FnMut(&str),
) -> Result<Relay> {
    let options = DialOptions {
        framing: args.frame.clone(),
        encoding: args.encoding,
        max_message: args.max_message,
        timeout: Some(args.targets.connect_timeout),
        family: Family::wanted(args.ipv4, args.ipv6),
        proxy: proxy(args.join.proxy.as_ref())?,
        send_proxy: args.join.send_proxy,
        child: children(args)?,
        tls: super::tls::targets(args, targets, tell)?,
        websocket: args.websocket.settings(Vec::new()),
        options: args.socket.options(),
        lookout: args.eye.dialed.clone(),
        ..DialOptions::default()
    };
    let balance = match args.targets.balance {
        args::Balance::RoundRobin => Balance::RoundRobin,
        args::Balance::First => Balance::First,
    };
    let relay = Relay::new(targets.to_vec(), options);
    Ok(relay.balance(balance).join(join(&args.join)))
}

/// The programs of a server.
///
/// # Errors
/// As [`child`].
pub(crate) fn children(args: &ServeArgs) -> Result<ChildOptions> {
    let most = args.targets.max_children.min(Semaphore::MAX_PERMITS);
    Ok(ChildOptions {
        slots: Arc::new(Semaphore::new(most)),
        ..child(&args.child)?
    })
}
