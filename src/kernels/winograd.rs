//! 3×3 convolution with a quarter of the multiplications: Winograd's F(4×4, 3×3) (Lavin and Gray, *Fast Algorithms for
//! Convolutional Neural Networks*, 2016).
//!
//! A 6×6 piece of the input and the kernel are transformed so that the convolution becomes 36 products, one per
//! position, instead of 144; per position the channels form a small matrix product, done with the register tile of the
//! direct convolution for up to 48 pieces at once. The transforms are sums along vectors of channels. In `f32` the
//! rounding is some 1e-5 of the values; in fewer bits it would show, so only `f32` uses it.

use super::aligned::AlignedBuffer;
use super::convolution::RowConvolution;
use super::format::F32;
use super::network::ConvolutionWeights;
use super::simd::Simd;

/// Channels that lie together, of as many pieces one after the other; input and output have a multiple of it.
const CHUNK: usize = 16;
/// Most input and output channels.
const MOST: (usize, usize) = (48, 64);
/// Positions of a transformed piece.
pub(super) const POSITIONS: usize = 36;
/// Output rows and columns of a piece.
pub(super) const PIECE: usize = 4;
/// Pieces that are multiplied together: each time the weights (147 KB) come from the second-level cache, where the
/// transforms (220 KB each way) stay.
const PIECES: usize = 48;

/// The kernel's transform: `[position][tap]` along one direction.
const KERNEL_TRANSFORM: [[f64; 3]; 6] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Where channel `channel` lies in a position's chunks.
#[inline(always)]
const fn chunked(channel: usize) -> usize {
    channel / CHUNK * (PIECES * CHUNK) + channel % CHUNK
}

/// Transformed weights of a 3×3 convolution of stride 1.
pub(crate) struct WinogradConvolution {
    /// `[position][input][output]`.
    packed: AlignedBuffer,
    inputs: usize,
    outputs: usize,
}

impl WinogradConvolution {
    /// Values of the work memory that [`RowConvolution::row`] needs.
    pub(crate) const WORK: usize = POSITIONS * PIECES * (MOST.0 + MOST.1);

    /// Whether the weights have a shape for it.
    pub(crate) fn suits(weights: &ConvolutionWeights, stride: usize) -> bool {
        let whole = |channels: usize, most| channels.is_multiple_of(CHUNK) && channels <= most;
        (weights.kernel_size, stride) == (3, 1)
            && whole(weights.in_channels, MOST.0)
            && whole(weights.out_channels, MOST.1)
    }

    /// Transforms the weights.
    pub(crate) fn new(weights: &ConvolutionWeights) -> Self {
        let (inputs, outputs) = (weights.in_channels, weights.out_channels);
        let mut packed = vec![0.0; POSITIONS * inputs * outputs];
        for o in 0..outputs {
            for i in 0..inputs {
                let kernel = &weights.weight[(o * inputs + i) * 9..][..9];
                for position in 0..POSITIONS {
                    let (rows, columns) = (
                        KERNEL_TRANSFORM[position / 6],
                        KERNEL_TRANSFORM[position % 6],
                    );
                    let sum: f64 = (0..9)
                        .map(|t| rows[t / 3] * columns[t % 3] * f64::from(kernel[t]))
                        .sum();
                    packed[(position * inputs + i) * outputs + o] = sum as f32;
                }
            }
        }
        Self {
            packed: AlignedBuffer::from_f32(&packed),
            inputs,
            outputs,
        }
    }

