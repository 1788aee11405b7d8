//! Dialing WebTransport: a connection of HTTP/3, a request that becomes a session in it, and one stream of that or its
//! datagrams.

use wire::address::{HostPort, Scheme};

use super::DialOptions;
use super::quic::{connect, moving, wanted};
use super::websocket::{authority, headers};
use crate::error::{Error, Operation, Result};
use crate::protocol::h3::{self, Wish};
use crate::protocol::http::Resource;
use crate::protocol::tls::HTTP3;
use crate::session::Session;

/// A session with the resource at `path` of one of several hosts.
pub(super) async fn dial(hosts: &[HostPort], path: &str, options: &DialOptions) -> Result<Session> {
    let reached = connect(hosts, "wt", HTTP3, options).await?;
    let host = &reached.host;
    let address = format!("wt://{host}{path}");
    let resource = Resource {
        scheme: "https",
        authority: authority(host, Scheme::Wt),
        path: path.to_owned(),
        headers: headers(options)
            .map_err(|reason| Error::unsupported(Operation::Connect, &address, reason))?,
    };
    let wish = Wish {
        resource: &resource,
        wanted: wanted(options),
        terms: reached.terms,
        moving: moving(reached.peer, options),
        address: &address,
    };
    h3::dial_session(reached.connected, wish).await
}
