//! Dialing: the other end of any port, as a session.

use std::net::SocketAddr;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use wire::address::{Address, Host, HostPort, Scheme, Target, UnixName};
use wire::framing::Framing;
use wire::proxy_protocol::Version;
use wire::text::Encoding;
use wire::upstream::Proxy;

use crate::child::ChildOptions;
use crate::error::{Error, Operation, Result};
use crate::lookout::{Lookout, watched};
use crate::protocol::http::Ask as HttpAsk;
use crate::protocol::quic::Settings as QuicSettings;
use crate::protocol::tls::TlsClient;
use crate::protocol::ws::Settings as WsSettings;
use crate::resolve::{Family, Purpose, resolve};
use crate::session::{Endpoint, Identity, Info, Link, MAX_MESSAGE, Observer, Session, Side, Tls};
use crate::socket::{self, SocketOptions};
use crate::stream::ByteStream;
use crate::token::Token;

mod exec;
mod happy;
mod http;
mod introduction;
mod proxy;
mod quic;
mod udp;
mod unixgram;
mod websocket;
mod webtransport;

pub(crate) use quic::{Early, ask_host, ask_host_early};

/// How a peer is reached. `Default` is what most want.
#[derive(Clone)]
pub struct DialOptions {
    /// How messages are cut from byte streams.
    pub framing: Framing,
    /// The encoding of text.
    pub encoding: Encoding,
    /// The largest message that is taken, in bytes.
    pub max_message: usize,
    /// How long connecting may take; as long as the system tries when `None`.
    pub timeout: Option<Duration>,
    /// Which families a host name stands for.
    pub family: Family,
    /// Our own address; the system chooses when `None`.
    pub source_address: Option<std::net::IpAddr>,
    /// Our own port; the system chooses when `None`.
    pub source_port: Option<u16>,
    /// Over UDP, hear everyone and not only the peer that was dialed. A group or a broadcast address is
    /// always answered by others, so there everyone is heard anyway.
    pub from_anyone: bool,
    /// TCP connections are made through this proxy. It is not asked for Unix sockets and programs.
    pub proxy: Option<Proxy>,
    /// The first bytes to a TCP or Unix stream peer say who `client` is: the PROXY protocol.
    pub send_proxy: Option<Version>,
    /// The session on whose behalf somebody is dialed, if there is one.
    pub client: Option<Arc<Info>>,
    /// How programs are started (`exec:COMMAND`).
    pub child: ChildOptions,
    /// Socket options.
    pub options: SocketOptions,
    /// Whom to trust in TLS.
    pub tls: TlsClient,
    /// What the peer asks for before it talks.
    pub token: Option<Token>,
    /// Header fields for requests, beside those that the protocol needs.
    pub headers: ::http::HeaderMap,
    /// What is asked for over HTTP.
    pub http: HttpAsk,
    /// How WebSocket sessions are opened and kept.
    pub websocket: WsSettings,
    /// Over HTTP/2 where there is a choice: for WebSocket (RFC 8441) and for HTTP without TLS (RFC 9113, section
    /// 3.3: prior knowledge), which take HTTP/1.1 otherwise.
    pub http2: bool,
    /// How QUIC connections are kept.
    pub quic: QuicSettings,
    /// Over QUIC and WebTransport, speak by datagrams and not over a stream.
    pub datagrams: bool,
    /// A QUIC connection moves to another port of ours after this long.
    pub migrate_after: Option<Duration>,
    /// Who hears of it.
    pub observer: Option<Arc<dyn Observer>>,
    /// Who watches its packets.
    pub lookout: Option<Arc<dyn Lookout>>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            framing: Framing::Raw,
            encoding: Encoding::UTF_8,
            max_message: MAX_MESSAGE,
            timeout: None,
            family: Family::Any,
            source_address: None,
            source_port: None,
            from_anyone: false,
            proxy: None,
            send_proxy: None,
            client: None,
            child: ChildOptions::default(),
            options: SocketOptions::default(),
            tls: TlsClient::default(),
            token: None,
            headers: ::http::HeaderMap::new(),
            http: HttpAsk::default(),
            websocket: WsSettings::default(),
            http2: false,
            quic: QuicSettings::default(),
            datagrams: false,
            migrate_after: None,
            observer: None,
            lookout: None,
        }
    }
}

/// Reaches `to` and opens a session with it. Without a scheme that is TCP.
///
/// A name with several addresses is tried as RFC 8305 says ("happy eyeballs"), and so are several hosts.
///
/// # Errors
/// When it cannot be resolved or reached, or not in time.
pub async fn dial(to: &Address, options: &DialOptions) -> Result<Session> {
    let dialing = reach(to, options);
    let Some(limit) = options.timeout else {
        return dialing.await;
    };
    tokio::time::timeout(limit, dialing)
        .await
        .unwrap_or_else(|_| {
            Err(Error::TimedOut {
                operation: Operation::Connect,
                address: to.to_string(),
                after: limit,
            })
        })
}

