//! Minimising a loss over many numbers: Adam and L-BFGS.
//!
//! A picture is a point in a space of a million dimensions; its loss and gradient cost a forward and a backward pass of
//! the loss network, beside which everything here is free. So what counts is the number of evaluations, and L-BFGS,
//! which learns the curvature from the last steps, needs several times fewer of them than Adam.

mod adam;
mod lbfgs;
mod space;
mod vectors;

pub use adam::Adam;
pub use lbfgs::Lbfgs;
pub use space::{AdamStep, DECAYS, EPSILON, Processor, Space};

use std::time::{Duration, Instant};

/// A function to minimise: returns the loss at a point and fills the gradient there.
pub type Evaluate<'a, S> = dyn FnMut(&<S as Space>::Vector, &mut <S as Space>::Vector) -> Result<f64, <S as Space>::Error>
    + 'a;

/// A way downhill. `evaluate(x, gradient)` returns the loss at `x` and fills the gradient there.
pub trait Optimizer<S: Space + ?Sized> {
    /// Moves `x` one step and returns the loss: for Adam at the point it left, for L-BFGS at the point it reached.
    ///
    /// # Errors
    /// What `evaluate` or the vectors' place fails with.
    fn step(
        &mut self,
        space: &mut S,
        x: &mut S::Vector,
        evaluate: &mut Evaluate<'_, S>,
    ) -> Result<f64, S::Error>;

    /// Forgets everything learnt: the target changed.
    fn restart(&mut self);

