//! The clock that says when to look for silent peers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::exchange::Exchange;

/// Asks for a sweep every `period` for as long as it lives, and not a moment longer.
///
/// A thread and not a timer of the runtime: any timer makes every wait for the socket a wait with a deadline,
/// and setting and clearing that costs a busy port some 2 % of each datagram.
pub(super) struct Sweeper(Option<(Sender<()>, JoinHandle<()>)>);

impl Sweeper {
    pub(super) fn start<A: Send + Sync + 'static>(
        exchange: &Arc<Exchange<A>>,
        period: Duration,
    ) -> Self {
        let exchange = exchange.clone();
        let (alive, told) = channel();
        let thread = std::thread::Builder::new()
            .name("sweeper".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || tick(&told, period, || exchange.ask_for_sweep()));
        // Without the thread silent peers stay until the port ends; everything else works.
        Self(thread.ok().map(|thread| (alive, thread)))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some((alive, thread)) = self.0.take() {
            drop(alive);
            // It waits for nothing else, so this takes no longer than waking it does.
            let _ = thread.join();
        }
    }
}

/// Until the other end of `told` is gone.
fn tick(told: &Receiver<()>, period: Duration, ask: impl Fn()) {
    while told.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        ask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_port() {
        let exchange = Arc::new(Exchange::<u8>::new());
        let sweeper = Sweeper::start(&exchange, Duration::from_secs(600));
        assert!(sweeper.0.is_some());
        drop(sweeper);
        // The thread has let go of it.
        assert_eq!(
            (Arc::strong_count(&exchange), Arc::weak_count(&exchange)),
            (1, 0)
        );
    }

    #[test]
    fn it_asks_again_and_again() {
        let exchange = Arc::new(Exchange::<u8>::new());
        let _sweeper = Sweeper::start(&exchange, Duration::from_millis(1));
        let began = std::time::Instant::now();
        for _ in 0..3 {
            while !exchange.wants_sweep() {
                assert!(began.elapsed() < Duration::from_secs(15), "not asked");
                std::thread::yield_now();
            }
        }
    }
}
