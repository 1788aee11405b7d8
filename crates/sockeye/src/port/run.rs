//! One session from its opening to its end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
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
    /// Nobody new is taken.
    pub(super) stop: CancellationToken,
    /// Cancelled after the service has heard of the stop: sessions end now.
    pub(super) goodbye: CancellationToken,
    /// Set just before the goodbye.
    pub(super) leaving: AtomicBool,
    pub(super) tracker: TaskTracker,
}

impl Context {
    /// Sessions end now.
    pub(super) fn say_goodbye(&self) {
        self.leaving.store(true, Relaxed);
        self.goodbye.cancel();
    }

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

    /// Starts a session over a connection, on a task of its own.
    pub(super) fn start(
        self: &Arc<Self>,
        service: Arc<impl Service>,
        session: Session,
        permit: OwnedSemaphorePermit,
    ) {
        let place = Place::take(self, &session, permit);
        crate::task::spawn(&self.tracker, async move {
            let served = place.limit(service.serve(session)).await;
            place.leave(served);
        });
    }

    /// Starts a session over datagrams. Who drives their socket tells it when to end; `held` is let go of
    /// when it has.
    pub(super) fn start_told(
        self: &Arc<Self>,
        service: Arc<impl Service>,
        session: Session,
        permit: OwnedSemaphorePermit,
        held: impl Send + 'static,
    ) -> AbortHandle {
        let place = Place::take(self, &session, permit);
        let task = crate::task::spawn(&self.tracker, async move {
            let _held = held;
            let served = service.serve(session).await;
            place.leave(served);
        });
        task.abort_handle()
    }
}

/// A session's place in the port, given back also when its service panics or is cut off.
struct Place {
    context: Arc<Context>,
    info: Arc<Info>,
    left: bool,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(context: &Arc<Context>, session: &Session, permit: OwnedSemaphorePermit) -> Self {
        let info = session.info().clone();
        if let Some(observer) = info.observer() {
            observer.opened(&info);
        }
        Self {
            context: context.clone(),
            info,
            left: false,
            _permit: permit,
        }
    }

    /// Runs `serving` within the port's limits: idle time, and grace when the port stops.
    async fn limit(&self, serving: impl Future<Output = Result<()>>) -> Result<(), Ending> {
        let config = &self.context.config;
        let mut serving = pin!(serving);
        // Timers are boxed: few sessions have one, and none has both for long.
        let served = match config.idle_timeout {
            None => self.until_goodbye(serving.as_mut()).await,
            Some(limit) => tokio::select! {
                biased;
                served = self.until_goodbye(serving.as_mut()) => served,
                () = Box::pin(silence(&self.info, limit)) => return Err(Ending::Idle(limit)),
            },
        };
        if let Some(served) = served {
            return served.map_err(Ending::Failed);
        }
        self.info.stop();
        let grace = Box::pin(tokio::time::sleep(config.grace));
        tokio::select! {
            biased;
            served = serving => served.map_err(Ending::Failed),
            () = grace => Err(Ending::Stopped),
        }
    }

    /// Runs `serving` until it is done, or (`None`) until the port says goodbye.
    ///
    /// Waiting for the goodbye is set up once. After that each poll costs one look at a flag, where `select!`
    /// would take the token's locks for every message of every session.
    async fn until_goodbye<F: Future>(&self, mut serving: Pin<&mut F>) -> Option<F::Output> {
        let context = &*self.context;
        let mut goodbye = pin!(context.goodbye.cancelled());
        let mut waiting = false;
        poll_fn(|cx| {
            if let Poll::Ready(served) = serving.as_mut().poll(cx) {
                return Poll::Ready(Some(served));
            }
            if !waiting || context.leaving.load(Relaxed) {
                waiting = true;
                return goodbye.as_mut().poll(cx).map(|()| None);
            }
            Poll::Pending
        })
        .await
    }

    /// The session has ended in one of the ways there are.
    fn leave(mut self, served: Result<(), impl Into<Ending>>) {
        let info = &self.info;
        let ending = match served {
            Err(ending) => ending.into(),
            Ok(()) if info.has_expired() => Ending::Idle(
                self.context
                    .config
                    .idle_timeout
                    .unwrap_or(super::peers::IDLE),
            ),
            Ok(()) if info.peer_has_finished() => Ending::PeerFinished,
            Ok(()) if info.is_stopping() => Ending::Stopped,
            Ok(()) => Ending::ServiceFinished,
        };
        self.tell(&ending);
    }

    fn tell(&mut self, ending: &Ending) {
        self.left = true;
        if let Some(observer) = self.info.observer() {
            observer.closed(&self.info, ending);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.left {
            self.tell(&Ending::Stopped);
        }
        if self.context.gate.has_served_all() {
            self.context.stop.cancel();
        }
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
