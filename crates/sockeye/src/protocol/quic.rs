//! QUIC (RFC 9000), both ends: each stream of a connection is a session, and so are its datagrams (RFC 9221).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{IdleTimeout, TransportConfig, VarInt};
use wire::framing::Framing;

use crate::session::Identity;

mod client;
mod closing;
mod crypto;
mod datagrams;
mod direct;
mod ends;
mod keeper;
mod listener;
mod qlog;
mod room;
mod server;
mod stream;
mod versions;
mod within;

pub(crate) use client::{Connected, Dialing, Early, Wanted, dial};
pub(super) use client::{Gauge, Lent};
pub(crate) use closing::Failure;
use closing::lost;
pub use crypto::QuicVersion;
pub(crate) use crypto::Tls;
pub(super) use datagrams::{Datagrams, NO_DATAGRAMS};
pub(super) use ends::Ends;
pub(crate) use keeper::Move;
pub use keeper::end_connections;
pub(super) use listener::Confirmed;
pub(crate) use listener::{Listener, Shaken, Visitor};
pub(crate) use room::Room;
pub(crate) use server::serve;
pub(super) use server::{Brought, serve_within};
pub(super) use stream::Stream;
pub(crate) use versions::in_version;
pub(super) use within::End;

/// How QUIC connections are kept, on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A peer that has sent nothing for this long is gone: what both ends ask for, the shorter one counts
    /// (RFC 9000, section 10.1). At most 2^62 milliseconds.
    pub idle_timeout: Duration,
    /// Silent peers are asked for a sign of life this often. Routers forget who speaks to whom after 30 s and more.
    pub keep_alive: Duration,
    /// The version that a client speaks. A server speaks both, and whichever its client begins with.
    pub version: QuicVersion,
    /// What happens on each connection is written here, a file each, in the format qlog
    /// (draft-ietf-quic-qlog-main-schema). Who can read them sees who spoke and when, and not what.
    pub qlog: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            version: QuicVersion::One,
            qlog: None,
        }
    }
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes of one stream that may be on their way. More makes bursts that sockets lose.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes of all streams of a connection that may be on their way, or wait for whoever reads them.
const WINDOW: u32 = 16 * 1024 * 1024;

/// Streams that a peer may have open at once, of each kind.
const STREAMS: u32 = 256;

/// Bytes of datagrams that wait to be read, or to be sent. When there is no room the oldest that nobody has read
/// are dropped and counted, and whoever sends waits.
const DATAGRAM_ROOM: usize = 1024 * 1024;

/// What the sessions of a connection are made of.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) identity: Identity,
    pub(crate) framing: Framing,
    pub(crate) max_message: usize,
}

impl Settings {
    /// `title` names the file of the connection's qlog.
    fn transport(&self, title: &str) -> Arc<TransportConfig> {
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(Some(self.keep_alive))
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(WINDOW.into())
            .send_window(WINDOW.into())
            .max_concurrent_bidi_streams(STREAMS.into())
            .max_concurrent_uni_streams(STREAMS.into())
            .datagram_receive_buffer_size(Some(DATAGRAM_ROOM))
            .datagram_send_buffer_size(DATAGRAM_ROOM)
            .congestion_controller_factory(Arc::new(CubicConfig::default()));
        if let Some(folder) = &self.qlog {
            transport.qlog_stream(qlog::stream(folder, title));
        }
        Arc::new(transport)
    }
}

/// Nothing is wrong.
const DONE: VarInt = VarInt::from_u32(0);
