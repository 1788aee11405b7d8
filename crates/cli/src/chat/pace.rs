//! How fast we may speak: a bucket that the server has, too, so that who keeps to it is never refused for haste.

use std::time::Duration;

use tokio::time::Instant;

/// A little slower than the server allows: its clock is not ours.
const CAUTION: f64 = 0.9;

/// A bucket of lines.
#[derive(Debug)]
pub(crate) struct Pace {
    burst: f64,
    rate: f64,
    room: f64,
    filled: Instant,
}

impl Pace {
    /// `burst` lines at once, `rate` in a second.
    pub(crate) fn new(burst: f64, rate: f64, now: Instant) -> Self {
        let burst = (burst - 1.0).max(1.0);
        Self {
            burst,
            rate: rate * CAUTION,
            room: burst,
            filled: now,
        }
    }

    /// Whether a line may go now; it is counted then.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let grown = now.duration_since(self.filled).as_secs_f64() * self.rate;
        self.room = (self.room + grown).min(self.burst);
        self.filled = now;
        let may = self.room >= 1.0;
        self.room -= if may { 1.0 } else { 0.0 };
        may
    }

    /// When the next line may go.
    pub(crate) fn next(&self) -> Instant {
        let lacks = (1.0 - self.room).max(0.0) / self.rate;
        self.filled + Duration::from_secs_f64(lacks.min(60.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut pace = Pace::new(5.0, 10.0, start);
        let burst = (0..10).filter(|_| pace.take(start)).count();
        assert_eq!(burst, 4);
        let mut now = start;
        for _ in 0..9 {
            now = pace.next();
            // Rounding must not leave it waiting for ever.
            assert!(pace.take(now + Duration::from_micros(1)));
        }
        let took = now.duration_since(start);
        assert!((0.9..1.1).contains(&took.as_secs_f64()), "{took:?}");
    }
}
