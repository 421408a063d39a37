//! The convolution, forward and for both gradients.

use super::{CHANNEL_STEP, TAPS};
use crate::kernels::instruction_set::{InstructionSet, Kernel};
use crate::kernels::simd::Simd;

/// Input channels of a register tile of the weights' gradient.
const TILE_INPUTS: usize = 8;

/// Convolves `input`, `[rows + 2][columns + 2][in_channels]`, with `weights`, `[9 taps][in_channels][out_channels]`, to
/// `output`, `[rows][columns][out_channels]`, where `channels` is (input, output) and output channels are a multiple of 16.
///
/// # Panics
/// When a slice's length does not fit.
pub fn convolve_valid(
    weights: &[f32],
    channels: (usize, usize),
    input: &[f32],
    size: (usize, usize),
    output: &mut [f32],
) {
    let set = InstructionSet::best().min(InstructionSet::Avx512);
    convolve_on(set, weights, channels, input, size, output);
}

/// The same on an instruction set that is available.
fn convolve_on(
    set: InstructionSet,
    weights: &[f32],
    (in_channels, out_channels): (usize, usize),
    input: &[f32],
    (rows, columns): (usize, usize),
    output: &mut [f32],
) {
    assert_eq!(out_channels % CHANNEL_STEP, 0);
    assert_eq!(weights.len(), TAPS * in_channels * out_channels);
    assert_eq!(input.len(), (rows + 2) * (columns + 2) * in_channels);
    assert_eq!(output.len(), rows * columns * out_channels);
    let task = Convolve {
        weights: weights.as_ptr(),
        channels: (in_channels, out_channels),
        input: input.as_ptr(),
        size: (rows, columns),
        output: output.as_mut_ptr(),
    };
    // SAFETY: the set is available, and the lengths were checked.
    unsafe { set.run(task) };
}

struct Convolve {
    weights: *const f32,
    channels: (usize, usize),
    input: *const f32,
    size: (usize, usize),
    output: *mut f32,
}

impl Kernel for Convolve {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let out_channels = self.channels.1;
        let wide = if S::PAIRS { 2 * S::LANES } else { S::LANES };
        let (rows, columns) = self.size;
        let mut channel = 0;
        while channel < out_channels {
            for row in 0..rows {
                let mut column = 0;
                macro_rules! tiles {
                    ($vectors:literal: $($pixels:literal),*) => {$(
                        if $pixels <= S::TILE_PIXELS {
                            while columns - column >= $pixels {
                                // SAFETY: these pixels and channels lie inside the plane.
                                unsafe { self.tile::<S, $pixels, $vectors>(row, column, channel) };
                                column += $pixels;
                            }
                        }
                    )*};
                }
                if S::PAIRS && out_channels - channel >= wide {
                    tiles!(2: 12, 6, 4, 2, 1);
                } else {
                    tiles!(1: 12, 6, 4, 2, 1);
                }
            }
            channel += if S::PAIRS && out_channels - channel >= wide {
                wide
            } else {
                S::LANES
            };
        }
    }
}

impl Convolve {
    #[inline(always)]
    unsafe fn tile<S: Simd, const PIXELS: usize, const VECTORS: usize>(
        &self,
        row: usize,
        column: usize,
        channel: usize,
    ) {
        let (in_channels, out_channels) = self.channels;
        let row_values = (self.size.1 + 2) * in_channels;
        // SAFETY: the caller's pixels have their nine neighbours in the padded input, and its channels exist.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; PIXELS];
            let mut weights = self.weights.add(channel);
            for kernel_row in 0..3 {
                // Three taps of a row are one run of neighbouring values.
                let mut values = self
                    .input
                    .add((row + kernel_row) * row_values + column * in_channels);
                let end = values.add(3 * in_channels);
                while values < end {
                    let mut vectors = [S::splat(0.0); VECTORS];
                    for (v, vector) in vectors.iter_mut().enumerate() {
                        *vector = S::load(weights.add(v * S::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let value = S::splat(*values.add(p * in_channels));
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = S::fma(value, vector, *sum);
                        }
                    }
                    values = values.add(1);
                    weights = weights.add(out_channels);
                }
            }
            let output = self
                .output
                .add((row * self.size.1 + column) * out_channels + channel);
            for (p, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    S::store(output.add(p * out_channels + v * S::LANES), *sum);
                }
            }
        }
    }
}

