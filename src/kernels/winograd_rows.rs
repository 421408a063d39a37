//! 3×3 convolution in bf16 with half the multiplications: Winograd's F(4, 3) along the rows alone (Lavin and Gray, *Fast
//! Algorithms for Convolutional Neural Networks*, 2016).
//!
//! Six neighbouring inputs of a row become six positions, and four outputs the sum of six products where a direct
//! convolution has twelve; the three rows of the kernel are added up in between. Together with the two products of each lane that
//! bf16 has, this is a quarter of the multiply-adds in `f32`, as many as F(4×4, 3×3) needs, but each input row is transformed
//! once (in place of 36 values for 16 outputs, each to and from memory), and the rounding stays small: with the
//! usual points 0, ±1, ±2 it would be 2.5 times that of the direct convolution, with those below it is 1.9 times
//! (random weights and rectified inputs; F(4×4, 3×3) in bf16 is beyond 4).

use super::aligned::AlignedBuffer;
use super::convolution::{RowConvolution, WORK};
use super::format::{Bf16, Format};
use super::network::ConvolutionWeights;
use super::simd::Simd;

/// Positions of a transformed piece.
const POSITIONS: usize = 6;
/// Output columns of a piece.
const PIECE: usize = 4;
/// The polynomials are evaluated at 0, ±`NEAR`, ±`FAR` and infinity.
const NEAR: f32 = 0.75;
/// See [`NEAR`].
const FAR: f32 = 1.5;
const NEAR_2: f32 = NEAR * NEAR;
const FAR_2: f32 = FAR * FAR;

/// Transformed weights of a 3×3 convolution of stride 1.
pub(crate) struct WinogradRows {
    /// `[position][group][kernel row][pair of inputs][output of the group]`, pairs of bf16.
    packed: AlignedBuffer,
    inputs: usize,
    outputs: usize,
    /// Outputs that a register tile is wide.
    group: usize,
}

impl WinogradRows {
    /// Whether the weights have a shape for it.
    pub(crate) fn suits(weights: &ConvolutionWeights, stride: usize) -> bool {
        (weights.kernel_size, stride) == (3, 1)
            && matches!(weights.in_channels, 16 | 32 | 48)
            && weights.out_channels.is_multiple_of(16)
            && weights.out_channels <= 64
    }

    /// Transforms the weights.
    pub(crate) fn new(weights: &ConvolutionWeights) -> Self {
        let (inputs, outputs) = (weights.in_channels, weights.out_channels);
        let group = if outputs.is_multiple_of(32) { 32 } else { 16 };
        let mut packed = Vec::with_capacity(POSITIONS * 3 * inputs * outputs);
        for position in 0..POSITIONS {
            for first in (0..outputs).step_by(group) {
                for row in 0..3 {
                    for pair in (0..inputs).step_by(2) {
                        for o in first..first + group {
                            for i in pair..pair + 2 {
                                let taps = &weights.weight[((o * inputs + i) * 3 + row) * 3..][..3];
                                let value = transform_taps([taps[0], taps[1], taps[2]], position);
                                packed.extend(&Bf16::weight(value)[..2]);
                            }
                        }
                    }
                }
            }
        }
        Self {
            packed: AlignedBuffer::from_bytes(&packed),
            inputs,
            outputs,
            group,
        }
    }

