//! Weights in the order in which a warp takes them: fragments of 16 products by 8 outputs.

use half::f16;

use crate::kernels::ConvolutionWeights;

/// Products of a fragment.
pub(super) const PRODUCTS: usize = 16;

/// Chunks of 16 products of one output over a slice of channels.
pub(super) fn chunks(kernel_size: usize, slice: usize) -> usize {
    (kernel_size * kernel_size * slice).div_ceil(PRODUCTS)
}

/// `[group][slice][chunk][8 outputs][lane][4]`: lane `4g + t` of a warp holds products 2t, 2t+1, 2t+8 and 2t+9 of output g
/// (`mma.m16n8k16`, PTX ISA). A product is `kernel place · slice + channel`; what the network does not have is zero. A group
/// is `outputs` outputs, a multiple of 8; `channels` is a multiple of `slice`.
pub(super) fn fragments(
    weights: &ConvolutionWeights,
    channels: usize,
    slice: usize,
    outputs: usize,
) -> Vec<f16> {
    let places = weights.kernel_size * weights.kernel_size;
    let groups = weights.out_channels.div_ceil(outputs);
    let weight = |output: usize, channel: usize, place: usize| {
        if output < weights.out_channels && channel < weights.in_channels && place < places {
            let index = (output * weights.in_channels + channel) * places + place;
            f16::from_f32(weights.weight[index])
        } else {
            f16::ZERO
        }
    };
    let mut packed = Vec::new();
    for group in 0..groups {
        for first in (0..channels).step_by(slice) {
            for chunk in 0..chunks(weights.kernel_size, slice) {
                for eight in 0..outputs / 8 {
                    for (lane, k) in (0..32).flat_map(|lane| (0..4).map(move |k| (lane, k))) {
                        let product = chunk * PRODUCTS + lane % 4 * 2 + k % 2 + k / 2 * 8;
                        let output = group * outputs + eight * 8 + lane / 4;
                        packed.push(weight(output, first + product % slice, product / slice));
                    }
                }
            }
        }
    }
    packed
}
