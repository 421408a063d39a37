//! 3×3 convolution over 32 channels with a quarter of the multiplications: Winograd's F(4×4, 3×3) (Lavin and Gray,
//! *Fast Algorithms for Convolutional Neural Networks*, 2016).
//!
//! A 6×6 piece of the input and the kernel are transformed so that the convolution becomes 36 products, one per
//! position, instead of 144; per position the channels form a small matrix product, done with the register tile of the
//! direct convolution for up to 24 pieces at once. The transforms are sums along vectors of channels. In `f32` the
//! rounding is some 1e-5 of the values; in fewer bits it would show, so only `f32` uses it.

use super::aligned::AlignedBuffer;
use super::convolution::RowConvolution;
use super::format::F32;
use super::network::ConvolutionWeights;
use super::simd::Simd;

/// Channels in and out.
const CHANNELS: usize = 32;
/// Positions of a transformed piece.
pub(super) const POSITIONS: usize = 36;
/// Output rows and columns of a piece.
pub(super) const PIECE: usize = 4;
/// Pieces that are multiplied together: their transforms (110 KB each way) stay in the second-level cache.
const PIECES: usize = 24;

/// The kernel's transform: `[position][tap]` along one direction.
const KERNEL_TRANSFORM: [[f64; 3]; 6] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Transformed weights of a 3×3 convolution, 32 → 32 channels, stride 1.
pub(crate) struct WinogradConvolution {
    /// `[position][input][output]`.
    packed: AlignedBuffer,
}

impl WinogradConvolution {
    /// Values of the work memory that [`RowConvolution::row`] needs.
    pub(crate) const WORK: usize = 2 * POSITIONS * PIECES * CHANNELS;

    /// Whether the weights have the shape for it.
    pub(crate) fn suits(weights: &ConvolutionWeights, stride: usize) -> bool {
        (
            weights.out_channels,
            weights.in_channels,
            weights.kernel_size,
            stride,
        ) == (CHANNELS, CHANNELS, 3, 1)
    }

    /// Transforms the weights.
    pub(crate) fn new(weights: &ConvolutionWeights) -> Self {
        let mut packed = vec![0.0; POSITIONS * CHANNELS * CHANNELS];
        for o in 0..CHANNELS {
            for i in 0..CHANNELS {
                let kernel = &weights.weight[(o * CHANNELS + i) * 9..][..9];
                for position in 0..POSITIONS {
                    let (rows, columns) = (
                        KERNEL_TRANSFORM[position / 6],
                        KERNEL_TRANSFORM[position % 6],
                    );
                    let sum: f64 = (0..9)
                        .map(|t| rows[t / 3] * columns[t % 3] * f64::from(kernel[t]))
                        .sum();
                    packed[(position * CHANNELS + i) * CHANNELS + o] = sum as f32;
                }
            }
        }
        Self {
            packed: AlignedBuffer::from_f32(&packed),
        }
    }

