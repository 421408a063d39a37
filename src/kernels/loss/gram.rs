//! Gram matrices of features, and the gradient of a loss on them.
//!
//! G = F·Fᵀ / N for features F of C channels and N pixels (Gatys et al. 2016): which features occur together, wherever in
//! the picture. The products are those of the `gemm` crate, cut along the pixels for the threads and summed in one
//! order, so that the result is the same each time.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

/// Pixels that a thread takes at once.
const RUN: usize = 4096;

/// Gram matrix F·Fᵀ / N of `features` (`[channels][pixels]`): `channels × channels` values.
///
/// # Panics
/// When `features` is not `channels` planes.
#[must_use]
pub fn gram_matrix(features: &[f32], channels: usize) -> Vec<f32> {
    let pixels = features.len() / channels;
    assert_eq!(features.len(), channels * pixels);
    let scale = 1.0 / pixels.max(1) as f32;
    let run = RUN.min(pixels.div_ceil(2)).max(1);
    let parts: Vec<Vec<f32>> = (0..pixels)
        .step_by(run)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|start| {
            let count = run.min(pixels - start);
            let mut part = vec![0.0_f32; channels * channels];
            // SAFETY: both factors are `count` columns from `start` of the features, the result is channels × channels.
            unsafe {
                let features = features.as_ptr().add(start);
                let step = pixels as isize;
                gemm(
                    channels,
                    channels,
                    count,
                    part.as_mut_ptr(),
                    1,
                    channels as isize,
                    false,
                    features,
                    1,
                    step,
                    features,
                    step,
                    1,
                    0.0,
                    scale,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
            part
        })
        .collect();
    let mut sum = vec![0.0; channels * channels];
    for part in parts {
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// Adds D·F to `gradient`: with D = 2/N · ∂loss/∂G, which is symmetric, the gradient of the loss by the features.
///
/// # Panics
/// When a slice's length does not fit.
pub fn add_gram_gradient(derivative: &[f32], features: &[f32], gradient: &mut [f32]) {
    assert_eq!(features.len(), gradient.len());
    let channels = derivative.len().isqrt();
    assert_eq!(derivative.len(), channels * channels);
    let pixels = features.len() / channels;
    let run = RUN.min(pixels.div_ceil(2)).max(1);
    let output = Output(gradient.as_mut_ptr());
    (0..pixels)
        .step_by(run)
        .collect::<Vec<_>>()
        .into_par_iter()
        .for_each(|start| {
            let output = &output;
            let count = run.min(pixels - start);
            let step = pixels as isize;
            // SAFETY: the factors are as large as said; each task writes columns of its own.
            unsafe {
                gemm(
                    channels,
                    count,
                    channels,
                    output.0.add(start),
                    1,
                    step,
                    true,
                    derivative.as_ptr(),
                    1,
                    channels as isize,
                    features.as_ptr().add(start),
                    1,
                    step,
                    1.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        });
}

/// The gradient, of which each task writes its own columns.
struct Output(*mut f32);
// SAFETY: tasks write disjoint columns, and the borrow it came from outlives them.
unsafe impl Sync for Output {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gram_matrix_by_hand() {
        // Two channels of three pixels: (1, 2, 3) and (0, 1, -1).
        let features = [1.0, 2.0, 3.0, 0.0, 1.0, -1.0];
        let gram = gram_matrix(&features, 2);
        let expected = [14.0 / 3.0, -1.0 / 3.0, -1.0 / 3.0, 2.0 / 3.0];
        for (a, b) in gram.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{gram:?}");
        }
        let mut gradient = vec![1.0; 6];
        add_gram_gradient(&[2.0, 1.0, 1.0, 0.0], &features, &mut gradient);
        assert_eq!(gradient, [3.0, 6.0, 6.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn threads_change_nothing() {
        let features = crate::kernels::reference::noise(1, 5 * 20_001);
        let gram = gram_matrix(&features, 5);
        assert_eq!(gram, gram_matrix(&features, 5));
        for (i, j) in [(0, 0), (1, 4), (3, 2)] {
            let sum: f64 = (0..20_001)
                .map(|p| f64::from(features[i * 20_001 + p]) * f64::from(features[j * 20_001 + p]))
                .sum();
            assert!((f64::from(gram[i * 5 + j]) - sum / 20_001.0).abs() < 1e-5);
        }
    }
}
