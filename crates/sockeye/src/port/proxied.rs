//! Connections that come through a proxy, which says in front of each who it is for: the PROXY protocol.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::time::timeout;
use wire::proxy_protocol::{Origin, read};

use super::accept::Connection;
use super::gate::Admission;
use super::run::Context;
use crate::session::Endpoint;
use crate::stream::{ByteStream, poll_fill};

/// How long a header may take: the specification wants 3 s at least, for a lost packet.
const LONGEST: Duration = Duration::from_secs(5);

/// Reads the header of a connection that was let in as a proxy's, and lets in whom it names: from there on
/// the connection is theirs. `None`, and a note, when it is refused.
pub(super) async fn introduce(
    mut connection: Connection,
    proxy: Admission,
    context: &Arc<Context>,
) -> Option<(Connection, Admission)> {
    let heard = tokio::select! {
        heard = timeout(LONGEST, hear(&mut connection.stream)) => heard,
        () = context.goodbye.cancelled() => return None,
    };
    let late = |_| Err(format!("no PROXY header came within {LONGEST:?}"));
    let admitted = heard.unwrap_or_else(late).and_then(|origin| {
        let peer = connection.peer.clone();
        name(&mut connection, origin);
        let admission = context.gate.admit(&connection.peer);
        let admission = admission.map_err(|why| format!("{why}, as {peer} introduces it"))?;
        Ok(admission.in_place_of(proxy))
    });
    match admitted {
        Ok(admission) => Some((connection, admission)),
        Err(why) => {
            context.note(&format!("refused {}: {why}", connection.peer));
            None
        }
    }
}

/// Takes the header off the stream; what follows it stays.
async fn hear(stream: &mut ByteStream) -> Result<Origin, String> {
    loop {
        if let Some((origin, length)) = read(&stream.head).map_err(|error| error.to_string())? {
            stream.head.advance(length);
            return Ok(origin);
        }
        let ByteStream { io, head, .. } = stream;
        match poll_fn(|cx| poll_fill(io, head, cx)).await {
            Ok(0) => return Err("it left before its PROXY header was whole".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The ends of a connection as its header tells them.
fn name(connection: &mut Connection, origin: Origin) {
    match origin {
        Origin::Unknown => {}
        Origin::Net {
            source,
            destination,
            ..
        } => {
            connection.peer = source.into();
            connection.local = destination.into();
        }
        Origin::Unix {
            source,
            destination,
            ..
        } => {
            connection.peer = unix(&source);
            connection.local = unix(&destination);
        }
    }
}

/// As a person writes it: an abstract name, which begins with NUL, with `@`.
fn unix(name: &[u8]) -> Endpoint {
    let shown = |name| String::from_utf8_lossy(name).into_owned();
    Endpoint::Unix(match name.strip_prefix(b"\0") {
        Some(rest) => format!("@{}", shown(rest)).into(),
        None => shown(name).into(),
    })
}
