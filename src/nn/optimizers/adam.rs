//! Adam (Kingma and Ba 2015): steps of the gradient's running mean over the root of its running mean square.

use rayon::prelude::*;

use super::{Evaluate, Optimizer};

const MEAN_DECAY: f32 = 0.9;
const SQUARE_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Adam with β = (0.9, 0.999) and ε = 1e-8.
#[derive(Clone, Debug)]
pub struct Adam {
    rate: f32,
    steps: i32,
    mean: Vec<f32>,
    square: Vec<f32>,
    gradient: Vec<f32>,
}

impl Adam {
    /// With steps of `rate`, in the units of the numbers that are optimised.
    #[must_use]
    pub fn new(rate: f32) -> Self {
        Self {
            rate,
            steps: 0,
            mean: Vec::new(),
            square: Vec::new(),
            gradient: Vec::new(),
        }
    }
}

impl Optimizer for Adam {
    fn step<E>(&mut self, x: &mut [f32], evaluate: &mut Evaluate<'_, E>) -> Result<f64, E> {
        if self.mean.len() != x.len() {
            self.restart();
            for room in [&mut self.mean, &mut self.square, &mut self.gradient] {
                *room = vec![0.0; x.len()];
            }
        }
        let loss = evaluate(x, &mut self.gradient)?;
        self.steps += 1;
        let correction = 1.0 - MEAN_DECAY.powi(self.steps);
        let root = (1.0 - SQUARE_DECAY.powi(self.steps)).sqrt();
        let rate = self.rate / correction;
        x.par_iter_mut()
            .with_min_len(1 << 14)
            .zip(&mut self.mean)
            .zip(&mut self.square)
            .zip(&self.gradient)
            .for_each(|(((x, mean), square), &gradient)| {
                *mean = MEAN_DECAY * *mean + (1.0 - MEAN_DECAY) * gradient;
                *square = SQUARE_DECAY * *square + (1.0 - SQUARE_DECAY) * gradient * gradient;
                *x -= rate * *mean / (square.sqrt() / root + EPSILON);
            });
        Ok(loss)
    }

    fn restart(&mut self) {
        self.steps = 0;
        self.mean.fill(0.0);
        self.square.fill(0.0);
    }
}
