//! Eight bits for activations and weights.
//!
//! After instance normalisation a channel's values have the style's shift as mean and its scale as deviation, whatever
//! the picture: the range of every activation is known when the style is set, so nothing is measured on pictures.
//! Activations are unsigned bytes over that range, channel by channel; the input channel's unit is folded into the
//! weights, which are signed bytes with one scale per output channel.
//!
//! Only layers behind a ReLU (and the first, whose inputs are bytes anyway) are quantised: the residual trunk and the
//! expanding layers stay in bf16. Mean difference from `f32` over three photos and five styles, in steps of a byte: all
//! layers 1.11, all but the expanding ones 0.80, the ones chosen here 0.5; the first alone 0.15 (bf16: 0.12).
//! Over all 26 styles it is 0.81, with single pictures up to 2.3: too much to be chosen unasked.

use super::direct::DirectConvolution;
use super::format::Int8;
use super::network::{ConvolutionWeights, NetworkShape};
use super::statistics::{Affine, STATISTIC_LANES};
use super::{InstructionSet, StyleParameters};

/// Deviations above the mean that the range of a channel covers; 5.5 clips visibly, 10 is coarse.
const DEVIATIONS: f32 = 7.0;

/// Whether a layer may be quantised: the first, and those whose input the style has normalised and a ReLU made positive
/// (expanding ones and those that read the residual trunk aside).
pub(crate) fn suits(shape: NetworkShape, layer: usize) -> bool {
    let (residual, expanding) = (shape.residual(), shape.expanding());
    let reads_trunk = layer >= residual && (layer - residual).is_multiple_of(2);
    let input = |layer| shape.layer(layer).normalised && shape.layer(layer).relu;
    layer == 0 || (layer < expanding && !reads_trunk && input(layer - 1))
}

/// What maps the rectified outputs of `layer` under a style to 0..=255.
pub(crate) fn quantiser(shape: NetworkShape, style: &StyleParameters, layer: usize) -> Affine {
    let own = shape.style_channels_of(layer);
    let (offset, channels) = (own.start, own.len());
    let mut affine = Affine::IDENTITY;
    for lane in 0..STATISTIC_LANES {
        let channel = offset + lane % channels;
        let high = style.shift[channel] + DEVIATIONS * style.scale[channel].abs();
        affine.scale[lane] = 255.0 / high.max(1e-3);
    }
    affine
}

/// Packs `weights` for inputs that `quantiser` maps to bytes.
pub(crate) fn quantised(
    weights: &ConvolutionWeights,
    stride: usize,
    quantiser: &Affine,
    set: InstructionSet,
) -> DirectConvolution<Int8> {
    let (whole, rescale) = whole_weights(weights, |channel| 1.0 / quantiser.scale[channel]);
    let shift = vec![0.0; rescale.len()];
    DirectConvolution::new(&whole, stride, set).rescaled(rescale, shift)
}

/// Packs the first layer's `weights` for the bytes of a picture, as if 128 were taken away from each.
pub(crate) fn quantised_for_bytes(
    weights: &ConvolutionWeights,
    set: InstructionSet,
) -> DirectConvolution<Int8> {
    let (whole, rescale) = whole_weights(weights, |_| 1.0);
    let inputs = whole.weight.len() / whole.out_channels;
    let sums = whole
        .weight
        .chunks_exact(inputs)
        .map(|channel| channel.iter().sum::<f32>());
    let shift = sums
        .zip(&rescale)
        .map(|(sum, rescale)| -128.0 * sum * rescale)
        .collect();
    DirectConvolution::new(&whole, 1, set).rescaled(rescale, shift)
}

/// Whole weights in -127..=127, and what to multiply their sums by, per output channel.
fn whole_weights(
    weights: &ConvolutionWeights,
    unit: impl Fn(usize) -> f32,
) -> (ConvolutionWeights, Vec<f32>) {
    let mut whole = weights.clone();
    let taps = weights.kernel_size * weights.kernel_size;
    let rescale = whole
        .weight
        .chunks_exact_mut(weights.in_channels * taps)
        .map(|channel| {
            for (i, input) in channel.chunks_exact_mut(taps).enumerate() {
                input.iter_mut().for_each(|weight| *weight *= unit(i));
            }
            let largest = channel
                .iter()
                .fold(1e-20_f32, |largest, weight| largest.max(weight.abs()));
            channel
                .iter_mut()
                .for_each(|weight| *weight = (*weight * (127.0 / largest)).round());
            largest / 127.0
        });
    let rescale = rescale.collect();
    (whole, rescale)
}
