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
    /// Difference of what is left without these octaves.
    pub rest: f32,
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
    room: Room,
}

/// A picture's octaves, and the mean magnitude of each of them in each square and in all.
#[derive(Default)]
struct Octaves {
    bands: [Vec<f32>; OCTAVES],
    /// The picture without them.
    rest: Vec<f32>,
    amounts: [Vec<f32>; OCTAVES],
    totals: [f32; OCTAVES],
}

/// Planes on the way from one octave to the next, and a line of them.
#[derive(Default)]
struct Room {
    planes: [Vec<f32>; 2],
    line: Vec<f32>,
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
        let mut terms = Terms::default();
        for octave in 0..OCTAVES {
            let totals = [&self.student, &self.target].map(|of| of.totals[octave] + LEAST_DETAIL);
            terms.amount[octave] = totals[0] / totals[1];
            let [own, other] = [&self.student, &self.target].map(|of| &of.amounts[octave]);
            let share = weights.amount[octave] / own.len() as f32;
            let across = size.1.div_ceil(SQUARE);
            let slopes: Vec<f32> = own
                .iter()
                .zip(other)
                .enumerate()
                .map(|(square, (own, other))| {
                    let log = ((own + LEAST_DETAIL) / (other + LEAST_DETAIL)).ln();
                    terms.total += share * log * log;
                    let count = values_of_square(square, across, size);
                    2.0 * share * log / (own + LEAST_DETAIL) / count as f32
                })
                .collect();
            let mut difference = 0.0;
            band_gradient(
                &mut self.student.bands[octave],
                &self.target.bands[octave],
                size.1,
                weights.octaves[octave] / count,
                &slopes,
                &mut difference,
            );
            terms.octaves[octave] = difference / count;
            terms.total += weights.octaves[octave] * terms.octaves[octave];
        }
        // From the last octave to the first: what an octave's smoothing passed on comes back through the same smoothing.
        let [mut back, mut next] = self.room.planes.each_mut();
        let line = &mut self.room.line;
        back.fill(0.0);
        let mut difference = 0.0;
        difference_pass(
            &self.student.rest,
            &self.target.rest,
            weights.rest / count,
            back,
            &mut difference,
        );
        terms.total += weights.rest * difference / count;
        for octave in (0..OCTAVES).rev() {
            back_pass(
                back,
                &self.student.bands[octave],
                size,
                1 << octave,
                line,
                next,
            );
            std::mem::swap(&mut back, &mut next);
        }
        let mut difference = 0.0;
        let weight = weights.colors / count;
        gradient
            .iter_mut()
            .zip(&*back)
            .for_each(|(sum, value)| *sum += value);
        difference_pass(student, target, weight, gradient, &mut difference);
        terms.colors = difference / count;
        terms.total += weights.colors * terms.colors;
        terms
    }
}

impl Octaves {
    fn split(&mut self, picture: &[f32], size: (usize, usize), room: &mut Room) {
        let [mut from, mut next] = room.planes.each_mut();
        for plane in [&mut *from, &mut *next] {
            plane.resize(picture.len(), 0.0);
        }
        let (down, across) = (size.0.div_ceil(SQUARE), size.1.div_ceil(SQUARE));
        for (octave, band) in self.bands.iter_mut().enumerate() {
            band.resize(picture.len(), 0.0);
            let amounts = &mut self.amounts[octave];
            amounts.clear();
            amounts.resize(down * across, 0.0);
            let source = if octave == 0 { picture } else { &*from };
            split_pass(
                source,
                size,
                1 << octave,
                &mut room.line,
                next,
                band,
                amounts,
            );
            self.totals[octave] = amounts.iter().sum::<f32>() / picture.len() as f32;
            for (square, sum) in amounts.iter_mut().enumerate() {
                *sum /= values_of_square(square, across, size) as f32;
            }
            std::mem::swap(&mut from, &mut next);
        }
        self.rest.clone_from(from);
    }
}

/// Values of one of the squares, `across` in a row, of a picture.
fn values_of_square(square: usize, across: usize, (height, width): (usize, usize)) -> usize {
    let rows = SQUARE.min(height - square / across * SQUARE);
    let columns = SQUARE.min(width - square % across * SQUARE);
    3 * rows * columns
}

