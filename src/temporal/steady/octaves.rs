//! Octaves: a picture as a sum of bands, each half as fine as the one before (Burt and Adelson 1983).
//!
//! Averaging paintings along the motion loses texture: the parts that differ from frame to frame cancel. The loss differs
//! from octave to octave, so it is paid back per octave: the energy (mean square) of an octave in a cell of 16×16 of its
//! pixels is to come near that of the painting, the latter averaged over time along the motion, since where few strokes
//! make a cell its energy flickers too. With b the octave of the blend and p that of the painting, the result is
//! g·b + s·p. The gain g is the root of the energies' quotient, up to a bound; beyond the bound s solves
//! ⟨(g·b + s·p)²⟩ = wanted. With B_k the blend at octave k, P_k the painting and `up` the step to the next finer size,
//!
//! ```text
//! correction_k = (g_k − 1)·(B_k − up(B_{k+1})) + s_k·(P_k − up(P_{k+1})) + up(correction_{k+1})
//! result       = B_0 + correction_0
//! ```
//!
//! g and s hardly change from one pixel to the next, so they may as well be multiplied before the step up, which then is
//! taken once instead of three times:
//!
//! ```text
//! carry_k = (g_k − g_{k−1})·B_k + (s_k − s_{k−1})·P_k + up(carry_{k+1})      carry_4 = (1 − g_3)·B_4 − s_3·P_4 + correction_4
//! result  = g_0·B_0 + s_0·P_0 + up(carry_1)
//! ```
//!
//! Sizes halve with the kernel (1 3 3 1)/8 and double with (1 3)/4: cell-centred, so any size works.

use crate::{kernels::vectorised, temporal::warp::Rgby};

/// Side of the square cells that energy is averaged over, in pixels of their octave.
pub(super) const CELL: usize = 16;

/// Share of the past in what energy of the painting is usual.
const USUAL: f32 = 0.9;

/// Rows and columns of cells, with one value in each.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) cells: Vec<f32>,
    scratch: Vec<f32>,
}

impl Grid {
    /// Takes the size that covers `width` by `height` pixels.
    pub(super) fn fit(&mut self, width: usize, height: usize) {
        self.width = width.div_ceil(CELL);
        self.height = height.div_ceil(CELL);
        self.cells.resize(self.width * self.height, 0.0);
        self.scratch.resize(self.width * self.height, 0.0);
    }

    /// Averages each cell with its neighbours, weights (1 2 1)/4 in both directions.
    pub(super) fn smooth(&mut self) {
        let (width, height) = (self.width, self.height);
        for y in 0..height {
            let row = &self.cells[y * width..][..width];
            for x in 0..width {
                let (left, right) = (row[x.saturating_sub(1)], row[(x + 1).min(width - 1)]);
                self.scratch[y * width + x] = 0.25 * (left + right) + 0.5 * row[x];
            }
        }
        for y in 0..height {
            let (above, below) = (y.saturating_sub(1) * width, (y + 1).min(height - 1) * width);
            for x in 0..width {
                self.cells[y * width + x] = 0.25
                    * (self.scratch[above + x] + self.scratch[below + x])
                    + 0.5 * self.scratch[y * width + x];
            }
        }
    }

    /// The value at a place between the cells, in cells from the centre of the first.
    fn at(&self, x: f32, y: f32) -> f32 {
        let [(x0, fx), (y0, fy)] = [(x, self.width), (y, self.height)].map(|(position, size)| {
            let inside = position.clamp(0.0, (size - 1) as f32);
            (inside as usize, inside.fract())
        });
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let row = |y: usize| {
            let [a, b] = [x0, x1].map(|x| self.cells[y * self.width + x]);
            a + fx * (b - a)
        };
        row(y0) + fy * (row(y1) - row(y0))
    }

    /// Row `y` (in pixels) of the cells, interpolated between their centres, into `row`; `cell` is in pixels.
    #[inline(always)]
    pub(super) fn row(&self, y: usize, cell: usize, row: &mut [f32]) {
        let position = ((y as f32 + 0.5) / cell as f32 - 0.5).max(0.0);
        let upper = (position as usize).min(self.height - 1);
        let lower = (upper + 1).min(self.height - 1);
        let fraction = (position - upper as f32).min(1.0);
        let at = |x: usize| {
            let (a, b) = (
                self.cells[upper * self.width + x],
                self.cells[lower * self.width + x],
            );
            a + (b - a) * fraction
        };
        let half = cell / 2;
        let head = half.min(row.len());
        row[..head].fill(at(0));
        for (x, ramp) in row[head..].chunks_mut(cell).enumerate() {
            let (a, b) = (at(x.min(self.width - 1)), at((x + 1).min(self.width - 1)));
            let step = (b - a) / cell as f32;
            for (i, value) in ramp.iter_mut().enumerate() {
                *value = a + step * (i as f32 + 0.5);
            }
        }
    }
}

