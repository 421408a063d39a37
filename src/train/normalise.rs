//! Instance normalisation (Ulyanov et al. 2016) with its gradient, and planes on their way between two convolutions.
//!
//! Planes are `[row][column][channel]`; the number of channels is the length of the statistics.

use crate::kernels::vectorised;

/// Added to the variance before its root is taken.
const EPSILON: f32 = 1e-5;

vectorised! {
    /// Mean and one over the standard deviation of each channel of `raw`; both are zero before.
    pub(super) fn moments(raw: &[f32], mean: &mut [f32], inverse: &mut [f32]) {
        let channels = mean.len();
        let count = (raw.len() / channels) as f32;
        for pixel in raw.chunks_exact(channels) {
            for (sum, value) in mean.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
        for sum in mean.iter_mut() {
            *sum /= count;
        }
        for pixel in raw.chunks_exact(channels) {
            for ((sum, value), mean) in inverse.iter_mut().zip(pixel).zip(mean.iter()) {
                *sum += (value - mean) * (value - mean);
            }
        }
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
        let factor: Vec<f32> = scale.iter().zip(inverse).map(|(a, b)| a * b).collect();
        let offset: Vec<f32> =
            (0..channels).map(|c| shift[c] - mean[c] * factor[c]).collect();
        for (from, to) in raw.chunks_exact(channels).zip(plane.chunks_exact_mut(channels)) {
            for c in 0..channels {
                to[c] = (from[c] * factor[c] + offset[c]).max(floor);
            }
        }
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
        for (from, to) in raw.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let value = (from[c] - mean[c]) * inverse[c];
                let passed = if value * scale[c] + shift[c] > floor { to[c] } else { 0.0 };
                to[c] = passed;
                shift_gradient[c] += passed;
                scale_gradient[c] += passed * value;
            }
        }
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
        let shift: Vec<f32> = shift_gradient.iter().map(|sum| sum / count).collect();
        let slope: Vec<f32> =
            scale_gradient.iter().zip(inverse).map(|(sum, inverse)| sum / count * inverse).collect();
        let factor: Vec<f32> = scale.iter().zip(inverse).map(|(a, b)| a * b).collect();
        for (raw, gradient) in raw.chunks_exact(channels).zip(gradient.chunks_exact_mut(channels)) {
            for c in 0..channels {
                gradient[c] = factor[c] * (gradient[c] - shift[c] - (raw[c] - mean[c]) * slope[c]);
            }
        }
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

/// Adds the inside of a padded plane.
pub(super) fn add_to_plane(
    padded: &[f32],
    (rows, columns): (usize, usize),
    channels: usize,
    plane: &mut [f32],
) {
    let (to, from) = (columns * channels, (columns + 2) * channels);
    for y in 0..rows {
        let line = &padded[(y + 1) * from + channels..][..to];
        for (value, more) in plane[y * to..(y + 1) * to].iter_mut().zip(line) {
            *value += more;
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
    for (y, line) in fine
        .chunks_exact_mut(2 * columns * channels)
        .enumerate()
        .take(2 * rows)
    {
        let from = &plane[y / 2 * columns * stored..][..columns * stored];
        for (pixels, values) in line.chunks_exact_mut(run).zip(from.chunks_exact(stored)) {
            pixels.copy_from_slice(&values[y % 2 * run..][..run]);
        }
    }
}

/// The gradient of [`spread`], where `plane` is zero before.
pub(super) fn gather(
    fine: &[f32],
    (rows, columns): (usize, usize),
    (stored, channels): (usize, usize),
    plane: &mut [f32],
) {
    let run = 2 * channels;
    for (y, line) in fine
        .chunks_exact(2 * columns * channels)
        .enumerate()
        .take(2 * rows)
    {
        let to = &mut plane[y / 2 * columns * stored..][..columns * stored];
        for (pixels, values) in line.chunks_exact(run).zip(to.chunks_exact_mut(stored)) {
            values[y % 2 * run..][..run].copy_from_slice(pixels);
        }
    }
}