    /// The matrix products of all positions: `products` = `pieces` × weights, both `[position][piece][channel]`.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, pieces: *const f32, count: usize, products: *mut f32) {
        for position in 0..POSITIONS {
            // SAFETY: work memory holds `PIECES` pieces for each position.
            unsafe {
                let offset = position * PIECES * CHANNELS;
                let weights = self
                    .packed
                    .as_ptr::<f32>()
                    .add(position * CHANNELS * CHANNELS);
                for part in (0..CHANNELS).step_by(S::LANES * if S::PAIRS { 2 } else { 1 }) {
                    let (from, to) = (pieces.add(offset), products.add(offset + part));
                    if S::PAIRS {
                        product_rows::<S, 2>(from, count, weights.add(part), to);
                    } else {
                        product_rows::<S, 1>(from, count, weights.add(part), to);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn product_rows<S: Simd, const VECTORS: usize>(
    from: *const f32,
    count: usize,
    weights: *const f32,
    to: *mut f32,
) {
    let mut done = 0;
    macro_rules! tiles {
        ($($pieces:literal),*) => {$(
            if $pieces <= S::TILE_PIXELS {
                while count - done >= $pieces {
                    // SAFETY: `done + $pieces` pieces lie inside.
                    unsafe {
                        let (from, to) = (from.add(done * CHANNELS), to.add(done * CHANNELS));
                        product_tile::<S, VECTORS, $pieces>(from, weights, to);
                    }
                    done += $pieces;
                }
            }
        )*};
    }
    tiles!(12, 8, 6, 4, 2, 1);
}

#[inline(always)]
unsafe fn product_tile<S: Simd, const VECTORS: usize, const PIECES_AT_ONCE: usize>(
    from: *const f32,
    weights: *const f32,
    to: *mut f32,
) {
    // SAFETY: the caller's pieces hold 32 values each, the weights 32 × 32.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; PIECES_AT_ONCE];
        for i in 0..CHANNELS {
            let mut vectors = [S::splat(0.0); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(weights.add(i * CHANNELS + v * S::LANES));
            }
            for (p, sums) in sums.iter_mut().enumerate() {
                let value = S::splat(*from.add(p * CHANNELS + i));
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = S::fma(value, vector, *sum);
                }
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                S::store(to.add(p * CHANNELS + v * S::LANES), *sum);
            }
        }
    }
}

/// The input's transform along one direction.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_input<S: Simd>(d: [S::F; 6]) -> [S::F; 6] {
    // SAFETY: arithmetic only.
    unsafe {
        let (four, five) = (S::splat(4.0), S::splat(5.0));
        let a = S::sub(d[4], S::mul(four, d[2]));
        let b = S::sub(d[3], S::mul(four, d[1]));
        let c = S::sub(d[4], d[2]);
        let e = S::sub(d[3], d[1]);
        let e = S::add(e, e);
        [
            S::sub(S::fma(four, d[0], d[4]), S::mul(five, d[2])),
            S::add(a, b),
            S::sub(a, b),
            S::add(c, e),
            S::sub(c, e),
            S::sub(S::fma(four, d[1], d[5]), S::mul(five, d[3])),
        ]
    }
}

/// The output's transform along one direction.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_output<S: Simd>(m: [S::F; 6]) -> [S::F; 4] {
    // SAFETY: arithmetic only.
    unsafe {
        let (s1, d1) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (s2, d2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(S::add(m[0], s1), s2),
            S::fma(S::splat(2.0), d2, d1),
            S::fma(S::splat(4.0), s2, s1),
            S::add(S::fma(S::splat(8.0), d2, d1), m[5]),
        ]
    }
}

/// One piece, some of its channels, to `[position]`, `PIECES * CHANNELS` values apart.
#[expect(clippy::needless_range_loop, reason = "a column of six arrays")]
#[inline(always)]
unsafe fn spread<S: Simd>(input: *const f32, row_values: usize, to: *mut f32) {
    // SAFETY: the caller's piece lies inside the patch, and work memory holds all positions.
    unsafe {
        let mut half = [[S::splat(0.0); 6]; 6];
        for (column, half) in half.iter_mut().enumerate() {
            let mut values = [S::splat(0.0); 6];
            for (row, value) in values.iter_mut().enumerate() {
                *value = S::load(input.add(row * row_values + column * CHANNELS));
            }
            *half = transform_input::<S>(values);
        }
        for row in 0..6 {
            let values = [0, 1, 2, 3, 4, 5].map(|column: usize| half[column][row]);
            for (column, value) in transform_input::<S>(values).into_iter().enumerate() {
                S::store(to.add((row * 6 + column) * PIECES * CHANNELS), value);
            }
        }
    }
}

/// One piece's products, some of its channels, to 4×4 outputs.
#[expect(clippy::needless_range_loop, reason = "a column of six arrays")]
#[inline(always)]
unsafe fn gather<S: Simd>(from: *const f32, out: *mut f32, out_stride: usize) {
    // SAFETY: work memory holds all positions; the caller's output has room for the piece.
    unsafe {
        let mut half = [[S::splat(0.0); 4]; 6];
        for (column, half) in half.iter_mut().enumerate() {
            let mut values = [S::splat(0.0); 6];
            for (row, value) in values.iter_mut().enumerate() {
                *value = S::load(from.add((row * 6 + column) * PIECES * CHANNELS));
            }
            *half = transform_output::<S>(values);
        }
        for row in 0..PIECE {
            let values = [0, 1, 2, 3, 4, 5].map(|column: usize| half[column][row]);
            for (column, value) in transform_output::<S>(values).into_iter().enumerate() {
                S::store(out.add(row * out_stride + column * CHANNELS), value);
            }
        }
    }
}

impl RowConvolution for WinogradConvolution {
    type Format = F32;
    const OVERRUNS: bool = true;
    const ROWS: usize = PIECE;

    fn out_channels(&self) -> usize {
        CHANNELS
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
        let input = input.cast::<f32>();
        let pieces = pixels.div_ceil(PIECE);
        for first in (0..pieces).step_by(PIECES) {
            let count = (pieces - first).min(PIECES);
            // SAFETY: patch and output have slack for a started piece, work memory for `PIECES` each way.
            unsafe {
                let products = work.add(POSITIONS * PIECES * CHANNELS);
                for piece in 0..count {
                    let input = input.add((first + piece) * PIECE * CHANNELS);
                    for part in (0..CHANNELS).step_by(S::LANES) {
                        spread::<S>(
                            input.add(part),
                            row_values,
                            work.add(piece * CHANNELS + part),
                        );
                    }
                }
                self.multiply::<S>(work, count, products);
                for piece in 0..count {
                    let out = out.add((first + piece) * PIECE * CHANNELS);
                    for part in (0..CHANNELS).step_by(S::LANES) {
                        gather::<S>(
                            products.add(piece * CHANNELS + part),
                            out.add(part),
                            out_stride,
                        );
                    }
                }
            }
        }
    }
}