/// One size of the pyramid.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The blend; empty at full size, where it stands elsewhere.
    pub(super) blend: Vec<Rgby>,
    /// Luma of the blend.
    pub(super) blend_luma: Vec<f32>,
    /// The painting; empty at full size, where it stands elsewhere.
    pub(super) painting: Vec<Rgby>,
    /// Luma of the painting.
    pub(super) painting_luma: Vec<f32>,
    /// What is carried to the next finer size; empty at full size.
    pub(super) carry: Vec<Rgby>,
    /// Energy of the octave in the blend, then its gain.
    pub(super) gain: Grid,
    /// Energy of the octave in the painting, then the share of the painting's octave that is added.
    pub(super) share: Grid,
    /// Mean product of both octaves.
    pub(super) common: Grid,
    /// Energy of the octave in the paintings so far, averaged along the motion.
    usual: Grid,
    next_usual: Grid,
    /// Whether there is such an average.
    known: bool,
}

/// How much of an octave is paid back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repair {
    /// Bounds of the gain.
    pub(super) gain: [f32; 2],
    /// Amplitude that is enough, as a share of the painting's.
    pub(super) enough: f32,
}

/// What says where a cell was in the picture before.
#[derive(Clone, Copy)]
pub(super) struct Along<'a> {
    /// Motion to the right and downwards, from the current picture into the last, in pixels; the full size.
    pub(super) flow: [&'a [f32]; 2],
    /// Trust in the history, 0..1; half the size.
    pub(super) trust: &'a [f32],
    /// Full size in pixels.
    pub(super) size: (usize, usize),
}

impl Along<'_> {
    /// Motion and trust at the centre of a cell of `side` pixels of the full size.
    fn cell(&self, x: usize, y: usize, side: usize) -> ([f32; 2], f32) {
        let (width, height) = self.size;
        let (x, y) = (
            (x * side + side / 2).min(width - 1),
            (y * side + side / 2).min(height - 1),
        );
        let trust = self.trust[y / 2 * width.div_ceil(2) + x / 2];
        (self.flow.map(|plane| plane[y * width + x]), trust)
    }
}

impl Level {
    /// Takes a size; `pixels` says whether the colours are kept here.
    pub(super) fn fit(&mut self, width: usize, height: usize, pixels: bool) {
        (self.width, self.height) = (width, height);
        let area = width * height;
        self.blend_luma.resize(area, 0.0);
        self.painting_luma.resize(area, 0.0);
        if pixels {
            self.blend.resize(area, [0.0; 4]);
            self.painting.resize(area, [0.0; 4]);
            self.carry.resize(area, [0.0; 4]);
        }
        for grid in [
            &mut self.gain,
            &mut self.share,
            &mut self.common,
            &mut self.usual,
            &mut self.next_usual,
        ] {
            grid.fit(width, height);
        }
        self.forget();
    }

    /// Forgets what is usual.
    pub(super) fn forget(&mut self) {
        self.known = false;
    }

