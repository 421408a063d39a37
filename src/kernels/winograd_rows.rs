//! Convolution with fewer multiplications along its rows: Winograd's F(4, 3) and F(3, 3) (Lavin and Gray, *Fast Algorithms
//! for Convolutional Neural Networks*, 2016), in one dimension.
//!
//! Neighbouring inputs of a row are transformed into positions, each position is convolved by itself, and a piece of
//! neighbouring outputs is a sum of its positions'. With three taps, four outputs cost six products in place of twelve.
//! Nine taps are three times three: pieces of three outputs, so that each group of taps reads the transform of a whole
//! piece, and five products in place of nine; the groups are added up before the transform is undone. What a position does
//! is a plain convolution with as many columns as there are groups.
//!
//! Each input row is transformed once. That suits bf16, whose vectors multiply two pairs in each lane: F(4, 3) then costs what
//! F(4×4, 3×3) costs in `f32`, with far less copying, and its rounding stays small: with the usual points 0, ±1, ±2 it
//! would be 2.5 times that of the direct convolution, with those below it is 1.9 times (random weights and
//! rectified inputs; F(4×4, 3×3) in bf16 is beyond 4).

use super::convolution::RowConvolution;
use super::direct::DirectConvolution;
use super::format::Format;
use super::instruction_set::InstructionSet;
use super::network::ConvolutionWeights;
use super::simd::Simd;

/// Taps of a group.
pub(super) const TAPS: usize = 3;
/// Most positions of a transformed piece.
pub(super) const MOST: usize = 6;
/// Most lanes of a vector.
const PLANE_STEP: usize = 16;
/// Pieces that are multiplied together: their sums (23 KB) stay in the first-level cache.
const PIECES: usize = 36;
/// The polynomials are evaluated at 0, ±`NEAR`, `FAR`, with four outputs at -`FAR`, and at infinity.
const NEAR: f32 = 0.75;
/// See [`NEAR`].
const FAR: f32 = 1.5;
const NEAR_2: f32 = NEAR * NEAR;
const FAR_2: f32 = FAR * FAR;

/// Transformed weights of a convolution of stride 1, which makes pieces of `PIECE` outputs, 3 or 4.
pub(crate) struct WinogradRows<D, const PIECE: usize> {
    /// One for each position.
    positions: Vec<DirectConvolution<D>>,
    inputs: usize,
    outputs: usize,
    /// Groups of three taps in a row of the kernel.
    groups: usize,
}

impl<D: Format, const PIECE: usize> WinogradRows<D, PIECE> {
    const POSITIONS: usize = PIECE + TAPS - 1;

    /// Whether the weights have a shape for it.
    pub(crate) fn suits(weights: &ConvolutionWeights, stride: usize) -> bool {
        let inputs = match weights.kernel_size {
            3 => PIECE == 4 && matches!(weights.in_channels, 16 | 32 | 48),
            9 => PIECE == 3 && weights.in_channels == 3,
            _ => false,
        };
        inputs
            && stride == 1
            && weights.out_channels.is_multiple_of(16)
            && weights.out_channels <= 64
    }

    /// Transforms the weights.
    pub(crate) fn new(weights: &ConvolutionWeights, set: InstructionSet) -> Self {
        let kernel = weights.kernel_size;
        let groups = kernel / TAPS;
        let position = |position| {
            let runs = weights.weight.as_chunks::<TAPS>().0;
            let transformed = ConvolutionWeights {
                weight: runs
                    .iter()
                    .map(|taps| transform_taps(*taps, position, PIECE))
                    .collect(),
                ..*weights
            };
            DirectConvolution::with_columns(&transformed, groups, 1, set)
        };
        Self {
            positions: (0..Self::POSITIONS).map(position).collect(),
            inputs: weights.in_channels,
            outputs: weights.out_channels,
            groups,
        }
    }

    /// Pieces of a patch row for so many outputs.
    fn pieces(&self, pixels: usize) -> usize {
        pixels.div_ceil(PIECE) + self.groups - 1
    }

