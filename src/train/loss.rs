//! How far a student's painting is from its target, with the gradient.
//!
//! The mean difference (L1) of the colours alone leaves a student soft: where it cannot know a brush stroke's place, the
//! median of all of them is the cheapest answer. So the same difference is taken of each octave of detail too, and the
//! *amount* of detail of each octave is compared too, in squares of 32 pixels (in all of the picture together, a fine
//! pattern in flat areas would pass for detail). Octaves are differences of one picture smoothed
//! more and more by (1 2 1)/4 at distances of 1, 2, 4 … pixels ("à trous"; nothing is left out, so no octave has a grid).
//! Borders are mirrored with the edge repeated, which makes each smoothing its own transpose.

use crate::kernels::vectorised;

/// Octaves of detail, finest first.
pub const OCTAVES: usize = 3;

/// What counts how much; all are means over pixels and colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Difference of the colours.
    pub colors: f32,
    /// Difference of each octave.
    pub octaves: [f32; OCTAVES],
    /// Squared logarithm of how much more detail of an octave there is, place by place.
    pub amount: [f32; OCTAVES],
}

/// The terms before they are weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Mean difference of the colours.
    pub colors: f32,
    /// Mean difference of each octave.
    pub octaves: [f32; OCTAVES],
    /// Detail of each octave as a part of the target's.
    pub amount: [f32; OCTAVES],
    /// The weighted sum.
    pub total: f32,
}

/// Least amount of detail that is told from none, of 0..1.
const LEAST_DETAIL: f32 = 4e-3;
/// Pixels along a side of the squares in which amounts of detail are compared.
const SQUARE: usize = 32;

/// Room for the octaves of two pictures.
#[derive(Default)]
pub struct Comparison {
    student: Octaves,
    target: Octaves,
    room: Vec<f32>,
}

#[derive(Default)]
struct Octaves {
    bands: [Vec<f32>; OCTAVES],
    /// What is left after the last octave, and each band's input on the way there.
    smooth: Vec<f32>,
}

impl Comparison {
    /// Compares two pictures, `[height][width][3]`, and adds the gradient with respect to the student's to `gradient`.
    pub fn compare(
        &mut self,
        student: &[f32],
        target: &[f32],
        size: (usize, usize),
        weights: &Weights,
        gradient: &mut [f32],
    ) -> Terms {
        let count = student.len() as f32;
        self.student.split(student, size, &mut self.room);
        self.target.split(target, size, &mut self.room);
        let mut terms = Terms {
            colors: mean_difference(student, target),
            ..Terms::default()
        };
        terms.total = weights.colors * terms.colors;
        for octave in 0..OCTAVES {
            let (own, other) = (&self.student.bands[octave], &self.target.bands[octave]);
            terms.octaves[octave] = mean_difference(own, other);
            let totals = [own, other].map(|band| mean_magnitude(band, &[]) + LEAST_DETAIL);
            terms.amount[octave] = totals[0] / totals[1];
            terms.total += weights.octaves[octave] * terms.octaves[octave];
            let [own_amounts, other_amounts] = [own, other].map(|band| amounts(band, size));
            let share = weights.amount[octave] / own_amounts.len() as f32;
            let across = size.1.div_ceil(SQUARE);
            let slopes: Vec<f32> = own_amounts
                .iter()
                .zip(&other_amounts)
                .enumerate()
                .map(|(square, (own, other))| {
                    let log = ((own + LEAST_DETAIL) / (other + LEAST_DETAIL)).ln();
                    terms.total += share * log * log;
                    let count = values_of_square(square, across, size);
                    2.0 * share * log / (own + LEAST_DETAIL) / count as f32
                })
                .collect();
            let per_value = weights.octaves[octave] / count;
            let line = 3 * size.1;
            let rows = self.student.bands[octave].chunks_exact_mut(line);
            let targets = self.target.bands[octave].chunks_exact(line);
            for (y, (row, target)) in rows.zip(targets).enumerate() {
                let slopes = &slopes[y / SQUARE * across..][..across];
                let parts = row.chunks_mut(3 * SQUARE).zip(target.chunks(3 * SQUARE));
                for ((part, target), slope) in parts.zip(slopes) {
                    band_gradient(part, target, per_value, *slope);
                }
            }
        }
        // From the last octave to the first: what an octave's smoothing passed on comes back through the same smoothing.
        let back = &mut self.student.smooth;
        back.iter_mut().for_each(|value| *value = 0.0);
        for octave in (0..OCTAVES).rev() {
            let band = &self.student.bands[octave];
            subtract(back, band);
            smooth(back, size, 1 << octave, &mut self.room);
            add(back, band);
        }
        add(gradient, back);
        sign_gradient(student, target, weights.colors / count, gradient);
        terms
    }
}

