//! Adam (Kingma and Ba 2015): steps of the gradient's running mean over the root of its running mean square.

use super::{
    Evaluate, Optimizer,
    space::{AdamStep, DECAYS, Space},
};

/// Adam with β = (0.9, 0.999) and ε = 1e-8.
#[derive(Clone, Debug)]
pub struct Adam<V> {
    rate: f32,
    steps: i32,
    /// Mean, mean square and gradient.
    room: Option<[V; 3]>,
}

impl<V> Adam<V> {
    /// With steps of `rate`, in the units of the numbers that are optimised.
    #[must_use]
    pub fn new(rate: f32) -> Self {
        Self {
            rate,
            steps: 0,
            room: None,
        }
    }
}

impl<S: Space + ?Sized> Optimizer<S> for Adam<S::Vector> {
    fn step(
        &mut self,
        space: &mut S,
        x: &mut S::Vector,
        evaluate: &mut Evaluate<'_, S>,
    ) -> Result<f64, S::Error> {
        if self.room.is_none() {
            self.steps = 0;
        }
        let [mean, square, gradient] = match &mut self.room {
            Some(room) => room,
            none => none.insert([space.fresh()?, space.fresh()?, space.fresh()?]),
        };
        let loss = evaluate(x, gradient)?;
        self.steps += 1;
        let correction = 1.0 - DECAYS[0].powi(self.steps);
        let step = AdamStep {
            rate: self.rate / correction,
            root: (1.0 - DECAYS[1].powi(self.steps)).sqrt(),
        };
        space.adam(x, [mean, square], gradient, step)?;
        Ok(loss)
    }

    fn restart(&mut self) {
        self.room = None;
    }
}
