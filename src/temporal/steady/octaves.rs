//! Octaves: a picture as a sum of bands, each half as fine as the one before (Burt and Adelson 1983).
//!
//! Averaging paintings along the motion loses texture: the parts that differ from frame to frame cancel, and every
//! resampling blurs. The loss differs from octave to octave, so it is paid back per octave: the mean magnitude of an
//! octave in a cell of 16×16 of its pixels is compared between painting and blend, and the blend's octave is multiplied
//! by the quotient. With B_k the blend at octave k, `up` the step to the next finer size and g_k the gain,
//!
//! ```text
//! correction_k = (g_k − 1)·(B_k − up(B_{k+1})) + up(correction_{k+1})        result = B_0 + correction_0
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
    /// Luma of the painting.
    pub(super) painting_luma: Vec<f32>,
    /// What is to be added to the blend; empty at full size.
    pub(super) correction: Vec<Rgby>,
    /// Mean magnitude of the octave in the blend, then its gain.
    pub(super) gain: Grid,
    /// Mean magnitude of the octave in the painting.
    pub(super) wanted: Grid,
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
            self.correction.resize(area, [0.0; 4]);
        }
        self.gain.fit(width, height);
        self.wanted.fit(width, height);
    }

    /// Turns the two energies into a gain within `least..=most`; `noise` (in 0..255) is what counts as no texture.
    pub(super) fn pay_back(&mut self, noise: f32, least: f32, most: f32) {
        self.gain.smooth();
        self.wanted.smooth();
        for (gain, wanted) in self.gain.cells.iter_mut().zip(&self.wanted.cells) {
            *gain = ((wanted + noise) / (*gain + noise)).clamp(least, most);
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
    /// Rows of a halved picture of colours, from row `first`; `sums` holds one row of the source.
    pub(super) fn halve_colours(source: &[Rgby], width: usize, height: usize, first: usize, halved: &mut [Rgby], luma: &mut [f32], sums: &mut [Rgby]) {
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

    /// Rows of a halved picture of luma, from row `first`; `sums` holds one row of the source.
    pub(super) fn halve_luma(source: &[f32], width: usize, height: usize, first: usize, halved: &mut [f32], sums: &mut [f32]) {
        let narrow = width.div_ceil(2);
        for (i, out) in halved.chunks_exact_mut(narrow).enumerate() {
            let [a, b, c, d] = four_rows(first + i, height).map(|y| &source[y * width..][..width]);
            for ((((sum, a), b), c), d) in sums[..width].iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum = 0.125 * (a + d) + 0.375 * (b + c);
            }
            let last = width - 1;
            let at = |x: usize, sums: &[f32]| 0.125 * (sums[(2 * x).saturating_sub(1)] + sums[(2 * x + 2).min(last)]) + 0.375 * (sums[2 * x] + sums[(2 * x + 1).min(last)]);
            out[0] = at(0, sums);
            for (value, window) in out[1..].iter_mut().zip(sums[1..width].windows(4).step_by(2)) {
                *value = 0.125 * (window[0] + window[3]) + 0.375 * (window[1] + window[2]);
            }
            out[narrow - 1] = at(narrow - 1, sums);
        }
    }

    /// Mean magnitude of an octave in one row of cells: of the rows of `fine` (which start at row `first`) less the
    /// doubled `coarse`, a picture of `coarse_width` by `coarse_height`; `scratch` holds two rows.
    pub(super) fn magnitude(fine: &[f32], width: usize, first: usize, coarse: &[f32], coarse_width: usize, coarse_height: usize, cells: &mut [f32], scratch: &mut [f32]) {
        let (vertical, detail) = scratch.split_at_mut(width);
        let (vertical, detail) = (&mut vertical[..coarse_width], &mut detail[..width]);
        let rows = fine.len() / width;
        cells.fill(0.0);
        for (i, fine) in fine.chunks_exact(width).enumerate() {
            let [near, far] = two_rows(first + i, coarse_height).map(|y| &coarse[y * coarse_width..][..coarse_width]);
            for ((sum, &near), &far) in vertical.iter_mut().zip(near).zip(far) {
                *sum = three_to_one(near, far);
            }
            double_sideways(vertical, width, three_to_one, |x, value| detail[x] = value);
            for (detail, fine) in detail.iter_mut().zip(fine) {
                *detail = (fine - *detail).abs();
            }
            for (cell, detail) in cells.iter_mut().zip(detail.chunks(CELL)) {
                *cell += detail.iter().sum::<f32>();
            }
        }
        for (x, cell) in cells.iter_mut().enumerate() {
            *cell /= (rows * CELL.min(width - x * CELL)) as f32;
        }
    }

    /// Rows of the correction of one octave, from row `first`: see the module's formula. `scratch` holds three rows.
    pub(super) fn correct(blend: &[Rgby], width: usize, first: usize, gain: &Grid, coarse: &Level, out: &mut [Rgby], scratch: &mut Scratch) {
        let Scratch { smooth, offset, gains, .. } = scratch;
        let gains = &mut gains[..width];
        for (i, (blend, out)) in blend.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            gain.row(first + i, CELL, gains);
            double(&coarse.blend, coarse, first + i, width, smooth);
            double(&coarse.correction, coarse, first + i, width, offset);
            for ((((out, blend), smooth), offset), gain) in out.iter_mut().zip(blend).zip(smooth.row()).zip(offset.row()).zip(gains.iter()) {
                for lane in 0..4 {
                    out[lane] = (gain - 1.0) * (blend[lane] - smooth[lane]) + offset[lane];
                }
            }
        }
    }

    /// As [`correct`] at full size: `blend` becomes the corrected picture (0..255), `rgb` its bytes.
    pub(super) fn finish(blend: &mut [Rgby], width: usize, first: usize, gain: &Grid, coarse: &Level, rgb: &mut [u8], scratch: &mut Scratch) {
        let Scratch { smooth, offset, gains, .. } = scratch;
        let gains = &mut gains[..width];
        for (i, (blend, rgb)) in blend.chunks_exact_mut(width).zip(rgb.chunks_exact_mut(width * 3)).enumerate() {
            gain.row(first + i, CELL, gains);
            double(&coarse.blend, coarse, first + i, width, smooth);
            double(&coarse.correction, coarse, first + i, width, offset);
            for (((blend, smooth), offset), gain) in blend.iter_mut().zip(smooth.row()).zip(offset.row()).zip(gains.iter()) {
                for lane in 0..4 {
                    blend[lane] = (smooth[lane] + gain * (blend[lane] - smooth[lane]) + offset[lane]).clamp(0.0, 255.0);
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
    offset: Doubled,
    gains: Vec<f32>,
    /// Two rows of numbers.
    pub(super) numbers: Vec<f32>,
    /// One row of pixels.
    pub(super) pixels: Vec<Rgby>,
}

impl Scratch {
    /// Takes the width of the full size.
    pub(super) fn fit(&mut self, width: usize) {
        self.gains.resize(width, 0.0);
        self.numbers.resize(2 * width, 0.0);
        self.pixels.resize(width, [0.0; 4]);
        for doubled in [&mut self.smooth, &mut self.offset] {
            doubled.vertical.resize(width.div_ceil(2), [0.0; 4]);
            doubled.pixels.resize(width, [0.0; 4]);
        }
    }
}

/// A row of a doubled picture in the making.
#[derive(Debug, Default)]
struct Doubled {
    vertical: Vec<Rgby>,
    pixels: Vec<Rgby>,
}

impl Doubled {
    #[inline(always)]
    fn row(&self) -> &[Rgby] {
        &self.pixels
    }
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
            let (narrow, low) = (width.div_ceil(2), height.div_ceil(2));
            let mut level = Level::default();
            level.fit(narrow, low, true);
            let mut sums = vec![[0.0; 4]; width];
            halve_colours(
                &source,
                width,
                height,
                0,
                &mut level.blend,
                &mut level.blend_luma,
                &mut sums,
            );
            for pixel in &level.blend {
                assert_eq!(*pixel, [7.0, 8.0, 9.0, 10.0]);
            }
            let luma = vec![10.0; width * height];
            let mut halved = vec![0.0; narrow * low];
            halve_luma(&luma, width, height, 0, &mut halved, &mut vec![0.0; width]);
            assert_eq!(halved, level.blend_luma);
            let mut grid = Grid::default();
            grid.fit(width, height);
            let mut cells = vec![1.0; grid.width];
            let rows = height.min(CELL);
            magnitude(
                &luma[..rows * width],
                width,
                0,
                &halved,
                narrow,
                low,
                &mut cells,
                &mut vec![0.0; 2 * width],
            );
            assert!(cells.iter().all(|&cell| cell == 0.0), "{cells:?}");
        }
    }

    #[test]
    fn halving_a_ramp_gives_the_mean_of_each_pair() {
        let width = 12;
        let source: Vec<f32> = (0..width * 4).map(|i| (i % width) as f32).collect();
        let mut halved = vec![0.0; 6 * 2];
        halve_luma(&source, width, 4, 0, &mut halved, &mut vec![0.0; width]);
        // Away from the border a symmetric kernel returns the ramp's value at its centre.
        assert_eq!(&halved[1..5], [2.5, 4.5, 6.5, 8.5]);
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
