//! The sessions inside a connection that carries several.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::super::gate::Admission;
use super::super::run::{Context, Place};
use crate::protocol::{Host, Told};
use crate::service::{AnyService, Service};
use crate::session::{Answered, Ending, Session};

/// Whoever comes over one connection.
pub(super) struct Guests {
    context: Arc<Context>,
    service: AnyService,
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
}

impl Host for Guests {
    fn open(&self, session: Session, told: Told) -> bool {
        let Some(guest) = self.enter() else {
            return false;
        };
        let mut place = Place::wait(&self.context, &session, Admission::default());
        if !place.open() {
            return false;
        }
        let service = self.service.clone();
        self.run(Box::pin(async move {
            let _guest = guest;
            let mut served = place.limit(pin!(service.serve(session))).await;
            if served.is_err() && place.info().is_stopping() {
                // It was not the peer that broke it off.
                served = Err(Ending::Stopped);
            }
            told(&served);
            place.leave(served);
        }));
        true
    }

    fn admit(&self) -> bool {
        self.context.admit()
    }

    fn answered(&self, answered: &Answered<'_>, counts: bool) {
        self.context.answered(answered, counts);
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
