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

use super::{Evaluate, Optimizer, space::Space};

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
pub struct Lbfgs<V> {
    history: usize,
    pairs: VecDeque<Pair<V>>,
    /// Per number, mean squares of its steps and of its gradient's changes; of all numbers each step and each change has
    /// length 1.
    squares: Option<[V; 2]>,
    /// Loss and gradient where the last step ended.
    here: Option<(f64, V)>,
    stuck: bool,
}

/// A step, the change of the gradient along it, and their product.
#[derive(Clone, Debug)]
struct Pair<V> {
    step: V,
    change: V,
    product: f64,
}

/// A point on the line that is searched.
#[derive(Clone, Copy)]
struct Trial {
    at: f64,
    loss: f64,
    slope: f64,
}

impl<V> Lbfgs<V> {
    /// Remembers `history` steps; each takes the memory of two pictures.
    #[must_use]
    pub fn new(history: usize) -> Self {
        Self {
            history: history.max(1),
            pairs: VecDeque::new(),
            squares: None,
            here: None,
            stuck: false,
        }
    }

    /// -H·gradient, the two-loop recursion.
    fn direction<S: Space<Vector = V> + ?Sized>(
        &self,
        space: &mut S,
        gradient: &V,
    ) -> Result<V, S::Error> {
        let mut direction = negative(space, gradient)?;
        let mut factors = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let factor = space.dot(&pair.step, &direction)? / pair.product;
            space.add_scaled(&mut direction, -factor, &pair.change)?;
            factors.push(factor);
        }
        if let (Some(pair), Some([steps, changes])) = (self.pairs.back(), &self.squares) {
            let count = space.length() as f64;
            let floors = [
                (FLOOR[0] * space.sum(steps)? / count) as f32,
                (FLOOR[1] * space.sum(changes)? / count) as f32,
            ];
            // Where the recursion starts from, but for a factor.
            let diagonal = space.root_of_ratio(steps, changes, floors)?;
            let squares = space.dot_of_square(&pair.change, &diagonal)?;
            space.multiply(&mut direction, (pair.product / squares) as f32, &diagonal)?;
        }
        for (pair, factor) in self.pairs.iter().zip(factors.iter().rev()) {
            let other = space.dot(&pair.change, &direction)? / pair.product;
            space.add_scaled(&mut direction, factor - other, &pair.step)?;
        }
        Ok(direction)
    }

    fn remember<S: Space<Vector = V> + ?Sized>(
        &mut self,
        space: &mut S,
        step: V,
        change: V,
    ) -> Result<(), S::Error> {
        let product = space.dot(&step, &change)?;
        let lengths = [space.dot(&step, &step)?, space.dot(&change, &change)?];
        // Wolfe's second condition makes this positive; rounding may not.
        if product <= 1e-10 * lengths[1] {
            return Ok(());
        }
        if self.pairs.is_empty() {
            self.squares = None;
        }
        let squares = match &mut self.squares {
            Some(squares) => squares,
            none => none.insert([space.fresh()?, space.fresh()?]),
        };
        for (squares, (vector, length)) in squares
            .iter_mut()
            .zip([&step, &change].into_iter().zip(lengths))
        {
            space.add_square(squares, KEPT, length.recip() as f32, vector)?;
        }
        if self.pairs.len() == self.history {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair {
            step,
            change,
            product,
        });
        Ok(())
    }
}

fn negative<S: Space + ?Sized>(space: &mut S, of: &S::Vector) -> Result<S::Vector, S::Error> {
    let mut negative = space.fresh()?;
    space.add_scaled(&mut negative, -1.0, of)?;
    Ok(negative)
}

impl<S: Space + ?Sized> Optimizer<S> for Lbfgs<S::Vector> {
    fn step(
        &mut self,
        space: &mut S,
        x: &mut S::Vector,
        evaluate: &mut Evaluate<'_, S>,
    ) -> Result<f64, S::Error> {
        self.stuck = false;
        let (loss, gradient) = match self.here.take() {
            Some(here) => here,
            None => {
                self.pairs.clear();
                let mut gradient = space.fresh()?;
                (evaluate(x, &mut gradient)?, gradient)
            }
        };
        let mut direction = self.direction(space, &gradient)?;
        let mut slope = space.dot(&direction, &gradient)?;
        if slope >= 0.0 || !slope.is_finite() {
            self.pairs.clear();
            direction = negative(space, &gradient)?;
            slope = space.dot(&direction, &gradient)?;
        }
        let first = if self.pairs.is_empty() {
            FIRST_STEP * (space.length() as f64 / -slope).sqrt()
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
            point: space.fresh()?,
            gradient: space.fresh()?,
            space,
            evaluate,
            trials: 0,
        };
        let found = if slope < 0.0 {
            search.run(first)?
        } else {
            None
        };
        let LineSearch {
            mut point,
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
        space.scale(&mut step, trial.at)?;
        let mut change = gradient;
        space.scale(&mut change, -1.0)?;
        space.add_scaled(&mut change, 1.0, &new_gradient)?;
        std::mem::swap(x, &mut point);
        self.remember(space, step, change)?;
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

struct LineSearch<'a, 'e, S: Space + ?Sized> {
    start: Trial,
    origin: &'a S::Vector,
    direction: &'a S::Vector,
    /// The point of the last trial and the gradient there.
    point: S::Vector,
    gradient: S::Vector,
    space: &'a mut S,
    evaluate: &'a mut Evaluate<'e, S>,
    trials: usize,
}

impl<S: Space + ?Sized> LineSearch<'_, '_, S> {
    fn trial(&mut self, at: f64) -> Result<Trial, S::Error> {
        self.trials += 1;
        self.space.copy(&mut self.point, self.origin)?;
        self.space.add_scaled(&mut self.point, at, self.direction)?;
        let loss = (self.evaluate)(&self.point, &mut self.gradient)?;
        let slope = self.space.dot(&self.gradient, self.direction)?;
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
    fn run(&mut self, first: f64) -> Result<Option<Trial>, S::Error> {
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
    fn zoom(&mut self, mut low: Trial, mut high: Trial) -> Result<Option<Trial>, S::Error> {
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
