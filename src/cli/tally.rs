//! What an optimisation came to, for the JSON summaries.

use std::sync::{Arc, Mutex, PoisonError};

use allaprima::stylize::optimize::Step;
use serde::Serialize;

/// Steps and losses of a run of `--engine optimize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Optimized {
    /// Pictures optimised; those that were taken up from an earlier run are not among them.
    pictures: u64,
    /// Steps at all sizes.
    steps: u64,
    /// Mean loss at the last step of a picture, and its terms.
    loss: f64,
    content: f64,
    style: f64,
    variation: f64,
    temporal: f64,
}

#[derive(Debug, Default)]
struct Sums {
    done: Optimized,
    /// The last step at full size of the picture that is being painted.
    last: Option<Optimized>,
}

/// Counts while the painter works, for who reads it afterwards.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Sums>>);

impl Tally {
    /// To be called after each step.
    pub fn step(&self, step: &Step<'_>) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.done.steps += 1;
        if !step.is_full_size {
            return;
        }
        if step.iteration == 1
            && let Some(last) = sums.last.take()
        {
            sums.done.add(&last);
        }
        let losses = step.losses;
        sums.last = Some(Optimized {
            pictures: 1,
            steps: 0,
            loss: losses.total,
            content: losses.content,
            style: losses.style,
            variation: losses.variation,
            temporal: losses.temporal,
        });
    }

    /// What it came to; `None` when nothing was optimised.
    pub fn result(&self) -> Option<Optimized> {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = sums.done;
        if let Some(last) = &sums.last {
            all.add(last);
        }
        let share = 1.0 / all.pictures as f64;
        (all.pictures > 0).then_some(Optimized {
            loss: all.loss * share,
            content: all.content * share,
            style: all.style * share,
            variation: all.variation * share,
            temporal: all.temporal * share,
            ..all
        })
    }
}

impl Optimized {
    fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.loss += other.loss;
        self.content += other.content;
        self.style += other.style;
        self.variation += other.variation;
        self.temporal += other.temporal;
    }
}
