//! Octaves: a picture as a sum of bands, each half as fine as the one before (Burt and Adelson 1983).
//!
//! Averaging paintings along the motion loses texture: the parts that differ from frame to frame cancel, and every
//! resampling blurs. The loss differs from octave to octave, so it is paid back per octave: the energy (mean square) of
//! an octave in a cell of 16×16 of its pixels is to be that of the painting. With b the octave of the blend and p that of
//! the painting, the result is g·b + s·p. The gain g is the root of the energies' quotient, up to a bound; beyond the
//! bound s solves ⟨(g·b + s·p)²⟩ = ⟨p²⟩. With B_k the blend at octave k, P_k the painting and `up` the step to the next
//! finer size,
//!
//! ```text
//! correction_k = (g_k − 1)·(B_k − up(B_{k+1})) + s_k·(P_k − up(P_{k+1})) + up(correction_{k+1})
//! result       = B_0 + correction_0
//! ```
//!
//! Sizes halve with the kernel (1 3 3 1)/8 and double with (1 3)/4: cell-centred, so any size works.

use crate::{kernels::vectorised, temporal::warp::Rgby};

/// Side of the square cells that energy is averaged over, in pixels of their octave.
pub(super) const CELL: usize = 16;

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
    /// What is to be added to the blend; empty at full size.
    pub(super) correction: Vec<Rgby>,
    /// Energy of the octave in the blend, then its gain.
    pub(super) gain: Grid,
    /// Energy of the octave in the painting, then the share of the painting's octave that is added.
    pub(super) share: Grid,
    /// Mean product of both octaves.
    pub(super) common: Grid,
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
            self.correction.resize(area, [0.0; 4]);
        }
        for grid in [&mut self.gain, &mut self.share, &mut self.common] {
            grid.fit(width, height);
        }
    }

    /// Turns the energies into a gain within `least..=most` and the painting's share; `noise` is the energy that counts
    /// as no texture.
    pub(super) fn pay_back(&mut self, noise: f32, least: f32, most: f32) {
        for grid in [&mut self.gain, &mut self.share, &mut self.common] {
            grid.smooth();
        }
        let cells = self.gain.cells.iter_mut().zip(&mut self.share.cells);
        for ((gain, share), common) in cells.zip(&self.common.cells) {
            let (has, wanted) = (*gain + noise, *share + noise);
            *gain = (wanted / has).sqrt().clamp(least, most);
            // wanted = gain²·has + 2·gain·share·common + share²·wanted; nothing is missing where the gain suffices.
            let half = *gain * common;
            let missing = (wanted - *gain * *gain * has).max(0.0);
            *share = (((half * half + wanted * missing).sqrt() - half) / wanted).clamp(0.0, 1.0);
        }
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

    /// Rows of the correction of one octave, from row `first`: see the module's formula. `repair` is gain and share.
    pub(super) fn correct(blend: &[Rgby], painting: &[Rgby], width: usize, first: usize, repair: [&Grid; 2], coarse: &Level, out: &mut [Rgby], scratch: &mut Scratch) {
        for (i, ((blend, painting), out)) in blend.chunks_exact(width).zip(painting.chunks_exact(width)).zip(out.chunks_exact_mut(width)).enumerate() {
            let rows = scratch.prepare(width, first + i, repair, coarse);
            for ((((((out, blend), painting), smooth), base), offset), [gain, share]) in out.iter_mut().zip(blend).zip(painting).zip(rows.smooth).zip(rows.base).zip(rows.offset).zip(rows.repair) {
                for lane in 0..4 {
                    out[lane] = (gain - 1.0) * (blend[lane] - smooth[lane]) + share * (painting[lane] - base[lane]) + offset[lane];
                }
            }
        }
    }

    /// As [`correct`] at full size: `blend` becomes the corrected picture (0..255), `rgb` its bytes.
    pub(super) fn finish(blend: &mut [Rgby], painting: &[Rgby], width: usize, first: usize, repair: [&Grid; 2], coarse: &Level, rgb: &mut [u8], scratch: &mut Scratch) {
        for (i, ((blend, painting), rgb)) in blend.chunks_exact_mut(width).zip(painting.chunks_exact(width)).zip(rgb.chunks_exact_mut(width * 3)).enumerate() {
            let rows = scratch.prepare(width, first + i, repair, coarse);
            for (((((blend, painting), smooth), base), offset), [gain, share]) in blend.iter_mut().zip(painting).zip(rows.smooth).zip(rows.base).zip(rows.offset).zip(rows.repair) {
                for lane in 0..4 {
                    let value = smooth[lane] + gain * (blend[lane] - smooth[lane]) + share * (painting[lane] - base[lane]) + offset[lane];
                    blend[lane] = value.clamp(0.0, 255.0);
                }
            }
            for (rgb, pixel) in rgb.chunks_exact_mut(3).zip(blend.iter()) {
                for lane in 0..3 {
                    rgb[lane] = (pixel[lane] + 0.5) as u8;
                }
            }
        }
    }
}

