//! For whom we come: the first bytes to a peer that wants to know it (a PROXY header), and a word to whoever watches.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use wire::proxy_protocol::Origin;

use super::DialOptions;
use crate::error::{Error, Operation, Result};
use crate::session::{Endpoint, Info};
use crate::stream::ByteStream;

/// Says who the client is, if that is wanted.
pub(super) async fn introduce(
    stream: &mut ByteStream,
    peer: &Endpoint,
    options: &DialOptions,
) -> Result<()> {
    let Some(version) = options.send_proxy else {
        return Ok(());
    };
    let header = origin(options.client.as_deref()).write(version);
    let sent = stream.write_all(&header).await;
    sent.map_err(|source| Error::io(Operation::Send, peer, source))
}

impl DialOptions {
    /// On whose behalf somebody is dialed, where that is somebody with a port.
    pub(super) fn patron(&self) -> Option<SocketAddr> {
        match self.client.as_ref()?.peer() {
            Endpoint::Net(client) => Some(*client),
            _ => None,
        }
    }

    /// Tells of it before the first datagram leaves.
    pub(super) fn tell_patron(&self, local: SocketAddr, peer: SocketAddr) {
        if let (Some(lookout), Some(client)) = (&self.lookout, self.patron()) {
            lookout.on_behalf(local, peer, client);
        }
    }
}

fn origin(client: Option<&Info>) -> Origin {
    let Some(client) = client else {
        return Origin::Unknown;
    };
    match (client.peer(), client.local()) {
        (Endpoint::Net(source), Endpoint::Net(destination)) => Origin::Net {
            source: *source,
            destination: *destination,
            datagrams: !client.has_end(),
        },
        (Endpoint::Unix(source), Endpoint::Unix(destination)) => Origin::Unix {
            source: name(source),
            destination: name(destination),
            datagrams: !client.has_end(),
        },
        _ => Origin::Unknown,
    }
}

/// As the kernel has it: an abstract name begins with NUL (unix(7)).
fn name(shown: &str) -> Vec<u8> {
    match shown.strip_prefix('@') {
        Some(name) => [b"\0", name.as_bytes()].concat(),
        None => shown.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Identity, Side};

    fn client(protocol: &'static str, peer: Endpoint, local: Endpoint) -> Info {
        Info::new(Identity::new(Side::Accepted, protocol, local, peer))
    }

    #[test]
    fn the_client_is_told_as_it_is_known() {
        let net = |at: &str| Endpoint::Net(at.parse().unwrap());
        let unix = |name: &str| Endpoint::Unix(name.into());
        for (client, told) in [
            (
                client("tcp", net("192.0.2.1:5"), net("[::1]:6")),
                "192.0.2.1:5 to [::1]:6",
            ),
            (client("unix", unix(""), unix("/run/s")), " to /run/s"),
            (client("unix", unix("@a"), unix("@b")), "\\x00a to \\x00b"),
            (
                client("memory", Endpoint::Memory, Endpoint::Memory),
                "unknown",
            ),
            (
                client("exec", Endpoint::Named("exec:x".into()), Endpoint::Memory),
                "unknown",
            ),
        ] {
            assert_eq!(origin(Some(&client)).to_string(), told);
        }
        assert_eq!(origin(None), Origin::Unknown);
        let udp = client("udp", net("192.0.2.1:5"), net("192.0.2.2:6"));
        assert!(matches!(
            origin(Some(&udp)),
            Origin::Net {
                datagrams: true,
                ..
            }
        ));
    }
}
