//! Accepting: connections of a stream socket become sessions. It never gives up and waits for nobody.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::gate::Admission;
use super::proxied;
use super::route::{self, Spoken};
use super::run::{Context, Place};
use crate::error::{Error, Operation, Result};
use crate::service::Service;
use crate::session::{Endpoint, Link, Session};
use crate::stream::ByteStream;

/// A socket that connections come from.
pub(super) trait Accept: Send {
    /// What carries the bytes.
    const CARRIER: &'static str;
    /// What they may say.
    fn spoken(&self) -> Spoken;
    fn local(&self) -> Endpoint;
    fn accept(&self) -> impl Future<Output = io::Result<Connection>> + Send;
}

pub(super) struct Connection {
    pub(super) stream: ByteStream,
    pub(super) local: Endpoint,
    pub(super) peer: Endpoint,
}

/// How long accepting pauses when the process or the system has no descriptor or memory left.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn serve<L: Accept>(
    listener: L,
    service: Arc<impl Service>,
    context: Arc<Context>,
) -> Result<()> {
    let (stop, enough) = (context.stop.clone(), context.enough.clone());
    let spoken = listener.spoken();
    let accepting = async {
        loop {
            // Accepted before there is room for it: a listener that nobody comes to must not keep the
            // room from the port's other sockets.
            let connection = next(&listener, &context).await;
            let mut admission = match context.gate.admit_stream(&connection.peer) {
                Ok(admission) => admission,
                Err(why) => {
                    context.note(&format!("refused {}: {why}", connection.peer));
                    continue;
                }
            };
            if context.gate.is_full() {
                context.note(
                    "as many sessions are open as may be: new connections wait until one ends",
                );
            }
            let Some(()) = context.gate.enter(&mut admission).await else {
                return;
            };
            if context.gate.wants_introductions() {
                let visit = Visit {
                    connection,
                    carrier: L::CARRIER,
                    spoken,
                    admission,
                };
                let serving = visit.serve(service.clone(), context.clone());
                crate::task::spawn(&context.tracker, serving);
                continue;
            }
            let (mut place, session) = begin(connection, L::CARRIER, admission, &context);
            // Where nothing is looked at it is a session already, and may be the last.
            if spoken == Spoken::Plain && !place.open() {
                return;
            }
            let serving = route::serve(spoken, place, session, service.clone());
            crate::task::spawn(&context.tracker, serving);
            if context.enough.is_cancelled() {
                return;
            }
        }
    };
    tokio::select! {
        () = until(accepting, enough) => {
            // Enough sessions were served: the last of them stops the port when it ends.
            drop(listener);
            stop.cancelled().await;
        }
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// A connection through a proxy, before it is known whose it is.
struct Visit {
    connection: Connection,
    carrier: &'static str,
    spoken: Spoken,
    admission: Admission,
}

impl Visit {
    /// Serves whoever the proxy introduces.
    async fn serve(self, service: Arc<impl Service>, context: Arc<Context>) {
        let introduced = proxied::introduce(self.connection, self.admission, &context).await;
        let Some((connection, admission)) = introduced else {
            return;
        };
        let (mut place, session) = begin(connection, self.carrier, admission, &context);
        if self.spoken != Spoken::Plain || place.open() {
            route::serve(self.spoken, place, session, service).await;
        }
    }
}

/// A session over a connection, should it turn out to be one.
fn begin(
    connection: Connection,
    carrier: &'static str,
    admission: Admission,
    context: &Arc<Context>,
) -> (Place, Session) {
    let identity = context.identity(carrier, connection.local, connection.peer);
    let link = Link::Bytes(connection.stream, context.config.framing.clone());
    let session = Session::new(link, identity, context.config.max_message);
    let place = Place::wait(context, &session, admission);
    (place, session)
}

/// `work`, or less.
async fn until(work: impl Future<Output = ()>, enough: CancellationToken) {
    tokio::select! {
        () = work => {}
        () = enough.cancelled() => {}
    }
}

async fn next(listener: &impl Accept, context: &Context) -> Connection {
    loop {
        let error = match listener.accept().await {
            Ok(connection) => return connection,
            Err(error) => error,
        };
        // The peer has left again before it was accepted: its business, not ours.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
        ) {
            continue;
        }
        if let Some(observer) = &context.config.observer {
            observer.trouble(&Error::io(Operation::Accept, listener.local(), error));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
