//! The last convolution, 9×9 or 5×5 over four or eight channels to three, with pixels in the vector lanes.
//!
//! Three output channels would leave most lanes of a vector idle, so here a vector holds neighbouring pixels of one
//! channel (of two in bf16, whose products come in pairs): the patch is planar, each load of input pixels meets three
//! broadcast weights, and a register tile is three channels times as many vectors as the registers hold.

use super::aligned::AlignedBuffer;
use super::format::Format;
use super::network::ConvolutionWeights;
use super::patch::{TensorSource, Tile};
use super::simd::Simd;
use std::marker::PhantomData;

const OUT: usize = 3;

/// Packed weights of the last convolution.
pub(crate) struct LastConvolution<D> {
    /// `[kernel row][word of input channels][kernel column][output channel]`.
    packed: AlignedBuffer,
    /// Words of a pixel.
    words: usize,
    kernel: usize,
    format: PhantomData<D>,
}

/// Pixels beyond a row's end that the register tile may write.
pub(crate) const LAST_SLACK: usize = 64;

/// Words of one planar patch row, with room for the register tile to read past the end.
pub(crate) fn last_row_words(columns: usize) -> usize {
    (columns + LAST_SLACK).next_multiple_of(16)
}

impl<D: Format> LastConvolution<D> {
    /// Packs the weights.
    pub(crate) fn new(weights: &ConvolutionWeights) -> Self {
        let (in_channels, kernel) = (weights.in_channels, weights.kernel_size);
        let per_word = 4 / D::BYTES;
        let words = in_channels / per_word;
        let mut packed = Vec::with_capacity(4 * OUT * words * kernel * kernel);
        for y in 0..kernel {
            for word in 0..words {
                for x in 0..kernel {
                    for o in 0..OUT {
                        for i in word * per_word..(word + 1) * per_word {
                            let at = ((o * in_channels + i) * kernel + y) * kernel + x;
                            packed.extend(&D::weight(weights.weight[at])[..D::BYTES]);
                        }
                    }
                }
            }
        }
        Self {
            packed: AlignedBuffer::from_bytes(&packed),
            words,
            kernel,
            format: PhantomData,
        }
    }

    /// Normalises, rectifies and pads the source into `patch`, `[word][patch row][last_row_words]`.
    ///
    /// # Safety
    /// `patch` has room, `work` for a row of it, and the source is of the weights' channels.
    #[inline(always)]
    pub(crate) unsafe fn fill<S: Simd>(
        &self,
        source: &TensorSource,
        tile: &Tile,
        patch: *mut f32,
        work: *mut u8,
    ) {
        let columns = tile.patch_columns;
        for row in 0..tile.patch_rows {
            // The source counts rows from the first one's place on.
            let first = work.wrapping_sub(row * columns * self.words * 4);
            // SAFETY: as for this function.
            unsafe {
                source.fill_rows::<S, D>(tile, row..row + 1, first);
                let to = patch.add(row * last_row_words(columns));
                let plane = tile.patch_rows * last_row_words(columns);
                match self.words {
                    2 => part::<2>(work.cast(), columns, to.cast(), plane),
                    4 => part::<4>(work.cast(), columns, to.cast(), plane),
                    8 => part::<8>(work.cast(), columns, to.cast(), plane),
                    _ => unreachable!("no network has this many channels there"),
                }
            }
        }
    }

    /// One row of outputs, `[channel][out_stride]`, from the patch row where the kernel's first row lies.
    ///
    /// # Safety
    /// `patch` is a patch that [`LastConvolution::fill`] made; each channel of `out` has room for `pixels` rounded up
    /// by [`LAST_SLACK`].
    #[inline(always)]
    pub(crate) unsafe fn row<S: Simd>(
        &self,
        patch: *const f32,
        (patch_rows, row_values): (usize, usize),
        pixels: usize,
        out: *mut f32,
        out_stride: usize,
    ) {
        // SAFETY: as the caller guarantees.
        unsafe {
            macro_rules! tiles {
                ($kernel:literal, $vectors:literal) => {
                    self.tiles::<S, $kernel, $vectors>(
                        patch,
                        (patch_rows, row_values),
                        pixels,
                        out,
                        out_stride,
                    )
                };
            }
            // 32 registers of 4 lanes: 3 × 6 sums, 6 inputs, 3 weights; 16 registers: 3 × 3 sums, 3 inputs, a weight.
            match (self.kernel, S::LANES) {
                (5, 16) => tiles!(5, 4),
                (5, 4) => tiles!(5, 6),
                (5, _) => tiles!(5, 3),
                (9, 16) => tiles!(9, 4),
                (9, 4) => tiles!(9, 6),
                (9, _) => tiles!(9, 3),
                _ => unreachable!("no network has such a kernel there"),
            }
        }
    }

    #[inline(always)]
    unsafe fn tiles<S: Simd, const KERNEL: usize, const VECTORS: usize>(
        &self,
        patch: *const f32,
        (patch_rows, row_values): (usize, usize),
        pixels: usize,
        out: *mut f32,
        out_stride: usize,
    ) {
        for first in (0..pixels).step_by(VECTORS * S::LANES) {
            // SAFETY: the patch rows and the output rows have that slack.
            unsafe {
                let mut sums = [[S::splat(0.0); VECTORS]; OUT];
                let mut weights = self.packed.as_ptr::<f32>();
                for kernel_row in 0..KERNEL {
                    for word in 0..self.words {
                        let values =
                            patch.add((word * patch_rows + kernel_row) * row_values + first);
                        for x in 0..KERNEL {
                            let mut inputs = [S::splat(0.0); VECTORS];
                            for (v, input) in inputs.iter_mut().enumerate() {
                                *input = S::load(values.add(x + v * S::LANES));
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
                        S::store(out.add(o * out_stride + first + v * S::LANES), *sum);
                    }
                }
            }
        }
    }
}

/// Pixels of so many words each, word by word into planes.
#[inline(always)]
unsafe fn part<const WORDS: usize>(from: *const u32, pixels: usize, to: *mut u32, plane: usize) {
    for word in 0..WORDS {
        for x in 0..pixels {
            // SAFETY: the caller's row holds the pixels, its planes have room for them.
            unsafe { *to.add(word * plane + x) = *from.add(x * WORDS + word) };
        }
    }
}
