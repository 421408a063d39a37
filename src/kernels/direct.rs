//! Direct convolution on packed weights.
//!
//! A patch is `[row][column][channel]`, so one output pixel reads `kernel` runs of `kernel * channels` neighbouring
//! values. A register tile holds some pixels times some vectors of output channels; each step multiplies one vector
//! of packed weights with one broadcast input word per pixel. 12 pixels × 32 channels in AVX-512: 24 independent
//! sums, 14 loads for 24 multiply-adds, no shuffles. The same loop serves 9×9 over three channels (runs of 27), 3×3
//! over 32 (runs of 96), both strides, the four phases of a folded upsampling as extra output channels, and every
//! [`Format`]: only the number of values in a word differs.

use super::aligned::AlignedBuffer;
use super::convolution::RowConvolution;
use super::format::Format;
use super::instruction_set::InstructionSet;
use super::network::ConvolutionWeights;
use super::simd::Simd;
use std::marker::PhantomData;

/// Weights of one convolution, packed for one instruction set.
pub(crate) struct DirectConvolution<D> {
    /// Its rows.
    kernel: usize,
    /// Of all pixels that are made at once.
    out_channels: usize,
    /// Neighbouring pixels that fill a vector together where one has too few channels.
    pixels_at_once: usize,
    /// Bytes from one output pixel's input to the next one's.
    step: usize,
    /// Words of one kernel row: its values, the last word filled up with zero weights.
    words: usize,
    /// `[group][kernel row][word][channel of the group]`.
    packed: AlignedBuffer,
    /// Channels of a group: what the register tile is wide.
    group: usize,
    /// What whole sums are multiplied by and what is then added, per output channel; for quantised formats only.
    rescale: Vec<f32>,
    shift: Vec<f32>,
    format: PhantomData<D>,
}

impl<D: Format> DirectConvolution<D> {
    /// Packs `weights`, whose output channels must divide 16 or be a multiple of it.
    pub(crate) fn new(weights: &ConvolutionWeights, stride: usize, set: InstructionSet) -> Self {
        Self::with_columns(weights, weights.kernel_size, stride, set)
    }

    /// The same for a kernel that has so many columns, `[out_channels][in_channels][kernel_size][columns]`.
    pub(crate) fn with_columns(
        weights: &ConvolutionWeights,
        columns: usize,
        stride: usize,
        set: InstructionSet,
    ) -> Self {
        let ConvolutionWeights {
            out_channels: channels,
            in_channels,
            kernel_size: kernel,
            ref weight,
        } = *weights;
        let pixels_at_once = (16 / channels).max(1);
        let out_channels = channels * pixels_at_once;
        debug_assert_eq!(out_channels % 16, 0);
        let group = match set {
            InstructionSet::Portable | InstructionSet::Neon => 8,
            InstructionSet::Avx2 => 16,
            _ if out_channels % 32 == 0 => 32,
            _ => 16,
        };
        // Pixels further right see the same run, as much later as they are apart.
        let reach = columns + (pixels_at_once - 1) * stride;
        let (run, per_word) = (reach * in_channels, 4 / D::BYTES);
        let words = run.div_ceil(per_word);
        let mut packed = vec![0_u8; out_channels * kernel * words * 4];
        for o in 0..out_channels {
            for y in 0..kernel {
                for value in 0..run {
                    let (x, i) = (value / in_channels, value % in_channels);
                    let Some(x) = x
                        .checked_sub(o / channels * stride)
                        .filter(|x| *x < columns)
                    else {
                        continue;
                    };
                    let word =
                        ((o / group * kernel + y) * words + value / per_word) * group + o % group;
                    let at = word * 4 + value % per_word * D::BYTES;
                    let bytes = D::weight(
                        weight[((o % channels * in_channels + i) * kernel + y) * columns + x],
                    );
                    packed[at..at + D::BYTES].copy_from_slice(&bytes[..D::BYTES]);
                }
            }
        }
        Self {
            kernel,
            out_channels,
            pixels_at_once,
            step: pixels_at_once * stride * in_channels * D::BYTES,
            words,
            packed: AlignedBuffer::from_bytes(&packed),
            group,
            rescale: vec![1.0; out_channels],
            shift: vec![0.0; out_channels],
            format: PhantomData,
        }
    }

    /// What whole sums are multiplied by and what is then added, one each per output channel.
    pub(crate) fn rescaled(self, rescale: Vec<f32>, shift: Vec<f32>) -> Self {
        debug_assert_eq!(rescale.len() * self.pixels_at_once, self.out_channels);
        debug_assert_eq!(shift.len(), rescale.len());
        Self {
            rescale: rescale.repeat(self.pixels_at_once),
            shift: shift.repeat(self.pixels_at_once),
            ..self
        }
    }

