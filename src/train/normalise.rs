//! Instance normalisation (Ulyanov et al. 2016) with its gradient, and planes on their way between two convolutions.
//!
//! Planes are `[row][column][channel]`; the number of channels is the length of the statistics.

use crate::kernels::vectorised;

/// Added to the variance before its root is taken.
const EPSILON: f32 = 1e-5;
/// Values that are treated at once: whole vectors of any processor, and whole pixels of 3, 4, 8, 16 or 32 channels.
const PERIOD: usize = 96;

/// What belongs to a plane's channels, once for each value of a period.
type PerValue = [f32; PERIOD];

#[inline(always)]
fn repeated(channels: usize, value: impl Fn(usize) -> f32) -> PerValue {
    assert_eq!(PERIOD % channels, 0, "channels divide the period");
    std::array::from_fn(|at| value(at % channels))
}

/// Adds the sums of a period's values to those of the channels.
#[inline(always)]
fn add_sums(sums: &PerValue, channels: &mut [f32]) {
    for pixel in sums.chunks_exact(channels.len()) {
        for (sum, value) in channels.iter_mut().zip(pixel) {
            *sum += value;
        }
    }
}

/// The sum of `term(value, place in the period)` for each place.
#[inline(always)]
fn sums_of(values: &[f32], term: impl Fn(f32, usize) -> f32) -> PerValue {
    let mut sums = [0.0; PERIOD];
    let (whole, rest) = values.as_chunks::<PERIOD>();
    for values in whole {
        for at in 0..PERIOD {
            sums[at] += term(values[at], at);
        }
    }
    for (at, value) in rest.iter().enumerate() {
        sums[at] += term(*value, at);
    }
    sums
}

/// Replaces each of `to` by `new(value of from, value of to, place in the period)`.
#[inline(always)]
fn replace(from: &[f32], to: &mut [f32], new: impl Fn(f32, f32, usize) -> f32) {
    let (whole, rest) = from.as_chunks::<PERIOD>();
    let (to_whole, to_rest) = to.as_chunks_mut::<PERIOD>();
    for (from, to) in whole.iter().zip(to_whole) {
        for at in 0..PERIOD {
            to[at] = new(from[at], to[at], at);
        }
    }
    for (at, (from, to)) in rest.iter().zip(to_rest).enumerate() {
        *to = new(*from, *to, at);
    }
}

