//! Adam (Kingma and Ba 2015) over one flat vector, with a running average of the weights.

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

    /// One step against `gradient`, of `rate` times what each parameter has in `rates`.
    pub fn step(&mut self, gradient: &[f32], rates: &[f32], rate: f32) {
        self.steps += 1;
        let steps = self.steps.min(1 << 20) as i32;
        let rate = rate / (1.0 - MEAN_DECAY.powi(steps));
        let root = (1.0 - SQUARE_DECAY.powi(steps)).sqrt();
        let keep = AVERAGE_DECAY.min((1.0 + steps as f32) / (10.0 + steps as f32));
        update(
            gradient,
            rates,
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

vectorised! {
    fn update(
        gradient: &[f32],
        rates: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
        parameters: &mut [f32],
        average: &mut [f32],
        rate: f32,
        root: f32,
        keep: f32,
    ) {
        for (((((gradient, own), mean), square), parameter), average) in
            gradient.iter().zip(rates).zip(mean).zip(square).zip(parameters).zip(average)
        {
            *mean = MEAN_DECAY * *mean + (1.0 - MEAN_DECAY) * gradient;
            *square = SQUARE_DECAY * *square + (1.0 - SQUARE_DECAY) * gradient * gradient;
            *parameter -= rate * own * *mean / (square.sqrt() / root + EPSILON);
            *average = keep * *average + (1.0 - keep) * *parameter;
        }
    }
}
