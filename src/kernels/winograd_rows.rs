//! 3×3 convolution in bf16 with half the multiplications: Winograd's F(4, 3) along the rows alone (see
//! [`toom_cook`](super::toom_cook)).
//!
//! Each position is convolved by itself, down the three rows of the kernel. Together with the two products of each lane that bf16 has,
//! this is a quarter of the multiply-adds in `f32`, as many as F(4×4, 3×3) needs, but each input row is transformed
//! once (in place of 36 values for 16 outputs, each to and from memory), and the rounding stays small, where F(4×4, 3×3) in bf16
//! is beyond four times that of the direct convolution.

use super::convolution::RowConvolution;
use super::direct::DirectConvolution;
use super::format::{Bf16, Format};
use super::instruction_set::InstructionSet;
use super::network::ConvolutionWeights;
use super::simd::Simd;
use super::toom_cook::{MOST, TAPS, transform_input, transform_output, transform_taps};

/// Outputs of a piece.
const PIECE: usize = 4;
/// Positions of a piece.
const POSITIONS: usize = PIECE + TAPS - 1;
/// Pieces that are multiplied together: their sums (28 KB for 32 channels) stay in the first-level cache.
const PIECES: usize = 36;

/// Transformed weights of a 3×3 convolution of stride 1.
pub(crate) struct WinogradRows {
    /// One for each position.
    positions: Vec<DirectConvolution<Bf16>>,
    inputs: usize,
    outputs: usize,
}

impl WinogradRows {
    /// Whether the weights have a shape for it.
    pub(crate) fn suits(weights: &ConvolutionWeights, stride: usize) -> bool {
        (weights.kernel_size, stride) == (TAPS, 1)
            && matches!(weights.in_channels, 16 | 32 | 48)
            && weights.out_channels.is_multiple_of(16)
            && weights.out_channels <= 64
    }

    /// Transforms the weights.
    pub(crate) fn new(weights: &ConvolutionWeights, set: InstructionSet) -> Self {
        let position = |position| {
            let runs = weights.weight.as_chunks::<TAPS>().0.iter();
            let transformed = ConvolutionWeights {
                weight: runs
                    .map(|taps| transform_taps(*taps, position, PIECE))
                    .collect(),
                ..*weights
            };
            DirectConvolution::with_columns(&transformed, 1, 1, set)
        };
        Self {
            positions: (0..POSITIONS).map(position).collect(),
            inputs: weights.in_channels,
            outputs: weights.out_channels,
        }
    }

    /// Values of a position of a patch row.
    fn plane(&self, pixels: usize) -> usize {
        pixels.div_ceil(PIECE) * self.inputs
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
        POSITIONS * self.plane(pixels)
    }

    #[inline(always)]
    unsafe fn transform<S: Simd>(
        &self,
        plain: *mut f32,
        row: usize,
        pixels: usize,
        patch: *mut u8,
    ) {
        let (inputs, plane) = (self.inputs, self.plane(pixels));
        // SAFETY: the caller's row and patch have room for all pieces.
        unsafe {
            // A started piece reads behind the row, which must not change a bit of what counts.
            plain
                .add((pixels + TAPS - 1) * inputs)
                .write_bytes(0, PIECE * inputs);
            let patch = patch.add(row * POSITIONS * plane * Bf16::BYTES);
            for piece in 0..pixels.div_ceil(PIECE) {
                for part in (0..inputs).step_by(S::LANES) {
                    let from = plain.add(piece * PIECE * inputs + part);
                    let values = [0, 1, 2, 3, 4, 5].map(|x: usize| S::load(from.add(x * inputs)));
                    let values: [S::F; MOST] = transform_input::<S, PIECE>(values);
                    for (position, value) in values.into_iter().enumerate() {
                        Bf16::put::<S>(patch, position * plane + piece * inputs + part, value);
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
        let (outputs, row_bytes) = (self.outputs, row_values * Bf16::BYTES);
        let (all, plane) = (pixels.div_ceil(PIECE), self.plane(pixels));
        // SAFETY: as the caller guarantees; the output has slack for a started piece.
        unsafe {
            for first in (0..all).step_by(PIECES) {
                let count = (all - first).min(PIECES);
                for (position, convolution) in self.positions.iter().enumerate() {
                    let input = input.add((position * plane + first * self.inputs) * Bf16::BYTES);
                    let sums = work.add(position * PIECES * outputs);
                    match self.inputs {
                        16 => convolution.groups::<S, 32>(input, row_bytes, count, sums),
                        32 => convolution.groups::<S, 64>(input, row_bytes, count, sums),
                        48 => convolution.groups::<S, 96>(input, row_bytes, count, sums),
                        _ => unreachable!("not a shape that suits"),
                    }
                }
                for piece in 0..count {
                    for part in (0..outputs).step_by(S::LANES) {
                        let from = work.add(piece * outputs + part);
                        let sums = [0, 1, 2, 3, 4, 5]
                            .map(|position: usize| S::load(from.add(position * PIECES * outputs)));
                        let values = transform_output::<S, PIECE>(sums);
                        let out = out.add((first + piece) * PIECE * outputs + part);
                        for (x, value) in values.into_iter().enumerate() {
                            S::store(out.add(x * outputs), value);
                        }
                    }
                }
            }
        }
    }
}