async fn reach(to: &Address, options: &DialOptions) -> Result<Session> {
    let mut session = open(to, options).await?;
    if let (Some(token), true) = (&options.token, says_token_first(to)) {
        session.say(&format!("{}\n", token.secret())).await?;
    }
    Ok(session)
}

/// Where no protocol has a place of its own for the token, it is the first line or the first datagram.
fn says_token_first(to: &Address) -> bool {
    use Scheme::{Quic, Tcp, Tls, Udp, Unix, Unixgram};
    matches!(
        to.scheme,
        None | Some(Quic | Tcp | Tls | Udp | Unix | Unixgram)
    )
}

async fn open(to: &Address, options: &DialOptions) -> Result<Session> {
    match (&to.target, to.scheme) {
        (Target::Net { hosts, .. }, None | Some(Scheme::Tcp)) => tcp(hosts, options).await,
        (Target::Net { hosts, .. }, Some(Scheme::Udp)) => udp::dial(hosts, options).await,
        (Target::Net { hosts, .. }, Some(Scheme::Tls)) => tls(hosts, options).await,
        (Target::Net { hosts, .. }, Some(Scheme::Quic)) => {
            Box::pin(quic::dial(hosts, options)).await
        }
        (Target::Net { hosts, path }, Some(Scheme::H3)) => {
            Box::pin(quic::http(hosts, path, options)).await
        }
        (Target::Net { hosts, path }, Some(Scheme::Wt)) => {
            Box::pin(webtransport::dial(hosts, path, options)).await
        }
        (Target::Net { hosts, path }, Some(scheme @ (Scheme::Ws | Scheme::Wss))) => {
            Box::pin(websocket::dial(hosts, path, scheme, options)).await
        }
        (Target::Net { hosts, path }, Some(scheme @ (Scheme::Http | Scheme::Https))) => {
            Box::pin(http::dial(hosts, path, scheme, options)).await
        }
        (Target::Unix(name), Some(Scheme::Unixgram)) => unixgram(name, options),
        (Target::Unix(name), _) => unix(name, options).await,
        (Target::Exec(command), _) => exec::dial(command, options),
        _ => Err(Error::unsupported(
            Operation::Connect,
            to,
            "only tcp, udp, tls, quic, http, https, h3, ws, wss, wt, unix, unixgram and exec addresses can be dialed",
        )),
    }
}

async fn tcp(hosts: &[HostPort], options: &DialOptions) -> Result<Session> {
    let reached = connect(hosts, options).await?;
    Ok(options.bytes("tcp", reached.stream, reached.local, reached.peer))
}

async fn tls(hosts: &[HostPort], options: &DialOptions) -> Result<Session> {
    let reached = connect(hosts, options).await?;
    let (stream, identity) = secure(reached, "tls", &[], options).await?;
    let link = Link::Bytes(stream, options.framing.clone());
    Ok(Session::new(link, identity, options.max_message))
}

/// A TCP connection to one of several hosts, made directly or through a proxy.
pub(crate) struct Reached {
    stream: ByteStream,
    pub(crate) local: Endpoint,
    pub(crate) peer: Endpoint,
    /// Which of the hosts it is.
    host: HostPort,
}

async fn connect(hosts: &[HostPort], options: &DialOptions) -> Result<Reached> {
    let mut reached = match &options.proxy {
        Some(proxy) => proxy::connect(proxy, hosts, options).await?,
        None => {
            let candidates = candidates(hosts, options).await?;
            let attempts = candidates.iter().map(async |(peer, host)| {
                let tcp = happy::attempt(*peer, options).await?;
                Reached::new(tcp, *peer, host, options)
            });
            happy::first(attempts).await?
        }
    };
    introduction::introduce(&mut reached.stream, &reached.peer, options).await?;
    Ok(reached)
}

impl Reached {
    fn new(
        tcp: TcpStream,
        peer: SocketAddr,
        host: &HostPort,
        options: &DialOptions,
    ) -> Result<Self> {
        let local = tcp.local_addr();
        let local = local.map_err(|source| Error::io(Operation::Connect, peer, source))?;
        Ok(Self {
            stream: watched(tcp, (local, peer), options.lookout.as_ref()),
            local: local.into(),
            peer: peer.into(),
            host: host.clone(),
        })
    }
}

/// Where a host is: the first step of dialing it, for who does them one by one.
pub(crate) async fn find(host: &HostPort, options: &DialOptions) -> Result<Vec<SocketAddr>> {
    let candidates = candidates(from_ref(host), options).await?;
    Ok(candidates.into_iter().map(|(address, _)| address).collect())
}

