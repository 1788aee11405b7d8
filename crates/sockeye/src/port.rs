//! A port: the listening end. It turns whoever comes into sessions and gives them to one service.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::try_join_all;
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wire::address::{Address, Scheme, Target};
use wire::framing::Framing;
use wire::text::Encoding;

use crate::error::{Error, Operation, Result};
use crate::lookout::Lookout;
use crate::protocol::tls::TlsServer;
use crate::protocol::{http, quic as quic_protocol, ws};
use crate::resolve::Family;
use crate::service::Service;
use crate::session::{Endpoint, MAX_MESSAGE, Observer};
use crate::socket::SocketOptions;
use crate::token::Token;

mod accept;
mod bind;
mod gate;
mod guests;
mod peers;
mod proxied;
mod quic;
mod route;
mod run;
mod tcp;
mod udp;
mod unix;

use accept::Accept;
use gate::Gate;
pub use gate::Rate;
use route::Spoken;
use run::Context;
use udp::Carries;

/// How a port treats those who come. `Default` is safe for anyone who can reach the port.
#[derive(Clone)]
pub struct PortConfig {
    /// How messages are cut from byte streams.
    pub framing: Framing,
    /// The encoding of text.
    pub encoding: Encoding,
    /// The largest message that is taken, in bytes.
    pub max_message: usize,
    /// How many sessions may be open at once; more TCP peers wait, more UDP peers are refused.
    pub sessions: Arc<Semaphore>,
    /// Serve this many sessions and stop; no end when `None`.
    pub total_sessions: Option<u64>,
    /// End a session when nothing went either way for this long. UDP sessions, which have no other
    /// end, use 60 s when `None`.
    pub idle_timeout: Option<Duration>,
    /// How long sessions may take to end when the port stops.
    pub grace: Duration,
    /// Only these may come, when there are any.
    pub allow: Vec<IpNet>,
    /// These may not.
    pub deny: Vec<IpNet>,
    /// How many sessions one address may have open.
    pub sessions_per_address: Option<u32>,
    /// How fast one address may open them.
    pub rate_per_address: Option<Rate>,
    /// What they must know.
    pub token: Option<Token>,
    /// Every TCP and Unix stream connection begins with a PROXY header, which names the peer of its session;
    /// `allow`, `deny` and the limits for one address are for that peer. TCP connections come from these
    /// networks and from nowhere else. A header can name anybody, so whoever may send one is trusted.
    pub proxies: Option<Vec<IpNet>>,
    /// Which families a host name stands for.
    pub family: Family,
    /// Socket options.
    pub options: SocketOptions,
    /// A client that says nothing for this long gets its session, if the service has something to say first.
    pub greet_after: Duration,
    /// Who this end is in TLS.
    pub tls: TlsServer,
    /// What HTTP clients get to see.
    pub http: Arc<http::Settings>,
    /// How WebSocket sessions are kept.
    pub websocket: Arc<ws::Settings>,
    /// Whether QUIC is spoken over UDP at addresses without a scheme.
    pub quic_beside: bool,
    /// How QUIC connections are kept.
    pub quic: quic_protocol::Settings,
    /// Who hears of it.
    pub observer: Option<Arc<dyn Observer>>,
    /// Who watches its packets, without the right to see them.
    pub lookout: Option<Arc<dyn Lookout>>,
}

/// Sessions that may be open at once unless told otherwise.
pub const MAX_SESSIONS: usize = 100_000;

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            framing: Framing::Raw,
            encoding: Encoding::UTF_8,
            max_message: MAX_MESSAGE,
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS)),
            total_sessions: None,
            idle_timeout: None,
            grace: Duration::from_secs(5),
            allow: Vec::new(),
            deny: Vec::new(),
            sessions_per_address: None,
            rate_per_address: None,
            token: None,
            proxies: None,
            family: Family::Any,
            options: SocketOptions::default(),
            greet_after: Duration::from_millis(300),
            tls: TlsServer::default(),
            http: Arc::default(),
            websocket: Arc::default(),
            quic_beside: true,
            quic: quic_protocol::Settings::default(),
            observer: None,
            lookout: None,
        }
    }
}

/// One listening socket of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// As the scheme of an address: `tcp` (and all that it carries), `udp`, `tls`, `http`, `https`, `unix`, ….
    pub protocol: &'static str,
    /// Whether clients may begin with TLS, HTTP or WebSocket as well as with plain bytes.
    pub sniffs: bool,
    /// Where, with the real port number.
    pub at: Endpoint,
}

/// A listening end: the sockets that were bound for one or more addresses.
#[derive(Debug)]
pub struct Port {
    ends: Vec<End>,
    config: PortConfig,
}

#[derive(Debug)]
enum End {
    Tcp(tcp::Listener),
    Udp(udp::Socket),
    Unix(unix::Listener),
    Unixgram(unix::Socket),
}

impl Port {
    /// Binds `at`. Without a scheme that is TCP and UDP on the same number, also for port 0.
    ///
    /// # Errors
    /// When an address is taken, forbidden, or cannot be resolved.
    pub async fn bind(at: &Address, config: PortConfig) -> Result<Self> {
        Self::bind_all(std::slice::from_ref(at), config).await
    }