vectorised! {
    /// Mean and one over the standard deviation of each channel of `raw`; both are zero before.
    pub(super) fn moments(raw: &[f32], mean: &mut [f32], inverse: &mut [f32]) {
        let channels = mean.len();
        let count = (raw.len() / channels) as f32;
        add_sums(&sums_of(raw, |value, _| value), mean);
        for sum in mean.iter_mut() {
            *sum /= count;
        }
        let means = repeated(channels, |c| mean[c]);
        let squares = sums_of(raw, |value, at| (value - means[at]) * (value - means[at]));
        add_sums(&squares, inverse);
        for sum in inverse.iter_mut() {
            *sum = 1.0 / (*sum / count + EPSILON).sqrt();
        }
    }

    /// `scale · (raw − mean) · inverse + shift`, then ReLU or not.
    pub(super) fn normalise(
        raw: &[f32],
        mean: &[f32],
        inverse: &[f32],
        scale: &[f32],
        shift: &[f32],
        relu: bool,
        plane: &mut [f32],
    ) {
        let channels = mean.len();
        let floor = if relu { 0.0 } else { f32::MIN };
        let factor = repeated(channels, |c| scale[c] * inverse[c]);
        let offset = repeated(channels, |c| shift[c] - mean[c] * (scale[c] * inverse[c]));
        replace(raw, plane, |value, _, at| (value * factor[at] + offset[at]).max(floor));
    }

    /// Stops in `gradient` (of the output of [`normalise`]) what ReLU stopped; adds to `shift_gradient` the sum of the rest
    /// and to `scale_gradient` that of its product with the normalised values.
    pub(super) fn gated_sums(
        raw: &[f32],
        mean: &[f32],
        inverse: &[f32],
        scale: &[f32],
        shift: &[f32],
        relu: bool,
        gradient: &mut [f32],
        shift_gradient: &mut [f32],
        scale_gradient: &mut [f32],
    ) {
        let channels = mean.len();
        let floor = if relu { 0.0 } else { f32::MIN };
        let means = repeated(channels, |c| mean[c]);
        let factor = repeated(channels, |c| scale[c] * inverse[c]);
        let offset = repeated(channels, |c| shift[c] - mean[c] * (scale[c] * inverse[c]));
        let (mut shifts, mut scales) = ([0.0_f32; PERIOD], [0.0_f32; PERIOD]);
        let mut pass = |value: f32, gradient: &mut f32, at: usize| {
            let passed = if value * factor[at] + offset[at] > floor { *gradient } else { 0.0 };
            *gradient = passed;
            shifts[at] += passed;
            scales[at] += passed * (value - means[at]);
        };
        let (whole, rest) = raw.as_chunks::<PERIOD>();
        let (to_whole, to_rest) = gradient.as_chunks_mut::<PERIOD>();
        for (values, gradients) in whole.iter().zip(to_whole) {
            for at in 0..PERIOD {
                pass(values[at], &mut gradients[at], at);
            }
        }
        for (at, (value, gradient)) in rest.iter().zip(to_rest).enumerate() {
            pass(*value, gradient, at);
        }
        add_sums(&shifts, shift_gradient);
        let factors = repeated(channels, |c| inverse[c]);
        scales.iter_mut().zip(&factors).for_each(|(sum, factor)| *sum *= factor);
        add_sums(&scales, scale_gradient);
    }

    /// Turns what [`gated_sums`] left into the gradient of `raw`.
    pub(super) fn normalise_back(
        raw: &[f32],
        mean: &[f32],
        inverse: &[f32],
        scale: &[f32],
        shift_gradient: &[f32],
        scale_gradient: &[f32],
        gradient: &mut [f32],
    ) {
        let channels = mean.len();
        let count = (raw.len() / channels) as f32;
        let factor = repeated(channels, |c| scale[c] * inverse[c]);
        let slope = repeated(channels, |c| scale_gradient[c] / count * inverse[c]);
        let shift = repeated(channels, |c| shift_gradient[c] / count);
        let means = repeated(channels, |c| mean[c]);
        replace(raw, gradient, |raw, gradient, at| {
            factor[at] * (gradient - shift[at] - (raw - means[at]) * slope[at])
        });
    }
}

/// Writes a gradient into the middle of `padded`, which has two more pixels on each side.
pub(super) fn place(
    plane: &[f32],
    (rows, columns): (usize, usize),
    channels: usize,
    padded: &mut [f32],
) {
    let line = columns * channels;
    for (y, row) in plane.chunks_exact(line).enumerate().take(rows) {
        let start = ((y + 2) * (columns + 4) + 2) * channels;
        padded[start..start + line].copy_from_slice(row);
    }
}

/// Writes `plane`, rows × columns, with one more pixel on each side, mirrored about the edge pixel, and with its channels
/// filled up by zeros, where `channels` are how many there are and how many are stored.
pub(super) fn pad(
    plane: &[f32],
    (rows, columns): (usize, usize),
    (channels, stored): (usize, usize),
    padded: &mut Vec<f32>,
) {
    let (from, to) = (columns * channels, (columns + 2) * stored);
    padded.resize((rows + 2) * to, 0.0);
    for (y, line) in padded.chunks_exact_mut(to).enumerate() {
        let row = mirrored(y, rows);
        let values = &plane[row * from..(row + 1) * from];
        if channels == stored {
            line[stored..stored + from].copy_from_slice(values);
        } else {
            let pixels = line[stored..to - stored].chunks_exact_mut(stored);
            for (pixel, values) in pixels.zip(values.chunks_exact(channels)) {
                pixel[..channels].copy_from_slice(values);
                pixel[channels..].fill(0.0);
            }
        }
        line.copy_within(2 * stored..3 * stored, 0);
        line.copy_within(to - 3 * stored..to - 2 * stored, to - stored);
    }
}

/// Where a padded row takes its values from.
fn mirrored(padded: usize, rows: usize) -> usize {
    match padded {
        0 => 1,
        _ if padded == rows + 1 => rows - 2,
        _ => padded - 1,
    }
}