impl Octaves {
    fn split(&mut self, picture: &[f32], size: (usize, usize), room: &mut Vec<f32>) {
        self.smooth.clear();
        self.smooth.extend_from_slice(picture);
        for (octave, band) in self.bands.iter_mut().enumerate() {
            band.clone_from(&self.smooth);
            smooth(&mut self.smooth, size, 1 << octave, room);
            subtract(band, &self.smooth);
        }
    }
}

/// Values of one of the squares, `across` in a row, of a picture.
fn values_of_square(square: usize, across: usize, (height, width): (usize, usize)) -> usize {
    let rows = SQUARE.min(height - square / across * SQUARE);
    let columns = SQUARE.min(width - square % across * SQUARE);
    3 * rows * columns
}

/// Mean magnitude of a band in each square.
fn amounts(band: &[f32], size: (usize, usize)) -> Vec<f32> {
    let (down, across) = (size.0.div_ceil(SQUARE), size.1.div_ceil(SQUARE));
    let mut sums = vec![0.0; down * across];
    for (y, row) in band.chunks_exact(3 * size.1).enumerate() {
        let squares = &mut sums[y / SQUARE * across..][..across];
        for (part, square) in row.chunks(3 * SQUARE).zip(squares) {
            let mut sum = [0.0];
            magnitude(part, &[], &mut sum);
            *square += sum[0];
        }
    }
    for (square, sum) in sums.iter_mut().enumerate() {
        *sum /= values_of_square(square, across, size) as f32;
    }
    sums
}

fn mean_difference(a: &[f32], b: &[f32]) -> f32 {
    mean_magnitude(a, b)
}

/// Mean of |a − b|, or of |a| where `b` is empty.
fn mean_magnitude(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = [0.0];
    magnitude(a, b, &mut sum);
    sum[0] / a.len() as f32
}

vectorised! {
    fn magnitude(a: &[f32], b: &[f32], sum: &mut [f32; 1]) {
        let mut lanes = [0.0_f32; 16];
        let mut add = |at: usize, value: f32| lanes[at % 16] += value.abs();
        if b.is_empty() {
            a.iter().enumerate().for_each(|(at, a)| add(at, *a));
        } else {
            a.iter().zip(b).enumerate().for_each(|(at, (a, b))| add(at, a - b));
        }
        sum[0] = lanes.iter().sum();
    }

    /// Adds `weight` with the sign of a − b.
    fn sign_gradient(a: &[f32], b: &[f32], weight: f32, gradient: &mut [f32]) {
        for ((a, b), gradient) in a.iter().zip(b).zip(gradient) {
            let difference = a - b;
            *gradient += if difference > 0.0 { weight } else if difference < 0.0 { -weight } else { 0.0 };
        }
    }

    /// Turns a band into the gradient with respect to it.
    fn band_gradient(band: &mut [f32], target: &[f32], weight: f32, slope: f32) {
        for (band, target) in band.iter_mut().zip(target) {
            let difference = *band - target;
            let from_place = if difference > 0.0 { weight } else if difference < 0.0 { -weight } else { 0.0 };
            let from_amount = if *band > 0.0 { slope } else { -slope };
            *band = from_place + from_amount;
        }
    }

    fn subtract(a: &mut [f32], b: &[f32]) {
        a.iter_mut().zip(b).for_each(|(a, b)| *a -= b);
    }

    fn add(a: &mut [f32], b: &[f32]) {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    }

    /// (a + 2b + c) / 4 of three rows.
    fn smooth_row(a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
        for (((a, b), c), out) in a.iter().zip(b).zip(c).zip(out) {
            *out = 0.25 * (a + c) + 0.5 * b;
        }
    }
}

/// Mirrors an index with the edge repeated.
fn mirrored(at: isize, size: usize) -> usize {
    let size = size as isize;
    let at = if at < 0 { -1 - at } else { at };
    (if at >= size { 2 * size - 1 - at } else { at }) as usize
}

