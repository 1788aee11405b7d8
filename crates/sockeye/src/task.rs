//! The one place that starts tasks, so that a shutdown can wait for all of them.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Runs `work` beside the caller; `tracker` knows of it until it ends.
pub(crate) fn spawn<T: Send + 'static>(
    tracker: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tracker.spawn(work)
}
