//! One session from its opening to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Gate, PortConfig};
use crate::error::Result;
use crate::service::Service;
use crate::session::{Ending, Endpoint, Identity, Info, Session, Side};

/// What all sessions of a port share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: PortConfig,
    pub(super) gate: Gate,
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
}

impl Context {
    pub(super) fn identity(
        &self,
        protocol: &'static str,
        local: Endpoint,
        peer: Endpoint,
    ) -> Identity {
        Identity::new(Side::Accepted, protocol, local, peer)
            .encoding(self.config.encoding)
            .observer(self.config.observer.clone())
    }

    pub(super) fn note(&self, what: &str) {
        if let Some(observer) = &self.config.observer {
            observer.note(what);
        }
    }

    /// Starts `session` on a task of its own. When all of a limited number have ended, the port stops.
    pub(super) fn start(
        self: &Arc<Self>,
        service: Arc<impl Service>,
        session: Session,
        permit: OwnedSemaphorePermit,
        idle: Option<Duration>,
    ) {
        let place = Place {
            context: self.clone(),
            _permit: permit,
        };
        crate::task::spawn(&self.tracker, async move {
            run(&*service, session, &place.context, idle).await;
        });
    }
}

/// A session's place in the port, given back also when its service panics.
struct Place {
    context: Arc<Context>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.context.gate.has_served_all() {
            self.context.stop.cancel();
        }
    }
}

async fn run(service: &impl Service, session: Session, context: &Context, idle: Option<Duration>) {
    let info = session.info().clone();
    if let Some(observer) = info.observer() {
        observer.opened(&info);
    }
    let ending = match idle {
        None => serve(service, session, context, &info).await,
        // Boxed: only sessions that are watched pay for the timer.
        Some(limit) => tokio::select! {
            ending = serve(service, session, context, &info) => ending,
            () = Box::pin(silence(&info, limit)) => Ending::Idle(limit),
        },
    };
    if let Some(observer) = info.observer() {
        observer.closed(&info, &ending);
    }
}

async fn serve(service: &impl Service, session: Session, context: &Context, info: &Info) -> Ending {
    let mut serving = pin!(service.serve(session));
    let served = tokio::select! {
        biased;
        served = &mut serving => served,
        () = context.stop.cancelled() => {
            info.stop();
            // Boxed, as it comes once: every session would carry the room for it.
            let grace = Box::pin(tokio::time::sleep(context.config.grace));
            tokio::select! {
                biased;
                served = serving => served,
                () = grace => return Ending::Stopped,
            }
        }
    };
    ending(served, info, context.config.idle_timeout)
}

fn ending(served: Result<()>, info: &Info, idle: Option<Duration>) -> Ending {
    match served {
        Err(error) => Ending::Failed(error),
        Ok(()) if info.has_expired() => Ending::Idle(idle.unwrap_or(super::peers::IDLE)),
        Ok(()) if info.peer_has_finished() => Ending::PeerFinished,
        Ok(()) if info.is_stopping() => Ending::Stopped,
        Ok(()) => Ending::ServiceFinished,
    }
}

/// Returns when nothing went either way for `limit`, give or take a quarter of it.
async fn silence(info: &Info, limit: Duration) {
    const LOOKS: u32 = 4;
    let counters = info.counters();
    let traffic = || {
        (
            counters.bytes_in(),
            counters.bytes_out(),
            counters.messages_in(),
        )
    };
    let mut last = traffic();
    let mut quiet = 0;
    while quiet < LOOKS {
        tokio::time::sleep(limit / LOOKS).await;
        let now = traffic();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
}
