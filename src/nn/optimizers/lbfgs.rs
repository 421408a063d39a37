//! L-BFGS with a strong Wolfe line search.
//!
//! Liu and Nocedal: "On the limited memory BFGS method for large scale optimization" (1989); Nocedal and Wright,
//! *Numerical Optimization*, algorithms 7.4 (two-loop recursion), 3.5 and 3.6 (line search: bracket, then zoom by cubic
//! interpolation). The loss is a sum of millions of `f32` products, so close to the minimum it does not resolve the
//! decrease that Wolfe's first condition asks for; there the approximate condition of Hager and Zhang (2005) decides,
//! which looks at the slope alone.
//!
//! The recursion starts from a guess of the inverse Hessian, usually a multiple of the identity; here a diagonal one
//! (Gilbert and Lemaréchal: "Some numerical experiments with variable-storage quasi-Newton algorithms", 1989). A painting's
//! gradient changes a hundred times more in one place than in another, and a number whose gradient hardly changes can go
//! further. Each entry is the root of the mean square of its number's steps by that of its gradient's changes.

use std::collections::VecDeque;

use super::{
    Evaluate, Optimizer,
    vectors::{add_scaled, dot, scale},
};

/// Wolfe's constants: sufficient decrease, and what of the slope may be left.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Relative resolution of the loss.
const RESOLUTION: f64 = 1e-6;
/// Evaluations of one line search at most.
const TRIALS: usize = 12;
/// Root mean square of the first step, which has no curvature to go by, in the units of the numbers.
const FIRST_STEP: f64 = 2.0;
/// How much of the diagonal's mean squares is kept with each step.
const KEPT: f32 = 0.9;
/// Shares of their averages over all numbers that are added to the mean squares of steps and of changes, which bounds the
/// diagonal.
const FLOOR: [f64; 2] = [1.0, 0.03];

/// L-BFGS.
#[derive(Clone, Debug)]
pub struct Lbfgs {
    history: usize,
    pairs: VecDeque<Pair>,
    /// Per number, mean squares of its steps and of its gradient's changes; of all numbers each step and each change has
    /// length 1.
    squares: Vec<[f32; 2]>,
    /// Loss and gradient where the last step ended.
    here: Option<(f64, Vec<f32>)>,
    stuck: bool,
}

/// A step, the change of the gradient along it, and their product.
#[derive(Clone, Debug)]
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    product: f64,
}

/// A point on the line that is searched.
#[derive(Clone, Copy)]
struct Trial {
    at: f64,
    loss: f64,
    slope: f64,
}

impl Lbfgs {
    /// Remembers `history` steps; each takes the memory of two pictures.
    #[must_use]
    pub fn new(history: usize) -> Self {
        Self {
            history: history.max(1),
            pairs: VecDeque::new(),
            squares: Vec::new(),
            here: None,
            stuck: false,
        }
    }

    /// -H·gradient, the two-loop recursion.
    fn direction(&self, gradient: &[f32]) -> Vec<f32> {
        let mut direction: Vec<f32> = gradient.iter().map(|g| -g).collect();
        let mut factors = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let factor = dot(&pair.step, &direction) / pair.product;
            add_scaled(&mut direction, -factor, &pair.change);
            factors.push(factor);
        }
        if let Some(pair) = self.pairs.back() {
            let diagonal = self.diagonal();
            let squares: f64 = (pair.change.iter().zip(&diagonal))
                .map(|(change, entry)| f64::from(change * change * entry))
                .sum();
            let factor = (pair.product / squares) as f32;
            for (value, entry) in direction.iter_mut().zip(diagonal) {
                *value *= factor * entry;
            }
        }
        for (pair, factor) in self.pairs.iter().zip(factors.iter().rev()) {
            let other = dot(&pair.change, &direction) / pair.product;
            add_scaled(&mut direction, factor - other, &pair.step);
        }
        direction
    }

    /// Where the recursion starts from, but for a factor.
    fn diagonal(&self) -> Vec<f32> {
        let floor: [f32; 2] = std::array::from_fn(|of| {
            let sum: f64 = self.squares.iter().map(|s| f64::from(s[of])).sum();
            (FLOOR[of] * sum / self.squares.len() as f64) as f32
        });
        (self.squares.iter())
            .map(|[step, change]| ((step + floor[0]) / (change + floor[1])).sqrt())
            .collect()
    }

    fn remember(&mut self, step: Vec<f32>, change: Vec<f32>) {
        let product = dot(&step, &change);
        // Wolfe's second condition makes this positive; rounding may not.
        if product <= 1e-10 * dot(&change, &change) {
            return;
        }
        if self.pairs.is_empty() {
            self.squares.clear();
            self.squares.resize(step.len(), [0.0; 2]);
        }
        let one = [&step, &change].map(|vector| dot(vector, vector).recip() as f32);
        for ((squares, step), change) in self.squares.iter_mut().zip(&step).zip(&change) {
            let new = [one[0] * step * step, one[1] * change * change];
            *squares = [0, 1].map(|of| KEPT * squares[of] + new[of]);
        }
        if self.pairs.len() == self.history {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair {
            step,
            change,
            product,
        });
    }
}

