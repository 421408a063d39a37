//! The last convolution, 9×9 or 5×5 over four or eight channels to three, with pixels in the vector lanes.
//!
//! Three output channels would leave most lanes of a vector idle, so here a vector holds neighbours of one channel (of two
//! in bf16, whose products come in pairs): the patch is planar, each load of inputs meets three broadcast weights, and a
//! register tile is three channels times as many vectors as the registers hold. The neighbours are not pixels but pieces
//! of three pixels, transformed as [`toom_cook`](super::toom_cook) explains: five products in place of nine (of
//! ten in place of fifteen for 5×5, whose second group of taps is one short).

use super::aligned::AlignedBuffer;
use super::format::{F32, Format};
use super::network::ConvolutionWeights;
use super::patch::{TensorSource, Tile};
use super::simd::Simd;
use super::toom_cook::{MOST, TAPS, transform_input, transform_output, transform_taps};
use std::marker::PhantomData;

const OUT: usize = 3;
/// Outputs of a piece.
const PIECE: usize = 3;
/// Positions of a piece.
const POSITIONS: usize = PIECE + TAPS - 1;
/// Pieces that the register tile may read or write beyond a row's own.
const SLACK: usize = 18;

/// Packed weights of the last convolution.
pub(crate) struct LastConvolution<D> {
    /// `[position][kernel row][word of input channels][group of taps][output channel]`.
    packed: AlignedBuffer,
    /// Words of a pixel.
    words: usize,
    in_channels: usize,
    kernel: usize,
    format: PhantomData<D>,
}

/// The memory that a tile of the last convolution takes.
pub(crate) struct LastRoom {
    /// Words of one planar patch row.
    pub(crate) row_words: usize,
    /// Values from one row of outputs to the next.
    pub(crate) out_stride: usize,
}

impl LastRoom {
    /// For so many pixels in a row.
    pub(crate) fn new(pixels: usize, kernel: usize) -> Self {
        let pieces = pixels.div_ceil(PIECE);
        let row_words = pieces + kernel.div_ceil(TAPS) + SLACK;
        Self {
            row_words: row_words.next_multiple_of(16),
            out_stride: (pieces + SLACK).next_multiple_of(16),
        }
    }

    /// Words of a patch of so many rows, in `f32`.
    pub(crate) fn patch_words(&self, in_channels: usize, rows: usize) -> usize {
        POSITIONS * in_channels * rows * self.row_words
    }

    /// Values of a row of outputs: its positions', then its pixels of four.
    pub(crate) fn out_values(&self) -> usize {
        (POSITIONS * OUT + 4 * PIECE) * self.out_stride
    }
}

impl<D: Format> LastConvolution<D> {
    /// Packs the weights.
    pub(crate) fn new(weights: &ConvolutionWeights) -> Self {
        let (in_channels, kernel) = (weights.in_channels, weights.kernel_size);
        let per_word = 4 / D::BYTES;
        let words = in_channels / per_word;
        let mut packed = Vec::new();
        for position in 0..POSITIONS {
            for y in 0..kernel {
                for word in 0..words {
                    for group in (0..kernel).step_by(TAPS) {
                        for o in 0..OUT {
                            for i in word * per_word..(word + 1) * per_word {
                                let row = ((o * in_channels + i) * kernel + y) * kernel;
                                let taps = std::array::from_fn(|tap| match group + tap {
                                    x if x < kernel => weights.weight[row + x],
                                    _ => 0.0,
                                });
                                let value = transform_taps(taps, position, PIECE);
                                packed.extend(&D::weight(value)[..D::BYTES]);
                            }
                        }
                    }
                }
            }
        }
        Self {
            packed: AlignedBuffer::from_bytes(&packed),
            words,
            in_channels,
            kernel,
            format: PhantomData,
        }
    }

    /// How much memory a tile of so many pixels in a row takes.
    pub(crate) fn room(&self, pixels: usize) -> LastRoom {
        LastRoom::new(pixels, self.kernel)
    }

