//! Bringing a small painting to the camera's size with the camera's edges.
//!
//! Plain interpolation makes edges soft. Here the painting is taken for a locally linear function of the camera picture's
//! luma, as in the guided filter (He, Sun, Tang 2010; its slopes computed at the small size as in the fast guided filter,
//! He and Sun 2015): the interpolated painting gets what the camera picture has beyond its own small version, times the
//! local slope. Where painting and camera picture have nothing to do with each other (a flat wall with brush strokes on
//! it) the slope is near zero and the strokes are only interpolated.

use crate::{frame::Picture, kernels::vectorised};

/// Half the side of the square in which a slope is fitted, in pixels of the painting.
const RADIUS: usize = 2;
/// Added to the variance of the luma (0..255): texture under this strength counts as noise.
const NOISE: f32 = 60.0;
/// Steeper slopes than this would make the camera's noise visible.
const STEEPEST: f32 = 1.5;

/// One pixel of the painting: R, G, B, their slopes against the luma, and the luma of the shrunk camera picture.
type Cell = [f32; 8];

/// `painted` at the size of `guide`, which is the picture that it was painted from. A guide that is no larger on either
/// side gives plain interpolation.
pub fn upscale(painted: &Picture, guide: &Picture) -> Picture {
    let (width, height) = (guide.width(), guide.height());
    let luma: Vec<u8> = guide.rgb().chunks_exact(3).map(luma).collect();
    let cells = cells(painted, &luma, (width, height));
    let columns = taps(painted.width(), width);
    let mut out = Picture::black(width, height);
    let mut row = vec![Cell::default(); painted.width()];
    let rows = taps(painted.height(), height);
    let lines = out
        .rgb_mut()
        .chunks_exact_mut(width * 3)
        .zip(luma.chunks_exact(width));
    for ((line, luma), &(top, bottom, t)) in lines.zip(&rows) {
        let line_of = |y: usize| &cells[y * painted.width()..(y + 1) * painted.width()];
        finish_row(
            &mut row,
            line_of(top),
            line_of(bottom),
            t,
            luma,
            &columns,
            line,
        );
    }
    out
}

/// The two cells of the small side around a place of the large one, and the weight of the second.
type Tap = (usize, usize, f32);

vectorised! {
    /// One row of the result: the rows above and below are mixed into `row`, then spread over the columns.
    fn finish_row(
        row: &mut [Cell],
        above: &[Cell],
        below: &[Cell],
        t: f32,
        luma: &[u8],
        columns: &[Tap],
        line: &mut [u8],
    ) {
        for ((cell, above), below) in row.iter_mut().zip(above).zip(below) {
            *cell = mix(above, below, t);
        }
        let (pixels, _) = line.as_chunks_mut::<3>();
        for ((pixel, &luma), &(left, right, t)) in pixels.iter_mut().zip(luma).zip(columns) {
            let cell = mix(&row[left], &row[right], t);
            let detail = f32::from(luma) - cell[6];
            let sharp: [f32; 3] = std::array::from_fn(|c| cell[c] + cell[3 + c] * detail + 0.5);
            // Saturates at 0 and 255.
            *pixel = sharp.map(|value| value as u8);
        }
    }

    fn add_cells(sums: &mut [Cell], row: &[Cell]) {
        for (sum, cell) in sums.iter_mut().zip(row) {
            for (sum, value) in sum.iter_mut().zip(cell) {
                *sum += value;
            }
        }
    }
}

fn luma(rgb: &[u8]) -> u8 {
    ((77 * u32::from(rgb[0]) + 150 * u32::from(rgb[1]) + 29 * u32::from(rgb[2])) >> 8) as u8
}

#[inline(always)]
fn mix(a: &Cell, b: &Cell, t: f32) -> Cell {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// For each place of the large side: its two neighbours on the small side, and the weight of the second.
fn taps(small: usize, large: usize) -> Vec<Tap> {
    let scale = small as f32 / large as f32;
    (0..large)
        .map(|i| {
            let place = ((i as f32 + 0.5) * scale - 0.5).clamp(0.0, (small - 1) as f32);
            let first = place as usize;
            (first, (first + 1).min(small - 1), place - first as f32)
        })
        .collect()
}

fn cells(painted: &Picture, luma: &[u8], guide: (usize, usize)) -> Vec<Cell> {
    let (width, height) = (painted.width(), painted.height());
    let small = shrink(luma, guide, (width, height));
    // Sums over the square: luma, its square, R, G, B, and each of them times the luma.
    let products: Vec<Cell> = painted
        .rgb()
        .chunks_exact(3)
        .zip(&small)
        .map(|(rgb, &g)| {
            let [r, gr, b] = [rgb[0], rgb[1], rgb[2]].map(f32::from);
            [g, g * g, r, gr, b, r * g, gr * g, b * g]
        })
        .collect();
    let sums = box_sums(&products, width, height);
    let pixels = painted.rgb().chunks_exact(3);
    pixels
        .zip(&small)
        .zip(sums)
        .map(|((rgb, &g), (sum, count))| {
            let mean = sum.map(|value| value / count);
            let variance = (mean[1] - mean[0] * mean[0]).max(0.0) + NOISE;
            let slope = |channel: usize| {
                let covariance = mean[5 + channel] - mean[0] * mean[2 + channel];
                (covariance / variance).clamp(-STEEPEST, STEEPEST)
            };
            let [r, gr, b] = [rgb[0], rgb[1], rgb[2]].map(f32::from);
            [r, gr, b, slope(0), slope(1), slope(2), g, 0.0]
        })
        .collect()
}

/// The mean of the pixels that fall on each pixel of a smaller plane; of a larger plane, the nearest one.
fn shrink(
    plane: &[u8],
    (width, height): (usize, usize),
    (small_width, small_height): (usize, usize),
) -> Vec<f32> {
    let range = |i: usize, small: usize, large: usize| {
        let start = (i * large / small).min(large - 1);
        start..((i + 1) * large / small).max(start + 1)
    };
    let columns: Vec<_> = (0..small_width)
        .map(|x| range(x, small_width, width))
        .collect();
    let mut out = Vec::with_capacity(small_width * small_height);
    let mut sums = vec![0u32; width];
    for y in 0..small_height {
        let rows = range(y, small_height, height);
        sums.fill(0);
        for row in plane[rows.start * width..rows.end * width].chunks_exact(width) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, &value)| *sum += u32::from(value));
        }
        out.extend(columns.iter().map(|columns| {
            let sum: u32 = sums[columns.clone()].iter().sum();
            sum as f32 / (columns.len() * rows.len()) as f32
        }));
    }
    out
}

