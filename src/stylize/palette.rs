//! Palettes: a picture's colours as a mean and a covariance in Oklab, and the map from one palette to another.
//!
//! Of all affine maps that take one normal distribution to another, the one of Monge and Kantorovich moves colours least
//! (Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer").

use super::oklab::{self, LabMap};

/// Pixels that are looked at, at most.
const SAMPLES: usize = 20_000;
/// Variances under this count as this: a picture of one colour has no directions to stretch.
const SMALLEST: f64 = 1e-4;

/// Mean and covariance of a picture's colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    /// Of L, a and b.
    pub mean: [f32; 3],
    /// Symmetric.
    pub covariance: [[f32; 3]; 3],
}

type Matrix = [[f64; 3]; 3];

impl Palette {
    /// The palette of sRGB pixels (of an evenly spread part of them when there are many).
    pub fn of(rgb: &[u8]) -> Self {
        // An odd step walks through all columns.
        let step = (rgb.len() / 3 / SAMPLES) | 1;
        let (mut count, mut sums, mut products) = (0.0, [0.0_f64; 3], [[0.0_f64; 3]; 3]);
        for pixel in rgb.chunks_exact(3).step_by(step) {
            let lab = oklab::from_rgb(pixel).map(f64::from);
            count += 1.0;
            for i in 0..3 {
                sums[i] += lab[i];
                for j in 0..3 {
                    products[i][j] += lab[i] * lab[j];
                }
            }
        }
        let count = f64::max(count, 1.0);
        let mean = sums.map(|sum| sum / count);
        Self {
            mean: mean.map(|v| v as f32),
            covariance: std::array::from_fn(|i| {
                std::array::from_fn(|j| (products[i][j] / count - mean[i] * mean[j]) as f32)
            }),
        }
    }

    /// Part of the way to another palette.
    #[must_use]
    pub fn towards(&self, other: &Self, share: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * share;
        Self {
            mean: std::array::from_fn(|i| mix(self.mean[i], other.mean[i])),
            covariance: std::array::from_fn(|i| {
                std::array::from_fn(|j| mix(self.covariance[i][j], other.covariance[i][j]))
            }),
        }
    }

    /// The map that gives colours of this palette the other one.
    pub fn map_to(&self, other: &Self) -> LabMap {
        let own = self.covariance.map(|row| row.map(f64::from));
        let target = other.covariance.map(|row| row.map(f64::from));
        let (root, inverse) = (power(&own, 0.5), power(&own, -0.5));
        let middle = power(&product(&product(&root, &target), &root), 0.5);
        let matrix =
            product(&product(&inverse, &middle), &inverse).map(|row| row.map(|v| v as f32));
        let offset = std::array::from_fn(|i| {
            let moved: f32 = (0..3).map(|j| matrix[i][j] * self.mean[j]).sum();
            other.mean[i] - moved
        });
        LabMap { matrix, offset }
    }
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// A power of a symmetric matrix, by its eigenvalues (none below [`SMALLEST`], squared for the middle product).
fn power(matrix: &Matrix, exponent: f64) -> Matrix {
    let (values, vectors) = eigen(matrix);
    let powers = values.map(|value| value.max(SMALLEST * SMALLEST).powf(exponent));
    let powers = if exponent < 0.0 {
        values.map(|value| value.max(SMALLEST).powf(exponent))
    } else {
        powers
    };
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            (0..3)
                .map(|k| vectors[i][k] * powers[k] * vectors[j][k])
                .sum()
        })
    })
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by Jacobi rotations.
fn eigen(matrix: &Matrix) -> ([f64; 3], Matrix) {
    let mut a = *matrix;
    let mut v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for (p, q) in [(0, 1), (0, 2), (1, 2)].repeat(8) {
        if a[p][q].abs() < 1e-15 {
            continue;
        }
        let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
        let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
        let c = 1.0 / (t * t + 1.0).sqrt();
        let s = t * c;
        let mut r = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        (r[p][p], r[q][q], r[p][q], r[q][p]) = (c, c, s, -s);
        let transposed = std::array::from_fn(|i| std::array::from_fn(|j| r[j][i]));
        a = product(&product(&transposed, &a), &r);
        v = product(&v, &r);
    }
    ([a[0][0], a[1][1], a[2][2]], v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colours(seed: u32, spread: [i32; 3], centre: [i32; 3]) -> Vec<u8> {
        let mut state = seed;
        (0..64 * 64 * 3)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (state >> 16) as i32 % 101 - 50;
                (centre[i % 3] + noise * spread[i % 3] / 50).clamp(0, 255) as u8
            })
            .collect()
    }

    #[test]
    fn a_mapped_picture_has_the_palette_it_was_mapped_to() {
        let mut picture = colours(1, [40, 30, 20], [120, 130, 140]);
        let wanted = Palette::of(&colours(2, [20, 40, 30], [140, 110, 100]));
        Palette::of(&picture)
            .map_to(&wanted)
            .apply(&mut picture, 64);
        let got = Palette::of(&picture);
        for i in 0..3 {
            assert!(
                (got.mean[i] - wanted.mean[i]).abs() < 0.005,
                "{got:?} {wanted:?}"
            );
            for j in 0..3 {
                let difference = (got.covariance[i][j] - wanted.covariance[i][j]).abs();
                assert!(difference < 4e-4, "{got:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn its_own_palette_changes_nothing_and_one_colour_does_not_explode() {
        let picture = colours(3, [40, 30, 20], [120, 130, 140]);
        let palette = Palette::of(&picture);
        let mut same = picture.clone();
        palette.map_to(&palette).apply(&mut same, 64);
        assert!(picture.iter().zip(&same).all(|(a, b)| a.abs_diff(*b) <= 2));
        let flat = Palette::of(&[90; 300]);
        let map = flat.map_to(&palette);
        assert!(
            map.matrix
                .iter()
                .flatten()
                .all(|v| v.is_finite() && v.abs() < 20.0),
            "{map:?}"
        );
    }
}