/// Rows that one thread works with.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    smooth: Doubled,
    base: Doubled,
    offset: Doubled,
    gains: Vec<f32>,
    repair: Vec<[f32; 2]>,
    /// Four rows of numbers.
    pub(super) numbers: Vec<f32>,
    /// One row of pixels.
    pub(super) pixels: Vec<Rgby>,
}

/// What a row is corrected with, pixel by pixel.
struct Rows<'a> {
    /// The coarser blend.
    smooth: &'a [Rgby],
    /// The coarser painting.
    base: &'a [Rgby],
    /// The coarser correction.
    offset: &'a [Rgby],
    /// Gain and share.
    repair: &'a [[f32; 2]],
}

impl Scratch {
    /// Takes the width of the full size.
    pub(super) fn fit(&mut self, width: usize) {
        self.gains.resize(2 * width, 0.0);
        self.repair.resize(width, [0.0; 2]);
        self.numbers.resize(4 * width, 0.0);
        self.pixels.resize(width, [0.0; 4]);
        for doubled in [&mut self.smooth, &mut self.base, &mut self.offset] {
            doubled.vertical.resize(width.div_ceil(2), [0.0; 4]);
            doubled.pixels.resize(width, [0.0; 4]);
        }
    }

    /// Row `y` of `width` pixels, from what is `coarse`.
    #[inline(always)]
    fn prepare(&mut self, width: usize, y: usize, repair: [&Grid; 2], coarse: &Level) -> Rows<'_> {
        double(&coarse.blend, coarse, y, width, &mut self.smooth);
        double(&coarse.painting, coarse, y, width, &mut self.base);
        double(&coarse.correction, coarse, y, width, &mut self.offset);
        let (gains, shares) = self.gains.split_at_mut(width);
        repair[0].row(y, CELL, gains);
        repair[1].row(y, CELL, &mut shares[..width]);
        for ((out, &gain), &share) in self.repair.iter_mut().zip(gains.iter()).zip(shares.iter()) {
            *out = [gain, share];
        }
        Rows {
            smooth: &self.smooth.pixels[..width],
            base: &self.base.pixels[..width],
            offset: &self.offset.pixels[..width],
            repair: &self.repair[..width],
        }
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

    #[test]
    fn energy_is_paid_back_by_gain_first_and_by_the_painting_beyond_its_bound() {
        // (has, wanted, common) of three cells: nothing is missing; a little; most of it, uncorrelated.
        let mut level = Level::default();
        level.fit(CELL, CELL, false);
        for (has, wanted, common) in [
            (100.0, 100.0, 90.0),
            (100.0, 104.0, 90.0),
            (50.0, 100.0, 0.0),
        ] {
            level.gain.cells[0] = has;
            level.share.cells[0] = wanted;
            level.common.cells[0] = common;
            level.pay_back(0.0, 0.8, 1.03);
            let (gain, share) = (level.gain.cells[0], level.share.cells[0]);
            let energy = gain * gain * has + 2.0 * gain * share * common + share * share * wanted;
            assert!(
                (energy - wanted).abs() < 0.01,
                "{energy} in place of {wanted}"
            );
            assert!(
                gain <= 1.03 && (share > 0.0) == (has < 90.0),
                "{gain} {share}"
            );
        }
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