/// For each pixel, the sum over the square around it, and how many pixels of it lie inside the picture.
fn box_sums(products: &[Cell], width: usize, height: usize) -> Vec<(Cell, f32)> {
    let around = |i: usize, end: usize| i.saturating_sub(RADIUS)..(i + RADIUS + 1).min(end);
    let mut out = Vec::with_capacity(products.len());
    let mut vertical = vec![Cell::default(); width];
    for y in 0..height {
        let rows = around(y, height);
        vertical.fill(Cell::default());
        for row in products[rows.start * width..rows.end * width].chunks_exact(width) {
            add_cells(&mut vertical, row);
        }
        for x in 0..width {
            let columns = around(x, width);
            let count = (rows.len() * columns.len()) as f32;
            let mut sum = Cell::default();
            for cell in &vertical[columns] {
                for (sum, value) in sum.iter_mut().zip(cell) {
                    *sum += value;
                }
            }
            out.push((sum, count));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, f: impl Fn(f32, f32) -> [f32; 3]) -> Picture {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let value = f(
                    (x as f32 + 0.5) / width as f32,
                    (y as f32 + 0.5) / height as f32,
                );
                rgb.extend(value.map(|v| (v * 255.0) as u8));
            }
        }
        Picture::new(width, height, rgb).unwrap()
    }

    fn shrunk(large: &Picture, side: usize) -> Picture {
        let step = large.width() / side;
        let mut rgb = Vec::new();
        for y in 0..large.height() / step {
            for x in 0..side {
                for c in 0..3 {
                    let sum: u32 = (0..step * step)
                        .map(|i| {
                            let (px, py) = (x * step + i % step, y * step + i / step);
                            u32::from(large.rgb()[(py * large.width() + px) * 3 + c])
                        })
                        .sum();
                    rgb.push((sum / (step * step) as u32) as u8);
                }
            }
        }
        Picture::new(side, large.height() / step, rgb).unwrap()
    }

    fn error(a: &Picture, b: &Picture) -> f64 {
        let sum: f64 = a
            .rgb()
            .iter()
            .zip(b.rgb())
            .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2))
            .sum();
        (sum / a.rgb().len() as f64).sqrt()
    }

    /// A disc with a stripe, and its painting: other colours, the same edges.
    fn scene(x: f32, y: f32) -> f32 {
        let disc = (x - 0.4).hypot(y - 0.5) < 0.3;
        let stripe = (x + 0.3 * y - 0.8).abs() < 0.06;
        if disc {
            0.8
        } else if stripe {
            0.5
        } else {
            0.15
        }
    }

    #[test]
    fn edges_are_sharper_than_interpolated_ones() {
        let guide = picture(192, 192, |x, y| [scene(x, y); 3]);
        let truth = picture(192, 192, |x, y| {
            let v = scene(x, y);
            [0.9 - 0.7 * v, 0.2 + 0.5 * v, 0.5]
        });
        let small = shrunk(&truth, 64);
        let flat = picture(192, 192, |_, _| [0.5; 3]); // no edges to take: plain interpolation
        let guided = error(&upscale(&small, &guide), &truth);
        let plain = error(&upscale(&small, &flat), &truth);
        assert!(
            guided < 0.6 * plain,
            "guided {guided:.2}, interpolated {plain:.2}"
        );
    }

    #[test]
    fn strokes_on_a_flat_wall_stay_and_the_walls_noise_does_not_come_through() {
        let strokes = picture(32, 32, |x, y| [(x * 40.0).sin() * 0.3 + 0.5, y, 0.2]);
        let noise = |x: f32, y: f32| 0.5 + 0.01 * (x * 999.0 + y * 777.0).sin();
        let noisy = picture(96, 96, |x, y| [noise(x, y); 3]);
        let flat = picture(96, 96, |_, _| [0.5; 3]);
        let difference = error(&upscale(&strokes, &noisy), &upscale(&strokes, &flat));
        assert!(difference < 1.0, "{difference}");
    }

    #[test]
    fn any_sizes_go_together() {
        for (small, large) in [(33, 64), (50, 131), (64, 40), (32, 32)] {
            let painted = picture(small, small + 1, |x, y| [x, y, 0.5]);
            let guide = picture(large, large + 7, |x, y| [y, x, 0.5]);
            let out = upscale(&painted, &guide);
            assert_eq!((out.width(), out.height()), (large, large + 7));
        }
    }
}
