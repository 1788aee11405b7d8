//! One session from its opening to its end.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PortConfig;
use super::gate::{Admission, Gate};
use crate::error::Result;
use crate::service::Service;
use crate::session::{Answered, Ending, Endpoint, Identity, Info, Session, Side};

/// What all sessions of a port share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: PortConfig,
    pub(super) gate: Gate,
    /// As many sessions as there may be in total have been opened: nobody new is taken.
    pub(super) enough: CancellationToken,
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

    /// Counts a session, or what is as good as one. `false`: enough have been served.
    pub(super) fn admit(&self) -> bool {
        let counted = self.gate.count();
        if counted == Some(true) {
            self.enough.cancel();
        }
        counted.is_some()
    }

    /// A request was answered without a session; `counts`: it was admitted as one.
    pub(super) fn answered(&self, answered: &Answered<'_>, counts: bool) {
        if let Some(observer) = &self.config.observer {
            observer.answered(answered);
        }
        if counts && self.gate.has_served_all() {
            self.stop.cancel();
        }
    }

    pub(super) fn note(&self, what: &str) {
        if let Some(observer) = &self.config.observer {
            observer.note(what);
        }
    }

    /// Starts a session over datagrams. Who drives their socket tells it when to end; `held` is let go of
    /// when it has.
    pub(super) fn start_told(
        self: &Arc<Self>,
        service: Arc<impl Service>,
        session: Session,
        admission: Admission,
        held: impl Send + 'static,
    ) -> AbortHandle {
        let mut place = Place::wait(self, &session, admission);
        place.tell_opened();
        let task = crate::task::spawn(&self.tracker, async move {
            let served = service.serve(session).await;
            place.leave(served);
            // Nothing is left to be told to it.
            drop(held);
        });
        task.abort_handle()
    }
}

/// How long a service may take to end a session in which it was silent for too long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A session's place in the port, given back also when its service panics or is cut off.
pub(super) struct Place {
    context: Arc<Context>,
    info: Arc<Info>,
    state: State,
    /// Empty inside a connection that has one.
    _admission: Admission,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has been told of it.
    Waiting,
    Open,
    Left,
}

impl Place {
    /// A place for `session`, should it turn out to be one.
    pub(super) fn wait(context: &Arc<Context>, session: &Session, admission: Admission) -> Self {
        Self {
            context: context.clone(),
            info: session.info().clone(),
            state: State::Waiting,
            _admission: admission,
        }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn info(&self) -> &Info {
        &self.info
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// It is a session: it counts, and who watches is told. `false`: enough have been served.
    pub(super) fn open(&mut self) -> bool {
        if self.is_open() {
            return true;
        }
        let admitted = self.context.admit();
        if admitted {
            self.tell_opened();
        }
        admitted
    }

    /// The same for a session that has been counted.
    fn tell_opened(&mut self) {
        self.state = State::Open;
        // Sessions are numbered as they open, whether or not somebody watches.
        self.info.id();
        if let Some(observer) = self.info.observer() {
            observer.opened(&self.info);
        }
    }

    /// Runs `serving` within the port's limits: idle time, and grace when the port stops.
    ///
    /// Each message of each session comes through here, so what is seldom looked at is elsewhere: with many sessions
    /// every line of the cache that a message touches is one that is not there.
    pub(super) fn limit<'a, F>(
        &'a self,
        mut serving: Pin<&'a mut F>,
    ) -> impl Future<Output = Result<(), Ending>> + Send + 'a
    where
        F: Future<Output = Result<()>> + Send,
    {
        let context = &*self.context;
        let mut end = Box::pin(self.end());
        let is_timed = context.config.idle_timeout.is_some();
        let mut looks = true;
        poll_fn(move |cx| {
            if let Poll::Ready(served) = serving.as_mut().poll(cx) {
                return Poll::Ready(served.map_err(Ending::Failed));
            }
            // The goodbye is waited for from the first look on: then a flag says whether it came, where asking again
            // would take the locks of the token.
            if looks || context.leaving.load(Relaxed) {
                looks = is_timed;
                return end.as_mut().poll(cx).map(Err);
            }
            Poll::Pending
        })
    }

    /// Waits until the session is to end, lets it know, and gives it a moment in which it may still end by itself.
    async fn end(&self) -> Ending {
        let config = &self.context.config;
        // Timers are boxed: few sessions have one.
        let idle = async {
            match config.idle_timeout {
                Some(limit) => Box::pin(silence(&self.info, limit)).await,
                None => pending().await,
            }
        };
        let (moment, ending) = tokio::select! {
            biased;
            () = self.context.goodbye.cancelled() => (config.grace, Ending::Stopped),
            limit = idle => {
                // Its peer can be told why; one that takes nothing is not waited for.
                self.info.expire();
                (LAST_WORDS, Ending::Idle(limit))
            }
        };
        self.info.stop();
        // It has to be polled to see that.
        yield_now().await;
        Box::pin(sleep(moment)).await;
        ending
    }

    /// Runs `work` until it is done, or (`None`) until the port says goodbye.
    pub(super) async fn until_goodbye<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.context.goodbye.cancelled() => None,
        }
    }

    /// The session has ended in one of the ways there are.
    pub(super) fn leave(mut self, served: Result<(), impl Into<Ending>>) {
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
        self.tell_closed(&ending);
    }

    fn tell_closed(&mut self, ending: &Ending) {
        if self.state != State::Open {
            return;
        }
        self.state = State::Left;
        if let Some(observer) = self.info.observer() {
            observer.closed(&self.info, ending);
        }
        if self.context.gate.has_served_all() {
            self.context.stop.cancel();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tell_closed(&Ending::Stopped);
    }
}

/// Returns when nothing went either way for `limit`, which it returns, give or take a quarter of it.
async fn silence(info: &Info, limit: Duration) -> Duration {
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
        sleep(limit / LOOKS).await;
        let now = traffic();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
    limit
}
