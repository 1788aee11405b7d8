//! The one error of the library: what was tried, where, and why it failed.

use std::io;
use std::time::Duration;

use wire::framing::FrameError;

mod store;
mod tls;

pub use store::{StoreError, StoreFault};
pub use tls::{CertificateFault, CredentialFault, TlsError};

/// What the library's calls return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a socket failed. [`Display`](std::fmt::Display) is one line that names the
/// operation and the address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {operation} {address}: {}", cause(source))]
    Io {
        /// What was tried.
        operation: Operation,
        /// Where: an address as a person writes it.
        address: String,
        /// What the system said.
        source: io::Error,
    },

    /// A host name has no address.
    #[error("cannot resolve {host}: {}", resolver_cause(source))]
    Resolve {
        /// The name as it was written.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },

    /// An address that cannot be read.
    #[error(transparent)]
    Address(#[from] wire::address::AddressError),

    /// Nothing happened in time.
    #[error("cannot {operation} {address}: no answer within {after:?}")]
    TimedOut {
        /// What was tried.
        operation: Operation,
        /// Where.
        address: String,
        /// How long was waited.
        after: Duration,
    },

    /// The bytes do not fit the framing.
    #[error("cannot {operation} {address}: {source}")]
    Framing {
        /// Whether it happened on the way in or out.
        operation: Operation,
        /// The peer.
        address: String,
        /// What is wrong with the frame.
        source: FrameError,
    },

    /// The peer broke the rules of a protocol.
    #[error("cannot {operation} {address}: {reason}")]
    Protocol {
        /// What was tried.
        operation: Operation,
        /// The peer.
        address: String,
        /// Which rule, as a sentence without a full stop.
        reason: String,
    },

    /// The peer ended the conversation and said that something is wrong.
    #[error("cannot receive from {address}: the peer closed with {}", closing(*code, reason))]
    ClosedByPeer {
        /// The peer.
        address: String,
        /// The WebSocket close code (RFC 6455, section 7.4); 1006 when there was no close frame.
        code: u16,
        /// What the peer gave as a reason; often empty.
        reason: String,
    },

    /// The peer ended a QUIC stream, a connection or a session of WebTransport, and said why with a code of its
    /// application (RFC 9000, section 20.2; draft-ietf-webtrans-http3, sections 4.4 and 5).
    #[error(
        "cannot {operation} {address}: the peer {end} with code {code}{}",
        after_colon(reason)
    )]
    QuicClosed {
        /// What was tried.
        operation: Operation,
        /// The peer.
        address: String,
        /// What it ended.
        end: QuicEnd,
        /// The code; what it means is the application's to say.
        code: u64,
        /// What the peer gave as a reason; often empty, and none where a stream is ended.
        reason: String,
    },

    /// The peer understood what was asked of it, and will not do it.
    #[error(
        "cannot {operation} {address}: the server answers {status}{}",
        after_colon(words)
    )]
    Refused {
        /// What was tried.
        operation: Operation,
        /// The peer.
        address: String,
        /// The HTTP status (RFC 9110, section 15), with its words.
        status: http::StatusCode,
        /// What the peer said about it; often empty.
        words: String,
    },

    /// The TLS handshake failed.
    #[error("cannot {operation} {address}: {source}")]
    Tls {
        /// What was tried.
        operation: Operation,
        /// The peer.
        address: String,
        /// Why.
        source: Box<TlsError>,
    },

    /// A file with a certificate, a key or authorities is of no use.
    #[error("cannot use {path}: {fault}")]
    Credentials {
        /// The file, as a person writes it.
        path: String,
        /// Why not.
        fault: CredentialFault,
    },

    /// A datagram that no packet can hold.
    #[error(
        "cannot send to {address}: a datagram of {size} bytes is too large, the limit is {limit}"
    )]
    TooLarge {
        /// The peer.
        address: String,
        /// Bytes in the message.
        size: usize,
        /// The most that the carrier can take.
        limit: usize,
    },

    /// The address is well written, but nothing here can do that with it.
    #[error("cannot {operation} {address}: {reason}")]
    Unsupported {
        /// What was tried.
        operation: Operation,
        /// Where.
        address: String,
        /// Why not, as a sentence without a full stop.
        reason: String,
    },

    /// A file that a service reads or writes.
    #[error("cannot {action} {path}: {}", cause(source))]
    File {
        /// What was tried: `write`, `create`, …
        action: &'static str,
        /// The file, as a person writes it.
        path: String,
        /// What the system said.
        source: io::Error,
    },

    /// A proxy did not let us through.
    #[error("cannot connect to {address} through {proxy}: {source}")]
    Proxy {
        /// Where we wanted to go.
        address: String,
        /// The proxy, without user and password.
        proxy: String,
        /// What it said.
        source: wire::upstream::Refusal,
    },

    /// A child process failed.
    #[error("`{command}` {}", exit(*code, *signal))]
    Child {
        /// The command line.
        command: String,
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },

    /// Bytes that were meant to be text and are not.
    #[error("not text: {0}")]
    NotText(#[from] wire::text::DecodeError),

    /// A character that the session's encoding does not have.
    #[error("cannot encode the text: {0}")]
    NotEncodable(#[from] wire::text::EncodeError),

    /// The database of a chat.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a QUIC peer ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuicEnd {
    /// It abandons what it was sending (RESET_STREAM).
    Reset,
    /// It does not want to hear more (STOP_SENDING).
    Stopped,
    /// The whole connection (CONNECTION_CLOSE).
    Connection,
    /// A session of WebTransport (WT_CLOSE_SESSION).
    Session,
}

impl std::fmt::Display for QuicEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset the stream",
            Self::Stopped => "stopped reading the stream",
            Self::Connection => "closed the connection",
            Self::Session => "closed the session",
        })
    }
}

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Taking a local address.
    Listen,
    /// Taking a connection that came in.
    Accept,
    /// Agreeing on TLS with a peer that came.
    Secure,
    /// Reaching a peer.
    Connect,
    /// Receiving from a peer.
    Receive,
    /// Sending to a peer.
    Send,
    /// Fetching what a URL names.
    Fetch,
    /// Telling the network what is served.
    Announce,
    /// Asking the network who serves what.
    Find,
    /// Starting a program.
    Start,
    /// Setting a socket option.
    Configure(&'static str),
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen => f.write_str("listen on"),
            Self::Accept => f.write_str("accept on"),
            Self::Secure => f.write_str("speak TLS with"),
            Self::Connect => f.write_str("connect to"),
            Self::Receive => f.write_str("receive from"),
            Self::Send => f.write_str("send to"),
            Self::Fetch => f.write_str("fetch"),
            Self::Announce => f.write_str("announce"),
            Self::Find => f.write_str("find"),
            Self::Start => f.write_str("start"),
            Self::Configure(option) => write!(f, "set {option} on"),
        }
    }
}

