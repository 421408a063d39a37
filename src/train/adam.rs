//! Adam (Kingma and Ba 2015) over one flat vector, with a running average of the weights.
//!
//! A parameter whose gradient is zero is left as it is, and so is what is remembered of it: of the styles' numbers only
//! those of the few styles of a step have a gradient. Were the others moved on by what is left of their last gradients, and
//! were those gradients forgotten meanwhile, a style would follow its latest picture and never settle.

use crate::kernels::vectorised;

const MEAN_DECAY: f32 = 0.9;
const SQUARE_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Of the running average, once it is long.
const AVERAGE_DECAY: f32 = 0.999;

/// What is trained, and what the optimizer remembers of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Steps made.
    pub steps: u64,
    /// Seconds spent.
    pub seconds: f64,
    /// The weights.
    pub parameters: Vec<f32>,
    /// Their running average, which is what paints: it lacks the last steps' noise.
    pub average: Vec<f32>,
    /// Running mean of the gradients.
    pub mean: Vec<f32>,
    /// Running mean of their squares.
    pub square: Vec<f32>,
}

impl State {
    /// A state before the first step.
    pub fn new(parameters: Vec<f32>) -> Self {
        Self {
            average: parameters.clone(),
            mean: vec![0.0; parameters.len()],
            square: vec![0.0; parameters.len()],
            parameters,
            ..Self::default()
        }
    }

    /// One step against `gradient`, of `rate` times what each parameter has in `shares`.
    pub fn step(&mut self, gradient: &[f32], shares: &[f32], rate: f32) {
        self.steps += 1;
        let steps = self.steps.min(1 << 20) as i32;
        let rate = rate / (1.0 - MEAN_DECAY.powi(steps));
        let root = (1.0 - SQUARE_DECAY.powi(steps)).sqrt();
        let keep = AVERAGE_DECAY.min((1.0 + steps as f32) / (10.0 + steps as f32));
        update(
            gradient,
            shares,
            &mut self.mean,
            &mut self.square,
            &mut self.parameters,
            &mut self.average,
            rate,
            root,
            keep,
        );
    }
}

/// Brings a gradient that is far longer than usual back to [`LONGEST`] times that, and one without a length to nothing.
/// A piece with next to no contrast is magnified by every normalisation on the way back: one such would outweigh all that
/// was learned.
pub(super) fn limit(gradient: &mut [f32], squares: &[f32], steps: u64) {
    let length = gradient
        .iter()
        .map(|g| f64::from(*g).powi(2))
        .sum::<f64>()
        .sqrt();
    if !length.is_finite() {
        gradient.fill(0.0);
        return;
    }
    if steps < SETTLED {
        return;
    }
    let made = 1.0 - f64::from(SQUARE_DECAY).powf(steps as f64);
    let usual = (squares.iter().map(|s| f64::from(*s)).sum::<f64>() / made).sqrt();
    if length > LONGEST * usual && usual > 0.0 {
        let share = (LONGEST * usual / length) as f32;
        gradient.iter_mut().for_each(|g| *g *= share);
    }
}

/// Steps after which it is known how long a gradient usually is.
const SETTLED: u64 = 10;
/// Longest gradient, as a part of the usual one.
pub(super) const LONGEST: f64 = 3.0;

vectorised! {
    fn update(
        gradient: &[f32],
        shares: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
        parameters: &mut [f32],
        average: &mut [f32],
        rate: f32,
        root: f32,
        keep: f32,
    ) {
        for (((((gradient, share), mean), square), parameter), average) in
            gradient.iter().zip(shares).zip(mean).zip(square).zip(parameters).zip(average)
        {
            let (keep_mean, keep_square, moved) =
                if *gradient == 0.0 { (1.0, 1.0, 0.0) } else { (MEAN_DECAY, SQUARE_DECAY, share * rate) };
            *mean = keep_mean * *mean + (1.0 - keep_mean) * gradient;
            *square = keep_square * *square + (1.0 - keep_square) * gradient * gradient;
            *parameter -= moved * *mean / (square.sqrt() / root + EPSILON);
            *average = keep * *average + (1.0 - keep) * *parameter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_out_of_the_ordinary_is_held() {
        // Usual squares of 0.01 each, so a length of 1.
        let squares = vec![0.01 * (1.0 - SQUARE_DECAY.powi(50)); 100];
        let length = |gradient: &[f32]| gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let mut long = vec![5.0; 100];
        limit(&mut long, &squares, 50);
        assert!(
            (length(&long) - LONGEST as f32).abs() < 1e-2,
            "{}",
            length(&long)
        );
        let mut usual = vec![0.15; 100];
        limit(&mut usual, &squares, 50);
        assert_eq!(usual, [0.15; 100]);
        for broken in [f32::NAN, f32::INFINITY] {
            let mut gradient = vec![0.1, broken, 0.1];
            limit(&mut gradient, &[0.01; 3], 0);
            assert_eq!(gradient, [0.0; 3]);
        }
    }
}
