//! Dialing HTTP: TCP, TLS where it is asked for, the version that both ends speak, and one request.

use wire::address::{HostPort, Scheme};

use super::websocket::{authority, headers};
use super::{DialOptions, connect, secure};
use crate::error::{Error, Operation, Result};
use crate::protocol::http;
use crate::protocol::tls::{HTTP1, HTTP2};
use crate::session::Session;

/// A session whose messages are the bodies of one request and its answer.
pub(super) async fn dial(
    hosts: &[HostPort],
    path: &str,
    scheme: Scheme,
    options: &DialOptions,
) -> Result<Session> {
    let reached = connect(hosts, options).await?;
    let host = reached.host.clone();
    let (stream, identity) = if scheme == Scheme::Https {
        secure(reached, "https", &[HTTP2, HTTP1], options).await?
    } else {
        let identity = options.identity("http", reached.local, reached.peer);
        (reached.stream, identity)
    };
    let two = match identity.tls() {
        Some(tls) => tls.alpn.as_deref() == Some(HTTP2),
        None => options.http2,
    };
    let version = match two {
        true => http::Version::Two,
        false => http::Version::One,
    };
    let address = format!("{scheme}://{host}{path}");
    let resource = http::Resource {
        scheme: scheme.name(),
        authority: authority(&host, scheme),
        path: path.to_owned(),
        headers: headers(options)
            .map_err(|reason| Error::unsupported(Operation::Connect, &address, reason))?,
    };
    let terms = http::Terms {
        identity,
        framing: options.framing.clone(),
        max_message: options.max_message,
    };
    let dialed = http::dial(stream, version, &resource, &options.http, terms).await;
    dialed.map_err(|source| Error::io(Operation::Connect, address, source))
}