    /// Whether the last step found no way further down.
    fn is_stuck(&self) -> bool {
        false
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopRule {
    /// Steps at most.
    pub iterations: usize,
    /// Time at most; a step that was begun is finished.
    pub budget: Option<Duration>,
    /// Stop when the loss fell by less than this share of it ...
    pub settled: f64,
    /// ... within so many steps.
    pub window: usize,
}

impl StopRule {
    /// After so many steps.
    #[must_use]
    pub fn after(iterations: usize) -> Self {
        Self {
            iterations,
            budget: None,
            settled: 0.0,
            window: 10,
        }
    }
}

/// Steps until `rule` says stop or `observe` (iteration from 1, loss, x) returns false. Returns the loss after each step.
///
/// # Errors
/// What `evaluate` fails with.
pub fn minimise<S: Space + ?Sized>(
    optimizer: &mut impl Optimizer<S>,
    space: &mut S,
    x: &mut S::Vector,
    rule: StopRule,
    mut evaluate: impl FnMut(&S::Vector, &mut S::Vector) -> Result<f64, S::Error>,
    mut observe: impl FnMut(usize, f64, &S::Vector) -> bool,
) -> Result<Vec<f64>, S::Error> {
    let started = Instant::now();
    let mut losses = Vec::new();
    while losses.len() < rule.iterations
        && rule.budget.is_none_or(|budget| started.elapsed() < budget)
    {
        let loss = optimizer.step(space, x, &mut evaluate)?;
        losses.push(loss);
        if !observe(losses.len(), loss, x) || optimizer.is_stuck() {
            break;
        }
        if rule.settled > 0.0
            && let Some(before) = losses.len().checked_sub(rule.window + 1)
            && losses[before] - loss < rule.settled * losses[before].abs()
        {
            break;
        }
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Rosenbrock's valley in many dimensions: the minimum is 0, where all are 1.
    #[allow(clippy::ptr_arg, reason = "the processor's vectors are these")]
    fn valley(x: &Vec<f32>, gradient: &mut Vec<f32>) -> Result<f64, Infallible> {
        gradient.fill(0.0);
        let mut loss = 0.0;
        for i in (0..x.len()).step_by(2) {
            let (a, b) = (f64::from(x[i]), f64::from(x[i + 1]));
            loss += (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2);
            gradient[i] = (-2.0 * (1.0 - a) - 400.0 * a * (b - a * a)) as f32;
            gradient[i + 1] = (200.0 * (b - a * a)) as f32;
        }
        Ok(loss)
    }

    fn space(length: usize) -> Processor<Infallible> {
        Processor::new(length)
    }

    fn start() -> Vec<f32> {
        (0..200)
            .map(|i| if i % 2 == 0 { -1.2 } else { 1.0 } + (i as f32 * 0.7).sin() * 0.1)
            .collect()
    }

    /// The losses on the way down the valley.
    fn descend(
        mut optimizer: impl Optimizer<Processor<Infallible>>,
        rule: StopRule,
        goes_on: impl Fn(usize) -> bool,
    ) -> Vec<f64> {
        let (mut space, mut x) = (space(200), start());
        let observe = |number: usize, _: f64, _: &Vec<f32>| goes_on(number);
        let Ok(losses) = minimise(&mut optimizer, &mut space, &mut x, rule, valley, observe);
        losses
    }

    #[test]
    fn lbfgs_goes_down_the_valley() {
        let rule = StopRule::after(200);
        let losses = descend(Lbfgs::new(8), rule, |_| true);
        assert!(losses.last().unwrap() < &1e-6, "{losses:?}");
        assert!(
            losses.windows(2).all(|pair| pair[1] <= pair[0]),
            "{losses:?}"
        );
    }

    /// A bowl whose numbers count up to a million times more than others. From a multiple of the identity 25 steps reach
    /// 0.002 of the first loss, from the diagonal 0.00015.
    #[test]
    fn lbfgs_learns_how_much_each_number_counts() {
        let weight = |i: usize| 10.0_f64.powf(6.0 * (i * 37 % 100) as f64 / 100.0 - 3.0);
        let bowl = |x: &Vec<f32>, gradient: &mut Vec<f32>| {
            let mut loss = 0.0;
            for (i, (x, gradient)) in x.iter().zip(gradient).enumerate() {
                // The fourth power changes the curvature along the way.
                let x = f64::from(*x);
                loss += weight(i) * (x.powi(2) + x.powi(4));
                *gradient = (weight(i) * (2.0 * x + 4.0 * x.powi(3))) as f32;
            }
            Ok::<_, Infallible>(loss)
        };
        let mut x = vec![1.0_f32; 2000];
        let rule = StopRule::after(25);
        let losses = minimise(
            &mut Lbfgs::new(5),
            &mut space(2000),
            &mut x,
            rule,
            bowl,
            |_, _, _| true,
        )
        .unwrap();
        assert!(losses[24] < 5e-4 * losses[0], "{losses:?}");
    }

    #[test]
    fn adam_goes_down_and_repeats_itself() {
        let run = || {
            let rule = StopRule::after(400);
            descend(Adam::new(0.05), rule, |_| true)
        };
        let losses = run();
        assert!(
            losses[399] < 0.05 * losses[0],
            "{} {}",
            losses[0],
            losses[399]
        );
        assert_eq!(losses, run());
    }

    #[test]
    fn adam_by_hand() {
        // One step moves by the rate against the gradient's sign; a second equal gradient does the same.
        let (mut x, mut space) = (vec![1.0_f32, -2.0], space(2));
        let mut adam = Adam::new(0.5);
        let mut slope = |_: &Vec<f32>, gradient: &mut Vec<f32>| {
            gradient.copy_from_slice(&[3.0, -0.01]);
            Ok::<_, Infallible>(0.0)
        };
        adam.step(&mut space, &mut x, &mut slope).unwrap();
        adam.step(&mut space, &mut x, &mut slope).unwrap();
        assert!(
            (x[0] - 0.0).abs() < 1e-4 && (x[1] + 1.0).abs() < 1e-4,
            "{x:?}"
        );
    }

    #[test]
    fn rules_stop() {
        let mut rule = StopRule::after(1000);
        rule.settled = 1e-3;
        let losses = descend(Lbfgs::new(8), rule, |_| true);
        assert!(losses.len() < 300);
        let rule = StopRule::after(1000);
        let observed = descend(Lbfgs::new(8), rule, |n| n < 3);
        assert_eq!(observed.len(), 3);
        let mut rule = StopRule::after(1000);
        rule.budget = Some(Duration::ZERO);
        let none = descend(Lbfgs::new(8), rule, |_| true);
        assert!(none.is_empty());
    }
}
