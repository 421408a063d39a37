//! 3×3 convolution of many channels (64 … 512, as in VGG) over planar tensors, zero padding, stride 1, by Winograd's
//! F(4×4, 3×3) (Lavin and Gray 2016): 36 products in place of 144.
//!
//! A task makes up to 64 pieces of 4×4 outputs. It copies its input once into blocks of 64 channels, padded, and
//! transforms every piece; then, for 32 output channels and one block after the other, it transforms the weights and
//! multiplies. Transformed weights would take four times the room of the weights (160 MB for VGG-16 to conv5_1, and as
//! much for its gradient) and would have to come from main memory each time; made for 64 pieces at once, in the
//! second-level cache, they cost 4 % of the arithmetic and nothing is stored. In each of the 36 products, weights,
//! pieces and sums (32 KB together) lie in the first-level cache, and the register tile is that of the direct
//! convolution: 12 pieces × 32 output channels in AVX-512.
//!
//! With frozen weights the gradient with respect to the input is such a convolution too, with the kernel turned by 180°
//! and its channels exchanged: [`WideWeights::turned`].

mod product;
mod region;
mod weight_gradient;

use super::aligned::AlignedBuffer;
use super::instruction_set::{InstructionSet, Kernel};
use super::simd::Simd;
use super::winograd::PIECE;
use product::{PIECES, Room};
use rayon::prelude::*;
use region::{BLOCK, GROUP, Region};
use std::cell::RefCell;

pub use weight_gradient::add_weight_gradient;

const TAPS: usize = 9;
/// Columns of the largest region: 16 pieces, of which 4 rows make [`PIECES`].
const REGION_COLUMNS: usize = 64;

/// Packed weights of a 3×3 convolution.
pub struct WideWeights {
    out_channels: usize,
    in_channels: usize,
    /// `[group of outputs][block of inputs][tap][input of the block][output of the group]`; missing channels are zero.
    packed: AlignedBuffer,
    /// One per output channel of all groups.
    bias: Vec<f32>,
    relu: bool,
    set: InstructionSet,
}

thread_local! {
    /// Where a thread's task works.
    static ROOM: RefCell<AlignedBuffer> = RefCell::default();
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
            relu: false,
            set,
        }
    }

    /// The same weights with ReLU after the convolution.
    #[must_use]
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
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
    pub fn convolve(&self, input: &[f32], size: (usize, usize), output: &mut [f32]) {
        self.share_out(input, std::ptr::null(), size, output);
    }

    /// The same for an input of which only values pass where `gate`, of the same shape, is positive: with
    /// [`WideWeights::turned`] and the output of a ReLU as the gate, the gradient through both.
    ///
    /// # Panics
    /// When a slice's length does not fit.
    pub fn convolve_gated(
        &self,
        input: &[f32],
        gate: &[f32],
        size: (usize, usize),
        output: &mut [f32],
    ) {
        assert_eq!(gate.len(), input.len());
        self.share_out(input, gate.as_ptr(), size, output);
    }

    fn share_out(
        &self,
        input: &[f32],
        gate: *const f32,
        (height, width): (usize, usize),
        output: &mut [f32],
    ) {
        assert_eq!(input.len(), self.in_channels * height * width);
        assert_eq!(output.len(), self.out_channels * height * width);
        if output.is_empty() {
            return;
        }
        let columns = width
            .div_ceil(width.div_ceil(REGION_COLUMNS))
            .next_multiple_of(4 * PIECE)
            .min(width.next_multiple_of(PIECE));
        let rows = (PIECES * PIECE / columns * PIECE).min(height.next_multiple_of(PIECE));
        let across = width.div_ceil(columns);
        let regions = across * height.div_ceil(rows);
        let groups = self.out_channels.div_ceil(GROUP);
        // Small planes are shared out by output channels too.
        let parts = (4 * rayon::current_num_threads())
            .div_ceil(regions)
            .clamp(1, groups);
        let (gate, output) = (Pointer(gate.cast_mut()), Pointer(output.as_mut_ptr()));
        (0..regions * parts).into_par_iter().for_each(|task| {
            let (index, part) = (task % regions, task / regions);
            let (top, left) = (index / across * rows, index % across * columns);
            let region = Region {
                size: (height, width),
                top,
                left,
                rows: rows.min((height - top).next_multiple_of(PIECE)),
                columns: columns.min((width - left).next_multiple_of(PIECE)),
            };
            ROOM.with_borrow_mut(|memory| {
                let task = Task {
                    weights: self,
                    input,
                    gate,
                    output,
                    region,
                    groups: (part * groups / parts, (part + 1) * groups / parts),
                    room: Room::new(memory, region, self.in_channels),
                };
                // SAFETY: the set is available; tasks write disjoint regions or channels of the output.
                unsafe { self.set.run(task) };
            });
        });
    }
}

