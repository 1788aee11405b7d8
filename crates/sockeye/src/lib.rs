//! Both ends of every socket: one service, one port, every protocol.
//!
//! ```text
//!  port ──► sniff ──► protocol ──► session ──► service         dial ──► session ──► console
//!  tcp ─┐                          Bytes+Framing  echo upper hello reply sink …
//!  unix ┼────────────────────────► Packets
//!  udp ─┘
//! ```
//!
//! A [`Port`] listens and turns whoever comes into a [`Session`]; [`dial`] reaches the other end of any
//! port and gives the same type. A [`Service`] is what is done with a session, and never learns which
//! protocol carries it. Types on the way: [`Address`] → [`Port`] → [`ByteStream`] or [`Packets`] →
//! [`Link`] → [`Session`] → [`Message`].
//!
//! A server of your own:
//!
//! ```no_run
//! # async fn run() -> sockeye::Result<()> {
//! use sockeye::{Session, service_fn};
//!
//! sockeye::serve("127.0.0.1:3000", service_fn(async |mut session: Session| {
//!     while let Some(message) = session.recv().await? {
//!         session.send(message.text()?.to_uppercase()).await?;
//!     }
//!     session.finish().await
//! })).await
//! # }
//! ```
//!
//! # Cancel safety
//! [`Session::recv`] may be dropped at any await point without losing a byte; [`Session::send`] may not.
//!
//! # What `finish` means, and what a carrier promises
//! | carrier | link | boundaries | `finish()` | back-pressure | lossy |
//! |---|---|---|---|---|---|
//! | TCP, Unix stream | [`Link::Bytes`] | by framing | FIN | yes | no |
//! | WebSocket | [`Link::Packets`] | kept, with text or binary | close frame, and a moment for the peer's | yes | no |
//! | QUIC stream | [`Link::Bytes`] | by framing | FIN, and waits until all is acknowledged | yes | no |
//! | QUIC datagrams | [`Link::Packets`] | kept | nothing; closing the connection ends it | sending waits, the oldest unread dropped and counted | yes |
//! | UDP peer, Unix datagram | [`Link::Packets`] | kept | nothing; an idle timeout ends it | newest dropped and counted | yes |

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)
)]

mod certificate;
mod child;
mod dial;
mod error;
pub mod fetch;
pub mod hub;
mod lookout;
pub mod nearby;
mod port;
mod protocol;
mod request;
mod resolve;
pub mod service;
mod session;
mod socket;
mod stream;
mod task;
mod token;
pub mod transfer;
mod view;

pub use certificate::{Certificate, CertificateFacts, Fingerprint, minute};
pub use child::{ChildOptions, end_children};
pub use dial::{DialOptions, dial};
pub use error::{
    CertificateFault, CredentialFault, Error, Operation, QuicEnd, Result, StoreError, StoreFault,
    TlsError,
};
pub use lookout::{Lookout, Moment, first_arrival};
pub use port::{Listening, MAX_SESSIONS, Port, PortConfig, Rate};
pub use protocol::http::{Ask as HttpAsk, Page, Sends as HttpSends, Settings as HttpSettings};
pub use protocol::quic::{QuicVersion, Settings as QuicSettings, end_connections};
pub use protocol::tls::{
    KeyLog, OwnCertificate, TlsClient, TlsClientOptions, TlsFiles, TlsIdentity, TlsServer,
    TlsServerOptions, TlsVersion,
};
pub use protocol::ws::Settings as WsSettings;
pub use request::{Answer, Body, HasPage, Head, Request, Response, basic_authorization};
pub use resolve::Family;
pub use service::{AnyService, Service, service_fn};
pub use session::{
    AnswerHead, Answered, Direction, EarlyData, Ending, Endpoint, Identity, Info, JoinOptions,
    Kind, Link, MAX_MESSAGE, Message, Observer, Packets, Path, Receiver, RequestHead, Sender,
    Session, Side, Tls,
};
pub use socket::{Keepalive, Membership, SocketOptions};
pub use stream::join::{HALF_OPEN, Traffic};
pub use stream::pump::pump;
pub use stream::{AsyncIo, ByteStream, Counters};
pub use token::{MAX_TOKEN, Token};
pub use view::{Course, View, ViewKey, Viewer};
pub use wire::address::{Address, AddressError};
pub use wire::framing::Framing;
pub use wire::proxy_protocol::Version as ProxyVersion;
pub use wire::text::Encoding;
pub use wire::upstream::Proxy;

/// Serves `service` at `address` until the process ends.
///
/// # Errors
/// When the address cannot be read or bound.
pub async fn serve(address: &str, service: impl Service) -> Result<()> {
    let port = Port::bind(&address.parse()?, PortConfig::default()).await?;
    port.serve(service, tokio_util::sync::CancellationToken::new())
        .await
}
