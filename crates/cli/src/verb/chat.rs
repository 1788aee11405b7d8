//! `sockeye chat`: a person, or a script, in the rooms of a server.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use http::HeaderMap;
use sockeye::{Address, DialOptions, Family, Framing};
use wire::address::{Scheme, Target};

use super::export;
use crate::args::{ChatAction, ChatArgs};
use crate::chat::{self, Visit};
use crate::failure::Usage;
use crate::peers;
use crate::plan::{self, port::token};
use crate::signals::Signals;

pub(crate) async fn run(args: ChatArgs) -> Result<ExitCode> {
    if let Some(ChatAction::Export(args)) = &args.action {
        return export::run(args);
    }
    let peer = peers::one(&args.words, args.udp)?;
    let peers = [peer];
    let options = DialOptions {
        tls: plan::tls::client(&args.tls, &peers, |what| eprintln!("warning: {what}"))?,
        ..options(&args)?
    };
    let [peer] = peers;
    let mut rooms: Vec<_> = args
        .room
        .iter()
        .map(|room| room.trim_start_matches('#').to_owned())
        .collect();
    if rooms.is_empty() {
        rooms.push("lobby".to_owned());
    }
    let visit = Visit {
        known_as: peer.address.to_string(),
        address: speaking_json(peer.address),
        options,
        password: password(&args)?,
        name: args.name,
        rooms,
        json: args.json,
        retry: args.retry,
    };
    let mut signals = Signals::listen()?;
    chat::run(&visit, &mut signals).await
}

fn options(args: &ChatArgs) -> Result<DialOptions> {
    let mut headers = HeaderMap::new();
    headers.extend(args.header.iter().cloned());
    Ok(DialOptions {
        framing: Framing::Line,
        timeout: args.timeout,
        family: Family::wanted(args.ipv4, args.ipv6),
        proxy: plan::way::proxy(args.proxy.as_ref())?,
        child: plan::way::child(&args.child)?,
        options: args.socket.options(),
        token: token(args.token.as_deref(), args.token_file.as_deref())?,
        headers,
        websocket: args.websocket.settings(Vec::new()),
        quic: plan::port::quic(|what| eprintln!("warning: {what}")),
        ..DialOptions::default()
    })
}

/// A request says that it speaks JSON from its first byte on.
fn speaking_json(mut address: Address) -> Address {
    use Scheme::{H3, Http, Https, Ws, Wss, Wt};
    let asks = matches!(address.scheme, Some(H3 | Http | Https | Ws | Wss | Wt));
    if let (true, Target::Net { path, .. }) = (asks, &mut address.target)
        && !path.contains("view=")
    {
        let sign = if path.contains('?') { '&' } else { '?' };
        path.push_str(&format!("{sign}view=json"));
    }
    address
}

/// The password of the name; never from the arguments, which everyone on the machine can read.
fn password(args: &ChatArgs) -> Result<Option<String>> {
    let read = |path: &Path| -> Result<String> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the password from {}", path.display()))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    let password = match &args.password_file {
        Some(path) => Some(read(path)?),
        None => std::env::var("SOCKEYE_CHAT_PASSWORD").ok(),
    };
    match password {
        Some(password) if password.is_empty() => {
            Err(Usage("the password is empty".to_owned()).into())
        }
        password => Ok(password.filter(|_| args.name.is_some())),
    }
}
