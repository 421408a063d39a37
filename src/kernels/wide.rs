//! 3×3 convolution of many channels (64 … 512, as in VGG) over planar tensors, zero padding, stride 1.
//!
//! The input of a tile is copied once into blocks of 64 channels, `[block][row][column][64]`, padded; then the register
//! tile of the direct convolution (12 pixels × 32 output channels in AVX-512) runs over one block after the other, its
//! sums resting in a tile-sized buffer in between. So the distance between pixels is a constant 256 bytes whatever the
//! channel count, and the weights of one block, kernel row and 32 outputs (24 KB) stay in the first-level cache for the
//! whole tile.
//!
//! With frozen weights the gradient with respect to the input is such a convolution too, with the kernel turned by 180°
//! and its channels exchanged: [`WideWeights::turned`].

use super::aligned::AlignedBuffer;
use super::instruction_set::{InstructionSet, Kernel};
use super::simd::Simd;
use rayon::prelude::*;
use std::cell::RefCell;

/// Input channels of a block.
const BLOCK: usize = 64;
/// Output channels that are summed together.
const GROUP: usize = 32;
const TAPS: usize = 9;
/// Output pixels of a tile: rows and columns.
const TILE_ROWS: usize = 16;
const TILE_COLUMNS: usize = 48;

/// Packed weights of a 3×3 convolution.
pub struct WideWeights {
    out_channels: usize,
    in_channels: usize,
    /// `[group of outputs][block of inputs][tap][input of the block][output of the group]`; missing channels are zero.
    packed: AlignedBuffer,
    /// One per output channel of all groups.
    bias: Vec<f32>,
    set: InstructionSet,
}

thread_local! {
    /// Patch and sums of the tile that a thread works on.
    static SCRATCH: RefCell<(AlignedBuffer, AlignedBuffer)> = RefCell::default();
}

impl WideWeights {
    /// Packs `weight`, `[out_channels][in_channels][3][3]`, and a `bias` of `out_channels` values or none.
    ///
    /// # Panics
    /// When a slice's length does not fit.
    #[must_use]
    pub fn new(
        out_channels: usize,
        in_channels: usize,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        assert_eq!(weight.len(), out_channels * in_channels * TAPS);
        let at = |o: usize, i: usize, tap: usize| weight[(o * in_channels + i) * TAPS + tap];
        Self::pack(out_channels, in_channels, at, bias)
    }

    /// Packs the weights that turn a gradient of the output into the gradient of the input: `weight` as for
    /// [`WideWeights::new`], of which the output channels become inputs.
    ///
    /// # Panics
    /// When the slice's length does not fit.
    #[must_use]
    pub fn turned(out_channels: usize, in_channels: usize, weight: &[f32]) -> Self {
        assert_eq!(weight.len(), out_channels * in_channels * TAPS);
        let at =
            |i: usize, o: usize, tap: usize| weight[(o * in_channels + i) * TAPS + TAPS - 1 - tap];
        Self::pack(in_channels, out_channels, at, None)
    }

    fn pack(
        out_channels: usize,
        in_channels: usize,
        weight: impl Fn(usize, usize, usize) -> f32,
        bias: Option<&[f32]>,
    ) -> Self {
        let (groups, blocks) = (out_channels.div_ceil(GROUP), in_channels.div_ceil(BLOCK));
        let mut packed = vec![0.0; groups * blocks * TAPS * BLOCK * GROUP];
        for o in 0..out_channels {
            for i in 0..in_channels {
                for tap in 0..TAPS {
                    let step = ((o / GROUP * blocks + i / BLOCK) * TAPS + tap) * BLOCK + i % BLOCK;
                    packed[step * GROUP + o % GROUP] = weight(o, i, tap);
                }
            }
        }
        let mut padded_bias = vec![0.0; groups * GROUP];
        if let Some(bias) = bias {
            padded_bias[..out_channels].copy_from_slice(bias);
        }
        let set = InstructionSet::best().min(InstructionSet::Avx512);
        Self {
            out_channels,
            in_channels,
            packed: AlignedBuffer::from_f32(&packed),
            bias: padded_bias,
            set,
        }
    }

