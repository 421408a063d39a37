//! Gram matrices of features, and the gradient of a loss on them.
//!
//! G = F·Fᵀ / N for features F of C channels and N pixels (Gatys et al. 2016): which features occur together, wherever in
//! the picture. With a *guide*, a weight for each pixel, only a part of the picture is looked at: G = F·diag(w)·Fᵀ / Σw
//! (Gatys et al. 2017, "Controlling perceptual factors in neural style transfer": guided Gram matrices, w = T²). Sums over
//! parts of a picture add up to that of the whole, which is what lets a large picture be worked on in tiles.
//!
//! The products are those of the `gemm` crate, cut along the pixels for the threads and summed in one order, so that the
//! result is the same each time.

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

/// Pixels that a thread takes at once.
const RUN: usize = 4096;
/// The same where it makes a weighted copy of them, which has to stay in the second-level cache.
const GUIDED_RUN: usize = 1024;

/// Gram matrix F·Fᵀ / N of `features` (`[channels][pixels]`): `channels × channels` values.
///
/// # Panics
/// When `features` is not `channels` planes.
#[must_use]
pub fn gram_matrix(features: &[f32], channels: usize) -> Vec<f32> {
    let pixels = features.len() / channels;
    let mut gram = vec![0.0; channels * channels];
    add_gram(features, None, 1.0 / pixels.max(1) as f32, &mut gram);
    gram
}

/// Adds `scale`·F·diag(`guide`)·Fᵀ to `sum` (channels × channels, which says how many channels there are); without a
/// guide every pixel weighs 1.
///
/// # Panics
/// When a slice's length does not fit.
pub fn add_gram(features: &[f32], guide: Option<&[f32]>, scale: f32, sum: &mut [f32]) {
    let channels = sum.len().isqrt();
    assert_eq!(sum.len(), channels * channels);
    let pixels = features.len() / channels;
    assert_eq!(features.len(), channels * pixels);
    let parts: Vec<Vec<f32>> = runs(pixels, guide)
        .into_par_iter()
        .map(|(start, count)| {
            let weighted = guide.map(|guide| weighted(features, channels, guide, (start, count)));
            let (left, step) = match &weighted {
                Some(copy) => (copy.as_ptr(), count),
                None => (features[start..].as_ptr(), pixels),
            };
            let mut part = vec![0.0_f32; channels * channels];
            // SAFETY: both factors are `count` columns: from `start` of the features, or of the copy, which has as many;
            // the result is channels × channels.
            unsafe {
                gemm(
                    channels,
                    channels,
                    count,
                    part.as_mut_ptr(),
                    1,
                    channels as isize,
                    false,
                    left,
                    1,
                    step as isize,
                    features.as_ptr().add(start),
                    pixels as isize,
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
    for part in parts {
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
}

/// Adds D·F·diag(`guide`) to `gradient`: with D = 2/Σw · ∂loss/∂G, which is symmetric, the gradient of the loss by the
/// features.
///
/// # Panics
/// When a slice's length does not fit.
pub fn add_gram_gradient(
    derivative: &[f32],
    features: &[f32],
    guide: Option<&[f32]>,
    gradient: &mut [f32],
) {
    assert_eq!(features.len(), gradient.len());
    let channels = derivative.len().isqrt();
    assert_eq!(derivative.len(), channels * channels);
    let pixels = features.len() / channels;
    assert_eq!(features.len(), channels * pixels);
    let output = Output(gradient.as_mut_ptr());
    runs(pixels, guide)
        .into_par_iter()
        .for_each(|(start, count)| {
            let output = &output;
            let weighted = guide.map(|guide| weighted(features, channels, guide, (start, count)));
            let (right, step) = match &weighted {
                Some(copy) => (copy.as_ptr(), count),
                None => (features[start..].as_ptr(), pixels),
            };
            // SAFETY: the factors are as large as said; each task writes columns of its own.
            unsafe {
                gemm(
                    channels,
                    count,
                    channels,
                    output.0.add(start),
                    1,
                    pixels as isize,
                    true,
                    derivative.as_ptr(),
                    1,
                    channels as isize,
                    right,
                    1,
                    step as isize,
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

/// Start and length of the runs that some weight is in.
fn runs(pixels: usize, guide: Option<&[f32]>) -> Vec<(usize, usize)> {
    let longest = match guide {
        Some(guide) => {
            assert_eq!(guide.len(), pixels, "one weight for each pixel");
            GUIDED_RUN
        }
        None => RUN,
    };
    let run = longest.min(pixels.div_ceil(2)).max(1);
    (0..pixels)
        .step_by(run)
        .map(|start| (start, run.min(pixels - start)))
        .filter(|&(start, count)| {
            guide.is_none_or(|guide| guide[start..][..count].iter().any(|weight| *weight > 0.0))
        })
        .collect()
}

/// A run of the features, each pixel multiplied by its weight: `[channels][count]`.
fn weighted(
    features: &[f32],
    channels: usize,
    guide: &[f32],
    (start, count): (usize, usize),
) -> Vec<f32> {
    let weights = &guide[start..][..count];
    let pixels = guide.len();
    let mut copy = Vec::with_capacity(channels * count);
    for channel in 0..channels {
        let features = &features[channel * pixels + start..][..count];
        copy.extend(features.iter().zip(weights).map(|(f, w)| f * w));
    }
    copy
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
        add_gram_gradient(&[2.0, 1.0, 1.0, 0.0], &features, None, &mut gradient);
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

    #[test]
    fn guides_weigh_pixels_and_parts_add_up() {
        let (channels, pixels) = (3, 2500);
        let features = crate::kernels::reference::noise(1, channels * pixels);
        let guide: Vec<f32> = (0..pixels)
            .map(|p| if p < 1100 { 0.0 } else { (p % 5) as f32 / 4.0 })
            .collect();
        let rest: Vec<f32> = guide.iter().map(|w| 1.0 - w).collect();
        let mut gram = vec![0.0; 9];
        add_gram(&features, Some(&guide), 1.0, &mut gram);
        for (i, j) in [(0, 0), (1, 2), (2, 1)] {
            let sum: f64 = (0..pixels)
                .map(|p| {
                    f64::from(guide[p])
                        * f64::from(features[i * pixels + p])
                        * f64::from(features[j * pixels + p])
                })
                .sum();
            assert!((f64::from(gram[i * 3 + j]) - sum).abs() < 1e-3, "{gram:?}");
        }
        add_gram(&features, Some(&rest), 1.0, &mut gram);
        let whole = gram_matrix(&features, channels);
        for (a, b) in gram.iter().zip(&whole) {
            assert!((a / pixels as f32 - b).abs() < 1e-5, "{a} {b}");
        }
        let derivative = [1.0, 0.5, 0.0, 0.5, -1.0, 2.0, 0.0, 2.0, 0.25];
        let (mut gradient, mut unguided) = (vec![0.0; 3 * pixels], vec![0.0; 3 * pixels]);
        add_gram_gradient(&derivative, &features, Some(&guide), &mut gradient);
        add_gram_gradient(&derivative, &features, None, &mut unguided);
        for (i, (a, b)) in gradient.iter().zip(&unguided).enumerate() {
            assert!((a - guide[i % pixels] * b).abs() < 1e-5, "{i}: {a} {b}");
        }
    }
}
