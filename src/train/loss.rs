//! How far a student's painting is from its target, with the gradient.
//!
//! The mean difference (L1) of the colours alone leaves a student soft: where it cannot know a brush stroke's place, the
//! median of all of them is the cheapest answer. So the same difference is taken of each octave of detail too, and the
//! *amount* of detail of each octave is compared apart from its place. Octaves are differences of one picture smoothed
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
    /// Squared logarithm of how much more detail of an octave there is.
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
const LEAST_DETAIL: f32 = 1e-3;

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
            let nothing = [];
            terms.octaves[octave] = mean_difference(own, other);
            let amounts = [own, other].map(|band| mean_magnitude(band, &nothing) + LEAST_DETAIL);
            terms.amount[octave] = amounts[0] / amounts[1];
            let log = terms.amount[octave].ln();
            terms.total += weights.octaves[octave] * terms.octaves[octave]
                + weights.amount[octave] * log * log;
            let slope = 2.0 * weights.amount[octave] * log / amounts[0] / count;
            let per_value = weights.octaves[octave] / count;
            band_gradient(
                &mut self.student.bands[octave],
                &self.target.bands[octave],
                per_value,
                slope,
            );
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
