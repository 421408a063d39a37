//! 9×9 convolution of a picture's three colours with less than a third of the multiplications: three times three groups of
//! 3×3 taps, by F(3×3, 3×3) (see [`toom_cook`](super::toom_cook)).
//!
//! A 5×5 piece of the input becomes 25 positions; pieces lie three apart, as the groups do, so each position is a 3×3 convolution
//! over pieces, and nine outputs cost 25 times nine products in place of 81 times nine. A row is transformed along itself, kept, and five of them
//! down their columns. What a vector holds are the colours of several pieces.
//!
//! A direct convolution in bf16 reads bytes without any rounding, which this does not; paintings are as near to those in `f32`
//! with either (0.31 steps of a byte on the mean of all styles).

use super::convolution::{RowConvolution, WORK};
use super::direct::DirectConvolution;
use super::format::Format;
use super::instruction_set::InstructionSet;
use super::network::ConvolutionWeights;
use super::simd::Simd;
use super::toom_cook::{MOST, TAPS, transform_input, transform_output, transform_taps};

/// Rows and columns of outputs of a piece.
const PIECE: usize = 3;
/// Positions of a piece along one direction.
const SIDE: usize = PIECE + TAPS - 1;
/// Groups of taps along one direction.
const GROUPS: usize = 3;
/// Input channels.
const COLOURS: usize = 3;
/// Most lanes of a vector.
const LANES: usize = 16;
/// Pieces that are multiplied together: their sums are 38 KB for 32 channels.
const PIECES: usize = 12;

/// Transformed weights of a 9×9 convolution of three channels.
pub(crate) struct WinogradNine<D> {
    /// `[position down][position along]`.
    positions: Vec<DirectConvolution<D>>,
    outputs: usize,
}

/// Pieces of a patch for so many outputs along one direction.
const fn pieces(outputs: usize) -> usize {
    outputs.div_ceil(PIECE) + GROUPS - 1
}

/// Values of a position of a row of pieces: whole vectors.
const fn plane(pixels: usize) -> usize {
    (pieces(pixels) * COLOURS).next_multiple_of(LANES)
}

impl<D: Format> WinogradNine<D> {
    /// Whether the weights have a shape for it.
    pub(crate) fn suits(weights: &ConvolutionWeights, stride: usize) -> bool {
        (weights.kernel_size, weights.in_channels, stride) == (TAPS * GROUPS, COLOURS, 1)
            && weights.out_channels.is_multiple_of(16)
            && weights.out_channels <= 64
    }

    /// Values of the patch for so many outputs.
    pub(crate) fn patch_values(rows: usize, columns: usize) -> usize {
        pieces(rows) * SIDE * SIDE * plane(columns)
    }

    /// Transforms the weights.
    pub(crate) fn new(weights: &ConvolutionWeights, set: InstructionSet) -> Self {
        let position = |down: usize, along: usize| {
            // `[output and input][kernel row][group]`, then `[output and input][group][group]`.
            let runs = weights.weight.as_chunks::<TAPS>().0.iter();
            let rows: Vec<f32> = runs
                .map(|taps| transform_taps(*taps, along, PIECE))
                .collect();
            let whole = rows.as_chunks::<{ TAPS * GROUPS * GROUPS }>().0.iter();
            let whole = whole.flat_map(|rows| {
                std::array::from_fn::<f32, { GROUPS * GROUPS }, _>(|at| {
                    let (group, column) = (at / GROUPS, at % GROUPS);
                    let taps = |tap| rows[(group * TAPS + tap) * GROUPS + column];
                    transform_taps(std::array::from_fn(taps), down, PIECE)
                })
            });
            let transformed = ConvolutionWeights {
                kernel_size: GROUPS,
                weight: whole.collect(),
                ..*weights
            };
            DirectConvolution::new(&transformed, 1, set)
        };
        let positions = (0..SIDE * SIDE).map(|at| position(at / SIDE, at % SIDE));
        Self {
            positions: positions.collect(),
            outputs: weights.out_channels,
        }
    }
}

impl<D: Format> RowConvolution for WinogradNine<D> {
    type Format = D;
    const OVERRUNS: bool = true;
    const ROWS: usize = PIECE;
    const TRANSFORMS: bool = true;

    fn out_channels(&self) -> usize {
        self.outputs
    }

    fn row_values(&self, pixels: usize) -> usize {
        SIDE * SIDE * plane(pixels)
    }

    fn patch_rows(&self, rows: usize) -> (usize, usize) {
        (pieces(rows) * PIECE + TAPS - 1, pieces(rows))
    }

