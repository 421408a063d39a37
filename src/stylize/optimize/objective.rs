//! What is minimised: content, style, smoothness and steadiness of one picture, with its gradient.
//!
//! Every term is relative, so that one set of weights fits every picture and painting. *Content* is the squared
//! difference of features over the squared features; *style* the squared Frobenius distance of Gram matrices over that
//! of the painting's own; both are 0 when equal and near 1 for unrelated pictures. Of several paintings the weighted mean
//! of their Gram matrices is the target: the weighted sum of their losses differs from it by a constant only. Pixel
//! losses are means in units of 255².

use crate::{
    kernels::{
        LossNetwork, Tape, add_gram_gradient, add_out_of_range, add_total_variation,
        add_weighted_difference, gram_matrix,
    },
    nn::vgg::{from_input, layer_number, to_input},
};

use super::canvas::Canvas;
use rayon::prelude::*;

/// Weight of what lies outside of 0..255.
const RANGE_WEIGHT: f32 = 30.0;

/// How much each term counts.
#[derive(Clone, Debug, PartialEq)]
pub struct LossWeights {
    /// Content.
    pub content: f32,
    /// Style, over all its layers.
    pub style: f32,
    /// Total variation.
    pub variation: f32,
    /// Difference to the painting before, carried along the motion.
    pub temporal: f32,
    /// Layers that content is compared in, with their shares.
    pub content_layers: Vec<(usize, f32)>,
    /// Layers that style is compared in, with their shares.
    pub style_layers: Vec<(usize, f32)>,
}

impl Default for LossWeights {
    /// What was found to paint every surface and to keep faces, from 200 pixels on. The last convolutions of a block make
    /// strokes, the first ones a maze of lines; those of the fourth block and after lose faces (`benches/optimize.md`).
    fn default() -> Self {
        Self {
            content: 1.0,
            style: 10.0,
            variation: 6.0,
            temporal: 100.0,
            content_layers: layers(&[("relu4_2", 1.0)]),
            style_layers: layers(&[("relu1_1", 0.6), ("relu2_2", 0.2), ("relu3_3", 0.2)]),
        }
    }
}

/// Layers of VGG-16 by their names, such as `relu4_2`, with their shares; names that are no layers are left out.
#[must_use]
pub fn layers(names: &[(&str, f32)]) -> Vec<(usize, f32)> {
    names
        .iter()
        .filter_map(|&(name, share)| Some((layer_number(name)?, share)))
        .collect()
}

/// The loss and its terms, each with its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// All together.
    pub total: f64,
    /// Content.
    pub content: f64,
    /// Style.
    pub style: f64,
    /// Total variation, and what is out of range.
    pub variation: f64,
    /// Temporal.
    pub temporal: f64,
}

/// Gram matrices of the style, one for each of the style layers.
#[derive(Clone, Debug)]
pub(super) struct StyleTarget {
    grams: Vec<Gram>,
}

#[derive(Clone, Debug)]
struct Gram {
    values: Vec<f32>,
    /// Squared Frobenius norm.
    norm: f64,
}

/// A picture that the painting is drawn to, and where.
#[derive(Clone, Debug)]
pub(super) struct Anchor {
    /// Planes of the canvas.
    pub(super) target: Vec<f32>,
    /// One plane, 0..1.
    pub(super) confidence: Vec<f32>,
}

/// The loss of one canvas.
pub(super) struct Objective<'a> {
    network: &'a LossNetwork,
    tape: &'a mut Tape,
    weights: &'a LossWeights,
    style: &'a StyleTarget,
    /// Features of the content at each of the content layers, and the sum of their squares.
    content: Vec<(Vec<f32>, f64)>,
    anchors: &'a [Anchor],
    size: (usize, usize),
    wanted: Vec<usize>,
    input: Vec<f32>,
}

impl StyleTarget {
    /// The weighted mean of the Gram matrices of some paintings.
    pub(super) fn new(
        network: &LossNetwork,
        tape: &mut Tape,
        weights: &LossWeights,
        paintings: &[(Canvas, f32)],
    ) -> Self {
        let layers = numbers(&weights.style_layers);
        let sum: f32 = paintings.iter().map(|(_, weight)| weight).sum();
        let mut grams: Vec<Vec<f32>> = layers
            .iter()
            .map(|&layer| vec![0.0; network.channels(layer).pow(2)])
            .collect();
        let mut input = Vec::new();
        for (canvas, weight) in paintings {
            to_input(&canvas.planes, &mut input);
            network.forward(tape, &input, canvas.size.pair(), &layers);
            for (mean, &layer) in grams.iter_mut().zip(&layers) {
                let gram = gram_matrix(tape.features(layer), network.channels(layer));
                let share = weight / sum;
                mean.iter_mut()
                    .zip(gram)
                    .for_each(|(mean, gram)| *mean += share * gram);
            }
        }
        let grams = grams.into_iter().map(|values| Gram {
            norm: values
                .iter()
                .map(|v| f64::from(*v).powi(2))
                .sum::<f64>()
                .max(1e-12),
            values,
        });
        Self {
            grams: grams.collect(),
        }
    }
}

