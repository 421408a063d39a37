//! Long vectors on all threads. Sums are taken in `f64` over pieces of fixed length, so that they do not depend on the
//! threads.

use rayon::prelude::*;

pub(super) const PIECE: usize = 1 << 15;

/// Σ a·b.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum_of(a, b, |a, b| f64::from(a) * f64::from(b))
}

/// The sum of what `each` makes of a pair of numbers.
pub(super) fn sum_of(a: &[f32], b: &[f32], each: impl Fn(f32, f32) -> f64 + Sync) -> f64 {
    let parts: Vec<f64> = a
        .par_chunks(PIECE)
        .zip(b.par_chunks(PIECE))
        .map(|(a, b)| {
            // Eight sums of their own let the compiler use vectors.
            let mut sums = [0.0_f64; 8];
            let (a, b) = (a.chunks(8), b.chunks(8));
            for (a, b) in a.zip(b) {
                for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += each(a, b);
                }
            }
            sums.iter().sum()
        })
        .collect();
    parts.iter().sum()
}

/// y += factor · x.
pub(super) fn add_scaled(y: &mut [f32], factor: f64, x: &[f32]) {
    let factor = factor as f32;
    y.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x));
}

/// y *= factor.
pub(super) fn scale(y: &mut [f32], factor: f64) {
    let factor = factor as f32;
    y.par_chunks_mut(PIECE)
        .for_each(|y| y.iter_mut().for_each(|y| *y *= factor));
}