    /// The products of all positions: `sums`, `[position][piece][output]`.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const STEP: usize>(
        &self,
        input: *const u8,
        row_bytes: usize,
        pieces: usize,
        sums: *mut f32,
    ) {
        let size = 3 * self.inputs / 2 * self.group;
        let groups = self.outputs / self.group;
        for position in 0..POSITIONS {
            for group in 0..groups {
                // SAFETY: the patch holds all positions, the weights all groups, work memory the sums.
                unsafe {
                    let input = input.add(position * pieces * STEP);
                    let weights = self.packed.as_ptr::<f32>();
                    let weights = weights.add((position * groups + group) * size);
                    let to = sums.add(position * pieces * self.outputs + group * self.group);
                    if self.group == 2 * S::LANES {
                        self.pieces::<S, STEP, 2>(input, row_bytes, pieces, weights, to);
                    } else {
                        self.pieces::<S, STEP, 1>(input, row_bytes, pieces, weights, to);
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pieces<S: Simd, const STEP: usize, const VECTORS: usize>(
        &self,
        input: *const u8,
        row_bytes: usize,
        pieces: usize,
        weights: *const f32,
        to: *mut f32,
    ) {
        let mut done = 0;
        macro_rules! tiles {
            ($($pieces:literal),*) => {$(
                while pieces - done >= $pieces {
                    // SAFETY: `done + $pieces` pieces lie inside the row.
                    unsafe {
                        let (input, to) = (input.add(done * STEP), to.add(done * self.outputs));
                        self.tile::<S, STEP, VECTORS, $pieces>(input, row_bytes, weights, to);
                    }
                    done += $pieces;
                }
            )*};
        }
        tiles!(12, 8, 6, 4, 2, 1);
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const STEP: usize, const VECTORS: usize, const PIECES: usize>(
        &self,
        input: *const u8,
        row_bytes: usize,
        weights: *const f32,
        to: *mut f32,
    ) {
        // SAFETY: the kernel's rows lie inside the patch, and the weights hold all steps.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; PIECES];
            let mut weights = weights;
            for kernel_row in 0..3 {
                let mut values = input.add(kernel_row * row_bytes);
                let end = values.add(STEP);
                while values < end {
                    let mut vectors = [S::splat(0.0); VECTORS];
                    for (v, vector) in vectors.iter_mut().enumerate() {
                        *vector = S::load(weights.add(v * S::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let value = S::splat(values.add(p * STEP).cast::<f32>().read());
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = S::dot_bf16(value, vector, *sum);
                        }
                    }
                    values = values.add(4);
                    weights = weights.add(VECTORS * S::LANES);
                }
            }
            for (p, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    S::store(to.add(p * self.outputs + v * S::LANES), *sum);
                }
            }
        }
    }
}

/// One position of a kernel row's transform.
fn transform_taps(taps: [f32; 3], position: usize) -> f32 {
    let at = |point: f64, other: f32| {
        let unit = 2.0 * point * point * (point * point - f64::from(other));
        let [a, b, c] = taps.map(f64::from);
        ((a + point * b + point * point * c) / unit) as f32
    };
    match position {
        0 => taps[0] / (NEAR_2 * FAR_2),
        1 => at(f64::from(NEAR), FAR_2),
        2 => at(-f64::from(NEAR), FAR_2),
        3 => at(f64::from(FAR), NEAR_2),
        4 => at(-f64::from(FAR), NEAR_2),
        _ => taps[2],
    }
}

/// The transform of six neighbouring inputs.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn transform_input<S: Simd>(d: [S::F; 6]) -> [S::F; POSITIONS] {
    // SAFETY: arithmetic only.
    unsafe {
        // `x - square * y`
        let less = |x, y, square: f32| S::fma(S::splat(-square), y, x);
        let (near_even, near_odd) = (less(d[4], d[2], FAR_2), less(d[3], d[1], FAR_2));
        let (far_even, far_odd) = (less(d[4], d[2], NEAR_2), less(d[3], d[1], NEAR_2));
        let product = S::splat(NEAR_2 * FAR_2);
        [
            S::fma(product, d[0], less(d[4], d[2], NEAR_2 + FAR_2)),
            S::fma(S::splat(NEAR), near_odd, near_even),
            S::fma(S::splat(-NEAR), near_odd, near_even),
            S::fma(S::splat(FAR), far_odd, far_even),
            S::fma(S::splat(-FAR), far_odd, far_even),
            S::fma(product, d[1], less(d[5], d[3], NEAR_2 + FAR_2)),
        ]
    }
}

/// Four outputs from six sums.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn transform_output<S: Simd>(m: [S::F; POSITIONS]) -> [S::F; PIECE] {
    // SAFETY: arithmetic only.
    unsafe {
        let (near_even, near_odd) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (far_even, far_odd) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        let both =
            |near: f32, far: f32, (a, b)| S::fma(S::splat(far), b, S::mul(S::splat(near), a));
        [
            S::add(S::add(m[0], near_even), far_even),
            both(NEAR, FAR, (near_odd, far_odd)),
            both(NEAR_2, FAR_2, (near_even, far_even)),
            S::add(both(NEAR_2 * NEAR, FAR_2 * FAR, (near_odd, far_odd)), m[5]),
        ]
    }
}

impl RowConvolution for WinogradRows {
    type Format = Bf16;
    const OVERRUNS: bool = true;
    const ROWS: usize = 1;
    const TRANSFORMS: bool = true;

    fn out_channels(&self) -> usize {
        self.outputs
    }

    fn row_values(&self, pixels: usize) -> usize {
        pixels.div_ceil(PIECE) * POSITIONS * self.inputs
    }

    #[inline(always)]
    unsafe fn transform<S: Simd>(&self, row: *mut f32, pixels: usize, patch_row: *mut u8) {
        let (inputs, pieces) = (self.inputs, pixels.div_ceil(PIECE));
        let to = patch_row.cast::<u16>();
        // SAFETY: the caller's row and patch row have room for all pieces.
        unsafe {
            // What lies behind the patch does not count, but only if it is finite.
            row.add((pixels + 2) * inputs)
                .write_bytes(0, (PIECE - 1) * inputs);
            for piece in 0..pieces {
                for part in (0..inputs).step_by(S::LANES) {
                    let from = row.add(piece * PIECE * inputs + part);
                    let values = [0, 1, 2, 3, 4, 5].map(|x: usize| S::load(from.add(x * inputs)));
                    let positions = transform_input::<S>(values);
                    for (position, value) in positions.into_iter().enumerate() {
                        let at = (position * pieces + piece) * inputs + part;
                        S::store_bf16(to.add(at), value);
                    }
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
        let (outputs, pieces) = (self.outputs, pixels.div_ceil(PIECE));
        debug_assert!(POSITIONS * pieces * outputs <= WORK);
        // SAFETY: as the caller guarantees; the output has slack for a started piece.
        unsafe {
            let row_bytes = row_values * 2;
            match self.inputs {
                16 => self.multiply::<S, 32>(input, row_bytes, pieces, work),
                32 => self.multiply::<S, 64>(input, row_bytes, pieces, work),
                _ => self.multiply::<S, 96>(input, row_bytes, pieces, work),
            }
            for piece in 0..pieces {
                for part in (0..outputs).step_by(S::LANES) {
                    let from = work.add(piece * outputs + part);
                    let sums = [0, 1, 2, 3, 4, 5]
                        .map(|position: usize| S::load(from.add(position * pieces * outputs)));
                    for (x, value) in transform_output::<S>(sums).into_iter().enumerate() {
                        S::store(out.add((piece * PIECE + x) * outputs + part), value);
                    }
                }
            }
        }
    }
}
