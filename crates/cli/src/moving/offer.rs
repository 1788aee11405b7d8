//! An offer: a port of our own for files, which only those find who know its secret, and how people are told of it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sockeye::service::Files;
use sockeye::{
    Address, Endpoint, Listening, Observer, Port, PortConfig, TlsIdentity, TlsServer,
    TlsServerOptions,
};
use tokio_util::sync::CancellationToken;

use super::number;
use crate::args::OfferArgs;
use crate::config;
use crate::failure::Usage;
use crate::report::{Form, Log, Reporter, qr};
use crate::signals::Signals;

/// What everything of an offer begins with: `/` and 80 bits by chance.
///
/// # Errors
/// When the system has no such numbers.
pub(crate) fn secret() -> Result<String> {
    let mut secret = "/".to_owned();
    for byte in &number()?[..10] {
        // Writing into a string cannot fail.
        let _ = write!(secret, "{byte:02x}");
    }
    Ok(secret)
}

/// Where something that is to be offered lies, with no link on the way.
///
/// # Errors
/// When it lies nowhere, or is what comes once.
pub(crate) fn offered(file: &Path) -> Result<PathBuf> {
    let whole = file.canonicalize();
    let failed = |error| Usage(format!("cannot offer {}: {error}", file.display()));
    Ok(whole.map_err(failed)?)
}

/// Serves `files` until `over`, a signal, or the time of the offer is over. `told` is for people: what
/// it is, and the words of the other end's command before the URL.
///
/// # Errors
/// When the port cannot be bound.
pub(crate) async fn offer(
    args: &OfferArgs,
    files: Files,
    under: &str,
    told: (&str, &str),
    over: impl Future<Output = ()>,
) -> Result<ExitCode> {
    let log = Log::default();
    let reporter = Reporter::new(log.clone(), Form::Text, false);
    let done = serve(args, files, under, told, over, &reporter).await;
    log.flush();
    done
}

async fn serve(
    args: &OfferArgs,
    files: Files,
    under: &str,
    told: (&str, &str),
    over: impl Future<Output = ()>,
    reporter: &Arc<Reporter>,
) -> Result<ExitCode> {
    let tls = TlsServer::new(TlsServerOptions {
        identity: TlsIdentity::SelfSigned(config::state().map(|state| state.join("tls"))),
        ..TlsServerOptions::default()
    })?;
    let config = PortConfig {
        tls: tls.clone(),
        observer: Some(Arc::new(Quiet(reporter.clone()))),
        ..PortConfig::default()
    };
    let mut signals = Signals::listen()?;
    let at: Address = args.bind.parse()?;
    let port = Port::bind(&at, config).await?;
    let pin = tls.certificate()?.certificate.sha256().to_string();
    let path = format!("{under}/");
    announce(
        reporter,
        &port.listening(),
        &path,
        &pin.replace(':', ""),
        told,
    );
    let stop = CancellationToken::new();
    let serving = port.serve(files, stop.clone());
    tokio::pin!(serving);
    let expired = async {
        match args.expire {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let code = tokio::select! {
        served = &mut serving => return served.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        () = over => ExitCode::SUCCESS,
        () = expired => {
            reporter.hint("its time is over");
            ExitCode::SUCCESS
        }
        code = signals.next() => ExitCode::from(code),
    };
    stop.cancel();
    // What is on its way gets a moment.
    let ended = tokio::time::timeout(Duration::from_secs(10), serving).await;
    ended.unwrap_or(Ok(()))?;
    Ok(code)
}

/// Each port, and then by which URLs they are reached.
fn announce(
    reporter: &Reporter,
    listening: &[Listening],
    path: &str,
    pin: &str,
    (what, command): (&str, &str),
) {
    for end in listening {
        reporter.listening(end);
    }
    for end in listening.iter().filter(|end| end.protocol == "tcp") {
        let Endpoint::Net(at) = end.at else { continue };
        let at = reachable(at);
        let url = format!("http://{at}{path}");
        reporter.hint(what);
        reporter.hint(&format!(
            "  sockeye {command} 'https://{at}{path}#pin={pin}'"
        ));
        reporter.hint(&format!(
            "  {url}  in a browser; whoever is on the way can read along"
        ));
        if let Some(code) = qr::for_terminal(&url) {
            reporter.hint(&code);
        }
    }
}

/// What happens to files is told, and not who comes and goes.
struct Quiet(Arc<Reporter>);

impl Observer for Quiet {
    fn note(&self, what: &str) {
        self.0.note(what);
    }
}

/// An address that others can use: of all our own ones, that by which most is reached.
fn reachable(at: SocketAddr) -> SocketAddr {
    if !at.ip().is_unspecified() {
        return at;
    }
    // Nothing is sent: the system only says by which address it would be (RFC 5737 has the other one).
    let asked = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let ip = asked.map_or_else(|_| IpAddr::from([127, 0, 0, 1]), |own| own.ip());
    SocketAddr::new(ip, at.port())
}
