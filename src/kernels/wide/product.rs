//! Winograd's transforms and products of one region, in the room of one thread.

use super::region::{BLOCK, GROUP, Region};
use crate::kernels::aligned::AlignedBuffer;
use crate::kernels::simd::Simd;
use crate::kernels::winograd::{PIECE, POSITIONS, transform_input, transform_output};

/// Most pieces of a region.
pub(super) const PIECES: usize = 64;
/// Values between the tables of two positions beyond what they hold: a cache line, so that the 36 stores of one
/// transform do not all meet in the same set of the first-level cache.
const GAP: usize = 16;

/// Memory of one task, all in one buffer.
pub(super) struct Room {
    region: Region,
    /// `[row][column][64]`, one pixel more on each side.
    pub(super) patch: *mut f32,
    /// Transformed input: `[block][position][piece][64]`.
    spread: *mut f32,
    /// Transformed weights of one block and group: `[position][64][32]`.
    weights: *mut f32,
    /// Sums of products of one group: `[position][piece][32]`.
    products: *mut f32,
    /// One row of pieces of output: `[4 rows][column][32]`.
    rows: *mut f32,
}

impl Room {
    /// Room for `region` of so many input channels, in `memory`, which grows to hold it and must outlive the room.
    pub(super) fn new(memory: &mut AlignedBuffer, region: Region, in_channels: usize) -> Self {
        let pieces = region.rows / PIECE * (region.columns / PIECE);
        let lengths = [
            (region.rows + 2) * (region.columns + 2) * BLOCK,
            in_channels.div_ceil(BLOCK) * POSITIONS * (pieces * BLOCK + GAP),
            POSITIONS * (BLOCK * GROUP + GAP),
            POSITIONS * (pieces * GROUP + GAP),
            PIECE * region.columns * GROUP,
        ];
        memory.reserve(lengths.iter().sum::<usize>() * 4);
        let mut next = memory.as_mut_ptr::<f32>();
        let [patch, spread, weights, products, rows] = lengths.map(|length| {
            let here = next;
            next = next.wrapping_add(length);
            here
        });
        Self {
            region,
            patch,
            spread,
            weights,
            products,
            rows,
        }
    }

    #[inline(always)]
    fn pieces(&self) -> usize {
        self.region.rows / PIECE * (self.region.columns / PIECE)
    }

    /// Transforms the patch of a block's first `channels`.
    ///
    /// # Safety
    /// The patch is filled, and the processor has the instruction set.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a column of six arrays")]
    pub(super) unsafe fn spread<S: Simd>(&self, block: usize, channels: usize) {
        let row_values = (self.region.columns + 2) * BLOCK;
        let (across, position) = (self.region.columns / PIECE, self.pieces() * BLOCK + GAP);
        for piece in 0..self.pieces() {
            let corner = (piece / across * row_values + piece % across * BLOCK) * PIECE;
            for part in (0..channels).step_by(S::LANES) {
                // SAFETY: six rows and columns from the corner on lie inside the patch; the room holds all positions.
                unsafe {
                    let input = self.patch.add(corner + part);
                    let to = self
                        .spread
                        .add(block * POSITIONS * position + piece * BLOCK + part);
                    let mut half = [[S::splat(0.0); 6]; 6];
                    for (column, half) in half.iter_mut().enumerate() {
                        let values = [0, 1, 2, 3, 4, 5]
                            .map(|row| S::load(input.add(row * row_values + column * BLOCK)));
                        *half = transform_input::<S>(values);
                    }
                    for row in 0..6 {
                        let values = [0, 1, 2, 3, 4, 5].map(|column: usize| half[column][row]);
                        for (column, value) in transform_input::<S>(values).into_iter().enumerate()
                        {
                            S::store(to.add((row * 6 + column) * position), value);
                        }
                    }
                }
            }
        }
    }

    /// Transforms the weights of one block's first `channels` and one group, `[tap][64][32]`.
    ///
    /// # Safety
    /// The weights are of that shape, and the processor has the instruction set.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a column of three arrays")]
    pub(super) unsafe fn transform_weights<S: Simd>(&self, packed: *const f32, channels: usize) {
        for at in (0..channels * GROUP).step_by(S::LANES) {
            // SAFETY: `at` lies inside the table of each tap and each position.
            unsafe {
                let mut half = [[S::splat(0.0); 6]; 3];
                for (column, half) in half.iter_mut().enumerate() {
                    let taps = [0, 1, 2]
                        .map(|row| S::load(packed.add((row * 3 + column) * BLOCK * GROUP + at)));
                    *half = transform_kernel::<S>(taps);
                }
                for row in 0..6 {
                    let taps = [0, 1, 2].map(|column: usize| half[column][row]);
                    for (column, value) in transform_kernel::<S>(taps).into_iter().enumerate() {
                        let position = (row * 6 + column) * (BLOCK * GROUP + GAP);
                        S::store(self.weights.add(position + at), value);
                    }
                }
            }
        }
    }

    /// Multiplies the transformed pieces of a block's first `channels` with the transformed weights: all positions. The
    /// first block starts the sums, the others add to them.
    ///
    /// # Safety
    /// Pieces and weights are transformed, and the processor has the instruction set.
    #[inline(always)]
    pub(super) unsafe fn multiply<S: Simd>(&self, block: usize, channels: usize) {
        let pieces = self.pieces();
        for position in 0..POSITIONS {
            // SAFETY: the room holds all positions.
            unsafe {
                let tables = block * POSITIONS + position;
                let from = self.spread.add(tables * (pieces * BLOCK + GAP));
                let weights = self.weights.add(position * (BLOCK * GROUP + GAP));
                let to = self.products.add(position * (pieces * GROUP + GAP));
                for part in (0..GROUP).step_by(S::LANES * if S::PAIRS { 2 } else { 1 }) {
                    let (weights, to) = (weights.add(part), to.add(part));
                    if S::PAIRS {
                        product_rows::<S, 2, BLOCK, 1, GROUP>(
                            from,
                            (pieces, channels),
                            weights,
                            to,
                            block == 0,
                        );
                    } else {
                        product_rows::<S, 1, BLOCK, 1, GROUP>(
                            from,
                            (pieces, channels),
                            weights,
                            to,
                            block == 0,
                        );
                    }
                }
            }
        }
    }