impl Optimizer for Lbfgs {
    fn step<E>(&mut self, x: &mut [f32], evaluate: &mut Evaluate<'_, E>) -> Result<f64, E> {
        self.stuck = false;
        let (loss, gradient) = match self.here.take() {
            Some(here) if here.1.len() == x.len() => here,
            _ => {
                self.pairs.clear();
                let mut gradient = vec![0.0; x.len()];
                (evaluate(x, &mut gradient)?, gradient)
            }
        };
        let mut direction = self.direction(&gradient);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 || !slope.is_finite() {
            self.pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        let first = if self.pairs.is_empty() {
            FIRST_STEP * (x.len() as f64 / -slope).sqrt()
        } else {
            1.0
        };
        let mut search = LineSearch {
            start: Trial {
                at: 0.0,
                loss,
                slope,
            },
            origin: x,
            direction: &direction,
            point: vec![0.0; x.len()],
            gradient: vec![0.0; x.len()],
            evaluate,
            trials: 0,
        };
        let found = if slope < 0.0 {
            search.run(first)?
        } else {
            None
        };
        let LineSearch {
            point,
            gradient: new_gradient,
            ..
        } = search;
        let Some(trial) = found else {
            self.stuck = self.pairs.is_empty();
            self.pairs.clear();
            self.here = Some((loss, gradient));
            return Ok(loss);
        };
        let mut step = direction;
        scale(&mut step, trial.at);
        let mut change = gradient;
        change
            .iter_mut()
            .zip(&new_gradient)
            .for_each(|(old, new)| *old = new - *old);
        x.copy_from_slice(&point);
        self.remember(step, change);
        self.here = Some((trial.loss, new_gradient));
        Ok(trial.loss)
    }

    fn restart(&mut self) {
        self.pairs.clear();
        self.here = None;
        self.stuck = false;
    }

    fn is_stuck(&self) -> bool {
        self.stuck
    }
}

struct LineSearch<'a, E> {
    start: Trial,
    origin: &'a [f32],
    direction: &'a [f32],
    /// The point of the last trial and the gradient there.
    point: Vec<f32>,
    gradient: Vec<f32>,
    evaluate: &'a mut Evaluate<'a, E>,
    trials: usize,
}

impl<E> LineSearch<'_, E> {
    fn trial(&mut self, at: f64) -> Result<Trial, E> {
        self.trials += 1;
        self.point.copy_from_slice(self.origin);
        add_scaled(&mut self.point, at, self.direction);
        let loss = (self.evaluate)(&self.point, &mut self.gradient)?;
        let slope = dot(&self.gradient, self.direction);
        // What is no number is far too high.
        let loss = if loss.is_finite() { loss } else { f64::MAX };
        Ok(Trial { at, loss, slope })
    }

    /// Wolfe's first condition, or what stands for it where the loss does not resolve it.
    fn falls(&self, trial: Trial) -> bool {
        let start = self.start;
        trial.loss <= start.loss + DECREASE * trial.at * start.slope
            || (trial.loss <= start.loss + RESOLUTION * start.loss.abs()
                && trial.slope <= (2.0 * DECREASE - 1.0) * start.slope)
    }

    fn is_flat(&self, trial: Trial) -> bool {
        trial.slope.abs() <= -CURVATURE * self.start.slope
    }

    /// The accepted trial, at which `point` and `gradient` then stand; `None` when nothing goes down.
    fn run(&mut self, first: f64) -> Result<Option<Trial>, E> {
        let (mut before, mut at) = (self.start, first);
        loop {
            let trial = self.trial(at)?;
            if !self.falls(trial) || (self.trials > 1 && trial.loss >= before.loss) {
                return self.zoom(before, trial);
            }
            if self.is_flat(trial) || self.trials >= TRIALS {
                return Ok(Some(trial));
            }
            if trial.slope >= 0.0 {
                return self.zoom(trial, before);
            }
            (before, at) = (trial, 2.0 * at);
        }
    }

    /// Narrows between `low`, which falls, and `high`.
    fn zoom(&mut self, mut low: Trial, mut high: Trial) -> Result<Option<Trial>, E> {
        while self.trials < TRIALS {
            let trial = self.trial(between(low, high))?;
            if !self.falls(trial) || trial.loss >= low.loss && low.at > 0.0 {
                high = trial;
            } else {
                if self.is_flat(trial) {
                    return Ok(Some(trial));
                }
                if trial.slope * (high.at - low.at) >= 0.0 {
                    high = low;
                }
                low = trial;
            }
        }
        if low.at == 0.0 {
            return Ok(None);
        }
        // The last trial need not be the best one.
        self.trial(low.at).map(Some)
    }
}

/// The minimum of the cubic through two trials, held off the ends.
fn between(a: Trial, b: Trial) -> f64 {
    let width = b.at - a.at;
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.at - b.at);
    let root = (d1 * d1 - a.slope * b.slope).sqrt() * width.signum();
    let cubic = b.at - width * (b.slope + root - d1) / (b.slope - a.slope + 2.0 * root);
    let share = (cubic - a.at) / width;
    a.at + width
        * if share.is_finite() {
            share.clamp(0.1, 0.9)
        } else {
            0.5
        }
}
