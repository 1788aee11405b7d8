//! The last look before a stop: what arrived just before it is found, and nothing later is waited for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::Source;

/// How long the runtime has to find what the kernel has.
const LOOK: Duration = Duration::from_millis(1);

/// Whoever reads from a source that is to end takes it when nothing can be read.
#[derive(Debug, Default)]
pub(crate) struct LastLook {
    timer: Option<Pin<Box<Sleep>>>,
    taken: bool,
}

impl LastLook {
    /// Nothing could be read from `io` just now. `true`: it is worth another try; `false`: nothing has arrived
    /// that was not read. Pending as long as the kernel has something that the runtime will hear of.
    pub(crate) fn poll_again<R: Source>(&mut self, io: &R, cx: &mut Context<'_>) -> Poll<bool> {
        match io.has_arrived() {
            Some(true) => Poll::Pending,
            Some(false) => Poll::Ready(false),
            None if self.taken => Poll::Ready(false),
            // Where a protocol stands between, only the runtime knows, after it has looked at the sockets.
            None => {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(LOOK)));
                ready!(timer.as_mut().poll(cx));
                (self.timer, self.taken) = (None, true);
                Poll::Ready(true)
            }
        }
    }
}
