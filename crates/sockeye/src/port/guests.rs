//! The sessions inside a connection that carries several, and their room in the port.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::gate::Admission;
use super::route;
use super::run::{Context, Place};
use crate::certificate::Fingerprint;
use crate::protocol::{Host, Told};
use crate::service::{AnyService, Service};
use crate::session::{Answered, Ending, Session};

/// The sessions inside a connection that carries several.
pub(super) struct Guests {
    pub(super) context: Arc<Context>,
    pub(super) service: AnyService,
    /// Sessions that have not ended; the connection's own room is for one of them.
    inside: Arc<AtomicUsize>,
}

/// A session inside a connection.
struct Guest {
    inside: Arc<AtomicUsize>,
    admission: Admission,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Relaxed);
    }
}

impl Guests {
    pub(super) fn new(context: Arc<Context>, service: AnyService) -> Self {
        Self {
            context,
            service,
            inside: Arc::default(),
        }
    }

    /// Room for one more session.
    fn enter(&self) -> Option<Guest> {
        let inside = self.inside.clone();
        let first = inside.fetch_add(1, Relaxed) == 0;
        let mut guest = Guest {
            inside,
            admission: Admission::default(),
        };
        if !first {
            self.context.gate.try_enter(&mut guest.admission)?;
        }
        Some(guest)
    }

    /// Runs a session; `knows_token`: it need not say it.
    fn begin(&self, mut session: Session, knows_token: bool, told: Told) -> bool {
        let Some(guest) = self.enter() else {
            return false;
        };
        let mut place = Place::wait(&self.context, &session, Admission::default());
        let asks = !knows_token && self.context.config.token.is_some();
        if !asks && !place.open() {
            return false;
        }
        let service = self.service.clone();
        self.run(Box::pin(async move {
            let _guest = guest;
            if asks {
                let context = place.context().clone();
                let token = context.config.token.as_ref();
                let knows = match token {
                    Some(token) => route::knows(token, &place, &mut session).await,
                    None => true,
                };
                if !knows {
                    return route::refuse(&place, session).await;
                }
                if !place.open() {
                    return;
                }
            }
            let mut served = place.limit(pin!(service.serve(session))).await;
            if served.is_err() && place.info().is_stopping() && !place.info().has_expired() {
                // It was not the peer that broke it off.
                served = Err(Ending::Stopped);
            }
            told(&served);
            place.leave(served);
        }));
        true
    }
}

impl Host for Guests {
    fn open(&self, session: Session, told: Told) -> bool {
        self.begin(session, true, told)
    }

    fn welcome(&self, session: Session, told: Told) -> bool {
        self.begin(session, false, told)
    }

    fn admit(&self) -> bool {
        self.context.admit()
    }

    fn answered(&self, answered: &Answered<'_>, counts: bool) {
        self.context.answered(answered, counts);
    }

    fn own_fingerprint(&self) -> Option<Fingerprint> {
        let context = &self.context;
        let own = context.config.tls.own(|note| context.note(note));
        let own = own.ok().filter(|own| own.self_signed);
        own.map(|own| own.certificate.sha256())
    }

    fn run(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        crate::task::spawn(&self.context.tracker, work);
    }

    fn goodbye(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.context.goodbye.cancelled())
    }

    fn is_leaving(&self) -> bool {
        self.context.leaving.load(Relaxed)
    }
}
