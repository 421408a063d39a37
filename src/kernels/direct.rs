//! Direct convolution on packed weights.
//!
//! A patch is [row][column][channel], so one output pixel reads `kernel` runs of `kernel * channels` neighbouring
//! values. A register tile holds some pixels times some vectors of output channels; each step multiplies one vector
//! of packed weights with one broadcast input value per pixel. 12 pixels × 32 channels in AVX-512: 24 independent
//! sums, 14 loads for 24 multiply-adds, no shuffles. The same loop serves 9×9 over three channels (runs of 27), 3×3
//! over 32 (runs of 96), both strides, and the four phases of a folded upsampling as extra output channels.

use super::aligned::AlignedBuffer;
use super::instruction_set::InstructionSet;
use super::network::ConvolutionWeights;
use super::simd::Simd;

/// Weights of one convolution, packed for one instruction set.
pub(crate) struct DirectConvolution {
    kernel: usize,
    in_channels: usize,
    out_channels: usize,
    stride: usize,
    /// [group][kernel row][kernel column × input channel][channel of the group].
    packed: AlignedBuffer,
    /// Channels of a group: what the register tile is wide.
    group: usize,
}

impl DirectConvolution {
    /// Packs `weights`, whose output channels must be a multiple of 16.
    pub(crate) fn new(weights: &ConvolutionWeights, stride: usize, set: InstructionSet) -> Self {
        let ConvolutionWeights {
            out_channels,
            in_channels,
            kernel_size: kernel,
            ref weight,
        } = *weights;
        debug_assert_eq!(out_channels % 16, 0);
        let group = match set {
            InstructionSet::Portable => 8,
            InstructionSet::Avx2 => 16,
            InstructionSet::Avx512 => {
                if out_channels % 32 == 0 {
                    32
                } else {
                    16
                }
            }
        };
        let run = kernel * in_channels;
        let mut packed = vec![0.0; out_channels * kernel * run];
        for o in 0..out_channels {
            for i in 0..in_channels {
                for y in 0..kernel {
                    for x in 0..kernel {
                        let step = y * run + x * in_channels + i;
                        packed[((o / group) * kernel * run + step) * group + o % group] =
                            weight[((o * in_channels + i) * kernel + y) * kernel + x];
                    }
                }
            }
        }
        Self {
            kernel,
            in_channels,
            out_channels,
            stride,
            packed: AlignedBuffer::from_f32(&packed),
            group,
        }
    }

    /// Output channels.
    pub(crate) fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// One row of outputs, [pixels][out_channels], to `out`; `input` is the patch row where the kernel's first row
    /// lies, `row_values` the length of a patch row.
    ///
    /// # Safety
    /// The patch holds `kernel` rows of `(pixels - 1) * stride + kernel` columns from `input` on, `out` has room, and
    /// `S` is the instruction set the weights were packed for.
    #[inline(always)]
    pub(crate) unsafe fn row<S: Simd>(
        &self,
        input: *const f32,
        row_values: usize,
        pixels: usize,
        out: *mut f32,
    ) {
        // SAFETY: as the caller guarantees. The step between pixels is a constant in each arm, which lets the compiler
        // address all pixels of a tile from one register.
        unsafe {
            match self.stride * self.in_channels {
                3 => self.groups::<S, 3>(input, row_values, pixels, out),
                8 => self.groups::<S, 8>(input, row_values, pixels, out),
                32 => self.groups::<S, 32>(input, row_values, pixels, out),
                64 => self.groups::<S, 64>(input, row_values, pixels, out),
                _ => unreachable!("no layer has this step"),
            }
        }
    }

    #[inline(always)]
    unsafe fn groups<S: Simd, const STEP: usize>(
        &self,
        input: *const f32,
        row_values: usize,
        pixels: usize,
        out: *mut f32,
    ) {
        let size = self.kernel * self.kernel * self.in_channels * self.group;
        for group in 0..self.out_channels / self.group {
            // SAFETY: each group has `size` packed weights, and `group` channels of every output pixel.
            unsafe {
                let weights = self.packed.as_ptr::<f32>().add(group * size);
                let out = out.add(group * self.group);
                if self.group == 2 * S::LANES {
                    self.pixels::<S, STEP, 2>(input, row_values, pixels, weights, out);
                } else {
                    self.pixels::<S, STEP, 1>(input, row_values, pixels, weights, out);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd, const STEP: usize, const VECTORS: usize>(
        &self,
        input: *const f32,
        row_values: usize,
        pixels: usize,
        weights: *const f32,
        out: *mut f32,
    ) {
        let mut done = 0;
        macro_rules! tiles {
            ($($pixels:literal),*) => {$(
                if $pixels <= S::TILE_PIXELS {
                    while pixels - done >= $pixels {
                        // SAFETY: `done + $pixels` pixels lie inside the row.
                        unsafe {
                            self.tile::<S, STEP, VECTORS, $pixels>(
                                input.add(done * STEP), row_values, weights, out.add(done * self.out_channels),
                            );
                        }
                        done += $pixels;
                    }
                }
            )*};
        }
        tiles!(12, 6, 4, 2, 1);
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const STEP: usize, const VECTORS: usize, const PIXELS: usize>(
        &self,
        input: *const f32,
        row_values: usize,
        weights: *const f32,
        out: *mut f32,
    ) {
        let run = self.kernel * self.in_channels;
        // SAFETY: the kernel's rows and runs lie inside the patch, and the weights hold all steps.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; PIXELS];
            let mut weights = weights;
            for kernel_row in 0..self.kernel {
                let mut values = input.add(kernel_row * row_values);
                let end = values.add(run);
                while values < end {
                    let mut vectors = [S::splat(0.0); VECTORS];
                    for (v, vector) in vectors.iter_mut().enumerate() {
                        *vector = S::load(weights.add(v * S::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let value = S::splat(*values.add(p * STEP));
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = S::fma(value, vector, *sum);
                        }
                    }
                    values = values.add(1);
                    weights = weights.add(VECTORS * S::LANES);
                }
            }
            for (p, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    S::store(out.add(p * self.out_channels + v * S::LANES), *sum);
                }
            }
        }
    }
}