impl Error {
    /// An error of ours that went through somebody else's hands as an `io::Error` comes out as it was.
    pub(crate) fn io(operation: Operation, address: impl ToString, source: io::Error) -> Self {
        source.downcast().unwrap_or_else(|source| Self::Io {
            operation,
            address: address.to_string(),
            source,
        })
    }

    pub(crate) fn unsupported(
        operation: Operation,
        address: impl ToString,
        reason: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            operation,
            address: address.to_string(),
            reason: reason.into(),
        }
    }

    /// What went wrong in TLS, in the handshake or later.
    pub fn tls(&self) -> Option<&TlsError> {
        match self {
            Self::Tls { source, .. } => Some(source),
            Self::Io { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// The kind of the operating system's error, when there is one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } | Self::Resolve { source, .. } | Self::File { source, .. } => {
                Some(source.kind())
            }
            Self::TimedOut { .. } => Some(io::ErrorKind::TimedOut),
            _ => None,
        }
    }

    /// Whether the peer cut the conversation off instead of finishing it.
    pub fn is_reset(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(
            self.io_kind(),
            Some(ConnectionReset | ConnectionAborted | BrokenPipe)
        )
    }
}

fn exit(code: Option<i32>, signal: Option<i32>) -> String {
    match (code, signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "did not end well".to_owned(),
    }
}

/// The system's words without the `(os error 98)` that only programmers of this program need.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        // "Connection refused" in the middle of a sentence; "EOF" and the like stay as they are.
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// `1011 (internal error): out of memory`
fn closing(code: u16, reason: &str) -> String {
    let name = wire::websocket::close_name(code);
    format!("{code} ({name}){}", after_colon(reason))
}

fn after_colon(words: &str) -> String {
    match words {
        "" => String::new(),
        words => format!(": {words}"),
    }
}

/// `getaddrinfo` errors arrive as "failed to lookup address information: Name or service not known".
fn resolver_cause(error: &io::Error) -> String {
    let text = cause(error);
    text.rsplit(": ").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_operation_the_address_and_the_cause() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(
            Error::io(Operation::Connect, "host:1", refused).to_string(),
            "cannot connect to host:1: connection refused"
        );
        let configure = Operation::Configure("SO_RCVBUF");
        assert_eq!(
            Error::io(configure, "host:1", io::Error::other("EOF came")).to_string(),
            "cannot set SO_RCVBUF on host:1: EOF came"
        );
        let unknown = Error::Resolve {
            host: "nowhere".to_owned(),
            source: io::Error::other(
                "failed to lookup address information: Name or service not known",
            ),
        };
        assert_eq!(
            unknown.to_string(),
            "cannot resolve nowhere: name or service not known"
        );
    }

    #[test]
    fn a_cut_off_conversation_is_a_reset() {
        for (kind, is_reset) in [
            (io::ErrorKind::ConnectionReset, true),
            (io::ErrorKind::ConnectionAborted, true),
            (io::ErrorKind::BrokenPipe, true),
            (io::ErrorKind::ConnectionRefused, false),
            (io::ErrorKind::TimedOut, false),
        ] {
            let error = Error::io(Operation::Send, "peer", kind.into());
            assert_eq!(error.is_reset(), is_reset, "{kind:?}");
            assert_eq!(error.io_kind(), Some(kind));
        }
    }
}
