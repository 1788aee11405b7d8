//! What runs over a byte stream: each protocol in a file with both of its ends.

pub(crate) mod h3;
pub(crate) mod http;
pub(crate) mod quic;
pub(crate) mod tls;
mod webtransport;
pub(crate) mod ws;

use std::future::Future;
use std::pin::Pin;

use crate::certificate::Fingerprint;
use crate::session::{Answered, Ending, Session};

/// Where a protocol that carries several sessions brings them: the port, which counts, limits and ends them.
pub(crate) trait Host: Send + Sync + 'static {
    /// Runs `session` to its end, on a task of its own, and tells how it ended before anyone else hears of it.
    /// `false`: no more sessions are taken.
    fn open(&self, session: Session, told: Told) -> bool;

    /// As [`open`](Self::open), for one who has to say the token first if there is one.
    fn welcome(&self, session: Session, told: Told) -> bool;

    /// Counts a request that is answered without a session as one. `false`: no more are taken.
    fn admit(&self) -> bool;

    /// A request was answered without a session; `counts`: it was [admitted](Self::admit).
    fn answered(&self, answered: &Answered<'_>, counts: bool);

    /// What the certificate of this end is recognised by, where it is one that nobody else vouches for.
    fn own_fingerprint(&self) -> Option<Fingerprint>;

    /// Runs work that belongs to no session: what comes after an upgrade.
    fn run(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Completes when this end says goodbye.
    fn goodbye(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Whether it has said it, or is about to.
    fn is_leaving(&self) -> bool;
}

/// Hears how a session ended.
pub(crate) type Told = Box<dyn FnOnce(&Result<(), Ending>) + Send>;
