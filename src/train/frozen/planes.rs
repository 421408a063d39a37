//! What happens to a plane, `[row][column][channel]`, between two convolutions, and its gradient: taken apart into blocks,
//! doubled, padded by reflection.

/// Takes `picture`, `[height][width][3]`, apart into blocks: `[row][column][row of the block][column of the block][3]`.
pub(super) fn unshuffle(
    picture: &[f32],
    (_, width): (usize, usize),
    block: usize,
    plane: &mut Vec<f32>,
) {
    plane.resize(picture.len(), 0.0);
    let (run, pixel, line) = (3 * block, 3 * block * block, 3 * block * width);
    for (y, row) in picture.chunks_exact(3 * width).enumerate() {
        let to = &mut plane[y / block * line..][..line];
        for (values, pixel) in row.chunks_exact(run).zip(to.chunks_exact_mut(pixel)) {
            pixel[y % block * run..][..run].copy_from_slice(values);
        }
    }
}

/// Nearest ×2 upsampling.
pub(super) fn double(
    plane: &[f32],
    (_, columns): (usize, usize),
    channels: usize,
    doubled: &mut Vec<f32>,
) {
    doubled.resize(4 * plane.len(), 0.0);
    let line = 2 * columns * channels;
    for (rows, from) in doubled
        .chunks_exact_mut(2 * line)
        .zip(plane.chunks_exact(columns * channels))
    {
        let (first, second) = rows.split_at_mut(line);
        for (two, pixel) in first
            .chunks_exact_mut(2 * channels)
            .zip(from.chunks_exact(channels))
        {
            two[..channels].copy_from_slice(pixel);
            two[channels..].copy_from_slice(pixel);
        }
        second.copy_from_slice(first);
    }
}

/// The gradient of [`double`], where `(rows, columns)` is the size that was reached.
pub(super) fn halve_back(
    doubled: &[f32],
    (_, columns): (usize, usize),
    channels: usize,
    plane: &mut Vec<f32>,
) {
    plane.clear();
    plane.resize(doubled.len() / 4, 0.0);
    let (line, half) = (columns * channels, columns / 2 * channels);
    for (y, row) in doubled.chunks_exact(line).enumerate() {
        let to = &mut plane[y / 2 * half..][..half];
        for (two, pixel) in row
            .chunks_exact(2 * channels)
            .zip(to.chunks_exact_mut(channels))
        {
            let (left, right) = two.split_at(channels);
            for ((sum, a), b) in pixel.iter_mut().zip(left).zip(right) {
                *sum += a + b;
            }
        }
    }
}

/// Mirrors about the first and the last row (or column), which are not repeated.
fn reflected(at: usize, rim: usize, length: usize) -> usize {
    if at < rim {
        rim - at
    } else if at >= rim + length {
        2 * (length - 1) - (at - rim)
    } else {
        at - rim
    }
}

/// Copies `plane` into one with a rim of reflected pixels: `(channels, rim)`.
pub(super) fn pad(
    plane: &[f32],
    (rows, columns): (usize, usize),
    (channels, rim): (usize, usize),
    padded: &mut Vec<f32>,
) {
    let (from, to) = (columns * channels, (columns + 2 * rim) * channels);
    padded.resize((rows + 2 * rim) * to, 0.0);
    for (y, line) in padded.chunks_exact_mut(to).enumerate() {
        let row = &plane[reflected(y, rim, rows) * from..][..from];
        line[rim * channels..rim * channels + from].copy_from_slice(row);
        for x in (0..rim).chain(rim + columns..columns + 2 * rim) {
            let pixel = reflected(x, rim, columns) * channels;
            line[x * channels..][..channels].copy_from_slice(&row[pixel..pixel + channels]);
        }
    }
}

/// The gradient of [`pad`].
pub(super) fn pad_back(
    padded: &[f32],
    (rows, columns): (usize, usize),
    (channels, rim): (usize, usize),
    plane: &mut [f32],
) {
    plane.fill(0.0);
    let (from, to) = (columns * channels, (columns + 2 * rim) * channels);
    for (y, line) in padded.chunks_exact(to).enumerate() {
        let row = &mut plane[reflected(y, rim, rows) * from..][..from];
        let inside = &line[rim * channels..rim * channels + from];
        row.iter_mut()
            .zip(inside)
            .for_each(|(sum, value)| *sum += value);
        for x in (0..rim).chain(rim + columns..columns + 2 * rim) {
            let pixel = reflected(x, rim, columns) * channels;
            let values = &line[x * channels..][..channels];
            let sums = row[pixel..pixel + channels].iter_mut().zip(values);
            sums.for_each(|(sum, value)| *sum += value);
        }
    }
}
