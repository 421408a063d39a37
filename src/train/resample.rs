//! A part of a picture at another size, by a triangle filter as wide as the scale (so that nothing folds when it shrinks).
//!
//! Rows first, whole lines of them at a time, which the compiler turns into vectors; then columns, of the one line that
//! comes of it. A line lies in the cache meanwhile, so nothing larger than the result is written.

use crate::kernels::vectorised;

/// A part of an RGB picture: first column and row, width and height, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Brings that part of `rgb`, rows of `width` pixels, to `side` × `side`.
///
/// # Panics
/// When the part is empty or does not lie in the picture.
pub(super) fn resample(rgb: &[u8], width: usize, part: Part, side: usize) -> Vec<u8> {
    assert!(part.left + part.width <= width && part.height > 0);
    let (rows, columns) = (taps(part.height, side), taps(part.width, side));
    let mut line = vec![0.0_f32; 3 * part.width + 1];
    let mut picture = vec![0; 3 * side * side];
    for (row, out) in rows.iter().zip(picture.chunks_exact_mut(3 * side)) {
        line.fill(0.0);
        for (tap, weight) in row.weights.iter().enumerate() {
            let start = 3 * ((part.top + row.first + tap) * width + part.left);
            add_row(&mut line, &rgb[start..start + 3 * part.width], *weight);
        }
        shrink_line(&line, &columns, out);
    }
    picture
}

/// What one pixel of the result is made of.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let of = |at: usize| {
        let center = (at as f32 + 0.5) * scale;
        let first = (center - reach).floor().max(0.0) as usize;
        let end = ((center + reach).ceil() as usize).min(from);
        let weight = |at: usize| (1.0 - (at as f32 + 0.5 - center).abs() / reach).max(0.0);
        let total: f32 = (first..end).map(weight).sum();
        let weights = (first..end).map(|at| weight(at) / total).collect();
        Taps { first, weights }
    };
    (0..to).map(of).collect()
}

vectorised! {
    fn add_row(sums: &mut [f32], row: &[u8], weight: f32) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * f32::from(*value);
        }
    }

    /// `line` is one value longer than its pixels.
    fn shrink_line(line: &[f32], columns: &[Taps], out: &mut [u8]) {
        for (column, pixel) in columns.iter().zip(out.chunks_exact_mut(3)) {
            // Four values at a time, the last of which is the next pixel's and left.
            let mut sums = [0.5_f32; 4];
            let values = line[3 * column.first..].windows(4).step_by(3);
            for (weight, values) in column.weights.iter().zip(values) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += weight * value;
                }
            }
            for (byte, sum) in pixel.iter_mut().zip(sums) {
                *byte = sum as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::random::Random;

    /// The same sum written for one value at a time, of weights that are not separated.
    #[test]
    fn values_are_weighted_means_of_their_neighbourhood() {
        let (width, height) = (61, 47);
        let mut random = Random::new(3, [0, 0]);
        let rgb: Vec<u8> = (0..width * height * 3)
            .map(|_| random.below(256) as u8)
            .collect();
        for (side, left, top, w, h) in [
            (16, 0, 0, 61, 47),
            (20, 5, 9, 20, 20),
            (33, 7, 3, 11, 40),
            (8, 60, 46, 1, 1),
        ] {
            let part = Part {
                left,
                top,
                width: w,
                height: h,
            };
            let actual = resample(&rgb, width, part, side);
            let (across, down) = (w as f64 / side as f64, h as f64 / side as f64);
            for (n, actual) in actual.iter().enumerate() {
                let (y, x, c) = (n / 3 / side, n / 3 % side, n % 3);
                let (mut sum, mut total) = (0.0, 0.0);
                for (i, j) in (0..w * h).map(|n| (n / w, n % w)) {
                    let of = |at: usize, from: usize, scale: f64| {
                        let distance = from as f64 + 0.5 - (at as f64 + 0.5) * scale;
                        (1.0 - distance.abs() / scale.max(1.0)).max(0.0)
                    };
                    let weight = of(y, i, down) * of(x, j, across);
                    total += weight;
                    sum += weight * f64::from(rgb[3 * ((top + i) * width + left + j) + c]);
                }
                let difference = f64::from(*actual) - sum / total;
                assert!(
                    difference.abs() < 0.51,
                    "{part:?} {y} {x} {c}: {difference}"
                );
            }
        }
    }
}
