//! How long a counter has stood still.

use std::time::{Duration, Instant};

/// The most that counts between two looks. A program that was stopped (Ctrl-Z) or held up does not find everything
/// silent when it goes on.
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// Measures how long a counter has stood still while it was looked at.
#[derive(Debug)]
pub(super) struct Silence {
    count: u64,
    looked: Instant,
    silent: Duration,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            count: 0,
            looked: now,
            silent: Duration::ZERO,
        }
    }

    /// Looks at the counter; `excused` silence does not count.
    pub(super) fn look(&mut self, count: u64, excused: bool, now: Instant) -> Duration {
        let step = now.saturating_duration_since(self.looked).min(LONGEST_STEP);
        self.looked = now;
        if excused || count != self.count {
            self.count = count;
            self.silent = Duration::ZERO;
        } else {
            self.silent += step;
        }
        self.silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_adds_up_until_the_counter_moves() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut silence = Silence::new(start);
        assert_eq!(silence.look(0, false, at(100)), Duration::from_millis(100));
        assert_eq!(silence.look(0, false, at(300)), Duration::from_millis(300));
        assert_eq!(silence.look(1, false, at(400)), Duration::ZERO);
        assert_eq!(silence.look(1, false, at(500)), Duration::from_millis(100));
        assert_eq!(silence.look(1, true, at(600)), Duration::ZERO);
        // A minute in which nobody looked is no minute of silence.
        assert_eq!(silence.look(1, false, at(60_600)), LONGEST_STEP);
    }
}