    /// The same weights on another instruction set, for tests and benchmarks; the set must be available.
    #[must_use]
    pub fn on(mut self, set: InstructionSet) -> Self {
        assert!(set.is_available(), "this processor has no {set}");
        self.set = set.min(InstructionSet::Avx512);
        self
    }

    /// Output channels.
    #[must_use]
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Input channels.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Convolves one picture, `input` `[in_channels][height][width]`, to `output` `[out_channels][height][width]`, on
    /// rayon's threads.
    ///
    /// # Panics
    /// When a slice's length does not fit.
    pub fn convolve(&self, input: &[f32], (height, width): (usize, usize), output: &mut [f32]) {
        assert_eq!(input.len(), self.in_channels * height * width);
        assert_eq!(output.len(), self.out_channels * height * width);
        let across = width.div_ceil(TILE_COLUMNS);
        let tiles = across * height.div_ceil(TILE_ROWS);
        let groups = self.out_channels.div_ceil(GROUP);
        // Small planes are shared out by output channels too.
        let parts = (32 / tiles.max(1)).clamp(1, groups);
        let output = OutputPointer(output.as_mut_ptr());
        (0..tiles * parts).into_par_iter().for_each(|task| {
            let (tile, part) = (task % tiles, task / tiles);
            SCRATCH.with_borrow_mut(|(patch, sums)| {
                let blocks = self.in_channels.div_ceil(BLOCK);
                patch.reserve(blocks * (TILE_ROWS + 2) * (TILE_COLUMNS + 2) * BLOCK * 4);
                sums.reserve(TILE_ROWS * TILE_COLUMNS * GROUP * 4);
                let job = WideTile {
                    weights: self,
                    input,
                    output,
                    size: (height, width),
                    top: tile / across * TILE_ROWS,
                    left: tile % across * TILE_COLUMNS,
                    groups: (part * groups / parts, (part + 1) * groups / parts),
                    patch: patch.as_mut_ptr(),
                    sums: sums.as_mut_ptr(),
                };
                // SAFETY: the set is available; tasks write disjoint tiles or channels of the output.
                unsafe { self.set.run(job) };
            });
        });
    }
}

/// The output, of which each task writes its own part.
#[derive(Clone, Copy)]
struct OutputPointer(*mut f32);
// SAFETY: tasks write disjoint parts, and the borrow it came from outlives them.
unsafe impl Send for OutputPointer {}
// SAFETY: as above.
unsafe impl Sync for OutputPointer {}

/// One tile of some groups of output channels.
struct WideTile<'a> {
    weights: &'a WideWeights,
    input: &'a [f32],
    output: OutputPointer,
    size: (usize, usize),
    top: usize,
    left: usize,
    groups: (usize, usize),
    patch: *mut f32,
    sums: *mut f32,
}

impl Kernel for WideTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (height, width) = self.size;
        let (rows, columns) = (
            TILE_ROWS.min(height - self.top),
            TILE_COLUMNS.min(width - self.left),
        );
        let blocks = self.weights.in_channels.div_ceil(BLOCK);
        // SAFETY: patch and sums were sized for the largest tile; weights hold every group and block; the tile lies in
        // the output.
        unsafe {
            self.fill::<S>(rows, columns);
            for group in self.groups.0..self.groups.1 {
                for pixel in 0..rows * columns {
                    let bias = self.weights.bias.as_ptr().add(group * GROUP);
                    std::ptr::copy_nonoverlapping(bias, self.sums.add(pixel * GROUP), GROUP);
                }
                for block in 0..blocks {
                    let weights = self.weights.packed.as_ptr::<f32>();
                    let weights = weights.add((group * blocks + block) * TAPS * BLOCK * GROUP);
                    let patch = self.patch.add(block * (rows + 2) * (columns + 2) * BLOCK);
                    // The last block may be partly empty (three channels of a picture).
                    let channels = (self.weights.in_channels - block * BLOCK).min(BLOCK);
                    for (kernel_row, row) in (0..3 * rows).map(|step| (step / rows, step % rows)) {
                        let patch = patch.add((row + kernel_row) * (columns + 2) * BLOCK);
                        let weights = weights.add(kernel_row * 3 * BLOCK * GROUP);
                        let sums = self.sums.add(row * columns * GROUP);
                        for part in (0..GROUP).step_by(S::LANES * if S::PAIRS { 2 } else { 1 }) {
                            let (weights, sums) = (weights.add(part), sums.add(part));
                            if S::PAIRS {
                                row_of::<S, 2>(patch, columns, channels, weights, sums);
                            } else {
                                row_of::<S, 1>(patch, columns, channels, weights, sums);
                            }
                        }
                    }
                }
                self.store::<S>(group, rows, columns);
            }
        }
    }
}