    /// Turns the energies into a gain and the painting's share; `noise` is the energy that counts as no texture, `side`
    /// of the cells is in pixels of the full size.
    pub(super) fn pay_back(&mut self, noise: f32, repair: Repair, along: Along<'_>, side: usize) {
        for grid in [&mut self.gain, &mut self.share, &mut self.common] {
            grid.smooth();
        }
        let [least, most] = repair.gain;
        let enough = repair.enough * repair.enough;
        for y in 0..self.gain.height {
            for x in 0..self.gain.width {
                let cell = y * self.gain.width + x;
                let (has, painted) = (
                    self.gain.cells[cell] + noise,
                    self.share.cells[cell] + noise,
                );
                let mut usual = painted;
                if self.known {
                    let ([u, v], trust) = along.cell(x, y, side);
                    let before = self
                        .usual
                        .at(x as f32 + u / side as f32, y as f32 + v / side as f32);
                    usual += USUAL * trust * (before - painted);
                }
                self.next_usual.cells[cell] = usual;
                let wanted = has.clamp(enough * usual.min(painted), usual.max(painted));
                let gain = (wanted / has).sqrt().clamp(least, most);
                // wanted = gain²·has + 2·gain·share·common + share²·painted; nothing is missing where the gain suffices.
                let half = gain * self.common.cells[cell];
                let missing = (wanted - gain * gain * has).max(0.0);
                self.gain.cells[cell] = gain;
                self.share.cells[cell] =
                    (((half * half + painted * missing).sqrt() - half) / painted).clamp(0.0, 1.0);
            }
        }
        std::mem::swap(&mut self.usual, &mut self.next_usual);
        self.known = true;
    }
}

/// Row indices 2y−1 … 2y+2, kept inside `height` rows.
#[inline(always)]
fn four_rows(y: usize, height: usize) -> [usize; 4] {
    let last = height - 1;
    [
        (2 * y).saturating_sub(1),
        2 * y,
        (2 * y + 1).min(last),
        (2 * y + 2).min(last),
    ]
}

/// Indices and weights of the two rows (of `height`) from which row `y` of the doubled picture is made.
#[inline(always)]
fn two_rows(y: usize, height: usize) -> [usize; 2] {
    let near = y / 2;
    let far = if y.is_multiple_of(2) {
        near.saturating_sub(1)
    } else {
        (near + 1).min(height - 1)
    };
    [near, far]
}

/// A row of the doubled picture, of which `vertical` is the row before it is doubled sideways: calls `put(x, value)`
/// for each of `width` pixels.
#[inline(always)]
fn double_sideways<T: Copy>(
    vertical: &[T],
    width: usize,
    mix: impl Fn(T, T) -> T,
    mut put: impl FnMut(usize, T),
) {
    let narrow = vertical.len();
    put(0, vertical[0]);
    for x in 0..narrow - 1 {
        let (a, b) = (vertical[x], vertical[x + 1]);
        put(2 * x + 1, mix(a, b));
        put(2 * x + 2, mix(b, a));
    }
    if width == 2 * narrow {
        put(width - 1, vertical[narrow - 1]);
    }
}

#[inline(always)]
fn three_to_one(near: f32, far: f32) -> f32 {
    0.75 * near + 0.25 * far
}

