//! Products of the matrix unit against plain sums.

use super::*;
use crate::kernels::convolution::{OVERRUN, SLACK};
use crate::kernels::instruction_set::{InstructionSet, Kernel};
use crate::kernels::reference::noise;
use half::bf16;
use proptest::prelude::*;
use proptest::sample::select;

struct Row<'a> {
    convolution: &'a TileConvolution,
    patch: &'a [bf16],
    row_values: usize,
    units: usize,
    out: &'a mut [f32],
    out_stride: usize,
}

impl Kernel for Row<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (input, out) = (self.patch.as_ptr().cast(), self.out.as_mut_ptr());
        // SAFETY: the patch has the kernel's rows and slack behind them, the outputs too.
        unsafe {
            self.convolution.begin();
            self.convolution.row::<S>(
                input,
                self.row_values,
                self.units,
                (out, self.out_stride),
                &mut (),
            );
            self.convolution.end();
        }
    }
}

proptest! {
    #[test]
    fn rows_agree_with_plain_sums(
        outputs in select(vec![3_usize, 4, 8, 16, 32, 64]),
        inputs in select(vec![3_usize, 4, 8, 16, 32, 48]),
        kernel in select(vec![3_usize, 5, 9]),
        stride in 1_usize..3,
        units in 1_usize..70,
        blocks in any::<bool>(),
        seed in 0_u64..1000,
    ) {
        let stored = outputs.next_power_of_two();
        let blocks = blocks && stored >= 16;
        let few = if blocks { (32 / stored).max(1) } else { (16 / stored).max(1) };
        prop_assume!(kernel * ((kernel + (few - 1) * stride) * inputs).div_ceil(TILE_VALUES) <= STEPS);
        if !InstructionSet::Amx.is_available() {
            return Ok(());
        }
        let weights = ConvolutionWeights {
            out_channels: outputs,
            in_channels: inputs,
            kernel_size: kernel,
            weight: noise(seed, outputs * inputs * kernel * kernel),
        };
        let convolution = TileConvolution::new(&weights, stride, blocks);
        let at_once = convolution.pixels_at_once();
        prop_assert!([16, 32, 64].contains(&(at_once * stored)));
        let pixels = units * at_once;
        let row_values = ((pixels - 1) * stride + kernel) * inputs;
        let mut patch = vec![bf16::ZERO; kernel * row_values + SLACK.max(convolution.columns_at_once() * stride * inputs)];
        for (value, noise) in patch.iter_mut().zip(noise(seed + 1, kernel * row_values)) {
            *value = bf16::from_f32(noise);
        }
        let out_stride = pixels * stored / 2 + OVERRUN;
        let mut out = vec![0.0; pixels * stored + SLACK];
        let row = Row { convolution: &convolution, patch: &patch, row_values, units, out: &mut out, out_stride };
        // SAFETY: the set is available.
        unsafe { InstructionSet::Amx.run(row) };
        for pixel in 0..pixels {
            for o in 0..stored {
                let half = stored / 2;
                let out = if blocks {
                    out[o / half * out_stride + pixel * half + o % half]
                } else {
                    out[pixel * stored + o]
                };
                let mut sum = 0.0_f64;
                for at in 0..if o < outputs { kernel * kernel * inputs } else { 0 } {
                    let (y, x, i) = (at / inputs / kernel, at / inputs % kernel, at % inputs);
                    let weight = weights.weight[((o * inputs + i) * kernel + y) * kernel + x];
                    let value = patch[y * row_values + (pixel * stride + x) * inputs + i];
                    sum += bf16::from_f32(weight).to_f64() * value.to_f64();
                }
                prop_assert!((f64::from(out) - sum).abs() < 1e-4, "{} in place of {}", out, sum);
            }
        }
    }
}
