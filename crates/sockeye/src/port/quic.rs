//! QUIC on the listening side: an endpoint behind the door of a UDP socket, made when somebody knocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::ServerConfig;
use tokio_util::task::TaskTracker;

use super::gate::Admission;
use super::guests::Guests;
use super::route;
use super::run::Context;
use super::udp::{Door, IdKey};
use crate::error::{Error, Operation, Result};
use crate::protocol::quic::{Failure, Listener, Tls, Visitor};
use crate::protocol::tls;
use crate::service::{AnyService, Service};
use crate::session::Endpoint;

/// Why a handshake with `peer` came to nothing.
fn refused(peer: &Endpoint, failure: Failure) -> Error {
    let source = match failure {
        Failure::Alert(number) => tls::alert(number),
        Failure::Refused(fault) => fault,
        Failure::Other(error) => return error,
    };
    Error::Tls {
        operation: Operation::Secure,
        address: peer.to_string(),
        source: Box::new(source),
    }
}

/// How long the last packets may take when the port stops.
const WIND_DOWN: Duration = Duration::from_millis(200);

/// Serves those who speak QUIC until the port stops.
pub(super) async fn serve(
    door: Arc<Door>,
    key: IdKey,
    local: Endpoint,
    http: bool,
    service: Arc<impl Service>,
    context: Arc<Context>,
) {
    let service = AnyService::shared(service);
    tokio::select! {
        () = door.knocked() => {
            let broken = AtomicU64::new(0);
            let entrance = Entrance { local, http, service, context: context.clone(), broken };
            if let (Err(error), Some(observer)) =
                (entrance.keep(&door, key).await, &context.config.observer)
            {
                observer.trouble(&error);
            }
        }
        () = context.stop.cancelled() => {}
    }
    let lost = door.shut();
    if lost > 0 {
        context.note(&format!(
            "QUIC packets came faster than they were read: {lost} runs of them had to be sent again"
        ));
    }
}

/// Where QUIC's visitors come in.
struct Entrance {
    local: Endpoint,
    /// Whether HTTP is spoken, too.
    http: bool,
    service: AnyService,
    context: Arc<Context>,
    /// First packets that were none.
    broken: AtomicU64,
}

impl Entrance {
    async fn keep(self, door: &Arc<Door>, key: IdKey) -> Result<()> {
        let context = &self.context;
        let config = &context.config;
        let tls = self.tls()?;
        let ids = move || key.generator();
        let listener = Listener::new(door.clone(), ids, tls, config.quic.clone())
            .map_err(|source| Error::io(Operation::Listen, &self.local, source))?;
        let connections = TaskTracker::new();
        loop {
            tokio::select! {
                biased;
                () = context.stop.cancelled() => break,
                visitor = listener.next() => match visitor {
                    Some(visitor) => self.meet(visitor, &listener, &connections)?,
                    None => break,
                },
            }
        }
        let more = self.broken.load(Relaxed).saturating_sub(1);
        if more > 0 {
            context.note(&format!("{more} more first packets were none of QUIC's"));
        }
        // Those who are here say their goodbyes.
        connections.close();
        connections.wait().await;
        listener.wind_down(WIND_DOWN).await;
        Ok(())
    }

    /// Lets a visitor in, if it may.
    fn meet(&self, visitor: Visitor, listener: &Listener, connections: &TaskTracker) -> Result<()> {
        let context = &self.context;
        let peer = Endpoint::from(visitor.peer());
        let admission = match self.room(&peer) {
            Ok(admission) => admission,
            Err(why) => {
                visitor.refuse();
                context.note(&format!("refused {peer}: {why}"));
                return Ok(());
            }
        };
        let tls = self.tls()?;
        let handshake = match listener.admit(visitor, tls) {
            Ok(Some(handshake)) => handshake,
            Ok(None) => return Ok(()),
            // Anybody can send these as fast as a network takes them, under any address.
            Err(Failure::Other(error)) => {
                if self.broken.fetch_add(1, Relaxed) == 0 {
                    context.note(&format!(
                        "{error}; others whose first packet is none of QUIC's are only counted"
                    ));
                }
                return Ok(());
            }
            Err(failure) => {
                context.note(&refused(&peer, failure).to_string());
                return Ok(());
            }
        };
        let local = self.local.clone();
        let guests = Guests::new(context.clone(), self.service.clone());
        let context = context.clone();
        crate::task::spawn(connections, async move {
            // Boxed: large, and needed for a moment only.
            let shaken = tokio::select! {
                shaken = Box::pin(handshake.shake(&peer, tls::HTTP3)) => shaken,
                () = context.goodbye.cancelled() => return,
            };
            let served = match shaken {
                Ok(shaken) => {
                    let local = shaken.at(&local);
                    route::quic(shaken, local, peer, guests, admission).await
                }
                Err(failure) => Err(refused(&peer, failure)),
            };
            if let Err(error) = served {
                context.note(&error.to_string());
            }
        });
        Ok(())
    }

    /// What a handshake goes by that begins now.
    fn tls(&self) -> Result<Tls<ServerConfig>> {
        let context = &self.context;
        let server = &context.config.tls;
        Ok(Tls {
            config: server.quic(self.http, |note| context.note(note))?,
            hearing: tls::hear,
        })
    }

    /// Room for one more session, or why there is none.
    fn room(&self, peer: &Endpoint) -> Result<Admission, String> {
        let gate = &self.context.gate;
        if self.context.enough.is_cancelled() {
            return Err("enough sessions have been served".to_owned());
        }
        let mut admission = gate.admit(peer)?;
        match gate.try_enter(&mut admission) {
            Some(()) => Ok(admission),
            None => Err("as many sessions are open as may be".to_owned()),
        }
    }
}
