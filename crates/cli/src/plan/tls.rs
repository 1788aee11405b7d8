//! What flags and the environment mean for TLS: who we are, whom we trust, and where secrets go.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sockeye::{Address, Fingerprint, KeyLog, TlsClient, TlsIdentity, TlsServer};
use wire::address::{Scheme, Target};

use crate::args::{ConnectTlsArgs, ServeArgs, ServeTlsArgs};
use crate::config;
use crate::failure::Usage;
use crate::peers::Peer;

/// Who a server is, to those who speak TLS. `tell` hears what its person should know.
///
/// # Errors
/// When a file is of no use, or clients without a certificate could come in by another way.
pub(crate) fn server(
    args: &ServeTlsArgs,
    addresses: &[Address],
    tell: impl FnMut(&str),
) -> Result<TlsServer> {
    let mut options = args.options();
    let unguarded =
        |address: &&Address| matches!(address.target, Target::Net { .. }) && !speaks_tls(address);
    if let (false, Some(address)) = (
        options.client_authorities.is_empty(),
        addresses.iter().find(unguarded),
    ) {
        return Err(Usage(format!(
            "--client-ca lets in only clients with a certificate, and {address} serves others too: write tls://…"
        ))
        .into());
    }
    if let TlsIdentity::SelfSigned(folder) = &mut options.identity {
        *folder = config::state().map(|state| state.join("tls"));
    }
    match addresses.iter().any(may_speak_tls) {
        true => options.key_log = key_log(tell),
        false => unused(&args.given(), tell),
    }
    Ok(TlsServer::new(options)?)
}

/// Whom a client trusts.
///
/// # Errors
/// When a file is of no use.
pub(crate) fn client(
    args: &ConnectTlsArgs,
    peers: &[Peer],
    tell: impl FnMut(&str),
) -> Result<TlsClient> {
    let speaks = peers.iter().any(|peer| speaks_tls(&peer.address));
    of_client(args, speaks, tell)
}

/// The same, where it is known whether TLS may be spoken.
///
/// # Errors
/// When a file is of no use.
pub(crate) fn of_client(
    args: &ConnectTlsArgs,
    speaks: bool,
    tell: impl FnMut(&str),
) -> Result<TlsClient> {
    trusting(args, speaks, &[], tell)
}

/// The same for one address, whose URL may have said by which certificate it is known.
///
/// # Errors
/// When a file is of no use.
pub(crate) fn pinned(
    args: &ConnectTlsArgs,
    address: &Address,
    pins: &[Fingerprint],
    tell: impl FnMut(&str),
) -> Result<TlsClient> {
    trusting(args, speaks_tls(address), pins, tell)
}

fn trusting(
    args: &ConnectTlsArgs,
    speaks: bool,
    pins: &[Fingerprint],
    mut tell: impl FnMut(&str),
) -> Result<TlsClient> {
    let mut options = args.options();
    options.pins.extend_from_slice(pins);
    match speaks {
        true => {
            if args.is_insecure() {
                tell("--insecure: nobody verifies who the peer is, and others may read along");
            }
            options.key_log = key_log(tell);
        }
        false => unused(&args.given(), tell),
    }
    Ok(TlsClient::new(options)?)
}

/// Whom a relay that listens trusts to be its target.
///
/// # Errors
/// When a file is of no use, or there is a flag and no target that speaks TLS.
pub(crate) fn targets(
    args: &ServeArgs,
    targets: &[Address],
    mut tell: impl FnMut(&str),
) -> Result<TlsClient> {
    let flags = &args.target_tls;
    let mut options = flags.options(&args.tls);
    match (targets.iter().any(speaks_tls), flags.given().first()) {
        (false, Some(flag)) => {
            let what = "needs a target that speaks TLS, such as tls://HOST:PORT";
            return Err(Usage(format!("{flag} {what}")).into());
        }
        (false, None) => {}
        (true, _) => {
            if flags.is_insecure() {
                tell(
                    "--target-insecure: nobody verifies who the target is, and others may read along",
                );
            }
            options.key_log = key_log(tell);
        }
    }
    Ok(TlsClient::new(options)?)
}

/// Tells of flags that change nothing.
fn unused(flags: &[&str], mut tell: impl FnMut(&str)) {
    for flag in flags {
        tell(&format!(
            "{flag} is for TLS, which is not spoken with any address here: write tls://…"
        ));
    }
}

/// Whether this address is spoken to in TLS.
fn speaks_tls(address: &Address) -> bool {
    use Scheme::{H3, Https, Quic, Tls, Wss, Wt};
    matches!(address.scheme, Some(H3 | Https | Quic | Tls | Wss | Wt))
}

/// Whether a client can speak TLS here.
pub(crate) fn may_speak_tls(address: &Address) -> bool {
    let anything = matches!(
        (&address.target, address.scheme),
        (Target::Net { .. }, None)
    );
    anything || speaks_tls(address)
}

/// Where `SSLKEYLOGFILE` sends the secrets of connections.
fn key_log(mut tell: impl FnMut(&str)) -> Option<KeyLog> {
    let path = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty());
    let path = PathBuf::from(path?);
    let shown = Path::display(&path);
    match KeyLog::append(&path) {
        Ok(key_log) => {
            tell(&format!(
                "SSLKEYLOGFILE: whoever can read {shown} can read what is said in TLS"
            ));
            Some(key_log)
        }
        Err(error) => {
            tell(&format!("SSLKEYLOGFILE: cannot write {shown}: {error}"));
            None
        }
    }
}