impl<'a> Objective<'a> {
    /// The loss of a painting of `content`.
    pub(super) fn new(
        network: &'a LossNetwork,
        tape: &'a mut Tape,
        weights: &'a LossWeights,
        style: &'a StyleTarget,
        content: &Canvas,
        anchors: &'a [Anchor],
    ) -> Self {
        let size = content.size.pair();
        let content_layers = numbers(&weights.content_layers);
        let mut input = Vec::new();
        let features = if content_layers.is_empty() {
            Vec::new()
        } else {
            to_input(&content.planes, &mut input);
            network.forward(tape, &input, size, &content_layers);
            let features = content_layers.iter().map(|&layer| {
                let features = tape.features(layer).to_vec();
                let norm = features.iter().map(|f| f64::from(*f).powi(2)).sum::<f64>();
                (features, norm.max(1e-12))
            });
            features.collect()
        };
        let mut wanted = content_layers;
        wanted.extend(numbers(&weights.style_layers));
        wanted.sort_unstable();
        wanted.dedup();
        Self {
            network,
            tape,
            weights,
            style,
            content: features,
            anchors,
            size,
            wanted,
            input,
        }
    }

    /// The loss of the planes `x`; fills their gradient.
    pub(super) fn evaluate(&mut self, x: &[f32], gradient: &mut [f32]) -> Losses {
        let mut losses = Losses::default();
        let Self {
            network,
            tape,
            weights,
            wanted,
            input,
            ..
        } = self;
        if wanted.is_empty() {
            gradient.fill(0.0);
        } else {
            to_input(x, input);
            network.forward(tape, input, self.size, wanted);
            let (content, style) = (&self.content, self.style);
            let add = |layer: usize, features: &[f32], gradient: &mut [f32]| {
                for (place, &(_, share)) in at(&weights.style_layers, layer) {
                    let weight = weights.style * share;
                    losses.style += add_style(&style.grams[place], features, weight, gradient);
                }
                for (place, &(_, share)) in at(&weights.content_layers, layer) {
                    let weight = weights.content * share;
                    losses.content += add_content(&content[place], features, weight, gradient);
                }
            };
            network.backward(tape, wanted, add, gradient);
            from_input(gradient);
        }
        losses.variation = add_total_variation(x, self.size, weights.variation, gradient)
            + add_out_of_range(x, RANGE_WEIGHT, gradient);
        for Anchor { target, confidence } in self.anchors {
            losses.temporal +=
                add_weighted_difference(x, target, confidence, weights.temporal, gradient);
        }
        losses.total = losses.content + losses.style + losses.variation + losses.temporal;
        losses
    }
}

fn numbers(layers: &[(usize, f32)]) -> Vec<usize> {
    layers.iter().map(|(layer, _)| *layer).collect()
}

/// Place and entry of a layer in a list.
fn at(layers: &[(usize, f32)], layer: usize) -> impl Iterator<Item = (usize, &(usize, f32))> {
    layers
        .iter()
        .enumerate()
        .filter(move |(_, entry)| entry.0 == layer)
}

/// weight · ‖G − target‖² / ‖target‖², and its gradient by the features.
fn add_style(target: &Gram, features: &[f32], weight: f32, gradient: &mut [f32]) -> f64 {
    let channels = target.values.len().isqrt();
    let pixels = features.len() / channels;
    let mut difference = gram_matrix(features, channels);
    let mut sum = 0.0;
    for (value, target) in difference.iter_mut().zip(&target.values) {
        *value -= target;
        sum += f64::from(*value).powi(2);
    }
    // ∂/∂G is 2·weight·(G − target)/‖target‖², and the gradient by F 2/N times that times F.
    let scale = (4.0 * f64::from(weight) / (target.norm * pixels as f64)) as f32;
    difference.iter_mut().for_each(|value| *value *= scale);
    add_gram_gradient(&difference, features, gradient);
    f64::from(weight) * sum / target.norm
}

/// weight · ‖F − target‖² / ‖target‖², and its gradient.
fn add_content(
    (target, norm): &(Vec<f32>, f64),
    features: &[f32],
    weight: f32,
    gradient: &mut [f32],
) -> f64 {
    let scale = (2.0 * f64::from(weight) / norm) as f32;
    let parts: Vec<f64> = features
        .par_chunks(4096)
        .zip(target.par_chunks(4096))
        .zip(gradient.par_chunks_mut(4096))
        .map(|((features, target), gradient)| {
            let mut sum = 0.0_f32;
            for ((f, t), g) in features.iter().zip(target).zip(gradient) {
                let d = f - t;
                sum += d * d;
                *g += scale * d;
            }
            f64::from(sum)
        })
        .collect();
    f64::from(weight) * parts.iter().sum::<f64>() / norm
}
