//! The last convolution, 9×9 or 5×5 over four or eight channels to three, with pixels in the vector lanes.
//!
//! Three output channels would leave most lanes of a vector idle, so here a vector holds neighbouring pixels of one
//! channel: the patch is planar, each load of input pixels meets three broadcast weights, and a register tile is three
//! channels times as many vectors as the registers hold.

use super::aligned::AlignedBuffer;
use super::network::ConvolutionWeights;
use super::patch::{TensorSource, Tile};
use super::simd::Simd;

const OUT: usize = 3;

/// Packed weights of the last convolution.
pub(crate) struct LastConvolution {
    /// `[kernel row][input channel][kernel column][output channel]`.
    packed: AlignedBuffer,
    in_channels: usize,
    kernel: usize,
}

impl LastConvolution {
    /// Pixels beyond a row's end that the register tile may write.
    pub(crate) const SLACK: usize = 64;

    /// Packs the weights.
    pub(crate) fn new(weights: &ConvolutionWeights) -> Self {
        let (in_channels, kernel) = (weights.in_channels, weights.kernel_size);
        let mut packed = Vec::with_capacity(OUT * in_channels * kernel * kernel);
        for y in 0..kernel {
            for i in 0..in_channels {
                for x in 0..kernel {
                    packed.extend((0..OUT).map(|o| {
                        weights.weight[((o * in_channels + i) * kernel + y) * kernel + x]
                    }));
                }
            }
        }
        Self {
            packed: AlignedBuffer::from_f32(&packed),
            in_channels,
            kernel,
        }
    }

    /// Values of one planar patch row, with room for the register tile to read past the end.
    pub(crate) fn row_values(columns: usize) -> usize {
        (columns + Self::SLACK).next_multiple_of(16)
    }

    /// Normalises, rectifies and pads the source into `patch`, `[channel][patch row][row_values]`.
    ///
    /// # Safety
    /// `patch` has room, and the source is `f32` of the weights' channels.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, source: &TensorSource, tile: &Tile, patch: *mut f32) {
        // SAFETY: as the caller guarantees.
        unsafe {
            match self.in_channels {
                4 => Self::fill_channels::<4>(source, tile, patch),
                8 => Self::fill_channels::<8>(source, tile, patch),
                _ => unreachable!("no network has this many channels there"),
            }
        }
    }

    #[inline(always)]
    unsafe fn fill_channels<const IN: usize>(source: &TensorSource, tile: &Tile, patch: *mut f32) {
        let (height, width, _) = source.shape;
        let data = source.data.cast::<f32>();
        let row_values = Self::row_values(tile.patch_columns);
        let right = tile.left + tile.patch_columns as isize;
        let inner = tile.left.max(0)..right.min(width as isize);
        for patch_row in 0..tile.patch_rows {
            let y = source.edge.inside(tile.top + patch_row as isize, height);
            for channel in 0..IN {
                let (scale, shift) = (source.affine.scale[channel], source.affine.shift[channel]);
                // SAFETY: columns are brought inside the picture; the patch has room for its rows.
                unsafe {
                    let row = patch.add((channel * tile.patch_rows + patch_row) * row_values);
                    let values = data.add(y * width * IN + channel);
                    for x in (tile.left..inner.start).chain(inner.end..right) {
                        let value = *values.add(source.edge.inside(x, width) * IN) * scale + shift;
                        *row.add((x - tile.left) as usize) = value.max(0.0);
                    }
                    let row = row.add((inner.start - tile.left) as usize);
                    let values = values.add(inner.start as usize * IN);
                    for i in 0..(inner.end - inner.start) as usize {
                        *row.add(i) = (*values.add(i * IN) * scale + shift).max(0.0);
                    }
                }
            }
        }
    }

    /// One row of outputs, `[channel][out_stride]`, from the patch row where the kernel's first row lies.
    ///
    /// # Safety
    /// `patch` is a patch that [`LastConvolution::fill`] made; each channel of `out` has room for `pixels` rounded up
    /// by [`LastConvolution::SLACK`].
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
                    for channel in 0..self.in_channels {
                        let values =
                            patch.add((channel * patch_rows + kernel_row) * row_values + first);
                        for x in 0..KERNEL {
                            let mut inputs = [S::splat(0.0); VECTORS];
                            for (v, input) in inputs.iter_mut().enumerate() {
                                *input = S::load(values.add(x + v * S::LANES));
                            }
                            for (o, sums) in sums.iter_mut().enumerate() {
                                let weight = S::splat(*weights.add(o));
                                for (sum, input) in sums.iter_mut().zip(inputs) {
                                    *sum = S::fma(input, weight, *sum);
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
