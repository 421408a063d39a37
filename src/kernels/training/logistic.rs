//! The logistic function, which turns the last layer's numbers into colours.

use crate::kernels::instruction_set::{InstructionSet, Kernel};
use crate::kernels::simd::{Simd, sigmoid};

/// Writes `1 / (1 + exp(-value))` of each of `values` to `results`, within 1e-6.
///
/// # Panics
/// When the lengths differ.
pub fn logistic(values: &[f32], results: &mut [f32]) {
    assert_eq!(values.len(), results.len());
    // SAFETY: the best set is available.
    unsafe { InstructionSet::best().run(Logistic { values, results }) }
}

struct Logistic<'a> {
    values: &'a [f32],
    results: &'a mut [f32],
}

impl Kernel for Logistic<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let whole = self.values.len() / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            // SAFETY: the caller has the set, and both slices so many values.
            unsafe {
                let value = S::load(self.values.as_ptr().add(at));
                S::store(self.results.as_mut_ptr().add(at), sigmoid::<S>(value));
            }
        }
        for (value, result) in self.values[whole..].iter().zip(&mut self.results[whole..]) {
            *result = 1.0 / (1.0 + (-value).exp());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_agree_with_the_exponential() {
        let values: Vec<f32> = (-300..=303).map(|n| n as f32 * 0.1).collect();
        let mut results = vec![0.0; values.len()];
        logistic(&values, &mut results);
        for (value, result) in values.iter().zip(&results) {
            let expected = 1.0 / (1.0 + (-f64::from(*value)).exp());
            assert!((f64::from(*result) - expected).abs() < 1e-6, "{value}");
        }
    }
}
