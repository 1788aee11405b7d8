//! What runs over a byte stream: each protocol in a file with both of its ends.

pub(crate) mod http;
pub(crate) mod tls;
pub(crate) mod ws;

use std::future::Future;
use std::pin::Pin;

use crate::session::Session;

/// Where a protocol that carries several sessions brings them: the port, which counts, limits and ends them.
pub(crate) trait Host: Send + Sync + 'static {
    /// Runs `session` to its end, on a task of its own. `false`: no more sessions are taken.
    fn open(&self, session: Session) -> bool;

    /// Runs work that belongs to no session: what comes after an upgrade.
    fn run(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Completes when this end says goodbye.
    fn goodbye(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
