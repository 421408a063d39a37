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
//! g and s of a size are made by the step up from half of it, too ([`Grid::doubled_row`]): where a picture is flat,
//! g·up(B) and up(g·B) are then the same number. Interpolated by themselves they differ in two pixels at the centres of cells,
//! where the slope of g changes, by a hundredth of B; frame after frame this added up to bright crosses in flat areas.
//!
//! Of the finest octave, what stands where the painting is flat fades.
//!
//! Energy is that of luma, and so are g and s; colour, which stands at half size, has its finest octave there and is
//! repaired with the same g and s.

use super::{
    colour,
    grid::{CELL, Grid},
    pyramid::double,
};
use crate::kernels::vectorised;

/// Share of the blend's finest octave that is let go where the painting is flat. More than the gain adds to it: in a cell
/// that a few strong edges have to themselves, noise beside them would grow to ripples.
const FADE: f32 = 0.1;

/// Sum of the squares of the painting's finest octave (of 0..255) over [`NEAR`] pixels of a row at which half of that is let go.
const FLAT: f32 = 1.0;
const NEAR: usize = 5;

/// Share of the past in what energy of the painting is usual.
const USUAL: f32 = 0.9;

/// A picture of one size.
#[derive(Debug, Default)]
pub(super) struct Planes {
    /// Empty where it is not wanted.
    pub(super) luma: Vec<f32>,
    /// Two numbers a pixel; empty at full size.
    pub(super) colour: Vec<f32>,
}

/// One size of the pyramid.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) blend: Planes,
    pub(super) painting: Planes,
    /// What is carried to the next finer size; at half size the corrected colour itself.
    pub(super) carry: Planes,
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
    /// Takes a size; `full` says whether it is the full size.
    pub(super) fn fit(&mut self, width: usize, height: usize, full: bool) {
        (self.width, self.height) = (width, height);
        let area = width * height;
        let (colour, carry) = if full { (0, 0) } else { (2 * area, area) };
        for planes in [&mut self.blend, &mut self.painting, &mut self.carry] {
            planes.luma.resize(area, 0.0);
            planes.colour.resize(colour, 0.0);
        }
        self.carry.luma.resize(carry, 0.0);
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

vectorised! {
    /// Energies of an octave in one row of cells: mean squares of the octave of `fine[0]` (the blend) and `fine[1]` (the
    /// painting), and the mean of their product. The octave is what the rows (which start at row `first`) have less the
    /// doubled `coarse`.
    pub(super) fn energies(fine: [&[f32]; 2], width: usize, first: usize, coarse: &Level, cells: [&mut [f32]; 3], scratch: &mut Scratch) {
        let rows = fine[0].len() / width;
        let Scratch { doubled, vertical, gains, shares, less } = scratch;
        let (blend_smooth, painting_smooth) = doubled[..2 * width].split_at_mut(width);
        // Summed over the rows first, column by column: sums along a row would each wait for the one before.
        let (blends, paintings, products) = (&mut gains[..width], &mut shares[..width], &mut less[..width]);
        blends.fill(0.0);
        paintings.fill(0.0);
        products.fill(0.0);
        for i in 0..rows {
            double::<1, 2>(&coarse.blend.luma, coarse.width, coarse.height, first + i, vertical, blend_smooth);
            double::<1, 2>(&coarse.painting.luma, coarse.width, coarse.height, first + i, vertical, painting_smooth);
            let (blend, painting) = (&fine[0][i * width..][..width], &fine[1][i * width..][..width]);
            let octaves = blend.iter().zip(&*blend_smooth).zip(painting.iter().zip(&*painting_smooth));
            let sums = blends.iter_mut().zip(paintings.iter_mut()).zip(products.iter_mut());
            for (((blends, paintings), products), ((b, bs), (p, ps))) in sums.zip(octaves) {
                let (b, p) = (b - bs, p - ps);
                *blends += b * b;
                *paintings += p * p;
                *products += b * p;
            }
        }
        for (cells, sums) in cells.into_iter().zip([blends, paintings, products]) {
            for (cell, sums) in cells.iter_mut().zip(sums.chunks(CELL)) {
                *cell = sums.iter().sum::<f32>() / (rows * sums.len()) as f32;
            }
        }
    }

    /// Rows of what one octave carries to the next finer one, from row `first`: see the module's formula. `here` is gain
    /// and share of this octave, `finer` that of the finer one, whose cells have half their side here; without it the
    /// result is the corrected picture.
    pub(super) fn carry_luma(planes: [&[f32]; 2], first: usize, here: [&Grid; 2], finer: Option<[&Grid; 2]>, coarse: &Level, out: &mut [f32], size: (usize, usize), scratch: &mut Scratch) {
        carry::<1, 2>(planes, first, here, finer, (&coarse.carry.luma, coarse), out, size, scratch);
    }

    /// The same for colour.
    pub(super) fn carry_colour(planes: [&[f32]; 2], first: usize, here: [&Grid; 2], finer: Option<[&Grid; 2]>, coarse: &Level, out: &mut [f32], size: (usize, usize), scratch: &mut Scratch) {
        carry::<2, 4>(planes, first, here, finer, (&coarse.carry.colour, coarse), out, size, scratch);
    }

    /// Corrects rows of luma at full size, from row `first` (0..255), and writes their pixels; `colour`, the corrected
    /// one, has the size of `coarse`.
    pub(super) fn finish(blend: &mut [f32], painting: &[f32], size: (usize, usize), first: usize, repair: [&Grid; 2], coarse: &Level, rgb: &mut [u8], scratch: &mut Scratch) {
        let (width, height) = size;
        let rows = blend.chunks_exact_mut(width).zip(painting.chunks_exact(width));
        for (i, ((blend, painting), rgb)) in rows.zip(rgb.chunks_exact_mut(3 * width)).enumerate() {
            let y = first + i;
            let Scratch { gains, shares, doubled, vertical, less } = scratch;
            let (gains, shares) = (&mut gains[..width], &mut shares[..width]);
            repair[0].doubled_row(y, height, doubled, gains);
            repair[1].doubled_row(y, height, doubled, shares);
            let (luma, smooth) = doubled[..2 * width].split_at_mut(width);
            double::<1, 2>(&coarse.carry.luma, coarse.width, coarse.height, y, vertical, luma);
            double::<1, 2>(&coarse.blend.luma, coarse.width, coarse.height, y, vertical, smooth);
            let painting_smooth = &mut less[..width];
            double::<1, 2>(&coarse.painting.luma, coarse.width, coarse.height, y, vertical, painting_smooth);
            let repair = gains.iter().zip(shares.iter());
            // Squares of the painting's octave, then their sums.
            let squares = painting_smooth;
            for (square, painting) in squares.iter_mut().zip(painting) {
                *square = (painting - *square).powi(2);
            }
            let near = &mut vertical[..width];
            near.copy_from_slice(squares);
            for (near, around) in near[NEAR / 2..].iter_mut().zip(squares.windows(NEAR)) {
                *near = around.iter().sum();
            }
            let sources = blend.iter_mut().zip(painting).zip(luma).zip(smooth.iter().zip(near));
            for ((((blend, painting), carried), (smooth, near)), (gain, share)) in sources.zip(repair) {
                let fade = FADE * FLAT / (FLAT + *near);
                *blend = (gain * *blend + share * painting + *carried - fade * (*blend - smooth)).clamp(0.0, 255.0);
            }
            let colour = &mut doubled[..2 * width];
            double::<2, 4>(&coarse.carry.colour, coarse.width, coarse.height, y, vertical, colour);
            colour::put(blend, colour, rgb);
        }
    }
}

/// See [`carry_luma`]; `LANES` numbers a pixel, `PAIR` is twice that.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn carry<const LANES: usize, const PAIR: usize>(
    [blend, painting]: [&[f32]; 2],
    first: usize,
    here: [&Grid; 2],
    finer: Option<[&Grid; 2]>,
    (plane, coarse): (&[f32], &Level),
    out: &mut [f32],
    (width, height): (usize, usize),
    scratch: &mut Scratch,
) {
    let wide = LANES * width;
    let rows = blend.chunks_exact(wide).zip(painting.chunks_exact(wide));
    for (i, ((blend, painting), out)) in rows.zip(out.chunks_exact_mut(wide)).enumerate() {
        let y = first + i;
        let Scratch {
            gains,
            shares,
            less,
            vertical,
            doubled,
        } = &mut *scratch;
        for (row, at) in [(&mut *gains, 0), (&mut *shares, 1)] {
            let (row, less) = (&mut row[..width], &mut less[..width]);
            here[at].doubled_row(y, height, doubled, row);
            if let Some(finer) = finer {
                finer[at].row(y, CELL / 2, less);
                row.iter_mut()
                    .zip(less)
                    .for_each(|(row, less)| *row -= *less);
            }
        }
        double::<LANES, PAIR>(plane, coarse.width, coarse.height, y, vertical, out);
        let pixels = out.as_chunks_mut::<LANES>().0.iter_mut();
        let sources = blend
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(painting.as_chunks::<LANES>().0);
        let repair = gains.iter().zip(shares.iter());
        for ((out, (blend, painting)), (gain, share)) in pixels.zip(sources).zip(repair) {
            for lane in 0..LANES {
                out[lane] += gain * blend[lane] + share * painting[lane];
            }
        }
    }
}