vectorised! {
    /// Rows of a halved picture and its luma, from row `first`; `sums` holds one row of the source.
    pub(super) fn halve(source: &[Rgby], width: usize, height: usize, first: usize, halved: &mut [Rgby], luma: &mut [f32], sums: &mut [Rgby]) {
        let narrow = width.div_ceil(2);
        for (i, (out, luma)) in halved.chunks_exact_mut(narrow).zip(luma.chunks_exact_mut(narrow)).enumerate() {
            let [a, b, c, d] = four_rows(first + i, height).map(|y| source[y * width..][..width].as_flattened());
            for ((((sum, a), b), c), d) in sums[..width].as_flattened_mut().iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum = 0.125 * (a + d) + 0.375 * (b + c);
            }
            let last = width - 1;
            let at = |x: usize, sums: &[Rgby]| -> Rgby {
                let (a, b, c, d) = (sums[(2 * x).saturating_sub(1)], sums[2 * x], sums[(2 * x + 1).min(last)], sums[(2 * x + 2).min(last)]);
                std::array::from_fn(|lane| 0.125 * (a[lane] + d[lane]) + 0.375 * (b[lane] + c[lane]))
            };
            out[0] = at(0, sums);
            for (pixel, window) in out[1..].iter_mut().zip(sums[1..width].windows(4).step_by(2)) {
                for lane in 0..4 {
                    pixel[lane] = 0.125 * (window[0][lane] + window[3][lane]) + 0.375 * (window[1][lane] + window[2][lane]);
                }
            }
            out[narrow - 1] = at(narrow - 1, sums);
            for (luma, pixel) in luma.iter_mut().zip(out.iter()) {
                *luma = pixel[3];
            }
        }
    }

    /// Energies of an octave in one row of cells: mean squares of the octave of `fine[0]` (the blend) and `fine[1]` (the
    /// painting), and the mean of their product. The octave is what the rows (which start at row `first`) have less the
    /// doubled `coarse`; `scratch` holds four rows.
    pub(super) fn energies(fine: [&[f32]; 2], width: usize, first: usize, coarse: &Level, cells: [&mut [f32]; 3], scratch: &mut [f32]) {
        let rows = fine[0].len() / width;
        let (blend_scratch, painting_scratch) = scratch.split_at_mut(2 * width);
        let [has, wanted, common] = cells;
        has.fill(0.0);
        wanted.fill(0.0);
        common.fill(0.0);
        for i in 0..rows {
            let blend_smooth = double_luma(&coarse.blend_luma, coarse.width, coarse.height, first + i, width, blend_scratch);
            let painting_smooth = double_luma(&coarse.painting_luma, coarse.width, coarse.height, first + i, width, painting_scratch);
            let [blend, painting] = fine.map(|plane| &plane[i * width..][..width]);
            let blend = blend.chunks(CELL).zip(blend_smooth[..width].chunks(CELL));
            let painting = painting.chunks(CELL).zip(painting_smooth[..width].chunks(CELL));
            for (x, ((blend, blend_smooth), (painting, painting_smooth))) in blend.zip(painting).enumerate() {
                let mut sums = [0.0_f32; 3];
                for (((b, bs), p), ps) in blend.iter().zip(blend_smooth).zip(painting).zip(painting_smooth) {
                    let (b, p) = (b - bs, p - ps);
                    sums[0] += b * b;
                    sums[1] += p * p;
                    sums[2] += b * p;
                }
                has[x] += sums[0];
                wanted[x] += sums[1];
                common[x] += sums[2];
            }
        }
        for x in 0..has.len() {
            let pixels = (rows * CELL.min(width - x * CELL)) as f32;
            has[x] /= pixels;
            wanted[x] /= pixels;
            common[x] /= pixels;
        }
    }

    /// Rows of what one octave carries to the next finer one, from row `first`: see the module's formula. `repair` is gain
    /// and share of this octave and of the finer one, whose cells have half their side here.
    pub(super) fn carry(blend: &[Rgby], painting: &[Rgby], width: usize, first: usize, repair: [[&Grid; 2]; 2], coarse: &Level, out: &mut [Rgby], scratch: &mut Scratch) {
        for (i, ((blend, painting), out)) in blend.chunks_exact(width).zip(painting.chunks_exact(width)).zip(out.chunks_exact_mut(width)).enumerate() {
            let [here, finer] = repair;
            let Scratch { carried, repair: row, numbers, .. } = scratch;
            mix_rows(here, CELL, first + i, width, numbers, row);
            let row = &mut row[..width];
            let (gains, shares) = numbers[..2 * width].split_at_mut(width);
            finer[0].row(first + i, CELL / 2, gains);
            finer[1].row(first + i, CELL / 2, shares);
            for ((row, &gain), &share) in row.iter_mut().zip(gains.iter()).zip(shares.iter()) {
                row[0] -= gain;
                row[1] -= share;
            }
            double(&coarse.carry, coarse, first + i, width, carried);
            for ((((out, blend), painting), carried), [gain, share]) in out.iter_mut().zip(blend).zip(painting).zip(&carried.pixels[..width]).zip(row.iter()) {
                for lane in 0..4 {
                    out[lane] = gain * blend[lane] + share * painting[lane] + carried[lane];
                }
            }
        }
    }

    /// As [`carry`] at full size: `blend` becomes the corrected picture (0..255), `rgb` its bytes.
    pub(super) fn finish(blend: &mut [Rgby], painting: &[Rgby], width: usize, first: usize, repair: [&Grid; 2], coarse: &Level, rgb: &mut [u8], scratch: &mut Scratch) {
        for (i, ((blend, painting), rgb)) in blend.chunks_exact_mut(width).zip(painting.chunks_exact(width)).zip(rgb.chunks_exact_mut(width * 3)).enumerate() {
            let Scratch { carried, repair: row, numbers, .. } = scratch;
            mix_rows(repair, CELL, first + i, width, numbers, row);
            double(&coarse.carry, coarse, first + i, width, carried);
            for ((((blend, painting), carried), [gain, share]), rgb) in blend.iter_mut().zip(painting).zip(&carried.pixels[..width]).zip(&row[..width]).zip(rgb.chunks_exact_mut(3)) {
                for lane in 0..4 {
                    let value = gain * blend[lane] + share * painting[lane] + carried[lane];
                    blend[lane] = value.max(0.0).min(255.0);
                }
                let bytes = blend.map(|lane| (lane + 0.5) as i32 as u8);
                rgb.copy_from_slice(&bytes[..3]);
            }
        }
    }
}