    /// Binds several addresses as one port: they share the limits and the service.
    ///
    /// # Errors
    /// As [`bind`](Self::bind); nothing stays bound then.
    pub async fn bind_all(at: &[Address], config: PortConfig) -> Result<Self> {
        let mut ends = Vec::new();
        for address in at {
            match (&address.target, address.scheme) {
                (Target::Net { hosts, .. }, scheme) if can_listen(scheme) => {
                    let tcp = Spoken::by(scheme);
                    let udp = carries(scheme, &config);
                    for host in hosts {
                        ends.extend(bind::both(host, tcp, udp, &config).await?);
                    }
                }
                (Target::Unix(name), Some(Scheme::Unixgram)) => {
                    ends.push(End::Unixgram(unix::Socket::bind(name)?))
                }
                (Target::Unix(name), _) => {
                    ends.push(End::Unix(unix::Listener::bind(name, &config)?))
                }
                (_, Some(Scheme::H3 | Scheme::Wt)) => {
                    let reason = "an address without a scheme serves that, beside everything else";
                    return Err(Error::unsupported(Operation::Listen, address, reason));
                }
                _ => {
                    let reason = "only tcp, udp, tls, quic, http, https, ws, wss, unix and unixgram addresses can be served";
                    return Err(Error::unsupported(Operation::Listen, address, reason));
                }
            }
        }
        Ok(Self { ends, config })
    }

    /// What was bound, in the order in which it was asked for.
    pub fn listening(&self) -> Vec<Listening> {
        self.ends.iter().map(End::listening).collect()
    }

    /// Serves until `stop` is cancelled (or `total_sessions` have been served) and every session has ended.
    ///
    /// Stopping goes in this order: nobody new is taken; the service is told; each session's `recv` gives
    /// what has arrived and then ends, so that answers still go out; what has not ended after the grace
    /// time is cut off.
    ///
    /// # Errors
    /// Only when a socket broke for good. A failed session ends only itself.
    pub async fn serve(self, service: impl Service, stop: CancellationToken) -> Result<()> {
        let service = Arc::new(service);
        let stop = stop.child_token();
        let tracker = TaskTracker::new();
        let grace = self.config.grace;
        let context = Arc::new(Context {
            gate: Gate::new(&self.config),
            config: self.config,
            enough: CancellationToken::new(),
            stop: stop.clone(),
            goodbye: CancellationToken::new(),
            leaving: AtomicBool::new(false),
            tracker: tracker.clone(),
        });
        // Also when somebody drops this future, or a socket breaks: sessions must not outlive it.
        let _farewell = Farewell(context.clone());
        // Tasks, so that the scheduler's queue lets a socket and its sessions take turns; ended with this
        // future, so that nobody who drops it leaves a server behind.
        let ends = self.ends.into_iter().map(|end| {
            let serving = end.serve(service.clone(), context.clone());
            AbortOnDropHandle::new(crate::task::spawn(&tracker, serving))
        });
        let ends: Vec<_> = ends.collect();
        let all = try_join_all(ends.into_iter().map(async |end| match end.await {
            Ok(served) => served,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }));
        let announce = async {
            stop.cancelled().await;
            // A service that hangs here is left behind, as one that hangs in a session is.
            let _ = tokio::time::timeout(grace, service.shutdown()).await;
            context.say_goodbye();
            Ok(())
        };
        let served = tokio::try_join!(all, announce);
        // After an error too: sessions that nobody can stop any more must not be waited for.
        stop.cancel();
        context.say_goodbye();
        tracker.close();
        tracker.wait().await;
        served.map(|_| ())
    }
}

fn can_listen(scheme: Option<Scheme>) -> bool {
    matches!(scheme, Some(Scheme::Udp | Scheme::Quic)) || Spoken::by(scheme).is_some()
}

/// What an address with this scheme is to speak over UDP, if that carries any of it.
fn carries(scheme: Option<Scheme>, config: &PortConfig) -> Option<Carries> {
    match scheme {
        None if config.quic_beside => Some(Carries::Both),
        None | Some(Scheme::Udp) => Some(Carries::Datagrams),
        Some(Scheme::Quic) => Some(Carries::Quic),
        Some(_) => None,
    }
}

struct Farewell(Arc<Context>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.say_goodbye();
    }
}

impl End {
    fn listening(&self) -> Listening {
        let (protocol, sniffs, at) = match self {
            Self::Tcp(tcp) => {
                let spoken = tcp.spoken();
                (spoken.name(), spoken == Spoken::Any, tcp.local())
            }
            Self::Udp(udp) if udp.carries() == Carries::Quic => ("quic", false, udp.local()),
            Self::Udp(udp) => ("udp", false, udp.local()),
            Self::Unix(unix) => ("unix", unix.spoken() == Spoken::Any, unix.local()),
            Self::Unixgram(unix) => ("unixgram", false, unix.local()),
        };
        Listening {
            protocol,
            sniffs,
            at,
        }
    }

    async fn serve(self, service: Arc<impl Service>, context: Arc<Context>) -> Result<()> {
        match self {
            Self::Tcp(tcp) => accept::serve(tcp, service, context).await,
            Self::Unix(unix) => accept::serve(unix, service, context).await,
            Self::Udp(udp) => {
                let local = udp.local();
                let http = udp.carries() == Carries::Both;
                let batches = udp.open()?;
                let quic = batches.door().map(|(door, key)| {
                    let serving =
                        quic::serve(door, key, local, http, service.clone(), context.clone());
                    AbortOnDropHandle::new(crate::task::spawn(&context.tracker, serving))
                });
                peers::serve(batches, service, context).await?;
                match quic {
                    Some(quic) => quic
                        .await
                        .or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())),
                    None => Ok(()),
                }
            }
            Self::Unixgram(unix) => peers::serve(unix, service, context).await,
        }
    }
}

impl std::fmt::Debug for PortConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortConfig")
            .field("framing", &self.framing)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
