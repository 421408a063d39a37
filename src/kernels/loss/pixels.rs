//! Losses on the pixels themselves: value returned, gradient added.
//!
//! Pictures are planes `[3][height][width]` of 0..255; every loss is a mean over pixels in units of 255², so that its
//! weight means the same at any size.

use rayon::prelude::*;

const UNIT: f32 = 255.0 * 255.0;

/// Total variation, squared: the mean of ‖x(p+right)−x(p)‖² + ‖x(p+below)−x(p)‖² (Mahendran and Vedaldi 2015, β = 2).
pub fn add_total_variation(
    x: &[f32],
    (height, width): (usize, usize),
    weight: f32,
    gradient: &mut [f32],
) -> f64 {
    let plane = height * width;
    let scale = weight / (plane as f32 * UNIT);
    let rows: Vec<f64> = gradient
        .par_chunks_exact_mut(width)
        .enumerate()
        .map(|(row, gradient)| {
            let y = row % height;
            let here = &x[row * width..][..width];
            let mut sum = 0.0_f32;
            for (i, pair) in here.windows(2).enumerate() {
                let d = pair[1] - pair[0];
                sum += d * d;
                gradient[i] -= 2.0 * scale * d;
                gradient[i + 1] += 2.0 * scale * d;
            }
            if y + 1 < height {
                let below = &x[(row + 1) * width..][..width];
                for ((gradient, here), below) in gradient.iter_mut().zip(here).zip(below) {
                    let d = below - here;
                    sum += d * d;
                    *gradient -= 2.0 * scale * d;
                }
            }
            if y > 0 {
                let above = &x[(row - 1) * width..][..width];
                for ((gradient, here), above) in gradient.iter_mut().zip(here).zip(above) {
                    *gradient += 2.0 * scale * (here - above);
                }
            }
            f64::from(sum)
        })
        .collect();
    rows.iter().sum::<f64>() * f64::from(scale)
}

/// What lies outside of 0..255, squared and averaged: keeps the optimiser inside without a wall that breaks its steps.
pub fn add_out_of_range(x: &[f32], weight: f32, gradient: &mut [f32]) -> f64 {
    let scale = weight * 3.0 / (x.len() as f32 * UNIT);
    sum_of(x, gradient, |_, x, gradient| {
        let outside = x - x.clamp(0.0, 255.0);
        *gradient += 2.0 * scale * outside;
        outside * outside
    }) * f64::from(scale)
}

/// The mean of c·‖x − target‖², `confidence` c being one plane of 0..1 for all three: the temporal loss of Ruder et al.
/// (2016) with a warped painting as target.
///
/// # Panics
/// When the lengths do not fit.
pub fn add_weighted_difference(
    x: &[f32],
    target: &[f32],
    confidence: &[f32],
    weight: f32,
    gradient: &mut [f32],
) -> f64 {
    assert_eq!(x.len(), target.len());
    assert_eq!(x.len(), 3 * confidence.len());
    let plane = confidence.len();
    let scale = weight / (plane as f32 * UNIT);
    sum_of(x, gradient, |i, x, gradient| {
        let (d, c) = (x - target[i], confidence[i % plane]);
        *gradient += 2.0 * scale * c * d;
        c * d * d
    }) * f64::from(scale)
}

/// Sums what `each` returns for every (place, value, gradient there), in an order that threads do not change.
fn sum_of(
    x: &[f32],
    gradient: &mut [f32],
    each: impl Fn(usize, f32, &mut f32) -> f32 + Sync,
) -> f64 {
    const PIECE: usize = 1 << 12;
    let parts: Vec<f64> = gradient
        .par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .enumerate()
        .map(|(piece, (gradient, x))| {
            let mut sum = 0.0_f32;
            for (i, (gradient, &x)) in gradient.iter_mut().zip(x).enumerate() {
                sum += each(piece * PIECE + i, x, gradient);
            }
            f64::from(sum)
        })
        .collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::noise;

    /// The gradient of `loss` against central differences. The losses are quadratic or nearly, so a wide step is exact.
    fn check(x: &[f32], loss: impl Fn(&[f32], &mut [f32]) -> f64) {
        let mut gradient = vec![0.0; x.len()];
        loss(x, &mut gradient);
        let mut nothing = vec![0.0; x.len()];
        for i in (0..x.len()).step_by(7) {
            let mut moved = x.to_vec();
            let mut at = |delta: f32| {
                moved[i] = x[i] + delta;
                loss(&moved, &mut nothing)
            };
            let expected = (at(0.5) - at(-0.5)) as f32;
            let largest = gradient.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            assert!(
                (gradient[i] - expected).abs() <= 2e-3 * largest && largest > 0.0,
                "{i}: {} {expected}",
                gradient[i]
            );
        }
    }

    fn picture(length: usize) -> Vec<f32> {
        noise(1, length).iter().map(|v| 128.0 + 200.0 * v).collect()
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let x = picture(3 * 7 * 9);
        check(&x, |x, g| add_total_variation(x, (7, 9), 300.0, g));
        check(&x, |x, g| add_out_of_range(x, 300.0, g));
        let target: Vec<f32> = picture(3 * 63).into_iter().rev().collect();
        let confidence = noise(2, 63);
        check(&x, |x, g| {
            add_weighted_difference(x, &target, &confidence, 300.0, g)
        });
    }

    #[test]
    fn values_by_hand() {
        // Three equal planes of (0, 255; 255, 255): two differences of 255 each, over four pixels.
        let x = [0.0, 255.0, 255.0, 255.0].repeat(3);
        let mut gradient = vec![0.0; 12];
        let value = add_total_variation(&x, (2, 2), 2.0, &mut gradient);
        assert!((value - 2.0 * 3.0 * 2.0 / 4.0).abs() < 1e-6, "{value}");
        let x = [-25.5, 100.0, 280.5];
        let value = add_out_of_range(&x, 1.0, &mut [0.0; 3]);
        assert!((value - 0.02).abs() < 1e-6, "{value}");
        let value = add_weighted_difference(&x, &[229.5, 100.0, 25.5], &[0.5], 1.0, &mut [0.0; 3]);
        assert!((value - 1.0).abs() < 1e-6, "{value}");
    }
}