/// Writes the weights that turn a gradient of the output into the gradient of the input: `weights` as for
/// [`convolve_valid`] with `channels` (input, output), to `turned`, `[9 taps][out_channels][in_channels]`.
///
/// # Panics
/// When a slice's length does not fit.
pub fn turn_weights(
    weights: &[f32],
    (in_channels, out_channels): (usize, usize),
    turned: &mut [f32],
) {
    assert_eq!(weights.len(), TAPS * in_channels * out_channels);
    assert_eq!(turned.len(), weights.len());
    let table = in_channels * out_channels;
    for tap in 0..TAPS {
        let from = &weights[tap * table..][..table];
        let to = &mut turned[(TAPS - 1 - tap) * table..][..table];
        for (o, row) in to.chunks_exact_mut(in_channels).enumerate() {
            for (i, value) in row.iter_mut().enumerate() {
                *value = from[i * out_channels + o];
            }
        }
    }
}

/// Adds to `sums`, `[9 taps][in_channels][out_channels]`, the gradient of the weights of [`convolve_valid`]: from its
/// `input` and the gradient of its output, `[rows + 4][columns + 4][out_channels]`, whose outer two pixels are not read
/// (they are the zeros that the gradient of the input needs). Input channels are a multiple of 8, output channels of 16.
///
/// # Panics
/// When a slice's length does not fit.
pub fn add_valid_weight_gradient(
    input: &[f32],
    gradient: &[f32],
    channels: (usize, usize),
    size: (usize, usize),
    sums: &mut [f32],
) {
    let set = InstructionSet::best().min(InstructionSet::Avx512);
    add_weight_gradient_on(set, input, gradient, channels, size, sums);
}

/// The same on an instruction set that is available.
fn add_weight_gradient_on(
    set: InstructionSet,
    input: &[f32],
    gradient: &[f32],
    (in_channels, out_channels): (usize, usize),
    (rows, columns): (usize, usize),
    sums: &mut [f32],
) {
    assert_eq!(
        (in_channels % TILE_INPUTS, out_channels % CHANNEL_STEP),
        (0, 0)
    );
    assert_eq!(input.len(), (rows + 2) * (columns + 2) * in_channels);
    assert_eq!(gradient.len(), (rows + 4) * (columns + 4) * out_channels);
    assert_eq!(sums.len(), TAPS * in_channels * out_channels);
    let task = WeightGradient {
        input: input.as_ptr(),
        gradient: gradient.as_ptr(),
        channels: (in_channels, out_channels),
        size: (rows, columns),
        sums: sums.as_mut_ptr(),
    };
    // SAFETY: the set is available, and the lengths were checked.
    unsafe { set.run(task) };
}

struct WeightGradient {
    input: *const f32,
    gradient: *const f32,
    channels: (usize, usize),
    size: (usize, usize),
    sums: *mut f32,
}

impl Kernel for WeightGradient {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (in_channels, out_channels) = self.channels;
        let (rows, columns) = self.size;
        let wide = if S::PAIRS { 2 * S::LANES } else { S::LANES };
        for row in 0..rows {
            for tap in 0..TAPS {
                // SAFETY: the row's pixels lie inside both planes, the channels in the tables.
                unsafe {
                    let input = self
                        .input
                        .add(((row + tap / 3) * (columns + 2) + tap % 3) * in_channels);
                    let gradient = self
                        .gradient
                        .add(((row + 2) * (columns + 4) + 2) * out_channels);
                    let sums = self.sums.add(tap * in_channels * out_channels);
                    for i in (0..in_channels).step_by(TILE_INPUTS) {
                        let (input, sums) = (input.add(i), sums.add(i * out_channels));
                        let mut channel = 0;
                        while channel < out_channels {
                            let (gradient, sums) = (gradient.add(channel), sums.add(channel));
                            if S::PAIRS && out_channels - channel >= wide {
                                self.tile::<S, 2>(input, gradient, sums);
                                channel += wide;
                            } else {
                                self.tile::<S, 1>(input, gradient, sums);
                                channel += S::LANES;
                            }
                        }
                    }
                }
            }
        }
    }
}