/// Gain and share of row `y`, pixel by pixel.
#[inline(always)]
fn mix_rows(
    repair: [&Grid; 2],
    cell: usize,
    y: usize,
    width: usize,
    numbers: &mut [f32],
    row: &mut [[f32; 2]],
) {
    let (gains, shares) = numbers[..2 * width].split_at_mut(width);
    repair[0].row(y, cell, gains);
    repair[1].row(y, cell, shares);
    for ((out, &gain), &share) in row.iter_mut().zip(gains.iter()).zip(shares.iter()) {
        *out = [gain, share];
    }
}

/// Rows that one thread works with.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    carried: Doubled,
    repair: Vec<[f32; 2]>,
    /// Four rows of numbers.
    pub(super) numbers: Vec<f32>,
    /// One row of pixels.
    pub(super) pixels: Vec<Rgby>,
}

impl Scratch {
    /// Takes the width of the full size.
    pub(super) fn fit(&mut self, width: usize) {
        self.repair.resize(width, [0.0; 2]);
        self.numbers.resize(4 * width, 0.0);
        self.pixels.resize(width, [0.0; 4]);
        self.carried.vertical.resize(width.div_ceil(2), [0.0; 4]);
        self.carried.pixels.resize(width, [0.0; 4]);
    }
}

/// A row of a doubled picture in the making.
#[derive(Debug, Default)]
struct Doubled {
    vertical: Vec<Rgby>,
    pixels: Vec<Rgby>,
}

/// Row `y` of the doubled `pixels`, which have the size of `coarse`.
#[inline(always)]
fn double(pixels: &[Rgby], coarse: &Level, y: usize, width: usize, row: &mut Doubled) {
    let narrow = coarse.width;
    let [near, far] =
        two_rows(y, coarse.height).map(|y| pixels[y * narrow..][..narrow].as_flattened());
    let vertical = &mut row.vertical[..narrow];
    for ((sum, &near), &far) in vertical.as_flattened_mut().iter_mut().zip(near).zip(far) {
        *sum = three_to_one(near, far);
    }
    let pixels = &mut row.pixels[..width];
    double_sideways(
        vertical,
        width,
        |near, far| std::array::from_fn(|lane| three_to_one(near[lane], far[lane])),
        |x, value| pixels[x] = value,
    );
}

