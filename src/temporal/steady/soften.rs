//! Strokes of what cannot be followed are drawn out along the motion, as a shutter draws out what moves.
//!
//! Where flow changes from one pixel to the next it is least exact: at the rims of what moves, and wherever a surface is
//! blurred or too fast. Strokes there cannot keep their place; a tenth of the pixels holds three quarters of the flicker
//! that is left. A camera shows such places drawn out along their motion. So does this, on luma, by a few pixels, and
//! only in what is shown: the history keeps its strokes. What a picture may lose of its finest octave that way is
//! limited, so a film that is fast everywhere stays sharp.

use rayon::prelude::*;

use super::grid::{CELL, Grid};
use crate::{
    kernels::vectorised,
    temporal::{flow::Flow, warp::split},
};

/// Change of flow from one pixel to the next, averaged over a cell and its neighbours (pixels a frame), at which strokes
/// are drawn out half. A slow zoom or turn has 0.01.
const UNEVEN: f32 = 0.06;

/// How far strokes are drawn out: as a shutter that stays open all the time, up to so many pixels.
const LONGEST: f32 = 6.0;

/// Share of the finest octave that is lost where strokes are fully drawn out, and share that all of a picture may lose.
const DRAWN: f32 = 0.45;
const BUDGET: f32 = 0.04;

/// Where and how far strokes are drawn out.
#[derive(Debug, Default)]
pub(super) struct Soften {
    /// Per cell, 0..1.
    grid: Grid,
    /// One row of the picture for each row of cells.
    rows: Vec<Vec<f32>>,
}

impl Soften {
    /// Takes the size of the pictures.
    pub(super) fn fit(&mut self, width: usize, height: usize) {
        self.grid.fit(width, height);
        self.rows.resize(self.grid.height, Vec::new());
        self.rows.iter_mut().for_each(|row| row.resize(width, 0.0));
    }

    /// Finds where; `texture` is the mean square of the finest octave of the painting in each cell, `strength` is 0..1.
    pub(super) fn judge(&mut self, flow: &Flow, texture: &[f32], strength: f32) {
        let cells = self.grid.cells.par_chunks_mut(self.grid.width);
        cells
            .enumerate()
            .for_each(|(y, cells)| uneven(flow, y * CELL, cells));
        self.grid.smooth();
        let (mut all, mut drawn) = (0.0, 0.0);
        for (cell, texture) in self.grid.cells.iter_mut().zip(texture) {
            let square = *cell * *cell;
            *cell = strength * square / (square + UNEVEN * UNEVEN);
            let amplitude = texture.sqrt();
            all += amplitude;
            drawn += amplitude * *cell;
        }
        let most = BUDGET * all / (DRAWN * drawn).max(f32::MIN_POSITIVE);
        if most < 1.0 {
            self.grid.cells.iter_mut().for_each(|cell| *cell *= most);
        }
    }

    /// Draws out the strokes of `rgb`, whose luma is `luma` (0..255). `trust` in what was painted before is at half size,
    /// 0..1: what is newly uncovered and stands as it was painted is drawn out half as far.
    pub(super) fn apply(&mut self, flow: &Flow, trust: &[f32], luma: &[f32], rgb: &mut [u8]) {
        let (width, grid) = (flow.width, &self.grid);
        let strips = rgb.par_chunks_mut(3 * width * CELL);
        (strips, self.rows.par_iter_mut())
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (rgb, weights))| {
                for (j, rgb) in rgb.chunks_exact_mut(3 * width).enumerate() {
                    let y = i * CELL + j;
                    grid.row(y, CELL, weights);
                    let trust = &trust[y / 2 * width.div_ceil(2)..];
                    draw(flow, trust, luma, y, weights, rgb);
                }
            });
    }
}

