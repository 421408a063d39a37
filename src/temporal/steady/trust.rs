//! How far the history can be trusted, seen in the *input*: a painting cannot mislead it.
//!
//! Three things make a pixel's history useless: it was hidden, it comes from outside the picture, or the flow is wrong.
//! All but the second show in that the input there does not look like the input before, carried along the flow; where the
//! two directions of the flow contradict each other, far less of a difference is suffered. But the input may also differ because the scene's light changed; then the
//! strokes are where they were and only their brightness is old. The two are told apart by scale: light changes over
//! wide areas. The wide part of the difference makes the coarsest octave of the history follow the painting at once,
//! only the rest costs trust.
//!
//! All of it is done at half size, where noise is smaller and the work a quarter.

use rayon::prelude::*;

use super::octaves::{CELL, Grid};
use crate::{
    kernels::vectorised,
    temporal::{
        flow::{Luma, Motion},
        warp::split,
    },
};

/// Difference of the inputs that costs no trust yet, and the one that costs all of it, 0..255, where the two directions
/// of the flow agree. Between a film's noise (2 to 5 after smoothing) and two unrelated surfaces (40 and more).
const DOUBT: [f32; 2] = [15.0, 60.0];

/// The same where they contradict each other. Most such places are not uncovered but blurred, or too fast for flow, and
/// painted anew they would flicker in every frame; what looks the same as before may be what was there before.
const DOUBT_CONTRADICTED: [f32; 2] = [0.0, 3.0];

/// Change of the scene's light between two frames (0..255) of which one half is followed at once.
const LIGHT: f32 = 2.0;

/// Rounds of smoothing of the light: each round has a standard deviation of 0.7 cells of 16 pixels.
const LIGHT_ROUNDS: usize = 6;

/// Rows of a strip that one thread takes.
const STRIP: usize = CELL / 2;

/// Trust in the history, with what it needs to remember.
#[derive(Debug, Default)]
pub(super) struct Trust {
    width: usize,
    height: usize,
    current: Vec<f32>,
    previous: Vec<f32>,
    difference: Vec<f32>,
    weight: Vec<f32>,
    rows: Vec<Vec<f32>>,
    map: Vec<f32>,
    light: Grid,
    light_weight: Grid,
}

impl Trust {
    /// Takes the half size of `width` by `height` pixels.
    pub(super) fn fit(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width.div_ceil(2), height.div_ceil(2));
        let area = self.width * self.height;
        for plane in [
            &mut self.current,
            &mut self.previous,
            &mut self.difference,
            &mut self.weight,
            &mut self.map,
        ] {
            plane.resize(area, 0.0);
        }
        self.rows.resize(self.height.div_ceil(STRIP), Vec::new());
        for row in &mut self.rows {
            row.resize(self.width, 0.0);
        }
        self.light.fit(width, height);
        self.light_weight.fit(width, height);
    }

    /// Remembers an input.
    pub(super) fn see(&mut self, input: &Luma) {
        std::mem::swap(&mut self.current, &mut self.previous);
        let width = self.width;
        self.current
            .par_chunks_mut(width * STRIP)
            .enumerate()
            .for_each(|(strip, rows)| {
                halve(
                    &input.pixels,
                    input.width,
                    input.height,
                    strip * STRIP,
                    rows,
                );
            });
    }

    /// Trust (0..1, at half size) between the last two inputs seen.
    pub(super) fn judge(&mut self, motion: &Motion) -> &[f32] {
        let (width, height) = (self.width, self.height);
        let strip = width * STRIP;
        let previous = &self.previous;
        (
            self.difference.par_chunks_mut(strip),
            self.weight.par_chunks_mut(strip),
            self.current.par_chunks(strip),
            self.light.cells.par_chunks_mut(self.light.width),
            self.light_weight
                .cells
                .par_chunks_mut(self.light_weight.width),
        )
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (difference, weight, current, light, light_weight))| {
                compare(
                    motion,
                    i * STRIP,
                    width,
                    height,
                    current,
                    previous,
                    difference,
                    weight,
                    light,
                    light_weight,
                );
            });
        for _ in 0..LIGHT_ROUNDS {
            self.light.smooth();
            self.light_weight.smooth();
        }
        for (light, weight) in self.light.cells.iter_mut().zip(&self.light_weight.cells) {
            *light /= weight + 1e-3;
        }
        let (difference, weight, light) = (&self.difference, &self.weight, &self.light);
        (self.map.par_chunks_mut(strip), self.rows.par_iter_mut())
            .into_par_iter()
            .enumerate()
            .for_each(|(i, (map, row))| {
                doubt(
                    i * STRIP,
                    motion,
                    width,
                    height,
                    difference,
                    weight,
                    light,
                    map,
                    row,
                );
            });
        &self.map
    }

    /// What [`Trust::judge`] found last.
    pub(super) fn map(&self) -> &[f32] {
        &self.map
    }

    /// How much of the coarsest octave of the history gives way to the painting's, 0..1 per cell of 16 pixels.
    pub(super) fn follow(&self) -> impl Iterator<Item = f32> {
        self.light.cells.iter().map(|light| {
            let square = light * light;
            square / (square + LIGHT * LIGHT)
        })
    }
}