    /// Values of a position of a patch row: whole vectors.
    fn plane(&self, pixels: usize) -> usize {
        (self.pieces(pixels) * self.inputs).next_multiple_of(PLANE_STEP)
    }
}

/// One position of the transform of three taps.
pub(super) fn transform_taps(taps: [f32; TAPS], position: usize, outputs: usize) -> f32 {
    let points = [0.0, NEAR, -NEAR, FAR, -FAR].map(f64::from);
    let points = &points[..outputs + 1];
    let Some(point) = points.get(position) else {
        return taps[2];
    };
    let others = points.iter().enumerate().filter(|(i, _)| *i != position);
    let unit: f64 = others.map(|(_, other)| point - other).product();
    let [a, b, c] = taps.map(f64::from);
    ((a + point * b + point * point * c) / unit) as f32
}

/// The transform of neighbouring inputs to positions, of both the first `outputs + 2` count.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_input<S: Simd, const PIECE: usize>(d: [S::F; MOST]) -> [S::F; MOST] {
    // SAFETY: arithmetic only.
    unsafe {
        // `x - factor * y`
        let less = |x, factor: f32, y| S::fma(S::splat(-factor), y, x);
        if PIECE == 4 {
            let (near_even, near_odd) = (less(d[4], FAR_2, d[2]), less(d[3], FAR_2, d[1]));
            let (far_even, far_odd) = (less(d[4], NEAR_2, d[2]), less(d[3], NEAR_2, d[1]));
            let product = S::splat(NEAR_2 * FAR_2);
            [
                S::fma(product, d[0], less(d[4], NEAR_2 + FAR_2, d[2])),
                less(near_even, -NEAR, near_odd),
                less(near_even, NEAR, near_odd),
                less(far_even, -FAR, far_odd),
                less(far_even, FAR, far_odd),
                S::fma(product, d[1], less(d[5], NEAR_2 + FAR_2, d[3])),
            ]
        } else {
            let far = less(d[3], NEAR_2, d[1]);
            let (near, odd) = (less(d[3], FAR, d[2]), less(d[2], FAR, d[1]));
            [
                less(less(far, -NEAR_2 * FAR, d[0]), FAR, d[2]),
                less(near, -NEAR, odd),
                less(near, NEAR, odd),
                far,
                less(less(d[4], FAR, d[3]), NEAR_2, odd),
                d[5],
            ]
        }
    }
}

/// A piece of outputs from the sums of its positions.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_output<S: Simd, const PIECE: usize>(
    m: [S::F; MOST],
) -> [S::F; PIECE] {
    // SAFETY: arithmetic only.
    unsafe {
        let (even, odd) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (far_even, far_odd) = if PIECE == 4 {
            (S::add(m[3], m[4]), S::sub(m[3], m[4]))
        } else {
            (m[3], m[3])
        };
        let mut outputs = [m[0]; PIECE];
        for (power, output) in outputs.iter_mut().enumerate() {
            let (near, far) = if power % 2 == 0 {
                (even, far_even)
            } else {
                (odd, far_odd)
            };
            if power == 0 {
                *output = S::add(S::add(m[0], near), far);
                continue;
            }
            let power = power as i32;
            let near = S::mul(S::splat(NEAR.powi(power)), near);
            *output = S::fma(S::splat(FAR.powi(power)), far, near);
        }
        outputs[PIECE - 1] = S::add(outputs[PIECE - 1], m[PIECE + 1]);
        outputs
    }
}

impl<D: Format, const PIECE: usize> RowConvolution for WinogradRows<D, PIECE> {
    type Format = D;
    const OVERRUNS: bool = true;
    const ROWS: usize = 1;
    const TRANSFORMS: bool = true;

    fn out_channels(&self) -> usize {
        self.outputs
    }