impl WeightGradient {
    #[inline(always)]
    unsafe fn tile<S: Simd, const VECTORS: usize>(
        &self,
        input: *const f32,
        gradient: *const f32,
        table: *mut f32,
    ) {
        let (in_channels, out_channels) = self.channels;
        // SAFETY: as the caller guarantees, for each pixel of the row.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; TILE_INPUTS];
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(table.add(i * out_channels + v * S::LANES));
                }
            }
            let (mut input, mut gradient) = (input, gradient);
            for _ in 0..self.size.1 {
                let mut vectors = [S::splat(0.0); VECTORS];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = S::load(gradient.add(v * S::LANES));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let value = S::splat(*input.add(i));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = S::fma(value, vector, *sum);
                    }
                }
                input = input.add(in_channels);
                gradient = gradient.add(out_channels);
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    S::store(table.add(i * out_channels + v * S::LANES), *sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::noise;
    use proptest::prelude::*;

    fn check(what: &str, actual: &[f32], expected: &[f64]) -> Result<(), TestCaseError> {
        for (a, b) in actual.iter().zip(expected) {
            prop_assert!((f64::from(*a) - b).abs() < 1e-3, "{what}: {a} {b}");
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(16), failure_persistence: None, ..ProptestConfig::default() })]
        /// <g, conv(x)> differentiated by x and by the weights, written as sums with explicit indices.
        #[test]
        fn the_convolution_and_its_gradients_agree_with_the_sums(
            in_steps in 1_usize..4,
            out_steps in 1_usize..5,
            rows in 1_usize..7,
            columns in 1_usize..20,
        ) {
            let (ins, outs) = (in_steps * CHANNEL_STEP, out_steps * CHANNEL_STEP);
            let weights = noise(1, TAPS * ins * outs);
            let input = noise(2, (rows + 2) * (columns + 2) * ins);
            let mut gradient = vec![0.0; (rows + 4) * (columns + 4) * outs];
            let values = noise(3, rows * columns * outs);
            for (n, value) in values.iter().enumerate() {
                let (row, column, channel) = (n / outs / columns, n / outs % columns, n % outs);
                gradient[((row + 2) * (columns + 4) + column + 2) * outs + channel] = *value;
            }
            let mut output = vec![0.0_f64; rows * columns * outs];
            let mut back = vec![0.0_f64; input.len()];
            let mut table = vec![1.0_f64; weights.len()];
            for (row, column, tap) in (0..rows * columns * TAPS).map(|n| (n / TAPS / columns, n / TAPS % columns, n % TAPS)) {
                for (i, o) in (0..ins * outs).map(|n| (n / outs, n % outs)) {
                    let from = ((row + tap / 3) * (columns + 2) + column + tap % 3) * ins + i;
                    let (to, weight) = ((row * columns + column) * outs + o, (tap * ins + i) * outs + o);
                    let (x, w, g) = (f64::from(input[from]), f64::from(weights[weight]), f64::from(values[to]));
                    output[to] += x * w;
                    back[from] += g * w;
                    table[weight] += g * x;
                }
            }
            for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
                let set = set.min(InstructionSet::Avx512);
                let mut actual = vec![0.0; output.len()];
                convolve_on(set, &weights, (ins, outs), &input, (rows, columns), &mut actual);
                check(&format!("{set} forward"), &actual, &output)?;
                let mut turned = vec![0.0; weights.len()];
                turn_weights(&weights, (ins, outs), &mut turned);
                let mut actual = vec![0.0; back.len()];
                convolve_on(set, &turned, (outs, ins), &gradient, (rows + 2, columns + 2), &mut actual);
                check(&format!("{set} backward"), &actual, &back)?;
                // What was there before is added to.
                let mut actual = vec![1.0; table.len()];
                add_weight_gradient_on(set, &input, &gradient, (ins, outs), (rows, columns), &mut actual);
                check(&format!("{set} weights"), &actual, &table)?;
            }
        }
    }
}
