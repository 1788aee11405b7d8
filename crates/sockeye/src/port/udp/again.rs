//! Whether a socket that gave all it had is asked again at once.

/// Where that did not pay it is tried once in so many times.
const TRIAL: u8 = 32;

/// A peer that waits for its answer may have spoken again by the time the answer was sent, most of all on the same CPU:
/// to wait for the socket is then a system call too many. Where it has not, to look is.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// This look follows a datagram that came alone.
    trying: bool,
    /// Something was there when this was last tried.
    pays: bool,
    passed: u8,
}

impl Again {
    /// After each look, with what it found: whether to look once more.
    pub(super) fn after(&mut self, received: usize) -> bool {
        if self.trying {
            self.pays = received > 0;
        }
        self.passed = (self.passed + 1) % TRIAL;
        self.trying = received == 1 && (self.pays || self.passed == 0);
        self.trying
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_again_for_as_long_as_that_pays() {
        let mut again = Again::default();
        let tried = (1..=TRIAL).find(|_| again.after(1));
        assert_eq!(tried, Some(TRIAL));
        for _ in 0..3 {
            assert!(again.after(1), "somebody had spoken");
        }
        assert!(!again.after(0), "nobody has");
        for _ in 0..4 {
            let tried = (0..TRIAL).filter(|_| again.after(1) && !again.after(0));
            assert_eq!(tried.count(), 1);
        }
        let tried = (0..TRIAL).filter(|_| again.after(2));
        assert_eq!(tried.count(), 0, "nobody waits for one answer");
    }
}