    /// Normalises, rectifies, pads and transforms the source into `patch`, `[position][word][patch row][row_words]`.
    ///
    /// # Safety
    /// `patch` has room, `work` for [`WORK`](super::convolution::WORK) values, and the source is of the weights' channels.
    #[inline(always)]
    pub(crate) unsafe fn fill<S: Simd>(
        &self,
        source: &TensorSource,
        tile: &Tile,
        patch: *mut f32,
        work: *mut f32,
    ) {
        let (columns, channels) = (tile.patch_columns, self.in_channels);
        let pieces = tile.columns.len().div_ceil(PIECE) + self.kernel.div_ceil(TAPS) - 1;
        let row_words = self.room(tile.columns.len()).row_words;
        let plane = tile.patch_rows * row_words;
        // SAFETY: as for this function.
        unsafe {
            // A started piece reads behind the patch, which must not change a bit of what counts.
            let behind = (PIECE * (pieces + 1)).saturating_sub(columns);
            let parted = work.add((columns + behind) * channels + 16);
            for row in 0..tile.patch_rows {
                source.fill_rows::<S, F32>(&tile.patch_row(row), 0..1, work.cast());
                work.add(columns * channels)
                    .write_bytes(0, behind * channels);
                match channels {
                    4 => part::<12>(work, pieces + 1, parted, row_words),
                    8 => part::<24>(work, pieces + 1, parted, row_words),
                    _ => unreachable!("no network has this many channels there"),
                }
                let to = patch.add(row * row_words);
                for word in 0..self.words {
                    for first in (0..pieces).step_by(S::LANES) {
                        let per_word = 4 / D::BYTES;
                        let channel = word * per_word;
                        let planes = parted.add(first);
                        let mut values = transformed::<S>(planes, channels, channel, row_words);
                        if per_word == 2 {
                            let second = transformed::<S>(planes, channels, channel + 1, row_words);
                            for (value, second) in values.iter_mut().zip(second) {
                                *value = S::pair_bf16(*value, second);
                            }
                        }
                        for (position, value) in values.into_iter().take(POSITIONS).enumerate() {
                            S::store(
                                to.add((position * self.words + word) * plane + first),
                                value,
                            );
                        }
                    }
                }
            }
        }
    }

    /// One row of outputs, `[pixel][4]`, from the patch row where the kernel's first row lies; returned is where they are.
    ///
    /// # Safety
    /// `patch` is a patch that [`LastConvolution::fill`] made of so many rows; `out` has room for [`LastRoom::out_values`].
    #[inline(always)]
    pub(crate) unsafe fn row<S: Simd>(
        &self,
        patch: *const f32,
        patch_rows: usize,
        pixels: usize,
        out: *mut f32,
    ) -> *const f32 {
        let LastRoom {
            row_words,
            out_stride,
        } = self.room(pixels);
        let pieces = pixels.div_ceil(PIECE);
        // SAFETY: as the caller guarantees.
        unsafe {
            for position in 0..POSITIONS {
                let patch = patch.add(position * self.words * patch_rows * row_words);
                let out = out.add(position * OUT * out_stride);
                let rows = (patch_rows, row_words);
                match self.kernel {
                    5 => self.pieces::<S, 5, 2>(position, patch, rows, pieces, out, out_stride),
                    9 => self.pieces::<S, 9, 3>(position, patch, rows, pieces, out, out_stride),
                    _ => unreachable!("no network has such a kernel there"),
                }
            }
            for first in (0..pieces).step_by(S::LANES) {
                for o in 0..OUT {
                    let plane = |index: usize| out.add((index * OUT + o) * out_stride + first);
                    let mut sums = [S::splat(0.0); MOST];
                    for (position, sum) in sums.iter_mut().take(POSITIONS).enumerate() {
                        *sum = S::load(plane(position));
                    }
                    let outputs = transform_output::<S, PIECE>(sums);
                    for (x, output) in outputs.into_iter().enumerate() {
                        S::store(plane(x), output);
                    }
                }
            }
            let joined = out.add(POSITIONS * OUT * out_stride);
            for piece in 0..pieces {
                for x in 0..PIECE {
                    let colour = |o: usize| *out.add((x * OUT + o) * out_stride + piece);
                    let pixel = [colour(0), colour(1), colour(2), 0.0];
                    let to = joined.add(4 * (piece * PIECE + x));
                    to.cast::<[f32; 4]>().write_unaligned(pixel);
                }
            }
            joined
        }
    }