impl WideTile<'_> {
    /// Copies the tile's input, with one pixel around it (zero outside), to `[block][row][column][64]`.
    #[inline(always)]
    unsafe fn fill<S: Simd>(&self, rows: usize, columns: usize) {
        let (height, width) = self.size;
        let (patch_rows, patch_columns) = (rows + 2, columns + 2);
        let (channels, plane) = (self.weights.in_channels, height * width);
        // Patch columns that lie inside the picture.
        let inner = usize::from(self.left == 0)..patch_columns.min(width + 1 - self.left);
        for first in (0..channels).step_by(S::LANES) {
            let some = (channels - first).min(S::LANES);
            for row in 0..patch_rows {
                // SAFETY: as for `run`.
                unsafe {
                    let offset =
                        (first / BLOCK * patch_rows + row) * patch_columns * BLOCK + first % BLOCK;
                    let out = self.patch.add(offset);
                    if !(1..=height).contains(&(self.top + row)) {
                        (0..patch_columns)
                            .for_each(|column| out.add(column * BLOCK).write_bytes(0, some));
                        continue;
                    }
                    for column in (0..inner.start).chain(inner.end..patch_columns) {
                        out.add(column * BLOCK).write_bytes(0, some);
                    }
                    let start =
                        first * plane + (self.top + row - 1) * width + self.left + inner.start - 1;
                    let input = self.input.as_ptr().add(start);
                    let out = out.add(inner.start * BLOCK);
                    let mut done = 0;
                    while some == S::LANES && inner.len() - done >= S::LANES {
                        S::transpose(input.add(done), plane, out.add(done * BLOCK), BLOCK);
                        done += S::LANES;
                    }
                    for channel in 0..some {
                        for column in done..inner.len() {
                            *out.add(column * BLOCK + channel) =
                                *input.add(channel * plane + column);
                        }
                    }
                }
            }
        }
    }

    /// Copies the sums of one group to the output planes.
    #[inline(always)]
    unsafe fn store<S: Simd>(&self, group: usize, rows: usize, columns: usize) {
        let (height, width) = self.size;
        let plane = height * width;
        let channels = (self.weights.out_channels - group * GROUP).min(GROUP);
        for row in 0..rows {
            for first in (0..channels).step_by(S::LANES) {
                let some = (channels - first).min(S::LANES);
                // SAFETY: as for `run`.
                unsafe {
                    let sums = self.sums.add(row * columns * GROUP + first);
                    let start =
                        (group * GROUP + first) * plane + (self.top + row) * width + self.left;
                    let out = self.output.0.add(start);
                    let mut done = 0;
                    while some == S::LANES && columns - done >= S::LANES {
                        S::transpose(sums.add(done * GROUP), GROUP, out.add(done), plane);
                        done += S::LANES;
                    }
                    for channel in 0..some {
                        for column in done..columns {
                            *out.add(channel * plane + column) =
                                *sums.add(column * GROUP + channel);
                        }
                    }
                }
            }
        }
    }
}

/// Adds one block's products with one kernel row to a row of sums, `[column][32]`.
#[inline(always)]
unsafe fn row_of<S: Simd, const VECTORS: usize>(
    patch: *const f32,
    columns: usize,
    channels: usize,
    weights: *const f32,
    sums: *mut f32,
) {
    let mut done = 0;
    macro_rules! tiles {
        ($($pixels:literal),*) => {$(
            if $pixels <= S::TILE_PIXELS {
                while columns - done >= $pixels {
                    // SAFETY: `done + $pixels` pixels lie inside the row.
                    unsafe {
                        let (patch, sums) = (patch.add(done * BLOCK), sums.add(done * GROUP));
                        tile_of::<S, VECTORS, $pixels>(patch, channels, weights, sums);
                    }
                    done += $pixels;
                }
            }
        )*};
    }
    tiles!(12, 8, 6, 4, 2, 1);
}