    /// A row of raw outputs, as [`RowConvolution::row`] makes it, where `STEP` is the step between pixels in bytes: a constant
    /// lets the compiler address all pixels of a tile from one register.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub(crate) unsafe fn groups<S: Simd, const STEP: usize>(
        &self,
        input: *const u8,
        row_bytes: usize,
        pixels: usize,
        out: *mut f32,
    ) {
        let size = self.kernel * self.words * self.group;
        for group in 0..self.out_channels / self.group {
            // SAFETY: each group has `size` packed words, and `group` channels of every output pixel.
            unsafe {
                let weights = self.packed.as_ptr::<f32>().add(group * size);
                let out = out.add(group * self.group);
                if S::PAIRS && self.group == 2 * S::LANES {
                    self.pixels::<S, STEP, 2>(input, row_bytes, pixels, weights, out, group);
                } else {
                    self.pixels::<S, STEP, 1>(input, row_bytes, pixels, weights, out, group);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd, const STEP: usize, const VECTORS: usize>(
        &self,
        input: *const u8,
        row_bytes: usize,
        pixels: usize,
        weights: *const f32,
        out: *mut f32,
        group: usize,
    ) {
        let mut done = 0;
        macro_rules! tiles {
            ($($pixels:literal),*) => {$(
                if $pixels <= S::TILE_PIXELS {
                    while pixels - done >= $pixels {
                        // SAFETY: `done + $pixels` pixels lie inside the row.
                        unsafe {
                            let (input, out) = (input.add(done * STEP), out.add(done * self.out_channels));
                            self.tile::<S, STEP, VECTORS, $pixels>(input, row_bytes, weights, out, group);
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
        input: *const u8,
        row_bytes: usize,
        weights: *const f32,
        out: *mut f32,
        group: usize,
    ) {
        // SAFETY: the kernel's rows and runs lie inside the patch and its slack, and the weights hold all steps.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; PIXELS];
            let mut weights = weights;
            for kernel_row in 0..self.kernel {
                let mut values = input.add(kernel_row * row_bytes);
                let end = values.add(self.words * 4);
                while values < end {
                    let mut vectors = [S::splat(0.0); VECTORS];
                    for (v, vector) in vectors.iter_mut().enumerate() {
                        *vector = S::load(weights.add(v * S::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let value = S::splat(values.add(p * STEP).cast::<f32>().read_unaligned());
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = D::dot::<S>(value, vector, *sum);
                        }
                    }
                    values = values.add(4);
                    weights = weights.add(VECTORS * S::LANES);
                }
            }
            // Loops so short that the compiler unrolls them: else the sums would be kept in memory all along.
            let mut rescale = [(S::splat(0.0), S::splat(0.0)); VECTORS];
            if D::QUANTISED {
                for (v, rescale) in rescale.iter_mut().enumerate() {
                    let channel = group * self.group + v * S::LANES;
                    rescale.0 = S::load(self.rescale.as_ptr().add(channel));
                    rescale.1 = S::load(self.shift.as_ptr().add(channel));
                }
            }
            for (p, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let value = if D::QUANTISED {
                        S::fma(S::from_whole(*sum), rescale[v].0, rescale[v].1)
                    } else {
                        *sum
                    };
                    S::store(out.add(p * self.out_channels + v * S::LANES), value);
                }
            }
        }
    }
}

impl<D: Format> RowConvolution for DirectConvolution<D> {
    type Format = D;
    const OVERRUNS: bool = false;
    const ROWS: usize = 1;

    fn out_channels(&self) -> usize {
        self.out_channels
    }

    fn pixels_at_once(&self) -> usize {
        self.pixels_at_once
    }

    #[inline(always)]
    unsafe fn row<S: Simd>(
        &self,
        input: *const u8,
        row_values: usize,
        pixels: usize,
        out: *mut f32,
        _out_stride: usize,
        _work: *mut f32,
    ) {
        let row_bytes = row_values * D::BYTES;
        // SAFETY: as the caller guarantees.
        unsafe {
            macro_rules! steps {
                ($($step:literal),*) => {
                    match self.step {
                        $($step => self.groups::<S, $step>(input, row_bytes, pixels, out),)*
                        _ => unreachable!("no layer has this step"),
                    }
                };
            }
            if D::BYTES == 4 {
                steps!(24, 32, 64, 128, 256);
            } else if D::BYTES == 2 {
                steps!(12, 16, 32, 64, 128);
            } else {
                steps!(3, 6, 8, 16, 32, 48, 64);
            }
        }
    }
}
