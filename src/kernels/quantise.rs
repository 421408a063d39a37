//! Eight bits for activations and weights.
//!
//! After instance normalisation a channel's values have the style's shift as mean and its scale as deviation, whatever
//! the picture: the range of every activation is known when the style is set, so nothing is measured on pictures.
//! Activations are unsigned bytes over that range, channel by channel; the input channel's unit is folded into the
//! weights, which are signed bytes with one scale per output channel. Constants that a zero point adds need no
//! correction: the instance normalisation that follows takes them away.

use super::direct::DirectConvolution;
use super::format::Int8;
use super::network::ConvolutionWeights;
use super::statistics::{Affine, STATISTIC_LANES};
use super::{InstructionSet, StyleParameters, network::style_offset};

/// Deviations from the mean that the range of a channel covers.
const DEVIATIONS: f32 = 8.0;

/// Mean and variance of each channel of an activation.
#[derive(Clone)]
pub(crate) struct Spread {
    mean: Vec<f32>,
    variance: Vec<f32>,
    /// Whether negative values were cut off.
    rectified: bool,
}

impl Spread {
    /// The output of layer `layer` under a style, before or after ReLU.
    pub(crate) fn of_layer(
        style: &StyleParameters,
        layer: usize,
        channels: usize,
        rectified: bool,
    ) -> Self {
        let own = style_offset(layer)..style_offset(layer) + channels;
        Self {
            mean: style.shift[own.clone()].to_vec(),
            variance: style.scale[own].iter().map(|scale| scale * scale).collect(),
            rectified,
        }
    }

    /// The sum with another activation, taken as independent.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let add = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a + b).collect();
        Self {
            mean: add(&self.mean, &other.mean),
            variance: add(&self.variance, &other.variance),
            rectified: false,
        }
    }

    /// What maps the values to 0..=255.
    pub(crate) fn quantiser(&self) -> Affine {
        let mut affine = Affine::IDENTITY;
        for lane in 0..STATISTIC_LANES {
            let channel = lane % self.mean.len();
            let reach = DEVIATIONS * self.variance[channel].sqrt();
            let low = if self.rectified {
                0.0
            } else {
                self.mean[channel] - reach
            };
            let high = (self.mean[channel] + reach).max(low + 1e-3);
            affine.scale[lane] = 255.0 / (high - low);
            affine.shift[lane] = -low * affine.scale[lane];
        }
        affine
    }
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