    fn row_values(&self, pixels: usize) -> usize {
        Self::POSITIONS * self.plane(pixels)
    }

    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, row: *mut f32, pixels: usize, patch_row: *mut u8) {
        let (inputs, pieces, plane) = (self.inputs, self.pieces(pixels), self.plane(pixels));
        // SAFETY: the caller's row and patch row have room for all pieces.
        unsafe {
            // A started piece reads behind the patch, which must not change a bit of what counts.
            let end = row.add((pixels + TAPS * self.groups - 1) * inputs);
            end.write_bytes(0, (PIECE + TAPS) * inputs);
            if inputs % S::LANES == 0 {
                for piece in 0..pieces {
                    for part in (0..inputs).step_by(S::LANES) {
                        let from = row.add(piece * PIECE * inputs + part);
                        let mut values = [S::splat(0.0); MOST];
                        for (x, value) in values.iter_mut().take(Self::POSITIONS).enumerate() {
                            *value = S::load(from.add(x * inputs));
                        }
                        let values = transform_input::<S, PIECE>(values);
                        for (position, value) in
                            values.into_iter().take(Self::POSITIONS).enumerate()
                        {
                            D::put::<S>(patch_row, position * plane + piece * inputs + part, value);
                        }
                    }
                }
                return;
            }
            // Columns that lie a piece apart, side by side: vectors hold channels of several pieces.
            let values = (pieces + 1) * inputs;
            let apart = values + 2 * PLANE_STEP;
            let columns = row.add((pieces + 2) * PIECE * inputs + PLANE_STEP);
            for x in 0..PIECE {
                let columns = columns.add(x * apart);
                for piece in 0..=pieces {
                    let from = row.add((piece * PIECE + x) * inputs);
                    std::ptr::copy_nonoverlapping(from, columns.add(piece * inputs), inputs);
                }
                columns.add(values).write_bytes(0, apart - values);
            }
            for first in (0..pieces * inputs).step_by(S::LANES) {
                let mut values = [S::splat(0.0); MOST];
                for (x, value) in values.iter_mut().take(Self::POSITIONS).enumerate() {
                    let at = x % PIECE * apart + x / PIECE * inputs + first;
                    *value = S::load(columns.add(at));
                }
                let values = transform_input::<S, PIECE>(values);
                for (position, value) in values.into_iter().take(Self::POSITIONS).enumerate() {
                    D::put::<S>(patch_row, position * plane + first, value);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn row<S: Simd>(
        &self,
        input: *const u8,
        row_values: usize,
        pixels: usize,
        out: *mut f32,
        _out_stride: usize,
        work: *mut f32,
    ) {
        let outputs = self.outputs;
        let (all, plane) = (pixels.div_ceil(PIECE), self.plane(pixels));
        // SAFETY: as the caller guarantees; the output has slack for a started piece.
        unsafe {
            for first in (0..all).step_by(PIECES) {
                let count = (all - first).min(PIECES);
                for (position, convolution) in self.positions.iter().enumerate() {
                    let input = input.add((position * plane + first * self.inputs) * D::BYTES);
                    let sums = work.add(position * PIECES * outputs);
                    let row_bytes = row_values * D::BYTES;
                    macro_rules! multiply {
                        ($bytes:literal) => {
                            convolution.groups::<S, $bytes>(input, row_bytes, count, sums)
                        };
                    }
                    match (PIECE, self.inputs, D::BYTES) {
                        (3, 3, 2) => multiply!(6),
                        (3, 3, 4) => multiply!(12),
                        (4, 16, 2) => multiply!(32),
                        (4, 32, 2) => multiply!(64),
                        (4, 48, 2) => multiply!(96),
                        _ => unreachable!("not a shape that suits"),
                    }
                }
                for piece in 0..count {
                    for part in (0..outputs).step_by(S::LANES) {
                        let from = work.add(piece * outputs + part);
                        let mut sums = [S::splat(0.0); MOST];
                        for (position, sum) in sums.iter_mut().take(Self::POSITIONS).enumerate() {
                            *sum = S::load(from.add(position * PIECES * outputs));
                        }
                        let values = transform_output::<S, PIECE>(sums);
                        for (x, value) in values.into_iter().enumerate() {
                            S::store(
                                out.add(((first + piece) * PIECE + x) * outputs + part),
                                value,
                            );
                        }
                    }
                }
            }
        }
    }
}
