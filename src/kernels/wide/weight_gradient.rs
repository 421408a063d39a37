//! The gradient of a 3×3 convolution with respect to its weights.
//!
//! For each tap it is a matrix product over all pixels: 64 input channels, moved by the tap, times 64 channels of the
//! output's gradient. Both are copied region by region into blocks of channels, as the convolution's input is; a row of
//! each (16 KB) lies in the first-level cache while the nine taps' products over it are added to their sums. Parts of the
//! plane are summed apart and then in order, so that the result does not depend on which thread was first.

use super::Pointer;
use super::product::product_rows;
use super::region::{BLOCK, Region};
use crate::kernels::aligned::AlignedBuffer;
use crate::kernels::instruction_set::{InstructionSet, Kernel};
use crate::kernels::simd::Simd;
use rayon::prelude::*;

const TAPS: usize = 9;
/// Rows and columns of a region.
const ROWS: usize = 8;
const COLUMNS: usize = 64;

/// Adds to `weight_gradient`, `[out_channels][in_channels][3][3]`, the gradient of the weights of a 3×3 convolution
/// (zero padding 1, stride 1) of one picture, on rayon's threads: from its `input` and the gradient of its output, each
/// `[channels][height][width]` and given with its number of channels.
///
/// # Panics
/// When a slice's length does not fit.
pub fn add_weight_gradient(
    input: (&[f32], usize),
    gradient: (&[f32], usize),
    size: (usize, usize),
    weight_gradient: &mut [f32],
) {
    let set = InstructionSet::best().min(InstructionSet::Avx512);
    add_weight_gradient_on(set, input, gradient, size, weight_gradient);
}

/// The same on an instruction set that is available.
pub(super) fn add_weight_gradient_on(
    set: InstructionSet,
    (input, in_channels): (&[f32], usize),
    (gradient, out_channels): (&[f32], usize),
    (height, width): (usize, usize),
    weight_gradient: &mut [f32],
) {
    assert_eq!(input.len(), in_channels * height * width);
    assert_eq!(gradient.len(), out_channels * height * width);
    assert_eq!(weight_gradient.len(), out_channels * in_channels * TAPS);
    if input.is_empty() || gradient.is_empty() {
        return;
    }
    let (in_blocks, out_blocks) = (in_channels.div_ceil(BLOCK), out_channels.div_ceil(BLOCK));
    let regions = height.div_ceil(ROWS) * width.div_ceil(COLUMNS);
    let parts = (4 * rayon::current_num_threads())
        .div_ceil(in_blocks * out_blocks)
        .clamp(1, regions);
    let (input, gradient) = (
        Pointer(input.as_ptr().cast_mut()),
        Pointer(gradient.as_ptr().cast_mut()),
    );
    let sums: Vec<AlignedBuffer> = (0..out_blocks * in_blocks * parts)
        .into_par_iter()
        .map(|task| {
            let (pair, part) = (task / parts, task % parts);
            let task = Task {
                input,
                gradient,
                channels: (in_channels, out_channels),
                blocks: (pair % in_blocks, pair / in_blocks),
                size: (height, width),
                regions: (part * regions / parts, (part + 1) * regions / parts),
            };
            // SAFETY: the set is available, and both tensors have their lengths.
            unsafe { set.run(task) }
        })
        .collect();
    weight_gradient
        .par_chunks_mut(BLOCK * in_channels * TAPS)
        .enumerate()
        .for_each(|(out_block, rows)| {
            for (o, row) in rows.chunks_exact_mut(in_channels * TAPS).enumerate() {
                for (at, value) in row.iter_mut().enumerate() {
                    let (i, tap) = (at / TAPS, at % TAPS);
                    let pair = out_block * in_blocks + i / BLOCK;
                    let index = (tap * BLOCK + i % BLOCK) * BLOCK + o;
                    for sums in &sums[pair * parts..(pair + 1) * parts] {
                        // SAFETY: each buffer holds nine tables of 64 × 64.
                        *value += unsafe { *sums.as_ptr::<f32>().add(index) };
                    }
                }
            }
        });
}

/// Some regions of a block of input and a block of output channels.
struct Task {
    input: Pointer,
    gradient: Pointer,
    /// Input and output channels.
    channels: (usize, usize),
    /// Which block of each.
    blocks: (usize, usize),
    size: (usize, usize),
    regions: (usize, usize),
}