/// Smooths by (1 2 1)/4 at that distance, which is at most half a side, both ways.
fn smooth(
    picture: &mut [f32],
    (height, width): (usize, usize),
    distance: usize,
    room: &mut Vec<f32>,
) {
    let (line, step, reach) = (3 * width, 3 * distance, distance as isize);
    room.resize(height * line, 0.0);
    for (y, out) in room.chunks_exact_mut(line).enumerate() {
        let row = |y: usize| &picture[y * line..(y + 1) * line];
        let (above, below) = (
            mirrored(y as isize - reach, height),
            mirrored(y as isize + reach, height),
        );
        smooth_row(row(above), row(y), row(below), out);
    }
    for (from, to) in room.chunks_exact(line).zip(picture.chunks_exact_mut(line)) {
        let inner = line - step;
        smooth_row(
            from,
            &from[step..inner],
            &from[2 * step..],
            &mut to[step..inner],
        );
        for x in (0..distance).chain(width - distance..width) {
            let (left, right) = (
                mirrored(x as isize - reach, width),
                mirrored(x as isize + reach, width),
            );
            for c in 0..3 {
                to[3 * x + c] =
                    0.25 * (from[3 * left + c] + from[3 * right + c]) + 0.5 * from[3 * x + c];
            }
        }
    }
}

/// Compares what two paintings of the same thing differ by: returns the mean square, and adds the gradient of `weight` times
/// it to both.
pub fn compare_pair(
    (a, gradient_a): (&[f32], &mut [f32]),
    (b, gradient_b): (&[f32], &mut [f32]),
    weight: f32,
) -> f32 {
    let slope = 2.0 * weight / a.len() as f32;
    let mut sum = 0.0;
    for (((a, b), gradient_a), gradient_b) in a.iter().zip(b).zip(gradient_a).zip(gradient_b) {
        let difference = a - b;
        sum += difference * difference;
        *gradient_a += slope * difference;
        *gradient_b -= slope * difference;
    }
    sum / a.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::random::Random;

    /// The total's derivative by single values, by differences small enough that hardly any sign changes.
    #[test]
    fn the_gradient_is_that_of_the_total() {
        let (height, width) = (17, 22);
        let mut random = Random::new(1, [0, 0]);
        let mut picture =
            || -> Vec<f32> { (0..height * width * 3).map(|_| random.unit()).collect() };
        let (mut student, target) = (picture(), picture());
        for weights in [
            Weights {
                colors: 1.0,
                octaves: [0.0; OCTAVES],
                amount: [0.0; OCTAVES],
            },
            Weights {
                colors: 0.0,
                octaves: [0.7, 0.5, 0.3],
                amount: [0.0; OCTAVES],
            },
            Weights {
                colors: 0.0,
                octaves: [0.0; OCTAVES],
                amount: [2.0, 1.0, 3.0],
            },
        ] {
            let mut comparison = Comparison::default();
            let mut gradient = vec![0.0; student.len()];
            let total = |student: &[f32], comparison: &mut Comparison| {
                let mut unused = vec![0.0; student.len()];
                comparison
                    .compare(student, &target, (height, width), &weights, &mut unused)
                    .total
            };
            comparison.compare(&student, &target, (height, width), &weights, &mut gradient);
            // Along the gradient and across it: a step of the whole picture is measured more exactly than one of a value.
            let length = gradient.iter().map(|g| g * g).sum::<f32>();
            let step = 1e-4 / length.sqrt();
            let before = student.clone();
            let mut at = |sign: f32| {
                for ((value, before), g) in student.iter_mut().zip(&before).zip(&gradient) {
                    *value = before + sign * step * g;
                }
                f64::from(total(&student, &mut comparison))
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
            student = before;
            assert!(
                (slope / f64::from(length) - 1.0).abs() < 0.05,
                "{weights:?}: {slope} {length}"
            );
        }
    }

    #[test]
    fn more_detail_than_the_target_has_is_seen_as_such() {
        let mut random = Random::new(2, [0, 0]);
        let target: Vec<f32> = (0..32 * 32 * 3).map(|_| random.unit()).collect();
        let student: Vec<f32> = target.iter().map(|value| 2.0 * value).collect();
        let mut gradient = vec![0.0; target.len()];
        let weights = Weights {
            colors: 1.0,
            octaves: [1.0; OCTAVES],
            amount: [0.0; OCTAVES],
        };
        let terms =
            Comparison::default().compare(&student, &target, (32, 32), &weights, &mut gradient);
        assert!(
            terms.amount.iter().all(|amount| (amount - 2.0).abs() < 0.2),
            "{terms:?}"
        );
    }

    #[test]
    fn a_pair_pulls_both_towards_each_other() {
        let (a, b) = ([0.5, 0.25], [0.25, 0.25]);
        let (mut of_a, mut of_b) = ([0.0; 2], [0.0; 2]);
        let found = compare_pair((&a, &mut of_a), (&b, &mut of_b), 3.0);
        assert_eq!((found, of_a, of_b), (0.03125, [0.75, 0.0], [-0.75, 0.0]));
    }
}