/// Row `y` of the doubled `plane` of `narrow` by `low` numbers, into the first `width` of two rows of scratch.
#[inline(always)]
pub(super) fn double_luma<'a>(
    plane: &[f32],
    narrow: usize,
    low: usize,
    y: usize,
    width: usize,
    scratch: &'a mut [f32],
) -> &'a [f32] {
    let (row, vertical) = scratch.split_at_mut(width);
    let [near, far] = two_rows(y, low).map(|y| &plane[y * narrow..][..narrow]);
    let vertical = &mut vertical[..narrow];
    for ((sum, &near), &far) in vertical.iter_mut().zip(near).zip(far) {
        *sum = three_to_one(near, far);
    }
    double_sideways(vertical, width, three_to_one, |x, value| row[x] = value);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_and_doubling_keep_a_flat_picture_at_any_size() {
        for (width, height) in [(33, 35), (34, 40), (17, 2), (2, 17), (3, 3), (640, 4)] {
            let source = vec![[7.0, 8.0, 9.0, 10.0]; width * height];
            let mut level = Level::default();
            level.fit(width.div_ceil(2), height.div_ceil(2), true);
            let mut sums = vec![[0.0; 4]; width];
            halve(
                &source,
                width,
                height,
                0,
                &mut level.blend,
                &mut level.blend_luma,
                &mut sums,
            );
            assert!(
                level
                    .blend
                    .iter()
                    .all(|pixel| *pixel == [7.0, 8.0, 9.0, 10.0])
            );
            level.painting_luma.copy_from_slice(&level.blend_luma);
            let luma = vec![10.0; width * height.min(CELL)];
            let mut cells = [(); 3].map(|()| vec![1.0; width.div_ceil(CELL)]);
            let [has, wanted, common] = &mut cells;
            let mut numbers = vec![0.0; 4 * width];
            energies(
                [&luma, &luma],
                width,
                0,
                &level,
                [has, wanted, common],
                &mut numbers,
            );
            assert!(cells.iter().flatten().all(|&cell| cell == 0.0), "{cells:?}");
        }
    }

    #[test]
    fn halving_a_ramp_gives_the_mean_of_each_pair() {
        let width = 12;
        let source: Vec<Rgby> = (0..width * 4).map(|i| [(i % width) as f32; 4]).collect();
        let (mut halved, mut luma) = (vec![[0.0; 4]; 6 * 2], vec![0.0; 6 * 2]);
        halve(
            &source,
            width,
            4,
            0,
            &mut halved,
            &mut luma,
            &mut vec![[0.0; 4]; width],
        );
        // Away from the border a symmetric kernel returns the ramp's value at its centre.
        assert_eq!(&luma[1..5], [2.5, 4.5, 6.5, 8.5]);
        assert!(
            halved
                .iter()
                .zip(&luma)
                .all(|(pixel, luma)| *pixel == [*luma; 4])
        );
    }

    /// A level of one cell.
    fn cell(has: f32, painted: f32, common: f32) -> Level {
        let mut level = Level::default();
        level.fit(CELL, CELL, false);
        level.gain.cells[0] = has;
        level.share.cells[0] = painted;
        level.common.cells[0] = common;
        level
    }

    const STILL: Along<'static> = Along {
        flow: [&[0.0; CELL * CELL]; 2],
        trust: &[1.0; CELL * CELL / 4],
        size: (CELL, CELL),
    };
    const REPAIR: Repair = Repair {
        gain: [0.8, 1.03],
        enough: 1.0,
    };

    #[test]
    fn energy_is_paid_back_by_gain_first_and_by_the_painting_beyond_its_bound() {
        // Nothing is missing; a little; most of it, uncorrelated.
        for (has, painted, common) in [
            (100.0, 100.0, 90.0),
            (100.0, 104.0, 90.0),
            (50.0, 100.0, 0.0),
        ] {
            let mut level = cell(has, painted, common);
            level.pay_back(0.0, REPAIR, STILL, CELL);
            let (gain, share) = (level.gain.cells[0], level.share.cells[0]);
            let energy = gain * gain * has + 2.0 * gain * share * common + share * share * painted;
            assert!(
                (energy - painted).abs() < 0.01,
                "{energy} in place of {painted}"
            );
            assert!(
                gain <= 1.03 && (share > 0.0) == (has < 90.0),
                "{gain} {share}"
            );
        }
    }

    #[test]
    fn what_is_enough_is_left_alone_and_the_usual_energy_changes_slowly() {
        let enough = Repair {
            enough: 0.9,
            ..REPAIR
        };
        for (has, gain) in [
            (100.0_f32, 1.0),
            (90.0, 1.0),
            (80.0, (81.0_f32 / 80.0).sqrt()),
            (110.0, (100.0_f32 / 110.0).sqrt()),
        ] {
            let mut level = cell(has, 100.0, has);
            level.pay_back(0.0, enough, STILL, CELL);
            assert!(
                (level.gain.cells[0] - gain).abs() < 1e-5,
                "{has}: {}",
                level.gain.cells[0]
            );
        }
        let mut level = cell(100.0, 100.0, 100.0);
        level.pay_back(0.0, REPAIR, STILL, CELL);
        (level.gain.cells[0], level.share.cells[0]) = (100.0, 200.0);
        level.pay_back(0.0, REPAIR, STILL, CELL);
        assert!(
            (level.usual.cells[0] - 110.0).abs() < 1e-3,
            "{}",
            level.usual.cells[0]
        );
        assert!((level.gain.cells[0] - 1.03).abs() < 1e-6);
    }

    #[test]
    fn cells_are_interpolated_between_their_centres() {
        let mut grid = Grid::default();
        grid.fit(48, 16);
        grid.cells.copy_from_slice(&[0.0, 16.0, 16.0]);
        let mut row = vec![0.0; 48];
        grid.row(3, CELL, &mut row);
        assert_eq!(row[0], 0.0);
        assert_eq!(row[8], 0.5);
        assert_eq!(row[23], 15.5);
        assert_eq!(row[47], 16.0);
    }
}