    /// Transforms the products back, adds `bias`, rectifies if `relu`, and writes `channels` planes of output.
    ///
    /// # Safety
    /// `bias` holds 32 values, `output` is the first of that many planes, of which no other task writes this region,
    /// and the processor has the instruction set.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a column of six arrays")]
    pub(super) unsafe fn gather<S: Simd>(
        &self,
        bias: *const f32,
        relu: bool,
        channels: usize,
        output: *mut f32,
    ) {
        let (columns, across) = (self.region.columns, self.region.columns / PIECE);
        let position = self.pieces() * GROUP + GAP;
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        for first in (0..self.pieces()).step_by(across) {
            // SAFETY: the room holds all positions, and a row of pieces.
            unsafe {
                for part in (0..channels).step_by(S::LANES) {
                    let (bias, least) = (S::load(bias.add(part)), S::splat(least));
                    for piece in 0..across {
                        let from = self.products.add((first + piece) * GROUP + part);
                        let out = self.rows.add(piece * PIECE * GROUP + part);
                        let mut half = [[S::splat(0.0); 4]; 6];
                        for (column, half) in half.iter_mut().enumerate() {
                            let values = [0, 1, 2, 3, 4, 5]
                                .map(|row| S::load(from.add((row * 6 + column) * position)));
                            *half = transform_output::<S>(values);
                        }
                        for row in 0..PIECE {
                            let values = [0, 1, 2, 3, 4, 5].map(|column: usize| half[column][row]);
                            let values = transform_output::<S>(values);
                            for (column, value) in values.into_iter().enumerate() {
                                let value = S::max(S::add(value, bias), least);
                                S::store(out.add((row * columns + column) * GROUP), value);
                            }
                        }
                    }
                }
                let row = first / across * PIECE;
                self.region
                    .store::<S>(row, PIECE, self.rows, channels, output);
            }
        }
    }
}

/// The kernel's transform along one direction.
#[inline(always)]
unsafe fn transform_kernel<S: Simd>(g: [S::F; 3]) -> [S::F; 6] {
    // SAFETY: arithmetic only.
    unsafe {
        let (sixth, twelfth) = (S::splat(1.0 / 6.0), S::splat(1.0 / 12.0));
        let (a, b) = (S::mul(g[1], sixth), S::mul(g[1], twelfth));
        let c = S::mul(S::add(g[0], g[2]), S::splat(-1.0 / 6.0));
        let d = S::fma(g[0], S::splat(1.0 / 24.0), S::mul(g[2], sixth));
        [
            S::mul(g[0], S::splat(0.25)),
            S::sub(c, a),
            S::add(c, a),
            S::add(d, b),
            S::sub(d, b),
            g[2],
        ]
    }
}

/// Rows of sums, each over `terms`: one or two vectors of columns of the matrix product of `values`, whose rows lie
/// `ROW_STEP` and whose terms lie `TERM_STEP` apart, and of `weights`, `[term][WIDTH]`, to `sums`, `[row][WIDTH]`; added
/// to what is there unless `start`.
///
/// # Safety
/// All three hold so many rows and terms, and the processor has the instruction set.
#[inline(always)]
pub(super) unsafe fn product_rows<
    S: Simd,
    const VECTORS: usize,
    const ROW_STEP: usize,
    const TERM_STEP: usize,
    const WIDTH: usize,
>(
    values: *const f32,
    (rows, terms): (usize, usize),
    weights: *const f32,
    sums: *mut f32,
    start: bool,
) {
    let mut done = 0;
    macro_rules! tiles {
        ($($rows:literal),*) => {$(
            if $rows <= S::TILE_PIXELS {
                while rows - done >= $rows {
                    // SAFETY: `done + $rows` rows are there.
                    unsafe {
                        let (values, sums) = (values.add(done * ROW_STEP), sums.add(done * WIDTH));
                        product_tile::<S, VECTORS, $rows, ROW_STEP, TERM_STEP, WIDTH>(
                            values, terms, weights, sums, start,
                        );
                    }
                    done += $rows;
                }
            }
        )*};
    }
    tiles!(12, 8, 6, 4, 2, 1);
}

#[inline(always)]
unsafe fn product_tile<
    S: Simd,
    const VECTORS: usize,
    const ROWS: usize,
    const ROW_STEP: usize,
    const TERM_STEP: usize,
    const WIDTH: usize,
>(
    values: *const f32,
    terms: usize,
    weights: *const f32,
    to: *mut f32,
    start: bool,
) {
    // SAFETY: as for `product_rows`, of which these are some rows.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; ROWS];
        if !start {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(to.add(r * WIDTH + v * S::LANES));
                }
            }
        }
        let (mut values, mut weights) = (values, weights);
        let end = values.wrapping_add(terms * TERM_STEP);
        while values != end {
            let mut vectors = [S::splat(0.0); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(weights.add(v * S::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = S::splat(*values.add(r * ROW_STEP));
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = S::fma(value, vector, *sum);
                }
            }
            values = values.wrapping_add(TERM_STEP);
            weights = weights.wrapping_add(WIDTH);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                S::store(to.add(r * WIDTH + v * S::LANES), *sum);
            }
        }
    }
}