/// A tensor that tasks share: one that is only read (or null), or the output, of which each writes its own part.
#[derive(Clone, Copy)]
struct Pointer(*mut f32);
// SAFETY: the others are only read, tasks write disjoint parts of the output, and the borrows outlive them.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

/// One region of some groups of output channels.
struct Task<'a> {
    weights: &'a WideWeights,
    input: &'a [f32],
    gate: Pointer,
    output: Pointer,
    region: Region,
    groups: (usize, usize),
    room: Room,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (weights, room) = (self.weights, &self.room);
        let plane = self.region.size.0 * self.region.size.1;
        let blocks = weights.in_channels.div_ceil(BLOCK);
        let channels_of = |block: usize| (weights.in_channels - block * BLOCK).min(BLOCK);
        // SAFETY: the room was made for this region; weights hold every group and block; the region lies in the output.
        unsafe {
            for block in 0..blocks {
                let planes = block * BLOCK * plane;
                let input = self.input.as_ptr().add(planes);
                let gate = self
                    .gate
                    .0
                    .wrapping_add(if self.gate.0.is_null() { 0 } else { planes });
                self.region
                    .fill::<S>(input, gate, channels_of(block), room.patch);
                room.spread::<S>(block, channels_of(block));
            }
            for group in self.groups.0..self.groups.1 {
                for block in 0..blocks {
                    let packed = weights.packed.as_ptr::<f32>();
                    let packed = packed.add((group * blocks + block) * TAPS * BLOCK * GROUP);
                    room.transform_weights::<S>(packed, channels_of(block));
                    room.multiply::<S>(block, channels_of(block));
                }
                let bias = weights.bias.as_ptr().add(group * GROUP);
                let output = self.output.0.add(group * GROUP * plane);
                let channels = (weights.out_channels - group * GROUP).min(GROUP);
                room.gather::<S>(bias, weights.relu, channels, output);
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

    fn agree(what: &str, actual: &[f32], expected: &[f64]) -> Result<(), TestCaseError> {
        // Rounding of `f32` against the largest value.
        let largest = expected
            .iter()
            .fold(1e-3, |most: f64, value| most.max(value.abs()));
        for (a, b) in actual.iter().zip(expected) {
            let error = (f64::from(*a) - b).abs() / largest;
            prop_assert!(
                error < 5e-5,
                "{what}: {a} {b}, of the largest value {error:e}"
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(24), failure_persistence: None, ..ProptestConfig::default() })]
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
            let rectified: Vec<f64> = expected.iter().map(|value| value.max(0.0)).collect();
            // The gradient: <dy, conv(x)> differentiated by x, written as a convolution with explicit indices.
            let (gradient, gate) = (noise(4, out_channels * plane), noise(5, out_channels * plane));
            let passed: Vec<f32> =
                gradient.iter().zip(&gate).map(|(value, gate)| if *gate > 0.0 { *value } else { 0.0 }).collect();
            let mut turned = vec![0.0; weight.len()];
            for (o, i, tap) in (0..weight.len()).map(|n| (n / 9 / in_channels, n / 9 % in_channels, n % 9)) {
                turned[(i * out_channels + o) * 9 + 8 - tap] = weight[(o * in_channels + i) * 9 + tap];
            }
            let no_bias = vec![0.0; in_channels];
            let [expected_gradient, expected_passed] = [&gradient, &passed]
                .map(|gradient| reference((in_channels, out_channels), &turned, &no_bias, gradient, size));
            for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
                let forward = || WideWeights::new(out_channels, in_channels, &weight, Some(&bias)).on(set);
                let backward = WideWeights::turned(out_channels, in_channels, &weight).on(set);
                let (mut output, mut back) = (vec![0.0; out_channels * plane], vec![0.0; in_channels * plane]);
                forward().convolve(&input, size, &mut output);
                agree(&format!("{set} forward"), &output, &expected)?;
                forward().with_relu().convolve(&input, size, &mut output);
                agree(&format!("{set} forward with ReLU"), &output, &rectified)?;
                backward.convolve(&gradient, size, &mut back);
                agree(&format!("{set} backward"), &back, &expected_gradient)?;
                backward.convolve_gated(&gradient, &gate, size, &mut back);
                agree(&format!("{set} backward through ReLU"), &back, &expected_passed)?;
            }
        }
    }
}
