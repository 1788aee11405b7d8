//! WebTransport (draft-ietf-webtrans-http3), both ends: sessions inside of an HTTP/3 connection, beside its requests,
//! each of whose streams is a session of ours, and so are its datagrams.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Host;
use super::quic::{Datagrams, Ends, NO_DATAGRAMS, Stream, Terms, Wanted, serve_within};
use crate::error::{Error, Operation, Result};
use crate::session::{Info, Link, Session};
use crate::stream::ByteStream;

mod course;
mod sessions;

use course::Parting;
pub(super) use course::{Hears, Says, Telling};
pub(super) use sessions::{Opened, Sessions};

/// Sessions of one connection at once. More would have to share its streams by rules of their own (section 5 of draft 14).
pub(super) const SESSIONS: u64 = 1;

/// What clients hear that may come again.
const STOPPING: &str = "the server is stopping";
const FULL: &str = "the server takes no more sessions";

/// Serves `opened`, the session whose request is answered, until one of the ends closes it. `telling` is the stream of
/// that request, `grace` how long streams may take to end at a goodbye.
///
/// # Errors
/// When the client has ended it with a code, or broke the rules, and nobody was there to be told.
pub(super) async fn serve(
    connection: Connection,
    terms: Terms,
    mut opened: Opened,
    mut telling: Telling<impl Says, impl Hears>,
    grace: Duration,
    host: Arc<dyn Host>,
) -> Result<()> {
    let ends = Ends::within(connection, terms, opened.id);
    let served = {
        let serving = serve_within(&ends, &mut opened.streams, grace, &*host);
        tokio::select! {
            biased;
            served = serving => served,
            never = listen(&ends, &mut telling) => match never {},
        }
    };
    let parting = match served {
        Ok(true) if host.is_leaving() => Parting::Close(STOPPING),
        Ok(true) => Parting::Close(FULL),
        _ => Parting::Answer,
    };
    // Another one may begin.
    drop(opened);
    telling.part(parting, &ends).await;
    served.map(drop)
}

/// Hears how the session ends, and tells its streams.
async fn listen(ends: &Ends, telling: &mut Telling<impl Says, impl Hears>) -> Infallible {
    if let Some(end) = telling.hear().await {
        ends.end(end);
    }
    pending().await
}

/// The one session that a session of WebTransport was opened for, on the dialing side, and what is to be run beside it:
/// that ends when the session has been dropped and the server knows.
///
/// # Errors
/// When the connection broke, or the server does not take what is wanted.
pub(super) async fn dial(
    connection: Connection,
    terms: Terms,
    mut opened: Opened,
    mut telling: Telling<impl Says, impl Hears>,
    wanted: Wanted,
) -> Result<(Session, impl Future<Output = ()> + Send)> {
    let ends = Ends::within(connection, terms, opened.id);
    let left = CancellationToken::new();
    let session = session(&ends, &opened, wanted, left.clone().drop_guard()).await?;
    let keeping = async move {
        let mut told = false;
        let parting = loop {
            tokio::select! {
                biased;
                () = ends.over() => break Parting::Answer,
                () = left.cancelled() => break Parting::Close(""),
                // Nobody here reads what is not asked for.
                Some(stream) = opened.streams.recv() => {
                    stream.refuse(0);
                    if !std::mem::replace(&mut told, true) {
                        let what = "the server has opened streams of its own, which are not read";
                        ends.identity().note(what);
                    }
                }
                never = listen(&ends, &mut telling) => match never {},
            }
        };
        telling.part(parting, &ends).await;
        // The streams read to their end what has come.
        left.cancelled().await;
    };
    Ok((session, keeping))
}

async fn session(
    ends: &Arc<Ends>,
    opened: &Opened,
    wanted: Wanted,
    held: DropGuard,
) -> Result<Session> {
    let identity = ends.identity();
    match wanted {
        Wanted::Stream => {
            let stream = Stream::open(ends.clone(), opened.id, held).await?;
            let framing = ends.terms().framing.clone();
            let link = Link::Bytes(ByteStream::new(stream), framing);
            Ok(Session::new(link, identity, ends.terms().max_message))
        }
        Wanted::Datagrams if !ends.takes_datagrams() => {
            let address = ends.address();
            Err(Error::unsupported(
                Operation::Connect,
                address,
                NO_DATAGRAMS,
            ))
        }
        Wanted::Datagrams => {
            let info = Arc::new(Info::new(identity));
            let packets = Datagrams::new(ends.clone(), info.clone(), None, Some(held));
            Ok(Session::of_packets(info, Box::new(packets)))
        }
    }
}
