//! How far a painting is from its photo and from the model, seen by the loss network.
//!
//! Terms are relative, as in painting by optimisation: *content* is the squared difference of features over the squared
//! features, *style* the squared Frobenius distance of Gram matrices over that of the model's own. Smoothness is the mean
//! squared difference of neighbours. Planes are `[3][height][width]` of R, G, B in 0..255.

use rayon::prelude::*;

use crate::frame::Picture;
use crate::kernels::{LossNetwork, Tape, add_gram_gradient, add_total_variation, gram_matrix};
use crate::nn::vgg::{from_input, to_input};
use crate::stylize::optimize::{LossWeights, Losses};

/// Gram matrices of a model, one for each of the style layers, with their squared Frobenius norms.
pub(in crate::train) struct Model {
    grams: Vec<(Vec<f32>, f64)>,
}

impl Model {
    /// Looks at a picture.
    pub(super) fn new(
        network: &LossNetwork,
        tape: &mut Tape,
        weights: &LossWeights,
        picture: &Picture,
    ) -> Self {
        let planes = planes(picture.rgb().iter().map(|value| f32::from(*value)));
        let size = (picture.height(), picture.width());
        Self::of_planes((network, tape), weights, &planes, size)
    }

    /// Looks at planes of that size.
    pub(in crate::train) fn of_planes(
        (network, tape): (&LossNetwork, &mut Tape),
        weights: &LossWeights,
        planes: &[f32],
        size: (usize, usize),
    ) -> Self {
        let layers = numbers(&weights.style_layers);
        let mut input = Vec::new();
        to_input(planes, &mut input);
        network.forward(tape, &input, size, &layers);
        let grams = layers.iter().map(|&layer| {
            let gram = gram_matrix(tape.features(layer), network.channels(layer));
            let norm = gram.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            (gram, norm.max(1e-12))
        });
        Self {
            grams: grams.collect(),
        }
    }
}

/// Planes of interleaved pixels.
pub(in crate::train) fn planes(pixels: impl Iterator<Item = f32>) -> Vec<f32> {
    let pixels: Vec<f32> = pixels.collect();
    let count = pixels.len() / 3;
    let mut planes = vec![0.0; pixels.len()];
    for (at, pixel) in pixels.chunks_exact(3).enumerate() {
        for c in 0..3 {
            planes[c * count + at] = pixel[c];
        }
    }
    planes
}

/// The loss of the `painting` of `photo`, both of that size; adds to `gradient`, planes of zeros.
pub(in crate::train) fn compare(
    (network, tape): (&LossNetwork, &mut Tape),
    weights: &LossWeights,
    model: &Model,
    (photo, painting): (&[f32], &[f32]),
    size: (usize, usize),
    gradient: &mut [f32],
) -> Losses {
    let mut input = Vec::new();
    let content = numbers(&weights.content_layers);
    let mut targets = Vec::new();
    if !content.is_empty() {
        to_input(photo, &mut input);
        network.forward(tape, &input, size, &content);
        targets.extend(content.iter().map(|&layer| tape.features(layer).to_vec()));
    }
    let mut wanted = content;
    wanted.extend(numbers(&weights.style_layers));
    wanted.sort_unstable();
    wanted.dedup();
    to_input(painting, &mut input);
    network.forward(tape, &input, size, &wanted);
    let mut losses = Losses::default();
    let add = |layer: usize, features: &[f32], gradient: &mut [f32]| {
        for ((own, share), (gram, norm)) in weights.style_layers.iter().zip(&model.grams) {
            if *own == layer {
                let weight = weights.style * share;
                losses.style += add_style((gram, *norm), features, weight, gradient);
            }
        }
        for ((own, share), target) in weights.content_layers.iter().zip(&targets) {
            if *own == layer {
                losses.content += add_content(target, features, weights.content * share, gradient);
            }
        }
    };
    network.backward(tape, &wanted, add, gradient);
    from_input(gradient);
    losses.variation = add_total_variation(painting, size, weights.variation, gradient);
    losses.total = losses.content + losses.style + losses.variation;
    losses
}

fn numbers(layers: &[(usize, f32)]) -> Vec<usize> {
    layers.iter().map(|(layer, _)| *layer).collect()
}

/// weight · ‖G − target‖² / ‖target‖², and its gradient by the features.
fn add_style(
    (target, norm): (&[f32], f64),
    features: &[f32],
    weight: f32,
    gradient: &mut [f32],
) -> f64 {
    let channels = target.len().isqrt();
    let pixels = features.len() / channels;
    let mut difference = gram_matrix(features, channels);
    let mut sum = 0.0;
    for (value, target) in difference.iter_mut().zip(target) {
        *value -= target;
        sum += f64::from(*value).powi(2);
    }
    // The gradient by G is 2·weight·(G − target)/‖target‖², and that by F is 2/N times it times F.
    let scale = (4.0 * f64::from(weight) / (norm * pixels as f64)) as f32;
    difference.iter_mut().for_each(|value| *value *= scale);
    add_gram_gradient(&difference, features, None, gradient);
    f64::from(weight) * sum / norm
}

/// weight · ‖F − target‖² / ‖target‖², and its gradient.
fn add_content(target: &[f32], features: &[f32], weight: f32, gradient: &mut [f32]) -> f64 {
    let squares = target
        .par_chunks(4096)
        .map(|part| part.iter().map(|t| t * t).sum::<f32>());
    let norm = squares
        .collect::<Vec<f32>>()
        .into_iter()
        .map(f64::from)
        .sum::<f64>()
        .max(1e-12);
    let scale = (2.0 * f64::from(weight) / norm) as f32;
    let parts: Vec<f32> = features
        .par_chunks(4096)
        .zip(target.par_chunks(4096))
        .zip(gradient.par_chunks_mut(4096))
        .map(|((features, target), gradient)| {
            let mut sum = 0.0;
            for ((f, t), g) in features.iter().zip(target).zip(gradient) {
                let d = f - t;
                sum += d * d;
                *g += scale * d;
            }
            sum
        })
        .collect();
    f64::from(weight) * parts.into_iter().map(f64::from).sum::<f64>() / norm
}