vectorised! {
    /// Rows of a picture at half size, from row `first`.
    fn halve(pixels: &[u8], width: usize, height: usize, first: usize, rows: &mut [f32]) {
        let narrow = width.div_ceil(2);
        for (i, row) in rows.chunks_exact_mut(narrow).enumerate() {
            let y = 2 * (first + i);
            let [a, b] = [y, (y + 1).min(height - 1)].map(|y| &pixels[y * width..][..width]);
            for ((out, a), b) in row.iter_mut().zip(a.chunks_exact(2)).zip(b.chunks_exact(2)) {
                *out = 0.25 * (f32::from(a[0]) + f32::from(a[1]) + f32::from(b[0]) + f32::from(b[1]));
            }
            if width % 2 == 1 {
                row[narrow - 1] = 0.5 * (f32::from(a[width - 1]) + f32::from(b[width - 1]));
            }
        }
    }

    /// The input's difference to the input before along the flow, and the share of consistent pixels, for one row of
    /// cells; per cell the sums of both.
    fn compare(motion: &Motion, first: usize, width: usize, height: usize, current: &[f32], previous: &[f32], difference: &mut [f32], weight: &mut [f32], light: &mut [f32], light_weight: &mut [f32]) {
        let full = motion.backward.width;
        light.fill(0.0);
        light_weight.fill(0.0);
        for (i, current) in current.chunks_exact(width).enumerate() {
            let y = first + i;
            let [above, below] = [2 * y, (2 * y + 1).min(motion.backward.height - 1)].map(|y| y * full);
            for (x, &now) in current.iter().enumerate() {
                let (left, right) = (2 * x, (2 * x + 1).min(full - 1));
                let four = [above + left, above + right, below + left, below + right];
                let consistent: u8 = four.iter().map(|&at| motion.consistent[at]).sum();
                let mean = |plane: &[f32]| four.iter().map(|&at| plane[at]).sum::<f32>() * 0.125;
                let (x0, fx) = split(x as f32 + mean(&motion.backward.u), width);
                let (y0, fy) = split(y as f32 + mean(&motion.backward.v), height);
                let at = y0 * width + x0;
                let top = previous[at] + fx * (previous[at + 1] - previous[at]);
                let bottom = previous[at + width] + fx * (previous[at + width + 1] - previous[at + width]);
                let before = top + fy * (bottom - top);
                let share = f32::from(consistent) * 0.25;
                difference[i * width + x] = now - before;
                weight[i * width + x] = share;
                light[x / STRIP] += share * (now - before);
                light_weight[x / STRIP] += share;
            }
        }
    }

    /// Trust in rows from `first`; `light_row` is scratch of one row.
    fn doubt(first: usize, motion: &Motion, width: usize, height: usize, difference: &[f32], weight: &[f32], light: &Grid, trust: &mut [f32], light_row: &mut [f32]) {
        let full = motion.backward.width;
        let (right_edge, bottom_edge) = ((full - 1) as f32, (motion.backward.height - 1) as f32);
        for (i, trust) in trust.chunks_exact_mut(width).enumerate() {
            let y = first + i;
            light.row(y, STRIP, light_row);
            let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)].map(|y| &difference[y * width..][..width]);
            let weight = &weight[y * width..][..width];
            let [u, v] = [&motion.backward.u, &motion.backward.v].map(|plane| &plane[2 * y * full..][..full]);
            for (x, trust) in trust.iter_mut().enumerate() {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
                let across = rows.map(|row| row[left] + 2.0 * row[x] + row[right]);
                let smooth = (across[0] + 2.0 * across[1] + across[2]) * 0.0625;
                let off = (smooth - light_row[x]).abs();
                let belief = |[none, all]: [f32; 2]| {
                    let rest = 1.0 - ((off - none) / (all - none)).clamp(0.0, 1.0);
                    rest * rest * (3.0 - 2.0 * rest)
                };
                let (px, py) = (2.0 * x as f32 + u[2 * x], 2.0 * y as f32 + v[2 * x]);
                let inside = (px >= 0.0) & (px <= right_edge) & (py >= 0.0) & (py <= bottom_edge);
                let contradicted = if inside { (1.0 - weight[x]) * belief(DOUBT_CONTRADICTED) } else { 0.0 };
                *trust = weight[x] * belief(DOUBT) + contradicted;
            }
        }
    }
}
