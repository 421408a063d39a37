//! Weights in the order in which the threads of a warp take them (see `kernels/convolution.cuh`).

use half::f16;

use crate::kernels::ConvolutionWeights;

/// What a thread takes of one output at once: 8 channels of a place of the kernel, or its 4.
const PIECE: usize = 8;

/// A convolution as the kernels see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// Rows and columns of the kernel.
    pub(super) kernel: (usize, usize),
    /// Channels of the input as it is stored.
    pub(super) channels: usize,
    /// Of these, how many lie in shared memory together: 4, 8, 16 or 32.
    pub(super) slice: usize,
    /// Outputs of a block of threads: 16, 32 or 64.
    pub(super) outputs: usize,
}

impl Packing {
    /// The largest slice that `channels`, a multiple of 4, can be cut into.
    pub(super) fn slice(channels: usize) -> usize {
        1 << channels.trailing_zeros().min(5)
    }

    /// Steps that one slice takes: in each the four threads of a row read a piece.
    pub(super) fn groups(&self) -> usize {
        let piece = self.slice.min(PIECE);
        (self.kernel.0 * self.kernel.1 * self.slice).div_ceil(4 * piece)
    }

    /// `[block of outputs][slice][step][16 outputs][product][lane][4 words][2]` of `weight(output, channel, row, column)`: a
    /// lane `4g + t` holds what multiplies a piece of thread t, for the outputs that are rows g and g + 8 of the tensor cores'
    /// result; rows are dealt out so that a thread's results are neighbours.
    pub(super) fn pack(
        &self,
        out_channels: usize,
        weight: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Vec<f16> {
        self.order(out_channels, |output, channel, row, column| {
            f16::from_f32(weight(output, channel, row, column))
        })
    }

    /// The same of anything, in that order.
    pub(super) fn order<T: Default>(
        &self,
        out_channels: usize,
        each: impl Fn(usize, usize, usize, usize) -> T,
    ) -> Vec<T> {
        let (rows, columns) = self.kernel;
        let piece = self.slice.min(PIECE);
        let (pieces, tiles) = (self.slice / piece, self.outputs / 16);
        let mut packed = Vec::new();
        for block in 0..out_channels.div_ceil(self.outputs) {
            for first in (0..self.channels).step_by(self.slice) {
                for (step, tile, product, lane) in product(self.groups(), tiles, piece / 4) {
                    let (g, t) = (lane / 4, lane % 4);
                    let (place, part) = ((4 * step + t) / pieces, (4 * step + t) % pieces);
                    let (row, column) = (place / columns, place % columns);
                    packed.extend((0..8).map(|k| {
                        // Words go through both outputs before the next two channels.
                        let (half, word) = (k / 2 % 2, 2 * product + k / 4);
                        let output = block * self.outputs + (g * tiles + tile) * 2 + half;
                        let channel = first + part * piece + 2 * word + k % 2;
                        match row < rows && output < out_channels {
                            true => each(output, channel, row, column),
                            false => T::default(),
                        }
                    }));
                }
            }
        }
        packed
    }

    /// The same of a convolution with a square kernel; channels that it does not have are zero.
    pub(super) fn pack_square(&self, weights: &ConvolutionWeights) -> Vec<f16> {
        self.pack(weights.out_channels, |output, channel, row, column| {
            square(weights, output, channel, row, column)
        })
    }
}

/// Rounds the weights to half precision so that the errors of a kernel cancel each other: what one weight is too large, the
/// next is made smaller by (error diffusion, Floyd and Steinberg 1976). Rounded one by one they add up to a little more or
/// less than the kernel did, which the smooth parts of a picture show; so they add up to the same, and only noise, which
/// pictures have little of, meets the error. Channels that are equal modulo `alike` are of one kernel.
pub(super) fn round_kernels(weights: &mut ConvolutionWeights, alike: usize) {
    let places = weights.kernel_size * weights.kernel_size;
    for output in weights
        .weight
        .chunks_exact_mut(weights.in_channels * places)
    {
        for first in 0..alike.min(weights.in_channels) {
            let mut lacks = 0.0;
            for place in 0..places {
                for channel in (first..weights.in_channels).step_by(alike) {
                    let weight = &mut output[channel * places + place];
                    let wanted = *weight + lacks;
                    *weight = f16::from_f32(wanted).to_f32();
                    lacks = wanted - *weight;
                }
            }
        }
    }
}

/// Steps, tiles, products of a tile, lanes, in order.
fn product(
    steps: usize,
    tiles: usize,
    products: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let lanes = 32;
    (0..steps * tiles * products * lanes).map(move |i| {
        let (rest, lane) = (i / lanes, i % lanes);
        let (rest, product) = (rest / products, rest % products);
        (rest / tiles, rest % tiles, product, lane)
    })
}

/// One weight; zero of a channel that there is not.
pub(super) fn square(
    weights: &ConvolutionWeights,
    output: usize,
    channel: usize,
    row: usize,
    column: usize,
) -> f32 {
    if channel >= weights.in_channels {
        return 0.0;
    }
    let index = (output * weights.in_channels + channel) * weights.kernel_size + row;
    weights.weight[index * weights.kernel_size + column]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel adds up to what it did, to the rounding of one weight, and no weight goes far.
    #[test]
    fn rounded_kernels_add_up_to_the_same() {
        let (outputs, channels, side) = (5, 6, 9);
        let places = side * side;
        let weight: Vec<f32> = (0..outputs * channels * places)
            .map(|i| 0.07 * (i as f32 * 1.7).sin() + 0.011)
            .collect();
        let mut rounded = ConvolutionWeights {
            weight: weight.clone(),
            out_channels: outputs,
            in_channels: channels,
            kernel_size: side,
        };
        round_kernels(&mut rounded, 3);
        for (own, before) in rounded.weight.iter().zip(&weight) {
            assert!((own - before).abs() < 1.0 / 8192.0, "{before} became {own}");
            assert_eq!(f16::from_f32(*own).to_f32(), *own);
        }
        let mut farthest: f64 = 0.0;
        for (own, before) in rounded
            .weight
            .chunks_exact(channels * places)
            .zip(weight.chunks_exact(channels * places))
        {
            for first in 0..3 {
                let sum = |weights: &[f32]| -> f64 {
                    let kernel = (first..channels).step_by(3);
                    kernel
                        .flat_map(|channel| &weights[channel * places..][..places])
                        .map(|w| f64::from(*w))
                        .sum()
                };
                let nearest: Vec<f32> = before.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
                let (off, plain) = (
                    (sum(own) - sum(before)).abs(),
                    (sum(&nearest) - sum(before)).abs(),
                );
                assert!(off < 4e-5, "{off}, rounded one by one {plain}");
                farthest = farthest.max(plain);
            }
        }
        assert!(farthest > 1e-4, "rounded one by one it is {farthest}");
    }
}