impl Kernel for Task {
    /// `[tap][input channel][output channel]`.
    type Output = AlignedBuffer;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> AlignedBuffer {
        let (height, width) = self.size;
        let plane = height * width;
        let mut tables = AlignedBuffer::new(TAPS * BLOCK * BLOCK * 4);
        let length = (ROWS + 2) * (COLUMNS + 2) * BLOCK;
        let mut patches = AlignedBuffer::new(2 * length * 4);
        let (input_patch, sums) = (patches.as_mut_ptr::<f32>(), tables.as_mut_ptr::<f32>());
        let gradient_patch = input_patch.wrapping_add(length);
        let some = |channels: usize, block: usize| (channels - block * BLOCK).min(BLOCK);
        let (inputs, outputs) = (
            some(self.channels.0, self.blocks.0),
            some(self.channels.1, self.blocks.1),
        );
        let across = width.div_ceil(COLUMNS);
        for index in self.regions.0..self.regions.1 {
            let (top, left) = (index / across * ROWS, index % across * COLUMNS);
            let region = Region {
                size: self.size,
                top,
                left,
                rows: ROWS.min(height - top),
                columns: COLUMNS.min(width - left),
            };
            let row = (region.columns + 2) * BLOCK;
            // SAFETY: both patches hold the region with a pixel around it, of which the gradient's is left out; channels
            // that a block lacks stay zero.
            unsafe {
                let input = self.input.0.add(self.blocks.0 * BLOCK * plane);
                let gradient = self.gradient.0.add(self.blocks.1 * BLOCK * plane);
                region.fill::<S>(input, std::ptr::null(), inputs, input_patch);
                region.fill::<S>(gradient, std::ptr::null(), outputs, gradient_patch);
                for y in 0..region.rows {
                    let gradient = gradient_patch.add((y + 1) * row + BLOCK);
                    for tap in 0..TAPS {
                        let input = input_patch.add((y + tap / 3) * row + tap % 3 * BLOCK);
                        let sums = sums.add(tap * BLOCK * BLOCK);
                        let shape = (inputs, region.columns);
                        for part in (0..outputs).step_by(S::LANES * if S::PAIRS { 2 } else { 1 }) {
                            let (gradient, sums) = (gradient.add(part), sums.add(part));
                            if S::PAIRS {
                                product_rows::<S, 2, 1, BLOCK, BLOCK>(
                                    input, shape, gradient, sums, false,
                                );
                            } else {
                                product_rows::<S, 1, 1, BLOCK, BLOCK>(
                                    input, shape, gradient, sums, false,
                                );
                            }
                        }
                    }
                }
            }
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::noise;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(12), failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn agrees_with_the_sum_over_all_pixels(
            out_channels in 1_usize..70,
            in_channels in 1_usize..70,
            height in 1_usize..20,
            width in 1_usize..70,
        ) {
            let plane = height * width;
            let (input, gradient) = (noise(1, in_channels * plane), noise(2, out_channels * plane));
            let mut expected = Vec::new();
            for (o, i, tap) in (0..out_channels * in_channels * 9).map(|n| (n / 9 / in_channels, n / 9 % in_channels, n % 9)) {
                let mut sum = 1.0;
                for (y, x) in (0..plane).map(|n| (n / width, n % width)) {
                    let (row, column) = ((y + tap / 3).wrapping_sub(1), (x + tap % 3).wrapping_sub(1));
                    if row < height && column < width {
                        sum += f64::from(gradient[o * plane + y * width + x])
                            * f64::from(input[i * plane + row * width + column]);
                    }
                }
                expected.push(sum);
            }
            for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
                // What was there before is added to.
                let mut actual = vec![1.0; expected.len()];
                let (input, gradient) = ((&*input, in_channels), (&*gradient, out_channels));
                add_weight_gradient_on(set.min(InstructionSet::Avx512), input, gradient, (height, width), &mut actual);
                for (a, b) in actual.iter().zip(&expected) {
                    prop_assert!((f64::from(*a) - b).abs() < 1e-3, "{set}: {a} {b}");
                }
            }
        }
    }
}
