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

    /// The gradient of `raw`, into `padded`, which has two more pixels on each side of rows of `columns`; from what
    /// [`gated_sums`] left.
    pub(super) fn normalise_back(
        raw: &[f32],
        mean: &[f32],
        inverse: &[f32],
        scale: &[f32],
        shift_gradient: &[f32],
        scale_gradient: &[f32],
        gradient: &[f32],
        columns: usize,
        padded: &mut [f32],
    ) {
        let channels = mean.len();
        let count = (raw.len() / channels) as f32;
        let shift: Vec<f32> = shift_gradient.iter().map(|sum| sum / count).collect();
        let slope: Vec<f32> =
            scale_gradient.iter().zip(inverse).map(|(sum, inverse)| sum / count * inverse).collect();
        let factor: Vec<f32> = scale.iter().zip(inverse).map(|(a, b)| a * b).collect();
        let line = columns * channels;
        for (y, (raw, gradient)) in raw.chunks_exact(line).zip(gradient.chunks_exact(line)).enumerate() {
            let start = ((y + 2) * (columns + 4) + 2) * channels;
            let padded = &mut padded[start..start + line];
            for ((raw, gradient), padded) in
                raw.chunks_exact(channels).zip(gradient.chunks_exact(channels)).zip(padded.chunks_exact_mut(channels))
            {
                for c in 0..channels {
                    padded[c] = factor[c] * (gradient[c] - shift[c] - (raw[c] - mean[c]) * slope[c]);
                }
            }
        }
    }
}

/// Writes `plane`, rows × columns, with one more pixel on each side, mirrored about the edge pixel.
pub(super) fn pad(
    plane: &[f32],
    (rows, columns): (usize, usize),
    channels: usize,
    padded: &mut Vec<f32>,
) {
    let (from, to) = (columns * channels, (columns + 2) * channels);
    padded.resize((rows + 2) * to, 0.0);
    for (y, line) in padded.chunks_exact_mut(to).enumerate() {
        let row = mirrored(y, rows);
        let values = &plane[row * from..(row + 1) * from];
        line[channels..channels + from].copy_from_slice(values);
        line[..channels].copy_from_slice(&values[channels..2 * channels]);
        line[channels + from..].copy_from_slice(&values[from - 2 * channels..from - channels]);
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

/// The gradient of [`pad`]: what lies in the rim of `padded` is added to where it came from.
pub(super) fn fold(
    padded: &mut [f32],
    (rows, columns): (usize, usize),
    channels: usize,
    plane: &mut [f32],
) {
    let (to, from) = (columns * channels, (columns + 2) * channels);
    for (y, line) in padded.chunks_exact_mut(from).enumerate() {
        for c in 0..channels {
            line[2 * channels + c] += line[c];
            line[from - 3 * channels + c] += line[from - channels + c];
        }
        if y == 0 || y == rows + 1 {
            continue;
        }
        plane[(y - 1) * to..y * to].copy_from_slice(&line[channels..channels + to]);
    }
    for y in [0, rows + 1] {
        let row = mirrored(y, rows);
        let line = &padded[y * from + channels..][..to];
        for (value, more) in plane[row * to..(row + 1) * to].iter_mut().zip(line) {
            *value += more;
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

/// Pixel shuffle by 2 (Shi et al. 2016): `[rows][columns][from]` to `[2 rows][2 columns][to]`; channel `4c + 2i + j` becomes
/// channel `c` of the pixel in row `i` and column `j`.
pub(super) fn spread(
    plane: &[f32],
    (rows, columns): (usize, usize),
    from: usize,
    to: usize,
    fine: &mut [f32],
) {
    for y in 0..2 * rows {
        for x in 0..2 * columns {
            let values = &plane[(y / 2 * columns + x / 2) * from..][..from];
            let pixel = &mut fine[(y * 2 * columns + x) * to..][..to];
            let part = y % 2 * 2 + x % 2;
            for (channel, value) in pixel.iter_mut().enumerate().take(from / 4) {
                *value = values[channel * 4 + part];
            }
        }
    }
}
