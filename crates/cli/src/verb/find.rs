//! `sockeye find`: who announces a server on this network.

use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use sockeye::nearby::{self, Found};
use tokio::time::{Instant, timeout_at};
use wire::text::printable;

use crate::args::FindArgs;
use crate::failure::Timeout;
use crate::report::json;
use crate::signals::Signals;

pub(crate) async fn run(args: FindArgs) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut finder = nearby::find()?;
    let until = Instant::now() + args.timeout;
    let mut count = 0;
    while !(args.once && count > 0) {
        let found = tokio::select! {
            found = timeout_at(until, finder.next()) => found,
            code = signals.next() => return Ok(ExitCode::from(code)),
        };
        let Ok(found) = found else {
            break;
        };
        if args.service.is_some() && args.service != found.facts.service {
            continue;
        }
        count += 1;
        let address = address(&found);
        let line = match args.json {
            true => json::found(&found, &address),
            false => line(&found, &address),
        };
        match stdout().write_all(line.as_bytes()) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    match count {
        0 => Err(nobody(&args).into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn nobody(args: &FindArgs) -> Timeout {
    let what = args.service.as_deref().unwrap_or("server");
    Timeout(format!(
        "no {what} on this network answered within {:?} (`sockeye serve --announce` does, and a firewall must let UDP port 5353 through)",
        args.timeout
    ))
}

/// Names are strangers': what they hold must not move the cursor, nor the columns.
fn line(found: &Found, address: &str) -> String {
    let service = found.facts.service.as_deref().unwrap_or("?");
    format!(
        "{address}\t{}\t{}\n",
        printable(service),
        printable(&found.name)
    )
}

/// The ways to a socket, the plainest first. What else a stranger calls a scheme, `exec` for one, is not repeated.
const SCHEMES: [&str; 10] = [
    "tcp", "udp", "http", "ws", "tls", "https", "wss", "quic", "h3", "wt",
];

/// How `sockeye connect` reaches it.
fn address(found: &Found) -> String {
    let at = found.at[0];
    let schemes = &found.facts.schemes;
    let has = |name: &str| schemes.iter().any(|scheme| scheme == name);
    // Where everything is spoken no scheme is needed.
    if has("tcp") && has("http") || (schemes.is_empty() && found.is_tcp) {
        return at.to_string();
    }
    let known = SCHEMES.iter().find(|scheme| has(scheme));
    let default = if found.is_tcp { "tcp" } else { "udp" };
    format!("{}://{at}", known.unwrap_or(&default))
}

#[cfg(test)]
mod tests {
    use sockeye::nearby::Facts;

    use super::*;

    fn found(name: &str, is_tcp: bool, schemes: &str) -> Found {
        Found {
            name: name.to_owned(),
            at: vec!["192.0.2.7:3000".parse().unwrap()],
            is_tcp,
            facts: Facts {
                service: Some("ch\tat".to_owned()),
                schemes: schemes.split_terminator(',').map(str::to_owned).collect(),
                ..Facts::default()
            },
        }
    }

    #[test]
    fn the_address_is_one_that_can_be_dialed() {
        for (is_tcp, schemes, address) in [
            (true, "tcp,tls,http", "192.0.2.7:3000"),
            (true, "", "192.0.2.7:3000"),
            (true, "tcp", "tcp://192.0.2.7:3000"),
            (false, "", "udp://192.0.2.7:3000"),
            (true, "tls", "tls://192.0.2.7:3000"),
            (true, "gopher,https,wss", "https://192.0.2.7:3000"),
            (true, "unix:/etc/passwd#", "tcp://192.0.2.7:3000"),
            (true, "exec,exec:rm -rf x", "tcp://192.0.2.7:3000"),
            (true, "http://192.0.2.9/?", "tcp://192.0.2.7:3000"),
        ] {
            assert_eq!(super::address(&found("x", is_tcp, schemes)), address);
        }
    }

    #[test]
    fn what_strangers_say_stays_in_its_column() {
        let found = found("\u{1b}[2Jann\n\u{202e}chat", true, "");
        let line = line(&found, "192.0.2.7:3000");
        assert_eq!(line.matches('\t').count(), 2, "{line:?}");
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
    }
}
