//! How long a training is, and the learning rate that follows from it: rising at first, then falling along a cosine
//! (Loshchilov and Hutter 2017), so that the last steps settle what the first ones found.

use super::adam::State;
use std::time::Duration;

/// The last step's learning rate, as a part of the largest.
const LAST_RATE: f32 = 0.01;

/// How long a training is, which is what its learning rate follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan {
    /// So many steps.
    Steps(u64),
    /// So much time.
    Time(Duration),
}

impl Plan {
    /// How much of it is done, 0..=1.
    #[must_use]
    pub fn done(self, state: &State) -> f32 {
        match self {
            Self::Steps(steps) => (state.steps as f64 / steps as f64).min(1.0) as f32,
            Self::Time(time) => (state.seconds / time.as_secs_f64()).min(1.0) as f32,
        }
    }

    /// The next step's learning rate as a part of the largest, which is reached after `warm_up` steps.
    pub(super) fn rate(self, state: &State, warm_up: u64) -> f32 {
        let cosine = 0.5 * (1.0 + (std::f32::consts::PI * self.done(state)).cos());
        let warm = ((state.steps + 1) as f32 / warm_up as f32).min(1.0);
        warm * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
    }
}
