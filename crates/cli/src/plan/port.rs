//! What the flags of `serve` mean for the port.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sockeye::{
    Address, Family, HttpSettings, Observer as _, Page, PortConfig, QuicSettings, Token,
};
use tokio::sync::Semaphore;

use crate::args::ServeArgs;
use crate::failure::Usage;
use crate::report::Reporter;

/// Other ways to reach what a browser has reached.
const WAYS: &[&str] = &[
    "sockeye connect {host}:{port}",
    "nc {host} {port}",
    "nc -u {host} {port}",
    "curl -T - -N http://{host}:{port}/",
    "websocat ws://{host}:{port}/",
    "openssl s_client -quiet -connect {host}:{port}",
];

/// The same of a chat, which speaks in lines.
const CHAT_WAYS: &[&str] = &[
    "sockeye chat {host}:{port}",
    "nc {host} {port}",
    "telnet {host} {port}",
    "nc -u {host} {port}",
    "curl -T - -N http://{host}:{port}/",
    "websocat ws://{host}:{port}/",
    "openssl s_client -quiet -connect {host}:{port}",
];

/// The same of a folder.
const FILES_WAYS: &[&str] = &[
    "curl -O http://{host}:{port}/NAME",
    "curl -T FILE http://{host}:{port}/",
    "curl 'http://{host}:{port}/?archive=tar.zst' | tar --zstd -x",
];

/// # Errors
/// When a file that a flag names cannot be read, or says nothing useful.
pub(crate) fn config(
    args: &ServeArgs,
    service: &str,
    addresses: &[Address],
    reporter: Arc<Reporter>,
) -> Result<PortConfig> {
    let guard = &args.guard;
    Ok(PortConfig {
        framing: args.frame.clone(),
        encoding: args.encoding,
        max_message: args.max_message,
        sessions: Arc::new(Semaphore::new(args.max_sessions)),
        total_sessions: args.once.then_some(1),
        idle_timeout: args.idle_timeout,
        allow: guard.allow.clone(),
        deny: guard.deny.clone(),
        sessions_per_address: guard.max_per_address,
        rate_per_address: guard.rate_per_address,
        token: token(guard.token.as_deref(), guard.token_file.as_deref())?,
        proxies: (!guard.accept_proxy.is_empty()).then(|| guard.accept_proxy.clone()),
        greet_after: args.greet_after,
        family: Family::wanted(args.ipv4, args.ipv6),
        options: args.socket.options(),
        http: Arc::new(HttpSettings {
            page: Some(Page {
                service: service.to_owned(),
                version: env!("CARGO_PKG_VERSION"),
                ways: match service {
                    "chat" => CHAT_WAYS,
                    "files" => FILES_WAYS,
                    _ => WAYS,
                },
            }),
            content_type: args.content_type.clone(),
            view: args.eye.view.clone(),
            hosts: args.host.clone(),
        }),
        tls: super::tls::server(&args.tls, addresses, |what| reporter.note(what))?,
        websocket: Arc::new(args.websocket.settings(args.origin.clone())),
        quic_beside: !args.no_quic,
        quic: quic(|what| reporter.note(what)),
        observer: Some(reporter),
        lookout: args.eye.lookout.clone(),
        ..PortConfig::default()
    })
}

/// How QUIC connections are kept. `QLOGDIR` names a folder for what happens on them.
pub(crate) fn quic(mut tell: impl FnMut(&str)) -> QuicSettings {
    let folder = std::env::var_os("QLOGDIR").filter(|folder| !folder.is_empty());
    let folder = folder.map(PathBuf::from).filter(|folder| {
        let is_folder = folder.is_dir();
        if !is_folder {
            tell(&format!("QLOGDIR: {} is no folder", folder.display()));
        }
        is_folder
    });
    QuicSettings {
        qlog: folder,
        ..QuicSettings::default()
    }
}

/// The secret of both ends, from the flag, the environment or a file.
///
/// # Errors
/// When the file cannot be read, or nobody could say the secret in a line.
pub(crate) fn token(text: Option<&str>, file: Option<&Path>) -> Result<Option<Token>> {
    let read;
    let secret = match (text, file) {
        (Some(text), _) => text,
        (None, Some(path)) => {
            read = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the token from {}", path.display()))?;
            read.lines().next().unwrap_or_default()
        }
        (None, None) => return Ok(None),
    };
    let token = Token::new(secret).map_err(|why| Usage(why.to_owned()))?;
    Ok(Some(token))
}
