//! The rooms of `serve chat`: where they are kept, and by which rules.

use std::path::PathBuf;

use anyhow::Result;
use sockeye::Address;
use sockeye::hub::store::Retention;
use sockeye::hub::{Hub, HubOptions, LineRate, NatsOptions, Slow};

use super::port::token;
use crate::args::{self, RoomsArgs};
use crate::config;
use crate::failure::Usage;

/// How many seconds' worth of lines may come at once.
const BURST: u32 = 4;

/// `tell` hears what the server's person should know.
///
/// # Errors
/// When the database cannot be opened, or a file not be read.
pub(crate) async fn hub(
    args: &RoomsArgs,
    at: &[Address],
    mut tell: impl FnMut(&str),
) -> Result<Hub> {
    let path = history(args, at)?;
    match &path {
        Some(path) => tell(&format!("what is said is kept in {}", path.display())),
        None if !args.hub.is_empty() => {}
        None => tell("what is said is forgotten at the end: --history FILE keeps it"),
    }
    let options = HubOptions {
        at: path,
        keep: Retention {
            age: args.keep,
            lines: args.keep_lines,
        },
        rate: match args.line_rate {
            None => Some(LineRate::default()),
            Some(0) => None,
            Some(rate) => Some(LineRate {
                burst: rate.saturating_mul(BURST),
                per_second: f64::from(rate),
            }),
        },
        slow: match args.slow {
            None | Some(args::Slow::Skip) => Slow::Skip,
            Some(args::Slow::End) => Slow::End,
        },
        moderators: token(None, args.moderators.as_deref())?,
    };
    if args.hub.is_empty() {
        return Ok(Hub::open(options).map_err(sockeye::Error::from)?);
    }
    let nats = NatsOptions {
        servers: args.hub.clone(),
        credentials: args.hub_credentials.clone(),
        ca: args.hub_ca.clone(),
        replicas: args.hub_replicas.map(usize::from),
        syncs: args.hub_syncs,
    };
    let hub = Hub::join(options, &nats).await?;
    tell(&format!(
        "one chat with all who are at {}: a line is {}",
        args.hub.join(", "),
        hub.promise()
    ));
    if !hub.outlives_power_cuts() {
        tell(
            "warning: a power cut at the hub takes lines that were acknowledged: use 3 servers there, or `sync_interval: always` and --hub-syncs",
        );
    }
    Ok(hub)
}

/// A database for each port: two servers on one machine are two chats.
fn history(args: &RoomsArgs, at: &[Address]) -> Result<Option<PathBuf>> {
    if let Some(path) = &args.history {
        return Ok((path.as_os_str() != "none").then(|| path.clone()));
    }
    let ports = at.iter().flat_map(|address| address.hosts());
    let port = ports.map(|host| host.port).find(|port| *port != 0);
    let Some(port) = port else {
        return Ok(None);
    };
    let state = config::state().ok_or_else(|| {
        let why = "no home folder is known, in which to keep what is said: --history FILE, or --history none";
        Usage(why.to_owned())
    })?;
    let made = std::fs::create_dir_all(&state);
    made.map_err(|error| {
        Usage(format!(
            "cannot make {}: {error}; --history FILE keeps it elsewhere",
            state.display()
        ))
    })?;
    // Its lines have numbers that a hub has given.
    let what = if args.hub.is_empty() { "chat" } else { "hub" };
    Ok(Some(state.join(format!("{what}-{port}.db"))))
}