/// Rows that one thread works with.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) gains: Vec<f32>,
    pub(super) shares: Vec<f32>,
    less: Vec<f32>,
    vertical: Vec<f32>,
    /// A row of two numbers a pixel.
    pub(super) doubled: Vec<f32>,
}

impl Scratch {
    /// Takes the width of the full size.
    pub(super) fn fit(&mut self, width: usize) {
        for row in [&mut self.gains, &mut self.shares, &mut self.less] {
            row.resize(width, 0.0);
        }
        self.vertical.resize(2 * width.div_ceil(2), 0.0);
        self.doubled.resize(2 * width, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_has_no_energy_at_any_size() {
        for (width, height) in [(33_usize, 35), (34, 40), (17, 2), (2, 17), (3, 3), (640, 4)] {
            let mut level = Level::default();
            level.fit(width.div_ceil(2), usize::div_ceil(height, 2), false);
            level.blend.luma.fill(10.0);
            level.painting.luma.fill(10.0);
            let luma = vec![10.0; width * height.min(CELL)];
            let mut cells = [(); 3].map(|()| vec![1.0; width.div_ceil(CELL)]);
            let [has, wanted, common] = &mut cells;
            let mut scratch = Scratch::default();
            scratch.fit(width);
            energies(
                [&luma, &luma],
                width,
                0,
                &level,
                [has, wanted, common],
                &mut scratch,
            );
            assert!(cells.iter().flatten().all(|&cell| cell == 0.0), "{cells:?}");
        }
    }

    /// A level of one cell.
    fn cell(has: f32, painted: f32, common: f32) -> Level {
        let mut level = Level::default();
        level.fit(CELL, CELL, true);
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
}