    /// The sums of one position.
    #[inline(always)]
    unsafe fn pieces<S: Simd, const KERNEL: usize, const GROUPS: usize>(
        &self,
        position: usize,
        patch: *const f32,
        rows: (usize, usize),
        pieces: usize,
        out: *mut f32,
        out_stride: usize,
    ) {
        let weights = position * KERNEL * self.words * GROUPS * OUT;
        let mut done = 0;
        macro_rules! tiles {
            ($($vectors:literal),*) => {$(
                // 32 registers of 4 lanes: 3 × 6 sums, 6 inputs, 3 weights; 16 registers: 3 × 3 sums, 3 inputs, a weight.
                if $vectors <= (match S::LANES { 16 => 4, 4 => 6, _ => 3 }) {
                    while done + ($vectors - 1) * S::LANES < pieces {
                        // SAFETY: the patch rows and the output rows have that slack.
                        unsafe {
                            let weights = self.packed.as_ptr::<f32>().add(weights);
                            let (patch, out) = (patch.add(done), out.add(done));
                            self.tile::<S, KERNEL, GROUPS, $vectors>(weights, patch, rows, out, out_stride);
                        }
                        done += $vectors * S::LANES;
                    }
                }
            )*};
        }
        tiles!(6, 4, 3, 2, 1);
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const KERNEL: usize, const GROUPS: usize, const VECTORS: usize>(
        &self,
        mut weights: *const f32,
        patch: *const f32,
        (patch_rows, row_words): (usize, usize),
        out: *mut f32,
        out_stride: usize,
    ) {
        // SAFETY: the patch rows and the output rows have room for the vectors.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; OUT];
            for kernel_row in 0..KERNEL {
                for word in 0..self.words {
                    let values = patch.add((word * patch_rows + kernel_row) * row_words);
                    for group in 0..GROUPS {
                        let mut inputs = [S::splat(0.0); VECTORS];
                        for (v, input) in inputs.iter_mut().enumerate() {
                            *input = S::load(values.add(group + v * S::LANES));
                        }
                        for (o, sums) in sums.iter_mut().enumerate() {
                            let weight = S::splat(*weights.add(o));
                            for (sum, input) in sums.iter_mut().zip(inputs) {
                                *sum = D::dot::<S>(input, weight, *sum);
                            }
                        }
                        weights = weights.add(OUT);
                    }
                }
            }
            for (o, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    S::store(out.add(o * out_stride + v * S::LANES), *sum);
                }
            }
        }
    }
}

/// The positions of a channel of some pieces, from planes of the pieces' values, `row_words` apart.
#[inline(always)]
unsafe fn transformed<S: Simd>(
    planes: *const f32,
    channels: usize,
    channel: usize,
    row_words: usize,
) -> [S::F; MOST] {
    // SAFETY: the caller's planes hold the pieces and a vector more.
    unsafe {
        let mut values = [S::splat(0.0); MOST];
        for (x, value) in values.iter_mut().take(POSITIONS).enumerate() {
            let plane = planes.add((x % PIECE * channels + channel) * row_words);
            *value = S::load(plane.add(x / PIECE));
        }
        transform_input::<S, PIECE>(values)
    }
}

/// Pieces of so many values each, value by value into planes.
#[inline(always)]
unsafe fn part<const VALUES: usize>(from: *const f32, pieces: usize, to: *mut f32, plane: usize) {
    for value in 0..VALUES {
        for piece in 0..pieces {
            // SAFETY: the caller's row holds the pieces, its planes have room for them.
            unsafe { *to.add(value * plane + piece) = *from.add(piece * VALUES + value) };
        }
    }
}