    #[inline(always)]
    unsafe fn transform<S: Simd>(
        &self,
        plain: *mut f32,
        row: usize,
        pixels: usize,
        patch: *mut u8,
    ) {
        let (pieces, plane) = (pieces(pixels), plane(pixels));
        // Columns that lie a piece apart, side by side; behind them the last five rows' positions.
        let values = (pieces + 1) * COLOURS;
        let apart = plane + 2 * LANES;
        let columns = (pieces + 2) * PIECE * COLOURS + LANES;
        let kept = columns + PIECE * apart;
        debug_assert!(kept + SIDE * SIDE * plane <= WORK);
        // SAFETY: the caller's work memory and patch have room for all pieces.
        unsafe {
            let kept_row = |row: usize| plain.add(kept + row % SIDE * SIDE * plane);
            // A started piece reads behind the row, which must not change a bit of what counts.
            let end = plain.add((pixels + TAPS * GROUPS - 1) * COLOURS);
            end.write_bytes(0, (PIECE + TAPS) * COLOURS);
            let columns = plain.add(columns);
            for x in 0..PIECE {
                let columns = columns.add(x * apart);
                for piece in 0..=pieces {
                    let from = plain.add((piece * PIECE + x) * COLOURS);
                    let to = columns.add(piece * COLOURS);
                    to.cast::<[f32; COLOURS]>()
                        .write(from.cast::<[f32; COLOURS]>().read());
                }
                columns.add(values).write_bytes(0, apart - values);
            }
            let to = kept_row(row);
            for first in (0..plane).step_by(S::LANES) {
                let mut values = [S::splat(0.0); MOST];
                for (x, value) in values.iter_mut().take(SIDE).enumerate() {
                    *value = S::load(columns.add(x % PIECE * apart + x / PIECE * COLOURS + first));
                }
                let values = transform_input::<S, PIECE>(values);
                for (along, value) in values.into_iter().take(SIDE).enumerate() {
                    S::store(to.add(along * plane + first), value);
                }
            }
            let Some(top) = (row + 1).checked_sub(SIDE).filter(|top| top % PIECE == 0) else {
                return;
            };
            let patch = patch.add(top / PIECE * SIDE * SIDE * plane * D::BYTES);
            for first in (0..SIDE * plane).step_by(S::LANES) {
                let mut values = [S::splat(0.0); MOST];
                for (y, value) in values.iter_mut().take(SIDE).enumerate() {
                    *value = S::load(kept_row(top + y).add(first));
                }
                let values = transform_input::<S, PIECE>(values);
                for (down, value) in values.into_iter().take(SIDE).enumerate() {
                    D::put::<S>(patch, down * SIDE * plane + first, value);
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
        out_stride: usize,
        work: *mut f32,
    ) {
        let (outputs, row_bytes) = (self.outputs, row_values * D::BYTES);
        let (all, plane) = (pixels.div_ceil(PIECE), plane(pixels));
        // SAFETY: as the caller guarantees; the output has slack for a started piece.
        unsafe {
            for first in (0..all).step_by(PIECES) {
                let count = (all - first).min(PIECES);
                for (position, convolution) in self.positions.iter().enumerate() {
                    let input = input.add((position * plane + first * COLOURS) * D::BYTES);
                    let sums = work.add(position * PIECES * outputs);
                    if D::BYTES == 4 {
                        convolution.groups::<S, 12>(input, row_bytes, count, sums);
                    } else {
                        convolution.groups::<S, 6>(input, row_bytes, count, sums);
                    }
                }
                for piece in 0..count {
                    for part in (0..outputs).step_by(S::LANES) {
                        let from = work.add(piece * outputs + part);
                        let out = out.add((first + piece) * PIECE * outputs + part);
                        gather::<S>(from, PIECES * outputs, out, (out_stride, outputs));
                    }
                }
            }
        }
    }
}

/// One piece's sums, some of its channels, `distance` values apart, to 3×3 outputs.
#[expect(clippy::needless_range_loop, reason = "a column of five arrays")]
#[inline(always)]
unsafe fn gather<S: Simd>(
    from: *const f32,
    distance: usize,
    out: *mut f32,
    (row_values, channels): (usize, usize),
) {
    // SAFETY: work memory holds all positions; the caller's output has room for the piece.
    unsafe {
        let mut half = [[S::splat(0.0); PIECE]; SIDE];
        for (along, half) in half.iter_mut().enumerate() {
            let mut values = [S::splat(0.0); MOST];
            for (down, value) in values.iter_mut().take(SIDE).enumerate() {
                *value = S::load(from.add((down * SIDE + along) * distance));
            }
            *half = transform_output::<S, PIECE>(values);
        }
        for row in 0..PIECE {
            let mut values = [S::splat(0.0); MOST];
            for along in 0..SIDE {
                values[along] = half[along][row];
            }
            for (column, value) in transform_output::<S, PIECE>(values).into_iter().enumerate() {
                S::store(out.add(row * row_values + column * channels), value);
            }
        }
    }
}