/// A connection to one of `addresses`, which are those of `host`, or to `host` through the proxy of the options.
pub(crate) async fn reach_host(
    host: &HostPort,
    addresses: &[SocketAddr],
    options: &DialOptions,
) -> Result<Reached> {
    match &options.proxy {
        Some(proxy) => proxy::connect(proxy, from_ref(host), options).await,
        None => {
            let attempts = addresses.iter().map(async |peer| {
                let tcp = happy::attempt(*peer, options).await?;
                Reached::new(tcp, *peer, host, options)
            });
            happy::first(attempts).await
        }
    }
}

/// A connection to `proxy`, which is asked in its own protocol by the caller.
pub(crate) async fn reach_proxy(proxy: &Proxy, options: &DialOptions) -> Result<Reached> {
    let (tcp, peer) = proxy::reach(proxy, options).await?;
    Reached::new(tcp, peer, &proxy.at, options)
}

/// A connection as it is, or in TLS where `alpn` is offered.
pub(crate) async fn converse(
    reached: Reached,
    alpn: &[&str],
    options: &DialOptions,
) -> Result<(ByteStream, Option<Arc<Tls>>)> {
    if alpn.is_empty() {
        return Ok((reached.stream, None));
    }
    let (stream, identity) = secure(reached, "https", alpn, options).await?;
    Ok((stream, identity.tls().cloned()))
}

/// The same in TLS, offering `alpn`, with the identity of a session over it.
async fn secure(
    reached: Reached,
    protocol: &'static str,
    alpn: &[&str],
    options: &DialOptions,
) -> Result<(ByteStream, Identity)> {
    let name = name_of(&reached.host.host);
    let shaking = options.tls.connect(reached.stream, &name, alpn);
    let (stream, facts) = shaking.await.map_err(|source| Error::Tls {
        operation: Operation::Connect,
        address: reached.host.to_string(),
        source: source.into(),
    })?;
    let identity = options.identity(protocol, reached.local, reached.peer);
    Ok((stream, identity.in_tls(Arc::new(facts))))
}

/// A host as certificates name it: without brackets, zone and the dot of the root.
fn name_of(host: &Host) -> String {
    match host {
        Host::V6 { ip, .. } => ip.to_string(),
        Host::Unspecified => "localhost".to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

async fn unix(name: &UnixName, options: &DialOptions) -> Result<Session> {
    let peer = socket::unix::endpoint(name);
    let failed = |source| Error::io(Operation::Connect, &peer, source);
    let address = match name {
        UnixName::Path(path) => std::os::unix::net::SocketAddr::from_pathname(path),
        UnixName::Abstract(name) => {
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
        }
    };
    let address = address.map_err(failed)?;
    let unix = UnixStream::connect_addr(&address.into())
        .await
        .map_err(failed)?;
    let local = socket::unix::peer(&unix.local_addr().map_err(failed)?);
    let mut stream = unix.into();
    introduction::introduce(&mut stream, &peer, options).await?;
    Ok(options.bytes("unix", stream, local, peer))
}

fn unixgram(name: &UnixName, options: &DialOptions) -> Result<Session> {
    let peer = socket::unix::endpoint(name);
    let (packets, local) =
        unixgram::connect(name).map_err(|source| Error::io(Operation::Connect, &peer, source))?;
    let identity = options.identity("unixgram", local, peer);
    Ok(Session::new(
        Link::Packets(Box::new(packets)),
        identity,
        options.max_message,
    ))
}

/// Every socket address of every host, the hosts in their order and each host's families taking turns.
async fn candidates<'a>(
    hosts: &'a [HostPort],
    options: &DialOptions,
) -> Result<Vec<(SocketAddr, &'a HostPort)>> {
    let mut all = Vec::new();
    let mut failed = None;
    for host in hosts {
        match resolve(host, options.family, Purpose::Dial).await {
            Ok(addresses) => {
                let addresses = happy::interleave(addresses);
                all.extend(addresses.into_iter().map(|address| (address, host)));
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

fn names_no_host() -> Error {
    Error::unsupported(Operation::Connect, "nowhere", "the address names no host")
}

impl DialOptions {
    fn identity(&self, protocol: &'static str, local: Endpoint, peer: Endpoint) -> Identity {
        Identity::new(Side::Dialed, protocol, local, peer)
            .encoding(self.encoding)
            .observer(self.observer.clone())
    }

    fn bytes(
        &self,
        protocol: &'static str,
        stream: ByteStream,
        local: Endpoint,
        peer: Endpoint,
    ) -> Session {
        let link = Link::Bytes(stream, self.framing.clone());
        Session::new(link, self.identity(protocol, local, peer), self.max_message)
    }

    /// Our own end, where it was chosen.
    fn source(&self, peer: SocketAddr) -> Option<SocketAddr> {
        if self.source_address.is_none() && self.source_port.is_none() {
            return None;
        }
        let mut source = socket::any_address(peer);
        if let Some(ip) = self.source_address {
            source.set_ip(ip);
        }
        source.set_port(self.source_port.unwrap_or(0));
        Some(source)
    }
}

impl std::fmt::Debug for DialOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DialOptions")
            .field("framing", &self.framing)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
