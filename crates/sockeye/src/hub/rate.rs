//! How much one session may say: a bucket that fills at a steady rate.

use std::time::Duration;

use tokio::time::Instant;

/// A limit on lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineRate {
    /// How many may come at once.
    pub burst: u32,
    /// How many may follow in a second.
    pub per_second: f64,
}

impl Default for LineRate {
    /// 40 at once, then 10 a second: a pasted paragraph passes, a flood does not.
    fn default() -> Self {
        Self {
            burst: 40,
            per_second: 10.0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: LineRate) -> Self {
        Self {
            left: f64::from(rate.burst),
            at: Instant::now(),
        }
    }

    /// Takes one line's room, or says how long it takes until there is some.
    pub(super) fn take(&mut self, rate: LineRate) -> Result<(), Duration> {
        let now = Instant::now();
        let filled = now.duration_since(self.at).as_secs_f64() * rate.per_second;
        self.left = (self.left + filled).min(f64::from(rate.burst));
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.left) / rate.per_second;
        Err(Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate() {
        let rate = LineRate {
            burst: 3,
            per_second: 2.0,
        };
        let mut bucket = Bucket::full(rate);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate), Ok(()));
        }
        let wait = bucket.take(rate).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        tokio::time::advance(wait).await;
        assert_eq!(bucket.take(rate), Ok(()));
        assert!(bucket.take(rate).is_err());
        tokio::time::advance(Duration::from_secs(3600)).await;
        for _ in 0..3 {
            assert_eq!(bucket.take(rate), Ok(()));
        }
        assert!(bucket.take(rate).is_err(), "no more gathers than a burst");
    }
}
