//! The clock that says when to look for silent peers.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::exchange::Exchange;

/// Asks for a sweep every `period` for as long as it lives.
///
/// A thread and not a timer of the runtime: any timer makes every wait for the socket a wait with a deadline,
/// and setting and clearing that costs a busy port some 2 % of each datagram.
pub(super) struct Sweeper {
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    pub(super) fn start<A: Send + Sync + 'static>(
        exchange: &Arc<Exchange<A>>,
        period: Duration,
    ) -> Self {
        let exchange = Arc::downgrade(exchange);
        let thread = std::thread::Builder::new()
            .name("sweeper".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || tick(&exchange, period));
        // Without the thread silent peers stay until the port ends; everything else works.
        Self {
            thread: thread.ok(),
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

fn tick<A>(exchange: &Weak<Exchange<A>>, period: Duration) {
    loop {
        std::thread::park_timeout(period);
        let Some(exchange) = exchange.upgrade() else {
            return;
        };
        exchange.ask_for_sweep();
    }
}
