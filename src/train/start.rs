//! Where a student's weights come from before the first step.
//!
//! A student of the teacher's width can begin with what the teacher knows: its trunk repaints planes of the same 32 channels
//! at a quarter of the size, in the same residual blocks, and so does its first expanding layer; the styles' scales and
//! shifts of those layers come along. Only what replaces the teacher's entry and end, where most of its arithmetic is, has
//! to be learned from nothing. A student of fewer blocks takes some of the teacher's, evenly.

use super::distil::Teacher;
use super::network::{Layer, Shape};
use super::random::Random;
use crate::kernels::{ConvolutionWeights, fold_upsampling};
use crate::nn::student_net::Upsampling;

/// Where a training begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With random weights.
    #[default]
    Random,
    /// With the teacher's layers where the student has such.
    Teacher,
    /// With a student that has learned the trunk's planes: it goes on with what its paintings look like.
    Student,
}

impl Start {
    /// Whether a student of that shape can begin so.
    ///
    /// # Errors
    /// A sentence that says what to choose.
    pub fn check(self, shape: &Shape) -> Result<(), String> {
        let config = shape.config;
        let has_teachers_end = (config.width, config.detail, config.refine) == (32, 8, Some(9))
            && config.upsampling == [Upsampling::Nearest; 2];
        match self {
            Self::Random if config.refine.is_some() => Err(
                "a student that begins at random has no last convolution: add --refine 0".into(),
            ),
            Self::Student if !has_teachers_end => {
                Err("--from needs a student with its teacher's width and end, as one that began with --start teacher \
                     has: others learn from paintings from the beginning"
                    .into())
            }
            // The end is taken over and never trained.
            Self::Teacher if !has_teachers_end => {
                Err("a student that begins with the teacher's layers has its width (--width 32) and its end \
                     (--detail 8 --upsampling nearest --refine 9): others begin with --start random --refine 0"
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// As it is written in a checkpoint.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Teacher => "teacher",
            Self::Student => "student",
        }
    }
}

/// Replaces those of the `parameters` that the teacher has, and says which these are.
pub(super) fn inherit(shape: &Shape, teacher: &Teacher, parameters: &mut [f32]) -> Vec<bool> {
    let mut inherited = vec![false; parameters.len()];
    let network = &teacher.network;
    let model = network.shape();
    let (layers, _) = shape.layers();
    let (entry, own, blocks) = (shape.config.entry, shape.config.blocks, model.blocks);
    for (index, layer) in layers.iter().enumerate() {
        let Some(place) = index.checked_sub(entry) else {
            continue;
        };
        let from = if place < 2 * own {
            // Evenly, the first and the last among them.
            let gaps = own.saturating_sub(1).max(1);
            model.residual() + 2 * ((place / 2 * (blocks - 1) + gaps / 2) / gaps) + place % 2
        } else {
            model.expanding() + place - 2 * own
        };
        let mut kernel = network.layers()[from].clone();
        if layer.channels.1 == 4 * kernel.out_channels {
            kernel = fold_upsampling(&kernel);
        }
        if !copy(layer, &kernel, parameters, &mut inherited) {
            continue;
        }
        let channels = model.style_channels_of(from);
        for (row, style) in teacher.styles.iter().enumerate() {
            for (channel, at) in channels.clone().enumerate() {
                let (scale, shift) = layer.norm(row, channel);
                (parameters[scale], parameters[shift]) = (style.scale[at], style.shift[at]);
                (inherited[scale], inherited[shift]) = (true, true);
            }
        }
    }
    inherited
}

/// Copies a kernel, to the middle of a larger one; false if the layers do not have the same channels.
fn copy(
    layer: &Layer,
    from: &ConvolutionWeights,
    parameters: &mut [f32],
    inherited: &mut [bool],
) -> bool {
    let (side, kernel) = (layer.taps.isqrt(), from.kernel_size);
    if layer.channels != (from.in_channels, from.out_channels) || kernel > side {
        return false;
    }
    for (output, input) in (0..from.out_channels * from.in_channels)
        .map(|n| (n / from.in_channels, n % from.in_channels))
    {
        for tap in 0..layer.taps {
            let at = layer.weight(output, input, tap);
            let border = (side - kernel) / 2;
            let (row, column) = (
                (tap / side).wrapping_sub(border),
                (tap % side).wrapping_sub(border),
            );
            inherited[at] = true;
            parameters[at] = if row < kernel && column < kernel {
                from.weight[((output * from.in_channels + input) * kernel + row) * kernel + column]
            } else {
                0.0
            };
        }
    }
    true
}

/// Weights by He et al. 2015, those of the four pixels of a block equal (Aitken et al. 2017); styles of scale 1, shift 0.
pub(super) fn random_weights(shape: &Shape, seed: u64) -> Vec<f32> {
    let (layers, length) = shape.layers();
    let mut parameters = vec![0.0; length];
    let mut random = Random::new(seed, [u64::MAX, 0]);
    for layer in layers {
        let ((inputs, outputs), taps) = (layer.channels, layer.taps);
        let bound = (6.0 / (taps * inputs) as f32).sqrt();
        for (input, tap) in (0..taps * inputs).map(|n| (n / taps, n % taps)) {
            for channel in 0..layer.normed {
                let value = random.between(-bound, bound);
                for output in (channel..outputs).step_by(layer.normed) {
                    parameters[layer.weight(output, input, tap)] = value;
                }
            }
        }
        for (style, channel) in
            (0..shape.styles * layer.normed).map(|n| (n / layer.normed, n % layer.normed))
        {
            parameters[layer.norm(style, channel).0] = 1.0;
        }
    }
    parameters
}

/// Mean square difference of two planes of so many channels, in parts of each channel's variance in `target` (and some of
/// the mean variance); `plane`
/// becomes the gradient, that of a loss above 1 shortened.
pub(super) fn hint_loss(plane: &mut [f32], target: &[f32], channels: usize) -> f32 {
    let count = (target.len() / channels) as f32;
    let (mut means, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for pixel in target.chunks_exact(channels) {
        for ((mean, square), value) in means.iter_mut().zip(&mut squares).zip(pixel) {
            *mean += value / count;
            *square += value * value / count;
        }
    }
    let variances: Vec<f32> = means
        .iter()
        .zip(&squares)
        .map(|(mean, square)| (square - mean * mean).max(0.0))
        .collect();
    // Channels that hardly vary count for less than those that carry the picture, however wrong they are.
    let floor = 0.2 * variances.iter().sum::<f32>() / channels as f32 + 1e-3;
    let weights: Vec<f32> = variances.iter().map(|own| 1.0 / (own + floor)).collect();
    let mut loss = 0.0;
    let share = 1.0 / target.len() as f32;
    for (pixel, target) in plane
        .chunks_exact_mut(channels)
        .zip(target.chunks_exact(channels))
    {
        for ((value, target), weight) in pixel.iter_mut().zip(target).zip(&weights) {
            let difference = *value - target;
            loss += share * weight * difference * difference;
            *value = 2.0 * share * weight * difference;
        }
    }
    // An almost flat piece has no variance to speak of: one such would fill Adam's memory for a thousand steps.
    if loss > 1.0 {
        plane.iter_mut().for_each(|value| *value /= loss);
    }
    loss
}