/// The gradient of [`pad`]: what lies in the rim of `padded` is added to where it came from; of the `stored` channels only
/// the first `channels` are kept.
pub(super) fn fold(
    padded: &mut [f32],
    (rows, columns): (usize, usize),
    (stored, channels): (usize, usize),
    plane: &mut [f32],
) {
    let (to, from) = (columns * channels, (columns + 2) * stored);
    for line in padded.chunks_exact_mut(from) {
        for c in 0..stored {
            line[2 * stored + c] += line[c];
            line[from - 3 * stored + c] += line[from - stored + c];
        }
    }
    for y in (1..=rows).chain([0, rows + 1]) {
        let row = mirrored(y, rows);
        let line = &padded[y * from + stored..(y + 1) * from - stored];
        let pixels = plane[row * to..(row + 1) * to].chunks_exact_mut(channels);
        let inside = (1..=rows).contains(&y);
        for (pixel, values) in pixels.zip(line.chunks_exact(stored)) {
            if inside {
                pixel.copy_from_slice(&values[..channels]);
            } else {
                pixel
                    .iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
    }
}

/// Pixel shuffle by 2 (Shi et al. 2016): `[rows][columns][stored]`, of which the first are `[row][column][channel]` of a
/// block, to `[2 rows][2 columns][channels]`.
pub(super) fn spread(
    plane: &[f32],
    (rows, columns): (usize, usize),
    (stored, channels): (usize, usize),
    fine: &mut [f32],
) {
    let run = 2 * channels;
    let copy = copy_runs(run);
    for (y, line) in fine
        .chunks_exact_mut(columns * run)
        .enumerate()
        .take(2 * rows)
    {
        let from = &plane[y / 2 * columns * stored + y % 2 * run..];
        copy(from, stored, line, run);
    }
}

/// The gradient of [`spread`], where what `plane` holds beyond the block is zero before.
pub(super) fn gather(
    fine: &[f32],
    (rows, columns): (usize, usize),
    (stored, channels): (usize, usize),
    plane: &mut [f32],
) {
    let run = 2 * channels;
    let copy = copy_runs(run);
    for (y, line) in fine.chunks_exact(columns * run).enumerate().take(2 * rows) {
        let to = &mut plane[y / 2 * columns * stored + y % 2 * run..];
        copy(line, run, to, stored);
    }
}

/// Copies runs that are so far apart as the numbers say, as many as there are.
type CopyRuns = fn(&[f32], usize, &mut [f32], usize);

/// What copies runs of that length: of known length they are a few vectors, else each would be a call.
fn copy_runs(run: usize) -> CopyRuns {
    fn copy<const RUN: usize>(from: &[f32], from_step: usize, to: &mut [f32], to_step: usize) {
        for (from, to) in from.chunks(from_step).zip(to.chunks_mut(to_step)) {
            if let (Some((from, _)), Some((to, _))) =
                (from.split_first_chunk::<RUN>(), to.split_first_chunk_mut())
            {
                *to = *from;
            }
        }
    }
    match run {
        6 => copy::<6>,
        8 => copy::<8>,
        12 => copy::<12>,
        16 => copy::<16>,
        32 => copy::<32>,
        _ => unreachable!("there are 3, 4, 8 or 16 channels at half and full size"),
    }
}

vectorised! {
    /// Adds another plane.
    pub(super) fn add(plane: &mut [f32], other: &[f32]) {
        plane.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
    }

    /// The gradient of the logistic function: from its value and the gradient of that.
    pub(super) fn logistic_back(value: &[f32], upstream: &[f32], gradient: &mut [f32]) {
        for ((value, upstream), gradient) in value.iter().zip(upstream).zip(gradient) {
            *gradient = value * (1.0 - value) * upstream;
        }
    }
}

/// Takes `picture`, `[height][width][3]`, apart into blocks of so many pixels a side, as for [`spread`]'s reverse:
/// `[row][column][row of the block][column of the block][3]`.
pub(super) fn unshuffle(
    picture: &[f32],
    (height, width): (usize, usize),
    side: usize,
    plane: &mut [f32],
) {
    let (run, block) = (3 * side, 3 * side * side);
    let copy = copy_runs(run);
    for (y, row) in picture.chunks_exact(3 * width).enumerate().take(height) {
        let line = &mut plane[y / side * (width / side) * block..][..width / side * block];
        copy(row, run, &mut line[y % side * run..], block);
    }
}
