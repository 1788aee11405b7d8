//! A limit for how many bytes go out in a second.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that may go in a second; the short bursts that it allows are a twentieth of that.
#[derive(Debug)]
pub struct Pace {
    rate: u64,
    /// When all that went so far may have gone.
    until: Instant,
}

impl Pace {
    /// `rate` is in bytes in a second, and at least one.
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            until: Instant::now(),
        }
    }

    /// As much as goes in a second: more at once would be a silence that the other end takes for a broken connection.
    pub fn piece(&self) -> usize {
        usize::try_from(self.rate).unwrap_or(usize::MAX)
    }

    /// Waits until so many more may go; whether that took time.
    pub async fn wait(&mut self, bytes: usize) -> bool {
        let now = Instant::now();
        let burst = Duration::from_millis(50);
        // What was not used in time is lost.
        self.until = self.until.max(now.checked_sub(burst).unwrap_or(now));
        self.until += Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let is_early = self.until > now;
        if is_early {
            tokio::time::sleep_until(self.until).await;
        }
        is_early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_much_takes_so_long() {
        let start = Instant::now();
        let mut pace = Pace::new(1000);
        for _ in 0..10 {
            pace.wait(500).await;
        }
        let took = start.elapsed();
        assert!(
            (Duration::from_millis(4900)..Duration::from_millis(5100)).contains(&took),
            "{took:?}"
        );
    }
}