#[inline(always)]
unsafe fn tile_of<S: Simd, const VECTORS: usize, const PIXELS: usize>(
    patch: *const f32,
    channels: usize,
    weights: *const f32,
    out: *mut f32,
) {
    // SAFETY: three taps of each pixel lie inside the patch row; the weights hold them.
    unsafe {
        let mut sums = [[S::splat(0.0); VECTORS]; PIXELS];
        for (p, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(out.add(p * GROUP + v * S::LANES));
            }
        }
        for tap in 0..3 {
            let mut values = patch.add(tap * BLOCK);
            let mut weights = weights.add(tap * BLOCK * GROUP);
            let end = values.add(channels);
            while values < end {
                let mut vectors = [S::splat(0.0); VECTORS];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = S::load(weights.add(v * S::LANES));
                }
                for (p, sums) in sums.iter_mut().enumerate() {
                    let value = S::splat(*values.add(p * BLOCK));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = S::fma(value, vector, *sum);
                    }
                }
                values = values.add(1);
                weights = weights.add(GROUP);
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                S::store(out.add(p * GROUP + v * S::LANES), *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::noise;
    use proptest::prelude::*;

    /// Zero-padded 3×3 convolution in `f64`.
    fn reference(
        (out_channels, in_channels): (usize, usize),
        weight: &[f32],
        bias: &[f32],
        input: &[f32],
        (height, width): (usize, usize),
    ) -> Vec<f64> {
        let mut output = Vec::new();
        for (o, y, x) in (0..out_channels * height * width)
            .map(|n| (n / width / height, n / width % height, n % width))
        {
            let mut sum = f64::from(bias[o]);
            for (i, tap) in (0..in_channels * 9).map(|n| (n / 9, n % 9)) {
                let (row, column) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                if row < height && column < width {
                    let value = input[(i * height + row) * width + column];
                    sum += f64::from(weight[(o * in_channels + i) * 9 + tap]) * f64::from(value);
                }
            }
            output.push(sum);
        }
        output
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn forward_and_backward_agree_with_the_reference(
            out_channels in 1_usize..70,
            in_channels in 1_usize..140,
            height in 1_usize..20,
            width in 1_usize..60,
        ) {
            let (size, plane) = ((height, width), height * width);
            let weight = noise(1, out_channels * in_channels * 9);
            let (bias, input) = (noise(2, out_channels), noise(3, in_channels * plane));
            let expected = reference((out_channels, in_channels), &weight, &bias, &input, size);
            // The gradient: <dy, conv(x)> differentiated by x, written as a convolution with explicit indices.
            let gradient = noise(4, out_channels * plane);
            let mut turned = vec![0.0; weight.len()];
            for (o, i, tap) in (0..weight.len()).map(|n| (n / 9 / in_channels, n / 9 % in_channels, n % 9)) {
                turned[(i * out_channels + o) * 9 + 8 - tap] = weight[(o * in_channels + i) * 9 + tap];
            }
            let expected_gradient =
                reference((in_channels, out_channels), &turned, &vec![0.0; in_channels], &gradient, size);
            for set in [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512] {
                if !set.is_available() {
                    continue;
                }
                let mut output = vec![0.0; out_channels * plane];
                WideWeights::new(out_channels, in_channels, &weight, Some(&bias)).on(set).convolve(&input, size, &mut output);
                for (a, b) in output.iter().zip(&expected) {
                    prop_assert!((f64::from(*a) - b).abs() < 1e-3, "{set} forward: {a} {b}");
                }
                let mut output = vec![0.0; in_channels * plane];
                WideWeights::turned(out_channels, in_channels, &weight).on(set).convolve(&gradient, size, &mut output);
                for (a, b) in output.iter().zip(&expected_gradient) {
                    prop_assert!((f64::from(*a) - b).abs() < 1e-3, "{set} backward: {a} {b}");
                }
            }
        }
    }
}