/// The sum of `term` over pairs of values.
#[inline(always)]
fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 32];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        for at in 0..32 {
            lanes[at] += term(a[at], b[at]);
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| term(*a, *b)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `weight` with the sign of a value.
#[inline(always)]
fn signed(weight: f32, value: f32) -> f32 {
    let positive = if value > 0.0 { weight } else { 0.0 };
    if value < 0.0 { -weight } else { positive }
}

vectorised! {
    /// Smooths `from` to `next`, and writes what was lost to `band`; adds the band's magnitudes to the sums of the squares.
    fn split_pass(
        from: &[f32],
        size: (usize, usize),
        distance: usize,
        line: &mut Vec<f32>,
        next: &mut [f32],
        band: &mut [f32],
        amounts: &mut [f32],
    ) {
        let width = 3 * size.1;
        line.resize(width, 0.0);
        let across = size.1.div_ceil(SQUARE);
        let rows = next.chunks_exact_mut(width).zip(band.chunks_exact_mut(width));
        for (y, (next, band)) in rows.enumerate() {
            let [above, row, below] =
                rows_around(y, distance, size.0).map(|y| &from[y * width..(y + 1) * width]);
            for (((sum, a), b), c) in line.iter_mut().zip(above).zip(row).zip(below) {
                *sum = 0.25 * (a + c) + 0.5 * b;
            }
            smooth_line(line, distance, next);
            for ((band, from), next) in band.iter_mut().zip(row).zip(&*next) {
                *band = from - next;
            }
            let squares = &mut amounts[y / SQUARE * across..][..across];
            for (part, square) in band.chunks(3 * SQUARE).zip(squares) {
                *square += sum_of(part, part, |value, _| value.abs());
            }
        }
    }

    /// Smooths `back` less `band`, and adds `band`, to `next`.
    fn back_pass(
        back: &[f32],
        band: &[f32],
        size: (usize, usize),
        distance: usize,
        line: &mut [f32],
        next: &mut [f32],
    ) {
        let width = 3 * size.1;
        for (y, next) in next.chunks_exact_mut(width).enumerate() {
            let around = rows_around(y, distance, size.0);
            let [a, b, c] = around.map(|y| &back[y * width..][..width]);
            let [less_a, less_b, less_c] = around.map(|y| &band[y * width..][..width]);
            let line = &mut line[..width];
            for at in 0..width {
                line[at] = 0.25 * ((a[at] - less_a[at]) + (c[at] - less_c[at]))
                    + 0.5 * (b[at] - less_b[at]);
            }
            smooth_line(line, distance, next);
            for (next, band) in next.iter_mut().zip(less_b) {
                *next += band;
            }
        }
    }

    /// Turns a band into the gradient with respect to it, `weight` for its difference from the target and a slope per square
    /// for its magnitude; adds up the difference.
    fn band_gradient(
        band: &mut [f32],
        target: &[f32],
        width: usize,
        weight: f32,
        slopes: &[f32],
        difference: &mut f32,
    ) {
        let across = width.div_ceil(SQUARE);
        let rows = band.chunks_exact_mut(3 * width).zip(target.chunks_exact(3 * width));
        for (y, (row, target)) in rows.enumerate() {
            *difference += sum_of(row, target, |a, b| (a - b).abs());
            let slopes = &slopes[y / SQUARE * across..][..across];
            let parts = row.chunks_mut(3 * SQUARE).zip(target.chunks(3 * SQUARE));
            for ((part, target), slope) in parts.zip(slopes) {
                for (band, target) in part.iter_mut().zip(target) {
                    let from_amount = if *band > 0.0 { *slope } else { -slope };
                    *band = signed(weight, *band - target) + from_amount;
                }
            }
        }
    }

    /// Adds the gradient of `weight` times the difference; adds up the difference.
    fn difference_pass(
        student: &[f32],
        target: &[f32],
        weight: f32,
        gradient: &mut [f32],
        difference: &mut f32,
    ) {
        for ((student, target), gradient) in student.iter().zip(target).zip(gradient) {
            *gradient += signed(weight, student - target);
        }
        // In parts, so that a sum of many small numbers loses none of them.
        for (student, target) in student.chunks(4096).zip(target.chunks(4096)) {
            *difference += sum_of(student, target, |a, b| (a - b).abs());
        }
    }
}

/// Mirrors an index with the edge repeated.
#[inline(always)]
fn mirrored(at: isize, size: usize) -> usize {
    let size = size as isize;
    let at = if at < 0 { -1 - at } else { at };
    (if at >= size { 2 * size - 1 - at } else { at }) as usize
}

/// The rows or columns that one is smoothed from; the distance is half a side at most.
#[inline(always)]
fn rows_around(at: usize, distance: usize, size: usize) -> [usize; 3] {
    let (at, distance) = (at as isize, distance as isize);
    [-distance, 0, distance].map(|step| mirrored(at + step, size))
}

/// Smooths a line of RGB values by (1 2 1)/4 at that distance in pixels.
#[inline(always)]
fn smooth_line(line: &[f32], distance: usize, out: &mut [f32]) {
    let (width, step) = (line.len() / 3, 3 * distance);
    let inner = line.len() - step;
    let left = line.iter().zip(&line[step..inner]).zip(&line[2 * step..]);
    for (out, ((a, b), c)) in out[step..inner].iter_mut().zip(left) {
        *out = 0.25 * (a + c) + 0.5 * b;
    }
    for x in (0..distance).chain(width - distance..width) {
        let [a, b, c] = rows_around(x, distance, width);
        for channel in 0..3 {
            out[3 * x + channel] = 0.25 * (line[3 * a + channel] + line[3 * c + channel])
                + 0.5 * line[3 * b + channel];
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
    let mut sum = 0.0;
    pair_pass(
        a,
        b,
        2.0 * weight / a.len() as f32,
        gradient_a,
        gradient_b,
        &mut sum,
    );
    sum / a.len() as f32
}

vectorised! {
    fn pair_pass(
        a: &[f32],
        b: &[f32],
        slope: f32,
        gradient_a: &mut [f32],
        gradient_b: &mut [f32],
        sum: &mut f32,
    ) {
        for (((a, b), gradient_a), gradient_b) in a.iter().zip(b).zip(gradient_a).zip(gradient_b) {
            let difference = a - b;
            *gradient_a += slope * difference;
            *gradient_b -= slope * difference;
        }
        for (a, b) in a.chunks(4096).zip(b.chunks(4096)) {
            *sum += sum_of(a, b, |a, b| (a - b) * (a - b));
        }
    }
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
                rest: 0.0,
            },
            Weights {
                colors: 0.0,
                octaves: [0.7, 0.5, 0.3],
                amount: [0.0; OCTAVES],
                rest: 0.0,
            },
            Weights {
                colors: 0.0,
                octaves: [0.0; OCTAVES],
                amount: [2.0, 1.0, 3.0],
                rest: 0.0,
            },
            Weights {
                colors: 0.0,
                octaves: [0.0; OCTAVES],
                amount: [0.0; OCTAVES],
                rest: 1.0,
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
            rest: 0.0,
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