vectorised! {
    /// Mean length of the flow's gradient in each of a row of cells, the first pixels of which are in row `first`; every
    /// second row is looked at.
    fn uneven(flow: &Flow, first: usize, cells: &mut [f32]) {
        let width = flow.width;
        cells.fill(0.0);
        let rows = (first..(first + CELL).min(flow.height - 1)).step_by(2);
        let count = rows.len().max(1) as f32;
        for y in rows {
            let [u, v] = [&flow.u, &flow.v].map(|plane| plane[y * width..][..2 * width].split_at(width));
            for (x, cell) in cells.iter_mut().enumerate() {
                let columns = x * CELL..((x + 1) * CELL).min(width - 1);
                let pixels = columns.len().max(1) as f32;
                let length = |x: usize| {
                    let [a, b] = [u, v].map(|(here, below)| {
                        let (across, down) = (here[x + 1] - here[x], below[x] - here[x]);
                        across * across + down * down
                    });
                    (a + b).sqrt()
                };
                *cell += columns.map(length).sum::<f32>() / (pixels * count);
            }
        }
    }

    /// Draws out the strokes of row `y`, each pixel's by its weight; `trust` begins with that of the row.
    fn draw(flow: &Flow, trust: &[f32], luma: &[f32], y: usize, weights: &[f32], rgb: &mut [u8]) {
        let (width, height) = (flow.width, flow.height);
        let [u, v] = [&flow.u, &flow.v].map(|plane| &plane[y * width..][..width]);
        for (x, (pixel, &weight)) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(weights).enumerate() {
            let speed = (u[x] * u[x] + v[x] * v[x]).sqrt();
            let length = speed.min(LONGEST);
            let weight = weight * (0.5 + 0.5 * trust[x / 2]);
            // What is left out could not be seen.
            if weight * length < 0.1 {
                continue;
            }
            let step = 0.25 * length / speed;
            let mut sum = luma[y * width + x];
            for tap in [-2.0, -1.0, 1.0, 2.0] {
                let (x0, fx) = split(x as f32 + tap * step * u[x], width);
                let (y0, fy) = split(y as f32 + tap * step * v[x], height);
                let at = y0 * width + x0;
                let top = luma[at] + fx * (luma[at + 1] - luma[at]);
                let bottom = luma[at + width] + fx * (luma[at + width + 1] - luma[at + width]);
                sum += top + fy * (bottom - top);
            }
            let change = weight * (0.2 * sum - luma[y * width + x]);
            for lane in pixel {
                *lane = ((f32::from(*lane) + change).clamp(0.0, 255.0) + 0.5) as i32 as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (75, 50);

    /// Moves to the right by `u`, which alternates by `jitter` from one row to the next.
    fn flow(u: f32, jitter: f32) -> Flow {
        let (width, height) = SIZE;
        let row = |at: usize| {
            u + if (at / width).is_multiple_of(2) {
                jitter
            } else {
                -jitter
            }
        };
        Flow {
            width,
            height,
            u: (0..width * height).map(row).collect(),
            v: vec![0.0; width * height],
        }
    }

    /// Mean contrast of neighbours across and down, before and after, of a picture of stripes.
    fn contrast(flow: &Flow, trust: f32, stripe: impl Fn(usize, usize) -> bool) -> [f32; 2] {
        let (width, height) = SIZE;
        let luma: Vec<f32> = (0..width * height)
            .map(|at| {
                if stripe(at % width, at / width) {
                    150.0
                } else {
                    50.0
                }
            })
            .collect();
        let mut rgb: Vec<u8> = luma.iter().flat_map(|&y| [y as u8; 3]).collect();
        let mut soften = Soften::default();
        soften.fit(width, height);
        let texture = vec![2500.0; soften.grid.cells.len()];
        soften.judge(flow, &texture, 1.0);
        let trust = vec![trust; width.div_ceil(2) * height.div_ceil(2)];
        soften.apply(flow, &trust, &luma, &mut rgb);
        let after: Vec<f32> = rgb.chunks(3).map(|pixel| f32::from(pixel[0])).collect();
        [luma, after].map(|plane| {
            let mean = plane.iter().sum::<f32>() / plane.len() as f32;
            plane.iter().map(|y| (y - mean).abs()).sum::<f32>() / plane.len() as f32
        })
    }

    #[test]
    fn even_motion_however_fast_leaves_strokes_alone() {
        let [before, after] = contrast(&flow(30.0, 0.0), 1.0, |x, _| x % 2 == 0);
        assert_eq!(before, after);
    }

    #[test]
    fn uneven_motion_draws_strokes_out_along_it_within_the_budget_and_not_across() {
        let uneven = flow(30.0, 0.5);
        let [before, after] = contrast(&uneven, 1.0, |x, _| x % 2 == 0);
        // Everything is uneven, so the budget bounds the loss: 0.04/0.45 of what five taps on stripes take away.
        assert!(
            after < 0.95 * before && after > 0.8 * before,
            "{before} {after}"
        );
        let [before, after] = contrast(&uneven, 1.0, |_, y| y % 4 < 2);
        assert!((after - before).abs() < 0.01 * before, "{before} {after}");
    }

    #[test]
    fn what_is_newly_uncovered_is_drawn_out_half_as_far() {
        let uneven = flow(30.0, 0.5);
        let [trusted, uncovered] = [1.0, 0.0].map(|trust| {
            let [before, after] = contrast(&uneven, trust, |x, _| x % 2 == 0);
            before - after
        });
        assert!((uncovered - 0.5 * trusted).abs() < 0.1 * trusted);
    }
}