    /// The matrix products of all positions: `products` = `pieces` × weights, both `[position][chunk][piece][channel]`.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, pieces: *const f32, count: usize, products: *mut f32) {
        for position in 0..POSITIONS {
            // SAFETY: work memory holds `PIECES` pieces for each position.
            unsafe {
                let weights = self
                    .packed
                    .as_ptr::<f32>()
                    .add(position * self.inputs * self.outputs);
                let from = pieces.add(position * PIECES * self.inputs);
                let to = products.add(position * PIECES * self.outputs);
                let mut part = 0;
                if S::PAIRS {
                    while self.outputs - part >= 2 * S::LANES {
                        self.product_rows::<S, 2>(from, count, weights.add(part), to, part);
                        part += 2 * S::LANES;
                    }
                }
                while part < self.outputs {
                    self.product_rows::<S, 1>(from, count, weights.add(part), to, part);
                    part += S::LANES;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn product_rows<S: Simd, const VECTORS: usize>(
        &self,
        from: *const f32,
        count: usize,
        weights: *const f32,
        to: *mut f32,
        part: usize,
    ) {
        let mut done = 0;
        macro_rules! tiles {
            ($($pieces:literal),*) => {$(
                if $pieces <= S::TILE_PIXELS {
                    while count - done >= $pieces {
                        // SAFETY: `done + $pieces` pieces lie inside.
                        unsafe {
                            let (from, to) = (from.add(done * CHUNK), to.add(done * CHUNK));
                            self.product_tile::<S, VECTORS, $pieces>(from, weights, to, part);
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
        &self,
        from: *const f32,
        weights: *const f32,
        to: *mut f32,
        part: usize,
    ) {
        // SAFETY: the caller's pieces hold all chunks, the weights inputs × outputs.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; PIECES_AT_ONCE];
            let mut weights = weights;
            for chunk in 0..self.inputs / CHUNK {
                let from = from.add(chunk * PIECES * CHUNK);
                for i in 0..CHUNK {
                    let mut vectors = [S::splat(0.0); VECTORS];
                    for (v, vector) in vectors.iter_mut().enumerate() {
                        *vector = S::load(weights.add(v * S::LANES));
                    }
                    weights = weights.add(self.outputs);
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let value = S::splat(*from.add(p * CHUNK + i));
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = S::fma(value, vector, *sum);
                        }
                    }
                }
            }
            for v in 0..VECTORS {
                let to = to.add(chunked(part + v * S::LANES));
                for (p, sums) in sums.iter().enumerate() {
                    S::store(to.add(p * CHUNK), sums[v]);
                }
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

/// One piece, some of its channels, to `[position]`, `distance` values apart.
#[expect(clippy::needless_range_loop, reason = "a column of six arrays")]
#[inline(always)]
unsafe fn spread<S: Simd>(
    input: *const f32,
    (row_values, channels): (usize, usize),
    to: *mut f32,
    distance: usize,
) {
    // SAFETY: the caller's piece lies inside the patch, and work memory holds all positions.
    unsafe {
        let mut half = [[S::splat(0.0); 6]; 6];
        for (column, half) in half.iter_mut().enumerate() {
            let mut values = [S::splat(0.0); 6];
            for (row, value) in values.iter_mut().enumerate() {
                *value = S::load(input.add(row * row_values + column * channels));
            }
            *half = transform_input::<S>(values);
        }
        for row in 0..6 {
            let values = [0, 1, 2, 3, 4, 5].map(|column: usize| half[column][row]);
            for (column, value) in transform_input::<S>(values).into_iter().enumerate() {
                S::store(to.add((row * 6 + column) * distance), value);
            }
        }
    }
}

/// One piece's products, some of its channels, `distance` values apart, to 4×4 outputs.
#[expect(clippy::needless_range_loop, reason = "a column of six arrays")]
#[inline(always)]
unsafe fn gather<S: Simd>(
    from: *const f32,
    distance: usize,
    out: *mut f32,
    (row_values, channels): (usize, usize),
) {
    // SAFETY: work memory holds all positions; the caller's output has room for the piece.
    unsafe {
        let mut half = [[S::splat(0.0); 4]; 6];
        for (column, half) in half.iter_mut().enumerate() {
            let mut values = [S::splat(0.0); 6];
            for (row, value) in values.iter_mut().enumerate() {
                *value = S::load(from.add((row * 6 + column) * distance));
            }
            *half = transform_output::<S>(values);
        }
        for row in 0..PIECE {
            let values = [0, 1, 2, 3, 4, 5].map(|column: usize| half[column][row]);
            for (column, value) in transform_output::<S>(values).into_iter().enumerate() {
                S::store(out.add(row * row_values + column * channels), value);
            }
        }
    }
}

impl RowConvolution for WinogradConvolution {
    type Format = F32;
    const OVERRUNS: bool = true;
    const ROWS: usize = PIECE;

    fn out_channels(&self) -> usize {
        self.outputs
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
        let (inputs, outputs) = (self.inputs, self.outputs);
        let input = input.cast::<f32>();
        let pieces = pixels.div_ceil(PIECE);
        for first in (0..pieces).step_by(PIECES) {
            let count = (pieces - first).min(PIECES);
            // SAFETY: patch and output have slack for a started piece, work memory for `PIECES` each way.
            unsafe {
                let products = work.add(POSITIONS * PIECES * inputs);
                for piece in 0..count {
                    let input = input.add((first + piece) * PIECE * inputs);
                    for part in (0..inputs).step_by(S::LANES) {
                        spread::<S>(
                            input.add(part),
                            (row_values, inputs),
                            work.add(piece * CHUNK + chunked(part)),
                            PIECES * inputs,
                        );
                    }
                }
                self.multiply::<S>(work, count, products);
                for piece in 0..count {
                    let out = out.add((first + piece) * PIECE * outputs);
                    for part in (0..outputs).step_by(S::LANES) {
                        gather::<S>(
                            products.add(piece * CHUNK + chunked(part)),
                            PIECES * outputs,
                            out.add(part),
                            (out_stride, outputs),
                        );
                    }
                }
            }
        }
    }
}
